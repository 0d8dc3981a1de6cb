//! The everyday types, on a real sshd of this machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};

use crate::real_sshd::Sshd;

/// What to check, and the words of the verdict.
type Case = (Value, &'static str);

fn cases(at: &str) -> Vec<Case> {
    let path = |name: &str| format!("{at}/{name}");
    let file = |name: &str, keys: Value| {
        let mut all = json!({"type": "file_exists", "path": path(name)});
        all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        all
    };
    let text = |name: &str, keys: Value| {
        let mut all = file(name, keys);
        all["type"] = "file_contains".into();
        all
    };
    vec![
        (file("private", json!({"kind": "file", "mode": "0640", "size": 4})), "passed"),
        (file("private", json!({"mode": "0600"})), "failed: mode is 0640, expected 0600"),
        (file("link", json!({"kind": "symlink"})), "passed"),
        (file("link", json!({"kind": "file", "size_at_most": 4})), "passed"),
        (file("dangling", json!({})), "failed: "),
        (file("absent", json!({})), "failed: "),
        (text("config", json!({"matches": "^Port 22$"})), "passed"),
        (text("config", json!({"contains": "Port 23"})), "failed: "),
        (text("config", json!({"contains": "Port 23", "absent": true})), "passed"),
        (text("config", json!({"contains": "Port 22", "absent": true})), "failed: "),
        (text("absent", json!({"contains": "x", "absent": true})), "failed: "),
        (json!({"type": "package_installed", "package": "openssh-server"}), "passed"),
        (
            json!({"type": "package_installed", "package": "openssh-server", "version": "0.1"}),
            "failed: ",
        ),
        (json!({"type": "package_installed", "package": "bootproof-none"}), "failed: "),
        (json!({"type": "package_not_installed", "package": "bootproof-none"}), "passed"),
        (json!({"type": "package_not_installed", "package": "openssh-server"}), "failed: "),
        (json!({"type": "user_exists", "user": "root", "uid": 0, "groups": ["root"]}), "passed"),
        (
            json!({"type": "user_exists", "user": "root", "shell": "/bin/none"}),
            "failed: shell is /bin/",
        ),
        (json!({"type": "user_exists", "user": "bootproof-none"}), "failed: "),
        (json!({"type": "group_exists", "group": "root", "gid": 0}), "passed"),
        (json!({"type": "group_exists", "group": "bootproof-none"}), "failed: "),
        (json!({"type": "process_running", "process": "sshd"}), "passed"),
        (json!({"type": "process_running", "process": "bootproof-none", "count": 0}), "passed"),
        (json!({"type": "process_running", "process": "bootproof-none"}), "failed: no process"),
        (json!({"type": "command_output", "command": "echo 83%", "at_most": 90}), "passed"),
        (
            json!({"type": "command_output", "command": "echo 93%", "at_most": 90}),
            "failed: output is 93",
        ),
        (
            json!({"type": "command_output", "command": "echo NaN", "at_least": 0}),
            "failed: output is not a number",
        ),
    ]
}

#[test]
fn each_everyday_type_passes_and_fails_where_it_should() {
    let sshd = Sshd::start();
    let at = sshd.folder.path();
    fs::write(at.join("private"), "four").unwrap();
    fs::set_permissions(at.join("private"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink(at.join("private"), at.join("link")).unwrap();
    symlink(at.join("nothing"), at.join("dangling")).unwrap();
    fs::write(at.join("config"), "# c\nPort 22\n").unwrap();

    let cases = cases(&at.display().to_string());
    let mut scene = sshd.scene();
    for (number, (assertion, _)) in cases.iter().enumerate() {
        let mut assertion = assertion.clone();
        assertion["name"] = format!("case-{number}").into();
        scene = scene.assert(assertion);
    }
    let run = scene.check(&["--no-evidence"]);
    let rows = run.report["results"].as_array().expect("results");
    assert_eq!(rows.len(), cases.len(), "{}", run.transcript());
    for (row, (assertion, expected)) in rows.iter().zip(&cases) {
        let (verdict, words) = expected.split_once(": ").unwrap_or((expected, ""));
        let message = row["message"].as_str().unwrap_or_default();
        assert_eq!(row["verdict"], verdict, "{assertion}: {message}");
        assert!(message.contains(words), "{assertion}: {message}");
    }
}

#[test]
fn a_machine_without_systemd_could_not_tell_about_services() {
    if fs::exists("/run/systemd/system").unwrap() {
        // Where systemd is in charge, the faults of the lab look at services.
        return;
    }
    let sshd = Sshd::start();
    let run = sshd
        .scene()
        .assert(json!({"type": "service_running", "service": "ssh"}))
        .assert(json!({"type": "service_enabled", "service": "ssh"}))
        .check(&["--no-evidence"]);
    assert_eq!(run.code, Some(3), "{}", run.transcript());
    for row in run.report["results"].as_array().expect("results") {
        assert_eq!(row["verdict"], "errored", "{row}");
    }
}
