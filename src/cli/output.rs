//! Printing. Text can quote a file or a VM, so terminal escapes in it are made harmless.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use crate::report::text::harmless;

/// Prints an error or a warning on standard error.
pub(super) fn tell(level: &str, what: &impl Display) {
    eprintln!("{level}: {}", harmless(&what.to_string()));
}

/// Prints on standard output. If the reader has gone, as with `| head`, nothing else changes.
pub(super) fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: cannot print: {error}");
        }
        _ => {}
    }
}
