//! A private key file, refused where OpenSSH refuses it.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use russh::keys::{Error, PrivateKey, decode_secret_key};
use tokio::fs;
use zeroize::Zeroizing;

use crate::obstacle::{Obstacle, Stage};
use crate::secrets::Secret;

/// A private key as it is in its file, possibly encrypted.
pub(super) struct KeyFile {
    path: PathBuf,
    text: Zeroizing<String>,
}

impl KeyFile {
    /// Reads the file; who else can read it is checked first.
    pub(super) async fn read(path: &Path) -> Result<Self, Obstacle> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let metadata = fs::metadata(&path).await.map_err(|error| unreadable(&path, &error))?;
        if metadata.is_dir() {
            return Err(not_a_key(&path, "is a folder", "name a private key file in it"));
        }
        let text = fs::read_to_string(&path).await.map_err(|error| unreadable(&path, &error))?;
        let text = Zeroizing::new(text);
        // Before its permissions: the file of a public key may be readable by everybody.
        if is_public_key(&text) {
            let hint = "name the file without `.pub`";
            return Err(not_a_key(&path, "contains a public key", hint));
        }
        // Like OpenSSH: only the owner is asked to do something about the permissions.
        let is_ours = metadata.uid() == rustix::process::getuid().as_raw();
        if is_ours && metadata.mode() & 0o077 != 0 {
            return Err(too_open(&path, metadata.mode() & 0o777));
        }
        Ok(Self { path, text })
    }

    /// The key, decrypted.
    pub(super) fn decode(&self, passphrase: Option<&Secret>) -> Result<PrivateKey, Obstacle> {
        decode_secret_key(&self.text, passphrase.map(Secret::expose)).map_err(|error| {
            let message = format!("cannot use the key file {}: {error}", self.path.display());
            let hint = match passphrase {
                None if self.text.contains("ENCRYPTED")
                    || matches!(error, Error::KeyIsEncrypted) =>
                {
                    "add `key_passphrase`, or load the key into an agent and write \"agent\": true"
                }
                None => "is it a private key?",
                Some(_) => "is it a private key, and is `key_passphrase` right?",
            };
            Obstacle::lasting(Stage::Auth, message).hint(hint)
        })
    }
}

fn is_public_key(text: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| text.trim_start().starts_with(start))
}

fn not_a_key(path: &Path, what: &str, hint: &str) -> Obstacle {
    Obstacle::lasting(Stage::Auth, format!("`key` is not a private key: {} {what}", path.display()))
        .hint(hint)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Obstacle {
    let path = path.display();
    if error.kind() == ErrorKind::NotFound {
        return Obstacle::lasting(Stage::Auth, format!("the key file {path} does not exist"))
            .hint("set `key` to a private key; a relative path starts at the inventory's folder");
    }
    Obstacle::lasting(Stage::Auth, format!("cannot read the key file {path}: {error}"))
        .hint("make it readable for the user who runs bootproof, and for nobody else")
}

fn too_open(path: &Path, mode: u32) -> Obstacle {
    let path = path.display();
    Obstacle::lasting(Stage::Auth, format!("permissions {mode:04o} for '{path}' are too open"))
        .hint(format!("a private key must not be readable by others: chmod 600 {path}"))
}
