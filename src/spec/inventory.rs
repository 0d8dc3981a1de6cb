//! The inventory: which VMs there are and how to reach them.
//!
//! [`InventoryFile`] is what stands in the file; [`Inventory`] is what it means: defaults applied, paths made
//! relative to the file, names checked. Secrets stay where they are until a session needs them.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::duration::Span;
use super::source::{Source, join};
use crate::assertion::port_listening::Protocol;
use crate::problem::{Problem, Problems, hint_for_unknown};

/// An inventory file, as written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bootproof inventory")]
pub struct InventoryFile {
    /// Address of the JSON Schema, for editors; not read by bootproof.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The lab's name.
    pub lab: String,
    /// One line about the lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A `known_hosts` file of this lab, relative to the inventory. A key of an unknown host is accepted
    /// into it once and shown in the report; a changed key is refused. Without it, an unknown host is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// Suites
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suites: Vec<PathBuf>,
    /// How to log in, for every VM that does not say otherwise.
    #[serde(default, skip_serializing_if = "Access::is_empty")]
    pub defaults: Access,
    /// How long each step of a VM's boot may take while it is waited for; by default as long as is waited at all.
    #[serde(default, skip_serializing_if = "Readiness::is_empty")]
    pub readiness: Readiness,
    /// The VMs by name, in the order in which they are shown.
    pub vms: IndexMap<String, VmEntry>,
    /// Which VM talks to which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Connection>,
    /// What must hold between the VMs. If it is there, each VM's machine-id, host key, MAC addresses and address must be
    /// its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
    /// What stays to be done at deployment time, for the whole lab.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `prove` shows that the check of a clock would notice a clock that is an hour off.
const CLOCKS_WITHIN_AT_MOST: Duration = Duration::from_mins(30);

/// What must hold between the VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// How far a VM's clock may be from the median of all clocks, that of bootproof's machine among them; by default
    /// clocks are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clocks_within: Option<Span>,
}

/// One VM of the inventory, as written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VmEntry {
    /// What it is for: `app`, `database`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its address on the lab's own network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// TCP ports that it serves; where no assertion looks at one, it is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<NonZeroU16>,
    /// UDP ports that it serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub udp_ports: Vec<NonZeroU16>,
    /// How to log in; what is absent comes from `defaults`.
    #[serde(default, skip_serializing_if = "Access::is_empty")]
    pub ssh: Access,
    /// How long each step of its boot may take; what is absent comes from the lab's `readiness`.
    #[serde(default, skip_serializing_if = "Readiness::is_empty")]
    pub readiness: Readiness,
    /// Memory in GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_gb: Option<u32>,
    /// Disk in GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<u32>,
    /// Where it stands in a drawing of the lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// How long each step of a boot may take, each counted from the one before; what is absent, as long as is waited at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Readiness {
    /// From the start of the run to a TCP connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Span>,
    /// From there to the SSH banner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banner: Option<Span>,
    /// From there to the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Span>,
    /// From there until systemd says that the boot is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Span>,
}

impl Readiness {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How to log in to a VM, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Name or address to connect to; by default the VM's `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// TCP port of sshd; by default 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// User to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password for login, and for sudo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// Password for sudo, where it is another one than for login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo_password: Option<SecretSource>,
    /// A private key file (OpenSSH or PEM), relative to the inventory; `~/` is the home folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Passphrase of `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_passphrase: Option<SecretSource>,
    /// Ask the agent at `SSH_AUTH_SOCK`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<bool>,
    /// Jump host: a VM of this inventory, or `user@host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The host key that must be presented, as `SHA256:...` (`ssh-keygen -lf` prints it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

impl Access {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SecretSource {
    /// It stands in the inventory.
    Literal(
        #[serde(serialize_with = "write_literal", deserialize_with = "read_literal")]
        #[schemars(with = "String")]
        Zeroizing<String>,
    ),
    /// It is read from a named place.
    Named(SecretPlace),
}

fn read_literal<'a, D: Deserializer<'a>>(from: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(from).map(Zeroizing::new)
}

fn write_literal<S: Serializer>(secret: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(secret)
}

/// A named place that holds a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum SecretPlace {
    /// An environment variable.
    Env(String),
    /// The first line of a file, relative to the inventory.
    File(PathBuf),
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Literal(_) => formatter.write_str("Literal(***)"),
            Self::Named(place) => place.fmt(formatter),
        }
    }
}

