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
        let program = self.jq.filter(|program| !jq::compiles(program))?;
        Some(Mistake::new("jq", format!("the jq program does not compile: `{program}`")))
    }

    /// Judges `text`; `what` names it in messages ("output", "body").
    pub fn judge(&self, what: &str, text: &str) -> Judgement {
        let expected = || format!("{what} {}", self.describe());
        if let Some(part) = self.contains
            && !text.contains(part)
        {
            return Judgement::differs(
                format!("{what} does not contain {part:?}"),
                expected(),
                text,
            );
        }
        if let Some(whole) = self.equals
            && trim_line_ends(text) != trim_line_ends(whole)
        {
            return Judgement::differs(format!("{what} is not {whole:?}"), expected(), text);
        }
        if let Some(pattern) = self.matches
            && !compile(pattern).is_ok_and(|regex| regex.is_match(text))
        {
            return Judgement::differs(
                format!("{what} does not match /{pattern}/"),
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
    fn equals_ignores_only_line_ends_at_the_end() {
        let equals = TextExpectation { equals: Some("a\nb"), ..NONE };
        assert_eq!(equals.judge("output", "a\nb\r\n"), Judgement::Holds);
        assert!(matches!(equals.judge("output", "a b"), Judgement::Differs(_)));
        assert!(matches!(equals.judge("output", " a\nb"), Judgement::Differs(_)));
    }

    #[test]
    fn texts_that_cannot_fail_or_compile_are_mistakes() {
        for wrong in [
            TextExpectation { contains: Some(""), ..NONE },
            TextExpectation { matches: Some("("), ..NONE },
            TextExpectation { matches: Some(".*"), ..NONE },
            TextExpectation { jq: Some(".a =="), ..NONE },
        ] {
            assert_eq!(wrong.mistakes().len(), 1, "{wrong:?}");
        }
        assert!(TextExpectation { matches: Some("^$"), ..NONE }.mistakes().is_empty());
    }
}
