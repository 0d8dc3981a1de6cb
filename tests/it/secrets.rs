//! Every secret is a canary: a unique text that must appear in no output.

use std::fs;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use roxmltree::Document;
use russh::keys::ssh_key::PublicKey;
use serde_json::{Value, json};

use crate::fake_vm::{FakeVm, Login, Script, Step, Sudo, Wire, http, serve_http};
use crate::scene::{Run, Scene};

/// With characters that JSON, XML and Rust write in other ways.
const LOGIN: &str = "l0gin-canary-\"<&>\\-'end";
const SUDO: &str = "sud0-canary-0001";
const PASSPHRASE: &str = "passphrase-canary-0002";

/// A secret as programs write it: in base64 alone and among others, in URLs, in JSON.
fn written(secret: &str) -> [String; 8] {
    let escaped = |is_plain: fn(u8) -> bool, escape: fn(u8) -> String| -> String {
        secret
            .bytes()
            .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { escape(byte) })
            .collect()
    };
    [
        STANDARD.encode(format!("ops:{secret}")),
        STANDARD.encode(format!("root:{secret}\n")),
        URL_SAFE_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(format!("xx{secret}yy")),
        escaped(|byte| byte.is_ascii_alphanumeric(), |byte| format!("%{byte:02X}")),
        escaped(
            |byte| byte.is_ascii_alphanumeric() || b"-_.~!'".contains(&byte),
            |byte| format!("%{byte:02x}"),
        ),
        escaped(|byte| !b"\"\\".contains(&byte), |byte| format!("\\{}", char::from(byte))),
        escaped(|byte| byte.is_ascii_alphanumeric(), |byte| format!("\\u{byte:04x}")),
    ]
}

/// A VM that knows the secrets and prints them wherever it can.
fn talkative(login: Login) -> FakeVm {
    let song = format!("{LOGIN} {SUDO} {PASSPHRASE}");
    let chorus = [LOGIN, SUDO, PASSPHRASE].map(|secret| written(secret).join(" ")).join("\n");
    let coloured: String = [LOGIN, SUDO, PASSPHRASE]
        .map(|word| format!("{}\u{1b}[01;31m{}\n", &word[..4], &word[4..]))
        .concat();
    let sings = |code| {
        let all = format!("{song}\n{chorus}\n");
        vec![Step::Out(all.clone().into()), Step::Err(all.into()), Step::Exit(code)]
    };
    let identity = format!("machine-id {song}\nboot-id {song}\nkernel {song}\nos-release {song}\n");
    Script {
        login,
        sudo: Sudo::Password(SUDO.to_owned()),
        auth_banner: Some(song.clone()),
        ..Script::default()
    }
    .answer("passes", sings(0))
    .answer("fails", sings(1))
    .answer(
        "coloured",
        [Step::Out(coloured.clone().into()), Step::Err(coloured.into()), Step::Exit(1)],
    )
    .answer(
        "killed",
        [Step::Err(song.clone().into()), Step::Killed(russh::Sig::Custom(song.replace(' ', "-")))],
    )
    .answer("hangs", [Step::Out(song.clone().into()), Step::Hang])
    .answer(
        "long",
        [Step::Repeat(song.clone().into(), 40_000, std::time::Duration::ZERO), Step::Exit(1)],
    )
    .answer(
        "unknown",
        [Step::Err(format!("bash: line 1: {SUDO}: command not found\n").into()), Step::Exit(127)],
    )
    .prints(bootproof::health::READ_HEALTH, identity)
    .start()
}

/// Every way in which the output of a VM gets into a report.
fn scene(vm: &FakeVm) -> Scene {
    let page = json!({"a": format!("{SUDO} {PASSPHRASE}"), "b": LOGIN}).to_string();
    let url = format!("http://localhost:{}", serve_http(http("200 OK", &page)));
    let another = format!("another {LOGIN}");
    let scene = Scene::with(vm)
        .ssh("vm", "password", LOGIN)
        .ssh("vm", "sudo_password", SUDO)
        .run("vm", "passes")
        .run("vm", "fails")
        .run("vm", "coloured")
        .run("vm", "killed")
        .run("vm", "long")
        .run("vm", "unknown");
    scene
        .assert(json!({"command": "hangs", "timeout": "1s"}))
        .assert(json!({"command": "passes", "name": "root", "become": true, "contains": "absent"}))
        .assert(json!({"command": "passes", "name": "equals", "equals": another}))
        .assert(json!({"command": "passes", "name": "matches", "matches": "^absent$"}))
        .assert(json!({"command": "passes", "name": "jq", "jq": ".a"}))
        .assert(json!({"type": "http_responds", "url": format!("{url}/"), "equals": "another"}))
        .assert(json!({"type": "http_responds", "url": format!("{url}/j"), "jq": ".a"}))
        .assert(json!({"type": "port_listening", "port": 1}))
}

