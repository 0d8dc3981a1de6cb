//! What a parser makes of a file: its value, and the place of every JSON path.

use std::collections::HashMap;

use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::problem::{Problem, Problems};

/// Line and column, both from 1; a column counts characters.
pub(super) type Place = (usize, usize);

/// How deep lists and objects may be nested. `serde_json` has the same limit, so everybody can read
/// what bootproof writes.
const DEPTH: usize = 127;

/// A file that was parsed.
#[derive(Debug)]
pub(super) struct Tree {
    /// The whole file as a value.
    pub value: Value,
    /// The place of each JSON path.
    pub places: HashMap<String, Place>,
}

/// What the parsers of all formats share while they walk through a file.
pub(super) struct Walk<'a> {
    file: &'a str,
    places: HashMap<String, Place>,
    duplicates: Vec<Problem>,
    depth: usize,
}

impl<'a> Walk<'a> {
    /// Begins a file.
    pub fn new(file: &'a str) -> Self {
        Self { file, places: HashMap::new(), duplicates: Vec::new(), depth: 0 }
    }

    /// Notes where a path is.
    pub fn note(&mut self, path: &str, place: Place) {
        self.places.insert(path.to_owned(), place);
    }

    /// Enters a list or an object, whose content has `levels` more of them below it.
    pub fn enter(&mut self, path: &str, place: Place, levels: usize) -> Result<(), Problem> {
        self.depth += 1;
        if self.depth + levels <= DEPTH {
            return Ok(());
        }
        // The path would fill the screen.
        let end = path.floor_char_boundary(60);
        let path = if end < path.len() { format!("{}...", &path[..end]) } else { path.to_owned() };
        Err(Problem { path, ..at(self.file, place, too_deep()) })
    }

    /// Leaves a list or an object.
    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Whether `object` has no such key yet. Then its place is noted; else it is a problem.
    pub fn is_new_key(&mut self, object: &Map<String, Value>, path: &str, key: Key) -> bool {
        let below = join(path, key.name);
        if object.contains_key(key.name) {
            let first_line = self.places.get(&below).map_or(1, |(line, _)| *line);
            let hint = format!("it is already on line {first_line}; keep one of the two");
            let problem = at(self.file, key.place, format!("duplicate key `{}`", key.name));
            self.duplicates.push(Problem { path: below, ..problem.hint(hint) });
            return false;
        }
        self.note(&below, key.place);
        true
    }

    /// A problem at a place of this file.
    pub fn problem(&self, place: Place, message: impl Into<String>) -> Problem {
        at(self.file, place, message)
    }

    /// Ends the file.
    pub fn finish(self, value: Value) -> Result<Tree, Problems> {
        if self.duplicates.is_empty() {
            Ok(Tree { value, places: self.places })
        } else {
            Err(Problems(self.duplicates))
        }
    }
}

/// The message about a file that is nested too deep.
pub(super) fn too_deep() -> String {
    format!("lists and objects are nested more than {DEPTH} deep")
}

/// A key of an object.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub name: &'a str,
    pub place: Place,
}

/// A problem at a place of a file.
pub(super) fn at(file: &str, place: Place, message: impl Into<String>) -> Problem {
    Problem { file: Some(file.to_owned()), place: Some(place), ..Problem::new(message) }
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

/// Overwrites the strings of a value, which can be passwords.
pub(super) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(items) => items.values_mut().for_each(wipe),
        _ => {}
    }
}
