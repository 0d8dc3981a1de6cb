//! Secrets: read once before a run, handed to the logins, masked in every report. They never show
//! in `Debug`.

use std::collections::HashMap;
use std::fmt;

use zeroize::Zeroizing;

use crate::problem::Problem;
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
    pub fn read<'a>(vms: impl IntoIterator<Item = &'a Vm>) -> Result<Self, Problem> {
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

fn read(vm: &str, source: &SecretSource) -> Result<Secret, Problem> {
    match source {
        SecretSource::Literal(secret) => Ok(Secret::from(secret.as_str())),
        SecretSource::Named(SecretPlace::Env(name)) => match std::env::var(name) {
            Ok(value) => Ok(Secret(Zeroizing::new(value))),
            Err(_) => Err(Problem::new(format!("the environment variable {name} is not set"))
                .hint("set it; the inventory reads this VM's secret from this variable")
                .about(&format!("VM `{vm}`"))),
        },
        SecretSource::Named(SecretPlace::File(path)) => {
            let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
                Problem::io(format!("read the secret in {}", path.display()))(error)
                    .hint(
                        "the first line of this file is the secret; check that the file exists \
                         and that this user can read it",
                    )
                    .about(&format!("VM `{vm}`"))
            })?;
            Ok(Secret::from(text.lines().next().unwrap_or_default()))
        }
    }
}
