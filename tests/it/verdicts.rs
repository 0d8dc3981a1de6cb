//! Verdicts and exit codes of `bootproof check`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fake_vm::{Login, Script, Step};
use crate::scene::{Run, Scene, Started};

const GIVES_UP: &str = "systemctl is-active gone";

/// A VM on which `yes` exits 0 and `no` exits 1.
fn healthy() -> Script {
    Script::default()
        .prints("yes", "fine\n")
        .answer("no", [Step::Err(b"wrong\n".to_vec()), Step::Exit(1)])
}

fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until what is under way has come so far.
fn until(what: &str, so_far: impl Fn() -> bool) {
    for _ in 0..6000 {
        if so_far() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("within a minute: {what}");
}

fn totals(run: &Run) -> &Value {
    &run.report["totals"]
}

#[test]
fn all_passed_exits_0() {
    let vm = Script { listening: vec![22, 6379], ..healthy() }.start();
    let scene = Scene::with(&vm)
        .run("vm", "yes")
        .assert(json!({"command": "yes", "name": "text", "contains": "fine", "equals": "fine", "matches": "^f..e$"}))
        .assert(json!({"command": "no", "exit_code": 1}))
        .assert(json!({"type": "port_listening", "port": 6379}))
        .assert(json!({"type": "port_listening", "name": "params", "params": {"port": 22, "address": "127.0.0.1"}}));
    let run = scene.check(&[]);
    run.expect(0, &["passed"; 5]);
    assert_eq!(totals(&run)["passed"], 5);
    assert_eq!(run.report["complete"], true);
    assert_eq!(run.vm("vm")["os_release"], "Debian GNU/Linux 13 (trixie)");
    assert_eq!(run.vm("vm")["boot_id"], "01234567-89ab-cdef-0123-456789abcdef");
    assert_eq!(run.vm("vm")["banner"], "SSH-2.0-OpenSSH_10.0p2 Debian-7");
    assert_eq!(run.vm("vm")["host_key"], vm.fingerprint());
}

#[test]
fn warns_about_checks_that_cannot_fail() {
    let vm = healthy().prints("true", "").start();
    let scene =
        Scene::with(&vm).run("vm", "yes").assert(json!({"command": "true", "name": "sure"}));
    let run = scene.check(&[]);
    run.expect(0, &["passed"; 2]);
    let told: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(told.len(), 1, "{}", run.transcript());
    assert!(
        told[0].contains("suite.json:") && told[0].contains("::sure: this assertion cannot fail"),
        "{}",
        told[0]
    );
}

#[test]
fn a_failed_assertion_exits_1() {
    let vm = healthy().start();
    let scene = Scene::with(&vm)
        .run("vm", "yes")
        .run("vm", "no")
        .assert(json!({"command": "yes", "name": "text", "contains": "absent"}))
        .assert(json!({"type": "port_listening", "port": 6379}));
    let run = scene.check(&[]);
    run.expect(1, &["passed", "failed", "failed", "failed"]);
    assert_eq!(run.rows()[1]["message"], "exit status 1, expected 0: wrong");
    assert_eq!(run.rows()[2]["message"], "output does not contain \"absent\"");
    assert_eq!(run.rows()[3]["message"], "nothing listens on 6379/tcp");
}

#[test]
fn an_errored_assertion_exits_3() {
    let vm = healthy().start();
    let run = Scene::with(&vm)
        .run("vm", "yes")
        .assert(json!({"command": "curl x | jq .", "contains": "ok"}))
        .check(&[]);
    run.expect(3, &["passed", "errored"]);
    assert_eq!(run.rows()[1]["cause"]["stage"], "missing-tool");
}

#[test]
fn failed_outranks_errored_and_blocked() {
    let vm = healthy().start();
    Scene::with(&vm)
        .run("vm", "no")
        .run("vm", "uninstalled")
        .check(&[])
        .expect(1, &["failed", "errored"]);
}

#[test]
fn a_dead_vm_is_one_cause_and_blocks_only_its_own_assertions() {
    let vm = healthy().start();
    let scene = Scene::with(&vm).vm_at("dead", closed_port()).run("vm", "yes");
    let scene = scene.run("dead", "a").run("dead", "b").run("dead", "c");
    let run = scene.check(&[]);
    run.expect(3, &["passed", "blocked", "blocked", "blocked"]);
    for row in &run.rows()[1..] {
        assert_eq!(row["cause"]["stage"], "tcp");
        assert_eq!(row["cause"]["vm"], "dead");
        assert_eq!(row["attempts"], json!([]));
    }
    assert_eq!(run.stdout.matches("no TCP connection").count(), 1, "told once:\n{}", run.stdout);
    assert_eq!(run.vm("dead")["connects"], 1);
}

#[test]
fn an_empty_selection_exits_4_and_connects_to_nothing() {
    let vm = healthy().start();
    let scene = Scene::with(&vm).vm_at("idle", closed_port()).run("vm", "yes");
    scene.check(&["--filter", "nowhere"]).expect(4, &["not-selected"]);
    scene.check(&["--limit", "idle"]).expect(4, &["not-selected"]);
    assert_eq!(vm.connections(), 0);
}

#[test]
fn assertions_that_are_not_selected_do_not_count() {
    let vm = healthy().start();
    let scene = Scene::with(&vm)
        .vm_at("dead", closed_port())
        .run("vm", "yes")
        .run("vm", "no")
        .run("dead", "yes");
    let run = scene.check(&["--limit", "vm", "--filter", "::yes"]);
    run.expect(0, &["passed", "not-selected", "not-selected"]);
    assert_eq!(vm.runs("no"), 0);
    assert_eq!(run.vm("dead")["connects"], 0);
}

#[test]
fn a_late_service_passes_and_keeps_every_attempt() {
    let down =
        |then: Vec<Step>| vec![Step::Become(then), Step::Err(b"down\n".to_vec()), Step::Exit(3)];
    let up = vec![Step::Out(b"up\n".to_vec()), Step::Exit(0)];
    let vm = Script::default().answer("probe", down(down(up))).start();
    let run = Scene::with(&vm).run("vm", "probe").check(&["--wait", "60s"]);
    run.expect(0, &["passed"]);
    let tries: Vec<_> =
        run.rows()[0]["attempts"].as_array().unwrap().iter().map(|one| &one["verdict"]).collect();
    assert_eq!(tries, ["failed", "failed", "passed"]);
    assert_eq!(run.rows()[0]["attempts"][0]["message"], "exit status 3, expected 0: down");
    assert_eq!(run.junit.matches("<flakyFailure").count(), 2);
}

#[test]
fn the_run_waits_for_a_late_vm() {
    let port = closed_port();
    let scene = Scene::new().vm_at("vm", port).run("vm", "yes");
    let started = scene.start_check(&["--wait", "60s"]);
    until("it waits", || scene.read("stderr").contains("waiting"));
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let vm = crate::fake_vm::FakeVm::listen(healthy(), listener);
    let run = started.wait();
    run.expect(0, &["passed"]);
    assert!(run.vm("vm")["connects"].as_u64() > Some(1));
    assert_eq!(vm.connections(), 1, "one patient connection, not many short ones");
}

#[test]
fn once_overrides_the_wait_of_the_suite() {
    let vm = healthy().start();
    let run = Scene::with(&vm).assert(json!({"command": "no", "wait": "5m"})).check(&["--once"]);
    run.expect(1, &["failed"]);
    assert_eq!(vm.runs("no"), 1);
}

#[test]
fn the_wait_of_an_assertion_overrides_that_of_the_run() {
    let vm = healthy().start();
    let scene = Scene::with(&vm).assert(json!({"command": "no", "wait": 0}));
    scene.check(&["--wait", "5m"]).expect(1, &["failed"]);
    assert_eq!(vm.runs("no"), 1);
}

#[test]
fn the_deadline_exits_124_with_a_whole_report() {
    let vm = healthy().answer(GIVES_UP, [Step::Hang]).start();
    let run = Scene::with(&vm).run("vm", "yes").run("vm", GIVES_UP).check(&["--deadline", "5s"]);
    run.expect(124, &["passed", "not-run"]);
    assert_eq!(run.rows()[1]["message"], "not run: the deadline of 5s passed");
    assert_eq!(run.report["complete"], false);
    assert_eq!(run.report["stopped"], "the deadline of 5s passed");
}

#[test]
fn at_the_deadline_an_assertion_keeps_its_last_verdict() {
    let vm = healthy().start();
    let run = Scene::with(&vm).run("vm", "no").check(&["--wait", "5m", "--deadline", "5s"]);
    run.expect(124, &["failed"]);
    assert!(run.rows()[0]["attempts"].as_array().unwrap().len() > 1);
}

#[test]
fn assertions_of_a_vm_that_is_late_at_the_deadline_are_not_run() {
    let run = Scene::new().vm_at("vm", closed_port()).run("vm", "yes").check(&[
        "--wait",
        "5m",
        "--deadline",
        "1s",
    ]);
    run.expect(124, &["not-run"]);
}

#[track_caller]
fn a_signal_leaves_a_whole_report(name: &str, code: i32, says: &str) {
    let vm = healthy().answer(GIVES_UP, [Step::Hang]).start();
    let scene = Scene::with(&vm).run("vm", "yes").run("vm", GIVES_UP).run("vm", "no");
    let started: Started = scene.start_check(&["--wait", "5m"]);
    // Tried for the third time, the other answers have long been there.
    until("the commands run", || vm.runs(GIVES_UP) == 1 && vm.runs("no") == 3);
    started.signal(name);
    let run = started.wait();
    run.expect(code, &["passed", "not-run", "failed"]);
    assert_eq!(run.report["stopped"], says);
    assert_eq!(run.rows()[1]["message"], format!("not run: {says}"));
    assert_eq!(run.vm("vm")["kernel"], "6.12.48+deb13-cloud-amd64", "what was seen is kept");
    assert!(run.junit.contains(says));
}

#[test]
fn sigint_exits_130_with_a_whole_report() {
    a_signal_leaves_a_whole_report("INT", 130, "interrupted (SIGINT)");
}

#[test]
fn a_signal_ends_the_test_harness_with_a_whole_report() {
    for (name, says) in [("INT", "interrupted (SIGINT)"), ("TERM", "terminated (SIGTERM)")] {
        let vm = healthy().answer(GIVES_UP, [Step::Hang]).start();
        let scene = Scene::with(&vm).run("vm", "yes").run("vm", GIVES_UP);
        let started = scene.start_lab(&[]);
        until("the commands run", || vm.runs(GIVES_UP) == 1 && vm.runs("yes") == 1);
        started.signal(name);
        let run = started.wait();
        assert_eq!(run.code, Some(101), "{}", run.transcript());
        assert!(run.stdout.contains(&format!("not run: {says}")), "{}", run.transcript());
        let report: Value = serde_json::from_str(&scene.read("reports/report.json")).unwrap();
        assert_eq!(
            (&report["stopped"], &report["results"][1]["verdict"]),
            (&json!(says), &json!("not-run"))
        );
        assert!(scene.read("reports/junit.xml").trim_end().ends_with("</testsuites>"));
    }
}

#[test]
fn sigterm_exits_143_with_a_whole_report() {
    a_signal_leaves_a_whole_report("TERM", 143, "terminated (SIGTERM)");
}

#[test]
fn a_refused_login_is_final_despite_wait() {
    let vm = Script { login: Login::password("another"), ..healthy() }.start();
    let scene = Scene::with(&vm)
        .run("vm", "yes")
        .run("vm", "no")
        .assert(json!({"type": "port_listening", "port": 22}));
    let run = scene.check(&["--wait", "5m"]);
    run.expect(3, &["blocked"; 3]);
    assert_eq!(run.rows()[0]["cause"]["stage"], "auth");
    assert_eq!(vm.logins(), ["password"]);
    assert_eq!(vm.connections(), 1);
}

#[test]
fn many_jq_programs_run_side_by_side() {
    let number = |n: u32| format!("{{\"n\": {n}, \"list\": [1, 2.5, \"x\"]}}\n");
    let vm =
        (0..60).fold(Script::default(), |vm, n| vm.prints(&format!("echo {n}"), number(n))).start();
    let scene = (0..60).fold(Scene::with(&vm), |scene, n| {
        scene.assert(json!({"command": format!("echo {n}"), "jq": format!(".n == {n} and (.list | length == 3)")}))
    });
    scene.check(&[]).expect(0, &["passed"; 60]);
}

#[test]
fn a_usage_mistake_exits_2() {
    let scene = Scene::new();
    assert_eq!(scene.bootproof(&["check", "--wait", "soon"]).code, Some(2));
    assert_eq!(scene.bootproof(&["check", "--once", "--wait", "5s"]).code, Some(2));
    assert_eq!(scene.bootproof(&["chekc"]).code, Some(2));
    assert_eq!(scene.bootproof(&["check"]).code, Some(2), "there is no inventory in this folder");
}

/// A VM on which `work` answers only when it is asked for the second time.
fn answers_the_second_time() -> Script {
    let then = vec![Step::Out(b"ok".to_vec()), Step::Exit(0)];
    Script::default().answer("work", [Step::Become(then), Step::Hang]).answer(
        "other",
        [Step::Repeat(b".".to_vec(), 30, Duration::from_millis(100)), Step::Exit(0)],
    )
}

#[test]
fn an_attempt_that_took_long_beside_others_is_made_again_alone() {
    let vm = answers_the_second_time().start();
    let work = json!({"command": "work", "contains": "ok", "timeout": "1s"});
    let run = Scene::with(&vm).assert(work).run("vm", "other").check(&["--no-evidence"]);
    run.expect(0, &["passed", "passed"]);
    let attempts = run.rows()[0]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert_eq!(attempts[0]["verdict"], "errored");
    let pace = &run.vm("vm")["pace"];
    assert!(
        pace["at_once"].as_u64() >= Some(2) && pace["slowest_ms"].as_u64() >= Some(2900),
        "{pace}"
    );
    assert_eq!(run.vm("vm")["cpus"], 4);
}

#[test]
fn a_quick_answer_beside_others_is_believed() {
    let vm = answers_the_second_time().answer("no", [Step::Exit(1)]).start();
    let run = Scene::with(&vm).run("vm", "no").run("vm", "other").check(&["--no-evidence"]);
    run.expect(1, &["failed", "passed"]);
    assert_eq!(vm.runs("no"), 1);
}

#[test]
fn a_vm_that_was_waited_for_says_for_how_long() {
    let scene = Scene::new().vm_at("vm", closed_port()).run("vm", "yes");
    let waited = scene.check(&["--wait", "2s"]);
    waited.expect(3, &["blocked"]);
    let message = waited.vm("vm")["cause"]["message"].as_str().unwrap();
    assert!(
        message.contains("refused") && message.contains("; bootproof has tried for "),
        "{message}"
    );
    let once = scene.check(&["--once"]);
    assert!(!once.stdout.contains("has tried for"), "{}", once.stdout);
}
