//! Shell commands: [`script`] reads one, [`walk`] works out how it would end, [`bare`] finds what
//! stands outside quotes. Only this folder names tree-sitter. Nothing is run.

pub mod bare;
pub mod script;
pub mod walk;
