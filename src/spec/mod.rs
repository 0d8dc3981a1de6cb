//! What was asked for: inventory and suite as written, and the plan they make. No I/O.

pub mod coverage;
pub mod duration;
pub mod inventory;
pub mod lint;
pub mod plan;
pub mod proof;
pub mod source;
pub mod suite;
