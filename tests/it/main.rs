//! Everything that needs no real VM: the command and the harness against SSH servers in this
//! process.
//!
//! A module is a surface. [`fake_vm`] is the other end, [`scene`] writes the files and runs the
//! real binaries.

mod aftermath;
mod corpus;
mod coverage;
mod docs;
mod everyday;
mod fake_vm;
mod fleet;
mod fold;
mod harness;
mod help;
mod import;
mod junk;
mod killed;
mod lab;
mod laws;
mod layers;
mod misbehaviour;
mod peers;
mod prove;
mod real_sshd;
mod reports;
mod scene;
mod secrets;
mod shards;
mod shell;
mod ssh;
mod targets;
mod verdicts;
mod window;
mod wires;
mod yaml;
