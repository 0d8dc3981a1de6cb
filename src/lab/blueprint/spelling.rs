//! The keys of a blueprint in any spelling: `memoryGb`, `memory_gb` and `ram` are the same key.
//!
//! The list of keys comes from the JSON Schema, so a new key of an assertion needs no line here.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use schemars::{Schema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::written::BlueprintFile;
use crate::assertion::AssertionType;
use crate::problem::{Problem, Problems};
use crate::spec::source::{Source, join};

/// Other words for a key. `own` spelling is that of the format itself.
const SYNONYMS: [(&str, &[&str]); 7] = [
    ("memory_gb", &["memory", "ram", "ram_gb"]),
    ("memory_mb", &["ram_mb"]),
    ("disk_gb", &["disk", "storage", "storage_gb"]),
    ("content", &["script"]),
    ("alias", &["ip"]),
    ("from", &["source"]),
    ("to", &["target"]),
];

/// The assertion types of a blueprint's scenario.
pub(super) const OWN_TYPES: [AssertionType; 3] =
    [AssertionType::PortListening, AssertionType::CommandOutput, AssertionType::HttpResponds];

/// What is below these keys is sent as it is: names of headers, a JSON body.
const DATA: [&str; 2] = ["headers", "body"];

/// Every key of the format, in its own spelling.
static KNOWN: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let mut known = BTreeSet::new();
    each_object(&mut written_schema(), &mut |schema| {
        known.extend(
            schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone()),
        );
    });
    known
});

/// The format's own spelling of a key; `None` if the format does not know it.
fn own_spelling(key: &str) -> Option<String> {
    let snake = snake_case(key);
    if KNOWN.contains(&snake) {
        return Some(snake);
    }
    SYNONYMS
        .iter()
        .find(|(_, words)| words.contains(&snake.as_str()))
        .map(|(own, _)| (*own).to_owned())
}

/// `memoryGb`, `memoryGB` and `memory-gb` as `memory_gb`.
fn snake_case(key: &str) -> String {
    let mut snake = String::new();
    let mut after_small = false;
    for letter in key.chars() {
        if letter.is_ascii_uppercase() && after_small {
            snake.push('_');
        }
        after_small = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        snake.push(if letter == '-' { '_' } else { letter.to_ascii_lowercase() });
    }
    snake
}

fn camel_case(key: &str) -> String {
    let mut words = key.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |camel, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        camel + &initial.to_ascii_uppercase() + rest
    })
}

/// A blueprint file with all keys in the format's own spelling. Messages name the keys as written.
#[derive(Debug)]
pub(super) struct Spelled {
    source: Source,
    /// The file in the format's own spelling.
    pub value: Value,
    /// JSON path in the format's own spelling, and the same path as written.
    written: HashMap<String, String>,
}

impl Spelled {
    /// Parses `text`. One key in two spellings in one object is an error.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let source = Source::parse(file, text)?;
        // The message for a file that is not an object is the same as everywhere.
        source.read::<Map<String, Value>>()?;
        let mut respelling = Respelling::default();
        let value = respelling.respell(&source.value, "", "");
        let errors = respelling.duplicates.into_iter().map(|Duplicate { path, message }| {
            source.problem(&path, message).hint("remove one of the two")
        });
        let errors: Vec<_> = errors.collect();
        if errors.is_empty() {
            Ok(Self { source, value, written: respelling.written })
        } else {
            Err(Problems(errors))
        }
    }

    /// The file's name, as given.
    pub fn file(&self) -> &str {
        self.source.file()
    }

    /// The whole file as a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problems> {
        self.source.read_at("", &self.value).map_err(|error| self.locate(error, "").into())
    }

    /// An error at a path in the format's own spelling.
    pub fn error(&self, path: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        Problem { hint, ..self.source.problem(&self.as_written(path), message) }
    }

    /// An error of a file that was generated from what is at `base`, moved to its place in the
    /// blueprint.
    pub fn locate(&self, error: Problem, base: &str) -> Problem {
        let path = self.as_written(&join(base, &error.path));
        Problem {
            file: Some(self.file().to_owned()),
            place: self.source.place(&path),
            path,
            ..error
        }
    }

    /// The line of a path in the format's own spelling.
    pub fn line(&self, path: &str) -> usize {
        self.source.place(&self.as_written(path)).map_or(1, |(line, _)| line)
    }

    fn as_written(&self, path: &str) -> String {
        let mut end = path.len();
        loop {
            if let Some(written) = self.written.get(&path[..end]) {
                return format!("{written}{}", &path[end..]);
            }
            match path[..end].rfind(['.', '[']) {
                Some(shorter) => end = shorter,
                None => return path.to_owned(),
            }
        }
    }
}

/// A key that is in one object in two spellings.
struct Duplicate {
    /// JSON path as written.
    path: String,
    message: String,
}

#[derive(Default)]
struct Respelling {
    /// As [`Spelled::written`].
    written: HashMap<String, String>,
    duplicates: Vec<Duplicate>,
}

impl Respelling {
    fn respell(&mut self, value: &Value, own: &str, written: &str) -> Value {
        self.written.insert(own.to_owned(), written.to_owned());
        match value {
            Value::Object(keys) => Value::Object(self.respell_keys(keys, own, written)),
            Value::Array(elements) => {
                let elements = elements.iter().enumerate();
                elements
                    .map(|(at, one)| {
                        self.respell(one, &format!("{own}[{at}]"), &format!("{written}[{at}]"))
                    })
                    .collect()
            }
            other => other.clone(),
        }
    }

