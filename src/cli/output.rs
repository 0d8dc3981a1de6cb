//! Printing. Text can quote a file or a VM, so terminal escapes in it are made harmless. Lines are
//! wrapped between words where a terminal shows them, and left whole everywhere else.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use clap::ValueEnum;
use console::Term;

use crate::problem::Problem;
use crate::report::text::{harmless, wrapped};

/// What a command prints on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Human-readable text
    Human,
    /// JSON
    Json,
}

/// The columns of the terminal on standard output; `None` if it is not a terminal.
pub(super) fn width() -> Option<usize> {
    width_of(&Term::stdout())
}

fn width_of(terminal: &Term) -> Option<usize> {
    terminal.is_term().then(|| usize::from(terminal.size().1))
}

/// Prints an error or a warning on standard error.
pub(super) fn tell(level: &str, what: &impl Display) {
    let line = format!("{level}: {}", harmless(&what.to_string()));
    eprintln!("{}", fitted(&line, width_of(&Term::stderr())).trim_end());
}

/// Prints each problem on standard error, with its level before each.
pub(super) fn tell_all(level: &str, problems: &[Problem]) {
    for problem in problems {
        tell(level, problem);
    }
}

/// Prints text for people on standard output.
pub(super) fn show(text: &str) {
    show_exactly(&fitted(text, width()));
}

/// Prints on standard output, byte for byte. If the reader has gone, as with `| head`, nothing else
/// changes.
pub(super) fn show_exactly(text: &str) {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: cannot print: {error}");
        }
        _ => {}
    }
}

fn fitted(text: &str, width: Option<usize>) -> Cow<'_, str> {
    match width {
        Some(width) => Cow::Owned(wrapped(text, width)),
        None => Cow::Borrowed(text),
    }
}
