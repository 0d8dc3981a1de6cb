//! A VM with its defaults applied.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::file::{Access, InventoryFile, Readiness, VmEntry};
use super::hosts::{is_fingerprint, is_host, parse_endpoint};
use super::paths::relative_to;
use super::secret::SecretSource;
use crate::problem::{Problem, hint_for_unknown};
use crate::spec::name::{NAME_HINT, is_name};
use crate::spec::source::{Source, join};

/// A VM and how to log in to it.
#[derive(Debug, Clone)]
pub struct Vm {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Option<String>,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// Values for templates: its own, those of its groups, and those of the lab.
    pub vars: Map<String, Value>,
    /// Memory in GiB, as declared.
    pub memory_gb: Option<u32>,
    /// Disk in GiB, as declared.
    pub disk_gb: Option<u32>,
    /// Its address on the lab's own network.
    pub address: Option<String>,
    /// TCP ports that it is declared to serve.
    pub ports: Vec<NonZeroU16>,
    /// UDP ports that it is declared to serve.
    pub udp_ports: Vec<NonZeroU16>,
    /// How to log in.
    pub ssh: Ssh,
    /// Time limits for the steps of its boot.
    pub readiness: Readiness,
}

/// How to log in to a VM; nothing is left to default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// Name or address to connect to.
    pub host: String,
    /// TCP port of sshd.
    pub port: u16,
    /// User to log in as.
    pub user: String,
    /// Password for the login.
    pub password: Option<SecretSource>,
    /// Password for sudo.
    pub sudo_password: Option<SecretSource>,
    /// Path of a private key file, as seen from the working directory.
    pub key: Option<PathBuf>,
    /// Passphrase of the key.
    pub key_passphrase: Option<SecretSource>,
    /// Whether to use the keys of the SSH agent.
    pub agent: bool,
    /// The jump host.
    pub via: Option<Via>,
    /// Fingerprint that the host key must have, as `SHA256:...`.
    pub host_key: Option<String>,
}

/// A jump host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// A VM of the inventory, by name.
    Vm(String),
    /// Another machine; the login there uses the key, password or agent of the VM behind it.
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
    /// `host:port`, with brackets around an IPv6 address.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Reads one VM of an inventory file.
pub(super) struct VmReader<'a> {
    pub source: &'a Source,
    pub file: &'a InventoryFile,
    /// The inventory's folder.
    pub folder: &'a Path,
}

