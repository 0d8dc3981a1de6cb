//! Servers that misbehave: the right verdict, at the right stage, in bounded time and memory.

use std::time::Duration;

use serde_json::json;

use crate::fake_vm::{Forwarding, Login, PASSWORD, Script, Step, Sudo, Wire, http, serve_http};
use crate::scene::{Run, Scene};

const MIB: u64 = 1024 * 1024;

/// One command, `work`, that does these steps, and what is to come of it: verdict, stage, words of the message.
#[track_caller]
fn check(steps: impl Into<Vec<Step>>, verdict: &str, stage: Option<&str>, says: &str) -> Run {
    let vm = Script::default().answer("work", steps).start();
    let assertion = json!({"command": "work", "contains": "ok", "timeout": timeout(stage)});
    let run = Scene::with(&vm).assert(assertion).check(&[]);
    is(&run, verdict, stage, says);
    run
}

/// Only what is to run into its timeout has a short one: a slow machine changes no verdict.
fn timeout(stage: Option<&str>) -> &'static str {
    if stage == Some("timeout") { "3s" } else { "60s" }
}

#[track_caller]
fn is(run: &Run, verdict: &str, stage: Option<&str>, says: &str) {
    let row = &run.rows().last().unwrap_or_else(|| panic!("{}", run.told()));
    let message = row["message"].as_str().unwrap_or_default();
    assert_eq!(row["verdict"], verdict, "{message}\n{}", run.told());
    assert_eq!(row["cause"]["stage"].as_str(), stage, "{message}");
    assert!(message.contains(says), "{message:?} does not say {says:?}");
    assert!(run.peak_memory < 100 * MIB, "{} MiB", run.peak_memory / MIB);
}

fn ok() -> Step {
    Step::Out(b"ok\n".to_vec())
}

#[test]
fn a_vm_that_never_gets_to_a_login_is_blocked_at_the_stage_that_it_reached() {
    let wires = [
        ("silent", Wire::Silent, "banner", "no SSH banner within 15s"),
        ("closes", Wire::Says(Vec::new()), "banner", "closed before an SSH banner"),
        ("penalizes", Wire::Says(b"Not allowed at this time\r\n".to_vec()), "banner", "Not allowed at this time"),
        ("another", Wire::Says(b"220 mail ESMTP\r\n".to_vec()), "banner", "220 mail ESMTP"),
        ("babbles", Wire::Babbles(b"hello? ".repeat(40)), "banner", "hello?"),
        ("no-key", Wire::FrozenAfter(40), "handshake", "no key exchange within 15s"),
        ("torn-key", Wire::CutAfter(500), "handshake", "key exchange failed"),
        ("garbage", Wire::Says(b"SSH-2.0-x\r\n\x00\x00\x00\x01garbage".to_vec()), "handshake", "key exchange failed"),
    ];
    let vms: Vec<_> =
        wires.iter().map(|(_, wire, ..)| Script { wire: wire.clone(), ..Script::default() }.start()).collect();
    let mut scene = Scene::new();
    for ((name, ..), vm) in wires.iter().zip(&vms) {
        scene = scene.vm(name, vm).run(name, "true");
    }
    let healthy = Script::default().prints("true", "").start();
    let run = scene.vm("healthy", &healthy).run("healthy", "true").check(&[]);
    for ((name, _, stage, says), row) in wires.iter().zip(run.rows()) {
        let message = row["message"].as_str().unwrap_or_default();
        assert_eq!(
            (row["verdict"].as_str(), row["cause"]["stage"].as_str()),
            (Some("blocked"), Some(*stage)),
            "{name}: {message}"
        );
        assert!(message.contains(says), "{name}: {message}");
    }
    is(&run, "passed", None, "");
    assert_eq!(run.code, Some(3));
    assert!(run.took < Duration::from_mins(1));
}

#[test]
fn a_server_that_ends_the_connection_at_the_login_is_blocked_at_auth() {
    let vm = Script { login: Login { hangs_up: true, ..Login::default() }, ..Script::default() }.start();
    let run = Scene::with(&vm).run("vm", "true").check(&[]);
    is(&run, "blocked", Some("auth"), "the server closed the connection during the login as `ops`");
}

