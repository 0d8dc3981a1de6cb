//! Logins, host keys, jump hosts, and many assertions on one connection.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use russh::keys::ssh_key::PublicKey;
use serde_json::{Value, json};

use crate::fake_vm::{FakeVm, Forwarding, Login, PASSWORD, RUNTIME, Script, Step, Wire};
use crate::scene::{Run, Scene};

const PASSPHRASE: &str = "a passphrase";

fn script(login: Login) -> Script {
    Script { login, ..Script::default() }.prints("true", "")
}

fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn succeed(command: &mut Command) {
    let status =
        command.status().unwrap_or_else(|error| panic!("{command:?} of openssh-client: {error}"));
    assert!(status.success(), "{command:?}");
}

/// Makes the key `id` in the scene's folder.
fn keygen(scene: &Scene, flags: &[&str], passphrase: &str) -> PublicKey {
    let id = scene.path("id");
    succeed(
        program("ssh-keygen").args(["-q", "-N", passphrase, "-C", "", "-f"]).arg(&id).args(flags),
    );
    PublicKey::from_openssh(&scene.read("id.pub")).unwrap()
}

/// A scene without a password.
fn without_password() -> Scene {
    Scene::new().default("password", Value::Null)
}

fn stage(run: &Run) -> (&str, &str) {
    let cause = &run.rows()[0]["cause"];
    (cause["stage"].as_str().unwrap_or_default(), cause["message"].as_str().unwrap_or_default())
}

/// Asserts that the run could not log in.
#[track_caller]
fn blocked(run: &Run, at: &str, says: &str) {
    run.expect(3, &vec!["blocked"; run.rows().len()]);
    let (stage, message) = stage(run);
    assert_eq!(stage, at, "{message}");
    assert!(message.contains(says), "{message:?} does not say {says:?}");
}

#[test]
fn a_password_logs_in() {
    let vm = script(Login::password(PASSWORD)).start();
    Scene::with(&vm).run("vm", "true").check(&[]).expect(0, &["passed"]);
    assert_eq!(vm.logins(), ["password"]);
}

#[test]
fn a_wrong_password_or_user_is_refused_once() {
    let vm = script(Login::password(PASSWORD)).start();
    let scene = Scene::with(&vm).run("vm", "true");
    blocked(
        &scene.ssh("vm", "password", "wrong").check(&[]),
        "auth",
        "login as `ops` refused: tried password",
    );
    let scene = Scene::with(&vm).run("vm", "true");
    blocked(&scene.ssh("vm", "user", "nobody").check(&[]), "auth", "login as `nobody` refused");
    assert_eq!(vm.logins().len(), 2);
}

#[test]
fn a_disconnect_with_a_reason_is_a_refusal_and_not_retried() {
    let login = Login { refusals_at_most: Some(1), ..Login::password(PASSWORD) };
    let another = Scene::new();
    let key = keygen(&another, &["-t", "ed25519"], "");
    let vm = script(Login { keys: vec![key], ..login }).start();
    let scene = Scene::with(&vm).run("vm", "true").ssh("vm", "key", "id");
    keygen(&scene, &["-t", "ed25519"], "");
    let run = scene.check(&["--wait", "5m"]);
    blocked(
        &run,
        "auth",
        "login as `ops` refused: tried publickey (key file), password; the server said \"Too many",
    );
    assert!(run.rows()[0]["cause"]["hint"].as_str().unwrap().contains("MaxAuthTries"));
    assert_eq!(vm.connections(), 1);
}

#[test]
fn an_address_without_an_answer_is_given_up_after_ten_seconds() {
    let full = RUNTIME.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket.listen(0).unwrap()
    });
    let address = full.local_addr().unwrap();
    // A connection beyond the full queue gets no answer at all.
    let connect =
        || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
    let queue: Vec<_> = std::iter::from_fn(connect).collect();
    let run = Scene::new().vm_at("vm", address.port()).run("vm", "true").check(&[]);
    blocked(&run, "tcp", "no TCP connection: no answer within 10s");
    drop(queue);
}

#[test]
fn keyboard_interactive_prompts_get_the_password() {
    let login = Login { interactive: Some(PASSWORD.to_owned()), ..Login::default() };
    let vm = script(login).start();
    Scene::with(&vm).run("vm", "true").check(&[]).expect(0, &["passed"]);
    assert_eq!(vm.logins().last(), Some(&"keyboard-interactive"));
    blocked(
        &Scene::with(&vm).run("vm", "true").ssh("vm", "password", "wrong").check(&[]),
        "auth",
        "keyboard-interactive",
    );
}

