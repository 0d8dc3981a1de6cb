//! bootproof: post-boot conformance tests over SSH.
#![allow(missing_docs)]
pub mod spec;
pub mod lab;