/// All texts of a document, as a reader sees them.
fn texts(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::String(text) => all.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, all)),
        Value::Object(items) => items.values().for_each(|item| texts(item, all)),
        _ => {}
    }
}

fn everything(run: &Run) -> Vec<String> {
    let mut all =
        vec![run.stdout.clone(), run.stderr.clone(), run.junit.clone(), run.report.to_string()];
    texts(&run.report, &mut all);
    if let Ok(document) = Document::parse(&run.junit) {
        all.extend(document.descendants().filter_map(|node| node.text().map(ToOwned::to_owned)));
        all.extend(document.descendants().flat_map(|node| {
            node.attributes().map(|attribute| attribute.value().to_owned()).collect::<Vec<_>>()
        }));
    }
    all
}

/// No secret, no escaped form of it, and no half of it.
#[track_caller]
fn is_silent(run: &Run, canaries: &[&str]) {
    assert!(!run.stdout.is_empty(), "{}", run.transcript());
    for text in everything(run) {
        for canary in canaries {
            let half = canary.floor_char_boundary(canary.len() / 2);
            let written = written(canary);
            // The first letters of base64 can also begin a name; in JSON, the part without escapes
            // is the secret itself.
            let coded = written.iter().map(|text| &text[text.len() / 2..]);
            for part in [canary, &canary[..half], &canary[half..]].into_iter().chain(coded) {
                if let Some(at) = text.find(part) {
                    let from = text.floor_char_boundary(at.saturating_sub(200));
                    panic!("{part} sings in: {}", &text[from..text.ceil_char_boundary(at + 60)]);
                }
            }
        }
    }
}

#[test]
fn no_secret_appears_in_reports_or_on_the_screen() {
    let vm = talkative(Login::password(LOGIN));
    let scene = scene(&vm);
    for flags in [&[][..], &["--format", "json"], &["--color", "always"], &["--wait", "1s"]] {
        let run = scene.check(flags);
        assert_eq!(run.code, Some(1), "{}", run.transcript());
        assert!(
            run.report.to_string().contains("***") && run.junit.contains("***"),
            "the VM did say it"
        );
        is_silent(&run, &[LOGIN, SUDO]);
    }
}

#[test]
fn no_secret_appears_in_the_output_of_the_harness() {
    let vm = talkative(Login::password(LOGIN));
    let scene = scene(&vm).env("BOOTPROOF_REPORTS", ".");
    let run = scene.lab(&[]);
    assert_eq!(run.code, Some(101));
    assert!(run.stdout.contains("***"));
    is_silent(&run, &[LOGIN, SUDO]);
}

#[test]
fn no_secret_appears_in_the_output_of_plan_and_lint() {
    let vm = talkative(Login::password(LOGIN));
    let scene = scene(&vm);
    scene.write_files();
    for arguments in [
        &[
            "plan",
            "-i",
            "inventory.json",
            "-s",
            "suite.json",
            "--limit",
            "vm",
            "--filter",
            "::root",
        ][..],
        &["lint", "inventory.json", "suite.json"],
    ] {
        let run = scene.bootproof(arguments);
        assert_eq!(run.code, Some(0), "{}", run.transcript());
        is_silent(&run, &[LOGIN, SUDO]);
    }
}

#[test]
fn plan_masks_secrets_in_commands_and_needs_none() {
    let vm = talkative(Login::password(LOGIN));
    let [basic, .., json] = written(LOGIN);
    let curl = format!("curl -H 'Authorization: Basic {basic}'");
    let (echo, matches) = (format!("echo '{json}'"), format!("x{LOGIN}"));
    let scene = Scene::with(&vm)
        .ssh("vm", "password", LOGIN)
        .ssh("vm", "sudo_password", json!({"file": "sudo"}))
        .ssh("vm", "key_passphrase", json!({"env": "BOOTPROOF_TEST_ABSENT"}))
        .assert(json!({"command": curl, "name": "a", "contains": SUDO}))
        .assert(json!({"command": echo, "name": "b", "matches": matches}))
        .assert(json!({"type": "http_responds", "url": format!("http://h/?token={SUDO}")}));
    scene.write("sudo", SUDO);
    scene.write_files();
    let run = scene.bootproof(&["plan", "-i", "inventory.json", "-s", "suite.json"]);
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    assert!(
        run.stdout.contains("Basic *** ") || run.stdout.contains("***"),
        "{}",
        run.transcript()
    );
    let printed: String = run.stdout.lines().filter(|line| line.starts_with("    ")).collect();
    for secret in [LOGIN, SUDO, &basic[8..], &json] {
        assert!(!printed.contains(secret), "{}", run.transcript());
    }
}

