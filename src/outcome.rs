//! The outcome of an assertion: attempts, verdict, cause. Pure data.

use crate::obstacle::{Obstacle, Stage};
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assertion::Observation;
use crate::assertion::{Mismatch, Unclear};

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

/// Why an observation does not tell.
pub fn obstacle_of(unclear: Unclear) -> Obstacle {
    match unclear {
        Unclear::MissingTool(tool) => Obstacle::passing(
            Stage::MissingTool,
            format!("`{tool}` is not installed on the VM, so the command proves nothing"),
        )
        .hint(format!("install `{tool}` on the VM, or use a command that does not need it")),
        Unclear::TooMuchOutput(kept) => Obstacle::passing(
            Stage::Answer,
            format!("more than {kept} bytes came, and bootproof cannot decide from the first ones"),
        )
        .hint("make the command print less, or the server send less"),
        Unclear::NothingToDeny(why) => Obstacle::passing(
            Stage::Answer,
            format!("{why}, so a refused connection proves nothing"),
        )
        .hint("start the service that listens there, then run again"),
        Unclear::NobodyToCompare => Obstacle::passing(
            Stage::Answer,
            "no other VM could be asked, so there is nothing to compare with",
        ),
        Unclear::SlowClocks(doubt) => Obstacle::passing(
            Stage::Answer,
            format!("the VMs answer too slowly: their clocks are known only to within {doubt}"),
        )
        .hint("run again, or raise `clocks_within`"),
        Unclear::UdpCannotBeTried => Obstacle::lasting(
            Stage::Answer,
            "bootproof cannot see from outside whether a UDP service is reached",
        )
        .hint("use `deny` for TCP connections only"),
        Unclear::NoSystemd(init) => Obstacle::lasting(
            Stage::MissingTool,
            format!("the VM does not run systemd but {init}, so nothing is known of its services"),
        )
        .hint("use `process_running`, or `command_output` with the VM's own tool"),
        Unclear::NoPackageManager => Obstacle::lasting(
            Stage::MissingTool,
            "the VM has neither dpkg nor rpm nor apk, so nothing is known of its packages",
        )
        .hint("use `command_output` with the VM's own tool"),
        Unclear::HiddenProcesses => Obstacle::lasting(
            Stage::Answer,
            "the VM hides the processes of other users (mount option `hidepid` of /proc)",
        )
        .hint("use `command_output` with `pgrep` and `become`"),
        Unclear::Denied { path, run_as_root } => {
            let denied = Obstacle::passing(Stage::Answer, format!("{path}: permission denied"));
            denied.hint(if run_as_root {
                "not even root may look there: is it on FUSE or NFS, or closed by SELinux?"
            } else {
                "write \"become\": true to look as root"
            })
        }
        Unclear::FileTooLong { path, read } => Obstacle::passing(
            Stage::Answer,
            format!("{path} is longer than {read} bytes, and the first ones do not decide"),
        )
        .hint("use `command_output` with `grep` on the VM"),
        Unclear::NotRead { what, why } => {
            Obstacle::passing(Stage::Answer, format!("cannot read {what}: {why}"))
        }
        Unclear::Jq(why) => Obstacle::passing(Stage::Answer, format!("jq failed: {why}")),
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
