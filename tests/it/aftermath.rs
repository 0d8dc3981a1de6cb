//! What a run finds out beside its assertions: why they are red, and whether the VM was stable.

use std::time::Duration;

use bootproof::health::{READ_BOOT_STATE, READ_HEALTH, read_candidates, read_services};
use serde_json::json;

use crate::fake_vm::{HEALTH, PASSWORD, Script, Step, Wire};
use crate::scene::{Run, Scene};

fn prints(text: &str) -> Vec<Step> {
    vec![Step::Out(text.into()), Step::Exit(0)]
}

/// A service, as `systemctl show` prints it.
fn service(active: &str, sub: &str, restarts: u32) -> String {
    format!(
        "Type=notify\nNRestarts={restarts}\nResult=exit-code\nId=redis-server.service\n\
         ActiveState={active}\nSubState={sub}\nUnitFileState=enabled\nConditionResult=yes\n"
    )
}

/// A green run over a VM whose health is `HEALTH` first and `later` afterwards.
fn green_run(later: &str, services: &str, flags: &[&str]) -> Run {
    let mut health = prints(HEALTH);
    health.insert(0, Step::Become(prints(later)));
    let names = read_services(["redis-server.service"]);
    let vm = Script::default()
        .answer(READ_HEALTH, health)
        .prints(&names, services)
        .prints("true", "")
        .start();
    let run = Scene::with(&vm).run("vm", "true").check(flags);
    assert_eq!(run.verdicts(), ["passed"], "{}", run.transcript());
    run
}

#[track_caller]
fn is_unstable(run: &Run, why: &str) {
    assert_eq!(run.code, Some(3), "{}", run.transcript());
    assert!(
        run.vm("vm")["unstable"][0].as_str().unwrap_or_default().contains(why),
        "{}",
        run.transcript()
    );
    assert!(run.stdout.contains("unstable vm") && run.stdout.contains(why), "{}", run.transcript());
    let junit = roxmltree::Document::parse(&run.junit).expect("XML");
    let suites = junit.root_element();
    let cases = junit.descendants().filter(|node| node.has_tag_name("testcase"));
    let errors = junit.descendants().filter(|node| node.has_tag_name("error"));
    assert_eq!(suites.attribute("tests"), Some(cases.count().to_string().as_str()));
    assert_eq!((suites.attribute("errors"), errors.count()), (Some("1"), 1), "{}", run.junit);
    assert!(run.junit.contains("unstable::vm"), "{}", run.junit);
}

#[test]
fn a_vm_that_stays_the_same_is_stable() {
    let run = green_run(HEALTH, "", &[]);
    assert_eq!(
        (run.code, &run.vm("vm")["unstable"]),
        (Some(0), &json!([])),
        "{}",
        run.transcript()
    );
}

#[test]
fn a_green_run_over_a_reboot_is_unstable() {
    is_unstable(
        &green_run(&HEALTH.replace("boot-id a", "boot-id b"), "", &[]),
        "it rebooted during the run",
    );
}

#[test]
fn a_reboot_that_ends_the_connection_is_unstable() {
    let mut health = prints(HEALTH);
    health.insert(0, Step::Become(prints(&HEALTH.replace("boot-id a", "boot-id b"))));
    // The second try is on another connection, after the first look at the VM.
    let cut = vec![
        Step::Become(prints("")),
        Step::Repeat(vec![b'.'], 20, Duration::from_millis(50)),
        Step::Cut,
    ];
    let vm = Script::default().answer(READ_HEALTH, health).answer("true", cut).start();
    let run = Scene::with(&vm).run("vm", "true").check(&["--wait", "30s"]);
    assert_eq!((run.verdicts(), vm.connections()), (vec!["passed"], 2), "{}", run.transcript());
    is_unstable(&run, "it rebooted during the run");
}

#[test]
fn a_green_run_over_a_service_that_restarts_is_unstable() {
    let later = HEALTH.replace("service 1 100.0", "service 2 999.0");
    let run = green_run(&later, &service("active", "running", 4), &[]);
    is_unstable(
        &run,
        "redis-server.service was restarted during the run: active (exit-code), restarted 4 times",
    );
}

#[test]
fn a_green_run_while_memory_runs_out_is_unstable() {
    is_unstable(
        &green_run(&HEALTH.replace("oom-kills 0", "oom-kills 1"), "", &[]),
        "for lack of memory once",
    );
}

