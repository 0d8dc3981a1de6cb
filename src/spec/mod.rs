//! What was asked for: inventory, suite, plan.
pub mod inventory;
