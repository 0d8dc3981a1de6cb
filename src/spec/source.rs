//! A JSON file that remembers where everything stands.
//!
//! serde reads the values; this module adds what serde does not keep: the line of a JSON path, and keys
//! that stand twice in one object.

use std::collections::HashMap;

use jsonc_parser::ast::{Object, Value as Node};
use jsonc_parser::{CollectOptions, ParseOptions};
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error, IntoDeserializer, Visitor};
use serde_json::Value;
use zeroize::Zeroize;

use crate::problem::{Problem, Problems, hint_for_unknown};

/// The text of a file with its name, parsed as strict JSON. A password can stand in it, so its texts are wiped from
/// memory with it.
#[derive(Debug, Clone)]
pub struct Source {
    file: String,
    /// The whole file as a value.
    pub value: Value,
    places: HashMap<String, (usize, usize)>,
}

impl Source {
    /// Parses `text`; `file` is only a name for messages.
    ///
    /// Broken syntax (with the place where it breaks) and keys that stand twice are errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| syntax_error(file, text, &error))?;
        let mut index =
            Index { file, lines: LineStarts::of(text), places: HashMap::new(), twice: Vec::new() };
        // serde_json is the judge of syntax; the second parser is only asked for places.
        if let Ok(Some(root)) =
            jsonc_parser::parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default())
                .map(|ast| ast.value)
        {
            index.note("", jsonc_parser::common::Ranged::range(&root).start);
            index.visit("", &root);
        }
        if !index.twice.is_empty() {
            return Err(Problems(index.twice));
        }
        Ok(Self { file: file.to_owned(), value, places: index.places })
    }

    /// The file's name, as given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line and column of a JSON path, or of the nearest parent that has one.
    pub fn place(&self, path: &str) -> Option<(usize, usize)> {
        let mut path = path;
        loop {
            match self.places.get(path) {
                Some(place) => return Some(*place),
                None if path.is_empty() => return None,
                None => path = &path[..path.rfind(['.', '[']).unwrap_or(0)],
            }
        }
    }

    /// An error at a JSON path of this file.
    pub fn error(&self, path: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        Problem {
            file: Some(self.file.clone()),
            place: self.place(path),
            path: path.to_owned(),
            message: message.into(),
            hint,
        }
    }

    /// The whole file as a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problems> {
        if !self.value.is_object() {
            let hint = Some("it begins with `{` and ends with `}`".to_owned());
            return Err(self.error("", "the file is not a JSON object", hint).into());
        }
        self.read_at("", &self.value).map_err(Problems::from)
    }

    /// `value`, which stands at `path`, as a `T`.
    pub fn read_at<T: DeserializeOwned>(&self, path: &str, value: &Value) -> Result<T, Problem> {
        serde_path_to_error::deserialize(Strict(value)).map_err(|error| {
            let below = error.path().to_string();
            let full = join(path, &below);
            self.typed_error(&full, &error.into_inner().to_string())
        })
    }

    fn typed_error(&self, path: &str, message: &str) -> Problem {
        let words = backticked(message);
        let (path, hint) = match words.split_first() {
            Some((unknown, known)) if message.starts_with("unknown ") => {
                // Some deserializers count the unknown key into the path, some do not.
                let path =
                    if path.ends_with(unknown) { path.to_owned() } else { join(path, unknown) };
                let hint =
                    (!known.is_empty()).then(|| hint_for_unknown(unknown, known.iter().copied()));
                (path, hint)
            }
            _ => (path.to_owned(), None),
        };
        let message = message.split(", expected one of `").next().unwrap_or(message);
        let message = if message.starts_with("data did not match any variant of untagged enum") {
            "this is of none of the shapes that can stand here"
        } else {
            message
        };
        self.error(
            &path,
            message.replace("unknown field", "unknown key").replace("missing field", "missing key"),
            hint,
        )
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        wipe(&mut self.value);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(items) => items.values_mut().for_each(wipe),
        _ => {}
    }
}

