//! How to look at a wire: connect from its near end, and read the socket tables of its far end.

use std::time::Duration;

use tokio::time::Instant;

use super::context::{ProbeContext, Unanswered};
use super::port_listening;
use super::turns::Load;
use crate::assertion::port_listening::{Listeners, Protocol};
use crate::assertion::wire::{Wire, WireSeen};
use crate::ssh::tunnel::{self, TunnelError};

/// A connection that gets no answer in this time is blocked on its way.
const CONNECT: Duration = Duration::from_secs(10);

pub(super) async fn look(wire: &Wire, context: &ProbeContext) -> Result<WireSeen, Unanswered> {
    if wire.protocol == Protocol::Udp {
        return Ok(WireSeen { listeners: far_end(wire, context).await, unreached: None });
    }
    let (reached, listeners) = tokio::join!(near_end(wire, context), far_end(wire, context));
    let unreached = match reached {
        Ok(()) => None,
        Err(TunnelError::Unreachable(why)) => Some(why),
        Err(TunnelError::Ssh(obstacle)) => return Err(obstacle.into()),
    };
    Ok(WireSeen { listeners, unreached })
}

async fn near_end(wire: &Wire, context: &ProbeContext) -> Result<(), TunnelError> {
    let session = &context.vm.session;
    let connect = |deadline: Instant| {
        let until = deadline.min(Instant::now() + CONNECT);
        tunnel::open(session, &wire.address, wire.port, until)
    };
    context.ask(Load::Request, connect).await.map(drop)
}

/// `None` if the far end cannot be asked: the near end's answer is still worth having.
async fn far_end(wire: &Wire, context: &ProbeContext) -> Option<Listeners> {
    let vm = context.others.get(&wire.to)?;
    port_listening::look(vm, context).await.ok()
}
