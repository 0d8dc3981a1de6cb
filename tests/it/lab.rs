//! `bootproof lab` without QEMU: what its exit codes and messages are when it cannot start.

use std::fs;
use std::path::Path;

use serde_json::json;

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

/// A scene whose lab is not up, and has a kept state of one VM.
fn with_kept_state() -> Scene {
    let scene = with_recipe(|text| text);
    let time = json!({"secs_since_epoch": 1_790_000_000, "nanos_since_epoch": 0});
    let vm = json!({
        "name": "redis", "command": [], "ssh_port": 2201, "image": "redis.iso", "built_here": true,
        "memory_gb": 1,
    });
    let lab = json!({
        "started": time, "accel": "tcg", "sockets": "/absent", "inventory": "inventory/local.json",
        "network": [], "vms": [vm],
    });
    fs::create_dir_all(scene.path(".lab/kept")).unwrap();
    let kept = json!({"saved": time, "lab": lab, "files": []});
    scene.write(".lab/kept/kept.json", kept.to_string());
    scene
}

#[test]
fn status_tells_of_the_kept_state_and_down_deletes_it() {
    let scene = with_kept_state();
    let status = scene.bootproof(&["lab", "status"]);
    assert_eq!(status.code, Some(4), "{}", status.transcript());
    let told = "the lab is not up\nthe state of redis was kept at 2026-09-21T14:13:20Z (";
    assert!(status.stdout.starts_with(told), "{}", status.stdout);
    assert!(status.stdout.ends_with("`bootproof lab up` resumes it\n"), "{}", status.stdout);

    let keep = scene.bootproof(&["lab", "down", "--keep"]);
    assert_eq!(keep.code, Some(0), "{}", keep.transcript());
    assert!(keep.stdout.starts_with("the lab was not up\nthe state of redis"), "{}", keep.stdout);

    let down = scene.bootproof(&["lab", "down"]);
    let deleted = "the lab was not up; its kept state is deleted\n";
    assert_eq!((down.code, down.stdout.as_str()), (Some(0), deleted), "{}", down.transcript());
    assert!(!scene.path(".lab/kept").exists());
    assert_eq!(scene.bootproof(&["lab", "status"]).stdout, "the lab is not up\n");
}

#[test]
fn a_damaged_kept_state_is_told_and_can_be_deleted() {
    let scene = with_kept_state();
    scene.write(".lab/kept/kept.json", "{");
    let status = scene.bootproof(&["lab", "status"]);
    assert_eq!(status.code, Some(4), "{}", status.transcript());
    assert!(status.stdout.contains("the kept state cannot be used: "), "{}", status.stdout);
    let down = scene.bootproof(&["lab", "down"]);
    assert_eq!(down.stdout, "the lab was not up; its kept state is deleted\n");
}

#[test]
fn without_a_lab_there_is_nothing_to_keep() {
    let keep = lab(&["down", "--keep"]);
    assert_eq!((keep.code, keep.stdout.as_str()), (Some(0), "the lab was not up\n"));
}
