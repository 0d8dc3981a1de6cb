//! The JSON Schema of an assertion: for each type, one form with flat keys and one with `params`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::file::{AssertionEntry, CommonKeys, TIME_KEYS, TargetKeys};
use crate::assertion::AssertionType;
use crate::assertion::command_output::CommandOutput;
use crate::assertion::file_contains::FileContains;
use crate::assertion::file_exists::FileExists;
use crate::assertion::group_exists::GroupExists;
use crate::assertion::http_responds::HttpResponds;
use crate::assertion::package_installed::PackageInstalled;
use crate::assertion::package_not_installed::PackageNotInstalled;
use crate::assertion::port_listening::PortListening;
use crate::assertion::process_running::ProcessRunning;
use crate::assertion::service_enabled::ServiceEnabled;
use crate::assertion::service_running::ServiceRunning;
use crate::assertion::user_exists::UserExists;

impl JsonSchema for AssertionEntry {
    fn schema_name() -> Cow<'static, str> {
        "Assertion".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut common = Keys::of(&TargetKeys::json_schema(generator));
        let others = Keys::of(&CommonKeys::json_schema(generator)).with_templates();
        common.properties.extend(others.properties);
        let forms: Vec<Value> = AssertionType::ALL
            .into_iter()
            .flat_map(|kind| forms(kind, &own_keys(kind, generator).with_templates(), &common))
            .collect();
        json_schema!({
            "description":
                "What must hold on one VM. Write the keys of its type beside `type` and `on_vm`, \
                 or under `params`.",
            "oneOf": forms,
        })
    }
}

/// The keys of an object, from its schema.
struct Keys {
    properties: Map<String, Value>,
    required: Vec<Value>,
}

impl Keys {
    fn of(schema: &Schema) -> Self {
        let part = |key: &str| schema.get(key).cloned();
        Self {
            properties: match part("properties") {
                Some(Value::Object(properties)) => properties,
                _ => Map::new(),
            },
            required: match part("required") {
                Some(Value::Array(required)) => required,
                _ => Vec::new(),
            },
        }
    }
}

impl Keys {
    /// A key that is no text can be a template that becomes its value.
    fn with_templates(mut self) -> Self {
        for schema in self.properties.values_mut() {
            let is_any_text = schema["type"] == "string"
                || schema["type"] == json!(["string", "null"]) && schema.get("enum").is_none();
            if is_any_text {
                continue;
            }
            let mut inner = schema.take();
            let description = inner.as_object_mut().and_then(|keys| keys.remove("description"));
            let template = json!({"type": "string", "pattern": "\\$\\{\\{.+\\}\\}"});
            *schema = json!({"anyOf": [inner, template]});
            if let Some(description) = description {
                schema["description"] = description;
            }
        }
        self
    }
}

fn own_keys(kind: AssertionType, generator: &mut SchemaGenerator) -> Keys {
    match kind {
        AssertionType::PortListening => Keys::of(&PortListening::json_schema(generator)),
        AssertionType::HttpResponds => Keys::of(&HttpResponds::json_schema(generator)),
        AssertionType::ServiceRunning => Keys::of(&ServiceRunning::json_schema(generator)),
        AssertionType::ServiceEnabled => Keys::of(&ServiceEnabled::json_schema(generator)),
        AssertionType::ProcessRunning => Keys::of(&ProcessRunning::json_schema(generator)),
        AssertionType::PackageInstalled => Keys::of(&PackageInstalled::json_schema(generator)),
        AssertionType::PackageNotInstalled => {
            Keys::of(&PackageNotInstalled::json_schema(generator))
        }
        AssertionType::FileExists => Keys::of(&FileExists::json_schema(generator)),
        AssertionType::FileContains => Keys::of(&FileContains::json_schema(generator)),
        AssertionType::UserExists => Keys::of(&UserExists::json_schema(generator)),
        AssertionType::GroupExists => Keys::of(&GroupExists::json_schema(generator)),
        AssertionType::CommandOutput => {
            let mut keys = Keys::of(&CommandOutput::json_schema(generator));
            let contains = keys.properties.get("contains").cloned().unwrap_or_default();
            for alias in CommandOutput::ALIASES_OF_CONTAINS {
                keys.properties.insert(alias.to_owned(), contains.clone());
            }
            keys
        }
    }
}

/// The flat form of a type, and the one with `params`.
fn forms(kind: AssertionType, own: &Keys, common: &Keys) -> [Value; 2] {
    let mut outer = common.properties.clone();
    outer.insert("type".to_owned(), json!({"const": kind.word()}));
    let mut flat = outer.clone();
    flat.extend(own.properties.clone());
    let mut required = vec![Value::from("type"), Value::from("on_vm")];
    required.extend(own.required.clone());

    let mut params = own.properties.clone();
    let is_time = |(key, _): &(&String, &Value)| TIME_KEYS.contains(&key.as_str());
    let times = common.properties.iter().filter(is_time);
    params.extend(times.map(|(key, schema)| (key.clone(), schema.clone())));
    outer.insert("params".to_owned(), object(&params, &own.required));
    let required_outside = ["type", "on_vm", "params"].map(Value::from);
    [object(&flat, &required), object(&outer, &required_outside)]
}

fn object(properties: &Map<String, Value>, required: &[Value]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}
