//! The VM's own name and addresses taken out of a text, to see that many VMs say the same.

use super::vm::VmReport;

/// Replaces a VM's own name.
pub(super) const NAME: &str = "<vm>";

/// Replaces a VM's own address.
const ADDRESS: &str = "<address>";

/// What begins the end of a cause that was met more than once; how long it took differs on each VM.
const PATIENCE: &str = "; bootproof has tried for ";

/// `text` without how long bootproof has tried.
pub(super) fn without_patience(text: &str) -> &str {
    match text.rsplit_once(PATIENCE) {
        Some((before, span)) if span.len() < 30 => before,
        _ => text,
    }
}

/// The words that mean the VM itself, each with what replaces it.
pub(super) struct OwnWords<'a>(Vec<(&'a str, &'static str)>);

impl<'a> OwnWords<'a> {
    pub(super) fn of(vm: &'a VmReport) -> Self {
        let host = vm.address.rsplit_once(':').map_or(vm.address.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let lab_address = vm.lab_address.as_deref().unwrap_or_default();
        let mut words = vec![(vm.address.as_str(), ADDRESS), (host, ADDRESS)];
        words.push((lab_address, ADDRESS));
        words.extend(name_word(&vm.name));
        // The longest come first: the name may be a part of the address.
        Self(words.into_iter().filter(|(word, _)| !word.is_empty()).collect())
    }

    /// `text` with each of these words replaced. A word does not count inside a longer one: `web1`
    /// is not in `web10`.
    pub(super) fn replaced_in(&self, text: &str) -> String {
        let mut neutral = String::with_capacity(text.len());
        let mut rest = text;
        let mut may_begin = true;
        while let Some(character) = rest.chars().next() {
            if let Some((after, mark)) = self.at_the_start_of(rest).filter(|_| may_begin) {
                neutral += mark;
                rest = after;
                may_begin = true;
            } else {
                neutral.push(character);
                rest = &rest[character.len_utf8()..];
                may_begin = !character.is_alphanumeric();
            }
        }
        neutral
    }

    /// What follows the word with which `text` begins, and what replaces the word.
    fn at_the_start_of<'t>(&self, text: &'t str) -> Option<(&'t str, &'static str)> {
        self.0.iter().find_map(|(word, mark)| {
            let after = text.strip_prefix(word)?;
            (!after.starts_with(char::is_alphanumeric)).then_some((after, *mark))
        })
    }
}

/// A VM's name, unless it is a number: that would also be found in values, and hide them.
fn name_word(name: &str) -> Option<(&str, &'static str)> {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (!is_number).then_some((name, NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neutral(name: &str, text: &str) -> String {
        let words = vec![("10.0.0.1:22", ADDRESS), ("10.0.0.1", ADDRESS), (name, NAME)];
        OwnWords(words).replaced_in(text)
    }

    #[test]
    fn own_words_are_replaced_where_they_are_whole() {
        for (text, expected) in [
            ("web1 at tcp (10.0.0.1:22): refused", "<vm> at tcp (<address>): refused"),
            ("web1-data on 10.0.0.1", "<vm>-data on <address>"),
            ("web1.example: t::web1::x", "<vm>.example: t::<vm>::x"),
            ("web10 myweb1 10.0.0.12 110.0.0.1", "web10 myweb1 10.0.0.12 110.0.0.1"),
            ("\u{e4}web1 web1", "\u{e4}web1 <vm>"),
            ("", ""),
        ] {
            assert_eq!(neutral("web1", text), expected);
        }
    }

    #[test]
    fn a_name_that_is_a_number_is_not_replaced() {
        for (name, replaced) in [("1", false), ("1.5", false), ("web1", true), ("1a", true)] {
            assert_eq!(name_word(name).is_some(), replaced, "{name}");
        }
    }

    #[test]
    fn how_long_bootproof_has_tried_does_not_matter() {
        assert_eq!(without_patience("refused; bootproof has tried for 4m 58s"), "refused");
        let other = format!("refused; bootproof has tried for {}", "x".repeat(40));
        assert_eq!(without_patience(&other), other);
    }

    #[test]
    fn a_vm_whose_name_is_the_mark_is_replaced_once() {
        assert_eq!(neutral("vm", "vm vm"), "<vm> <vm>");
    }
}