#[test]
fn a_vm_may_settle_while_bootproof_waits() {
    let later = HEALTH.replace("service 1 100.0", "service 2 999.0");
    let run = green_run(&later, &service("active", "running", 1), &["--wait", "30s"]);
    assert_eq!(
        (run.code, &run.vm("vm")["unstable"]),
        (Some(0), &json!([])),
        "{}",
        run.transcript()
    );
    // A reboot remains: earlier answers are about another boot.
    is_unstable(
        &green_run(&HEALTH.replace("boot-id a", "boot-id b"), "", &["--wait", "30s"]),
        "rebooted",
    );
}

#[test]
fn a_boot_has_a_timeline() {
    let booting = HEALTH.replace("system running", "system starting");
    let vm = Script::default()
        .prints(READ_HEALTH, booting)
        .prints(READ_BOOT_STATE, "degraded\n")
        .prints("true", "")
        .start();
    let run = Scene::with(&vm).run("vm", "true").check(&["--wait", "30s"]);
    run.expect(0, &["passed"]);
    let timeline = &run.vm("vm")["timeline"];
    let steps: Vec<u64> = ["tcp_ms", "banner_ms", "login_ms", "running_ms"]
        .map(|step| timeline[step].as_u64().unwrap())
        .to_vec();
    assert!(steps.is_sorted() && steps[3] >= 1000, "{timeline}");
    assert_eq!(timeline["system"], "degraded");
    assert!(
        run.stdout.contains("system degraded") && run.junit.contains("running_after"),
        "{}",
        run.transcript()
    );
}

#[test]
fn a_vm_without_systemd_is_not_booting() {
    let health = HEALTH.replace("system running", "system no systemd");
    let vm = Script::default().prints(READ_HEALTH, health).prints("true", "").start();
    let run = Scene::with(&vm).run("vm", "true").check(&["--wait", "30s"]);
    run.expect(0, &["passed"]);
    assert_eq!(run.vm("vm")["timeline"]["system"], "no systemd");
    assert!(run.stdout.contains(", no systemd"), "{}", run.transcript());
    assert!(!run.stdout.contains("system no systemd"), "{}", run.transcript());
    assert_eq!(vm.runs(READ_BOOT_STATE), 0);
}

#[test]
fn a_boot_that_does_not_end_within_its_budget_is_unstable() {
    let booting = HEALTH.replace("system running", "system starting");
    let vm = Script::default()
        .prints(READ_HEALTH, booting)
        .prints(READ_BOOT_STATE, "starting\n")
        .prints("true", "")
        .start();
    let mut scene = Scene::with(&vm).run("vm", "true");
    scene.inventory["readiness"] = json!({"running": "2s"});
    let run = scene.check(&["--wait", "60s"]);
    assert_eq!(run.verdicts(), ["passed"]);
    is_unstable(&run, "its boot did not finish: systemd says `starting` after 2s");
    assert_eq!(run.vm("vm")["timeline"]["running_ms"], json!(null));
    assert!(run.took < Duration::from_secs(50), "{:?}", run.took);
    // Without --wait the state is shown, and nothing waits for it.
    scene.check(&[]).expect(0, &["passed"]);
}

#[test]
fn a_boot_step_over_its_budget_ends_the_wait() {
    let vm = Script { wire: Wire::Says(b"hello\r\n".to_vec()), ..Script::default() }.start();
    let mut scene = Scene::with(&vm).run("vm", "true");
    scene.inventory["vms"]["vm"]["readiness"] = json!({"banner": "2s", "tcp": "60s"});
    let run = scene.check(&["--wait", "80s"]);
    run.expect(3, &["blocked"]);
    let message = run.rows()[0]["message"].as_str().unwrap();
    assert!(message.ends_with("the readiness limit of 2s for `banner` has passed"), "{message}");
    assert!(run.took < Duration::from_mins(1), "{:?}", run.took);
}

