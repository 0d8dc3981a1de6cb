//! Which third of the faults is planted.

use std::env::{self, VarError};
use std::fmt;

use bootproof::problem::Problem;

use super::fault::Fault;

const VARIABLE: &str = "BOOTPROOF_FAULTS_THIRD";

/// Every third fault of the file, beginning with this one (0, 1 or 2).
#[derive(Clone, Copy)]
pub struct Third(usize);

impl Third {
    /// The third that the environment asks for; `None` means all faults.
    pub fn from_environment() -> Result<Option<Self>, Problem> {
        let value = match env::var(VARIABLE) {
            Err(VarError::NotPresent) => return Ok(None),
            Err(VarError::NotUnicode(value)) => value.to_string_lossy().into_owned(),
            Ok(value) => value,
        };
        match value.as_str() {
            "" => Ok(None),
            "0" => Ok(Some(Self(0))),
            "1" => Ok(Some(Self(1))),
            "2" => Ok(Some(Self(2))),
            _ => Err(Problem::new(format!("invalid value `{value}` in {VARIABLE}"))
                .hint("set it to 0, 1 or 2; unset it to plant all faults")),
        }
    }
}

impl fmt::Display for Third {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "third {} of 3", self.0 + 1)
    }
}

/// The faults of one third, or all of them.
pub fn choose(faults: Vec<Fault>, third: Option<Third>) -> Vec<Fault> {
    let Some(Third(first)) = third else { return faults };
    faults.into_iter().skip(first).step_by(3).collect()
}
