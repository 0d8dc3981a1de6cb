//! The inventory: which VMs there are and how to log in to them.
//!
//! [`InventoryFile`] is the file as written. [`Inventory`] is what it means: with defaults applied,
//! paths relative to the file, and names checked.

mod check;
mod file;
mod hosts;
mod paths;
mod secret;
mod vm;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Map, Value};

pub use file::{
    Access, Connection, GroupEntry, InventoryFile, Peers, Position, Readiness, VmEntry,
};
pub use secret::{SecretPlace, SecretSource};
pub use vm::{Ssh, Via, Vm};

use super::source::Source;
use crate::problem::{Problem, Problems};
use paths::relative_to;
use vm::VmReader;

/// An inventory that was read and understood.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// The file's name, as given.
    pub file: String,
    /// The lab's name.
    pub lab: String,
    /// Suites to run when the command line names none, as seen from the working directory.
    pub suites: Vec<PathBuf>,
    /// The `known_hosts` file to which keys of unknown hosts are added.
    pub known_hosts: Option<PathBuf>,
    /// The lab's own values for templates.
    pub vars: Map<String, Value>,
    /// The VMs, in the order of the file.
    pub vms: IndexMap<String, Vm>,
    /// Which VM must reach which, or must not.
    pub connections: Vec<Connection>,
    /// What must hold between the VMs.
    pub peers: Option<Peers>,
    /// What remains to be done when the lab is deployed.
    pub warnings: Vec<String>,
    /// Where in the file some of this is.
    pub lines: Lines,
}

/// Lines of an inventory file, from 1.
#[derive(Debug, Clone)]
pub struct Lines {
    /// Of each connection.
    pub connections: Vec<usize>,
    /// Of `peers`; 1 if the file has no such key.
    pub peers: usize,
}

impl Inventory {
    /// Reads an inventory; `file` names it in messages, and relative paths in it start from its
    /// folder. Returns all problems, not only the first.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let source = Source::parse(file, text)?;
        if source.value.get("scenarios").is_some() && source.value.get("vms").is_none() {
            let problem = source.problem("", "this is a suite, not an inventory");
            return Err(problem.hint("name it with -s, and the inventory with -i").into());
        }
        let written: InventoryFile = source.read()?;
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        let (vms, mut problems) = read_vms(&source, &written, folder);
        problems.extend(check::problems(&source, &written, &vms));
        if !problems.is_empty() {
            problems.sort_by_key(|problem| problem.place);
            return Err(Problems(problems));
        }
        let lines = Lines::of(&source, &written);
        let seen_from_here = |path: PathBuf| relative_to(folder, &path);
        let suites = written.suites.unwrap_or_default();
        Ok(Self {
            file: file.to_owned(),
            lab: written.lab,
            suites: suites.into_iter().map(seen_from_here).collect(),
            known_hosts: written.known_hosts.map(seen_from_here),
            vars: written.vars,
            vms,
            connections: written.connections,
            peers: written.peers,
            warnings: written.warnings,
            lines,
        })
    }
}

/// The VMs that can be understood, and the problems of the others.
fn read_vms(
    source: &Source,
    file: &InventoryFile,
    folder: &Path,
) -> (IndexMap<String, Vm>, Vec<Problem>) {
    let reader = VmReader { source, file, folder };
    let (mut vms, mut problems) = (IndexMap::new(), Vec::new());
    for (name, entry) in &file.vms {
        match reader.read(name, entry) {
            Ok(vm) => drop(vms.insert(name.clone(), vm)),
            Err(problem) => problems.push(problem),
        }
    }
    (vms, problems)
}

