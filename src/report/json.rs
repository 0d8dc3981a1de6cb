//! The report as JSON; `bootproof schema report` prints its schema.

use std::fmt::Write;

use super::Report;
use super::text::is_harmful;

/// Renders the report. Escapes every character that could do harm on a terminal; JSON itself
/// requires that only below U+0020.
///
/// # Panics
/// Never: a report has text keys and finite numbers only.
pub fn render(report: &Report) -> String {
    let text = serde_json::to_string_pretty(report)
        .expect("a report has text keys and finite numbers only");
    let mut safe = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if is_harmful(character) {
            // Such characters are only in strings, and none of them needs a surrogate pair.
            let _ = write!(safe, "\\u{:04x}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    safe.push('\n');
    safe
}
