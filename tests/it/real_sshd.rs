//! A real sshd on loopback: what is left on a VM when a run is over.
//!
//! Two users log in: the one who runs the tests, and, where root runs them, an ordinary one. It
//! makes a difference: sshd signals commands only for ordinary users.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::scene::Scene;

const SUDO_PASSWORD: &str = "sudo-password";

/// The one thing about sudo that matters here: it reads the password and then runs the command.
const FAKE_SUDO: &str = "#!/bin/sh\nread -r password\n[ \"$password\" = sudo-password ] || exit 1\n\
    shift 4\nexec \"$@\"\n";

pub struct Sshd {
    pub folder: TempDir,
    process: Child,
    pub port: u16,
    pub user: String,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Sshd {
    /// For logins as the user who runs the tests.
    pub fn start() -> Self {
        let folder = Self::prepare();
        let sshd = Command::new(sshd_path());
        Self::spawn(folder, sshd, own_name())
    }

    /// For logins as an ordinary user, who exists only in the server's mount namespace. `None` if
    /// the tests may not make one.
    fn for_ordinary_user() -> Option<Self> {
        let folder = Self::prepare();
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let path = folder.path().join("passwd");
        fs::write(&path, passwd + "bootproof-it:x:54321:54321::/tmp:/bin/bash\n").unwrap();
        let possible = Command::new("unshare").args(["-m", "true"]).output();
        if !possible.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let mut sshd = Command::new("unshare");
        let script = "mount --bind \"$0\" /etc/passwd && exec \"$@\"";
        sshd.args(["-m", "sh", "-c", script]).arg(path).arg(sshd_path());
        Some(Self::spawn(folder, sshd, "bootproof-it".to_owned()))
    }

    /// A folder with keys and a sudo, readable for everyone.
    fn prepare() -> TempDir {
        if own_name() == "root" {
            // Debian's unit makes it at each boot; sshd started by hand as root misses it.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let folder = tempfile::Builder::new().prefix("bootproof-sshd-").tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(name));
            assert!(keygen.status().expect("ssh-keygen of openssh-client").success());
        }
        fs::copy(path("user.pub"), path("authorized")).unwrap();
        fs::create_dir(path("bin")).unwrap();
        fs::write(path("bin/sudo"), FAKE_SUDO).unwrap();
        for (name, mode) in [("", 0o755), ("authorized", 0o644), ("bin/sudo", 0o755)] {
            fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        folder
    }

    fn spawn(folder: TempDir, mut command: Command, user: String) -> Self {
        let port = free_port();
        let at = folder.path().display();
        let config = format!(
            "Port {port}\nMaxStartups 200\nHostKey {at}/host\nPidFile none\nUsePAM no\n\
             AuthorizedKeysFile {at}/authorized\nStrictModes no\nLogLevel DEBUG\n\
             SetEnv HOME={at} PATH={at}/bin:/usr/bin:/bin\n"
        );
        fs::write(folder.path().join("config"), config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        command.args(["-D", "-e", "-f"]).arg(folder.path().join("config"));
        let process = command.stdin(Stdio::null()).stderr(log).spawn().expect("sshd");
        let sshd = Self { folder, process, port, user };
        sshd.await_port();
        sshd
    }

    fn await_port(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "sshd does not listen: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn scene(&self) -> Scene {
        Scene::new()
            .default("password", Value::Null)
            .vm_at("vm", self.port)
            .ssh("vm", "user", self.user.as_str())
            .ssh("vm", "key", self.folder.path().join("user").display().to_string())
            .ssh("vm", "sudo_password", SUDO_PASSWORD)
    }
}

/// Every kind of server that this machine can run.
fn servers() -> Vec<Sshd> {
    let mut servers = vec![Sshd::start()];
    if own_name() == "root" {
        servers.extend(Sshd::for_ordinary_user());
    }
    servers
}

fn own_name() -> String {
    let output = Command::new("id").arg("-un").output().expect("id");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// sshd starts itself again for each connection, so it must know its own path.
fn sshd_path() -> &'static str {
    let paths = ["/usr/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"];
    paths.into_iter().find(|path| Path::new(path).exists()).expect("sshd of openssh-server")
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A duration that no other process on this machine sleeps for.
fn unique_sleep() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(1);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("sleep 1{:07}{number:03}", std::process::id())
}

fn is_running(sleep: &str) -> bool {
    let wanted = sleep.replace(' ', "\0") + "\0";
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    // Processes come and go while we read.
    let mut command_lines =
        processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    command_lines.any(|line| line == wanted.as_bytes())
}

/// A shell waits for the first, a pipeline for the second, and a pipeline under sudo for the third.
struct Sleeps([String; 3]);

impl Sleeps {
    fn new() -> Self {
        Self([unique_sleep(), unique_sleep(), unique_sleep()])
    }

    fn add_to(&self, scene: Scene, timeout: &str) -> Scene {
        let [alone, piped, root] = &self.0;
        let piped = format!("true; {piped} | cat | cat; true");
        let root = format!("true; {root} | cat; true");
        scene
            .assert(json!({"command": alone, "name": "alone", "timeout": timeout}))
            .assert(json!({"command": piped, "name": "piped", "timeout": timeout}))
            .assert(json!({"command": root, "name": "root", "become": true, "timeout": timeout}))
    }

    fn await_start(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.0.iter().all(|sleep| is_running(sleep)) {
            assert!(Instant::now() < deadline, "the commands did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn are_gone(&self, user: &str) {
        for sleep in &self.0 {
            assert!(!is_running(sleep), "`{sleep}` still runs after a login as {user}");
        }
    }
}

#[test]
fn a_command_that_times_out_is_gone_afterwards() {
    for sshd in servers() {
        let sleeps = Sleeps::new();
        let run = sleeps.add_to(sshd.scene(), "2s").check(&[]);
        run.expect(3, &["errored"; 3]);
        sleeps.are_gone(&sshd.user);
    }
}

#[test]
fn an_ordinary_users_command_is_gone_before_the_run_ends() {
    let servers = servers().into_iter().filter(|sshd| sshd.user != "root");
    for sshd in servers {
        let sleep = unique_sleep();
        // The bracket keeps the shell that runs this from finding itself.
        let other = format!(
            "sleep 3; ! cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -q '[s]{}'",
            &sleep[1..]
        );
        let scene = sshd
            .scene()
            .assert(json!({"command": sleep, "timeout": "1s"}))
            .assert(json!({"command": other, "name": "other"}));
        scene.check(&[]).expect(3, &["errored", "passed"]);
    }
}

#[test]
fn an_interrupted_run_leaves_no_command_behind() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for sshd in servers() {
            let sleeps = Sleeps::new();
            let scene = sleeps.add_to(sshd.scene(), "80s");
            let started = scene.start_check(&[]);
            sleeps.await_start();
            let since = Instant::now();
            started.signal(signal);
            let run = started.wait();
            run.expect(code, &["not-run"; 3]);
            assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
            sleeps.are_gone(&sshd.user);
        }
    }
}

#[test]
fn a_run_that_reaches_its_deadline_leaves_no_command_behind() {
    for sshd in servers() {
        let sleeps = Sleeps::new();
        let run = sleeps.add_to(sshd.scene(), "80s").check(&["--deadline", "5s"]);
        assert_eq!(run.verdicts(), ["not-run"; 3], "{}", run.transcript());
        sleeps.are_gone(&sshd.user);
    }
}

#[test]
fn other_connections_keep_their_commands() {
    for sshd in servers() {
        let (ours, theirs) = (Sleeps::new(), Sleeps::new());
        let (first, second) = (ours.add_to(sshd.scene(), "2s"), sshd.scene());
        let second = theirs.add_to(second, "80s");
        let started = second.start_check(&[]);
        theirs.await_start();
        first.check(&[]).expect(3, &["errored"; 3]);
        ours.are_gone(&sshd.user);
        assert!(theirs.0.iter().all(|sleep| is_running(sleep)), "another run's command was ended");
        started.signal("INT");
        started.wait();
        theirs.are_gone(&sshd.user);
    }
}

#[test]
fn a_host_without_systemd_says_so() {
    let sshd = Sshd::start();
    let run = sshd.scene().run("vm", "true").check(&[]);
    run.expect(0, &["passed"]);
    let has_systemd = Path::new("/run/systemd/system").exists();
    let system = run.vm("vm")["timeline"]["system"].as_str().unwrap_or_default();
    assert_eq!(system == "no systemd", !has_systemd, "{}", run.transcript());
    assert_eq!(run.stdout.contains(", no systemd"), !has_systemd, "{}", run.transcript());
    assert!(!run.stdout.contains("system offline"), "{}", run.transcript());
}

#[test]
fn a_clock_is_read_when_the_shell_is_ready() {
    let sshd = Sshd::start();
    let mut scene = sshd.scene();
    let twin = scene.inventory["vms"]["vm"].clone();
    scene.inventory["vms"]["twin"] = twin;
    scene.inventory["peers"] = json!({"clocks_within": "2s"});
    let run = scene.run("vm", "true").check(&["--filter", "clock"]);
    run.expect(0, &["not-selected", "not-selected", "passed", "not-selected", "passed"]);
}