impl Lines {
    fn of(source: &Source, file: &InventoryFile) -> Self {
        let of_connection = |index| source.line(&format!("connections[{index}]"));
        Self {
            connections: (0..file.connections.len()).map(of_connection).collect(),
            peers: source.line("peers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(vms: &str) -> Result<Inventory, Problems> {
        let text = format!(
            r#"{{"lab": "l", "defaults": {{"user": "ops", "password": "pw"}}, "vms": {vms}}}"#
        );
        Inventory::parse("labs/lab.json", &text)
    }

    /// An inventory with one VM and these keys.
    fn with_keys(keys: &str) -> Result<Inventory, Problems> {
        let access = r#""defaults": {"user": "ops", "agent": true}"#;
        let vms = r#""vms": {"a": {"address": "h"}}"#;
        Inventory::parse("labs/lab.json", &format!(r#"{{"lab": "l", {access}, {vms}, {keys}}}"#))
    }

    #[test]
    fn a_vm_inherits_the_defaults() {
        let lab = parse(
            r#"{"a": {"address": "10.0.0.1"},
                    "b": {"ssh": {"host": "::1", "port": 2202, "user": "root"}}}"#,
        )
        .unwrap();
        let (a, b) = (&lab.vms["a"].ssh, &lab.vms["b"].ssh);
        assert_eq!((a.address().as_str(), a.user.as_str()), ("10.0.0.1:22", "ops"));
        assert_eq!((b.address().as_str(), b.user.as_str()), ("[::1]:2202", "root"));
    }

    #[test]
    fn an_address_is_a_name_or_an_ip_address_without_a_port() {
        let lab = |key: &str, host: &str| {
            let ssh = if key == "host" {
                format!(r#""ssh": {{"host": "{host}"}}"#)
            } else {
                format!(r#""address": "{host}""#)
            };
            parse(&format!(r#"{{"a": {{{ssh}}}}}"#))
        };
        for host in [
            "10.0.0.1",
            "::1",
            "fe80::1%eth0",
            "db",
            "db_1.lab.example.",
            "bücher.example",
            "7.example",
        ] {
            assert!(lab("address", host).is_ok() && lab("host", host).is_ok(), "{host}");
        }
        for host in [
            "10.0.0.1:22",
            "10.0.0.300",
            "10.0.0",
            "not an address!",
            "[::1]",
            "ops@db",
            "",
            ".",
            "db:22",
        ] {
            for key in ["address", "host"] {
                let error = lab(key, host).unwrap_err().to_string();
                assert!(
                    error.contains(&format!("`{host}` is neither a host name nor an IP address")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn paths_are_relative_to_the_inventory() {
        let lab = parse(
            r#"{"a": {"address": "h", "ssh": {"key": "keys/id", "password": {"file": "pw"}}}}"#,
        )
        .unwrap();
        let ssh = &lab.vms["a"].ssh;
        assert_eq!(ssh.key.as_deref(), Some(Path::new("labs/keys/id")));
        assert_eq!(ssh.password, Some(SecretSource::Named(SecretPlace::File("labs/pw".into()))));
    }

    #[test]
    fn suites_are_relative_to_the_inventory() {
        let with_suites = |suites: &str| with_keys(&format!(r#""suites": {suites}"#));
        let lab = with_suites(r#"["../suites/a.json", "/etc/b.json"]"#).unwrap();
        assert_eq!(lab.suites, ["suites/a.json", "/etc/b.json"].map(PathBuf::from));
        let empty = with_suites("[]").unwrap_err().to_string();
        assert!(empty.contains("`suites` is empty") && empty.contains("remove the key"), "{empty}");
        assert!(with_suites(r#"[""]"#).is_err() && with_suites(r#""a.json""#).is_err());
        assert!(parse(r#"{"a": {"address": "h"}}"#).unwrap().suites.is_empty());
    }

    #[test]
    fn a_jump_host_is_a_vm_or_an_endpoint() {
        let via = |via: &str| {
            parse(&format!(
                r#"{{"a": {{"address": "h"}}, "b": {{"address": "h", "ssh": {{"via": "{via}"}}}}}}"#
            ))
        };
        assert_eq!(via("a").unwrap().vms["b"].ssh.via, Some(Via::Vm("a".into())));
        let endpoint = Via::Host { user: "me".into(), host: "jump".into(), port: 2222 };
        assert_eq!(via("me@jump:2222").unwrap().vms["b"].ssh.via, Some(endpoint));
        assert!(via("jump:22").unwrap_err().to_string().contains("neither a VM nor"));
    }

    #[test]
    fn a_circle_of_jump_hosts_is_refused() {
        let errors = parse(
            r#"{"a": {"address": "h", "ssh": {"via": "b"}},
                "b": {"address": "h", "ssh": {"via": "a"}}}"#,
        );
        assert!(errors.unwrap_err().to_string().contains("circle"));
        let itself = parse(r#"{"a": {"address": "h", "ssh": {"via": "a"}}}"#);
        assert!(itself.unwrap_err().to_string().contains("circle"));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let errors = parse(
            r#"{"a": {}, "b": {"address": "h", "ssh": {"host_key": "MD5:00"}},
                "c d": {"address": "h"}}"#,
        );
        assert_eq!(errors.unwrap_err().0.len(), 3);
    }

    #[test]
    fn duplicate_ports_and_loose_clocks_are_refused() {
        let twice =
            parse(r#"{"a": {"address": "h", "ports": [1, 2, 1]}}"#).unwrap_err().to_string();
        assert!(twice.contains("duplicate port 1"), "{twice}");
        let peers =
            |within: &str| with_keys(&format!(r#""peers": {{"clocks_within": "{within}"}}"#));
        assert!(peers("30m").is_ok() && peers("31m").is_err());
    }

    #[test]
    fn an_empty_warning_is_refused() {
        let warnings = |warnings: &str| with_keys(&format!(r#""warnings": {warnings}"#));
        assert_eq!(warnings(r#"["one"]"#).unwrap().warnings, ["one"]);
        assert!(warnings(r#"["one", " "]"#).is_err());
    }

    #[test]
    fn debug_output_masks_secrets() {
        let lab = parse(r#"{"a": {"address": "h", "ssh": {"password": "hunter2"}}}"#).unwrap();
        assert!(!format!("{lab:?}").contains("hunter2"));
    }
}