impl VmReader<'_> {
    /// The VM, or its first problem.
    pub fn read(&self, name: &str, entry: &VmEntry) -> Result<Vm, Problem> {
        let path = format!("vms.{name}");
        self.check_names(&path, name, entry)?;
        self.check_ports(&path, entry)?;
        self.check_hosts(&path, entry)?;
        Ok(Vm {
            name: name.to_owned(),
            role: entry.role.clone(),
            groups: entry.groups.clone(),
            vars: self.vars(&path, name, entry)?,
            memory_gb: entry.memory_gb,
            disk_gb: entry.disk_gb,
            address: entry.address.clone(),
            ports: entry.ports.clone(),
            udp_ports: entry.udp_ports.clone(),
            ssh: self.read_ssh(&path, name, entry)?,
            readiness: entry.readiness.or(self.file.readiness),
        })
    }

    /// The names of the VM, its role and its groups.
    fn check_names(&self, path: &str, name: &str, entry: &VmEntry) -> Result<(), Problem> {
        let invalid = |path: &str, what: &str, name: &str| {
            let message = format!("`{name}` is not a valid {what} name");
            Err(self.source.problem(path, message).hint(NAME_HINT))
        };
        if !is_name(name) {
            return invalid(path, "VM", name);
        }
        if let Some(role) = entry.role.as_ref().filter(|role| !is_name(role)) {
            return invalid(&join(path, "role"), "role", role);
        }
        for (index, group) in entry.groups.iter().enumerate() {
            let path = format!("{path}.groups[{index}]");
            if !is_name(group) {
                return invalid(&path, "group", group);
            }
            if entry.groups[..index].contains(group) {
                return Err(self.source.problem(&path, format!("duplicate group `{group}`")));
            }
        }
        Ok(())
    }

    /// Its own values, then those of its groups, then those of the lab.
    fn vars(&self, path: &str, name: &str, entry: &VmEntry) -> Result<Map<String, Value>, Problem> {
        let mut of_groups: HashMap<&str, (&str, &Value)> = HashMap::new();
        for group in &entry.groups {
            let Some(declared) = self.file.groups.get(group) else { continue };
            for (key, value) in
                declared.vars.iter().filter(|(key, _)| !entry.vars.contains_key(*key))
            {
                let known = of_groups.insert(key, (group, value));
                if let Some((other, _)) = known.filter(|(_, known)| *known != value) {
                    let message = format!(
                        "the groups `{other}` and `{group}` of {name} disagree about the value \
                         `{key}`"
                    );
                    let problem = self.source.problem(&join(path, "groups"), message);
                    return Err(problem.hint(format!("set `{key}` in the `vars` of {name}")));
                }
            }
        }
        let mut vars = self.file.vars.clone();
        let of_groups =
            of_groups.into_iter().map(|(key, (_, value))| (key.to_owned(), value.clone()));
        vars.extend(of_groups);
        vars.extend(entry.vars.clone());
        Ok(vars)
    }

    fn check_ports(&self, path: &str, entry: &VmEntry) -> Result<(), Problem> {
        for (key, ports) in [("ports", &entry.ports), ("udp_ports", &entry.udp_ports)] {
            for (index, port) in ports.iter().enumerate() {
                if ports[..index].contains(port) {
                    let message = format!("duplicate port {port}");
                    return Err(self.source.problem(&join(path, key), message));
                }
            }
        }
        Ok(())
    }

    fn check_hosts(&self, path: &str, entry: &VmEntry) -> Result<(), Problem> {
        for (key, host) in [("address", &entry.address), ("ssh.host", &entry.ssh.host)] {
            if let Some(host) = host.as_deref().filter(|host| !is_host(host)) {
                let message = format!("`{host}` is neither a host name nor an IP address");
                let problem = self.source.problem(&join(path, key), message);
                return Err(problem.hint(host_hint(host)));
            }
        }
        Ok(())
    }

    fn read_ssh(&self, path: &str, name: &str, entry: &VmEntry) -> Result<Ssh, Problem> {
        let missing = |what: &str, hint: &str| {
            self.source.problem(path, format!("VM `{name}` has no {what}")).hint(hint)
        };
        let access = self.access(name, entry);
        let agent = access.agent.unwrap_or(false);
        if access.password.is_none() && access.key.is_none() && !agent {
            let hint = "add `password`, `key` or `\"agent\": true`, here or in `defaults`";
            return Err(missing("login method", hint));
        }
        self.check_host_key(path, &access)?;
        let via = access.via.as_deref().map(|via| self.read_via(path, via)).transpose()?;
        let host = access.host.or_else(|| entry.address.clone());
        let secret = |source: SecretSource| source.relative_to(self.folder);
        Ok(Ssh {
            host: host.ok_or_else(|| missing("address", "add `address` or `ssh.host`"))?,
            port: access.port.unwrap_or(22),
            user: access
                .user
                .ok_or_else(|| missing("user", "add `user`, here or in `defaults`"))?,
            sudo_password: access.sudo_password.or_else(|| access.password.clone()).map(secret),
            password: access.password.map(secret),
            key: access.key.map(|key| relative_to(self.folder, &key)),
            key_passphrase: access.key_passphrase.map(secret),
            agent,
            via,
            host_key: access.host_key,
        })
    }

    /// The VM's own keys and the defaults.
    fn access(&self, name: &str, entry: &VmEntry) -> Access {
        let mut defaults = self.file.defaults.clone();
        // A jump host for all VMs does not lead to itself.
        defaults.via = defaults.via.filter(|via| via != name);
        entry.ssh.or(&defaults)
    }

    fn check_host_key(&self, path: &str, access: &Access) -> Result<(), Problem> {
        match &access.host_key {
            Some(pin) if !is_fingerprint(pin) => {
                let message = format!("`{pin}` is not a host-key fingerprint");
                let problem = self.source.problem(&join(path, "ssh.host_key"), message);
                let hint = "write the fingerprint that `ssh-keygen -lf KEY.pub` prints: SHA256: \
                            and 43 characters";
                Err(problem.hint(hint))
            }
            _ => Ok(()),
        }
    }

    fn read_via(&self, path: &str, via: &str) -> Result<Via, Problem> {
        if self.file.vms.contains_key(via) {
            return Ok(Via::Vm(via.to_owned()));
        }
        if let Some(endpoint) = parse_endpoint(via) {
            return Ok(Via::Host {
                user: endpoint.user,
                host: endpoint.host,
                port: endpoint.port.unwrap_or(22),
            });
        }
        let meant = hint_for_unknown(via, self.file.vms.keys().map(String::as_str));
        let message = format!("`{via}` is neither a VM nor `user@host:port`");
        let problem = self.source.problem(&join(path, "ssh.via"), message);
        Err(problem.hint(format!("{meant}; or write `user@host:port`")))
    }
}

/// What to do about a text that is not a host.
fn host_hint(host: &str) -> &'static str {
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let has_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if has_port && is_host(name) {
        "write the port into `ssh.port`"
    } else if host.contains('@') {
        "write the user into `ssh.user`"
    } else {
        "write only a host name or an IP address"
    }
}
