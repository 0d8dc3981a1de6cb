//! How to look at a wire: connect from its near end, and read the socket tables of its far end.

use std::time::Duration;

use tokio::time::Instant;

use super::{ProbeError, Vantage, port_listening};
use crate::assertion::port_listening::{Listeners, Protocol};
use crate::assertion::wire::{Wire, WireSeen};
use crate::ssh::tunnel::{self, TunnelError};

/// A way on which nothing comes back for so long is barred.
const CONNECT: Duration = Duration::from_secs(10);

pub(super) async fn look(wire: &Wire, from: &Vantage) -> Result<WireSeen, ProbeError> {
    if wire.protocol == Protocol::Udp {
        return Ok(WireSeen { listeners: far_end(wire, from).await, unreached: None });
    }
    let until = from.deadline.min(Instant::now() + CONNECT);
    let (reached, listeners) = tokio::join!(
        tunnel::open(&from.session, &wire.address, wire.port, until),
        far_end(wire, from)
    );
    let unreached = match reached {
        Ok(_) => None,
        Err(TunnelError::Unreachable(why)) => Some(why),
        Err(TunnelError::Ssh(error)) => return Err(error.into()),
    };
    Ok(WireSeen { listeners, unreached })
}

/// `None` when the far end cannot be asked: what the near end sees is an answer all the same.
async fn far_end(wire: &Wire, from: &Vantage) -> Option<Listeners> {
    let session = from.others.get(&wire.to)?.clone();
    port_listening::look(&Vantage { session, ..from.clone() }).await.ok()
}
