//! The exit codes of `bootproof`.

use std::process::{ExitCode as ProcessExitCode, Termination};

use crate::record::Stop;
use crate::report::Totals;

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
    /// What a finished run ends with. A stop comes first: what was seen until then is not the whole answer.
    /// A proven failure comes before what could not be told, such as what was seen while it was not `sound`.
    pub fn of_run(stop: Option<Stop>, totals: Totals, sound: bool, reports_written: bool) -> Self {
        match stop {
            Some(Stop::Deadline(_)) => return Self::Deadline,
            Some(Stop::Interrupt) => return Self::Interrupted,
            Some(Stop::Terminate) => return Self::Terminated,
            None => {}
        }
        if totals.failed > 0 {
            Self::Failed
        } else if totals.errored + totals.blocked + totals.not_run > 0 {
            Self::CouldNotTell
        } else if totals.passed == 0 {
            Self::NothingSelected
        } else if !sound {
            Self::CouldNotTell
        } else if reports_written {
            Self::Conforms
        } else {
            Self::Internal
        }
    }

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::VerdictKind::{
        self, Blocked, Errored, Failed, NotRun, NotSelected, Passed,
    };

    #[test]
    fn the_worst_definite_answer_decides() {
        let of = |kinds: &[VerdictKind]| {
            ExitCode::of_run(None, Totals::count(kinds.iter().copied()), true, true)
        };
        for (kinds, code) in [
            (&[Passed, NotSelected][..], ExitCode::Conforms),
            (&[Passed, Failed, Errored, Blocked, NotRun], ExitCode::Failed),
            (&[Passed, Errored], ExitCode::CouldNotTell),
            (&[Passed, Blocked], ExitCode::CouldNotTell),
            (&[Passed, NotRun], ExitCode::CouldNotTell),
            (&[NotSelected], ExitCode::NothingSelected),
            (&[], ExitCode::NothingSelected),
        ] {
            assert_eq!(of(kinds), code, "{kinds:?}");
        }
    }

    #[test]
    fn a_run_that_was_ended_early_is_never_green() {
        let green = Totals::count([Passed]);
        for (stop, code) in [
            (Stop::Deadline(Duration::from_secs(1)), 124),
            (Stop::Interrupt, 130),
            (Stop::Terminate, 143),
        ] {
            assert_eq!(ExitCode::of_run(Some(stop), green, true, true) as u8, code);
        }
        assert_eq!(ExitCode::of_run(None, green, true, false), ExitCode::Internal);
    }

    #[test]
    fn what_was_seen_on_a_vm_that_did_not_stay_the_same_is_not_green() {
        assert_eq!(
            ExitCode::of_run(None, Totals::count([Passed]), false, true),
            ExitCode::CouldNotTell
        );
        assert_eq!(
            ExitCode::of_run(None, Totals::count([Passed, Failed]), false, true),
            ExitCode::Failed
        );
    }
}
