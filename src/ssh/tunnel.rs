//! A TCP connection that starts on the VM: a direct-tcpip channel, opened by its sshd.

use russh::client::Msg;
use russh::{ChannelOpenFailure, ChannelStream};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::session::Session;
use crate::obstacle::{Obstacle, Stage};

/// There is no connection.
#[derive(Debug, Clone, Error)]
pub enum TunnelError {
    /// The VM tried and could not connect: that is an answer about the target.
    #[error("the VM cannot connect to {0}")]
    Unreachable(String),
    /// The VM could not try.
    #[error(transparent)]
    Ssh(#[from] Obstacle),
}

/// Connects from the VM to `host:port`; the VM resolves names.
pub async fn open(
    session: &Session,
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<ChannelStream<Msg>, TunnelError> {
    let opening = session.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0);
    let Ok(opened) = timeout_at(deadline, opening).await else {
        // A VM that hangs itself says nothing about the target.
        session.answers().await?;
        return Err(TunnelError::Unreachable(format!("{host}:{port}: no answer in time")));
    };
    match opened {
        Ok(channel) => Ok(channel.into_stream()),
        Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed)) => {
            let why = "connection refused, no route, or no such name";
            Err(TunnelError::Unreachable(format!("{host}:{port}: {why}")))
        }
        Err(russh::Error::ChannelOpenFailure(reason)) => {
            Err(forbidden(&format!("{host}:{port}"), &reason).into())
        }
        Err(_) => Err(Obstacle::lost().into()),
    }
}

fn forbidden(target: &str, reason: &ChannelOpenFailure) -> Obstacle {
    let message = format!("sshd refuses to connect to {target} for us: {reason:?}");
    Obstacle::lasting(Stage::Channel, message).hint(
        "bootproof connects from the VM through its sshd: allow it with `AllowTcpForwarding yes` \
         or `local`; in `http_responds` you can use \"from\": \"runner\" instead",
    )
}
