//! What a suite is worth, found without connecting to a VM: assertions that cannot fail, failures
//! that they hide, and the counter-examples that `bootproof prove` runs.

pub mod counter_example;
pub mod lint;
pub mod proof;
pub mod vacuous;
