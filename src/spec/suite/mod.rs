//! The suite: scenarios, their tests, and the assertions in them.

mod bind;
mod content;
mod expand;
mod file;
mod keys;
mod read;
mod schema;

pub use bind::Expanded;
pub use content::Content;
pub use file::{AssertionEntry, ScenarioEntry, ScenarioKind, SuiteFile, TestCaseEntry};
pub use read::{Suite, SuiteAssertion};
