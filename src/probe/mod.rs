//! Looks at VMs. The only I/O of an assertion; nothing here judges.
//!
//! Each assertion type is a file here, as in [`crate::assertion`], or has one together with the
//! types that look at the same: services, packages, users and groups.

mod account;
mod command_output;
mod context;
mod fact;
mod file;
mod file_contains;
pub mod health;
mod http_responds;
mod package;
pub mod peer;
mod port_listening;
mod process_running;
mod service;
pub mod shell;
mod sudo;
mod together;
mod turns;
mod vm;
mod wanted;
mod wire;

pub use context::{Answers, Course, ProbeContext, Unanswered};
pub use vm::LiveVm;
pub use wanted::Wanted;

use crate::assertion::{Expectation, Observation};

/// Looks at whatever `expectation` needs.
pub async fn observe(
    expectation: &Expectation,
    context: &ProbeContext,
) -> Result<Observation, Unanswered> {
    match expectation {
        Expectation::PortListening(_) => {
            port_listening::look(&context.vm, context).await.map(Observation::Listeners)
        }
        Expectation::CommandOutput(wanted) => {
            command_output::look(wanted, context).await.map(Observation::Command)
        }
        Expectation::HttpResponds(wanted) => {
            http_responds::look(wanted, context).await.map(Observation::Http)
        }
        Expectation::ServiceRunning(wanted) => {
            service::look(&wanted.unit(), context).await.map(Observation::Services)
        }
        Expectation::ServiceEnabled(wanted) => {
            service::look(&wanted.unit(), context).await.map(Observation::Services)
        }
        Expectation::ProcessRunning(wanted) => {
            process_running::look(wanted, context).await.map(Observation::Processes)
        }
        Expectation::PackageInstalled(_) | Expectation::PackageNotInstalled(_) => {
            package::look(context).await.map(Observation::Packages)
        }
        Expectation::FileExists(wanted) => {
            file::look(wanted, context).await.map(Observation::Files)
        }
        Expectation::FileContains(wanted) => {
            file_contains::look(wanted, context).await.map(Observation::Contents)
        }
        Expectation::UserExists(wanted) => {
            let groups = wanted.group_names();
            account::look(&[&wanted.user], &groups, context).await.map(Observation::Accounts)
        }
        Expectation::GroupExists(wanted) => {
            account::look(&[], &[&wanted.group], context).await.map(Observation::Accounts)
        }
        Expectation::Wire(wanted) => wire::look(wanted, context).await.map(Observation::Wire),
        Expectation::Peer(wanted) => peer::look(wanted, context).await.map(Observation::Peer),
    }
}
