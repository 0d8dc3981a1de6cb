//! Host keys: who the other end must be.
//!
//! In this order: the inventory's pin; the user's and the system's known_hosts; the lab's own known_hosts, into
//! which the key of an unknown host is written once. A key that changed is always refused.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::{Algorithm, HashAlg, PublicKey};
use russh::keys::{known_hosts, ssh_key};
use schemars::JsonSchema;
use serde::Serialize;

use super::SshError;
use crate::outcome::Stage;

/// Why a host key was trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The inventory names its fingerprint.
    Pinned,
    /// It stands in a known_hosts file.
    Known,
    /// The host was unknown; its key was accepted and written down in this run.
    AcceptedOnce,
}

/// Whom to trust at one address.
#[derive(Debug, Clone)]
pub struct HostKeyPolicy {
    /// The fingerprint that the inventory names.
    pub pin: Option<String>,
    /// known_hosts files that are only read.
    pub known_hosts: Vec<PathBuf>,
    /// The lab's known_hosts, which learns.
    pub lab_known_hosts: Option<PathBuf>,
}

impl HostKeyPolicy {
    /// The user's and the system's known_hosts files, where OpenSSH looks.
    pub fn usual_known_hosts() -> Vec<PathBuf> {
        let home = std::env::home_dir().map(|home| home.join(".ssh/known_hosts"));
        home.into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]).collect()
    }

    /// What must be true of the key of `host:port`; the files are read here, once.
    pub(super) fn of(&self, host: &str, port: u16) -> HostKeys {
        let files = self.known_hosts.iter().chain(&self.lab_known_hosts);
        HostKeys {
            pin: self.pin.clone(),
            known: files.map(|file| KnownHost::read(file, host, port)).collect(),
            learns: self.lab_known_hosts.as_ref().map(|file| (file.clone(), host.to_owned(), port)),
        }
    }
}

/// What must be true of the key of one host.
pub(super) struct HostKeys {
    pin: Option<String>,
    known: Vec<Result<KnownHost, SshError>>,
    learns: Option<(PathBuf, String, u16)>,
}

impl HostKeys {
    /// The key types under which the host is known; asking for another type would look like a changed key.
    pub(super) fn types(&self) -> Vec<Algorithm> {
        let keys = self.known.iter().flatten().flat_map(|host| &host.keys);
        keys.map(|(_, key)| key.algorithm()).collect()
    }

    /// Whether `key` is the one that the host must have.
    pub(super) fn check(&self, key: &PublicKey) -> Result<Trust, SshError> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        if let Some(pin) = &self.pin {
            return if *pin == fingerprint {
                Ok(Trust::Pinned)
            } else {
                Err(not_the_pinned_one(key, pin, &fingerprint))
            };
        }
        for host in &self.known {
            if host.as_ref().map_err(Clone::clone)?.has(key)? {
                return Ok(Trust::Known);
            }
        }
        match &self.learns {
            Some((file, host, port)) => learn(file, host, *port, key),
            None => Err(SshError::lasting(Stage::HostKey, format!("the host is unknown; it shows {fingerprint}"))
                .hint(format!(
                    "if that is its key, put \"host_key\": \"{fingerprint}\" into the inventory, or give the inventory \
                     a \"known_hosts\" file that accepts new hosts once"
                ))),
        }
    }
}

fn not_the_pinned_one(key: &PublicKey, pin: &str, fingerprint: &str) -> SshError {
    let shown = format!("{} {fingerprint}", key.algorithm());
    SshError::lasting(Stage::HostKey, format!("the host key is {shown}, but the inventory pins {pin}")).hint(
        "the VM was rebuilt, or another machine answers; if it was rebuilt on purpose, put the new fingerprint into the inventory",
    )
}

/// What one known_hosts file says about a host.
struct KnownHost {
    file: PathBuf,
    /// Its name there.
    entry: String,
    keys: Vec<(usize, ssh_key::PublicKey)>,
}

impl KnownHost {
    fn read(file: &Path, host: &str, port: u16) -> Result<Self, SshError> {
        let keys = known_hosts::known_host_keys_path(host, port, file).map_err(|error| {
            SshError::lasting(Stage::HostKey, format!("cannot read {}: {error}", file.display()))
                .hint("mend or remove the broken line")
        })?;
        let entry = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
        Ok(Self { file: file.to_owned(), entry, keys })
    }

    /// Whether the host is known by this key; a known host with another key is an error.
    fn has(&self, key: &PublicKey) -> Result<bool, SshError> {
        if self.keys.iter().any(|(_, known)| known.key_data() == key.key_data()) {
            return Ok(true);
        }
        let Some((line, old)) = self.keys.first() else { return Ok(false) };
        let (file, now) = (self.file.display(), key.fingerprint(HashAlg::Sha256));
        let message = format!(
            "the host key changed: it is {} {now}, but {file}:{line} says {} {}",
            key.algorithm(),
            old.algorithm(),
            old.fingerprint(HashAlg::Sha256),
        );
        Err(SshError::lasting(Stage::HostKey, message).hint(format!(
            "the VM was rebuilt, or another machine answers; if it was rebuilt on purpose: ssh-keygen -f {file} -R '{}'",
            self.entry
        )))
    }
}

/// Writes the key down, unless another process has done so meanwhile: then its key counts.
fn learn(file: &Path, host: &str, port: u16, key: &PublicKey) -> Result<Trust, SshError> {
    let failed = |error: String| {
        SshError::lasting(Stage::HostKey, format!("cannot write {}: {error}", file.display()))
            .hint("make it writable, or pin the key in the inventory")
    };
    let _lock = lock_beside(file).map_err(|error| failed(error.to_string()))?;
    if KnownHost::read(file, host, port)?.has(key)? {
        return Ok(Trust::Known);
    }
    known_hosts::learn_known_hosts_path(host, port, key, file).map_err(|error| failed(error.to_string()))?;
    Ok(Trust::AcceptedOnce)
}

/// Held while a key is written down; several VMs and several processes may learn at once.
fn lock_beside(file: &Path) -> std::io::Result<File> {
    let lock = OpenOptions::new().create(true).append(true).open(file)?;
    lock.lock()?;
    Ok(lock)
}
