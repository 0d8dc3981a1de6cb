//! The keys that a known_hosts file lists for one host, by the rules of sshd(8). Pure:
//! [`super::host_key`] reads and writes the files.
//!
//! russh's own reader skips markers, wildcards, tabs and unreadable files: a host with a revoked
//! key would count as unknown, and its key could be accepted. Certificates are not supported, so
//! `@cert-authority` lines are skipped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use russh::keys::parse_public_key_base64;
use russh::keys::ssh_key::PublicKey;
use thiserror::Error;

/// A key and the number of its line.
#[derive(Debug)]
pub struct ListedKey {
    /// Counted from 1.
    pub line: usize,
    /// The public key.
    pub key: PublicKey,
}

/// A line about the host whose key cannot be read.
#[derive(Debug, Error)]
#[error("line {line}: {error}")]
pub struct UnreadableLine {
    line: usize,
    error: russh::keys::Error,
}

/// The keys of one host.
#[derive(Debug, Default)]
pub struct KnownKeys {
    /// Keys that the host may have.
    pub trusted: Vec<ListedKey>,
    /// Keys that the host must not have.
    pub revoked: Vec<ListedKey>,
}

impl KnownKeys {
    /// Reads the lines about `host:port`. The error names a line about it whose key is unreadable.
    pub fn of_host(host: &str, port: u16, text: &str) -> Result<Self, UnreadableLine> {
        let name = entry_name(host, port).to_ascii_lowercase();
        let mut known = Self::default();
        for (index, line) in text.lines().enumerate() {
            let mut fields = line.split_ascii_whitespace().peekable();
            let marker = fields.next_if(|field| field.starts_with('@'));
            let (Some(hosts), Some(_), Some(key)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if hosts.starts_with('#') || !matches_host(hosts, &name) {
                continue;
            }
            let list = match marker {
                None => &mut known.trusted,
                Some("@revoked") => &mut known.revoked,
                Some(_) => continue,
            };
            let key = parse_public_key_base64(key)
                .map_err(|error| UnreadableLine { line: index + 1, error })?;
            list.push(ListedKey { line: index + 1, key });
        }
        Ok(known)
    }
}

/// The name of a host in the file.
pub fn entry_name(host: &str, port: u16) -> String {
    if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") }
}

/// Whether one of `patterns` matches the host, and no pattern with `!` excludes it.
fn matches_host(patterns: &str, name: &str) -> bool {
    let matches = |pattern: &str| match pattern.strip_prefix("|1|") {
        Some(hashed) => is_hash_of(hashed, name),
        None => is_like(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()),
    };
    let mut excluded = patterns.split(',').filter_map(|pattern| pattern.strip_prefix('!'));
    let mut included = patterns.split(',').filter(|pattern| !pattern.starts_with('!'));
    included.any(matches) && !excluded.any(matches)
}

/// `SALT|HASH`, as `ssh-keygen -H` writes it.
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else { return false };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else {
        return false;
    };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    hmac::verify(&key, name.as_bytes(), &hash).is_ok()
}

/// `*` matches any characters, `?` matches one.
fn is_like(pattern: &[u8], name: &[u8]) -> bool {
    // Where to continue after a mismatch: behind the last star, one character further.
    let (mut at, mut from, mut retry) = (0, 0, None);
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, from + 1));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[from] => (at, from) = (at + 1, from + 1),
            _ => match retry {
                Some((behind, next)) => {
                    retry = Some((behind, next + 1));
                    (at, from) = (behind, next);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    /// How many keys are trusted and how many are revoked.
    fn counts(host: &str, port: u16, text: &str) -> (usize, usize) {
        let known = KnownKeys::of_host(host, port, text).unwrap();
        (known.trusted.len(), known.revoked.len())
    }

    #[test]
    fn matches_hosts_by_the_rules_of_openssh() {
        for (hosts, host, port, found) in [
            ("vm.example", "vm.example", 22, true),
            ("vm.example", "VM.example", 22, true),
            ("vm.example", "vm.example", 2222, false),
            ("[vm.example]:2222", "vm.example", 2222, true),
            ("other,vm.example,10.0.0.1", "10.0.0.1", 22, true),
            ("*.example", "vm.example", 22, true),
            ("*.example", "vm.examples", 22, false),
            ("v?.ex*m*e", "vm.example", 22, true),
            ("*,!vm.example", "vm.example", 22, false),
            ("!other,*.example", "vm.example", 22, true),
            ("[*]:2222", "::1", 2222, true),
            ("#vm.example", "vm.example", 22, false),
        ] {
            assert_eq!(
                counts(host, port, &format!("{hosts} {KEY}\n")),
                (usize::from(found), 0),
                "{hosts} for {host}"
            );
        }
    }

    #[test]
    fn blanks_and_tabs_separate_fields_and_comments_count_as_lines() {
        let text = format!("# mine\n\n \tvm.example\t {} comment\r\n", KEY.replace(' ', "\t"));
        let known = KnownKeys::of_host("vm.example", 22, &text).unwrap();
        assert_eq!(known.trusted.iter().map(|listed| listed.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_marked_key_is_revoked_or_skipped() {
        assert_eq!(
            counts("vm.example", 22, &format!("@revoked *.example {KEY}\nvm.example {KEY}")),
            (1, 1)
        );
        assert_eq!(
            counts("vm.example", 22, &format!("@cert-authority * {KEY}\n@else * {KEY}")),
            (0, 0)
        );
    }

    #[test]
    fn only_a_broken_line_about_the_host_is_an_error() {
        assert_eq!(counts("vm.example", 22, "other ssh-rsa AAAA\nvm.example\n\n"), (0, 0));
        let error = KnownKeys::of_host("vm.example", 22, "\nvm.example ssh-rsa AAAA")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("line 2: "), "{error}");
    }
}