#[test]
fn a_key_of_any_type_logs_in_with_and_without_a_passphrase() {
    for (flags, passphrase) in [
        (&["-t", "ed25519"][..], ""),
        (&["-t", "ecdsa"], ""),
        (&["-t", "rsa", "-b", "2048"], ""),
        (&["-t", "rsa", "-b", "2048", "-m", "PEM"], ""),
        (&["-t", "ed25519"], PASSPHRASE),
        (&["-t", "rsa", "-b", "2048"], PASSPHRASE),
    ] {
        let scene = without_password();
        let vm = script(Login::key(&keygen(&scene, flags, passphrase))).start();
        let mut scene = scene.vm("vm", &vm).run("vm", "true").ssh("vm", "key", "id");
        if !passphrase.is_empty() {
            scene = scene.ssh("vm", "key_passphrase", passphrase);
        }
        scene.check(&[]).expect(0, &["passed"]);
        assert_eq!(vm.logins(), ["publickey"], "{flags:?}");
    }
}

#[test]
fn an_unusable_key_is_reported_with_its_path_and_not_retried() {
    let scene = without_password();
    let vm = script(Login::key(&keygen(&scene, &["-t", "ed25519"], PASSPHRASE))).start();
    let scene = scene.vm("vm", &vm).run("vm", "true").ssh("vm", "key", "id").ssh(
        "vm",
        "key_passphrase",
        "wrong",
    );
    let path = |name: &str| scene.path(name).canonicalize().unwrap().display().to_string();
    let message = format!("cannot use the key file {}", path("id"));
    blocked(&scene.check(&["--wait", "60s"]), "auth", &message);
    assert_eq!(vm.logins().len(), 0);
}

#[test]
fn a_missing_key_file_is_reported_before_connecting() {
    let vm = script(Login::default()).start();
    let scene = without_password().vm("vm", &vm).run("vm", "true").ssh("vm", "key", "absent");
    let folder = scene.path(".").canonicalize().unwrap();
    let message = format!("the key file {}/absent does not exist", folder.display());
    blocked(&scene.check(&["--wait", "60s"]), "auth", &message);
    assert_eq!(vm.connections(), 0);
}