impl std::fmt::Debug for SecretPlace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(formatter, "Env({name})"),
            Self::File(path) => write!(formatter, "File({})", path.display()),
        }
    }
}

/// A place in a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Pixels from the left.
    pub x: i32,
    /// Pixels from the top.
    pub y: i32,
}

impl std::fmt::Display for Position {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "({}, {})", self.x, self.y)
    }
}

/// A declared edge of the lab's topology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// The VM that connects.
    pub from: String,
    /// The VM that answers.
    pub to: String,
    /// Port on `to`.
    pub port: u16,
    /// `tcp` (default) or `udp`.
    #[serde(default, skip_serializing_if = "is_tcp", serialize_with = "as_word")]
    pub protocol: Protocol,
    /// What the edge is for, e.g. `embeddings-write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// `true`: there must be no such way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deny: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_tcp(protocol: &Protocol) -> bool {
    *protocol == Protocol::Tcp
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn as_word<S: Serializer>(protocol: &Protocol, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(protocol.word())
}

/// An inventory that was read and understood.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// The file's name, as given.
    pub file: String,
    /// Suites.
    pub suites: Vec<PathBuf>,
    /// The lab's name.
    pub lab: String,
    /// Where keys of unknown hosts are accepted once.
    pub known_hosts: Option<PathBuf>,
    /// The VMs, in the order of the file.
    pub vms: IndexMap<String, Vm>,
    /// Which VM talks to which.
    pub connections: Vec<Connection>,
    /// The line of each of them in the file.
    pub connection_lines: Vec<usize>,
    /// What must hold between the VMs, and its line in the file.
    pub peers: Option<(Peers, usize)>,
    /// What stays to be done at deployment time, for the whole lab.
    pub warnings: Vec<String>,
}

/// A VM and how to log in to it.
#[derive(Debug, Clone)]
pub struct Vm {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Option<String>,
    /// Its address on the lab's own network.
    pub address: Option<String>,
    /// TCP ports that it is declared to serve.
    pub ports: Vec<NonZeroU16>,
    /// UDP ports that it is declared to serve.
    pub udp_ports: Vec<NonZeroU16>,
    /// How to log in.
    pub ssh: Ssh,
    /// How long each step of its boot may take.
    pub readiness: Readiness,
}

/// How to log in to a VM; nothing is left to default.
#[derive(Debug, Clone)]
pub struct Ssh {
    /// Name or address to connect to.
    pub host: String,
    /// TCP port of sshd.
    pub port: u16,
    /// User to log in as.
    pub user: String,
    /// Password for login.
    pub password: Option<SecretSource>,
    /// Password for sudo.
    pub sudo_password: Option<SecretSource>,
    /// A private key file.
    pub key: Option<PathBuf>,
    /// Its passphrase.
    pub key_passphrase: Option<SecretSource>,
    /// Whether the agent is asked.
    pub agent: bool,
    /// Through which host.
    pub via: Option<Via>,
    /// Fingerprint that the host key must have.
    pub host_key: Option<String>,
}

/// A jump host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// A VM of the inventory.
    Vm(String),
    /// Another machine; it is logged in to by the same means as the VM behind it.
    Host {
        /// User to log in as.
        user: String,
        /// Name or address.
        host: String,
        /// TCP port of sshd.
        port: u16,
    },
}

