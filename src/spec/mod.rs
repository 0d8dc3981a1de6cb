//! What was asked for: inventory and suite as written, and the plan they make. No I/O.

pub mod coverage;
mod delimiters;
pub mod duration;
pub mod inventory;
mod name;
pub mod plan;
pub mod selector;
pub mod source;
mod strict;
pub mod suite;
mod syntax;
mod template;
mod type_error;
