//! `bootproof prove`: checks that pass whatever the VM is like are listed, and sound ones are not.

use std::process::Command;
use std::sync::Arc;

use bootproof::analysis::counter_example::counter_examples;
use bootproof::assertion::Expectation;
use bootproof::spec::suite::Suite;
use serde_json::{Value, json};

use crate::fake_vm::{FakeVm, PASSWORD, Script, Step, http, serve_http};
use crate::scene::{Run, Scene};

/// A VM whose shell is the one of this machine, for these checks and their counter-examples.
fn real_shell(mut script: Script, checks: &[Value]) -> FakeVm {
    let complete = |check: &Value| {
        let mut check = check.clone();
        check["on_vm"] = "vm".into();
        if check["type"].is_null() {
            check["type"] = "command_output".into();
        }
        check
    };
    let assertions: Vec<Value> = checks.iter().map(complete).collect();
    let file = json!({"scenarios": [{"name": "s", "custom_tests": [{"name": "t", "assertions": assertions}]}]});
    for assertion in Suite::parse("suite.json", &file.to_string()).unwrap().assertions {
        let content = assertion.sample.expect("an assertion without templates");
        let examples = counter_examples(&content.expectation).unwrap_or_default();
        let examples = examples
            .into_iter()
            .map(|example| Arc::new(example.expectation))
            .chain(content.counter_example);
        for expectation in examples.chain([content.expectation]) {
            if let Expectation::CommandOutput(check) = &*expectation {
                let ended = Command::new("sh").args(["-c", &check.command]).output().unwrap();
                let code = u32::try_from(ended.status.code().unwrap()).unwrap();
                let steps = [Step::Out(ended.stdout), Step::Err(ended.stderr), Step::Exit(code)];
                script = script.answer(&check.command, steps);
            }
        }
    }
    script.start()
}

fn scene(vm: &FakeVm, checks: &[Value]) -> Scene {
    let scene = checks.iter().cloned().fold(Scene::with(vm), Scene::assert);
    scene.write_files();
    scene
}

fn prove(scene: &Scene, flags: &[&str]) -> Run {
    scene.bootproof(&[&["prove", "-i", "inventory.json", "-s", "suite.json"], flags].concat())
}

/// What `prove` says of each check, and its exit code.
fn verdicts(checks: &[Value]) -> (Option<i32>, Vec<String>) {
    let script = Script { listening: vec![22, 6379], ..Script::default() };
    let vm = real_shell(script, checks);
    let run = prove(&scene(&vm, checks), &["--format", "json"]);
    let report: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.transcript()));
    let word = |row: &Value| row["verdict"].as_str().unwrap().to_owned();
    (run.code, report["results"].as_array().unwrap().iter().map(word).collect())
}

#[test]
fn an_honest_assertion_can_fail() {
    let port = serve_http(http("200 OK", "pong"));
    let (code, printed) = verdicts(&[
        json!({"command": "grep -q '^root:' /etc/passwd && echo root-ok", "contains": "root-ok"}),
        json!({"command": "id -un | sort", "name": "user", "matches": "."}),
        json!({"command": "test -e /no/such/file", "exit_code": 1}),
        json!({"command": "! test -e /no/such/file && echo absent", "contains": "absent"}),
        json!({"command": "test -f /no/such/file || test -f /etc/passwd", "name": "either"}),
        json!({"command": "cat /etc/passwd", "name": "as-root", "become": true, "contains": "root"}),
        json!({"type": "port_listening", "port": 6379}),
        json!({"type": "http_responds", "url": format!("http://localhost:{port}/"), "equals": "pong"}),
    ]);
    assert_eq!((code, printed), (Some(0), vec!["can-fail".to_owned(); 8]));
}

#[test]
fn an_assertion_that_passes_anyway_is_listed() {
    // This server gives everyone the same answer, so a path proves nothing.
    let port = serve_http(http("200 OK", "pong"));
    let (code, printed) = verdicts(&[
        json!({"command": "cat /etc/passwd || true"}),
        json!({"command": "grep -q nobody-like-this /etc/passwd || echo none", "contains": "none"}),
        json!({"command": "test -d /etc; echo dir-ok", "contains": "dir-ok"}),
        json!({"command": "cat /etc/passwd 2>/dev/null | sort > /dev/null", "name": "pipe"}),
        json!({"command": "test -d /etc && { test -d /usr; true; }", "name": "second"}),
        json!({"type": "http_responds", "url": format!("http://localhost:{port}/ping"), "equals": "pong"}),
        json!({"command": "test -d /etc", "name": "sound"}),
    ]);
    assert_eq!(code, Some(1));
    assert_eq!(printed[..6], ["passes-anyway"; 6]);
    assert_eq!(printed[6], "can-fail");
}

#[test]
fn an_assertion_that_writes_or_is_red_is_not_proven() {
    let (code, printed) = verdicts(&[
        json!({"command": "cat /etc/passwd > /no/such/folder/x", "name": "writes"}),
        json!({"command": "test -d /etc; my-own-tool --fix", "name": "unknown"}),
        json!({"command": "test -d /no/such/folder", "name": "red"}),
        json!({"command": "test -d /etc", "name": "sound"}),
    ]);
    assert_eq!(code, Some(3));
    assert_eq!(printed, ["not-proven", "not-proven", "not-proven", "can-fail"]);
}

#[test]
fn a_refusal_for_the_wrong_reason_passes_anyway() {
    let (code, printed) = verdicts(&[
        json!({"command": "cat /no/such/file", "exit_code": 1, "name": "any-error"}),
        json!({"command": "cat /no/such/file 2>&1", "exit_code": 1, "name": "its-words",
               "contains": "/no/such/file: No such file"}),
        json!({"command": "grep -q no-such-user /etc/passwd", "exit_code": 1, "name": "exact"}),
    ]);
    assert_eq!(printed[0], "passes-anyway");
    assert_ne!(printed[1], "passes-anyway");
    assert_eq!((code, &*printed[2]), (Some(1), "can-fail"));
}

#[test]
fn a_suite_can_bring_its_own_counter_example() {
    let (code, printed) = verdicts(&[
        json!({"command": "cd /etc && my-own-tool || echo ok", "name": "own", "contains": "ok",
               "counter_example": {"command": "cd /no/such/folder && my-own-tool"}}),
        json!({"command": "true; echo yes", "contains": "yes", "counter_example": {"command": "false; echo yes"}}),
    ]);
    assert_eq!((code, printed), (Some(1), vec!["can-fail".to_owned(), "passes-anyway".to_owned()]));
}

#[test]
fn the_screen_shows_counter_examples_and_masks_secrets() {
    let checks = [
        json!({"command": "cat /etc/passwd || true", "name": "vacuous"}),
        json!({"command": format!("test {PASSWORD} = {PASSWORD}"), "name": "secret"}),
        json!({"command": "cat /etc/passwd > /no/such/folder/x", "name": "writes"}),
        json!({"type": "port_listening", "port": 22}),
    ];
    let vm = real_shell(Script::default(), &checks);
    let scene = scene(&vm, &checks);
    let dry = prove(&scene, &["--dry-run"]);
    assert_eq!((dry.code, vm.connections()), (Some(0), 0), "{}", dry.transcript());
    let run = prove(&scene, &[]);
    assert_eq!((run.code, vm.connections()), (Some(1), 1), "{}", run.transcript());
    assert_eq!(prove(&scene, &["--filter", "nothing-like-this"]).code, Some(4));
    insta::assert_snapshot!("prove", run.stdout);
}
