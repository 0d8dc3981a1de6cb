//! The exit codes of `bootproof`.

use std::process::{ExitCode as ProcessExitCode, Termination};

/// How a command ended. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Every selected assertion passed.
    Conforms = 0,
    /// At least one assertion failed: a VM is not as specified.
    Failed = 1,
    /// The command line or a file is wrong; nothing was looked at.
    Usage = 2,
    /// No assertion failed, but at least one errored, was blocked or did not run, a VM was
    /// unstable, or, where coverage is required, something declared has no assertion.
    CouldNotTell = 3,
    /// Nothing was selected.
    NothingSelected = 4,
    /// bootproof could not do its own work: no runtime, no process, a report that it cannot write.
    Internal = 70,
    /// The run reached its time limit.
    Deadline = 124,
    /// SIGINT.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

impl ExitCode {
    /// For `--help`.
    pub const TABLE: &'static str = "\
Exit codes:
  0    every selected assertion passed
  1    an assertion failed
  2    the command line or a file is wrong
  3    cannot tell: an assertion errored or was blocked, or a VM was unstable
  4    nothing was selected
  70   bootproof could not do its own work, such as write a report
  124  the run reached its time limit
  130  interrupted (143: terminated)";
}

impl Termination for ExitCode {
    fn report(self) -> ProcessExitCode {
        ProcessExitCode::from(self as u8)
    }
}
