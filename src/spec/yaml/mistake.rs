//! Explains why a text is not YAML.

use saphyr_parser::ScanError;

use crate::problem::Problem;
use crate::spec::other_format;
use crate::spec::tree::{at, too_deep};

/// A part of the parser's message, what it means, and what to do about it.
type Meaning = (&'static str, &'static str, &'static str);

const QUOTE: &str = "put a text with `: `, ` #`, `{`, `[`, `*`, `&`, `!`, `|` or `>` in quotes";
const COLUMN: &str = "the keys of an object begin in one column, and so do the items of a list";
const FLOW: &str = "close `[` and `{`, and put commas between what is in them; text that contains \
                    `{`, `}`, `[`, `]` or `,` goes in quotes there";

/// The first one that fits counts.
const MEANINGS: [Meaning; 18] = [
    ("end of stream", "this quote is not closed", "close it with the same quote"),
    ("unexpected document indicator", "this quote is not closed", "close it with the same quote"),
    ("in quoted scalar", "the quoted text goes on too far to the left", COLUMN),
    (
        "unknown escape character",
        "an unknown escape in double quotes",
        "write `\\` as `\\\\`, or use single quotes, in which it means itself: '\\d+'",
    ),
    ("hexadecimal number", "an incomplete escape in double quotes", "write \\xXX or \\uXXXX"),
    ("character escape code", "an escape that is not a character", "write \\uXXXX or \\UXXXXXXXX"),
    ("after double-quoted scalar", "text after the closing quote", "put all of it in quotes"),
    ("tab", "a tab", "indent with spaces"),
    ("unknown anchor", "unknown alias", "write `&name` before the value that `*name` repeats"),
    ("unprintable character", "a control character", "write it in double quotes, as \\xXX"),
    ("unexpected character", "a text cannot begin with this character", "put the text in quotes"),
    ("flow", "a `[` or `{` is not closed, or a comma is missing", FLOW),
    ("mapping values are not allowed", "a second `:` on this line", QUOTE),
    ("expect ':'", "a key without `:` is before this", "write `key: value`"),
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
    let (line, column) = (error.marker().line(), error.marker().col());
    let line_text = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    // The end of a file that ends with a line feed is after its last line.
    let lines = text.lines().count().max(1);
    let place = if line > lines {
        (lines, text.lines().last().map_or(1, |last| last.chars().count().max(1)))
    } else {
        (line, column + 1)
    };
    if let Some(tab) = tab_in_indentation(line_text) {
        return at(file, (line, tab), "a tab in the indentation").hint("indent with spaces");
    }
    if line_text.trim_start().starts_with("//") {
        return at(file, place, "`//` does not begin a comment in YAML").hint("write `#` instead");
    }
    let info = error.info();
    if info.contains("recursion limit") {
        return at(file, place, too_deep());
    }
    let (message, hint) = MEANINGS
        .iter()
        .find(|(part, ..)| info.contains(part))
        .map_or((info, QUOTE), |(_, message, hint)| (*message, *hint));
    let message = match message {
        "unknown alias" => format!("unknown alias `{}`", word_at(line_text, column)),
        message => message.to_owned(),
    };
    at(file, place, message).hint(hint)
}

/// The column of a tab before the text of a line.
fn tab_in_indentation(line: &str) -> Option<usize> {
    let indentation = line.len() - line.trim_start().len();
    line[..indentation].find('\t').map(|column| column + 1)
}

fn word_at(line: &str, column: usize) -> String {
    let is_end = |letter: &char| letter.is_whitespace() || ",[]{}".contains(*letter);
    line.chars().skip(column).take_while(|letter| !is_end(letter)).collect()
}
