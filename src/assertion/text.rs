//! What a text must be: the four expectations that command output and HTTP bodies share.

use regex::Regex;

use super::jq;
use super::judgement::Judgement;
use super::mistake::Mistake;

/// What a text must be; every part that is given must hold.
#[derive(Debug, Clone, Copy)]
pub struct TextExpectation<'a> {
    /// It contains this.
    pub contains: Option<&'a str>,
    /// It is this, apart from line ends at its end.
    pub equals: Option<&'a str>,
    /// This regular expression matches somewhere in it; `^` and `$` match at line ends.
    pub matches: Option<&'a str>,
    /// It is JSON for which this jq program's last output is `true`.
    pub jq: Option<&'a str>,
}

impl TextExpectation<'_> {
    /// The expectation in words, such as `contains "ok"`; empty if nothing is expected.
    pub fn describe(&self) -> String {
        let parts = [
            self.contains.map(|text| format!("contains {text:?}")),
            self.equals.map(|text| format!("equals {text:?}")),
            self.matches.map(|pattern| format!("matches /{pattern}/")),
            self.jq.map(|program| format!("satisfies jq `{program}`")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }

    /// Mistakes that show without any text.
    pub fn mistakes(&self) -> Vec<Mistake> {
        [self.contains_mistake(), self.matches_mistake(), self.jq_mistake()]
            .into_iter()
            .flatten()
            .collect()
    }

    fn contains_mistake(&self) -> Option<Mistake> {
        const MESSAGE: &str = "every text contains the empty text, so this assertion cannot fail";
        (self.contains == Some("")).then(|| Mistake::new("contains", MESSAGE))
    }

    fn matches_mistake(&self) -> Option<Mistake> {
        let pattern = self.matches?;
        match compile(pattern) {
            Err(error) => Some(Mistake::new("matches", error.to_string())),
            Ok(regex) if regex.is_match("") && regex.is_match("x\u{1}") => {
                let message =
                    format!("/{pattern}/ matches every text, so this assertion cannot fail");
                Some(Mistake::new("matches", message))
            }
            Ok(_) => None,
        }
    }

    fn jq_mistake(&self) -> Option<Mistake> {
        let program = self.jq?;
        if jq::reads_modules(program) {
            let message = "a jq program cannot read modules".to_owned();
            return Some(Mistake::new("jq", message).hint("write out what it needs of them"));
        }
        (!jq::compiles(program))
            .then(|| Mistake::new("jq", format!("the jq program does not compile: `{program}`")))
    }

    /// Whether the empty text is as expected. JSON is never empty.
    pub fn accepts_nothing(&self) -> bool {
        self.jq.is_none() && self.judge("text", "") == Judgement::Holds
    }

    /// Judges `text`; `what` names it in messages ("output", "body").
    pub fn judge(&self, what: &str, text: &str) -> Judgement {
        let expected = || format!("{what} {}", self.describe());
        if let Some(part) = self.contains
            && !text.contains(part)
        {
            let blanks = hidden_by_blanks(text, |text| text.contains(part));
            return Judgement::differs(
                format!("{what} does not contain {part:?}{blanks}"),
                expected(),
                text,
            );
        }
        if let Some(whole) = self.equals
            && trim_line_ends(text) != trim_line_ends(whole)
        {
            let difference = first_difference(trim_line_ends(whole), trim_line_ends(text));
            let message = format!("{what} is not {whole:?}: {difference}");
            return Judgement::differs(message, expected(), text);
        }
        if let Some(pattern) = self.matches
            && !matches(pattern, text)
        {
            let blanks = hidden_by_blanks(text, |text| matches(pattern, text));
            return Judgement::differs(
                format!("{what} does not match /{pattern}/{blanks}"),
                expected(),
                text,
            );
        }
        self.jq.map_or(Judgement::Holds, |program| jq::judge(program, text))
    }
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).multi_line(true).build()
}

fn matches(pattern: &str, text: &str) -> bool {
    first_match(pattern, text).is_some()
}

/// Where a pattern first matches in `text`. After the line feed of the last line there is no other
/// line, so `^$` does not match there.
pub(super) fn first_match(pattern: &str, text: &str) -> Option<usize> {
    let is_after_the_end = |at: usize| at > 0 && at == text.len() && text.ends_with('\n');
    let regex = compile(pattern).ok()?;
    let mut found = regex.find_iter(text).map(|found| found.start());
    found.find(|at| !is_after_the_end(*at))
}

/// Where `text` is first not as `expected`, and how, in words: most of what people overlook cannot
/// be seen.
fn first_difference(expected: &str, text: &str) -> String {
    let mut wanted = expected.chars();
    let (mut line, mut column) = (1, 1);
    for found in text.chars() {
        let want = wanted.next();
        if want != Some(found) {
            return difference(line, column, Some(found), want);
        }
        column += 1;
        if found == '\n' {
            (line, column) = (line + 1, 1);
        }
    }
    difference(line, column, None, wanted.next())
}

fn difference(line: usize, column: usize, found: Option<char>, want: Option<char>) -> String {
    if (line, column, found) == (1, 1, None) {
        return "it is empty".to_owned();
    }
    let [found, want] = [found, want].map(in_words);
    format!("line {line}, column {column} is {found}, not {want}")
}

