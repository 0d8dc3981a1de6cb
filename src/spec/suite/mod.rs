//! The suite: scenarios, their tests, and the assertions in them.

mod file;
mod keys;
mod read;
mod schema;

pub use file::{AssertionEntry, ScenarioEntry, ScenarioKind, SuiteFile, TestCaseEntry};
pub use read::{Suite, SuiteAssertion};
