//! What a VM writes on its serial console.

use std::path::Path;
use std::time::Duration;

/// Under emulation four VMs take two minutes on two cores; a busy machine takes longer.
pub(super) const BOOT_TIMEOUT: Duration = Duration::from_mins(10);

/// How far a boot has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BootStage {
    /// The console is still empty.
    PowerOn,
    /// The boot loader or the kernel is running.
    Kernel,
    /// systemd is starting services.
    Systemd,
    /// sshd listens and the startup scripts have run; the console shows the host key.
    Up(HostKey),
}

impl BootStage {
    /// One line for the progress display.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::PowerOn => "powered on".to_owned(),
            Self::Kernel => "kernel".to_owned(),
            Self::Systemd => "systemd".to_owned(),
            Self::Up(key) => format!("up, host key {}", key.fingerprint),
        }
    }
}

/// The SSH host key of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostKey {
    /// `SHA256:...`
    pub(super) fingerprint: String,
    /// Type and key, as in a known_hosts file.
    pub(super) public: String,
}

/// The beginning of the line in which an image that bootproof built shows its host key.
const HOST_KEY_LINE: &str = "bootproof: host key ";

/// Reads the boot stage from a console's log file; a missing file counts as an empty one.
pub(super) fn read_boot_stage(log: &Path) -> BootStage {
    // A console can hold any bytes.
    let bytes = std::fs::read(log).unwrap_or_default();
    boot_stage(&String::from_utf8_lossy(&bytes))
}

/// Reads the boot stage from the text of a console.
pub(super) fn boot_stage(text: &str) -> BootStage {
    // The last key counts: a reboot keeps the key, a fresh disk gets a new one.
    match text.lines().rev().find_map(host_key) {
        Some(key) => BootStage::Up(key),
        None if text.contains("systemd") || text.contains("Debian GNU/Linux") => BootStage::Systemd,
        None if text.trim().is_empty() => BootStage::PowerOn,
        None => BootStage::Kernel,
    }
}

fn host_key(line: &str) -> Option<HostKey> {
    let mut words = line.split_once(HOST_KEY_LINE)?.1.split_whitespace();
    let fingerprint = words.next()?;
    let (kind, key) = (words.next()?, words.next()?);
    // An ed25519 key has 68 characters; a line that is still being written has fewer.
    let whole = fingerprint.len() == 50 && fingerprint.starts_with("SHA256:") && key.len() == 68;
    whole.then(|| HostKey { fingerprint: fingerprint.to_owned(), public: format!("{kind} {key}") })
}

/// The text of a console without anything that would move the cursor or change colors.
pub fn plain(text: &str) -> String {
    console::strip_ansi_codes(text)
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_key_is_found_among_other_output() {
        let fingerprint = "SHA256:sZhFZl9QIHT3T7MCctyVVCiTxvEy9/BVlFsMWBEfJUA".to_owned();
        let public = format!("ssh-ed25519 {}", "A".repeat(68));
        let text = format!(
            "\u{1b}[Hgrub\r\nredis login: \r\nbootproof: host key {fingerprint} {public}\r\n"
        );
        assert_eq!(boot_stage(&text), BootStage::Up(HostKey { fingerprint, public }));
    }

    #[test]
    fn a_truncated_key_is_not_a_key() {
        let fingerprint = "SHA256:sZhFZl9QIHT3T7MCctyVVCiTxvEy9/BVlFsMWBEfJUA";
        let text = format!("systemd\nbootproof: host key {fingerprint} ssh-ed25519 AAAA");
        assert_eq!(boot_stage(&text), BootStage::Systemd);
        assert_eq!(boot_stage("GRUB"), BootStage::Kernel);
        assert_eq!(boot_stage(""), BootStage::PowerOn);
    }

    #[test]
    fn console_text_loses_its_control_characters() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m\r\n\tok\u{7}"), "red\n\tok");
    }
}
