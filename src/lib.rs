//! bootproof: post-boot conformance tests over SSH.
pub mod assertion;
pub mod lab;
pub mod spec;
