//! Looks at VMs. The only I/O of an assertion; nothing here judges.
//!
//! Each assertion type is a file here, as in [`crate::assertion`].

mod command_output;
mod context;
mod fact;
pub mod health;
mod http_responds;
mod peer;
mod port_listening;
pub mod shell;
mod turns;
mod vm;
mod wire;

pub use context::{Answers, Course, ProbeContext, Unanswered};
pub use vm::LiveVm;

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
        Expectation::Wire(wanted) => wire::look(wanted, context).await.map(Observation::Wire),
        Expectation::Peer(wanted) => peer::look(wanted, context).await.map(Observation::Peer),
    }
}
