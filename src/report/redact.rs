//! Masks secrets in whatever came from outside: messages, outputs, what was seen.
//!
//! Names that a person chose (ids, VMs, tests) are left alone: a password that is a common word must not
//! tear them apart.

use crate::outcome::{Cause, Output, Stream};
use crate::secrets::Secret;

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// A message is cut here: it stands in attributes and on one line of a screen.
const MESSAGE_LIMIT: usize = 1000;

/// Knows what must not be shown.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// The longest first, so that a secret within a secret leaves no rest.
    secrets: Vec<Secret>,
}

impl Redactor {
    /// Masks these.
    pub fn new(mut secrets: Vec<Secret>) -> Self {
        secrets.retain(|secret| !secret.expose().is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        secrets.dedup();
        Self { secrets }
    }

    /// `text` without secrets.
    pub fn text(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.expose()) { text.replace(secret.expose(), MASK) } else { text }
        })
    }

    /// `text` without secrets, on one line and not too long.
    pub fn line(&self, text: &str) -> String {
        let line = self.text(text).split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(MESSAGE_LIMIT) {
            Some((at, _)) => format!("{} [...]", &line[..at]),
            None => line,
        }
    }

    /// A cause without secrets.
    pub fn cause(&self, cause: Cause) -> Cause {
        Cause { message: self.line(&cause.message), hint: cause.hint.map(|hint| self.line(&hint)), ..cause }
    }

    /// An output without secrets.
    pub fn output(&self, output: &Output) -> Output {
        let clean = |stream: &Stream| Stream { text: self.text(&stream.text), ..stream.clone() };
        Output { stdout: clean(&output.stdout), stderr: clean(&output.stderr) }
    }
}
