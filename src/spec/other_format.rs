//! Recognizes a text that was not meant to be what its name says.

use std::sync::LazyLock;

use regex::Regex;

use super::tree::at;
use crate::problem::Problem;

/// A file that has no content.
pub(super) fn empty(file: &str) -> Problem {
    let hint = "bootproof reads JSON, and YAML from files named *.yaml or *.yml";
    at(file, (1, 1), "the file is empty").hint(hint)
}

/// A file that begins with a byte order mark, which neither JSON nor bootproof wants.
pub(super) fn byte_order_mark(file: &str, text: &str) -> Option<Problem> {
    let problem = at(file, (1, 1), "the file begins with a byte order mark (BOM)");
    text.starts_with('\u{feff}').then(|| problem.hint("save it as UTF-8 without BOM"))
}

/// Another format in a file whose name says JSON.
pub(super) fn named_json(text: &str) -> Option<Problem> {
    let problem = match first_line(text)? {
        line if is_yaml(line) => Problem::new("this looks like YAML, but the file's name does not")
            .hint("name it *.yaml or *.yml; all other files are read as JSON"),
        line if is_ini(line) => ini(),
        _ => return None,
    };
    Some(problem)
}

/// Another format in a file whose name says YAML.
pub(super) fn named_yaml(text: &str) -> Option<Problem> {
    first_line(text).filter(|line| is_ini(line)).map(|_| ini())
}

fn ini() -> Problem {
    Problem::new("this looks like INI or TOML; bootproof reads JSON and YAML")
        .hint("`bootproof schema inventory` and `bootproof schema suite` print the formats")
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

#[cfg(test)]
mod tests {
    use super::super::source::Source;

    fn explained(file: &str, text: &str) -> String {
        let problem = Source::parse(file, text).unwrap_err().0.remove(0);
        assert_eq!(problem.place, Some((1, 1)), "{text}");
        problem.message
    }

    #[test]
    fn names_the_format_that_a_text_has_instead() {
        let yaml = "this looks like YAML, but the file's name does not";
        for text in ["vms:\n  redis:\n", "---\nvms: {}\n", "# x\n\nlab: l\n", "- a\n- b\n"] {
            assert_eq!(explained("f.json", text), yaml, "{text}");
        }
        let ini = "this looks like INI or TOML; bootproof reads JSON and YAML";
        for text in ["[redis]\naddress = 10.0.0.1\n", "# x\n[all:vars]\nb = c\n", "lab = \"l\"\n"] {
            assert_eq!(explained("f.json", text), ini, "{text}");
        }
        assert_eq!(explained("f.yml", "[redis]\naddress = 10.0.0.1\n"), ini);
        for file in ["f.json", "f.yaml"] {
            let bom = "the file begins with a byte order mark (BOM)";
            assert_eq!(explained(file, "\u{feff}{}"), bom);
            assert_eq!(explained(file, " \n"), "the file is empty");
        }
    }
}
