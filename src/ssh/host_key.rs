//! Host keys: which keys the other end may have.
//!
//! In this order: the inventory's pin; the user's and the system's known_hosts; the lab's own
//! known_hosts, into which the key of an unknown host is written once. A changed or revoked key is
//! always refused.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use russh::keys::known_hosts::learn_known_hosts_path;
use russh::keys::ssh_key::{Algorithm, HashAlg, PublicKey};

use super::known_hosts::{KnownKeys, entry_name};
use crate::obstacle::{Obstacle, Stage};
use crate::record::Trust;

/// Which host keys to trust at one address.
#[derive(Debug, Clone)]
pub struct HostKeyPolicy {
    /// The fingerprint that the inventory names.
    pub pin: Option<String>,
    /// known_hosts files that are only read.
    pub known_hosts: Vec<PathBuf>,
    /// The lab's known_hosts, into which new keys are written.
    pub lab_known_hosts: Option<PathBuf>,
}

impl HostKeyPolicy {
    /// The user's and the system's known_hosts files, where OpenSSH looks.
    pub fn usual_known_hosts() -> Vec<PathBuf> {
        let home = std::env::home_dir().map(|home| home.join(".ssh/known_hosts"));
        home.into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]).collect()
    }

    /// The rules for the key of `host:port`; the files are read here, once.
    pub fn of(&self, host: &str, port: u16) -> HostKeys {
        let files = self.known_hosts.iter().chain(&self.lab_known_hosts);
        HostKeys {
            pin: self.pin.clone(),
            known: files.map(|file| KnownHost::read(file, host, port)).collect(),
            learns: self.lab_known_hosts.as_ref().map(|file| LearningFile {
                file: file.clone(),
                host: host.to_owned(),
                port,
            }),
        }
    }
}

/// The rules for the key of one host.
pub struct HostKeys {
    pin: Option<String>,
    known: Vec<Result<KnownHost, Obstacle>>,
    learns: Option<LearningFile>,
}

/// The file into which the key of an unknown host is written.
struct LearningFile {
    file: PathBuf,
    host: String,
    port: u16,
}

impl HostKeys {
    /// The types of the keys that the host may have; a key of another type would look like a changed
    /// key. With a pin, only a known key with its fingerprint counts.
    pub fn types(&self) -> Vec<Algorithm> {
        let trusted = self.known.iter().flatten().flat_map(|host| &host.keys.trusted);
        let expected = trusted.filter(|listed| match &self.pin {
            Some(pin) => *pin == listed.key.fingerprint(HashAlg::Sha256).to_string(),
            None => true,
        });
        expected.map(|listed| listed.key.algorithm()).collect()
    }

    /// Checks that the host may have this key.
    pub fn check(&self, key: &PublicKey) -> Result<Trust, Obstacle> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        if let Some(pin) = &self.pin {
            if *pin != fingerprint {
                return Err(not_the_pinned_one(key, pin, &fingerprint));
            }
            return Ok(Trust::Pinned);
        }
        // A key that one file revokes is refused even if another file trusts it.
        for host in &self.known {
            host.as_ref().map_err(Clone::clone)?.refuse_revoked(key)?;
        }
        for host in &self.known {
            if host.as_ref().map_err(Clone::clone)?.has(key)? {
                return Ok(Trust::Known);
            }
        }
        match &self.learns {
            Some(learning) => learning.learn(key),
            None => Err(unknown(&fingerprint)),
        }
    }
}

fn unknown(fingerprint: &str) -> Obstacle {
    let message = format!("the host is unknown; it presents the key {fingerprint}");
    Obstacle::lasting(Stage::HostKey, message).hint(format!(
        "if that is its key, pin it in the VM's entry: \
         \"ssh\": {{ \"host_key\": \"{fingerprint}\" }}; \
         or connect once with `ssh`, or set \"known_hosts\" to a file: bootproof then accepts the \
         key of an unknown host once, and writes it there"
    ))
}

fn not_the_pinned_one(key: &PublicKey, pin: &str, fingerprint: &str) -> Obstacle {
    let presented = format!("{} {fingerprint}", key.algorithm());
    let message = format!("the host key is {presented}, but the inventory pins {pin}");
    Obstacle::lasting(Stage::HostKey, message).hint(
        "the VM was rebuilt, or another machine answers; \
         if it was rebuilt on purpose, pin its new key in the inventory \
         (if it has several, the one with the algorithm named above)",
    )
}