fn in_words(character: Option<char>) -> String {
    match character {
        None => "the end".to_owned(),
        Some(' ') => "a space".to_owned(),
        Some('\t') => "a tab".to_owned(),
        Some('\n') => "a line feed".to_owned(),
        Some('\r') => "a carriage return".to_owned(),
        Some(other) if other.is_whitespace() || other.is_control() => {
            format!("U+{:04X}", u32::from(other))
        }
        Some(other) => format!("`{other}`"),
    }
}

/// Says so if `holds` would be true without the blanks and carriage returns at line ends.
fn hidden_by_blanks(text: &str, holds: impl Fn(&str) -> bool) -> String {
    let Some(line) = text.split('\n').position(|line| line.trim_end() != line) else {
        return String::new();
    };
    let trimmed: Vec<&str> = text.split('\n').map(str::trim_end).collect();
    if !holds(&trimmed.join("\n")) {
        return String::new();
    }
    let at = line + 1;
    format!("; it would without the blanks or carriage returns at line ends, as in line {at}")
}

fn trim_line_ends(text: &str) -> &str {
    text.trim_end_matches(['\n', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: TextExpectation<'static> =
        TextExpectation { contains: None, equals: None, matches: None, jq: None };

    #[test]
    fn each_part_must_hold() {
        let both = TextExpectation { contains: Some("ok"), matches: Some("^all .*$"), ..NONE };
        assert_eq!(both.judge("output", "first\nall ok\n"), Judgement::Holds);
        for text in ["all", "ok", ""] {
            assert!(matches!(both.judge("output", text), Judgement::Differs(_)), "{text}");
        }
    }

    #[test]
    fn after_the_last_line_there_is_no_empty_line() {
        let empty_line = TextExpectation { matches: Some("^$"), ..NONE };
        for text in ["", "\n", "a\n\n", "a\n\nb"] {
            assert_eq!(empty_line.judge("output", text), Judgement::Holds, "{text:?}");
        }
        for text in ["a", "a\n", "a\nb\n"] {
            let judgement = empty_line.judge("output", text);
            assert!(matches!(judgement, Judgement::Differs(_)), "{text:?}");
        }
        let end = TextExpectation { matches: Some(r"\Aa\n?\z"), ..NONE };
        assert_eq!(end.judge("output", "a\n"), Judgement::Holds);
    }

    #[test]
    fn equals_ignores_only_line_ends_at_the_end() {
        let equals = TextExpectation { equals: Some("a\nb"), ..NONE };
        assert_eq!(equals.judge("output", "a\nb\r\n"), Judgement::Holds);
        assert!(matches!(equals.judge("output", "a b"), Judgement::Differs(_)));
        assert!(matches!(equals.judge("output", " a\nb"), Judgement::Differs(_)));
    }

    fn message(expectation: &TextExpectation, text: &str) -> String {
        match expectation.judge("output", text) {
            Judgement::Differs(mismatch) => mismatch.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_the_first_difference() {
        let equals = TextExpectation { equals: Some("one\ntwo"), ..NONE };
        for (text, difference) in [
            ("one\r\ntwo\n", "line 1, column 4 is a carriage return, not a line feed"),
            ("one\ntwo \n", "line 2, column 4 is a space, not the end"),
            ("one\n\ttwo", "line 2, column 1 is a tab, not `t`"),
            ("one\ntw", "line 2, column 3 is the end, not `o`"),
            ("one\ntwo\u{a0}", "line 2, column 4 is U+00A0, not the end"),
            ("\u{feff}one\ntwo", "line 1, column 1 is `\u{feff}`, not `o`"),
            ("", "it is empty"),
        ] {
            let expected = format!("output is not \"one\\ntwo\": {difference}");
            assert_eq!(message(&equals, text), expected);
        }
    }

    #[test]
    fn says_when_only_the_line_ends_differ() {
        let says = "; it would without the blanks or carriage returns at line ends, as in line";
        let matches = TextExpectation { matches: Some("^ok$"), ..NONE };
        assert_eq!(
            message(&matches, "first\nok \n"),
            format!("output does not match /^ok$/{says} 2")
        );
        assert_eq!(message(&matches, "no \n"), "output does not match /^ok$/");
        let contains = TextExpectation { contains: Some("a\nb"), ..NONE };
        assert!(message(&contains, "a\r\nb\r\n").ends_with(&format!("{says} 1")));
    }

    #[test]
    fn texts_that_cannot_fail_or_compile_are_mistakes() {
        for wrong in [
            TextExpectation { contains: Some(""), ..NONE },
            TextExpectation { matches: Some("("), ..NONE },
            TextExpectation { matches: Some(".*"), ..NONE },
            TextExpectation { jq: Some(".a =="), ..NONE },
            TextExpectation { jq: Some("import \"x\" as x; ."), ..NONE },
        ] {
            assert_eq!(wrong.mistakes().len(), 1, "{wrong:?}");
        }
        assert!(TextExpectation { matches: Some("^$"), ..NONE }.mistakes().is_empty());
    }
}
