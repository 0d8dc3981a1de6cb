//! Renders the templates of an assertion; nothing later knows them.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::keys::Keys;
use crate::assertion::slug;
use crate::problem::Problem;
use crate::spec::delimiters::{has_template, is_template};
use crate::spec::source::{Source, join};
use crate::spec::template::{Names, Scope, Target, TemplateMistake, Templates};

/// The keys of an assertion with rendered templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RenderedKeys {
    /// Those that every assertion can have.
    pub common: Map<String, Value>,
    /// Those of its type.
    pub own: Map<String, Value>,
}

/// How many assertions `for_each` can make of one, on one VM.
const MOST_COMBINATIONS: usize = 10_000;

/// One value of each list of `for_each`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Each(pub Map<String, Value>);

impl Each {
    /// How the values look in an id.
    pub fn slug(&self) -> String {
        let words: Vec<String> =
            self.0.values().map(in_id).filter(|word| !word.is_empty()).collect();
        words.join("-")
    }
}

/// A value in an id: of an object its `name`, or else all its values.
fn in_id(value: &Value) -> String {
    match value {
        Value::String(text) => slug(text),
        Value::Object(keys) => match keys.get("name") {
            Some(name) => in_id(name),
            None => keys.values().map(in_id).collect::<Vec<_>>().join("-"),
        },
        Value::Array(items) => items.iter().map(in_id).collect::<Vec<_>>().join("-"),
        Value::Null => String::new(),
        scalar => slug(&scalar.to_string()),
    }
}

/// A problem, and whether other values of the templates could solve it.
#[derive(Debug, Clone)]
pub(super) struct TemplateProblem {
    pub problem: Box<Problem>,
    pub depends_on_values: bool,
}

/// An assertion whose templates are to be rendered.
#[derive(Clone, Copy)]
pub(super) struct Expand<'a> {
    pub source: &'a Source,
    pub templates: &'a Templates,
    pub path: &'a str,
    pub keys: &'a Keys,
}

impl Expand<'_> {
    /// Every combination of the values of `for_each`; one without values if there is none.
    pub fn combinations(
        &self,
        for_each: &Map<String, Value>,
        names: &Names,
        vm: &str,
    ) -> Result<Vec<Each>, TemplateProblem> {
        let scope = names.on(vm, &Map::new());
        let mut all = vec![Each::default()];
        for (name, written) in for_each {
            let path = join(&join(self.path, "for_each"), name);
            let values = self.render_value(&path, Target::Text, written, &scope)?;
            let Value::Array(values) = values else {
                return Err(self.no_list(&path, &values));
            };
            if all.len().saturating_mul(values.len()) > MOST_COMBINATIONS {
                return Err(self.too_many());
            }
            let with = |each: &Each, value: &Value| {
                let mut each = each.clone();
                each.0.insert(name.clone(), value.clone());
                each
            };
            all =
                all.iter().flat_map(|each| values.iter().map(|value| with(each, value))).collect();
        }
        Ok(all)
    }

    fn too_many(&self) -> TemplateProblem {
        let message = format!("`for_each` makes more than {MOST_COMBINATIONS} assertions");
        let problem = self.source.problem(&join(self.path, "for_each"), message);
        TemplateProblem {
            problem: Box::new(problem.hint("write shorter lists")),
            depends_on_values: false,
        }
    }

    fn no_list(&self, path: &str, value: &Value) -> TemplateProblem {
        TemplateProblem {
            problem: Box::new(wrong_list(self.source, path, needs_list(value))),
            depends_on_values: true,
        }
    }

    /// The keys with rendered templates.
    pub fn render(&self, scope: &Scope) -> Result<RenderedKeys, TemplateProblem> {
        Ok(RenderedKeys {
            common: self.render_keys(self.path, &self.keys.common, scope)?,
            own: self.render_keys(&self.keys.own_path, &self.keys.own, scope)?,
        })
    }

    fn render_keys(
        &self,
        path: &str,
        keys: &Map<String, Value>,
        scope: &Scope,
    ) -> Result<Map<String, Value>, TemplateProblem> {
        let mut rendered = Map::with_capacity(keys.len());
        for (key, value) in keys {
            let value = self.render_value(&join(path, key), target_of(path, key), value, scope)?;
            rendered.insert(key.clone(), value);
        }
        Ok(rendered)
    }

    fn render_value(
        &self,
        path: &str,
        target: Target,
        value: &Value,
        scope: &Scope,
    ) -> Result<Value, TemplateProblem> {
        match value {
            value if !has_template(value) => Ok(value.clone()),
            Value::String(text) => {
                let rendered = self.templates.render(target, text, scope);
                rendered.map_err(|mistake| self.mistake(path, mistake))
            }
            Value::Array(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    self.render_value(&format!("{path}[{index}]"), target, item, scope)
                });
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            Value::Object(keys) => self.render_keys(path, keys, scope).map(Value::Object),
            other => Ok(other.clone()),
        }
    }

    fn mistake(&self, path: &str, mistake: TemplateMistake) -> TemplateProblem {
        let depends_on_values = mistake.depends_on_values;
        TemplateProblem {
            problem: Box::new(problem_of(self.source, path, mistake)),
            depends_on_values,
        }
    }
}

