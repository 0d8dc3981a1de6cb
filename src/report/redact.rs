//! Masks secrets in everything that came from outside, such as messages and output, in every form
//! that
//! `spelling.rs` knows.
//!
//! Names that the user chose (ids, VMs, tests) stay as they are: a password that is a common word
//! must not break them.

use super::spelling::Spelling;
use super::text::{harmless, shortened};
use crate::outcome::{Cause, Output, Stream};
use crate::secrets::Secret;

/// What replaces a secret.
pub const MASK: &str = "***";

/// Replaces [`MASK`] while escapes are removed: stars can be part of an escape, and would be
/// removed with it.
const PLACEHOLDER: &str = "\u{e000}";

/// The most characters of a message: it must fit an attribute and one line of a screen.
const MESSAGE_LIMIT: usize = 1000;

/// Knows the secrets of a run.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// The longest first, so that a secret within a secret leaves no rest.
    spellings: Vec<Spelling>,
}

impl Redactor {
    /// Masks `secrets`.
    pub fn new(secrets: &[Secret]) -> Self {
        let mut spellings: Vec<_> = secrets.iter().flat_map(Spelling::all_of).collect();
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        spellings.dedup();
        Self { spellings }
    }

    /// `text` without secrets, also those with terminal escapes in them, such as `grep --color`
    /// writes.
    pub fn text(&self, text: &str) -> String {
        if !text.contains('\u{1b}') {
            return self.mask(text);
        }
        let masked = self.mask_as(PLACEHOLDER, text);
        let bare = self.mask_as(PLACEHOLDER, &harmless(&masked));
        // An escape that holds a secret is gone, and the mask with it.
        if masked == text && !bare.contains(PLACEHOLDER) {
            masked
        } else {
            bare.replace(PLACEHOLDER, MASK)
        }
    }

    fn mask(&self, text: &str) -> String {
        self.mask_as(MASK, text)
    }

    fn mask_as(&self, mask: &str, text: &str) -> String {
        self.spellings.iter().fold(text.to_owned(), |text, spelling| masked(text, spelling, mask))
    }

    /// `text` without secrets, on one line and not too long.
    pub fn line(&self, text: &str) -> String {
        let line = self.text(text).split_whitespace().collect::<Vec<_>>().join(" ");
        // A line end within a secret is a space by now.
        let line = self.mask(&line);
        shortened(&line, MESSAGE_LIMIT).into_owned()
    }

    /// A stream without secrets, and without half a secret where it was cut.
    pub fn stream(&self, stream: &Stream) -> Stream {
        let text = match stream.cut() {
            None => self.text(&stream.text),
            Some(cut) => {
                let parts =
                    stream.text.split(&cut).map(|part| self.without_pieces(&self.text(part)));
                parts.collect::<Vec<_>>().join(&cut)
            }
        };
        Stream { text, ..stream.clone() }
    }

    /// `text` without the end of a secret at its start, and without the start of one at its end.
    fn without_pieces(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for spelling in &self.spellings {
            if let Some(start) = spelling.begun_at_the_end_of(&text) {
                text.replace_range(start.., MASK);
            }
            if let Some(end) = spelling.ended_at_the_start_of(&text) {
                text.replace_range(..end, MASK);
            }
        }
        text
    }

    /// A cause without secrets.
    pub fn cause(&self, cause: Cause) -> Cause {
        Cause {
            message: self.line(&cause.message),
            hint: cause.hint.map(|hint| self.line(&hint)),
            ..cause
        }
    }

    /// An output without secrets.
    pub fn output(&self, output: &Output) -> Output {
        Output { stdout: self.stream(&output.stdout), stderr: self.stream(&output.stderr) }
    }
}

