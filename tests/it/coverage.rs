//! Coverage: declared VMs and ports without an assertion.

use serde_json::json;

use crate::fake_vm::{FakeVm, Script};
use crate::scene::Scene;

/// `app` is covered, one of its ports and the VM `idle` are not.
fn scene(vm: &FakeVm) -> Scene {
    let mut scene = Scene::new().vm("app", vm).vm("idle", vm);
    scene.inventory["vms"]["app"]["ports"] = json!([22, 9121]);
    scene.assert(json!({"type": "port_listening", "on_vm": "app", "port": 22}))
}

#[test]
fn uncovered_vms_and_ports_are_listed() {
    let vm = Script::default().start();
    let scene = scene(&vm);
    let run = scene.check(&[]);
    run.expect(0, &["passed"]);
    let printed = "uncovered 2 of 4 declared VMs and ports have assertions\n  no assertion covers 9121/tcp of app\n  \
                no assertion covers idle\n";
    assert!(run.stdout.contains(printed), "{}", run.transcript());
    assert_eq!(run.report["coverage"]["uncovered"][0]["id"], "uncovered::app::9121");
    assert!(!run.junit.contains("uncovered"), "{}", run.junit);
    let plan = scene.bootproof(&["plan", "-i", "inventory.json", "-s", "suite.json"]);
    assert!(
        plan.stdout.contains("2 of 4 declared VMs and ports have assertions"),
        "{}",
        plan.transcript()
    );
}

#[test]
fn fail_uncovered_makes_a_run_red() {
    let vm = Script::default().start();
    let mut scene = scene(&vm);
    let run = scene.check(&["--fail-uncovered"]);
    run.expect(3, &["passed"]);
    assert!(run.stdout.contains("1 passed; 0 failed; 2 uncovered in "), "{}", run.transcript());
    for part in [
        r#"tests="3" failures="0" errors="2""#,
        r#"name="uncovered::app::9121""#,
        r#"name="uncovered::idle""#,
    ] {
        assert!(run.junit.contains(part), "{part}\n{}", run.junit);
    }
    // Coverage is about the whole suite, whatever part of it is selected.
    scene.inventory["vms"]["app"]["ports"] = json!([22]);
    scene.inventory["vms"].as_object_mut().unwrap().shift_remove("idle");
    scene = scene.run("app", "nothing");
    scene.check(&["--fail-uncovered", "--filter", "::22"]).expect(0, &["passed", "not-selected"]);
}
