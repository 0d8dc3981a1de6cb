//! Shell commands: [`script`] reads one, [`walk`] works out how it would end. Only this folder
//! names tree-sitter. Nothing is run.

pub mod script;
pub mod walk;
