//! Explains serde's messages about a value in the words of JSON.

use std::sync::LazyLock;

use regex::Regex;

use crate::problem::hint_for_unknown;

/// What serde's message means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Explained {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What is unknown, if that is the problem.
    pub unknown: Option<Unknown>,
}

/// Something that bootproof does not know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// A key of an object.
    Key(String),
    /// A word that is not among those that a value can be.
    Value(String),
}

/// Explains a message of serde; an unknown key may also have meant one of `more_keys`.
pub(super) fn explain(message: &str, more_keys: &[&str]) -> Explained {
    if message.starts_with("data did not match any variant of untagged enum") {
        return known("invalid value: it matches none of the accepted forms", None);
    }
    if message.starts_with("unknown ") {
        return unknown(message, more_keys);
    }
    if message == "invalid IP address syntax" {
        let hint = "write an IPv4 or IPv6 address, such as 10.0.0.1; names do not work here";
        return known("invalid IP address", Some(hint.to_owned()));
    }
    if let Some(reason) = message.strip_prefix("relative URL without a base: ") {
        let hint = "write it with its scheme and host, such as http://localhost:2283/";
        return known(&format!("incomplete URL: {reason}"), Some(hint.to_owned()));
    }
    let message = message.replace("missing field", "missing key");
    let hint = quoted_number(&message)
        .or_else(|| text_for_number(&message))
        .or_else(|| word_for_boolean(&message))
        .or_else(|| unquoted_text(&message))
        .or_else(|| nothing(&message));
    known(&in_words_of_json(&message), hint)
}

/// Whether a message of [`explain`] is about a key, not about its value.
pub(super) fn is_about_a_key(message: &str) -> bool {
    message.starts_with("unknown key `")
}

fn known(message: &str, hint: Option<String>) -> Explained {
    Explained { message: message.to_owned(), hint, unknown: None }
}

/// "unknown field `prot`, expected one of `port`, `protocol`", and the same with "variant".
fn unknown(message: &str, more_keys: &[&str]) -> Explained {
    let is_key = message.starts_with("unknown field");
    let mut words = message.split('`').skip(1).step_by(2);
    let word = words.next().unwrap_or_default();
    let mut expected: Vec<&str> = words.collect();
    if is_key {
        expected.extend(more_keys);
    }
    let hint = (!expected.is_empty()).then(|| hint_for_unknown(word, expected));
    let (kind, unknown) = if is_key {
        ("key", Unknown::Key(word.to_owned()))
    } else {
        ("value", Unknown::Value(word.to_owned()))
    };
    Explained { message: format!("unknown {kind} `{word}`"), hint, unknown: Some(unknown) }
}

fn in_words_of_json(message: &str) -> String {
    // The order matters: `u16` is a part of `a nonzero u16`.
    const WORDS: [(&str, &str); 9] = [
        ("invalid type: sequence", "invalid type: list"),
        ("invalid type: map", "invalid type: object"),
        ("expected a sequence", "expected a list"),
        ("expected a map", "expected an object"),
        ("expected struct ", "expected an object: "),
        ("a nonzero u16", "a number from 1 to 65535"),
        ("expected u16", "expected a number from 0 to 65535"),
        ("expected u32", "expected a whole number"),
        ("expected i32", "expected a whole number"),
    ];
    let mut message = message.to_owned();
    for (rust, json) in WORDS {
        message = message.replace(rust, json);
    }
    message
}

/// A hint for a number that is written as a string.
fn quoted_number(message: &str) -> Option<String> {
    static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"^invalid type: string "(-?\d+(?:\.\d+)?)", expected (?:.*[ui]\d+|a number$)"#)
            .expect("a valid pattern")
    });
    let number = QUOTED.captures(message)?.get(1)?.as_str();
    Some(format!("write {number} without quotes"))
}

/// A hint for text such as `3GB` where a number must be.
fn text_for_number(message: &str) -> Option<String> {
    let is_text = message.starts_with("invalid type: string \"");
    let needs_number = message.ends_with(", expected a number");
    (is_text && needs_number).then(|| "write a number without quotes and without a unit".to_owned())
}

/// A hint for `yes` and `"true"`, which are text.
fn word_for_boolean(message: &str) -> Option<String> {
    let rest = message.strip_prefix("invalid type: string \"")?;
    let word = rest.strip_suffix("\", expected a boolean")?;
    let meant = match word.to_lowercase().as_str() {
        "yes" | "on" | "y" | "true" => "true",
        "no" | "off" | "n" | "false" => "false",
        _ => return None,
    };
    Some(format!("write {meant}, without quotes"))
}

/// A hint for a key that has no value.
fn nothing(message: &str) -> Option<String> {
    let is_null = message.starts_with("invalid type: null, expected ");
    is_null.then(|| "write a value, or leave the key out".to_owned())
}

/// A hint for text that looks like a number or a boolean, and so needs quotes.
fn unquoted_text(message: &str) -> Option<String> {
    static UNQUOTED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"^invalid type: (?:integer|floating point|boolean) `([^`]*)`, expected a string",
        )
        .expect("a valid pattern")
    });
    let text = UNQUOTED.captures(message)?.get(1)?.as_str();
    Some(format!("put it in quotes: \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_may_have_meant_a_key_from_elsewhere() {
        let message = "unknown field `timeoutt`, expected `port` or `protocol`";
        let explained = explain(message, &["on_vm", "timeout"]);
        assert_eq!(explained.message, "unknown key `timeoutt`");
        assert_eq!(explained.hint.as_deref(), Some("did you mean `timeout`?"));
        let unlike_any = explain("unknown field `zzz`, expected `port`", &["on_vm"]);
        assert_eq!(unlike_any.hint.as_deref(), Some("use one of: port, on_vm"));
    }

    #[test]
    fn a_number_in_quotes_is_a_mistake_with_a_hint() {
        let explained = explain("invalid type: string \"22\", expected a nonzero u16", &[]);
        assert_eq!(
            explained.message,
            "invalid type: string \"22\", expected a number from 1 to 65535"
        );
        assert_eq!(explained.hint.as_deref(), Some("write 22 without quotes"));
        assert_eq!(explain("invalid type: string \"x\", expected u16", &[]).hint, None);
        for (text, hint) in [
            ("5", "write 5 without quotes"),
            ("-0.5", "write -0.5 without quotes"),
            ("3GB", "write a number without quotes and without a unit"),
        ] {
            let message = format!("invalid type: string {text:?}, expected a number");
            assert_eq!(explain(&message, &[]).hint.as_deref(), Some(hint), "{text}");
        }
    }

    #[test]
    fn text_for_a_boolean_and_the_reverse_are_mistakes_with_a_hint() {
        for (message, hint) in [
            ("string \"yes\", expected a boolean", Some("write true, without quotes")),
            ("string \"Off\", expected a boolean", Some("write false, without quotes")),
            ("string \"maybe\", expected a boolean", None),
            ("integer `17`, expected a string", Some("put it in quotes: \"17\"")),
            ("null, expected a string", Some("write a value, or leave the key out")),
            ("boolean `true`, expected a string", Some("put it in quotes: \"true\"")),
        ] {
            let explained = explain(&format!("invalid type: {message}"), &[]);
            assert_eq!(explained.hint.as_deref(), hint, "{message}");
        }
    }
}
