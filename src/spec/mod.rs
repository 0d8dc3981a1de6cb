//! What was asked for: inventory and suite as written, and the plan they make. No I/O.

pub mod choice;
pub mod coverage;
mod delimiters;
pub mod digest;
pub mod duration;
pub mod inventory;
mod jq_text;
mod json;
mod name;
mod other_format;
mod pieces;
pub mod plan;
pub mod selector;
pub mod shard;
pub mod shard_auto;
pub mod source;
mod strict;
pub mod suite;
mod template;
mod tree;
mod type_error;
mod yaml;
