//! A scene: fake VMs, the files that describe them, and the real binary run on them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::fake_vm::{FakeVm, PASSWORD};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A run that takes longer hangs; it is killed, and the test is red.
const HANGS_AFTER: Duration = Duration::from_secs(90);

/// The test's name in every scene, and so the first part of every id.
pub const TEST: &str = "t";

/// An inventory, a suite, and a folder in which they stand.
pub struct Scene {
    folder: TempDir,
    pub inventory: Value,
    pub suite: Value,
    environment: Vec<(String, String)>,
}

impl Scene {
    pub fn new() -> Self {
        Self {
            folder: tempfile::Builder::new().prefix("bootproof-it-").tempdir().expect("a folder"),
            inventory: json!({
                "lab": "fake",
                "known_hosts": "known_hosts",
                "defaults": {"user": "ops", "password": PASSWORD, "host": "127.0.0.1"},
                "vms": {}
            }),
            suite: json!({"scenarios": [{
                "name": "scenario", "type": "group", "tests": [],
                "custom_tests": [{"name": TEST, "assertions": []}]
            }]}),
            environment: Vec::new(),
        }
    }

    /// One VM, called `vm`.
    pub fn with(vm: &FakeVm) -> Self {
        Self::new().vm("vm", vm)
    }

    pub fn vm(self, name: &str, vm: &FakeVm) -> Self {
        self.vm_at(name, vm.port)
    }

    pub fn vm_at(mut self, name: &str, port: u16) -> Self {
        self.inventory["vms"][name] = json!({"ssh": {"port": port}});
        self
    }

    /// Adds to how `vm` is logged in to.
    pub fn ssh(mut self, vm: &str, key: &str, value: impl Into<Value>) -> Self {
        self.inventory["vms"][vm]["ssh"][key] = value.into();
        self
    }

    /// Adds to how every VM is logged in to; `null` takes away.
    pub fn default(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let defaults = self.inventory["defaults"].as_object_mut().expect("an object");
        if value.is_null() {
            defaults.shift_remove(key)
        } else {
            defaults.insert(key.to_owned(), value)
        };
        self
    }

    /// Adds an assertion; without `on_vm` it is on `vm`, and without `type` a `command_output`.
    pub fn assert(mut self, mut assertion: Value) -> Self {
        let keys = assertion.as_object_mut().expect("an object");
        keys.entry("type").or_insert("command_output".into());
        keys.entry("on_vm").or_insert("vm".into());
        self.suite["scenarios"][0]["custom_tests"][0]["assertions"]
            .as_array_mut()
            .expect("a list")
            .push(assertion);
        self
    }

    /// Adds a command on `vm` that must exit 0.
    pub fn run(self, vm: &str, command: &str) -> Self {
        self.assert(json!({"on_vm": vm, "command": command}))
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// Writes `inventory.json` and `suite.json`.
    pub fn write_files(&self) {
        self.write("inventory.json", format!("{:#}\n", self.inventory));
        self.write("suite.json", format!("{:#}\n", self.suite));
    }

    /// `bootproof check` on the files of the scene, to its end.
    pub fn check(&self, flags: &[&str]) -> Run {
        self.start_check(flags).wait()
    }

    pub fn start_check(&self, flags: &[&str]) -> Started<'_> {
        self.write_files();
        let files = ["check", "-i", "inventory.json", "-s", "suite.json"];
        let reports = ["--report-json", "report.json", "--report-junit", "junit.xml"];
        self.start(&[&files[..], &reports, flags].concat())
    }

    /// `bootproof` with these arguments in the scene's folder, to its end.
    pub fn bootproof(&self, arguments: &[&str]) -> Run {
        self.start(arguments).wait()
    }

    pub fn start(&self, arguments: &[&str]) -> Started<'_> {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_bootproof")));
        command.args(arguments);
        self.spawn(command)
    }

    /// The `lab` harness on the files of the scene, to its end.
    pub fn lab(&self, arguments: &[&str]) -> Run {
        self.start_lab(arguments).wait()
    }

    pub fn start_lab(&self, arguments: &[&str]) -> Started<'_> {
        self.write_files();
        let mut command = self.command(&LAB);
        command
            .args(arguments)
            .env("BOOTPROOF_INVENTORY", "inventory.json")
            .env("BOOTPROOF_SUITE", "suite.json");
        self.spawn(command)
    }

    /// A program that knows of nothing but the scene.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("RUST_BACKTRACE", "0");
        for name in ["INVENTORY", "SUITE", "REPORTS", "WAIT", "DEADLINE", "SHARD", "RUN_ID"] {
            command.env_remove(format!("BOOTPROOF_{name}"));
        }
        command.env_remove("NEXTEST").env_remove("SSH_AUTH_SOCK");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn spawn(&self, mut command: Command) -> Started<'_> {
        let file = |name: &str| File::create(self.path(name)).expect("a file");
        command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let child = command.spawn().expect("it starts");
        Started { scene: self, watchdog: Watchdog::over(&child), child, since: Instant::now() }
    }

    pub fn read(&self, name: &str) -> String {
        fs::read(self.path(name))
            .map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
            .unwrap_or_default()
    }
}

