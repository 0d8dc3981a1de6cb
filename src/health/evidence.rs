//! Evidence: what an operator would look at next, taken from a VM when something on it is red. Pure: what is asked,
//! and how the answer is read.

/// So many bytes of each piece are kept: the end, where the news is.
pub const PIECE_LIMIT: usize = 8 * 1024;

/// At most so many services are asked about.
pub const SERVICES_AT_MOST: usize = 4;

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceItem {
    /// A service, or `sockets`, `addresses`, `disk`, `memory`.
    pub about: String,
    /// What the VM printed.
    pub text: String,
}

/// The remote command that prints the evidence, piece after piece, each after a line with `mark` and what it is about.
///
/// `mark` is not to be guessed: what a service has logged must not pass for another piece.
pub fn read_evidence(mark: &str, services: &[&str]) -> String {
    let mut script = String::new();
    let mut piece = |about: &str, command: &str| {
        script += &format!("echo {}; {command}; ", quoted(&format!("{mark} {about}")));
    };
    for service in services {
        let name = quoted(service);
        let status = format!("systemctl status --no-pager --full -n 0 -- {name} | head -n 12");
        piece(
            service,
            &format!("{status}; journalctl --no-pager --quiet -o short-iso -n 12 -u {name}"),
        );
    }
    piece("sockets", "ss -Hltnup | head -n 60 || cat /proc/net/tcp /proc/net/tcp6");
    piece("addresses", "ip -br address; ip route");
    piece("disk", "df -h -x tmpfs -x devtmpfs -x squashfs; df -i / | tail -n 1");
    piece("memory", "free -m || head -n 3 /proc/meminfo");
    format!("export LC_ALL=C SYSTEMD_COLORS=0; {{ {script}}} 2>&1")
}

fn quoted(word: &str) -> String {
    // Quoting fails for NUL only, which no name of a service has.
    shlex::try_quote(word).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

/// Reads what [`read_evidence`] made the VM print.
pub fn parse(mark: &str, text: &str) -> Vec<EvidenceItem> {
    let mut pieces: Vec<EvidenceItem> = Vec::new();
    for line in text.lines() {
        if let Some(about) = line.strip_prefix(mark) {
            pieces.push(EvidenceItem { about: about.trim().to_owned(), text: String::new() });
        } else if let Some(piece) = pieces.last_mut() {
            piece.text += line.trim_end();
            piece.text.push('\n');
        }
    }
    for piece in &mut pieces {
        let start = piece.text.ceil_char_boundary(piece.text.len().saturating_sub(PIECE_LIMIT));
        piece.text.drain(..start);
    }
    pieces.retain(|piece| !piece.text.trim().is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_told_apart_by_the_mark_alone() {
        let text =
            "noise\nM1 redis-server.service\ninactive\nM2 disk\nM1 disk\n/ 100%\nM1 memory\n\n";
        let about: Vec<_> =
            parse("M1", text).into_iter().map(|piece| (piece.about, piece.text)).collect();
        let expected = [("redis-server.service", "inactive\nM2 disk\n"), ("disk", "/ 100%\n")];
        assert_eq!(about, expected.map(|(about, text)| (about.to_owned(), text.to_owned())));
    }

    #[test]
    fn of_a_long_piece_the_end_is_kept() {
        let text = format!("M disk\n{}last\n", "ä\n".repeat(PIECE_LIMIT));
        let pieces = parse("M", &text);
        assert!(pieces[0].text.len() <= PIECE_LIMIT && pieces[0].text.ends_with("last\n"));
    }

    #[test]
    fn a_name_cannot_become_a_command() {
        let script = read_evidence("M", &["a; reboot"]);
        assert!(script.contains("'a; reboot'") && !script.contains("-- a; reboot"), "{script}");
    }
}
