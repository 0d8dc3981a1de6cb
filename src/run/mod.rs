//! Runs a plan: as many VMs at once as there are places in the window, one connection for each VM,
//! every assertion of it a task.
//!
//! [`Engine`] owns the runtime and watches the signals; a [`Runner`] is one run on it. Outside of
//! this module and what it calls, nothing is async. It prints nothing: it reports [`Event`]s while
//! it runs, and a [`crate::record::RunRecord`] at the end.

mod attempts;
mod engine;
mod event;
mod jump_host;
mod link;
mod links;
mod peers;
mod recorder;
mod runner;
mod seat;
mod settings;
mod shared;
mod stop;
mod visit;
mod vm_log;
mod watch;
mod window;

pub use engine::Engine;
pub use event::{Event, Listener};
pub use runner::{Reading, Runner, Work};
pub use settings::RunSettings;
