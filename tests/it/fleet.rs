//! The fleet of docs/suite.md: 50 hosts in three roles, played by a real sshd at 50 addresses.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::real_sshd::Sshd;
use crate::scene::{Run, Scene};

/// Tells the hosts apart by the address at which they were reached.
const FAKE_UNAME: &str = "#!/bin/sh\nset -- $SSH_CONNECTION\nawk -v a=\"$3\" '$1 == a { print $2 }' \
                          \"$HOME/names\"\n";

/// `no` on hosts that are in the file `late`.
const FAKE_TIMEDATECTL: &str =
    "#!/bin/sh\ngrep -qx \"$(uname -n)\" \"$HOME/late\" && echo no || echo yes\n";

/// A file of docs/suite.md.
fn file_of_the_docs(name: &str) -> Value {
    serde_json::from_str(&text_of_the_docs(name)).expect("JSON")
}

fn text_of_the_docs(name: &str) -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/suite.md")).unwrap();
    let mark = format!("<!-- file: {name} -->\n```json\n");
    let (_, after) = page.split_once(&mark).expect("the file in the docs");
    let (text, _) = after.split_once("```").expect("its end");
    text.to_owned()
}

struct Fleet {
    sshd: Sshd,
    scene: Scene,
}

impl Fleet {
    fn start() -> Self {
        let sshd = Sshd::start();
        let mut scene = Scene::new();
        scene.inventory = file_of_the_docs("fleet.json");
        scene.suite = file_of_the_docs("fleet-suite.json");
        scene.inventory["known_hosts"] = "known_hosts".into();
        let folder = sshd.folder.path();
        scene.inventory["defaults"] = json!({
            "user": sshd.user, "port": sshd.port, "key": folder.join("user").display().to_string()
        });
        let fleet = Self { sshd, scene };
        fleet.give_addresses();
        fleet.write("bin/uname", FAKE_UNAME);
        fleet.write("bin/timedatectl", FAKE_TIMEDATECTL);
        fleet.write("sshd_config", "# a comment\nPermitRootLogin no\n");
        fleet.be_late(&[]);
        fleet
    }

    /// Each host gets an address of the loopback.
    fn give_addresses(&self) {
        let names = self.names();
        let lines =
            names.iter().enumerate().map(|(at, name)| format!("127.9.0.{} {name}\n", at + 1));
        self.write("names", &lines.collect::<String>());
    }

    fn names(&self) -> Vec<String> {
        self.scene.inventory["vms"].as_object().unwrap().keys().cloned().collect()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.sshd.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The clocks of these hosts are not synchronised.
    fn be_late(&self, names: &[String]) {
        self.write("late", &names.iter().map(|name| format!("{name}\n")).collect::<String>());
    }

    fn check(&mut self, flags: &[&str]) -> Run {
        let names = self.names();
        for (at, name) in names.iter().enumerate() {
            self.scene.inventory["vms"][name]["address"] = format!("127.9.0.{}", at + 1).into();
        }
        let config = self.sshd.folder.path().join("sshd_config");
        let var = format!("sshd_config={}", config.display());
        self.scene.check(&[&["--var", &var], flags].concat())
    }
}

fn verdicts(run: &Run, verdict: &str) -> usize {
    let rows = run.report["results"].as_array().expect("results");
    rows.iter().filter(|row| row["verdict"] == verdict).count()
}

#[test]
fn a_suite_of_twenty_lines_checks_fifty_hosts() {
    assert!(text_of_the_docs("fleet-suite.json").lines().count() <= 20);
    let mut fleet = Fleet::start();
    assert_eq!(fleet.names().len(), 50);
    let run = fleet.check(&[]);
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    assert_eq!(verdicts(&run, "passed"), 300);
    let run = fleet.check(&["--limit", "role:db,web01", "--exclude", "db4", "--skip", "disk"]);
    assert_eq!((run.code, verdicts(&run, "passed")), (Some(0), 20), "{}", run.transcript());
}

#[test]
fn a_fault_on_forty_eight_hosts_is_one_block() {
    let mut fleet = Fleet::start();
    let names = fleet.names();
    fleet.be_late(&names[1..49]);
    let run = fleet.check(&["--no-evidence"]);
    assert_eq!((run.code, verdicts(&run, "failed")), (Some(1), 48), "{}", run.transcript());
    let printed = run.stdout.lines().count() + run.stderr.lines().count();
    assert!(printed <= 40, "{printed} lines: {}", run.transcript());
    let named = "on 48 of 50: web[02-30], app[01-16], db[1-3]";
    assert_eq!(run.stdout.matches(named).count(), 1, "{}", run.transcript());
}