/// A value of which a list is never read as an object: serde would take `[]` for an object whose keys all stay away.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Value);

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Array(list) => visitor.visit_seq(SeqDeserializer::new(list.iter().map(Strict))),
            Value::Object(keys) => visitor.visit_map(MapDeserializer::new(
                keys.iter().map(|(key, value)| (key.as_str(), Strict(value))),
            )),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if self.0.is_array() {
            return Err(Error::custom("a list stands where an object belongs"));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, serde_json::Error> for Strict<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// `path` and what comes below it.
pub fn join(path: &str, below: &str) -> String {
    match (path, below) {
        (_, "" | ".") => path.to_owned(),
        ("", _) => below.to_owned(),
        _ if below.starts_with('[') => format!("{path}{below}"),
        _ => format!("{path}.{below}"),
    }
}

fn backticked(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

fn syntax_error(file: &str, text: &str, error: &serde_json::Error) -> Problems {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
    let hint = if text.trim().is_empty() {
        Some("the file is empty".to_owned())
    } else if error.is_eof() {
        Some("the file ends too early; was it cut off?".to_owned())
    } else {
        None
    };
    let place = Some((error.line(), error.column().max(1)));
    Problem { file: Some(file.to_owned()), place, path: String::new(), message, hint }.into()
}

struct Index<'a> {
    file: &'a str,
    lines: LineStarts,
    places: HashMap<String, (usize, usize)>,
    twice: Vec<Problem>,
}

impl Index<'_> {
    fn visit(&mut self, path: &str, node: &Node) {
        match node {
            Node::Object(object) => self.visit_object(path, object),
            Node::Array(array) => {
                for (index, element) in array.elements.iter().enumerate() {
                    let below = format!("{path}[{index}]");
                    self.note(&below, jsonc_parser::common::Ranged::range(element).start);
                    self.visit(&below, element);
                }
            }
            _ => {}
        }
    }

    fn visit_object(&mut self, path: &str, object: &Object) {
        let mut lines = HashMap::new();
        for property in &object.properties {
            let name = property.name.as_str();
            let below = join(path, name);
            let (line, _) = self.lines.place(property.range.start);
            if let Some(line) = lines.insert(name, line) {
                let hint = Some(format!("it stands in line {line} already; keep one of the two"));
                let place = Some(self.lines.place(property.range.start));
                let message = format!("the key `{name}` stands twice in one object");
                self.twice.push(Problem {
                    file: Some(self.file.to_owned()),
                    place,
                    path: below,
                    message,
                    hint,
                });
                continue;
            }
            self.note(&below, property.range.start);
            self.visit(&below, &property.value);
        }
    }

    fn note(&mut self, path: &str, offset: usize) {
        self.places.insert(path.to_owned(), self.lines.place(offset));
    }
}

/// The byte offsets at which lines begin.
struct LineStarts(Vec<usize>);

impl LineStarts {
    fn of(text: &str) -> Self {
        Self(
            std::iter::once(0)
                .chain(text.match_indices('\n').map(|(index, _)| index + 1))
                .collect(),
        )
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.0.partition_point(|start| *start <= offset);
        (line, offset - self.0[line - 1] + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_line_of_its_key() {
        let source = Source::parse("f", "{\n  \"a\": [\n    {\"b\": 1}\n  ]\n}").unwrap();
        assert_eq!(source.place("a[0].b"), Some((3, 6)));
        assert_eq!(source.place("a[0].nothing.there"), Some((3, 5)));
    }

    #[test]
    fn a_key_that_stands_twice_is_an_error_at_its_second_place() {
        let errors = Source::parse("f", "{\n \"a\": 1,\n \"a\": 2}").unwrap_err();
        assert_eq!(errors.0[0].place, Some((3, 2)));
        assert!(errors.to_string().contains("`a` stands twice"), "{errors}");
    }

    #[test]
    fn a_file_that_was_cut_off_says_so() {
        let errors = Source::parse("f", "{\"a\": [1,").unwrap_err();
        assert!(errors.to_string().contains("cut off"), "{errors}");
    }

    #[test]
    fn what_only_a_lenient_parser_takes_is_refused() {
        for text in ["{'a': 1}", "{\"a\": 1,}", "// c\n{}", "{\"a\": 0x1}", ""] {
            assert!(Source::parse("f", text).is_err(), "{text}");
        }
    }
}