impl Ssh {
    /// `host:port`, as it stands in messages and reports.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Inventory {
    /// Reads an inventory; `file` names it in messages, and relative paths in it start from its folder.
    /// All mistakes are returned, not only the first.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let source = Source::parse(file, text)?;
        let written: InventoryFile = source.read()?;
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        let mut errors = Vec::new();
        let mut vms = IndexMap::new();
        if written.vms.is_empty() {
            errors.push(source.error("vms", "the inventory has no VM", None));
        }
        for (name, entry) in &written.vms {
            match read_vm(&source, &written, folder, name, entry) {
                Ok(vm) => drop(vms.insert(name.clone(), vm)),
                Err(error) => errors.push(error),
            }
        }
        errors.extend(written.vms.keys().filter_map(|name| jump_circle(&source, &vms, name)));
        errors.extend(unknown_ends(&source, &written));
        if written.warnings.iter().any(|warning| warning.trim().is_empty()) {
            errors.push(source.error("warnings", "a warning is empty", None));
        }
        let bound = written.peers.and_then(|peers| peers.clocks_within);
        if bound.is_some_and(|Span(bound)| bound > CLOCKS_WITHIN_AT_MOST) {
            let message = "clocks that may be half an hour apart are not compared";
            errors.push(source.error(
                "peers.clocks_within",
                message,
                Some("give at most \"30m\"".to_owned()),
            ));
        }
        if !errors.is_empty() {
            errors.sort_by_key(|error| error.place);
            return Err(Problems(errors));
        }
        let known_hosts = written.known_hosts.map(|path| relative_to(folder, &path));
        let line = |path: &str| source.place(path).map_or(1, |(line, _)| line);
        let edge = |index| line(&format!("connections[{index}]"));
        let connection_lines = (0..written.connections.len()).map(edge).collect();
        let peers = written.peers.map(|peers| (peers, line("peers")));
        let InventoryFile { lab, connections, warnings, .. } = written;
        Ok(Self {
            file: file.to_owned(),
            suites: Vec::new(),
            lab,
            known_hosts,
            vms,
            connections,
            connection_lines,
            peers,
            warnings,
        })
    }
}

fn read_vm(
    source: &Source,
    written: &InventoryFile,
    folder: &Path,
    name: &str,
    entry: &VmEntry,
) -> Result<Vm, Problem> {
    let path = format!("vms.{name}");
    let (own, all) = (&entry.ssh, &written.defaults);
    let missing = |what: &str, hint: &str| {
        source.error(&path, format!("VM `{name}` has no {what}"), Some(hint.to_owned()))
    };
    if name.is_empty()
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        let hint = "use letters, digits, `-`, `_` and `.`".to_owned();
        return Err(source.error(&path, format!("`{name}` is no name for a VM"), Some(hint)));
    }
    let ports = [("ports", &entry.ports), ("udp_ports", &entry.udp_ports)];
    for (key, ports) in ports {
        if let Some(port) = ports
            .iter()
            .enumerate()
            .find_map(|(at, port)| ports[..at].contains(port).then_some(port))
        {
            return Err(source.error(&join(&path, key), format!("port {port} stands twice"), None));
        }
    }
    for (key, host) in [("address", &entry.address), ("ssh.host", &own.host)] {
        if let Some(host) = host.as_deref().filter(|host| !is_host(host)) {
            let hint = Some("a port stands in `ssh.port`".to_owned());
            return Err(source.error(
                &join(&path, key),
                format!("`{host}` is neither a name nor an address"),
                hint,
            ));
        }
    }
    let host = own.host.clone().or_else(|| all.host.clone()).or_else(|| entry.address.clone());
    let user = own.user.clone().or_else(|| all.user.clone());
    let password = own.password.clone().or_else(|| all.password.clone());
    let key = own.key.clone().or_else(|| all.key.clone());
    let agent = own.agent.or(all.agent).unwrap_or(false);
    if password.is_none() && key.is_none() && !agent {
        return Err(missing(
            "way to log in",
            "give `password`, `key` or `\"agent\": true`, here or in `defaults`",
        ));
    }
    // A jump host for all does not lead to itself.
    let via = own.via.as_ref().or(all.via.as_ref().filter(|via| *via != name));
    let host_key = own.host_key.clone().or_else(|| all.host_key.clone());
    if let Some(pin) = host_key.as_deref().filter(|pin| !is_fingerprint(pin)) {
        let hint = "`ssh-keygen -lf KEY.pub` prints it: SHA256: and 43 characters".to_owned();
        let message = format!("`{pin}` is no host-key fingerprint");
        return Err(source.error(&join(&path, "ssh.host_key"), message, Some(hint)));
    }
    let ssh = Ssh {
        host: host.ok_or_else(|| missing("address", "give `address` or `ssh.host`"))?,
        port: own.port.or(all.port).unwrap_or(22),
        user: user.ok_or_else(|| missing("user", "give `user`, here or in `defaults`"))?,
        sudo_password: own
            .sudo_password
            .clone()
            .or_else(|| all.sudo_password.clone())
            .or_else(|| password.clone()),
        password: password.map(|secret| secret.relative_to(folder)),
        key: key.map(|key| relative_to(folder, &key)),
        key_passphrase: own.key_passphrase.clone().or_else(|| all.key_passphrase.clone()),
        agent,
        via: via.map(|via| read_via(source, written, &path, via)).transpose()?,
        host_key,
    };
    let ssh = Ssh {
        sudo_password: ssh.sudo_password.map(|secret| secret.relative_to(folder)),
        key_passphrase: ssh.key_passphrase.map(|secret| secret.relative_to(folder)),
        ..ssh
    };
    let (own, all) = (&entry.readiness, &written.readiness);
    let readiness = Readiness {
        tcp: own.tcp.or(all.tcp),
        banner: own.banner.or(all.banner),
        login: own.login.or(all.login),
        running: own.running.or(all.running),
    };
    Ok(Vm {
        name: name.to_owned(),
        role: entry.role.clone(),
        address: entry.address.clone(),
        ports: entry.ports.clone(),
        udp_ports: entry.udp_ports.clone(),
        ssh,
        readiness,
    })
}