#[test]
fn no_secret_appears_in_the_report_of_an_unfinished_run() {
    let vm = Script { login: Login::password(LOGIN), ..Script::default() }
        .answer("hangs", [Step::Hang])
        .start();
    let description = format!("not {LOGIN}");
    let scene = Scene::with(&vm).ssh("vm", "password", LOGIN).assert(json!({
        "command": "hangs", "description": description, "equals": LOGIN,
        "name": "a", "timeout": "60s"
    }));
    let started = scene.start_check(&[]);
    for _ in 0..6000 {
        if !vm.log.commands.lock().unwrap().is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    started.signal("KILL");
    let run = started.wait();
    assert_eq!(run.report["complete"], false, "{}", run.transcript());
    assert!(run.report.to_string().contains("***") && run.junit.contains("***"));
    for text in everything(&run) {
        assert!(!text.contains("l0gin-canary"), "{text}");
    }
}

#[test]
fn secrets_from_the_environment_and_from_files_are_masked_too() {
    let vm = talkative(Login::password(LOGIN));
    let scene = scene(&vm)
        .ssh("vm", "password", json!({"env": "BOOTPROOF_TEST_LOGIN"}))
        .ssh("vm", "sudo_password", json!({"file": "sudo.secret"}))
        .env("BOOTPROOF_TEST_LOGIN", LOGIN);
    scene.write("sudo.secret", format!("{SUDO}\n"));
    let run = scene.check(&[]);
    assert_eq!(run.code, Some(1), "{}", run.transcript());
    assert_eq!(vm.logins(), ["password"]);
    is_silent(&run, &[LOGIN, SUDO]);
}

#[test]
fn the_passphrase_of_a_key_is_masked_too() {
    let folder = Scene::new();
    let keygen = |scene: &Scene| {
        let status = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", PASSPHRASE, "-C", "", "-f"])
            .arg(scene.path("id"))
            .stdin(Stdio::null())
            .status();
        assert!(status.expect("ssh-keygen of openssh-client").success());
        PublicKey::from_openssh(&scene.read("id.pub")).unwrap()
    };
    let vm = talkative(Login::key(&keygen(&folder)));
    let scene = scene(&vm).ssh("vm", "key_passphrase", PASSPHRASE).ssh(
        "vm",
        "key",
        folder.path("id").display().to_string(),
    );
    let run = scene.check(&[]);
    assert_eq!(run.code, Some(1), "{}", run.transcript());
    assert_eq!(vm.logins(), ["publickey"]);
    is_silent(&run, &[LOGIN, SUDO, PASSPHRASE]);
}

#[test]
fn a_refused_password_is_masked() {
    let vm = talkative(Login::password("another"));
    let run = scene(&vm).check(&["--wait", "1s"]);
    assert_eq!(run.code, Some(3), "{}", run.transcript());
    is_silent(&run, &[LOGIN, SUDO]);
}

#[test]
fn a_greeting_that_contains_the_password_is_masked_while_waiting() {
    let wire = Wire::Says(format!("{LOGIN} {SUDO}\r\n").into_bytes());
    let vm = Script { wire, ..Script::default() }.start();
    let scene = Scene::with(&vm).run("vm", "true").ssh("vm", "password", LOGIN).ssh(
        "vm",
        "sudo_password",
        SUDO,
    );
    let run = scene.check(&["--wait", "1s"]);
    assert!(run.stderr.contains("***"), "{}", run.transcript());
    is_silent(&run, &[LOGIN, SUDO]);
    let run = scene.env("BOOTPROOF_WAIT", "1s").env("BOOTPROOF_REPORTS", ".").lab(&[]);
    assert!(run.stderr.contains("***"), "{}", run.transcript());
    is_silent(&run, &[LOGIN, SUDO]);
}

#[test]
fn no_process_has_a_secret_in_its_arguments_or_environment() {
    let canary = "pr0cess-canary-0003";
    let script = Script {
        login: Login::password(canary),
        sudo: Sudo::Password(canary.to_owned()),
        ..Script::default()
    };
    let vm = script.answer("hangs", [Step::Hang]).start();
    let scene = Scene::with(&vm)
        .ssh("vm", "password", canary)
        .assert(json!({"command": "hangs", "become": true, "timeout": "60s"}));
    let started = scene.start_check(&[]);
    for _ in 0..6000 {
        if vm.log.commands.lock().unwrap().iter().any(|command| command.contains("hangs")) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut looked_at = 0;
    for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.path()) {
        for file in ["cmdline", "environ"] {
            // Processes come and go, and some belong to others.
            let Ok(bytes) = fs::read(process.join(file)) else { continue };
            looked_at += 1;
            assert!(
                !String::from_utf8_lossy(&bytes).contains(canary),
                "{}/{file}",
                process.display()
            );
        }
    }
    assert!(looked_at > 2);
    assert!(
        vm.log.commands.lock().unwrap().iter().all(|command| !command.contains(canary)),
        "nor on the VM"
    );
    started.signal("TERM");
    assert_eq!(started.wait().code, Some(143));
}