#[test]
fn a_server_that_ends_the_connection_at_the_login_is_asked_again_while_there_is_time() {
    let vm = Script { login: Login { hangs_up: true, ..Login::default() }, ..Script::default() }.start();
    let run = Scene::with(&vm).run("vm", "true").check(&["--wait", "1s"]);
    is(&run, "blocked", Some("auth"), "closed the connection");
    assert!(vm.logins().len() > 1);
}

#[test]
fn a_slow_vm_is_not_a_dead_one() {
    for wire in [Wire::Late(Duration::from_secs(2)), Wire::Drips(Duration::from_millis(1))] {
        let vm = Script { wire, ..Script::default() }.answer("work", [ok(), Step::Exit(0)]).start();
        Scene::with(&vm).assert(json!({"command": "work", "contains": "ok"})).check(&[]).expect(0, &["passed"]);
    }
}

#[test]
fn wherever_the_connection_is_cut_nothing_passes_that_was_not_seen() {
    // A whole run is about 3,500 bytes of the VM's.
    for limit in (0..4000).step_by(157) {
        let vm =
            Script { wire: Wire::CutAfter(limit), ..Script::default() }.answer("work", [ok(), Step::Exit(0)]).start();
        let scene = Scene::with(&vm).assert(json!({"command": "work", "contains": "ok"}));
        let run = scene.check(&[]);
        let row = &run.rows()[0];
        let output = row["output"]["stdout"]["text"].as_str();
        match row["verdict"].as_str() {
            Some("passed") => assert_eq!((run.code, output), (Some(0), Some("ok\n")), "cut after {limit}"),
            Some("blocked" | "errored") => assert_eq!(run.code, Some(3), "cut after {limit}"),
            other => panic!("cut after {limit}: {other:?} {}", run.told()),
        }
    }
}

#[test]
fn a_command_that_never_ends_is_errored_with_what_it_said_and_the_limit() {
    let run = check([ok(), Step::Hang], "errored", Some("timeout"), "(timeout 3s)");
    assert_eq!(run.rows()[0]["output"]["stdout"]["text"], "ok\n");
    assert_eq!(run.code, Some(3));
}

#[test]
fn a_command_without_an_exit_status_proves_nothing() {
    check([ok()], "errored", Some("channel"), "without an exit status");
}

#[test]
fn a_command_that_is_killed_has_failed_by_that_signal() {
    check([ok(), Step::Killed(russh::Sig::KILL)], "failed", None, "signal KILL");
}

#[test]
fn data_after_the_exit_status_counts() {
    check([Step::Exit(0), ok()], "passed", None, "");
}

#[test]
fn what_stands_on_stderr_only_is_not_the_output() {
    let run = check([Step::Err(b"ok\n".to_vec()), Step::Exit(0)], "failed", None, "does not contain \"ok\"");
    assert_eq!(run.rows()[0]["output"]["stderr"]["text"], "ok\n");
}

#[test]
fn a_gibibyte_of_output_is_cut_off_in_bounded_memory() {
    let gibibyte = Step::Repeat(vec![b'x'; 1024 * 1024], 1024, Duration::ZERO);
    let run = check([gibibyte, ok(), Step::Exit(0)], "errored", Some("answer"), "more than 9 MiB");
    let text = run.rows()[0]["output"]["stdout"]["text"].as_str().unwrap();
    assert!(text.len() < 70_000, "{}", text.len());
    assert!(text.contains("bytes cut"));
}

#[test]
fn endless_lines_are_ended_by_the_timeout() {
    let lines = b"another line of an endless log\n".repeat(100);
    let endless = Step::Repeat(lines, usize::MAX, Duration::from_millis(10));
    check([endless], "errored", Some("timeout"), "(timeout 3s)");
}

