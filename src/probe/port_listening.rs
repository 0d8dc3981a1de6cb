//! How to look at listening sockets: the kernel's own tables.

use super::context::{ProbeContext, Unanswered};
use super::vm::LiveVm;
use crate::assertion::port_listening::{Listeners, READ_SOCKET_TABLES, parse_socket_tables};
use crate::command::CommandEnd;
use crate::obstacle::{Obstacle, Stage};
use crate::ssh::Session;
use crate::ssh::exec::exec;
use tokio::time::Instant;

/// The listening sockets of `vm`.
pub(super) async fn look(vm: &LiveVm, context: &ProbeContext) -> Result<Listeners, Unanswered> {
    context.fact(vm, &vm.listeners, |deadline| read(&vm.session, deadline)).await
}

async fn read(session: &Session, deadline: Instant) -> Result<Listeners, Unanswered> {
    let result = exec(session, READ_SOCKET_TABLES, None, deadline).await?;
    let parsed = match result.end {
        CommandEnd::Exited(0) => {
            parse_socket_tables(&result.stdout.text).map_err(|error| error.to_string())
        }
        _ => Err(format!("cannot read /proc/net: {}", result.stderr.text.trim())),
    };
    parsed.map_err(|why| Unanswered {
        obstacle: Obstacle::passing(Stage::Answer, why),
        partial: Some(result),
    })
}
