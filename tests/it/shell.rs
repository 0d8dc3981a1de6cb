//! A login shell that does not do what it should: every way, beside every kind of question.
//!
//! A shell that runs no commands is one cause, and one that prints by itself is a warning: neither
//! makes a healthy VM red, nor a broken one green.

use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use bootproof::assertion::facts::{READ_CLOCK, READ_IDENTITY};
use serde_json::json;

use crate::fake_vm::{FakeVm, LoginShell, Script, Step};
use crate::scene::{Run, Scene};

/// A VM that answers everything that the scene asks.
fn healthy(shell: LoginShell, number: u8, ports: &[u16]) -> FakeVm {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let identity = format!(
        "machine-id {number}\nmac 52:54:00:00:00:{number:02}\nLocal:\n  |-- 127.0.0.1{number}\n  \
         /32 host LOCAL\n@end\n"
    );
    let paths = ports.iter().map(|port| (*port, *port)).collect();
    Script { host_key: number, shell, listening: ports.to_vec(), paths, ..Script::default() }
        .prints("work", "ok\n")
        .prints("quiet", "")
        .prints(READ_IDENTITY, identity)
        .prints(READ_CLOCK, format!("{now}.5\n"))
        .start()
}

/// A VM with this login shell beside a healthy one, and every kind of question to it: commands,
/// sudo, wires in both directions, sockets, identity and clock.
fn run(shell: LoginShell) -> Run {
    let open = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = open.local_addr().expect("an address").port();
    let vm = healthy(shell, 1, &[port]);
    let other = healthy(LoginShell::Runs, 2, &[port]);
    let mut scene = Scene::with(&vm)
        .assert(json!({"command": "work", "equals": "ok"}))
        .assert(json!({"command": "quiet", "equals": "", "name": "quiet"}))
        .assert(json!({"command": "work", "equals": "ok", "become": true, "name": "sudo"}))
        .assert(json!({"command": "quiet", "exit_code": 0, "become": true, "name": "sudo-quiet"}))
        .assert(json!({"type": "port_listening", "port": port}))
        .vm("other", &other)
        .assert(json!({"on_vm": "other", "command": "work", "equals": "ok"}));
    for (name, address) in [("vm", "127.0.0.11"), ("other", "127.0.0.12")] {
        scene.inventory["vms"][name]["address"] = json!(address);
    }
    scene.inventory["connections"] = json!([
        {"from": "vm", "to": "other", "port": port},
        {"from": "other", "to": "vm", "port": port}
    ]);
    scene.inventory["peers"] = json!({"clocks_within": "20s"});
    scene.check(&["--no-evidence"])
}

/// Verdicts of what `vm` itself must answer, by id.
fn on_vm(run: &Run) -> Vec<(&str, &str)> {
    let rows = run.rows().iter().filter(|row| row["vm"] == "vm");
    rows.map(|row| (row["id"].as_str().unwrap(), row["verdict"].as_str().unwrap())).collect()
}

/// All of it is blocked by one cause, and the other VM is what it was.
#[track_caller]
fn one_cause(shell: LoginShell, says: &str, hint: &str) {
    let run = run(shell);
    let rows = on_vm(&run);
    assert_eq!(rows.len(), 8, "{}", run.transcript());
    assert!(rows.iter().all(|(_, verdict)| *verdict == "blocked"), "{rows:?}");
    let cause = &run.vm("vm")["cause"];
    assert_eq!(cause["stage"], "shell", "{}", run.transcript());
    let message = cause["message"].as_str().unwrap();
    assert!(message.contains(says), "{message}");
    assert!(cause["hint"].as_str().unwrap().contains(hint), "{}", cause["hint"]);
    assert_eq!(run.stdout.matches("\ncause ").count(), 1, "{}", run.stdout);
    let other = run.rows().iter().find(|row| row["id"] == "t::other::ok").unwrap();
    assert_eq!((run.code, &other["verdict"]), (Some(3), &json!("passed")));
    assert_eq!(run.vm("vm")["connects"], 1);
}