/// An IP address, with a zone or without, or a name; what ends with a number is no name (RFC 3696).
fn is_host(text: &str) -> bool {
    let address = text.split_once('%').map_or(text, |(address, _zone)| address);
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let named = text.chars().all(|one| one.is_alphanumeric() || "-_.".contains(one));
    address.parse::<IpAddr>().is_ok()
        || (named && !last.is_empty() && !last.bytes().all(|one| one.is_ascii_digit()))
}

fn is_fingerprint(pin: &str) -> bool {
    pin.strip_prefix("SHA256:").is_some_and(|hash| hash.len() == 43 && hash.is_ascii())
}

fn read_via(
    source: &Source,
    written: &InventoryFile,
    path: &str,
    via: &str,
) -> Result<Via, Problem> {
    if written.vms.contains_key(via) {
        return Ok(Via::Vm(via.to_owned()));
    }
    let endpoint = via.split_once('@').and_then(|(user, rest)| {
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (rest, 22),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!user.is_empty() && !host.is_empty()).then(|| Via::Host {
            user: user.into(),
            host: host.into(),
            port,
        })
    });
    endpoint.ok_or_else(|| {
        let hint = format!(
            "{}; or write `user@host:port`",
            hint_for_unknown(via, written.vms.keys().map(String::as_str))
        );
        source.error(
            &join(path, "ssh.via"),
            format!("`{via}` is neither a VM nor `user@host:port`"),
            Some(hint),
        )
    })
}

fn jump_circle(source: &Source, vms: &IndexMap<String, Vm>, start: &str) -> Option<Problem> {
    let mut name = start;
    for _ in 0..vms.len() {
        match vms.get(name)?.ssh.via.as_ref()? {
            Via::Vm(next) if next == start => {
                let hint = Some("one of them must be reached directly".to_owned());
                return Some(source.error(
                    &format!("vms.{start}.ssh.via"),
                    "the jump hosts go in a circle",
                    hint,
                ));
            }
            Via::Vm(next) => name = next,
            Via::Host { .. } => return None,
        }
    }
    None
}

