//! Evidence: what an operator would look at next, taken from a VM when something on it is red.
//! Pure: what to ask, and how to read the answer.

/// How many bytes of each item are kept: the end, which is the newest.
pub const ITEM_LIMIT: usize = 8 * 1024;

/// How many services are asked about at most.
pub const SERVICES_AT_MOST: usize = 4;

/// One item of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceItem {
    /// A service, or `sockets`, `addresses`, `disk`, `memory`.
    pub about: String,
    /// What the VM printed.
    pub text: String,
}

/// The remote command that prints the evidence: each item after a line with `mark` and its subject.
///
/// `mark` must be unpredictable: a line that a service logged must not look like another item.
pub fn read_evidence(mark: &str, services: &[&str]) -> String {
    let mut script = String::new();
    let mut item = |about: &str, command: &str| {
        script += &format!("echo {}; {command}; ", quoted(&format!("{mark} {about}")));
    };
    for service in services {
        let name = quoted(service);
        let status = format!("systemctl status --no-pager --full -n 0 -- {name} | head -n 12");
        item(
            service,
            &format!("{status}; journalctl --no-pager --quiet -o short-iso -n 12 -u {name}"),
        );
    }
    item("sockets", "ss -Hltnup | head -n 60 || cat /proc/net/tcp /proc/net/tcp6");
    item("addresses", "ip -br address; ip route");
    item("disk", "df -h -x tmpfs -x devtmpfs -x squashfs; df -i / | tail -n 1");
    item("memory", "free -m || head -n 3 /proc/meminfo");
    format!("export LC_ALL=C SYSTEMD_COLORS=0; {{ {script}}} 2>&1")
}

fn quoted(word: &str) -> String {
    // Quoting fails only for NUL, which no service name contains.
    shlex::try_quote(word).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

/// Parses the output of [`read_evidence`].
pub fn parse(mark: &str, text: &str) -> Vec<EvidenceItem> {
    let mut items: Vec<EvidenceItem> = Vec::new();
    for line in text.lines() {
        if let Some(about) = line.strip_prefix(mark) {
            items.push(EvidenceItem { about: about.trim().to_owned(), text: String::new() });
        } else if let Some(item) = items.last_mut() {
            item.text += line.trim_end();
            item.text.push('\n');
        }
    }
    for item in &mut items {
        let start = item.text.ceil_char_boundary(item.text.len().saturating_sub(ITEM_LIMIT));
        item.text.drain(..start);
    }
    items.retain(|item| !item.text.trim().is_empty());
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mark_separates_items() {
        let text =
            "noise\nM1 redis-server.service\ninactive\nM2 disk\nM1 disk\n/ 100%\nM1 memory\n\n";
        let about: Vec<_> =
            parse("M1", text).into_iter().map(|item| (item.about, item.text)).collect();
        let expected = [("redis-server.service", "inactive\nM2 disk\n"), ("disk", "/ 100%\n")];
        assert_eq!(about, expected.map(|(about, text)| (about.to_owned(), text.to_owned())));
    }

    #[test]
    fn keeps_the_end_of_a_long_item() {
        let text = format!("M disk\n{}last\n", "ä\n".repeat(ITEM_LIMIT));
        let items = parse("M", &text);
        assert!(items[0].text.len() <= ITEM_LIMIT && items[0].text.ends_with("last\n"));
    }

    #[test]
    fn a_service_name_cannot_become_a_command() {
        let script = read_evidence("M", &["a; reboot"]);
        assert!(script.contains("'a; reboot'") && !script.contains("-- a; reboot"), "{script}");
    }
}
