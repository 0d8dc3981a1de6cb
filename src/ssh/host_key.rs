//! Host keys: who the other end must be.
//!
//! In this order: the inventory's pin; the user's and the system's known_hosts; the lab's own known_hosts, into
//! which the key of an unknown host is written once. A key that changed or was revoked is always refused.

use crate::obstacle::{Obstacle, Stage};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::record::Trust;
use russh::keys::known_hosts::learn_known_hosts_path;
use russh::keys::ssh_key::{Algorithm, HashAlg, PublicKey};

use super::known_hosts::{Said, entry_name};

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
    pub fn of(&self, host: &str, port: u16) -> HostKeys {
        let files = self.known_hosts.iter().chain(&self.lab_known_hosts);
        HostKeys {
            pin: self.pin.clone(),
            known: files.map(|file| KnownHost::read(file, host, port)).collect(),
            learns: self.lab_known_hosts.as_ref().map(|file| (file.clone(), host.to_owned(), port)),
        }
    }
}

/// What must be true of the key of one host.
pub struct HostKeys {
    pin: Option<String>,
    known: Vec<Result<KnownHost, Obstacle>>,
    learns: Option<(PathBuf, String, u16)>,
}

impl HostKeys {
    /// The key types under which the host is known; asking for another type would look like a changed key.
    pub fn types(&self) -> Vec<Algorithm> {
        let keys = self.known.iter().flatten().flat_map(|host| &host.said.keys);
        keys.map(|(_, key)| key.algorithm()).collect()
    }

    /// Whether `key` is the one that the host must have.
    pub fn check(&self, key: &PublicKey) -> Result<Trust, Obstacle> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        if let Some(pin) = &self.pin {
            return if *pin == fingerprint {
                Ok(Trust::Pinned)
            } else {
                Err(not_the_pinned_one(key, pin, &fingerprint))
            };
        }
        // A key that one file revokes is not trusted because of another.
        for host in &self.known {
            host.as_ref().map_err(Clone::clone)?.refuse_revoked(key)?;
        }
        for host in &self.known {
            if host.as_ref().map_err(Clone::clone)?.has(key)? {
                return Ok(Trust::Known);
            }
        }
        match &self.learns {
            Some((file, host, port)) => learn(file, host, *port, key),
            None => Err(Obstacle::lasting(Stage::HostKey, format!("the host is unknown; it shows {fingerprint}"))
                .hint(format!(
                    "if that is its key, put \"host_key\": \"{fingerprint}\" into the inventory, or give the inventory \
                     a \"known_hosts\" file that accepts new hosts once"
                ))),
        }
    }
}

fn not_the_pinned_one(key: &PublicKey, pin: &str, fingerprint: &str) -> Obstacle {
    let shown = format!("{} {fingerprint}", key.algorithm());
    Obstacle::lasting(Stage::HostKey, format!("the host key is {shown}, but the inventory pins {pin}")).hint(
        "the VM was rebuilt, or another machine answers; if it was rebuilt on purpose, put the new fingerprint into the inventory",
    )
}

/// What one known_hosts file says about a host.
struct KnownHost {
    file: PathBuf,
    /// Its name there.
    entry: String,
    said: Said,
}

impl KnownHost {
    /// What `file` says; nothing when there is no such file.
    fn read(file: &Path, host: &str, port: u16) -> Result<Self, Obstacle> {
        let failed = |why: String, hint: &str| {
            Obstacle::lasting(Stage::HostKey, format!("cannot read {}: {why}", file.display()))
                .hint(hint)
        };
        let text = match std::fs::read(file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                String::new()
            }
            Err(error) => {
                return Err(failed(error.to_string(), "what it says about the host must be known"));
            }
        };
        let said = Said::about(host, port, &text)
            .map_err(|why| failed(why, "mend or remove the broken line"))?;
        Ok(Self { file: file.to_owned(), entry: entry_name(host, port), said })
    }

    fn refuse_revoked(&self, key: &PublicKey) -> Result<(), Obstacle> {
        let revoked =
            self.said.revoked.iter().find(|(_, revoked)| revoked.key_data() == key.key_data());
        let Some((line, _)) = revoked else { return Ok(()) };
        let (kind, shown, file) =
            (key.algorithm(), key.fingerprint(HashAlg::Sha256), self.file.display());
        let message = format!("the host key {kind} {shown} is revoked by {file}:{line}");
        Err(Obstacle::lasting(Stage::HostKey, message)
            .hint("whoever has that key can pass for the VM; give it a new one"))
    }

    /// Whether the host is known by this key; a known host with another key is an error.
    fn has(&self, key: &PublicKey) -> Result<bool, Obstacle> {
        if self.said.keys.iter().any(|(_, known)| known.key_data() == key.key_data()) {
            return Ok(true);
        }
        let Some((line, old)) = self.said.keys.first() else { return Ok(false) };
        let (file, now) = (self.file.display(), key.fingerprint(HashAlg::Sha256));
        let message = format!(
            "the host key changed: it is {} {now}, but {file}:{line} says {} {}",
            key.algorithm(),
            old.algorithm(),
            old.fingerprint(HashAlg::Sha256),
        );
        Err(Obstacle::lasting(Stage::HostKey, message).hint(format!(
            "the VM was rebuilt, or another machine answers; if it was rebuilt on purpose: ssh-keygen -f {file} -R '{}'",
            self.entry
        )))
    }
}

/// Writes the key down, unless another process has done so meanwhile: then its key counts.
fn learn(file: &Path, host: &str, port: u16, key: &PublicKey) -> Result<Trust, Obstacle> {
    let failed = |error: String| {
        Obstacle::lasting(Stage::HostKey, format!("cannot write {}: {error}", file.display()))
            .hint("make it writable, or pin the key in the inventory")
    };
    let _lock = lock_beside(file).map_err(|error| failed(error.to_string()))?;
    if KnownHost::read(file, host, port)?.has(key)? {
        return Ok(Trust::Known);
    }
    learn_known_hosts_path(host, port, key, file).map_err(|error| failed(error.to_string()))?;
    Ok(Trust::AcceptedOnce)
}

/// Held while a key is written down; several VMs and several processes may learn at once.
fn lock_beside(file: &Path) -> std::io::Result<File> {
    let lock = OpenOptions::new().create(true).append(true).open(file)?;
    lock.lock()?;
    Ok(lock)
}
