//! The report as JSON; `bootproof schema report` prints its schema.

use super::Report;

/// Renders the report.
///
/// # Panics
/// Never: a report has text keys and finite numbers only.
pub fn render(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report has text keys and finite numbers only");
    text.push('\n');
    text
}
