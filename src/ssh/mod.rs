//! SSH. russh is named nowhere else in the library.
//!
//! One [`Session`] a VM carries any number of commands ([`exec`]) and TCP paths ([`tunnel`]) side by side.

mod auth;
mod banner;
mod connect;
mod error;
pub mod exec;
pub mod host_key;
mod known_hosts;
mod session;
pub mod tunnel;

pub use connect::{Limits, Milestone, Target, connect};
pub use session::Session;
