//! `cargo test --test lab`: the real harness against fake VMs.

use serde_json::Value;

use crate::fake_vm::{FakeVm, Login, Script, Step};
use crate::scene::{Run, Scene};

fn vm() -> FakeVm {
    Script::default()
        .prints("yes", "")
        .prints("also", "")
        .answer("no", [Step::Err(b"wrong\n".to_vec()), Step::Exit(1)])
        .start()
}

fn scene(vm: &FakeVm) -> Scene {
    Scene::with(vm).run("vm", "yes").run("vm", "also").run("vm", "no")
}

fn report(scene: &Scene) -> Value {
    serde_json::from_str(&scene.read("reports/report.json")).expect("a report")
}

fn verdicts(report: &Value) -> Vec<&str> {
    report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["verdict"].as_str().unwrap())
        .collect()
}

#[track_caller]
fn ends(run: &Run, code: i32, result: &str) {
    assert_eq!(run.code, Some(code), "{}", run.transcript());
    assert!(run.stdout.contains(result), "{}", run.transcript());
}

#[test]
fn list_prints_only_names_and_connects_to_nothing() {
    let vm = vm();
    let scene = scene(&vm).vm_at("dead", 1).run("dead", "true");
    let run = scene.lab(&["--list"]);
    assert_eq!(run.code, Some(0));
    assert_eq!(
        run.stdout,
        "t::vm::yes: test\nt::vm::also: test\nt::vm::no: test\nt::dead::true: test\n"
    );
    assert_eq!(run.stderr, "");
    assert_eq!(scene.lab(&["--list", "--format", "terse"]).stdout, run.stdout);
    assert_eq!(scene.lab(&["--list", "vm::yes"]).stdout, "t::vm::yes: test\n");
    assert_eq!(vm.connections(), 0);
    assert!(!scene.path("reports").exists(), "a list is no run");
}

#[test]
fn a_failed_assertion_is_a_failed_trial_and_exits_101() {
    let vm = vm();
    let scene = scene(&vm);
    let run = scene.lab(&[]);
    ends(&run, 101, "2 passed; 1 failed;");
    assert!(run.stdout.contains("exit status 1, expected 0: wrong"), "{}", run.stdout);
    assert_eq!(verdicts(&report(&scene)), ["passed", "passed", "failed"]);
    assert_eq!(scene.read("reports/junit.xml").matches("<failure").count(), 1);
}

#[test]
fn all_passed_exits_0_and_names_inventory_and_suite_first() {
    let vm = vm();
    let scene = Scene::with(&vm).run("vm", "yes");
    let run = scene.lab(&[]);
    ends(&run, 0, "1 passed; 0 failed;");
    assert_eq!(
        run.stderr.lines().next(),
        Some("bootproof: inventory inventory.json, suite suite.json")
    );
    assert_eq!(report(&scene)["complete"], true);
}

#[test]
fn filters_exact_and_skip_select_trials() {
    for (flags, runs) in [
        (&["vm::yes"][..], [1, 0, 0]),
        (&["--exact", "t::vm::also"], [0, 1, 0]),
        (&["--exact", "vm::also"], [0, 0, 0]),
        (&["--skip", "no"], [1, 1, 0]),
    ] {
        let vm = vm();
        let scene = scene(&vm);
        let run = scene.lab(flags);
        assert_eq!(["yes", "also", "no"].map(|command| vm.runs(command)), runs, "{flags:?}");
        ends(&run, 0, &format!("{} passed; 0 failed;", runs.iter().sum::<usize>()));
        let expected = runs.map(|count| if count == 1 { "passed" } else { "not-selected" });
        assert_eq!(verdicts(&report(&scene)), expected, "{flags:?}");
        let connections = usize::from(runs != [0, 0, 0]);
        assert_eq!(vm.connections(), connections, "{flags:?}");
    }
}

#[test]
fn nextest_gets_no_report_and_the_same_exit_code() {
    let vm = vm();
    let scene = scene(&vm).env("NEXTEST", "1");
    ends(&scene.lab(&["--exact", "t::vm::no", "--nocapture"]), 101, "1 failed;");
    ends(&scene.lab(&["--exact", "t::vm::yes", "--nocapture"]), 0, "1 passed;");
    assert!(!scene.path("reports").exists());
}

#[test]
fn bootproof_reports_names_the_folder_of_the_reports() {
    let vm = vm();
    let scene = scene(&vm).env("BOOTPROOF_REPORTS", "elsewhere/deep");
    ends(&scene.lab(&["yes"]), 0, "1 passed;");
    assert!(
        scene.path("elsewhere/deep/junit.xml").exists()
            && scene.path("elsewhere/deep/report.json").exists()
    );
}

#[test]
fn a_dead_vm_is_red_and_not_ignored() {
    let vm = vm();
    let scene = scene(&vm).vm_at("dead", 1).run("dead", "true");
    let run = scene.lab(&["--skip", "::no", "--skip", "::also"]);
    ends(&run, 101, "1 passed; 1 failed; 0 ignored;");
    assert!(
        run.stdout.contains("blocked: dead at tcp (127.0.0.1:1): no TCP connection"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_refused_login_is_red_at_once() {
    let vm = Script { login: Login::password("another"), ..Script::default() }.start();
    let scene = Scene::with(&vm).run("vm", "true").env("BOOTPROOF_WAIT", "5m");
    ends(&scene.lab(&[]), 101, "0 passed; 1 failed;");
    assert_eq!(vm.logins().len(), 1);
}

#[test]
fn the_deadline_ends_the_trials_that_still_run() {
    let vm = Script::default().prints("yes", "").answer("hangs", [Step::Hang]).start();
    let scene =
        Scene::with(&vm).run("vm", "yes").run("vm", "hangs").env("BOOTPROOF_DEADLINE", "5s");
    let run = scene.lab(&[]);
    ends(&run, 101, "1 passed; 1 failed;");
    assert_eq!(verdicts(&report(&scene)), ["passed", "not-run"]);
    assert!(run.stderr.contains("the deadline of 5s passed"), "{}", run.stderr);
}

#[test]
fn a_run_that_cannot_start_exits_101_with_the_reason() {
    let vm = vm();
    let run = scene(&vm).env("BOOTPROOF_WAIT", "soon").lab(&[]);
    assert_eq!(run.code, Some(101));
    assert!(
        run.stderr.starts_with("error: BOOTPROOF_WAIT: `soon` is not a duration"),
        "{}",
        run.stderr
    );
    let run = Scene::with(&vm).run("other", "true").lab(&["--list"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(101), ""));
    assert!(run.stderr.contains("unknown VM `other`"), "{}", run.stderr);
    assert_eq!(vm.connections(), 0);
}

#[test]
fn reports_that_cannot_be_written_are_red() {
    let vm = vm();
    let scene =
        Scene::with(&vm).run("vm", "yes").env("BOOTPROOF_REPORTS", "inventory.json/reports");
    let run = scene.lab(&[]);
    assert_eq!(run.code, Some(101));
    assert!(run.stderr.contains("error: cannot write the report "), "{}", run.stderr);
    assert_eq!(vm.connections(), 0, "found out before the run");
}
