//! The outcome of an assertion: attempts, verdict, cause. Pure data.

use crate::obstacle::Stage;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assertion::Mismatch;
use crate::assertion::Observation;

/// The verdict on an assertion. The kinds never mix: only [`Verdict::Failed`] says that the VM is
/// wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// bootproof looked, and it is as expected.
    Passed,
    /// bootproof looked, and it is not as expected.
    Failed(Mismatch),
    /// bootproof could not look, or could not decide from what it saw.
    Errored(Cause),
    /// A VM that it needs cannot be asked; the cause is reported once.
    Blocked(Cause),
    /// It was selected, and the run ended first; why.
    NotRun(String),
    /// The user did not select it.
    NotSelected,
}

/// The kinds of verdict, as the reports write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictKind {
    /// bootproof looked, and it is as expected.
    Passed,
    /// bootproof looked, and it is not as expected.
    Failed,
    /// bootproof could not look, or could not decide from what it saw.
    Errored,
    /// A VM that it needs cannot be asked.
    Blocked,
    /// The run ended first.
    NotRun,
    /// The user did not select it.
    NotSelected,
}

impl VerdictKind {
    /// The word in reports and on the screen.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Errored => "errored",
            Self::Blocked => "blocked",
            Self::NotRun => "not-run",
            Self::NotSelected => "not-selected",
        }
    }
}

impl Verdict {
    /// Its kind.
    pub fn kind(&self) -> VerdictKind {
        match self {
            Self::Passed => VerdictKind::Passed,
            Self::Failed(_) => VerdictKind::Failed,
            Self::Errored(_) => VerdictKind::Errored,
            Self::Blocked(_) => VerdictKind::Blocked,
            Self::NotRun(_) => VerdictKind::NotRun,
            Self::NotSelected => VerdictKind::NotSelected,
        }
    }

    /// Why it is not `passed`, in one line.
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Passed => None,
            Self::Failed(mismatch) => Some(mismatch.message.clone()),
            Self::Errored(cause) => Some(cause.to_string()),
            Self::Blocked(cause) => Some(format!("blocked: {cause}")),
            Self::NotRun(reason) => Some(format!("not run: {reason}")),
            Self::NotSelected => Some("not selected".to_owned()),
        }
    }
}

/// Why a VM cannot be asked: which VM, at which stage and address, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// The VM's name.
    pub vm: String,
    /// The stage at which it went wrong.
    pub stage: Stage,
    /// The `host:port` that bootproof connects to.
    pub address: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} at {} ({}): {}",
            self.vm,
            self.stage.word(),
            self.address,
            self.message
        )
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Milliseconds from the start of the run.
    pub started_ms: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Its verdict.
    pub verdict: VerdictKind,
    /// Why, when it is not `passed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The outcome of one assertion.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// Every attempt, the first one first.
    pub attempts: Vec<Attempt>,
    /// From the start of the first attempt to the end of the last one.
    pub duration: Duration,
    /// What the last attempt printed, if the assertion runs a command.
    pub output: Option<Output>,
    /// What the last attempt saw, unless it was printed (see `output`) or sent by a web server.
    pub observation: Option<Observation>,
}

impl Outcome {
    /// An outcome without an attempt.
    pub fn without_attempt(verdict: Verdict) -> Self {
        Self {
            verdict,
            attempts: Vec::new(),
            duration: Duration::ZERO,
            output: None,
            observation: None,
        }
    }
}

/// What a command printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
}

/// What a command wrote to one stream: its head and tail, at most 64 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stream {
    /// What is kept; a line says how many bytes are cut out at that place.
    pub text: String,
    /// How many bytes are not in `text`.
    pub truncated_bytes: usize,
}

impl Stream {
    /// The most bytes of a stream that are reported.
    pub const LIMIT: usize = 64 * 1024;

    /// Head and tail of `text`, after which `lost` more bytes came.
    pub fn bounded(text: &str, lost: usize) -> Self {
        if text.len() <= Self::LIMIT && lost == 0 {
            return Self { text: text.to_owned(), truncated_bytes: 0 };
        }
        let half = Self::LIMIT / 2;
        let head = &text[..text.floor_char_boundary(half.min(text.len()))];
        let tail =
            &text[text.ceil_char_boundary(text.len().saturating_sub(half).max(head.len()))..];
        let truncated_bytes = text.len() - head.len() - tail.len() + lost;
        let cut = cut(truncated_bytes);
        Self { text: format!("{head}{cut}{tail}"), truncated_bytes }
    }

    /// The line at the place where bytes are cut out, if any are.
    pub fn cut(&self) -> Option<String> {
        (self.truncated_bytes > 0).then(|| cut(self.truncated_bytes))
    }
}

fn cut(bytes: usize) -> String {
    format!("\n[... {bytes} bytes cut ...]\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_stream_keeps_head_and_tail_and_says_what_is_gone() {
        let text = format!("head{}tail", "ä".repeat(100_000));
        let bounded = Stream::bounded(&text, 7);
        assert!(bounded.text.starts_with("head") && bounded.text.ends_with("tail"));
        assert!(bounded.text.len() < Stream::LIMIT + 100);
        assert!(bounded.truncated_bytes > 7 + text.len() - Stream::LIMIT - 4);
        assert!(bounded.text.contains(&format!("{} bytes cut", bounded.truncated_bytes)));
    }

    #[test]
    fn a_short_stream_is_kept_whole() {
        assert_eq!(
            Stream::bounded("abc", 0),
            Stream { text: "abc".to_owned(), truncated_bytes: 0 }
        );
        assert!(Stream::bounded("abc", 1).text.starts_with("abc"));
    }
}
