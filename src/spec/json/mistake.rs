//! Explains why a text is not JSON.

use jsonc_parser::ParseStringErrorKind as StringKind;
use jsonc_parser::errors::{ParseError, ParseErrorKind as Kind};
use jsonc_parser::tokens::Token;
use jsonc_parser::{Scanner, ScannerOptions};

use super::cursor::Cursor;
use crate::problem::Problem;
use crate::spec::other_format;
use crate::spec::tree::{at, too_deep};

/// What is wrong with a text that `jsonc_parser` refused.
pub(super) fn explain(file: &str, text: &str, error: &ParseError) -> Problem {
    if let Some(other) = other_format::named_json(text) {
        return Problem { file: Some(file.to_owned()), place: Some((1, 1)), ..other };
    }
    let start = error.range().start;
    let (offset, problem) = match swallowed_lines(text, start) {
        Some(string) => (string, not_closed_string()),
        None => mistake(text, start, error.kind()),
    };
    // What is missing at the end of a file is missing after its last character.
    let end = text.trim_end().len();
    let place = match offset {
        offset if offset < end => Cursor::new(text).place(offset),
        _ => last_place(text),
    };
    Problem { hint: problem.hint, ..at(file, place, problem.message) }
}

/// Line and column of the last character.
fn last_place(text: &str) -> (usize, usize) {
    let text = text.trim_end();
    let column = text.lines().last().map_or(1, |line| line.chars().count().max(1));
    (text.lines().count().max(1), column)
}

/// A quote that is missing shows late: the string goes on to the next quote, and what was a string
/// becomes rubbish. So the mistake is the first string before it that is longer than its line.
fn swallowed_lines(text: &str, end: usize) -> Option<usize> {
    let mut scanner = Scanner::new(text, &ScannerOptions::default());
    while let Ok(Some(token)) = scanner.scan() {
        if scanner.token_start() > end {
            return None;
        }
        let written = &text[scanner.token_start()..scanner.token_end()];
        if matches!(token, Token::String(_)) && written.contains('\n') {
            return Some(scanner.token_start());
        }
    }
    None
}

fn not_closed_string() -> Problem {
    Problem::new("this string does not end on its line")
        .hint("close it with `\"`; write a line break in a string as `\\n`")
}

/// A mistake in a text that was meant to be JSON: where, and what.
fn mistake(text: &str, start: usize, kind: &Kind) -> (usize, Problem) {
    let here = &text[text.floor_char_boundary(start)..];
    let problem = match kind {
        Kind::UnterminatedObject | Kind::UnterminatedArray => return ends_early(text, start),
        _ if here.trim_start().is_empty() => {
            return (text.len(), Problem::new("the file ends too early").hint(CUT_OFF));
        }
        Kind::UnterminatedCommentBlock => {
            Problem::new("this comment is not closed").hint("end it with `*/`")
        }
        Kind::String(StringKind::UnterminatedStringLiteral) => not_closed_string(),
        Kind::String(kind) => {
            let hint =
                "JSON knows \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX; write `\\` as `\\\\`";
            Problem::new(lower_case(&kind.to_string())).hint(hint)
        }
        _ if here.starts_with('#') => {
            Problem::new("`#` does not begin a comment in JSON").hint("write `//` instead")
        }
        _ if here.starts_with(['\'', '`']) => Problem::new("JSON has only double quotes")
            .hint("write keys and strings in double quotes: \"...\""),
        Kind::ExpectedComma if is_leading_zero(text, start) => {
            Problem::new("a number does not begin with 0")
                .hint("write it in quotes if it is text, such as a file mode: \"0750\"")
        }
        Kind::ExpectedComma => Problem::new("expected `,`")
            .hint("separate the items of a list and the keys of an object with commas"),
        Kind::ExpectedColonAfterObjectKey => {
            Problem::new("expected `:` after the key").hint("write \"key\": value")
        }
        Kind::ExpectedStringObjectProperty => {
            Problem::new("a key must be in double quotes").hint("write \"key\": value")
        }
        Kind::UnexpectedWord | Kind::UnexpectedToken if here.starts_with(char::is_alphabetic) => {
            Problem::new("this word is not JSON")
                .hint("write text in double quotes; the words of JSON are true, false and null")
        }
        Kind::NestingDepthExceeded => Problem::new(too_deep()),
        Kind::UnexpectedToken if here.starts_with('/') => {
            Problem::new("a single `/`").hint("a comment begins with `//` or `/*`")
        }
        Kind::UnexpectedTokenInObject | Kind::UnexpectedComma if here.starts_with(',') => {
            Problem::new("a comma too many").hint("remove it, or write what is missing before it")
        }
        Kind::UnexpectedCloseBrace | Kind::UnexpectedCloseBracket => {
            Problem::new("this bracket closes nothing, or a value is missing before it")
                .hint("each `{` is closed with `}`, and each `[` with `]`")
        }
        Kind::HexadecimalNumbersNotAllowed
        | Kind::UnaryPlusNumbersNotAllowed
        | Kind::BareDecimalPointNumbersNotAllowed
        | Kind::NonFiniteNumbersNotAllowed => Problem::new("JSON has no such number")
            .hint("write it as 10, -1 or 0.5; if it is text, put it in double quotes"),
        Kind::MultipleRootJsonValues => Problem::new("the file goes on after its end")
            .hint("is there a `}` too much before it? A file has one object"),
        kind => Problem::new(lower_case(&kind.to_string())),
    };
    (start, problem)
}

