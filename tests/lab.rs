//! `cargo test --test lab`: the suite on live VMs, an assertion a trial.
//!
//! `BOOTPROOF_INVENTORY`, `BOOTPROOF_SUITE`, `BOOTPROOF_REPORTS`, `BOOTPROOF_WAIT` and
//! `BOOTPROOF_DEADLINE` set it up; libtest's flags (`--list`, `--exact`, `--skip`, `--format`, a
//! filter) work as everywhere.

use std::process::ExitCode;

fn main() -> ExitCode {
    bootproof::harness::main()
}
