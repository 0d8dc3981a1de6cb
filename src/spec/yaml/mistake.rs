//! Explains why a text is not YAML.

use saphyr_parser::ScanError;

use super::secret::is_secret;
use crate::problem::Problem;
use crate::spec::other_format;
use crate::spec::tree::{Place, at, too_deep};

/// A part of the parser's message, what it means, and what to do about it.
type Meaning = (&'static str, &'static str, &'static str);

const QUOTE: &str = "put a text with `: `, ` #`, `{`, `[`, `*`, `&`, `!`, `|` or `>` in quotes";
const COLUMN: &str = "the keys of an object begin in one column, and so do the items of a list";
const FLOW: &str = "close `[` and `{`, and put commas between what is in them; text that contains \
                    `{`, `}`, `[`, `]` or `,` goes in quotes there";
const CLOSE: &str = "close it with the same quote; if the text goes on in the next line, indent it";

/// The first one that fits counts.
const MEANINGS: [Meaning; 15] = [
    ("end of stream", "this quote is not closed", CLOSE),
    ("unexpected document indicator", "this quote is not closed", CLOSE),
    ("in quoted scalar", "this quote is not closed", CLOSE),
    (
        "unknown escape character",
        "an unknown escape in double quotes",
        "write `\\` as `\\\\`, or use single quotes, in which it means itself: '\\d+'",
    ),
    ("hexadecimal number", "an incomplete escape in double quotes", "write \\xXX or \\uXXXX"),
    ("character escape code", "an escape that is not a character", "write \\uXXXX or \\UXXXXXXXX"),
    (
        "after double-quoted scalar",
        "text after the closing quote",
        "put all of it in quotes, or a comma between them in `{` and `[`",
    ),
    ("unprintable character", "a control character", "write it in double quotes, as \\xXX"),
    ("handle wasn't declared", "tags are not supported", "remove it; text goes in quotes"),
    ("unexpected character", "a text cannot begin with this character", "put the text in quotes"),
    ("flow", "a `[` or `{` is not closed, or a comma is missing", FLOW),
    ("comment intercepting", "a comment in the middle of a text", "remove it, or use quotes"),
    ("block scalar", "the block after `|` or `>` is wrong", "indent its lines equally"),
    ("indentation", "wrong indentation", COLUMN),
    ("did not find expected", "this does not continue what is above it", COLUMN),
];

/// What is wrong with a text that the parser refused.
pub(super) fn explain(file: &str, text: &str, error: &ScanError) -> Problem {
    if let Some(ini) = other_format::named_yaml(text) {
        return Problem { file: Some(file.to_owned()), place: Some((1, 1)), ..ini };
    }
    let lines = Lines::of(text);
    let place = (error.marker().line(), error.marker().col() + 1);
    let info = error.info();
    if let Some(place) = lines.slashes(place.0) {
        return at(file, place, "`//` does not begin a comment in YAML").hint("write `#` instead");
    }
    if info.contains("recursion limit") {
        return at(file, place, too_deep());
    }
    if info.contains("tab ") || info.contains("tabs ") || info.ends_with("a tab") {
        let place = lines.tab_from(place.0).unwrap_or(place);
        return at(file, place, "a tab in the indentation").hint("indent with spaces");
    }
    if info.contains("unknown anchor") {
        if lines.is_secret(place) {
            let hint = "a secret that begins with `*` goes in quotes";
            return at(file, place, "unknown alias").hint(hint);
        }
        let alias = lines.word_at(place);
        let name = alias.trim_start_matches('*');
        let hint = format!("write `&{name}` before the value that it repeats");
        return at(file, place, format!("unknown alias `{alias}`")).hint(hint);
    }
    if info.contains("anchor or alias") {
        let hint = "`*` and `&` mean an alias and an anchor in YAML: put the text in quotes";
        return at(file, place, "a name is missing after this sign").hint(hint);
    }
    if info.contains("mapping values are not allowed") {
        return lines.misplaced_colon(file, place);
    }
    if info.contains("expect ':'") {
        let place = lines.before(place.0).unwrap_or(place);
        let hint = "write `key: value`, with a space after the colon";
        return at(file, place, "a key without `: `").hint(hint);
    }
    if place.0 > lines.0.len() {
        let hint = "was it cut off? Close every `{`, `[` and quote";
        return at(file, lines.last_place(), "the file ends too early").hint(hint);
    }
    let meaning = MEANINGS.iter().find(|(part, ..)| info.contains(part));
    let (message, hint) = meaning.map_or((info, QUOTE), |(_, message, hint)| (message, hint));
    at(file, place, message).hint(hint)
}

struct Lines<'a>(Vec<&'a str>);

