//! How to look at processes: one look at /proc for all of them.

use super::context::{ProbeContext, Unanswered};
use super::together::Look;
use crate::assertion::Seen;
use crate::assertion::process_running::{
    ProcessRunning, Processes, parse_processes, read_processes,
};
use crate::assertion::script::fitting;

pub(super) async fn look(
    wanted: &ProcessRunning,
    context: &ProbeContext,
) -> Result<Seen<Processes>, Unanswered> {
    let vm = &context.vm;
    let own: Vec<&str> = wanted.user.as_deref().into_iter().collect();
    let look = Look {
        fact: &vm.processes,
        run_as_root: false,
        script: &read_processes,
        parse: &|_, printed| parse_processes(&printed.stdout.text, &printed.stderr.text),
        is_complete: &|seen: &Processes| own.iter().all(|user| seen.know(user)),
    };
    look.ask(context, &fitting(&own, &vm.wanted.process_users), &own).await
}
