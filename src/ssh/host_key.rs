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

    /// The key types under which this host is known; asking for another type would look like a changed key.
    pub fn known_types(&self, host: &str, port: u16) -> Vec<Algorithm> {
        let files = self.known_hosts.iter().chain(&self.lab_known_hosts);
        let keys = files.flat_map(|file| keys_of(file, host, port).unwrap_or_default());
        keys.map(|(_, key)| key.algorithm()).collect()
    }

    /// Whether `key` is the one that `host:port` must have.
    pub fn check(&self, host: &str, port: u16, key: &PublicKey) -> Result<Trust, SshError> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        if let Some(pin) = &self.pin {
            return if *pin == fingerprint {
                Ok(Trust::Pinned)
            } else {
                Err(not_the_pinned_one(key, pin, &fingerprint))
            };
        }
        for file in self.known_hosts.iter().chain(&self.lab_known_hosts) {
            if known_in(file, host, port, key)? {
                return Ok(Trust::Known);
            }
        }
        match &self.lab_known_hosts {
            Some(file) => learn(file, host, port, key),
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

/// Whether `file` knows the host by this key; a known host with another key is an error.
fn known_in(file: &Path, host: &str, port: u16, key: &PublicKey) -> Result<bool, SshError> {
    let known = keys_of(file, host, port)?;
    if known.iter().any(|(_, known)| known.key_data() == key.key_data()) {
        return Ok(true);
    }
    let Some((line, old)) = known.first() else { return Ok(false) };
    let now = key.fingerprint(HashAlg::Sha256);
    let message = format!(
        "the host key changed: it is {} {now}, but {}:{line} says {} {}",
        key.algorithm(),
        file.display(),
        old.algorithm(),
        old.fingerprint(HashAlg::Sha256),
    );
    let entry = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
    Err(SshError::lasting(Stage::HostKey, message).hint(format!(
        "the VM was rebuilt, or another machine answers; if it was rebuilt on purpose: ssh-keygen -f {} -R '{entry}'",
        file.display()
    )))
}

fn keys_of(file: &Path, host: &str, port: u16) -> Result<Vec<(usize, ssh_key::PublicKey)>, SshError> {
    known_hosts::known_host_keys_path(host, port, file).map_err(|error| {
        SshError::lasting(Stage::HostKey, format!("cannot read {}: {error}", file.display()))
            .hint("mend or remove the broken line")
    })
}

/// Writes the key down, unless another process has done so meanwhile: then its key counts.
fn learn(file: &Path, host: &str, port: u16, key: &PublicKey) -> Result<Trust, SshError> {
    let failed = |error: String| {
        SshError::lasting(Stage::HostKey, format!("cannot write {}: {error}", file.display()))
            .hint("make it writable, or pin the key in the inventory")
    };
    let _lock = lock_beside(file).map_err(|error| failed(error.to_string()))?;
    if known_in(file, host, port, key)? {
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
