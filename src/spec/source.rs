//! A file that a person wrote, in JSON or YAML, which remembers the place of every value.
//!
//! serde reads the values; this module adds what serde does not keep: the line of a JSON path, and
//! duplicate keys.

use std::collections::HashMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::strict::Strict;
pub use super::tree::join;
use super::tree::{Place, Tree, wipe};
use super::type_error::{Unknown, explain};
use super::{json, other_format, yaml};
use crate::problem::{Problem, Problems};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// With comments and trailing commas.
    Json,
    Yaml,
}

impl Format {
    /// The name decides, not the content: a file means the same whatever mistake is in it.
    fn of(file: &str) -> Self {
        let extension = Path::new(file).extension().unwrap_or_default();
        let is_yaml = ["yaml", "yml"].iter().any(|name| extension.eq_ignore_ascii_case(name));
        if is_yaml { Self::Yaml } else { Self::Json }
    }
}

/// The content of a file with its name. It can hold a password, so its strings are wiped from
/// memory when it is dropped.
#[derive(Debug, Clone)]
pub struct Source {
    file: String,
    format: Format,
    /// The whole file as a value.
    pub value: Value,
    places: HashMap<String, Place>,
}

impl Source {
    /// Parses `text`. Files named `*.yaml` and `*.yml` are YAML, all others JSON with comments.
    ///
    /// Broken syntax and duplicate keys are errors, with their place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        if let Some(problem) = other_format::byte_order_mark(file, text) {
            return Err(problem.into());
        }
        let format = Format::of(file);
        let Tree { value, places } = match format {
            Format::Json => json::parse(file, text)?,
            Format::Yaml => yaml::parse(file, text)?,
        };
        Ok(Self { file: file.to_owned(), format, value, places })
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
            let (message, hint) = match self.format {
                Format::Json => {
                    ("the file is not a JSON object", "begin it with `{` and end it with `}`")
                }
                Format::Yaml => {
                    ("the file has no keys at its top", "write it as `key: value`, line by line")
                }
            };
            return Err(self.problem("", message).hint(hint).into());
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
    fn the_name_of_a_file_says_its_format() {
        for file in ["a.yaml", "a.yml", "a.b/c.YAML", "./x.json.yml"] {
            assert!(Source::parse(file, "a: 1 # c").is_ok(), "{file}");
        }
        for file in ["a.json", "a.jsonc", "a", "yaml", "/dev/stdin", "a.yaml/b", "a.yaml.json"] {
            assert!(Source::parse(file, "a: 1").is_err(), "{file}");
            assert!(Source::parse(file, "{\"a\": 1,} // c").is_ok(), "{file}");
        }
    }

    #[test]
    fn both_formats_have_the_same_values_and_paths() {
        let json = "{\n  \"a\": [\n    {\"b\": 1, \"c.d\": null}\n  ]\n}";
        let yaml = "# c\na:\n  - b: 1\n    c.d:\n";
        let (json, yaml) =
            (Source::parse("f", json).unwrap(), Source::parse("f.yml", yaml).unwrap());
        assert_eq!(json.value, yaml.value);
        assert_eq!(json.place("a[0].b"), Some((3, 6)));
        assert_eq!(yaml.place("a[0].b"), Some((3, 5)));
        assert_eq!(yaml.place("a[0].c.d"), Some((4, 5)));
        assert_eq!(yaml.place("a[0].nothing.there"), Some((3, 5)));
        assert_eq!(yaml.place("a"), Some((2, 1)));
    }
}
