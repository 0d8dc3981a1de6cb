//! Where a template is. The delimiters are those of GitHub Actions: `${...}` belongs to the shell, and
//! `{{...}}` to Go templates inside commands.

use serde_json::Value;

/// Where a template begins.
pub(super) const OPEN: &str = "${{";

/// Where it ends.
pub(super) const CLOSE: &str = "}}";

/// Whether a text has a template.
pub(super) fn is_template(text: &str) -> bool {
    text.contains(OPEN)
}

/// Whether a value has a template anywhere.
pub(super) fn has_template(value: &Value) -> bool {
    match value {
        Value::String(text) => is_template(text),
        Value::Array(items) => items.iter().any(has_template),
        Value::Object(keys) => keys.values().any(has_template),
        _ => false,
    }
}
