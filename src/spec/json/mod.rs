//! Reads JSON with comments and trailing commas (JSONC).

mod cursor;
mod mistake;

use jsonc_parser::ast::{Array, NumberLit, Object, StringLit, Value as Node};
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::{Map, Value};

use self::cursor::Cursor;
use super::other_format;
use super::tree::{Key, Place, Tree, Walk, join};
use crate::problem::{Problem, Problems};

/// JSON, and nothing more than comments and trailing commas: what editors know as JSONC.
const JSONC: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Parses a text; `file` only names it in messages.
pub(super) fn parse(file: &str, text: &str) -> Result<Tree, Problems> {
    let ast = parse_to_ast(text, &CollectOptions::default(), &JSONC)
        .map_err(|error| mistake::explain(file, text, &error))?;
    let root = ast.value.ok_or_else(|| other_format::empty(file))?;
    let mut reader = Reader { text, cursor: Cursor::new(text), walk: Walk::new(file) };
    let place = reader.cursor.place(root.start());
    reader.walk.note("", place);
    let value = reader.value("", place, root)?;
    reader.walk.finish(value)
}

struct Reader<'a> {
    text: &'a str,
    cursor: Cursor<'a>,
    walk: Walk<'a>,
}

impl Reader<'_> {
    fn value(&mut self, path: &str, place: Place, node: Node) -> Result<Value, Problem> {
        match node {
            Node::Object(object) => self.object(path, place, object),
            Node::Array(array) => self.array(path, place, array),
            Node::StringLit(string) => self.string(string).map(Value::String),
            Node::NumberLit(number) => self.number(place, &number),
            Node::BooleanLit(boolean) => Ok(Value::Bool(boolean.value)),
            Node::NullKeyword(_) => Ok(Value::Null),
        }
    }

    fn object(&mut self, path: &str, place: Place, object: Object) -> Result<Value, Problem> {
        self.walk.enter(path, place, 0)?;
        let mut read = Map::new();
        for property in object.properties {
            self.check_characters(property.name.range())?;
            let name = property.name.into_string();
            let key = Key { name: &name, place: self.cursor.place(property.range.start) };
            let is_new = self.walk.is_new_key(&read, path, key);
            let place = self.cursor.place(property.value.start());
            let value = self.value(&join(path, &name), place, property.value)?;
            if is_new {
                read.insert(name, value);
            }
        }
        self.walk.leave();
        Ok(Value::Object(read))
    }

    fn array(&mut self, path: &str, place: Place, array: Array) -> Result<Value, Problem> {
        self.walk.enter(path, place, 0)?;
        let mut read = Vec::new();
        for (index, element) in array.elements.into_iter().enumerate() {
            let below = format!("{path}[{index}]");
            let place = self.cursor.place(element.start());
            self.walk.note(&below, place);
            read.push(self.value(&below, place, element)?);
        }
        self.walk.leave();
        Ok(Value::Array(read))
    }

    fn string(&mut self, string: StringLit) -> Result<String, Problem> {
        self.check_characters(string.range)?;
        Ok(string.value.into_owned())
    }

    /// `jsonc_parser` lets raw control characters through, which JSON forbids: a quote that is
    /// missing would swallow lines.
    fn check_characters(&mut self, range: Range) -> Result<(), Problem> {
        match mistake::in_string(&self.text[range.start..range.end]) {
            Some(mistake) => {
                let place = self.cursor.place(range.start + mistake.offset);
                Err(Problem { hint: mistake.hint, ..self.walk.problem(place, mistake.message) })
            }
            None => Ok(()),
        }
    }

    /// `serde_json` reads the digits, so that numbers are as exact as everywhere else.
    fn number(&self, place: Place, number: &NumberLit) -> Result<Value, Problem> {
        let read = serde_json::from_str(number.value).map(Value::Number);
        read.map_err(|_| {
            let message = format!("the number `{}` is too large", number.value);
            self.walk.problem(place, message).hint("write it in quotes if it is text")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        parse("f", text).unwrap_or_else(|problems| panic!("{text}: {problems}")).value
    }

    #[test]
    fn comments_and_trailing_commas_mean_nothing() {
        let plain = r#"{"a": [1, {"b": "// no /* comment */ # here"}]}"#;
        for text in [
            "// c\n{\"a\": [1, {\"b\": \"// no /* comment */ # here\"}]} // c",
            "/* c\n c */ {\"a\": [1, /* c */ {\"b\": /* c */ \"// no /* comment */ # here\",},],}",
            "{\"a\" /* c */ : [1, // c \" ' {\n{\"b\": \"// no /* comment */ # here\"\n// c\n}]\n}",
        ] {
            assert_eq!(read(text), read(plain), "{text}");
        }
    }

    #[test]
    fn everything_else_is_strict() {
        for text in [
            "{'a': 1}",
            "{\"a\": 'x'}",
            "{a: 1}",
            "{\"a\": 1 \"b\": 2}",
            "[1 2]",
            "[1,, 2]",
            "{,}",
            "[,]",
            "{\"a\": 0x1}",
            "{\"a\": +1}",
            "{\"a\": 01}",
            "{\"a\": .5}",
            "{\"a\": 5.}",
            "{\"a\": NaN}",
            "{\"a\": -Infinity}",
            "{\"a\": 1e999}",
            "{\"a\": \"\\x41\"}",
            "{\"a\": \"\\'\"}",
            "{\"a\": \"\\ud800\"}",
            "{\"a\": \"tab\there\"}",
            "{\"a\": \"line\nbreak\"}",
            "{\"li\nne\": 1}",
            "{} {}",
            "# c\n{}",
            "",
            "// c",
        ] {
            assert!(parse("f", text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_those_of_serde_json() {
        for number in [
            "0",
            "-0",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "1.10",
            "0.1",
            "2.2250738585072011e-308",
            "1e23",
            "123456789012345678901234567890",
        ] {
            let expected: Value = serde_json::from_str(number).unwrap();
            assert_eq!(read(number), expected, "{number}");
        }
    }

    #[test]
    fn nesting_has_the_limit_of_serde_json() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        for depth in [1, 127, 128, 129, 600, 100_000] {
            let accepted = serde_json::from_str::<Value>(&nested(depth)).is_ok();
            assert_eq!(parse("f", &nested(depth)).is_ok(), accepted, "{depth}");
        }
        let problems = parse("f", &nested(128)).unwrap_err();
        assert!(problems.to_string().contains("nested more than 127 deep"), "{problems}");
    }

    #[test]
    fn a_column_counts_characters() {
        let text = "{\"ä\": \"ö\",\n \"ü\": [\"é\", true]}";
        let places = parse("f", text).unwrap().places;
        assert_eq!((places["ä"], places["ü"], places["ü[1]"]), ((1, 2), (2, 2), (2, 13)));
    }
}
