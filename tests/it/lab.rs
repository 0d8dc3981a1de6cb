//! `bootproof lab` without QEMU: what its exit codes and messages are when it cannot start.

use std::fs;
use std::path::Path;

use crate::scene::{Run, Scene};

/// A scene with the reference recipe of redis, and `bootproof lab` in it.
fn lab(arguments: &[&str]) -> Run {
    let scene = with_recipe(|text| text);
    scene.bootproof(&[&["lab"], arguments].concat())
}

fn with_recipe(change: impl Fn(String) -> String) -> Scene {
    let scene = Scene::new();
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/redis");
    fs::create_dir_all(scene.path("recipes/redis")).unwrap();
    for file in ["recipe.json", "startup.sh"] {
        let text = fs::read_to_string(reference.join(file)).unwrap();
        scene.write(&format!("recipes/redis/{file}"), change(text));
    }
    scene
}

#[test]
fn unknown_vms_and_images_are_usage_errors() {
    for (arguments, message) in [
        (
            &["build", "rediss"][..],
            "recipes has no recipe for `rediss`\n  hint: did you mean `redis`?",
        ),
        (&["up", "--image", "rediss=Cargo.lock"], "there is no file "),
        (&["up", "--image", "redis"], "write VM=FILE"),
        (&["--recipes", "absent", "build"], "cannot read absent: "),
    ] {
        let run = lab(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.transcript());
        assert!(run.stderr.contains(message), "{arguments:?}: {}", run.stderr);
    }
    let scene = with_recipe(|text| text);
    scene.write("image.iso", "");
    let run = scene.bootproof(&["lab", "up", "--image", "rediss=image.iso"]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    assert_eq!(
        run.stderr,
        "error: unknown VM `rediss` in --image\n  hint: did you mean `redis`?\n"
    );
}

#[test]
fn an_invalid_recipe_is_a_usage_error_with_its_line() {
    let scene = with_recipe(|text| text.replace("debian-trixie", "debian-sid"));
    let run = scene.bootproof(&["lab", "build"]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    assert!(run.stderr.starts_with("error: recipes/redis/recipe.json:"), "{}", run.stderr);
}

#[test]
fn commands_that_need_a_lab_say_that_it_is_not_up() {
    for arguments in [
        &["ssh", "redis"][..],
        &["logs", "redis"],
        &["snapshot"],
        &["restore"],
        &["pause", "redis"],
        &["resume", "redis"],
        &["reboot", "redis"],
    ] {
        let run = lab(arguments);
        assert_eq!(run.code, Some(70), "{arguments:?}: {}", run.transcript());
        let message = "error: the lab is not up\n  hint: boot it with `bootproof lab up`\n";
        assert_eq!(run.stderr, message, "{arguments:?}");
    }
    let status = lab(&["status"]);
    assert_eq!((status.code, status.stdout.as_str()), (Some(4), "the lab is not up\n"));
    let down = lab(&["down"]);
    assert_eq!((down.code, down.stdout.as_str()), (Some(0), "the lab was not up\n"));
}
