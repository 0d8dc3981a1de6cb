//! How to look at listening sockets: the kernel's own tables.

use super::{ProbeError, Vantage};
use crate::assertion::port_listening::{Listeners, READ_SOCKET_TABLES, parse_socket_tables};
use crate::command::CommandEnd;
use crate::obstacle::{Obstacle, Stage};
use crate::ssh::exec::exec;

pub(super) async fn look(from: &Vantage) -> Result<Listeners, ProbeError> {
    let result = exec(&from.session, READ_SOCKET_TABLES, None, from.deadline).await?;
    let parsed = match result.end {
        CommandEnd::Exited(0) => {
            parse_socket_tables(&result.stdout.text).map_err(|error| error.to_string())
        }
        _ => Err(format!("/proc/net cannot be read: {}", result.stderr.text.trim())),
    };
    parsed.map_err(|why| ProbeError {
        error: Obstacle::passing(Stage::Answer, why),
        partial: Some(result),
    })
}
