//! Runs a plan: all VMs at once, one connection for each VM, every assertion a task.
//!
//! [`Engine`] owns the runtime and watches the signals; a [`Runner`] is one run on it. Outside of
//! this module and what it calls, nothing is async. It prints nothing: it reports [`Event`]s while
//! it runs, and a [`crate::record::RunRecord`] at the end.

mod attempts;
mod engine;
mod event;
mod link;
mod links;
mod recorder;
mod runner;
mod settings;
mod shared;
mod stop;
mod vm_log;
mod watch;

pub use engine::Engine;
pub use event::{Event, Listener};
pub use runner::Runner;
pub use settings::RunSettings;
