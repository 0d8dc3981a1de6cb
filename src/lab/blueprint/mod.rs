//! A blueprint: one file from elsewhere with the nodes, connections, recipes and scenario of a lab.
//!
//! `written.rs` is what the file says; [`Blueprint`] is what becomes of it: bootproof's own files,
//! already checked. `import` accepts exactly what `lint` accepts, and every error names its place
//! in the blueprint.

mod conversion;
mod generated;
mod recipes;
mod rules;
mod size;
mod spelling;
pub mod store;
mod written;

pub use conversion::Blueprint;
pub use generated::GeneratedFile;