    fn respell_keys(
        &mut self,
        keys: &Map<String, Value>,
        own: &str,
        written: &str,
    ) -> Map<String, Value> {
        let mut respelled = Map::new();
        for (key, value) in keys {
            let own_key = own_spelling(key).unwrap_or_else(|| key.clone());
            let (own, written) = (join(own, &own_key), join(written, key));
            let value = if DATA.contains(&own_key.as_str()) {
                value.clone()
            } else {
                self.respell(value, &own, &written)
            };
            if respelled.insert(own_key.clone(), value).is_some() {
                let message =
                    format!("`{key}` is another spelling of `{own_key}`, which is already there");
                self.duplicates.push(Duplicate { path: written, message });
            }
        }
        respelled
    }
}

/// The JSON Schema of blueprints; it accepts every spelling of a key.
pub(super) fn schema() -> Schema {
    let mut value = written_schema();
    each_object(&mut value, &mut allow_spellings);
    Schema::try_from(value).unwrap_or_default()
}

/// The schema of the format's own spelling; its assertions have only [`OWN_TYPES`].
fn written_schema() -> Value {
    let mut schema = schema_for!(BlueprintFile).to_value();
    let is_own = |form: &Value| {
        let word = form["properties"]["type"]["const"].as_str().unwrap_or_default();
        AssertionType::of_word(word).is_some_and(|kind| OWN_TYPES.contains(&kind))
    };
    if let Some(forms) = schema.pointer_mut("/$defs/Assertion/oneOf").and_then(Value::as_array_mut)
    {
        forms.retain(is_own);
    }
    schema
}

fn spellings(key: &str) -> Vec<String> {
    let synonyms = SYNONYMS.iter().filter(|(own, _)| *own == key).flat_map(|(_, words)| *words);
    let words = std::iter::once(key).chain(synonyms.copied());
    let all: BTreeSet<_> = words.flat_map(|word| [word.to_owned(), camel_case(word)]).collect();
    all.into_iter().filter(|word| word != key).collect()
}

/// Adds the other spellings of each key of an object; a required key is required in one of them.
fn allow_spellings(schema: &mut Map<String, Value>) {
    let Some(Value::Object(keys)) = schema.get("properties").cloned() else { return };
    let mut all = keys.clone();
    for (key, value) in &keys {
        all.extend(
            spellings(key)
                .into_iter()
                .filter(|other| !keys.contains_key(other))
                .map(|key| (key, value.clone())),
        );
    }
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let (fixed, free): (Vec<_>, Vec<_>) = required
        .into_iter()
        .partition(|key| key.as_str().is_some_and(|key| spellings(key).is_empty()));
    let any_of = |key: &Value| {
        let key = key.as_str().unwrap_or_default();
        let words = std::iter::once(key.to_owned()).chain(spellings(key));
        json!({"anyOf": words.map(|word| json!({"required": [word]})).collect::<Vec<_>>()})
    };
    if !free.is_empty() {
        schema.insert("allOf".to_owned(), free.iter().map(any_of).collect());
        schema.insert("required".to_owned(), fixed.into());
    }
    schema.insert("properties".to_owned(), all.into());
}

/// Calls `act` for every object of a schema that describes an object, the inner ones first.
fn each_object(schema: &mut Value, act: &mut dyn FnMut(&mut Map<String, Value>)) {
    match schema {
        Value::Object(keys) => {
            keys.values_mut().for_each(|below| each_object(below, act));
            if keys.get("properties").is_some_and(Value::is_object) {
                act(keys);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|below| each_object(below, act)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_key_is_known() {
        for (written, own) in [
            ("memoryGb", "memory_gb"),
            ("memoryGB", "memory_gb"),
            ("memory-gb", "memory_gb"),
            ("ramGb", "memory_gb"),
            ("onVm", "on_vm"),
            ("customTests", "custom_tests"),
            ("testConfig", "test_config"),
            ("expectedOutput", "expected_output"),
            ("script", "content"),
            ("$schema", "$schema"),
        ] {
            assert_eq!(own_spelling(written).as_deref(), Some(own), "{written}");
        }
        assert!(KNOWN.iter().all(|key| own_spelling(&camel_case(key)).as_ref() == Some(key)));
        assert_eq!(own_spelling("flavour"), None);
    }

    #[test]
    fn keys_of_data_are_not_respelled() {
        let text =
            r#"{"nodes": [{"headers": {"onVm": "x"}, "body": {"testConfig": [{"diskGb": 1}]}}]}"#;
        let spelled = Spelled::parse("blueprint.json", text).unwrap();
        assert_eq!(spelled.value.to_string(), text.replace(": ", ":").replace(", ", ","));
    }

    #[test]
    fn messages_name_the_key_as_written() {
        let spelled =
            Spelled::parse("p", "{\n \"nodes\": [\n  {\"memoryGb\": 1,\n   \"onVm\": 2}]}")
                .unwrap();
        let error = spelled.error("nodes[0].on_vm.deeper", "wrong", None);
        assert_eq!((error.path.as_str(), error.place), ("nodes[0].onVm.deeper", Some((4, 4))));
    }

    #[test]
    fn one_key_in_two_spellings_is_an_error() {
        let errors =
            Spelled::parse("p", "{\"nodes\": [{\"ram\": 1,\n \"memoryGb\": 2}]}").unwrap_err();
        assert_eq!(errors.0[0].place, Some((2, 2)));
        assert!(errors.to_string().contains("another spelling of `memory_gb`"), "{errors}");
    }
}