/// What one known_hosts file lists for a host.
struct KnownHost {
    file: PathBuf,
    /// The host's name there.
    entry: String,
    keys: KnownKeys,
}

impl KnownHost {
    /// Reads `file`; a file that does not exist lists nothing.
    fn read(file: &Path, host: &str, port: u16) -> Result<Self, Obstacle> {
        let failed = |why: String, hint: &str| {
            let message = format!("cannot read {}: {why}", file.display());
            Obstacle::lasting(Stage::HostKey, message).hint(hint)
        };
        let text = match std::fs::read(file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if is_absent(&error) => String::new(),
            Err(error) => {
                let hint = "make it readable: it may list or revoke the key of this host";
                return Err(failed(error.to_string(), hint));
            }
        };
        let keys = KnownKeys::of_host(host, port, &text)
            .map_err(|error| failed(error.to_string(), "fix or remove the broken line"))?;
        Ok(Self { file: file.to_owned(), entry: entry_name(host, port), keys })
    }

    fn refuse_revoked(&self, key: &PublicKey) -> Result<(), Obstacle> {
        let revoked =
            self.keys.revoked.iter().find(|listed| listed.key.key_data() == key.key_data());
        let Some(listed) = revoked else { return Ok(()) };
        let (kind, fingerprint) = (key.algorithm(), key.fingerprint(HashAlg::Sha256));
        let place = format!("{}:{}", self.file.display(), listed.line);
        let message = format!("the host key {kind} {fingerprint} is revoked by {place}");
        Err(Obstacle::lasting(Stage::HostKey, message)
            .hint("anyone who has that key can impersonate the VM; give the VM a new one"))
    }

    /// Whether the file trusts this key; a known host with another key is an error.
    fn has(&self, key: &PublicKey) -> Result<bool, Obstacle> {
        let trusted = &self.keys.trusted;
        if trusted.iter().any(|listed| listed.key.key_data() == key.key_data()) {
            return Ok(true);
        }
        let Some(old) = trusted.first() else { return Ok(false) };
        let file = self.file.display();
        let message = format!(
            "the host key changed: it is {} {}, but {file}:{} says {} {}",
            key.algorithm(),
            key.fingerprint(HashAlg::Sha256),
            old.line,
            old.key.algorithm(),
            old.key.fingerprint(HashAlg::Sha256),
        );
        Err(Obstacle::lasting(Stage::HostKey, message).hint(format!(
            "the VM was rebuilt, or another machine answers; \
             if it was rebuilt on purpose: ssh-keygen -f {file} -R '{}'",
            self.entry
        )))
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl LearningFile {
    /// Writes the key into the file. If another process did so meanwhile, its key counts.
    fn learn(&self, key: &PublicKey) -> Result<Trust, Obstacle> {
        let Self { file, host, port } = self;
        let failed = |error: String| {
            Obstacle::lasting(Stage::HostKey, format!("cannot write {}: {error}", file.display()))
                .hint("make it writable, or pin the key in the inventory")
        };
        let _lock = lock(file).map_err(|error| failed(error.to_string()))?;
        if KnownHost::read(file, host, *port)?.has(key)? {
            return Ok(Trust::Known);
        }
        learn_known_hosts_path(host, *port, key, file)
            .map_err(|error| failed(error.to_string()))?;
        Ok(Trust::AcceptedOnce)
    }
}

/// Locks the file while a key is written: several VMs and several processes may learn at once.
fn lock(file: &Path) -> std::io::Result<File> {
    let lock = OpenOptions::new().create(true).append(true).open(file)?;
    lock.lock()?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn types(pin: Option<&str>) -> Vec<Algorithm> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, format!("vm.example {KEY}\n").as_bytes()).unwrap();
        let policy = HostKeyPolicy {
            pin: pin.map(str::to_owned),
            known_hosts: vec![file.path().to_owned()],
            lab_known_hosts: None,
        };
        policy.of("vm.example", 22).types()
    }

    #[test]
    fn a_pin_outranks_the_type_of_another_known_key() {
        let own = PublicKey::from_openssh(KEY).unwrap().fingerprint(HashAlg::Sha256).to_string();
        assert_eq!(types(None), [Algorithm::Ed25519]);
        assert_eq!(types(Some(&own)), [Algorithm::Ed25519]);
        assert_eq!(types(Some("SHA256:of-another-key")), []);
    }
}
