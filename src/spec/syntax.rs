//! Explains why a text is not JSON: it is another format, or has a mistake that JSON does not
//! forgive.

use std::sync::LazyLock;

use regex::Regex;

use crate::problem::Problem;

/// What is wrong with a text that `serde_json` refused.
pub(super) fn problem(file: &str, text: &str, error: &serde_json::Error) -> Problem {
    let from_the_start = Some((1, 1));
    // The end of a file that ends with a line feed is after its last line.
    let at_the_error = if error.line() > text.lines().count() {
        last_place(text)
    } else {
        (error.line(), error.column().max(1))
    };
    let at_the_error = Some(at_the_error);
    let (place, explained) = match other_format(text) {
        Some(explained) => (from_the_start, explained),
        None => (at_the_error, mistake(text, error)),
    };
    Problem { file: Some(file.to_owned()), place, ..explained }
}

/// Line and column of the last character.
fn last_place(text: &str) -> (usize, usize) {
    let column = text.lines().last().map_or(1, |line| line.chars().count().max(1));
    (text.lines().count().max(1), column)
}

/// A text that was not meant to be JSON as it is.
fn other_format(text: &str) -> Option<Problem> {
    if text.starts_with('\u{feff}') {
        let problem = Problem::new("the file begins with a byte order mark (BOM)");
        return Some(problem.hint("save it as UTF-8 without BOM"));
    }
    if text.trim().is_empty() {
        let problem = Problem::new("the file is empty");
        return Some(problem.hint("bootproof reads JSON: begin with `{` and end with `}`"));
    }
    let problem = match first_line(text)? {
        line if is_yaml(line) => Problem::new("this looks like YAML; bootproof reads JSON")
            .hint("convert it, for example with `yq -o=json . FILE`"),
        line if is_ini(line) => Problem::new("this looks like INI or TOML; bootproof reads JSON")
            .hint("`bootproof schema inventory` and `bootproof schema suite` print the formats"),
        _ => return None,
    };
    Some(problem)
}

/// The first line that is neither empty nor a comment.
fn first_line(text: &str) -> Option<&str> {
    let is_comment = |line: &&str| ["#", ";", "//"].iter().any(|sign| line.starts_with(sign));
    text.lines().map(str::trim).filter(|line| !is_comment(line)).find(|line| !line.is_empty())
}

/// `---`, `- item` or `key: value`.
fn is_yaml(line: &str) -> bool {
    static YAML: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(---(\s.*)?|%YAML .*|-\s.*|[\w.$-]+\s*:(\s.*)?)$").expect("a valid pattern")
    });
    YAML.is_match(line)
}

/// `[section]` or `key = value`.
fn is_ini(line: &str) -> bool {
    static INI: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(\[{1,2}[A-Za-z_][\w .:-]*\]{1,2}|[\w.-]+\s*=.*)$").expect("a valid pattern")
    });
    INI.is_match(line)
}

/// A mistake in a text that was meant to be JSON.
fn mistake(text: &str, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or(&message);
    let here = from_place(text, error.line(), error.column());
    if here.starts_with(['/', '#']) {
        return Problem::new("JSON has no comments")
            .hint("remove it, or write it into a `description`");
    }
    if here.starts_with('\'') {
        return Problem::new("single quotes are not JSON")
            .hint("write keys and strings in double quotes: \"...\"");
    }
    if message == "trailing comma" {
        return Problem::new("trailing comma").hint("remove the comma after the last item");
    }
    if error.is_eof() {
        return Problem::new(format!("the file ends too early: {message}"))
            .hint("was it cut off? Close every `{`, `[` and `\"`");
    }
    Problem::new(message)
}

/// The text from a line and column of `serde_json` on, both from 1.
fn from_place(text: &str, line: usize, column: usize) -> &str {
    let line_start = match line.checked_sub(2) {
        Some(line_feed) => {
            text.match_indices('\n').nth(line_feed).map_or(text.len(), |(index, _)| index + 1)
        }
        None => 0,
    };
    text.get(line_start + column.saturating_sub(1)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(text: &str) -> String {
        let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
        let problem = problem("f", text, &error);
        assert!(problem.place.is_some_and(|(line, column)| line > 0 && column > 0));
        problem.message
    }

    #[test]
    fn names_the_format_that_is_not_json() {
        let yaml = "this looks like YAML; bootproof reads JSON";
        for text in ["vms:\n  redis:\n", "---\nvms: {}\n", "# x\n\nlab: l\n", "- a\n- b\n"] {
            assert_eq!(explained(text), yaml, "{text}");
        }
        for text in ["[redis]\naddress = 10.0.0.1\n", "; x\n[all:vars]\n", "lab = \"l\"\n"] {
            assert_eq!(
                explained(text),
                "this looks like INI or TOML; bootproof reads JSON",
                "{text}"
            );
        }
        assert_eq!(explained("\u{feff}{}"), "the file begins with a byte order mark (BOM)");
        assert_eq!(explained(" \n"), "the file is empty");
    }

    #[test]
    fn names_the_mistake_that_json_does_not_forgive() {
        for text in [
            "// c\n{}",
            "# c\n{}",
            "{\"a\": 1, // c\n\"b\": 2}",
            "{\n  \"a\": 1 # c\n}",
            "{} /* c */",
            "{\"a\": [1, /* c */ 2]}",
            "{\"a\": /* c */ 2}",
            "{ // c\n \"a\": 2}",
        ] {
            assert_eq!(explained(text), "JSON has no comments", "{text}");
        }
        for text in ["{'a': 1}", "{\"a\": 'x'}", "{\n\"a\": 1, 'b': 2}", "['x']"] {
            assert_eq!(explained(text), "single quotes are not JSON", "{text}");
        }
        for text in ["{\"a\": 1,}", "{\"a\": [1,\n]}"] {
            assert_eq!(explained(text), "trailing comma", "{text}");
        }
        for cut in ["{\"a\": [1,", "{\"a\": [1,\n"] {
            let error = serde_json::from_str::<serde_json::Value>(cut).unwrap_err();
            assert_eq!(problem("f", cut, &error).place.unwrap().0, 1, "{cut:?}");
        }
        let cut = explained("{\"a\": [1,");
        assert!(cut.starts_with("the file ends too early: "), "{cut}");
        // A mistake that has no better name keeps that of the parser.
        assert_eq!(explained("{\"a\" 1}"), "expected `:`");
    }
}