const CUT_OFF: &str = "was it cut off? Close every `{`, `[` and `\"`";

/// The innermost bracket that is open at the end begins at `start`.
fn ends_early(text: &str, start: usize) -> (usize, Problem) {
    let bracket = text.get(start..=start).unwrap_or("{");
    let (line, _) = Cursor::new(text).place(start);
    let message = format!("the file ends too early: the `{bracket}` on line {line} is not closed");
    (text.len(), Problem::new(message).hint(CUT_OFF))
}

/// `0750` is the number `0`, after which a comma is missing.
fn is_leading_zero(text: &str, comma: usize) -> bool {
    text[..comma].ends_with('0') && text[comma..].starts_with(|next: char| next.is_ascii_digit())
}

fn lower_case(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// A mistake in a string.
pub(super) struct InString {
    /// Bytes before it.
    pub offset: usize,
    pub message: &'static str,
    pub hint: Option<String>,
}

/// The first control character of a string as written.
pub(super) fn in_string(written: &str) -> Option<InString> {
    let (offset, control) = written.char_indices().find(|(_, letter)| *letter < ' ')?;
    if control == '\n' || control == '\r' {
        let Problem { hint, .. } = not_closed_string();
        return Some(InString { offset: 0, message: "this string does not end on its line", hint });
    }
    let hint = match control {
        '\t' => "write a tab as `\\t`".to_owned(),
        other => format!("write it as `\\u{:04x}`", u32::from(other)),
    };
    Some(InString { offset, message: "a control character in a string", hint: Some(hint) })
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    fn explained(text: &str) -> (String, (usize, usize)) {
        let problem = parse("f", text).unwrap_err().0.remove(0);
        (problem.message, problem.place.unwrap())
    }

    #[test]
    fn names_the_mistake_and_its_place() {
        for (text, message, place) in [
            ("# c\n{}", "`#` does not begin a comment in JSON", (1, 1)),
            ("{\n  \"a\": 1 # c\n}", "`#` does not begin a comment in JSON", (2, 10)),
            ("{'a': 1}", "JSON has only double quotes", (1, 2)),
            ("{\n\"ä\": 1, 'b': 2}", "JSON has only double quotes", (2, 9)),
            ("{\"a\": [1,", "the file ends too early: the `[` on line 1 is not closed", (1, 9)),
            ("{\"a\": {\n\n", "the file ends too early: the `{` on line 1 is not closed", (1, 7)),
            ("{\"a\":\n", "the file ends too early", (1, 5)),
            ("{\"a\"", "the file ends too early", (1, 4)),
            ("{\n/* c\n}", "this comment is not closed", (2, 1)),
            ("{\"a\": \"b", "this string does not end on its line", (1, 7)),
            ("{\"a\": \"b,\n\"c\": \"d\"}", "this string does not end on its line", (1, 7)),
            ("{\"a\": \"b\n\"}", "this string does not end on its line", (1, 7)),
            ("{\"a\": \"\t\"}", "a control character in a string", (1, 8)),
            ("{\"mode\": 0750}", "a number does not begin with 0", (1, 11)),
            ("{\"a\": 1 \"b\": 2}", "expected `,`", (1, 8)),
            ("{\"a\" 1}", "expected `:` after the key", (1, 6)),
            ("{a: 1}", "a key must be in double quotes", (1, 2)),
            ("{\"a\": yes}", "this word is not JSON", (1, 7)),
            ("{}}", "the file goes on after its end", (1, 3)),
            ("{\"a\": \"\\d\"}", "invalid escape", (1, 8)),
        ] {
            assert_eq!(explained(text), (message.to_owned(), place), "{text}");
        }
    }
}
