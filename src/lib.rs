//! bootproof: post-boot conformance tests over SSH.
pub mod assertion;
pub mod cli;
pub mod evidence;
pub mod exit_code;
pub mod harness;
pub mod health;
pub mod lab;
pub mod outcome;
pub mod probe;
pub mod report;
pub mod run;
pub mod secrets;
pub mod settings;
pub mod spec;
pub mod ssh;
