//! The inventory: which VMs there are and how to reach them.
//!
//! [`InventoryFile`] is what stands in the file.

use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// A known_hosts file of this lab, relative to the inventory. A key of an unknown host is accepted
    /// into it once and shown in the report; a changed key is refused. Without it, an unknown host is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// How to log in, for every VM that does not say otherwise.
    #[serde(default, skip_serializing_if = "Access::is_empty")]
    pub defaults: Access,
    /// The VMs by name, in the order in which they are shown.
    pub vms: IndexMap<String, VmEntry>,
    /// Which VM talks to which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Connection>,
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
    /// How to log in; what is absent comes from `defaults`.
    #[serde(default, skip_serializing_if = "Access::is_empty")]
    pub ssh: Access,
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
    Literal(String),
    /// It is read from a named place.
    Named(SecretPlace),
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

/// A declared edge of the lab's topology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// The VM that connects.
    pub from: String,
    /// The VM that answers.
    pub to: String,
    /// TCP port on `to`.
    pub port: u16,
    /// What the edge is for, e.g. `embeddings-write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
}
