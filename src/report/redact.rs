//! Masks secrets in whatever came from outside: messages, outputs, what was seen.
//!
//! Names that a person chose (ids, VMs, tests) are left alone: a password that is a common word must not
//! tear them apart.

use super::text::{harmless, shortened};
use crate::outcome::{Cause, Output, Stream};
use crate::secrets::Secret;

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// A message is cut here: it stands in attributes and on one line of a screen.
const MESSAGE_LIMIT: usize = 1000;

/// A shorter piece of a secret at a cut is not worth hiding.
const SHORTEST_PIECE: usize = 4;

/// Knows what must not be shown.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// Each as it is and as Rust quotes it, the longest first, so that a secret within a secret leaves no rest.
    secrets: Vec<Secret>,
}

impl Redactor {
    /// Masks these.
    pub fn new(secrets: Vec<Secret>) -> Self {
        let quoted = secrets.iter().map(Secret::quoted).collect();
        let mut secrets = [secrets, quoted].concat();
        secrets.retain(|secret| !secret.expose().is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        secrets.dedup();
        Self { secrets }
    }

    /// `text` without secrets, also those with terminal escapes in them, such as `grep --color` writes.
    pub fn text(&self, text: &str) -> String {
        if text.contains('\u{1b}') {
            let bare = harmless(text);
            if self.secrets.iter().any(|secret| bare.contains(secret.expose())) {
                return self.mask(&bare);
            }
        }
        self.mask(text)
    }

    fn mask(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.expose()) { text.replace(secret.expose(), MASK) } else { text }
        })
    }

    /// `text` without secrets, on one line and not too long.
    pub fn line(&self, text: &str) -> String {
        let line = self.text(text).split_whitespace().collect::<Vec<_>>().join(" ");
        // A line end within a secret is a space by now.
        let line = self.mask(&line);
        shortened(&line, MESSAGE_LIMIT).into_owned()
    }

    /// A stream without secrets. Where it was cut, half a secret can stand.
    pub fn stream(&self, stream: &Stream) -> Stream {
        let text = match stream.cut() {
            None => self.text(&stream.text),
            Some(cut) => {
                let parts = stream.text.split(&cut).map(|part| self.without_pieces(&self.text(part)));
                parts.collect::<Vec<_>>().join(&cut)
            }
        };
        Stream { text, ..stream.clone() }
    }

    /// `text` without the end of a secret at its start, and without the start of one at its end.
    fn without_pieces(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().map(Secret::expose) {
            let cuts: Vec<usize> = secret.char_indices().map(|(at, _)| at).filter(|at| *at > 0).collect();
            let long = |piece: &&str| piece.len() >= SHORTEST_PIECE;
            let starts = cuts.iter().rev().map(|at| &secret[..*at]).filter(long);
            if let Some(piece) = starts.into_iter().find(|piece| text.ends_with(piece)) {
                text.truncate(text.len() - piece.len());
                text.push_str(MASK);
            }
            let ends = cuts.iter().map(|at| &secret[*at..]).filter(long);
            if let Some(piece) = ends.into_iter().find(|piece| text.starts_with(piece)) {
                text.replace_range(..piece.len(), MASK);
            }
        }
        text
    }

    /// A cause without secrets.
    pub fn cause(&self, cause: Cause) -> Cause {
        Cause { message: self.line(&cause.message), hint: cause.hint.map(|hint| self.line(&hint)), ..cause }
    }

    /// An output without secrets.
    pub fn output(&self, output: &Output) -> Output {
        Output { stdout: self.stream(&output.stdout), stderr: self.stream(&output.stderr) }
    }
}
