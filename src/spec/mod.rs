//! What was asked for: inventory and suite as written, and the plan they make. No I/O.

pub mod coverage;
pub mod duration;
pub mod inventory;
mod json;
mod other_format;
pub mod plan;
pub mod source;
mod strict;
pub mod suite;
mod tree;
mod type_error;
mod yaml;