fn unknown_ends(source: &Source, written: &InventoryFile) -> Vec<Problem> {
    let ends = written.connections.iter().enumerate().flat_map(|(index, connection)| {
        [(index, "from", &connection.from), (index, "to", &connection.to)]
    });
    ends.filter(|(_, _, vm)| !written.vms.contains_key(*vm))
        .map(|(index, key, vm)| {
            let hint = hint_for_unknown(vm, written.vms.keys().map(String::as_str));
            source.error(
                &format!("connections[{index}].{key}"),
                format!("unknown VM `{vm}`"),
                Some(hint),
            )
        })
        .collect()
}

/// `path` from `folder`, with `~/` for the home folder.
fn relative_to(folder: &Path, path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(below), Some(home)) => home.join(below),
        _ => folder.join(path),
    }
}

impl SecretSource {
    fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::Named(SecretPlace::File(path)) => {
                Self::Named(SecretPlace::File(relative_to(folder, &path)))
            }
            other => other,
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

    #[test]
    fn what_a_vm_does_not_say_comes_from_the_defaults() {
        let lab =
            parse(r#"{"a": {"address": "10.0.0.1"}, "b": {"ssh": {"host": "::1", "port": 2202, "user": "root"}}}"#)
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
                let told = lab(key, host).unwrap_err().to_string();
                assert!(
                    told.contains(&format!("`{host}` is neither a name nor an address")),
                    "{told}"
                );
            }
        }
    }

    #[test]
    fn paths_start_at_the_inventory() {
        let lab = parse(
            r#"{"a": {"address": "h", "ssh": {"key": "keys/id", "password": {"file": "pw"}}}}"#,
        )
        .unwrap();
        let ssh = &lab.vms["a"].ssh;
        assert_eq!(ssh.key.as_deref(), Some(Path::new("labs/keys/id")));
        assert_eq!(ssh.password, Some(SecretSource::Named(SecretPlace::File("labs/pw".into()))));
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
    fn jump_hosts_in_a_circle_are_refused() {
        let errors = parse(
            r#"{"a": {"address": "h", "ssh": {"via": "b"}}, "b": {"address": "h", "ssh": {"via": "a"}}}"#,
        );
        assert!(errors.unwrap_err().to_string().contains("circle"));
        let itself = parse(r#"{"a": {"address": "h", "ssh": {"via": "a"}}}"#);
        assert!(itself.unwrap_err().to_string().contains("circle"));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let errors = parse(
            r#"{"a": {}, "b": {"address": "h", "ssh": {"host_key": "MD5:00"}}, "c d": {"address": "h"}}"#,
        );
        assert_eq!(errors.unwrap_err().0.len(), 3);
    }

    #[test]
    fn a_port_stands_once_and_clocks_are_close() {
        let twice =
            parse(r#"{"a": {"address": "h", "ports": [1, 2, 1]}}"#).unwrap_err().to_string();
        assert!(twice.contains("port 1 stands twice"), "{twice}");
        let peers = |within: &str| {
            let text = r#"{"lab": "l", "defaults": {"user": "ops", "agent": true}, "vms": {"a": {"address": "h"}},"#;
            Inventory::parse("i", &format!(r#"{text} "peers": {{"clocks_within": "{within}"}}}}"#))
        };
        assert!(peers("30m").is_ok() && peers("31m").is_err());
    }

    #[test]
    fn an_empty_warning_is_refused() {
        let text = |warnings: &str| {
            format!(
                r#"{{"lab": "l", "defaults": {{"user": "ops", "agent": true}}, "vms": {{"a": {{"address": "h"}}}}, "warnings": {warnings}}}"#
            )
        };
        assert_eq!(Inventory::parse("i", &text(r#"["one"]"#)).unwrap().warnings, ["one"]);
        assert!(Inventory::parse("i", &text(r#"["one", " "]"#)).is_err());
    }

    #[test]
    fn a_secret_never_shows_in_debug_output() {
        let lab = parse(r#"{"a": {"address": "h", "ssh": {"password": "hunter2"}}}"#).unwrap();
        assert!(!format!("{lab:?}").contains("hunter2"));
    }
}
