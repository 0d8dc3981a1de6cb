//! The local lab: recipes become bootable images, images become VMs on a private network.
//!
//! The test harness does not know this module. All they share is `inventory/local.json`, which the
//! lab writes and the harness reads.

pub mod base;
pub mod blueprint;
pub mod control;
mod disk;
pub mod down;
pub mod folder;
pub mod image;
pub mod kept;
mod kvm;
mod local;
pub mod parallel;
pub mod progress;
mod qemu;
mod qmp;
pub mod recipe;
pub mod serial;
pub mod state;
pub mod supervisor;
pub mod up;
pub mod vm;
mod workshop;
