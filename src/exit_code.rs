//! The exit codes of `bootproof`.

use std::process::{ExitCode as ProcessExitCode, Termination};

/// How a command ended. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything that was selected holds.
    Conforms = 0,
    /// At least one assertion failed: a VM is not as specified.
    Failed = 1,
    /// The command line or a file is wrong; nothing was looked at.
    Usage = 2,
    /// Nothing failed, but something could not be told: errored, blocked, not run, seen on a VM that did not stay the
    /// same, or, where that is asked for, not looked at by any assertion.
    CouldNotTell = 3,
    /// Nothing was selected.
    NothingSelected = 4,
    /// bootproof could not do its own work: no runtime, no process, a report that could not be written.
    Internal = 70,
    /// The deadline passed.
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
  0    everything that was selected holds
  1    an assertion failed
  2    the command line or a file is wrong
  3    could not tell: something errored, was blocked, unstable or (--fail-uncovered) uncovered, and nothing failed
  4    nothing was selected
  70   bootproof could not do its own work, such as write a report
  124  the deadline passed
  130  interrupted (143: terminated)";
}

impl Termination for ExitCode {
    fn report(self) -> ProcessExitCode {
        ProcessExitCode::from(self as u8)
    }
}
