//! Text from a VM is hostile: it can hold terminal escapes, and characters that XML forbids.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::LazyLock;

use regex::Regex;
use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter};

/// `text` without terminal escape sequences, and with every other control character made visible.
/// Line feeds and tabs stay. What is left is safe on a terminal and allowed in XML 1.0.
pub fn harmless(text: &str) -> Cow<'_, str> {
    static ESCAPES: LazyLock<Regex> = LazyLock::new(|| {
        // ECMA-48: CSI ... final byte; OSC, DCS, SOS, PM, APC ... up to BEL or ST.
        Regex::new(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)")
            .expect("a valid pattern")
    });
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n");
    Cow::Owned(all_visible(&ESCAPES.replace_all(&text, "")))
}

/// `text` with every control character made visible. Unlike [`harmless`], it leaves nothing out.
pub fn all_visible(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmful(character) {
            // Writing to a string cannot fail.
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    safe
}

/// `1 VM`, `4 VMs`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

pub(super) fn is_harmful(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        // What XML forbids, and what turns text around on a screen.
        '\u{fffe}'
        | '\u{ffff}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

/// The same on one line.
pub fn harmless_line(text: &str) -> String {
    harmless(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same; if it contains white space that nobody would see there, quoted and with escapes.
pub fn visible(text: &str) -> String {
    let text = text.trim_end_matches('\n');
    let is_hidden = |line: &str| line.trim() != line || line.contains(['\t', '\u{a0}', '\u{feff}']);
    if text.split('\n').any(is_hidden) {
        // Escapes all that `harmless` would, and more.
        harmless(&format!("{text:?}").replace("  ", " \\u{20}")).into_owned()
    } else {
        harmless_line(text)
    }
}

/// At most `limit` characters of `text`, with a mark if more follow.
pub fn shortened(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        Some((at, _)) => Cow::Owned(format!("{} [...]", &text[..at])),
        None => Cow::Borrowed(text),
    }
}

/// `text` with its lines broken between words so that each has at most `width` columns; what
/// continues a line is indented by four more than it. A longer word stays whole.
pub fn wrapped(text: &str, width: usize) -> String {
    let mut all = String::with_capacity(text.len());
    for line in text.lines() {
        let content = line.trim_start();
        let indent = &line[..line.len() - content.len()];
        let hanging = format!("{indent}    ");
        let options = Options::new(width)
            .initial_indent(indent)
            .subsequent_indent(&hanging)
            .break_words(false)
            .word_splitter(WordSplitter::NoHyphenation)
            .word_separator(WordSeparator::Custom(words));
        for part in textwrap::wrap(content, options) {
            all += &part;
            all.push('\n');
        }
    }
    all
}

/// A word longer than this may be broken.
const LONGEST_WORD: usize = 66;

/// The words of a line. What may be too long for a screen is in parts: an id before each `::`, a
/// node set (`web[1,3,5]`) after each comma.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    Box::new(WordSeparator::AsciiSpace.find_words(line).flat_map(parts))
}

fn parts(word: Word<'_>) -> Vec<Word<'_>> {
    let mut parts = Vec::new();
    let mut rest = word.word;
    while rest.len() > LONGEST_WORD {
        let longest = &rest[..rest.floor_char_boundary(LONGEST_WORD)];
        let id = longest.rfind("::").filter(|at| *at > 0);
        let Some(at) = id.or_else(|| end_of_number(longest)) else { break };
        parts.push(Word::from(&rest[..at]));
        rest = &rest[at..];
    }
    let mut last = Word::from(rest);
    last.whitespace = word.whitespace;
    parts.push(last);
    parts
}

/// Where the last list of numbers can be broken: after a comma that follows a digit.
fn end_of_number(text: &str) -> Option<usize> {
    let commas = text.rmatch_indices(',').map(|(at, _)| at);
    let mut after_digits = commas.filter(|at| text[..*at].ends_with(|c: char| c.is_ascii_digit()));
    after_digits.next().map(|at| at + 1)
}

/// The lines of `text`, each moved to the right.
pub(super) fn indent(text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "  {line}");
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_hides_becomes_visible() {
        let text = "ls / \u{1b}]; touch F; ls / \u{7}";
        assert_eq!(all_visible(text), "ls / \\u{1b}]; touch F; ls / \\u{7}");
        assert_eq!(all_visible("a\r\nb"), "a\\u{d}\nb");
    }

    #[test]
    fn escapes_are_gone_and_other_controls_are_visible() {
        for (text, safe) in [
            ("a\tb\nc", "a\tb\nc"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{1b}]8;;http://h\u{1b}\\link", "link"),
            ("a\u{1b}c", "a\\u{1b}c"),
            ("nul\0 del\u{7f} c1\u{9b}", "nul\\u{0} del\\u{7f} c1\\u{9b}"),
            ("\u{fffe}\u{202e}", "\\u{fffe}\\u{202e}"),
            ("dos\r\nline\rback", "dos\nline\\u{d}back"),
        ] {
            assert_eq!(harmless(text), safe);
        }
    }

    #[test]
    fn white_space_that_nobody_would_see_is_shown() {
        assert_eq!(visible("one\ntwo\n"), "one two");
        assert_eq!(visible("one\r\ntwo\n"), r#""one\r\ntwo""#);
        assert_eq!(visible("blank  \n"), r#""blank \u{20}""#);
        assert_eq!(visible("\u{1b}[31m red \t"), r#""\u{1b}[31m red \t""#);
    }

    #[test]
    fn wrapping_breaks_between_words_and_keeps_indentation() {
        let text = "  failed   an-id\n    because: one two three four five\n\nshort\n";
        let expected = "  failed   an-id\n    because: one two\n        three four five\n\nshort\n";
        assert_eq!(wrapped(text, 24), expected);
        let id = format!("  failed   {}::{}::end", "a".repeat(50), "b".repeat(30));
        let broken = format!("  failed   {}\n      ::{}::end\n", "a".repeat(50), "b".repeat(30));
        assert_eq!(wrapped(&id, 80), broken);
        assert_eq!(wrapped("a-word-that-is-too-long b\n", 5), "a-word-that-is-too-long\n    b\n");
        let nodes = format!("  web[{}99], db1", "11,".repeat(30));
        let broken = format!("  web[{}\n      {}99], db1\n", "11,".repeat(20), "11,".repeat(10));
        assert_eq!(wrapped(&nodes, 80), broken);
    }
}