#[test]
fn output_that_is_not_utf_8_is_replaced_and_judged() {
    let run = check([Step::Out(b"\xff\xfe ok \xc3\x28\n".to_vec()), Step::Exit(0)], "passed", None, "");
    assert_eq!(run.rows()[0]["output"]["stdout"]["text"], "\u{fffd}\u{fffd} ok \u{fffd}(\n");
}

#[test]
fn a_refused_command_is_told_at_once_and_is_not_a_timeout() {
    check([Step::Refuse, Step::Hang], "errored", Some("channel"), "refuses to run commands");
}

#[test]
fn a_connection_that_is_lost_in_the_middle_of_a_command_is_errored() {
    check([ok(), Step::Cut, Step::Hang], "errored", Some("channel"), "connection was lost");
}

#[test]
fn after_a_reboot_in_the_middle_of_a_command_it_is_asked_again() {
    let after = vec![ok(), Step::Exit(0)];
    let vm = Script::default().answer("work", [Step::Become(after), Step::Cut, Step::Hang]).start();
    let run = Scene::with(&vm).assert(json!({"command": "work", "contains": "ok"})).check(&["--wait", "60s"]);
    run.expect(0, &["passed"]);
    assert_eq!(run.rows()[0]["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(vm.logins().len(), 2);
}

#[test]
fn a_vm_that_freezes_is_one_cause_and_does_not_hold_up_the_end() {
    let run = check([ok(), Step::Freeze], "blocked", Some("timeout"), "it stopped answering");
    assert!(run.took < Duration::from_secs(40), "{:?}", run.took);
}

#[test]
fn unanswered_keepalives_are_a_dead_connection() {
    let vm = Script::default().answer("work", [Step::Freeze]).start();
    let run = Scene::with(&vm).assert(json!({"command": "work", "timeout": "80s"})).check(&[]);
    is(&run, "errored", Some("channel"), "connection was lost");
    assert!(run.took < Duration::from_secs(70), "{:?}", run.took);
}

#[test]
fn sessions_that_are_always_refused_are_errored() {
    let vm = Script { max_sessions: 0, ..Script::default() }.start();
    let run = Scene::with(&vm).run("vm", "true").check(&[]);
    is(&run, "errored", Some("channel"), "refuses to open a session");
}

#[test]
fn sessions_that_are_refused_at_first_are_asked_for_again() {
    let vm = Script { refuse_first: 2, ..Script::default() }.prints("true", "").start();
    Scene::with(&vm).run("vm", "true").check(&[]).expect(0, &["passed"]);
}

#[test]
fn new_keys_in_the_middle_of_an_output_change_nothing() {
    let megabytes = Step::Repeat(vec![b'x'; 64 * 1024], 12, Duration::from_millis(1));
    let vm = Script { rekey_after: Some(100_000), ..Script::default() };
    let vm = vm.answer("work", [megabytes, ok(), Step::Exit(0)]).start();
    let run = Scene::with(&vm).assert(json!({"command": "work", "contains": "ok"})).check(&[]);
    run.expect(0, &["passed"]);
}

/// `work` through sudo.
#[track_caller]
fn check_sudo(sudo: Sudo, verdict: &str, stage: Option<&str>, says: &str) -> Run {
    let vm = Script { sudo, ..Script::default() }.answer("work", [ok(), Step::Exit(0)]).start();
    let assertion = json!({"command": "work", "contains": "ok", "become": true, "timeout": timeout(stage)});
    let run = Scene::with(&vm).assert(assertion).check(&[]);
    is(&run, verdict, stage, says);
    run
}

#[test]
fn sudo_takes_the_password_from_the_inventory_and_leaves_no_trace_in_the_output() {
    let run = check_sudo(Sudo::Password(PASSWORD.to_owned()), "passed", None, "");
    assert_eq!(run.rows()[0]["output"]["stderr"]["text"], "");
}

#[test]
fn sudo_that_refuses_is_errored_and_not_failed() {
    check_sudo(Sudo::Password("another".to_owned()), "errored", Some("sudo"), "1 incorrect password attempt");
    let refuses = Sudo::Refuses("ops is not in the sudoers file.\n".to_owned());
    check_sudo(refuses, "errored", Some("sudo"), "ops is not in the sudoers file.");
    check_sudo(Sudo::Missing, "errored", Some("missing-tool"), "`sudo` is not installed");
}

#[test]
fn sudo_that_waits_is_a_slow_vm_and_the_hint_says_why() {
    let waits = Sudo::Hangs("sudo: unable to resolve host vm: Name or service not known\n".to_owned());
    let run = check_sudo(waits, "errored", Some("timeout"), "sudo did not let the command through in time");
    assert!(run.rows()[0]["cause"]["hint"].as_str().unwrap().contains("/etc/hosts"));
}

/// `http://localhost:PORT/ping` through the VM.
#[track_caller]
fn check_http(answer: &[u8], more: &str, verdict: &str, stage: Option<&str>, says: &str) {
    let (vm, port) = (Script::default().start(), serve_http(answer));
    let mut assertion = json!({"type": "http_responds", "url": format!("http://localhost:{port}/ping") });
    let more: serde_json::Value = serde_json::from_str(more).unwrap();
    assertion.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    is(&Scene::with(&vm).assert(assertion).check(&[]), verdict, stage, says);
}

#[test]
fn a_url_is_asked_through_the_vm() {
    let pong = http("200 OK", r#"{"res":"pong"}"#);
    check_http(pong.as_bytes(), r#"{"jq": ".res == \"pong\""}"#, "passed", None, "");
    check_http(pong.as_bytes(), r#"{"jq": ".res == \"ping\""}"#, "failed", None, "answered false");
    check_http(pong.as_bytes(), r#"{"status": 204}"#, "failed", None, "answered 200, expected 204");
    check_http(http("500 No", "").as_bytes(), "{}", "failed", None, "answered 500, expected 200");
    check_http(http("302 Found", "").as_bytes(), "{}", "failed", None, "answered 302");
    check_http(pong.as_bytes(), r#"{"from": "runner"}"#, "passed", None, "");
}

#[test]
fn http_that_is_broken_is_failed_in_bounded_time_and_memory() {
    check_http(b"SSH-2.0-x\r\n", "{}", "failed", None, "no HTTP answer");
    check_http(b"", "{}", "failed", None, "no HTTP answer");
    check_http(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "{}", "failed", None, "no HTTP answer");
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(4 * 1024 * 1024, b'x');
    check_http(&endless, r#"{"contains": "ok"}"#, "errored", Some("answer"), "more than");
    check_http(
        &[b"HTTP/1.1 200 OK\r\n".to_vec(), vec![b'h'; 1 << 20]].concat(),
        "{}",
        "failed",
        None,
        "no HTTP answer",
    );
}

#[test]
fn a_url_that_nobody_serves_is_failed_and_one_that_sshd_forbids_is_errored() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (forwarding, verdict, stage, says) in [
        (Forwarding::Allowed, "failed", None, "the VM cannot connect to"),
        (Forwarding::Prohibited, "errored", Some("channel"), "sshd refuses to connect"),
    ] {
        let vm = Script { forwarding, ..Script::default() }.start();
        let url = format!("http://localhost:{closed}/");
        let run = Scene::with(&vm).assert(json!({"type": "http_responds", "url": url})).check(&[]);
        is(&run, verdict, stage, says);
    }
}

#[test]
fn jq_programs_that_never_end_hold_up_nothing_else() {
    let vm = Script::default().prints("echo {}", "{}").prints("yes", "").start();
    let mut scene = Scene::with(&vm);
    // More of them than the runtime has threads.
    for n in 0..4 {
        let endless =
            json!({"command": "echo {}", "name": format!("endless-{n}"), "jq": "until(false; .)", "timeout": "1s"});
        scene = scene.assert(endless);
    }
    let run = scene.run("vm", "yes").check(&[]);
    run.expect(3, &["errored", "errored", "errored", "errored", "passed"]);
    for row in &run.rows()[..4] {
        assert_eq!(row["cause"]["stage"], "timeout");
    }
}
