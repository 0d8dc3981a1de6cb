//! Secrets: read once before a run, handed to the logins, masked in every report. They never show in `Debug`.

use std::collections::HashMap;
use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::spec::inventory::{SecretPlace, SecretSource, Ssh, Vm};

/// A secret's value; wiped from memory with its last owner.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// A secret that cannot be had.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error(
        "VM `{vm}`: the environment variable {name} is not set\n  hint: the inventory takes a secret from it"
    )]
    Env {
        /// The VM.
        vm: String,
        /// The variable.
        name: String,
    },
    /// The file cannot be read.
    #[error(
        "VM `{vm}`: cannot read the secret in {path}: {error}\n  hint: the inventory takes a secret from it"
    )]
    File {
        /// The VM.
        vm: String,
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
}

/// The secrets of one VM.
#[derive(Debug, Clone, Default)]
pub struct VmSecrets {
    /// For login.
    pub password: Option<Secret>,
    /// For sudo.
    pub sudo_password: Option<Secret>,
    /// Of the private key.
    pub key_passphrase: Option<Secret>,
}

/// The secrets of all VMs of a run.
#[derive(Debug, Clone, Default)]
pub struct Secrets(HashMap<String, VmSecrets>);

impl Secrets {
    /// Reads the secrets of `vms` from where the inventory says.
    pub fn read<'a>(vms: impl IntoIterator<Item = &'a Vm>) -> Result<Self, SecretError> {
        let one = |vm: &Vm| {
            let value = |source: &Option<SecretSource>| {
                source.as_ref().map(|source| read(&vm.name, source)).transpose()
            };
            let secrets = VmSecrets {
                password: value(&vm.ssh.password)?,
                sudo_password: value(&vm.ssh.sudo_password)?,
                key_passphrase: value(&vm.ssh.key_passphrase)?,
            };
            Ok((vm.name.clone(), secrets))
        };
        vms.into_iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Those that can be had, for masking where nobody logs in.
    pub fn at_hand<'a>(vms: impl IntoIterator<Item = &'a Vm>) -> Vec<Secret> {
        let sources = vms.into_iter().flat_map(|vm| {
            let Ssh { password, sudo_password, key_passphrase, .. } = &vm.ssh;
            [password, sudo_password, key_passphrase]
                .into_iter()
                .flatten()
                .map(|source| read(&vm.name, source))
        });
        sources.filter_map(Result::ok).collect()
    }

    /// The secrets of a VM; none if it was not read.
    pub fn of(&self, vm: &str) -> VmSecrets {
        self.0.get(vm).cloned().unwrap_or_default()
    }

    /// Every value, for masking.
    pub fn values(&self) -> Vec<Secret> {
        let all =
            self.0.values().flat_map(|vm| [&vm.password, &vm.sudo_password, &vm.key_passphrase]);
        all.flatten().cloned().collect()
    }
}

fn read(vm: &str, source: &SecretSource) -> Result<Secret, SecretError> {
    match source {
        SecretSource::Literal(secret) => Ok(Secret::from(secret.as_str())),
        SecretSource::Named(SecretPlace::Env(name)) => {
            let value = std::env::var(name).map(Zeroizing::new);
            value
                .map(Secret)
                .map_err(|_| SecretError::Env { vm: vm.to_owned(), name: name.clone() })
        }
        SecretSource::Named(SecretPlace::File(path)) => {
            let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
                SecretError::File { vm: vm.to_owned(), path: path.display().to_string(), error }
            })?;
            Ok(Secret::from(text.lines().next().unwrap_or_default()))
        }
    }
}
