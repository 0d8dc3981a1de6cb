//! A JSON file that remembers the place of every value.
//!
//! serde reads the values; this module adds what serde does not keep: the line of a JSON path, and
//! duplicate keys.

use std::collections::HashMap;

use jsonc_parser::ast::{Object, Value as Node};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions};
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroize;

use super::strict::Strict;
use super::syntax;
use super::type_error::{Unknown, explain};
use crate::problem::{Problem, Problems};

/// The text of a file with its name, parsed as strict JSON. It can hold a password, so its strings
/// are wiped from memory when it is dropped.
#[derive(Debug, Clone)]
pub struct Source {
    file: String,
    /// The whole file as a value.
    pub value: Value,
    places: HashMap<String, (usize, usize)>,
}

impl Source {
    /// Parses `text`; `file` only names it in messages.
    ///
    /// Broken syntax and duplicate keys are errors, with their place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| syntax::problem(file, text, &error))?;
        let mut index = Index::new(file, text);
        // serde_json decides what is valid; the second parser only finds places.
        let ast =
            jsonc_parser::parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
        if let Ok(Some(root)) = ast.map(|ast| ast.value) {
            index.note("", root.range().start);
            index.visit("", &root);
        }
        if !index.duplicates.is_empty() {
            return Err(Problems(index.duplicates));
        }
        Ok(Self { file: file.to_owned(), value, places: index.places })
    }

    /// The file's name, as given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line and column of a JSON path, both from 1; those of the nearest parent if it has none.
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

    /// The line of a JSON path, from 1.
    pub fn line(&self, path: &str) -> usize {
        self.place(path).map_or(1, |(line, _)| line)
    }

    /// A problem at a JSON path of this file.
    pub fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        Problem {
            file: Some(self.file.clone()),
            place: self.place(path),
            path: path.to_owned(),
            ..Problem::new(message)
        }
    }

    /// The whole file as a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problems> {
        if !self.value.is_object() {
            let problem = self.problem("", "the file is not a JSON object");
            return Err(problem.hint("begin it with `{` and end it with `}`").into());
        }
        self.read_at("", &self.value).map_err(Problems::from)
    }

    /// `value`, which is at `path`, as a `T`.
    pub fn read_at<T: DeserializeOwned>(&self, path: &str, value: &Value) -> Result<T, Problem> {
        self.read_with(path, value, &[])
    }

    /// `value`, which is at `path`, as a `T`; a misspelt key may also have meant one of
    /// `more_keys`.
    pub fn read_with<T: DeserializeOwned>(
        &self,
        path: &str,
        value: &Value,
        more_keys: &[&str],
    ) -> Result<T, Problem> {
        self.read_strictly(path, Strict::new(value), more_keys)
    }

    /// The same for a value whose templates were rendered; `written` is the value before that.
    pub fn read_rendered<T: DeserializeOwned>(
        &self,
        path: &str,
        value: &Value,
        written: &Value,
        more_keys: &[&str],
    ) -> Result<T, Problem> {
        self.read_strictly(path, Strict::rendered(value, written), more_keys)
    }

    /// What the file says at a JSON path.
    pub fn at(&self, path: &str) -> Option<&Value> {
        let mut value = &self.value;
        for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
            value = match part.strip_suffix(']') {
                Some(index) => value.get(index.parse::<usize>().ok()?)?,
                None => value.get(part)?,
            };
        }
        Some(value)
    }

    fn read_strictly<T: DeserializeOwned>(
        &self,
        path: &str,
        value: Strict,
        more_keys: &[&str],
    ) -> Result<T, Problem> {
        serde_path_to_error::deserialize(value).map_err(|error| {
            let path = join(path, &error.path().to_string());
            let explained = explain(&error.into_inner().to_string(), more_keys);
            let path = match explained.unknown {
                // Some deserializers add the unknown word to the path, some do not.
                Some(Unknown::Key(key)) if !path.ends_with(&key) => join(&path, &key),
                Some(Unknown::Value(word)) => {
                    path.strip_suffix(&format!(".{word}")).unwrap_or(&path).to_owned()
                }
                _ => path,
            };
            Problem { hint: explained.hint, ..self.problem(&path, explained.message) }
        })
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

/// The JSON path `below`, seen from `path`.
pub fn join(path: &str, below: &str) -> String {
    match (path, below) {
        (_, "" | ".") => path.to_owned(),
        ("", _) => below.to_owned(),
        _ if below.starts_with('[') => format!("{path}{below}"),
        _ => format!("{path}.{below}"),
    }
}

/// The places of all paths of a file, and its duplicate keys.
struct Index<'a> {
    file: &'a str,
    lines: LineStarts,
    places: HashMap<String, (usize, usize)>,
    duplicates: Vec<Problem>,
}

impl<'a> Index<'a> {
    fn new(file: &'a str, text: &str) -> Self {
        let lines = LineStarts::of(text);
        Self { file, lines, places: HashMap::new(), duplicates: Vec::new() }
    }

    fn visit(&mut self, path: &str, node: &Node) {
        match node {
            Node::Object(object) => self.visit_object(path, object),
            Node::Array(array) => {
                for (index, element) in array.elements.iter().enumerate() {
                    let below = format!("{path}[{index}]");
                    self.note(&below, element.range().start);
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
            let place = self.lines.place(property.range.start);
            if let Some(first_line) = lines.insert(name, place.0) {
                let duplicate = Problem {
                    file: Some(self.file.to_owned()),
                    place: Some(place),
                    path: below,
                    ..Problem::new(format!("duplicate key `{name}`"))
                };
                let hint = format!("it is already on line {first_line}; keep one of the two");
                self.duplicates.push(duplicate.hint(hint));
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
        let after_line_feeds = text.match_indices('\n').map(|(index, _)| index + 1);
        Self(std::iter::once(0).chain(after_line_feeds).collect())
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
    fn a_duplicate_key_is_an_error_at_its_second_place() {
        let problems = Source::parse("f", "{\n \"a\": 1,\n \"a\": 2}").unwrap_err();
        assert_eq!(problems.0[0].place, Some((3, 2)));
        assert!(problems.to_string().contains("duplicate key `a`"), "{problems}");
    }

    #[test]
    fn only_strict_json_is_accepted() {
        for text in ["{'a': 1}", "{\"a\": 1,}", "// c\n{}", "{\"a\": 0x1}", ""] {
            assert!(Source::parse("f", text).is_err(), "{text}");
        }
    }
}