/// A run under way.
pub struct Started<'a> {
    scene: &'a Scene,
    watchdog: Watchdog,
    pub child: Child,
    since: Instant,
}

impl Started<'_> {
    /// Sends a signal: `INT`, `TERM`, `KILL`.
    pub fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    pub fn wait(mut self) -> Run {
        let status = self.child.wait().expect("it can be waited for");
        let took = self.since.elapsed();
        let peak_memory = self.watchdog.end();
        assert!(
            took < HANGS_AFTER,
            "it hung:\n{}\n{}",
            self.scene.read("stdout"),
            self.scene.read("stderr")
        );
        Run {
            code: status.code(),
            stdout: self.scene.read("stdout"),
            stderr: self.scene.read("stderr"),
            report: serde_json::from_str(&self.scene.read("report.json")).unwrap_or_default(),
            junit: self.scene.read("junit.xml"),
            peak_memory,
            took,
        }
    }
}

fn signal(name: &str, pid: u32) {
    let sent =
        Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().expect("sh");
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Looks at a process while it lives, and kills it when it hangs.
struct Watchdog(Option<(mpsc::Sender<()>, JoinHandle<u64>)>);

impl Watchdog {
    fn over(child: &Child) -> Self {
        let pid = child.id();
        let (alive, ended) = mpsc::channel::<()>();
        let started = Instant::now();
        let watch = thread::spawn(move || {
            let mut peak = 0;
            while ended.recv_timeout(Duration::from_millis(2)) == Err(RecvTimeoutError::Timeout) {
                peak = peak_memory(pid).max(peak);
                if started.elapsed() > HANGS_AFTER {
                    signal("KILL", pid);
                    break;
                }
            }
            peak
        });
        Self(Some((alive, watch)))
    }

    /// The most memory that the process was seen to have used, in bytes.
    fn end(&mut self) -> u64 {
        let (alive, watch) = self.0.take().expect("it ends once");
        drop(alive);
        watch.join().expect("the watchdog")
    }
}

/// The kernel's own high-water mark; what wait(2) tells counts the parent's memory before exec.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// A run that has ended.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The JSON report; null when there is none.
    pub report: Value,
    pub junit: String,
    /// Bytes.
    pub peak_memory: u64,
    pub took: Duration,
}

impl Run {
    /// The results, in the order of the suite.
    pub fn rows(&self) -> &[Value] {
        self.report["results"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Every verdict, in the order of the suite.
    pub fn verdicts(&self) -> Vec<&str> {
        self.rows().iter().map(|row| row["verdict"].as_str().unwrap_or_default()).collect()
    }

    pub fn vm(&self, name: &str) -> &Value {
        let vms = self.report["vms"].as_array().expect("VMs");
        vms.iter().find(|vm| vm["name"] == name).expect("the VM")
    }

    /// Everything that it left, for a test that is red.
    pub fn transcript(&self) -> String {
        format!("exit {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }

    #[track_caller]
    pub fn expect(&self, code: i32, verdicts: &[&str]) {
        assert_eq!(
            (self.code, self.verdicts()),
            (Some(code), verdicts.to_vec()),
            "{}",
            self.transcript()
        );
    }
}

/// The `lab` harness: `test = false` keeps it away from plain `cargo test`, so it is built here,
/// once.
static LAB: LazyLock<PathBuf> = LazyLock::new(|| {
    let arguments = ["test", "--offline", "--test", "lab", "--no-run", "--message-format", "json"];
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    // Build scripts look at what cargo tells a test about its package; seeing it, cargo would build
    // everything anew.
    let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "JQ_LIB_DIR"];
    for (name, _) in std::env::vars_os().filter(|(name, _)| {
        told.iter().any(|told| name.as_encoded_bytes().starts_with(told.as_bytes()))
    }) {
        cargo.env_remove(name);
    }
    let built = cargo.output().expect("cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let messages = built
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut labs = messages
        .filter(|message| message["target"]["name"] == "lab" && message["executable"].is_string());
    labs.next()
        .and_then(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("the harness")
});

/// Ports, times and folders, which differ from run to run, by name.
pub fn redact(text: &str, scene: &Scene) -> String {
    static CHANGING: LazyLock<Vec<(regex::Regex, &str)>> = LazyLock::new(|| {
        let pairs = [
            (r"(127\.0\.0\.1\]?|no\.\.name):\d+", "$1:[port]"),
            (r"lookup address information: .*", "lookup address information: [why]"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "[time]"),
            (r"\b(?:\d+ to )?\d+ ms\b", "[ms]"),
            (r"in \d+\.\d{3} s", "in [s]"),
            (r#"time="\d+\.\d{3}""#, r#"time="[s]""#),
            (r#"_after" value="\d+\.\d{3}""#, r#"_after" value="[s]""#),
        ];
        pairs.map(|(pattern, name)| (regex::Regex::new(pattern).expect("a pattern"), name)).to_vec()
    });
    let folder = scene.folder.path().display().to_string();
    let text = text.replace(&folder, "[folder]");
    CHANGING
        .iter()
        .fold(text, |text, (pattern, name)| pattern.replace_all(&text, *name).into_owned())
}
