//! The keys of one assertion, sorted into those of its type and those that every assertion can
//! have.

use serde_json::{Map, Value};

use super::file::{COMMON_KEYS, TARGET_KEYS, TIME_KEYS};
use crate::assertion::AssertionType;
use crate::problem::{Problem, hint_for_unknown};
use crate::spec::source::{Source, join};

/// The keys of an assertion, as written.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// Its type.
    pub kind: AssertionType,
    /// Those that say for which VMs and values it holds.
    pub targets: Map<String, Value>,
    /// The others that every assertion can have.
    pub common: Map<String, Value>,
    /// Those of its type.
    pub own: Map<String, Value>,
    /// The JSON path of the object that holds the latter.
    pub own_path: String,
    /// Keys that are allowed beside the latter, for "did you mean".
    pub allowed_beside: &'static [&'static str],
}

impl Keys {
    /// Sorts the keys of the assertion at `path`.
    pub fn sort(source: &Source, path: &str, value: &Value) -> Result<Self, Problem> {
        let Value::Object(written) = value else {
            return Err(source.problem(path, "an assertion must be an object"));
        };
        if written.contains_key("waive") {
            return Err(source
                .problem(&join(path, "waive"), "`waive` is now called `lint_allow`")
                .hint("rename the key to `lint_allow`; it only silences `bootproof lint`"));
        }
        let kind = read_type(source, path, written)?;
        let mut flat = Self {
            kind,
            targets: Map::new(),
            common: Map::new(),
            own: Map::new(),
            own_path: path.to_owned(),
            allowed_beside: &COMMON_KEYS,
        };
        for (key, value) in written.iter().filter(|(key, _)| *key != "type" && *key != "params") {
            let side = match key.as_str() {
                key if TARGET_KEYS.contains(&key) => &mut flat.targets,
                key if COMMON_KEYS.contains(&key) => &mut flat.common,
                _ => &mut flat.own,
            };
            side.insert(key.clone(), value.clone());
        }
        match written.get("params") {
            Some(params) => flat.with_params(source, path, params),
            None => Ok(flat),
        }
    }

    /// A key that is null says nothing; if it did, an empty value in YAML would remove an
    /// expectation.
    pub fn check_no_null(&self, source: &Source, path: &str) -> Result<(), Problem> {
        let keys = |path: &'_ str, keys: &Map<String, Value>| {
            let null = keys.iter().find(|(_, value)| value.is_null());
            null.map(|(key, _)| source.problem(&join(path, key), format!("`{key}` is null")))
        };
        let found = keys(path, &self.targets)
            .or_else(|| keys(path, &self.common))
            .or_else(|| keys(&self.own_path, &self.own));
        found.map_or(Ok(()), |problem| Err(problem.hint("give it a value, or remove the key")))
    }

    fn with_params(self, source: &Source, path: &str, params: &Value) -> Result<Self, Problem> {
        let own_path = join(path, "params");
        let Value::Object(params) = params else {
            return Err(source.problem(&own_path, "`params` must be an object"));
        };
        if let Some(key) = self.own.keys().next() {
            return Err(beside_params(source, path, key));
        }
        let mut keys = Self { own_path, allowed_beside: &TIME_KEYS, ..self };
        for (key, value) in params {
            let is_time = TIME_KEYS.contains(&key.as_str());
            let side = if is_time { &mut keys.common } else { &mut keys.own };
            if side.insert(key.clone(), value.clone()).is_some() {
                let message = format!("`{key}` is also written beside `params`");
                return Err(source
                    .problem(&join(&keys.own_path, key), message)
                    .hint("keep one of the two"));
            }
        }
        Ok(keys)
    }
}

/// A key beside `params` that is not a common key: one of the type's own, or a misspelt one.
fn beside_params(source: &Source, path: &str, key: &str) -> Problem {
    let common = COMMON_KEYS.join(", ");
    source
        .problem(&join(path, key), format!("`{key}` is not allowed beside `params`"))
        .hint(format!("write the keys of the type under `params`; allowed beside it: {common}"))
}

fn read_type(
    source: &Source,
    path: &str,
    keys: &Map<String, Value>,
) -> Result<AssertionType, Problem> {
    let words = AssertionType::ALL.map(AssertionType::word);
    let one_of = format!("write one of: {}", words.join(", "));
    let Some(value) = keys.get("type") else {
        return Err(source.problem(path, "missing key `type`").hint(one_of));
    };
    let path = join(path, "type");
    let Some(word) = value.as_str() else {
        return Err(source.problem(&path, "`type` must be a string").hint(one_of));
    };
    AssertionType::of_word(word).ok_or_else(|| {
        source
            .problem(&path, format!("unknown assertion type `{word}`"))
            .hint(hint_for_unknown(word, words))
    })
}
