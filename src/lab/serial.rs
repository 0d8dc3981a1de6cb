//! What a VM says on its serial console.

use std::path::Path;

/// How far a boot has come, as its console tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing yet.
    PowerOn,
    /// The boot loader or the kernel speaks.
    Kernel,
    /// systemd has begun.
    Systemd,
    /// The host key's fingerprint: sshd listens and the startup scripts have run.
    HostKey(HostKey),
}

impl Stage {
    /// For people.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::PowerOn => "powered on".to_owned(),
            Self::Kernel => "kernel".to_owned(),
            Self::Systemd => "systemd".to_owned(),
            Self::HostKey(key) => format!("up, host key {}", key.fingerprint),
        }
    }
}

/// A host key, as a console tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostKey {
    /// `SHA256:...`
    pub(super) fingerprint: String,
    /// Type and key, as in a known_hosts file.
    pub(super) public: String,
}

/// The line in which an image of ours tells its key.
const TOLD: &str = "bootproof: host key ";

/// Reads the stage off a console's log; what is not there yet is `PowerOn`.
pub(super) fn stage_of(log: &Path) -> Stage {
    // A console can say anything, in any bytes.
    let bytes = std::fs::read(log).unwrap_or_default();
    stage_of_text(&String::from_utf8_lossy(&bytes))
}

/// Reads the stage off what a console has said.
pub(super) fn stage_of_text(text: &str) -> Stage {
    // The last one counts: at a reboot the key stays, on a fresh disk it is another.
    let told = text.lines().rev().find_map(|line| {
        let mut words = line.split_once(TOLD)?.1.split_whitespace();
        let fingerprint =
            words.next().filter(|word| word.len() == 50 && word.starts_with("SHA256:"))?.to_owned();
        // An ed25519 key has 68 characters; a line that is still being written has fewer.
        let (kind, key) = (words.next()?, words.next().filter(|key| key.len() == 68)?);
        Some(HostKey { fingerprint, public: format!("{kind} {key}") })
    });
    match told {
        Some(key) => Stage::HostKey(key),
        None if text.contains("systemd") || text.contains("Debian GNU/Linux") => Stage::Systemd,
        None if text.trim().is_empty() => Stage::PowerOn,
        None => Stage::Kernel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_key_is_read_from_among_other_words() {
        let fingerprint = "SHA256:sZhFZl9QIHT3T7MCctyVVCiTxvEy9/BVlFsMWBEfJUA".to_owned();
        let public = format!("ssh-ed25519 {}", "A".repeat(68));
        let text = format!(
            "\u{1b}[Hgrub\r\nredis login: \r\nbootproof: host key {fingerprint} {public}\r\n"
        );
        assert_eq!(stage_of_text(&text), Stage::HostKey(HostKey { fingerprint, public }));
    }

    #[test]
    fn a_key_that_is_cut_off_is_no_key_yet() {
        assert_eq!(
            stage_of_text(
                "systemd\nbootproof: host key SHA256:sZhFZl9QIHT3T7MCctyVVCiTxvEy9/BVlFsMWBEfJUA ssh-ed25519 AAAA"
            ),
            Stage::Systemd
        );
        assert_eq!(stage_of_text("GRUB"), Stage::Kernel);
        assert_eq!(stage_of_text(""), Stage::PowerOn);
    }
}
