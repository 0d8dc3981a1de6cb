//! How to look at listening sockets: the kernel's own tables.

use super::context::{ProbeContext, Unanswered};
use crate::assertion::port_listening::{Listeners, READ_SOCKET_TABLES, parse_socket_tables};
use crate::command::CommandEnd;
use crate::obstacle::{Obstacle, Stage};
use crate::ssh::exec::exec;

pub(super) async fn look(context: &ProbeContext) -> Result<Listeners, Unanswered> {
    let result = exec(&context.session, READ_SOCKET_TABLES, None, context.deadline).await?;
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