impl<'a> Lines<'a> {
    /// In YAML, a carriage return alone ends a line, too.
    fn of(text: &'a str) -> Self {
        let lines =
            text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'));
        let mut lines: Vec<&str> = lines.collect();
        lines.pop_if(|last| last.is_empty());
        Self(lines)
    }

    fn line(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|index| self.0.get(index)).copied().unwrap_or_default()
    }

    /// The begin of the last line before a line that is neither empty nor a comment.
    fn before(&self, number: usize) -> Option<Place> {
        let has_content = |number: &usize| {
            let line = self.line(*number).trim_start();
            !line.is_empty() && !line.starts_with('#')
        };
        let number = (1..number).rev().find(has_content)?;
        Some((number, indentation(self.line(number)) + 1))
    }

    /// A line that begins with `//`, at an error or before it.
    fn slashes(&self, number: usize) -> Option<Place> {
        let at_error = (number, indentation(self.line(number)) + 1);
        let places = [Some(at_error), self.before(number)];
        let begins = |place: &Place| self.line(place.0).trim_start().starts_with("//");
        places.into_iter().flatten().find(begins)
    }

    /// The first tab in the indentation of a line or of those below it: the parser names the line
    /// in which the text before the tab began.
    fn tab_from(&self, number: usize) -> Option<Place> {
        (number..=self.0.len()).find_map(|number| {
            let line = self.line(number);
            let column = line[..indentation(line)].find('\t')?;
            Some((number, column + 1))
        })
    }

    /// Whether the key before a place, on its line or the one before, is that of a secret.
    fn is_secret(&self, (number, column): Place) -> bool {
        let on_line: String = self.line(number).chars().take(column - 1).collect();
        let before = self.before(number).map_or("", |(number, _)| self.line(number));
        let text = if on_line.trim().is_empty() { before } else { &on_line };
        text.rsplit([',', '{']).next().is_some_and(is_secret_key)
    }

    fn word_at(&self, (number, column): Place) -> String {
        let is_end = |letter: &char| letter.is_whitespace() || ",[]{}".contains(*letter);
        let rest = self.line(number).chars().skip(column - 1);
        let word: String = rest.take_while(|letter| !is_end(letter)).collect();
        if word.is_empty() { "*".to_owned() } else { word }
    }

    /// A colon where no key can be: it is in a text, or its key is indented too far.
    fn misplaced_colon(&self, file: &str, place: Place) -> Problem {
        let before: String = self.line(place.0).chars().take(place.1 - 1).collect();
        if before.contains(": ") {
            return at(file, place, "a second `:` on this line").hint(QUOTE);
        }
        let place = (place.0, indentation(&before) + 1);
        at(file, place, "a key that is indented too far, below a text")
            .hint(format!("{COLUMN}; is there a space after each `-` and `:` above?"))
    }

    fn last_place(&self) -> Place {
        let column = self.0.last().map_or(1, |line| line.chars().count().max(1));
        (self.0.len().max(1), column)
    }
}

/// Whether `key: ` is that of a secret.
fn is_secret_key(text: &str) -> bool {
    let is_quote = |c: char| c.is_whitespace() || c == ':' || c == '"' || c == '\'';
    is_secret(text.trim_matches(is_quote))
}

/// How many spaces and tabs a line begins with.
fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}
