//! What a known_hosts file says about one host, by the rules of sshd(8). Pure: [`super::host_key`] reads and writes.
//!
//! russh's own reader passes over markers, wildcards, tabs and files that may not be read: a revoked key would be
//! that of an unknown host, which can be accepted. Absent: certificates; `@cert-authority` counts for nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use russh::keys::parse_public_key_base64;
use russh::keys::ssh_key::PublicKey;

/// The keys of one host, each with its line.
#[derive(Debug, Default)]
pub struct Said {
    /// Those that it has.
    pub keys: Vec<(usize, PublicKey)>,
    /// Those that must not be trusted any more.
    pub revoked: Vec<(usize, PublicKey)>,
}

impl Said {
    /// Reads the lines about `host:port`. The error is a line about it whose key cannot be read.
    pub fn about(host: &str, port: u16, text: &str) -> Result<Self, String> {
        let name = entry_name(host, port).to_ascii_lowercase();
        let mut said = Self::default();
        for (index, line) in text.lines().enumerate() {
            let mut fields = line.split_ascii_whitespace().peekable();
            let marker = fields.next_if(|field| field.starts_with('@'));
            let (Some(hosts), Some(_), Some(key)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if hosts.starts_with('#') || !is_meant(hosts, &name) {
                continue;
            }
            let side = match marker {
                None => &mut said.keys,
                Some("@revoked") => &mut said.revoked,
                Some(_) => continue,
            };
            let key = parse_public_key_base64(key)
                .map_err(|error| format!("line {}: {error}", index + 1))?;
            side.push((index + 1, key));
        }
        Ok(said)
    }
}

/// How a host stands in the file.
pub fn entry_name(host: &str, port: u16) -> String {
    if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") }
}

/// Whether one of `patterns` is that of the host, and none excludes it.
fn is_meant(patterns: &str, name: &str) -> bool {
    let (no, yes): (Vec<&str>, Vec<&str>) =
        patterns.split(',').partition(|pattern| pattern.starts_with('!'));
    let matches = |pattern: &str| match pattern.strip_prefix("|1|") {
        Some(hashed) => is_hash_of(hashed, name),
        None => is_like(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()),
    };
    yes.into_iter().any(matches) && !no.into_iter().any(|pattern| matches(&pattern[1..]))
}

/// `SALT|HASH`, as `ssh-keygen -H` writes it.
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let decode = |text: &str| STANDARD.decode(text).ok();
    let parts =
        hashed.split_once('|').and_then(|(salt, hash)| Some((decode(salt)?, decode(hash)?)));
    parts.is_some_and(|(salt, hash)| {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        hmac::verify(&key, name.as_bytes(), &hash).is_ok()
    })
}

/// `*` stands for any characters, `?` for one.
fn is_like(pattern: &[u8], name: &[u8]) -> bool {
    // Where to go on when it does not match: behind the last star, one character further.
    let (mut at, mut from, mut retry) = (0, 0, None);
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, from + 1));
                at += 1;
            }
            Some(one) if *one == b'?' || *one == name[from] => (at, from) = (at + 1, from + 1),
            _ => match retry {
                Some((behind, next)) => {
                    retry = Some((behind, next + 1));
                    (at, from) = (behind, next);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|one| *one == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    /// How many keys are known and how many are revoked.
    fn said(host: &str, port: u16, text: &str) -> (usize, usize) {
        let said = Said::about(host, port, text).unwrap();
        (said.keys.len(), said.revoked.len())
    }

    #[test]
    fn hosts_are_found_by_the_rules_of_openssh() {
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
                said(host, port, &format!("{hosts} {KEY}\n")),
                (usize::from(found), 0),
                "{hosts} for {host}"
            );
        }
    }

    #[test]
    fn blanks_and_tabs_are_between_fields_and_lines_are_counted_with_comments() {
        let text = format!("# mine\n\n \tvm.example\t {} comment\r\n", KEY.replace(' ', "\t"));
        let said = Said::about("vm.example", 22, &text).unwrap();
        assert_eq!(said.keys.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_marker_says_that_a_key_is_revoked_or_no_host_key() {
        assert_eq!(
            said("vm.example", 22, &format!("@revoked *.example {KEY}\nvm.example {KEY}")),
            (1, 1)
        );
        assert_eq!(
            said("vm.example", 22, &format!("@cert-authority * {KEY}\n@else * {KEY}")),
            (0, 0)
        );
    }

    #[test]
    fn only_a_broken_line_about_the_host_is_an_error() {
        assert_eq!(said("vm.example", 22, "other ssh-rsa AAAA\nvm.example\n\n"), (0, 0));
        let error = Said::about("vm.example", 22, "\nvm.example ssh-rsa AAAA").unwrap_err();
        assert!(error.starts_with("line 2: "), "{error}");
    }
}
