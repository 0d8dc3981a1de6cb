//! Shell commands: [`script`] reads one, [`walk`] works out how it would end, and [`bare`] tells
//! which parts are outside quotes. Only this folder names tree-sitter. Nothing is run.

pub mod bare;
pub mod script;
pub mod walk;
