//! The inventory file as written. The doc comments of its types are the descriptions in its JSON
//! Schema.

use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::secret::SecretSource;
use crate::assertion::port_listening::Protocol;
use crate::spec::duration::Span;

/// The VMs of a lab, how to log in to them, and what must hold between them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bootproof inventory")]
pub struct InventoryFile {
    /// Address of this JSON Schema, for editors; bootproof ignores it.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Name of the lab.
    pub lab: String,
    /// One line for the reader of the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Suites to run when the command line names none: their paths, relative to the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub suites: Option<Vec<PathBuf>>,
    /// Path of a `known_hosts` file, relative to the inventory. bootproof accepts the key of an
    /// unknown host once, writes it there and shows it in the report; it refuses a changed key.
    /// Without this file, it refuses hosts whose key is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// How to log in; applies to every VM, unless its own `ssh` says otherwise.
    #[serde(default, skip_serializing_if = "Access::is_empty")]
    pub defaults: Access,
    /// Time limits for the steps of a boot; apply to every VM, unless its own `readiness` says
    /// otherwise.
    #[serde(default, skip_serializing_if = "Readiness::is_empty")]
    pub readiness: Readiness,
    /// Values for the templates of suites: `${{ lab.vars.NAME }}`, and `${{ vm.vars.NAME }}` on every
    /// VM, unless a group of the VM or the VM itself has another value.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub vars: Map<String, Value>,
    /// What the VMs of a group have in common. The `groups` of a VM say in which groups it is; a
    /// group without values need not be here.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub groups: IndexMap<String, GroupEntry>,
    /// The VMs by name; reports keep their order. A name consists of letters, digits, `-`, `_` and
    /// `.`.
    pub vms: IndexMap<String, VmEntry>,
    /// Which VM must reach which port of another VM, or must not. bootproof tests each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Connection>,
    /// What must hold between the VMs. If this key is present, even as `{}`, then the machine-id,
    /// host key, MAC addresses and address of each VM must be unique in the lab; a cloned VM fails
    /// this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
    /// What remains to be done when the lab is deployed. bootproof keeps these texts and does
    /// nothing else with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What must hold between the VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// How far a VM's clock may be from the median of all clocks, including that of the machine
    /// that runs bootproof; at most 30 minutes. Default: clocks are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clocks_within: Option<Span>,
}

/// What the VMs of a group have in common.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupEntry {
    /// One line for the reader of the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Values for the templates of suites: `${{ vm.vars.NAME }}` on each VM of the group.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub vars: Map<String, Value>,
}

/// One VM.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VmEntry {
    /// What the VM is for, such as `app` or `database`; shown in reports. Suites select VMs by it:
    /// `role:app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The groups that the VM is in. Suites select VMs by them: `group:eu`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Values for the templates of suites: `${{ vm.vars.NAME }}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub vars: Map<String, Value>,
    /// Address of the VM on the lab's own network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// TCP ports that the VM serves. Reports list those that no assertion covers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<NonZeroU16>,
    /// UDP ports that the VM serves. Reports list those that no assertion covers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub udp_ports: Vec<NonZeroU16>,
    /// How to log in to this VM; keys that are absent come from `defaults`.
    #[serde(default, skip_serializing_if = "Access::is_empty")]
    pub ssh: Access,
    /// Time limits for the steps of this VM's boot; keys that are absent come from the `readiness`
    /// of the lab.
    #[serde(default, skip_serializing_if = "Readiness::is_empty")]
    pub readiness: Readiness,
    /// Memory in GiB. bootproof does not check it by itself; a suite can: `${{ vm.memory_gb }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_gb: Option<u32>,
    /// Disk in GiB. bootproof does not check it by itself; a suite can: `${{ vm.disk_gb }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<u32>,
    /// Where a drawing of the lab shows the VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// Time limits for the steps of a boot, each counted from the end of the step before. Default: no
/// limit but that of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Readiness {
    /// From the start of the run until sshd accepts a TCP connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Span>,
    /// From there until sshd sends its banner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banner: Option<Span>,
    /// From there until bootproof is logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Span>,
    /// From there until systemd says that the boot is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Span>,
}

impl Readiness {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These limits, and those of `defaults` where there are none.
    pub(super) fn or(self, defaults: Self) -> Self {
        Self {
            tcp: self.tcp.or(defaults.tcp),
            banner: self.banner.or(defaults.banner),
            login: self.login.or(defaults.login),
            running: self.running.or(defaults.running),
        }
    }
}

/// How to log in to a VM. It needs a `user`, and at least one of `password`, `key` and `agent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Name or address to connect to. Default: the VM's `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// TCP port of sshd. Default: 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// User to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password for the login, and for sudo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// Password for sudo, if it differs from the one for the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo_password: Option<SecretSource>,
    /// Path of a private key file (OpenSSH or PEM), relative to the inventory; `~/` is the home
    /// folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Passphrase of `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_passphrase: Option<SecretSource>,
    /// `true`: use the keys of the SSH agent at `SSH_AUTH_SOCK`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<bool>,
    /// Jump host: the name of a VM of this inventory, or `user@host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Fingerprint that the host key must have, as `SHA256:...`; `ssh-keygen -lf` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

impl Access {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These keys, and those of `defaults` where there are none.
    pub(super) fn or(&self, defaults: &Self) -> Self {
        let (own, defaults) = (self.clone(), defaults.clone());
        Self {
            host: own.host.or(defaults.host),
            port: own.port.or(defaults.port),
            user: own.user.or(defaults.user),
            password: own.password.or(defaults.password),
            sudo_password: own.sudo_password.or(defaults.sudo_password),
            key: own.key.or(defaults.key),
            key_passphrase: own.key_passphrase.or(defaults.key_passphrase),
            agent: own.agent.or(defaults.agent),
            via: own.via.or(defaults.via),
            host_key: own.host_key.or(defaults.host_key),
        }
    }
}

/// A place in a drawing of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Pixels from the left.
    pub x: i32,
    /// Pixels from the top.
    pub y: i32,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "({}, {})", self.x, self.y)
    }
}

/// A wire of the lab: one VM must reach a port of another, or must not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Name of the VM that connects.
    pub from: String,
    /// Name of the VM that listens.
    pub to: String,
    /// Port on `to`.
    pub port: u16,
    /// `tcp` (default) or `udp`.
    #[serde(default, skip_serializing_if = "is_tcp", serialize_with = "as_word")]
    pub protocol: Protocol,
    /// What the connection is for, such as `embeddings-write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// `true`: `from` must not reach this port.
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
