//! What a scalar of YAML means: the core schema of YAML 1.2, without its traps.
//!
//! Only `true`, `false`, `null` and numbers are not text; `yes`, `no` and `on` are. A number must
//! be written as JSON writes it. YAML would read `0750` as 750 and `1.10` as 1.1, and whoever wrote
//! them meant a file mode and a version.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use saphyr_parser::ScalarStyle;
use serde_json::{Number, Value};

use crate::problem::Problem;

/// The value of a scalar.
pub(super) fn read(text: Cow<'_, str>, style: ScalarStyle) -> Result<Value, Problem> {
    if style != ScalarStyle::Plain {
        return Ok(Value::String(text.into_owned()));
    }
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Value::Null),
        "true" | "True" | "TRUE" => Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => Ok(Value::Bool(false)),
        number if is_number(number) => read_number(number),
        _ => Ok(Value::String(text.into_owned())),
    }
}

/// Whether the core schema takes a text for a number.
fn is_number(text: &str) -> bool {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
        let decimal = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?";
        let other = r"0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)";
        Regex::new(&format!("^({decimal}|{other})$")).expect("a valid pattern")
    });
    // Most texts do not begin like a number.
    text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
        && NUMBER.is_match(text)
}

fn read_number(text: &str) -> Result<Value, Problem> {
    match serde_json::from_str::<Number>(text) {
        Ok(number) if number.to_string() == text => Ok(Value::Number(number)),
        _ => Err(unclear(text)),
    }
}

fn unclear(text: &str) -> Problem {
    let quoted = format!("if it is text, put it in quotes: \"{text}\"");
    let hint = match as_json(text) {
        Some(number) => format!("{quoted}; if it is a number, write {number}"),
        None => format!("{quoted}; JSON has no such number"),
    };
    Problem::new(format!("unclear number `{text}`")).hint(hint)
}

/// A number of YAML as JSON writes it.
fn as_json(text: &str) -> Option<String> {
    let integer = match text.get(..2) {
        Some("0x") => i64::from_str_radix(&text[2..], 16).ok(),
        Some("0o") => i64::from_str_radix(&text[2..], 8).ok(),
        _ => text.parse().ok(),
    };
    let number = match integer {
        Some(integer) => Number::from(integer),
        None => Number::from_f64(text.parse().ok()?)?,
    };
    Some(number.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(text: &str) -> Value {
        read(text.into(), ScalarStyle::Plain).unwrap_or_else(|problem| panic!("{problem}"))
    }

    #[test]
    fn only_the_core_schema_of_yaml_1_2_is_not_text() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("null", json!(null)),
            ("true", json!(true)),
            ("False", json!(false)),
            ("0", json!(0)),
            ("-17", json!(-17)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.5", json!(1.5)),
            ("1.0", json!(1.0)),
        ] {
            assert_eq!(plain(text), value, "{text}");
            let quoted = read(text.into(), ScalarStyle::DoubleQuoted).unwrap();
            assert_eq!(quoted, json!(text));
        }
        for text in [
            "yes",
            "No",
            "on",
            "off",
            "y",
            "tRUE",
            "nil",
            "1_000",
            "10.0.0.1",
            "22:22",
            "5m",
            "1e",
            "0b11",
            "2026-11-28",
            "-",
            "+",
            ".",
            "inf",
            "nan",
            "1.2.3",
            "0x",
            "0o8",
            "<<",
            "=",
        ] {
            assert_eq!(plain(text), json!(text));
        }
    }

    #[test]
    fn a_number_that_json_writes_in_another_way_is_unclear() {
        for (text, number) in [
            ("0750", "750"),
            ("00", "0"),
            ("-01", "-1"),
            ("1.10", "1.1"),
            ("17.0.10e0", ""),
            ("0o750", "488"),
            ("0x1F", "31"),
            ("+5", "5"),
            (".5", "0.5"),
            ("5.", "5.0"),
            ("1e3", "1000.0"),
            ("18446744073709551616", "1.8446744073709552e+19"),
        ] {
            let hint = match read(text.into(), ScalarStyle::Plain) {
                Err(problem) => problem.hint.unwrap(),
                Ok(value) => {
                    assert_eq!((value, number), (json!(text), ""));
                    continue;
                }
            };
            assert!(hint.ends_with(&format!("if it is a number, write {number}")), "{hint}");
        }
        for text in [".inf", "-.Inf", ".nan", "1e999"] {
            let problem = read(text.into(), ScalarStyle::Plain).unwrap_err();
            assert!(problem.hint.unwrap().ends_with("JSON has no such number"), "{text}");
        }
    }
}
