//! The report as JSON; `bootproof schema report` prints its schema.

use std::io::{self, Write};

use super::Report;
use super::text::is_harmful;

/// Renders the report. Escapes every character that could do harm on a terminal; JSON itself
/// requires that only below U+0020.
///
/// # Panics
/// Never: a report has text keys and finite numbers only, and writing to memory does not fail.
pub fn render(report: &Report) -> String {
    let mut safe = Safe(String::new());
    serde_json::to_writer_pretty(&mut safe, report)
        .expect("a report has text keys and finite numbers only");
    safe.0.push('\n');
    safe.0
}

/// Escapes what is written to it. `serde_json` writes whole characters.
struct Safe(String);

impl Write for Safe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        for piece in text.split_inclusive(is_harmful) {
            let mut characters = piece.chars();
            match characters.next_back().filter(|last| is_harmful(*last)) {
                // Such characters are only in strings, and none of them needs a surrogate pair.
                Some(harmful) => {
                    self.0 += characters.as_str();
                    self.0 += &format!("\\u{:04x}", u32::from(harmful));
                }
                None => self.0 += piece,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