fn masked(text: String, spelling: &Spelling, mask: &str) -> String {
    let Some(mut found) = spelling.find(&text) else { return text };
    let (mut safe, mut rest) = (String::with_capacity(text.len()), text.as_str());
    loop {
        safe += &rest[..found.0];
        safe += mask;
        rest = &rest[found.1..];
        match spelling.find(rest) {
            Some(next) => found = next,
            None => return safe + rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

    use super::*;

    fn mask(secret: &str, text: &str) -> String {
        Redactor::new(&[Secret::from(secret)]).text(text)
    }

    #[test]
    fn a_secret_is_masked_however_it_is_escaped() {
        let secret = "pa\"ss/w\u{f6}r\\d &1";
        for (way, written) in [
            ("as it is", secret),
            ("Rust, JSON", r#"pa\"ss/wör\\d &1"#),
            ("JSON of Python and PHP", r#"pa\"ss\/w\u00f6r\\d &1"#),
            ("JSON of Go", r#"pa\"ss/wör\\d \u00261"#),
            ("JSON with capitals", r"pa\u0022ss\u002Fw\u00F6r\u005Cd\u0020\u00261"),
            ("JSON in JSON", r#"pa\\\"ss/w\\u00f6r\\\\d &1"#),
            ("URL, reserved", "pa%22ss%2Fw%C3%B6r%5Cd%20%261"),
            ("URL, reserved, small", "pa%22ss%2fw%c3%b6r%5cd%20%261"),
            ("URL, everything", "%70%61%22%73%73%2F%77%C3%B6%72%5C%64%20%26%31"),
            ("URL, path", "pa%22ss/w%C3%B6r%5Cd%20&1"),
            ("form", "pa%22ss%2Fw%C3%B6r%5Cd+%261"),
            ("XML", "pa&quot;ss/wör\\d &amp;1"),
            ("HTML", "pa&#34;ss/w&#xf6;r\\d&#x20;&#38;1"),
            ("shell", r#"pa\"ss/w\xc3\xb6r\\d\ \&1"#),
            ("Rust, everything", r#"pa\"ss/w\u{f6}r\\d &1"#),
        ] {
            assert_eq!(mask(secret, &format!("({written}) {written}")), "(***) ***", "{way}");
        }
    }

    #[test]
    fn characters_outside_the_first_plane_are_found_as_surrogates() {
        assert_eq!(mask("key-\u{1f511}", r#"{"a":"key-\ud83d\udd11"}"#), r#"{"a":"***"}"#);
    }

    #[test]
    fn base64_of_a_secret_is_masked_wherever_it_stands_in_it() {
        for secret in ["hunter2", "s3cret", "five5", "?>~\u{f6}\u{ff}?>~?>", "pass word"] {
            for (before, after) in
                (0..6).flat_map(|before| (0..6).map(move |after| (before, after)))
            {
                let bytes =
                    [&vec![b'u'; before][..], secret.as_bytes(), &vec![b'v'; after]].concat();
                for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                    let text = format!("Basic {} end", engine.encode(&bytes));
                    let masked = mask(secret, &text);
                    let kept = masked
                        .strip_prefix("Basic ")
                        .and_then(|text| text.strip_suffix(" end"))
                        .unwrap();
                    let (head, tail) =
                        kept.split_once(MASK).unwrap_or_else(|| panic!("{secret} in {text}"));
                    // No letter that is left has a bit of the secret.
                    assert!(head.len() <= before * 8 / 6, "{masked} of {text}");
                    assert!(
                        tail.trim_end_matches('=').len() <= (after * 8).div_ceil(6),
                        "{masked} of {text}"
                    );
                }
            }
        }
    }

    #[test]
    fn base64_is_found_in_lines_in_urls_and_in_json() {
        let secret = "a long secret that base64 breaks into lines?>?>";
        let text = STANDARD.encode(secret);
        let lines: Vec<&str> =
            (0..text.len()).step_by(20).map(|at| &text[at..text.len().min(at + 20)]).collect();
        assert_eq!(mask(secret, &lines.join("\n")), MASK);
        assert_eq!(mask(secret, &lines.join("\r\n")), MASK);
        assert_eq!(mask(secret, &text.replace('+', "%2B").replace('/', "%2F")), MASK);
        assert_eq!(mask(secret, &text.replace('/', "\\/")), MASK);
    }

    #[test]
    fn a_short_secret_does_not_tear_base64_that_only_looks_like_it() {
        // "YWJj", "FiY", "hYm": such pieces stand in any long base64.
        for text in ["YWJj", "eGFiYw", "eHhhYmM"] {
            assert_eq!(mask("abc", text), text);
        }
        assert_eq!(mask("abcd", "eGFiY2R5"), "eGFiY2R5", "four bytes are too few within others");
        assert_eq!(mask("abcd", "YWJjZA=="), MASK, "alone they are enough");
        assert_eq!(mask("x", "a+b=c%20 d\\n &amp; YWJj"), "a+b=c%20 d\\n &amp; YWJj");
    }

    #[test]
    fn a_secret_within_a_secret_leaves_no_rest() {
        let redactor = Redactor::new(&["hunter2", "hunter2-and-more"].map(Secret::from));
        assert_eq!(redactor.text("hunter2-and-more hunter2"), "*** ***");
    }

    #[test]
    fn where_a_stream_was_cut_no_piece_of_a_secret_is_left() {
        let secret = "p\"ss/phrase-for-the-cut";
        let base64 = STANDARD.encode(format!("user:{secret}"));
        let url = "p%22ss%2Fphrase-for-the-cut";
        for (written, from) in
            [(secret, 5), (&base64, 13), (url, 6), (r#"p\"ss\/phrase-for-the-cut"#, 6)]
        {
            for at in from..written.len() - 4 {
                let stream = Stream { text: String::new(), truncated_bytes: 9 };
                let cut = stream.cut().unwrap();
                let text = format!("head {}{cut}{} tail", &written[..at], &written[at..]);
                let masked =
                    Redactor::new(&[Secret::from(secret)]).stream(&Stream { text, ..stream }).text;
                let (head, tail) = masked.split_once(&cut).unwrap();
                assert!(head.ends_with(MASK), "{masked}");
                if written.len() - at > 10 {
                    assert!(tail.starts_with(MASK), "{masked}");
                }
            }
        }
    }

    #[test]
    fn what_has_no_secret_in_it_stays_as_it_is() {
        let text = "100% \\ & %zz \\u{ \\ud800 \\x &#x; &amp &nosuch; %C3 %";
        assert_eq!(mask("hunter2", text), text);
        assert_eq!(Redactor::default().text(text), text);
        assert_eq!(Redactor::new(&[Secret::from("")]).text(text), text);
    }
}
