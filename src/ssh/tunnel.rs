//! A TCP path that starts on the VM: a direct-tcpip channel, opened by its sshd.

use crate::obstacle::{Obstacle, Stage};
use russh::client::Msg;
use russh::{ChannelOpenFailure, ChannelStream};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::Session;

/// No path.
#[derive(Debug, Clone, Error)]
pub enum TunnelError {
    /// The VM tried and could not connect: that is an answer about the target.
    #[error("the VM cannot connect to {0}")]
    Unreachable(String),
    /// It could not be tried.
    #[error(transparent)]
    Ssh(#[from] Obstacle),
}

/// Opens a path from the VM to `host:port`; names are resolved there.
pub async fn open(
    session: &Session,
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<ChannelStream<Msg>, TunnelError> {
    let opening = session.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0);
    match timeout_at(deadline, opening).await {
        Err(_) => {
            // A VM that hangs itself says nothing about the target.
            session.answers().await?;
            Err(TunnelError::Unreachable(format!("{host}:{port}: no answer in time")))
        }
        Ok(Ok(channel)) => Ok(channel.into_stream()),
        Ok(Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed))) => {
            Err(TunnelError::Unreachable(format!("{host}:{port}: connection refused, no route, or no such name")))
        }
        Ok(Err(russh::Error::ChannelOpenFailure(reason))) => Err(Obstacle::lasting(
            Stage::Channel,
            format!("sshd refuses to connect to {host}:{port} for us: {reason:?}"),
        )
        .hint("http_responds asks from the VM through its sshd: allow it with `AllowTcpForwarding yes` or `local`, or use \"from\": \"runner\"")
        .into()),
        Ok(Err(_)) => Err(Obstacle::lost().into()),
    }
}
