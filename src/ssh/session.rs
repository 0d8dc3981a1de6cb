//! A live, logged-in SSH connection to one VM.

use std::sync::Arc;
use std::time::Duration;

use russh::client::Handle;
use russh::{ChannelOpenFailure, Disconnect};
use tokio::time::{Instant, sleep, timeout};

use super::channel::{Channels, CommandChannel};
use super::client::{Client, ServerFacts};
use super::envelope::Envelope;
use crate::obstacle::{Obstacle, Stage};
use crate::record::Trust;

/// A live VM answers its sshd's keepalives in this time, whatever else it is busy with.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Saying goodbye takes no longer than this.
const GOODBYE: Duration = Duration::from_millis(200);

/// A logged-in connection.
pub struct Session {
    pub(super) handle: Handle<Client>,
    /// The server's identification, such as `SSH-2.0-OpenSSH_10.0p2 Debian-7`.
    pub banner: String,
    /// SHA256 fingerprint of the host key.
    pub fingerprint: String,
    /// Why the host key was trusted.
    pub trust: Trust,
    pub(super) channels: Arc<Channels>,
    pub(super) envelope: Envelope,
}

impl Session {
    pub(super) fn new(handle: Handle<Client>, facts: ServerFacts) -> Self {
        Self {
            handle,
            banner: facts.banner,
            fingerprint: facts.fingerprint,
            trust: facts.trust.unwrap_or(Trust::Known),
            channels: Channels::new(),
            envelope: Envelope::new(),
        }
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Checks that the other end still answers on this connection.
    pub async fn answers(&self) -> Result<(), Obstacle> {
        let pong = timeout(ANSWERS_WITHIN, self.handle.send_ping()).await;
        if self.is_closed() {
            return Err(Obstacle::lost());
        }
        match pong {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Obstacle::lost()),
            Err(_) => Err(Obstacle::passing(
                Stage::Timeout,
                "the VM does not answer on its SSH connection",
            )
            .hint("is it frozen, paused or out of memory, or does its sshd wait for DNS?")),
        }
    }

    /// Opens a session channel. "Open failed" while others are open, or have just been, means that
    /// the server's limit is lower than ours: then the channel waits. If the server refuses again
    /// and again although no other channel is open, that is an error.
    pub(super) async fn session_channel(
        &self,
        deadline: Instant,
    ) -> Result<CommandChannel, Obstacle> {
        let slot = self.channels.slot().await?;
        let (mut refused_alone, mut granted) = (0, self.channels.granted());
        let mut pause = Duration::from_millis(20);
        loop {
            match self.handle.channel_open_session().await {
                Ok(channel) => return Ok(self.channels.adopt(channel, slot)),
                Err(russh::Error::ChannelOpenFailure(reason)) => {
                    let before = std::mem::replace(&mut granted, self.channels.granted());
                    let alone = self.channels.open() == 0 && before == granted;
                    refused_alone = if alone { refused_alone + 1 } else { 0 };
                    if refused_alone > 3 || Instant::now() + pause > deadline {
                        return Err(refused(&reason));
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                Err(_) => return Err(Obstacle::lost()),
            }
        }
    }

    /// Ends the connection. Commands that still run are ended first by
    /// [`super::leftovers::end_commands`].
    pub async fn disconnect(&self) {
        let goodbye = self.handle.disconnect(Disconnect::ByApplication, "", "en");
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

fn refused(reason: &ChannelOpenFailure) -> Obstacle {
    Obstacle::passing(Stage::Channel, format!("sshd refuses to open a session: {reason:?}"))
        .hint("is MaxSessions in sshd_config 0, or is the VM out of processes?")
}