#[test]
fn evidence_is_taken_when_something_is_red_and_contains_no_secret() {
    let script = Script { evidence: format!("Stopped redis with {PASSWORD}"), ..Script::default() };
    let vm = script
        .prints(&read_candidates(), service("failed", "failed", 5))
        .prints("true", "")
        .start();
    let scene =
        Scene::with(&vm).run("vm", "true").assert(json!({"type": "port_listening", "port": 6379}));
    let run = scene.check(&[]);
    run.expect(1, &["passed", "failed"]);
    let about: Vec<_> =
        run.vm("vm")["evidence"].as_array().unwrap().iter().map(|piece| &piece["about"]).collect();
    assert_eq!(
        about,
        ["redis-server.service", "sockets", "addresses", "disk", "memory"],
        "{}",
        run.transcript()
    );
    assert_eq!(run.vm("vm")["suspects"][0]["state"], "failed (exit-code), restarted 5 times");
    for sink in [&run.stdout, &run.junit, &run.report.to_string()] {
        assert!(sink.contains("Stopped redis with ***") && !sink.contains(PASSWORD), "{sink}");
    }
    let quiet = scene.check(&["--no-evidence"]);
    assert_eq!(quiet.vm("vm")["evidence"], json!([]), "{}", quiet.transcript());
    let green = Scene::with(&vm).run("vm", "true").check(&[]);
    assert_eq!(green.vm("vm")["evidence"], json!([]), "{}", green.transcript());
    let trials = scene.env("BOOTPROOF_REPORTS", ".").lab(&[]);
    assert!(trials.stderr.contains("Stopped redis with ***"), "{}", trials.transcript());
}

#[test]
fn a_check_that_connects_to_a_dead_port_says_so() {
    let vm = Script::default().answer("curl http://localhost:2283/ping", [Step::Exit(7)]).start();
    let scene = Scene::with(&vm)
        .assert(json!({"type": "port_listening", "port": 2283}))
        .assert(json!({"type": "port_listening", "port": 22}))
        .run("vm", "curl http://localhost:2283/ping");
    let run = scene.check(&[]);
    run.expect(1, &["failed", "passed", "failed"]);
    let because = json!(["t::vm::2283: nothing listens on 2283/tcp"]);
    assert_eq!(run.rows()[2]["because"], because, "{}", run.transcript());
    assert_eq!((&run.rows()[0]["because"], &run.rows()[1]["because"]), (&json!([]), &json!([])));
    for text in [&run.stdout, &run.junit, &scene.lab(&[]).stdout] {
        assert!(text.contains("because:  t::vm::2283: nothing listens"), "{text}");
    }
}

#[test]
fn consistently_looks_for_the_whole_span() {
    let turns = vec![Step::Become(vec![Step::Exit(1)]), Step::Exit(0)];
    let vm = Script::default().answer("turns", turns).prints("stays", "").start();
    let run = Scene::with(&vm)
        .assert(json!({"command": "turns", "consistently": "2s"}))
        .assert(json!({"command": "stays", "consistently": "2s"}))
        .check(&[]);
    run.expect(1, &["failed", "passed"]);
    let message = run.rows()[0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("held for 1.") && message.contains("of 2.0 s, then: exit status 1"),
        "{message}"
    );
    assert!(run.rows()[1]["attempts"].as_array().unwrap().len() >= 3, "{}", run.transcript());
    assert!(!run.junit.contains("flakyFailure"), "it held all the time: {}", run.junit);
}

#[test]
fn a_service_that_failed_for_good_ends_the_wait() {
    let vm =
        Script::default().prints(&read_services(["redis"]), service("failed", "failed", 5)).start();
    let port = json!({"type": "port_listening", "port": 6379, "unit": "redis", "wait": "80s"});
    let run = Scene::with(&vm).assert(port).check(&[]);
    run.expect(1, &["failed"]);
    let message = run.rows()[0]["message"].as_str().unwrap();
    assert!(
        message.contains("systemd has given up on redis, so bootproof stopped waiting: failed ("),
        "{message}"
    );
    assert!(run.took < Duration::from_mins(1), "{:?}", run.took);
}

#[test]
fn a_vm_on_which_every_channel_times_out_is_the_cause() {
    let vm = Script::default().answer("work", [Step::Freeze]).start();
    let scene = ["a", "b", "c"].iter().fold(Scene::with(&vm), |scene, name| {
        scene.assert(json!({"command": "work", "name": name, "timeout": "3s"}))
    });
    let run = scene.check(&[]);
    run.expect(3, &["blocked", "blocked", "blocked"]);
    assert_eq!(run.stdout.matches("it stopped answering").count(), 1, "{}", run.transcript());
    assert!(run.stdout.contains("blocks:   3 assertions"), "{}", run.transcript());
}
