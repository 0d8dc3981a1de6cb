//! How a command that cannot do its work ends: its problems and one exit code.

use crate::exit_code::ExitCode;
use crate::problem::{Problem, Problems};

/// The one error type at the edge: the command line and the harness render it, and nobody else.
#[derive(Debug)]
pub enum Error {
    /// The command line or a file is wrong.
    Usage(Problems),
    /// bootproof could not do its own work.
    Internal(Problems),
}

impl Error {
    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::Usage,
            Self::Internal(_) => ExitCode::Internal,
        }
    }

    /// What went wrong, in the order in which to read it.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Usage(problems) | Self::Internal(problems) => &problems.0,
        }
    }

    /// For `map_err`: bootproof could not do its own work.
    pub fn internal(problem: impl Into<Problems>) -> Self {
        Self::Internal(problem.into())
    }
}

/// What a person wrote is wrong, unless the caller says otherwise.
impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Self::Usage(problems)
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Usage(problem.into())
    }
}