#[test]
fn a_folder_and_a_public_key_are_not_private_keys() {
    let scene = without_password();
    let vm = script(Login::key(&keygen(&scene, &["-t", "ed25519"], ""))).start();
    let mut scene = scene.vm("vm", &vm).run("vm", "true");
    for (key, message) in [(".", "is a folder"), ("id.pub", "contains a public key")] {
        scene = scene.ssh("vm", "key", key);
        let run = scene.check(&[]);
        blocked(&run, "auth", message);
        let hint = run.rows()[0]["cause"]["hint"].as_str().unwrap_or_default();
        assert!(!hint.contains("chmod"), "{hint}");
        assert_eq!(vm.connections(), 0);
    }
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let scene = without_password();
    let vm = script(Login::key(&keygen(&scene, &["-t", "ed25519"], ""))).start();
    let scene = scene.vm("vm", &vm).run("vm", "true").ssh("vm", "key", "id");
    let file = scene.path("id").canonicalize().unwrap();
    for (mode, refused) in [(0o644, true), (0o640, true), (0o604, true), (0o600, false)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let run = scene.check(&["--wait", "60s"]);
        if !refused {
            run.expect(0, &["passed"]);
            continue;
        }
        let message = format!("permissions {mode:04o} for '{}' are too open", file.display());
        blocked(&run, "auth", &message);
        let hint = run.rows()[0]["cause"]["hint"].as_str().unwrap_or_default();
        assert!(hint.contains(&format!("chmod 600 {}", file.display())), "{hint}");
        assert_eq!(vm.connections(), 0);
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    scene.check(&[]).expect(0, &["passed"]);
}

#[test]
fn the_password_is_tried_after_a_refused_key() {
    let vm = {
        let other = Scene::new();
        let key = keygen(&other, &["-t", "ed25519"], "");
        script(Login { keys: vec![key], ..Login::password(PASSWORD) }).start()
    };
    let scene = Scene::with(&vm).run("vm", "true").ssh("vm", "key", "id");
    keygen(&scene, &["-t", "ed25519"], "");
    scene.check(&[]).expect(0, &["passed"]);
    assert_eq!(vm.logins().last(), Some(&"password"));
}

/// A real ssh-agent.
struct Agent {
    process: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(scene: &Scene) -> Self {
        let socket = scene.path("agent");
        let process = program("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .spawn()
            .expect("ssh-agent of openssh-client");
        for _ in 0..1000 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process, socket }
    }

    fn add(&self, key: &Path) {
        succeed(program("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket));
    }

    fn socket(&self) -> String {
        self.socket.display().to_string()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_key_in_the_agent_logs_in() {
    for flags in [&["-t", "ed25519"][..], &["-t", "rsa", "-b", "2048"]] {
        let scene = without_password();
        let vm = script(Login::key(&keygen(&scene, flags, ""))).start();
        let agent = Agent::start(&scene);
        agent.add(&scene.path("id"));
        let scene = scene
            .vm("vm", &vm)
            .run("vm", "true")
            .ssh("vm", "agent", true)
            .env("SSH_AUTH_SOCK", &agent.socket());
        scene.check(&[]).expect(0, &["passed"]);
    }
}

#[test]
fn reports_a_missing_agent_an_empty_agent_and_a_refused_agent_key() {
    let scene = without_password();
    let key = keygen(&scene, &["-t", "ed25519"], "");
    let vm = script(Login::key(&key)).start();
    let scene = scene.vm("vm", &vm).run("vm", "true").ssh("vm", "agent", true);
    blocked(&scene.check(&["--wait", "60s"]), "auth", "cannot use the SSH agent");
    let agent = Agent::start(&scene);
    let scene = scene.env("SSH_AUTH_SOCK", &agent.socket());
    blocked(&scene.check(&["--wait", "60s"]), "auth", "the agent has no key");
    let other = Scene::new();
    keygen(&other, &["-t", "ed25519"], "");
    agent.add(&other.path("id"));
    blocked(&scene.check(&["--wait", "60s"]), "auth", "refused: tried publickey (agent)");
}

#[test]
fn a_login_that_is_cut_off_is_tried_again() {
    let scene = without_password();
    keygen(&scene, &["-t", "ed25519"], "");
    let agent = Agent::start(&scene);
    agent.add(&scene.path("id"));
    let scene = scene.env("SSH_AUTH_SOCK", &agent.socket());
    let vm = script(Login { hangs_up: true, ..Login::default() }).start();
    let mut scene = scene.vm("vm", &vm).run("vm", "true");
    for (means, value) in
        [("agent", json!(true)), ("key", json!("id")), ("password", json!(PASSWORD))]
    {
        let before = vm.connections();
        scene = scene.vm("vm", &vm).ssh("vm", means, value);
        blocked(
            &scene.check(&["--wait", "5s"]),
            "auth",
            "the server closed the connection during the login",
        );
        assert!(vm.connections() > before + 1, "{means}");
    }
}

#[test]
fn a_vm_behind_a_vm_shares_its_connection() {
    let (jump, inner) =
        (script(Login::password(PASSWORD)).start(), script(Login::password("inner")).start());
    let scene = Scene::new().vm("jump", &jump).vm("inner", &inner);
    let scene = scene.ssh("inner", "via", "jump").ssh("inner", "password", "inner");
    scene.run("jump", "true").run("inner", "true").check(&[]).expect(0, &["passed", "passed"]);
    assert_eq!((jump.logins().len(), inner.logins().len()), (1, 1));
    assert_eq!((jump.runs("true"), inner.runs("true")), (1, 1));
}

#[test]
fn a_vm_behind_another_host_uses_the_same_credentials() {
    let (jump, inner) =
        (script(Login::password(PASSWORD)).start(), script(Login::password(PASSWORD)).start());
    let via = format!("ops@127.0.0.1:{}", jump.port);
    let scene = Scene::with(&inner).ssh("vm", "via", via).run("vm", "true").run("vm", "sleep");
    let run = scene.check(&[]);
    run.expect(3, &["passed", "errored"]);
    assert_eq!((jump.logins().len(), inner.logins().len()), (1, 1));
    assert_eq!(jump.runs("true"), 0);
}

#[test]
fn a_dead_jump_host_is_one_cause_for_all_vms_behind_it() {
    let inner = script(Login::password(PASSWORD)).start();
    let scene = Scene::new()
        .vm_at("jump", 1)
        .vm("a", &inner)
        .vm("b", &inner)
        .ssh("a", "via", "jump")
        .ssh("b", "via", "jump");
    let run = scene.run("a", "true").run("b", "true").run("jump", "true").check(&[]);
    blocked(&run, "tcp", "no TCP connection");
    assert!(run.rows().iter().all(|row| row["cause"]["vm"] == "jump"), "{}", run.transcript());
    assert_eq!(run.stdout.matches("no TCP connection").count(), 1, "{}", run.stdout);
    assert_eq!(inner.connections(), 0);
    let jump = script(Login::password(PASSWORD)).start();
    let via = format!("ops@127.0.0.1:{}", jump.port);
    let run = Scene::new().vm_at("vm", 1).ssh("vm", "via", via).run("vm", "true").check(&[]);
    blocked(&run, "tcp", "the jump host cannot connect to 127.0.0.1:1");
}

#[test]
fn failures_behind_a_jump_host_have_the_same_stages() {
    for (wire, at, says) in [
        (
            Wire::Says(b"Not allowed at this time\r\n".to_vec()),
            "banner",
            "received \"Not allowed at this time\"",
        ),
        (Wire::Silent, "banner", "no SSH banner within 15s"),
        (Wire::CutAfter(33), "handshake", "key exchange failed"),
    ] {
        let jump = script(Login::password(PASSWORD)).start();
        let inner = Script { wire, ..Script::default() }.start();
        let scene = Scene::new().vm("jump", &jump).vm("inner", &inner).ssh("inner", "via", "jump");
        blocked(&scene.run("inner", "true").check(&[]), at, says);
    }
}

#[test]
fn a_frozen_jump_host_differs_from_a_silent_vm_behind_it() {
    for (forwarding, at, says) in [
        (Forwarding::Freezes, "timeout", "jump host: the VM does not answer on its SSH connection"),
        (
            Forwarding::Hangs,
            "tcp",
            "the jump host cannot connect to 127.0.0.1:1: no answer in time",
        ),
    ] {
        let jump = Script { forwarding, ..script(Login::password(PASSWORD)) }.start();
        let scene = Scene::new().vm("jump", &jump).vm_at("inner", 1).ssh("inner", "via", "jump");
        blocked(&scene.run("inner", "true").check(&[]), at, says);
    }
}

fn pinned(vm: &FakeVm, pin: &str) -> Run {
    Scene::with(vm).run("vm", "true").ssh("vm", "host_key", pin).check(&["--wait", "60s"])
}

#[test]
fn only_the_pinned_host_key_is_trusted() {
    let vm = script(Login::password(PASSWORD)).start();
    let run = pinned(&vm, &vm.fingerprint());
    run.expect(0, &["passed"]);
    assert_eq!(run.vm("vm")["host_key_trust"], "pinned");
    let another = Script { host_key: 2, ..Script::default() }.start();
    blocked(&pinned(&vm, &another.fingerprint()), "host-key", "but the inventory pins");
    assert_eq!(vm.logins().len(), 1, "no password for a stranger");
}

#[test]
fn an_unknown_host_key_is_accepted_once_and_a_changed_one_is_refused() {
    let vm = script(Login::password(PASSWORD)).start();
    let scene = Scene::with(&vm).run("vm", "true");
    let first = scene.check(&[]);
    first.expect(0, &["passed"]);
    assert_eq!(first.vm("vm")["host_key_trust"], "accepted-once");
    assert!(
        first.stdout.contains(&format!("new host key {} accepted", vm.fingerprint())),
        "{}",
        first.stdout
    );
    assert_eq!(scene.read("known_hosts").trim_start(), vm.known_hosts_line());
    let second = scene.check(&[]);
    second.expect(0, &["passed"]);
    assert_eq!(second.vm("vm")["host_key_trust"], "known");
    assert_eq!(scene.read("known_hosts").trim_start(), vm.known_hosts_line(), "it is written once");
    let rebuilt = vm.restart(Script { host_key: 2, ..Script::default() });
    let third = scene.check(&["--wait", "60s"]);
    blocked(&third, "host-key", "the host key changed");
    let (_, message) = stage(&third);
    assert!(
        message.contains("but known_hosts:") && message.contains(&rebuilt.fingerprint()),
        "{message}"
    );
    let hint = third.rows()[0]["cause"]["hint"].as_str().unwrap();
    assert!(
        hint.contains(&format!("ssh-keygen -f known_hosts -R '[127.0.0.1]:{}'", rebuilt.port)),
        "{hint}"
    );
    assert_eq!(rebuilt.logins().len(), 0, "no password for a stranger");
}

#[test]
fn an_unknown_host_is_refused_without_a_known_hosts_file() {
    let vm = script(Login::password(PASSWORD)).start();
    let mut scene = Scene::with(&vm).run("vm", "true");
    scene.inventory.as_object_mut().unwrap().shift_remove("known_hosts");
    let run = scene.check(&[]);
    blocked(
        &run,
        "host-key",
        &format!("the host is unknown; it presents the key {}", vm.fingerprint()),
    );
    assert_eq!(vm.logins().len(), 0);
}

#[test]
fn revoked_and_changed_host_keys_are_not_learnt() {
    let vm = script(Login::password(PASSWORD)).start();
    let other = Script { host_key: 2, ..Script::default() }.start();
    let key_of = |vm: &FakeVm| vm.known_hosts_line().split_once(' ').unwrap().1.to_owned();
    for (line, says) in [
        (format!("@revoked *\t{}", key_of(&vm)), "is revoked by"),
        (format!("[127.*]:* {}", key_of(&other)), "the host key changed"),
    ] {
        let scene = Scene::with(&vm).run("vm", "true");
        std::fs::create_dir(scene.path(".ssh")).unwrap();
        scene.write(".ssh/known_hosts", format!("# a comment\n{line}"));
        let run = scene.check(&[]);
        blocked(&run, "host-key", says);
        assert!(run.stdout.contains(".ssh/known_hosts:2"), "{}", run.transcript());
        assert!(!scene.path("known_hosts").exists(), "it was not learnt");
    }
}

#[test]
fn the_users_known_hosts_counts_also_if_it_is_hashed() {
    for hashed in [false, true] {
        let vm = script(Login::password(PASSWORD)).start();
        let mut scene = Scene::with(&vm).run("vm", "true");
        scene.inventory.as_object_mut().unwrap().shift_remove("known_hosts");
        std::fs::create_dir(scene.path(".ssh")).unwrap();
        let file = scene.path(".ssh/known_hosts");
        scene.write(
            ".ssh/known_hosts",
            format!("# mine\n\nother ssh-rsa AAAA\n{}", vm.known_hosts_line()),
        );
        if hashed {
            scene.write(".ssh/known_hosts", vm.known_hosts_line());
            succeed(
                program("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file).stderr(Stdio::null()),
            );
            assert!(scene.read(".ssh/known_hosts").starts_with("|1|"));
        }
        let run = scene.check(&[]);
        run.expect(0, &["passed"]);
        assert_eq!(run.vm("vm")["host_key_trust"], "known");
        let _rebuilt = vm.restart(Script { host_key: 2, ..Script::default() });
        blocked(&scene.check(&[]), "host-key", "the host key changed");
    }
}

#[test]
fn many_assertions_share_one_login() {
    let vm = (0..40)
        .fold(script(Login::password(PASSWORD)), |vm, n| {
            vm.prints(&format!("echo {n}"), format!("{n}\n"))
        })
        .start();
    let scene = (0..40).fold(Scene::with(&vm), |scene, n| {
        scene.assert(json!({"command": format!("echo {n}"), "equals": n.to_string()}))
    });
    scene.check(&[]).expect(0, &["passed"; 40]);
    assert_eq!((vm.connections(), vm.logins().len()), (1, 1));
}

#[test]
fn commands_queue_on_a_server_with_few_sessions() {
    for max_sessions in [1, 2] {
        let slow = [
            Step::Out(b"ok\n".to_vec()),
            Step::Repeat(Vec::new(), 1, Duration::from_millis(30)),
            Step::Exit(0),
        ];
        let vm = Script { max_sessions, ..Script::default() };
        let vm = (0..12).fold(vm, |vm, n| vm.answer(&format!("work {n}"), slow.clone())).start();
        let scene =
            (0..12).fold(Scene::with(&vm), |scene, n| scene.run("vm", &format!("work {n}")));
        scene.check(&[]).expect(0, &["passed"; 12]);
        assert_eq!(vm.logins().len(), 1);
    }
}