/// Everything passes, and the report says once what the shell prints.
#[track_caller]
fn only_a_warning(shell: LoginShell, says: &[&str]) {
    let run = run(shell);
    let rows = on_vm(&run);
    assert_eq!(rows.len(), 8, "{}", run.transcript());
    assert!(rows.iter().all(|(_, verdict)| *verdict == "passed"), "{}", run.transcript());
    let warnings = run.vm("vm")["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), says.len(), "{warnings:?}");
    for (warning, says) in warnings.iter().zip(says) {
        let warning = warning.as_str().unwrap();
        assert!(warning.contains(says), "{warning}");
        assert_eq!(run.stdout.matches(warning).count(), 1, "{}", run.stdout);
        assert!(run.junit.contains(says.split('"').next().unwrap()), "{}", run.junit);
    }
    assert_eq!(run.vm("other")["warnings"], json!([]));
}

fn says(out: &str, err: &str, status: u32) -> LoginShell {
    LoginShell::RunsNothing(vec![Step::Out(out.into()), Step::Err(err.into()), Step::Exit(status)])
}

#[test]
fn an_expired_password_is_one_cause() {
    let said = "Password change required but no TTY available.";
    let shell = says(
        "",
        "WARNING: Your password has expired.\nPassword change required but no TTY available.\n",
        1,
    );
    one_cause(
        shell,
        &format!("did not run the command: it ended with exit status 1, and said {said:?}"),
        "password expired",
    );
}

#[test]
fn a_login_shell_that_is_none_is_one_cause() {
    one_cause(
        says("This account is currently not available.\n", "", 1),
        "currently not available",
        "login shell",
    );
    one_cause(
        says("", "  File \"<string>\", line 1\nSyntaxError: invalid syntax\n", 1),
        "SyntaxError",
        "a real one",
    );
}

#[test]
fn a_shell_that_ends_at_once_is_one_cause() {
    one_cause(says("", "", 0), "it ended with exit status 0", ".bashrc");
}

#[test]
fn a_shell_that_finds_no_programs_is_one_cause() {
    let said = "bash: line 1: grep: command not found";
    let script = Script::default();
    let vm = Script { answers: script.answers, ..Script::default() }
        .answer(
            bootproof::health::shell::READ_SHELL,
            [Step::Err(format!("{said}\n").into()), Step::Exit(42)],
        )
        .start();
    let scene = Scene::with(&vm).run("vm", "work").run("vm", "more");
    let run = scene.check(&[]);
    run.expect(3, &["blocked", "blocked"]);
    let message = run.vm("vm")["cause"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("cannot start programs: it says {said:?}")), "{message}");
}

#[test]
fn a_shell_that_hangs_is_one_cause_after_one_time_out() {
    let hangs = LoginShell::RunsNothing(vec![Step::Out(b"please wait\n".to_vec()), Step::Hang]);
    one_cause(hangs, "did not start the command in time, and said \"please wait\" (1m)", ".bashrc");
}

#[test]
fn a_shell_that_loses_the_exit_status_is_one_cause() {
    one_cause(
        LoginShell::Returns(0),
        "a command that ended with 42 came back with exit status 0",
        "ForceCommand",
    );
}

#[test]
fn what_a_shell_prints_before_a_command_is_not_the_commands() {
    let shell = LoginShell::PrintsBefore("Welcome to redis\n", "hint: read the news\n");
    only_a_warning(
        shell,
        &[
            "Welcome to redis\" on standard output before each command",
            "read the news\" on standard error before",
        ],
    );
}

#[test]
fn what_a_shell_prints_after_a_command_is_not_the_commands() {
    let shell = LoginShell::PrintsAfter("bye\n", "");
    only_a_warning(shell, &["bye\" on standard output after each command"]);
}

#[test]
fn a_command_that_the_shell_did_not_run_never_passes() {
    // The first commands are those of bootproof itself: a shell that breaks later.
    for (steps, stage) in [
        (vec![Step::Exit(1)], "shell"),
        (vec![Step::Err(b"fork: Cannot allocate memory\n".to_vec()), Step::Exit(1)], "shell"),
        (vec![Step::Exit(0)], "shell"),
    ] {
        let vm = Script { shell: LoginShell::Breaks(1, steps), ..Script::default() }
            .answer("deny", [Step::Exit(1)])
            .prints("quiet", "")
            .start();
        let scene = Scene::with(&vm)
            .assert(json!({"command": "deny", "exit_code": 1}))
            .assert(json!({"command": "quiet", "equals": ""}));
        let run = scene.check(&["--no-evidence"]);
        run.expect(3, &["errored", "errored"]);
        for row in run.rows() {
            assert_eq!(row["cause"]["stage"], stage, "{}", row["message"]);
        }
    }
}

#[test]
fn a_jump_host_needs_no_shell() {
    let vm = Script::default().prints("work", "ok").start();
    let nologin = says("This account is currently not available.\n", "", 1);
    let jump = Script { shell: nologin, ..Script::default() }.start();
    let scene = Scene::with(&vm).vm("jump", &jump).ssh("vm", "via", "jump").run("vm", "work");
    let run = scene.check(&["--limit", "vm"]);
    run.expect(0, &["passed"]);
}

#[test]
fn a_shell_that_comes_to_itself_is_waited_for() {
    let vm = Script::default()
        .answer(
            bootproof::health::shell::READ_SHELL,
            [
                Step::Become(vec![Step::Out(b"1\n".to_vec()), Step::Exit(42)]),
                Step::Err(b"bash: fork: Resource temporarily unavailable\n".to_vec()),
                Step::Exit(42),
            ],
        )
        .prints("work", "ok")
        .start();
    let run = Scene::with(&vm).run("vm", "work").check(&["--wait", "60s"]);
    run.expect(0, &["passed"]);
}
