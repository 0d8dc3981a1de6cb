//! SSH: the only room that names russh.
//!
//! One [`Session`] per VM carries any number of commands ([`exec`]) and TCP connections
//! ([`tunnel`]) side by side.

mod auth;
mod banner;
mod channel;
mod client;
mod connect;
mod envelope;
mod error;
pub mod exec;
pub mod host_key;
mod key_file;
mod known_hosts;
pub mod leftovers;
mod session;
pub mod tunnel;

pub use connect::{Limits, Milestone, Target, connect};
pub use envelope::{Noise, Opened};
pub use session::Session;