/// A problem at a JSON path.
pub(super) fn problem_of(source: &Source, path: &str, mistake: TemplateMistake) -> Problem {
    Problem { hint: mistake.hint, ..source.problem(path, mistake.message) }
}

/// What the text of a key becomes. A `command` in the body of a request is no shell command.
fn target_of(path: &str, key: &str) -> Target {
    let is_of_assertion = [".params", ".counter_example"].iter().any(|end| path.ends_with(end))
        || path.ends_with(']');
    match key {
        "command" if is_of_assertion => Target::Command,
        "matches" if is_of_assertion => Target::Pattern,
        "jq" if is_of_assertion => Target::Jq,
        _ => Target::Text,
    }
}

impl Keys {
    /// Whether a template is anywhere in what the assertion says.
    pub fn have_templates(&self) -> bool {
        self.common.values().chain(self.own.values()).any(has_template)
    }

    /// Whether the id depends on a template.
    pub fn name_has_template(&self) -> bool {
        self.common.get("name").is_some_and(has_template)
    }

    /// Calls `visit` with the path of each text that has a template, and with what it becomes.
    pub fn visit_templates<E>(
        &self,
        path: &str,
        visit: &mut impl FnMut(&str, Target, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(lists) = self.targets.get("for_each") {
            visit_value(&join(path, "for_each"), Target::Text, lists, visit)?;
        }
        let keys = |keys: &Map<String, Value>| Value::Object(keys.clone());
        visit_value(path, Target::Text, &keys(&self.common), visit)?;
        visit_value(&self.own_path, Target::Text, &keys(&self.own), visit)
    }
}

fn visit_value<E>(
    path: &str,
    target: Target,
    value: &Value,
    visit: &mut impl FnMut(&str, Target, &str) -> Result<(), E>,
) -> Result<(), E> {
    match value {
        Value::String(text) if is_template(text) => visit(path, target, text),
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            visit_value(&format!("{path}[{index}]"), target, item, visit)
        }),
        Value::Object(keys) => keys.iter().try_for_each(|(key, value)| {
            visit_value(&join(path, key), target_of(path, key), value, visit)
        }),
        _ => Ok(()),
    }
}

/// `for_each` has at least one list, and none of them is empty.
pub(super) fn check_for_each(
    source: &Source,
    path: &str,
    lists: &Map<String, Value>,
) -> Result<(), Problem> {
    let path = join(path, "for_each");
    if lists.is_empty() {
        let problem = source.problem(&path, "`for_each` is empty, so there is nothing to check");
        return Err(problem.hint("name a list of values: {\"port\": [80, 443]}"));
    }
    lists.iter().try_for_each(|(name, list)| check_list(source, &join(&path, name), name, list))
}

fn check_list(source: &Source, path: &str, name: &str, list: &Value) -> Result<(), Problem> {
    let is_identifier = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !name.is_empty()
            && !name.as_bytes()[0].is_ascii_digit()
    };
    if !is_identifier(name) {
        let problem = source.problem(path, format!("a template cannot use the name `{name}`"));
        return Err(problem.hint("use letters, digits and `_`"));
    }
    let message = match list {
        Value::Array(items) if items.is_empty() => {
            "the list is empty, so there is nothing to check".to_owned()
        }
        Value::Array(items) => match duplicate(items) {
            None => return Ok(()),
            Some(value) => format!("the list has the value {value} twice"),
        },
        Value::String(text) if is_template(text) => return Ok(()),
        other => needs_list(other),
    };
    Err(wrong_list(source, path, message))
}

fn needs_list(value: &Value) -> String {
    format!("`for_each` needs a list, not {value}")
}

fn wrong_list(source: &Source, path: &str, message: String) -> Problem {
    source.problem(path, message).hint("write a list of values, or a template that gives one")
}

fn duplicate(items: &[Value]) -> Option<&Value> {
    let mut seen = HashSet::with_capacity(items.len());
    items.iter().find(|item| !seen.insert(item.to_string()))
}
