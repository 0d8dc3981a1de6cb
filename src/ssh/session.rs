//! A live, logged-in SSH connection to one VM.

use crate::obstacle::{Obstacle, Stage};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use russh::client::{Handle, Msg};
use russh::{Channel, ChannelOpenFailure, Disconnect};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

use super::connect::Client;
use crate::record::Trust;

/// sshd allows 10 sessions a connection by default (`MaxSessions`); two are left for others.
const SESSION_CHANNELS: usize = 8;

/// A VM that lives answers its sshd's keepalives in this time, whatever else it is busy with.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// So many assertions are looked at at once; the rest of the channels is for who watches beside them.
const TURNS: usize = 6;

/// A logged-in connection.
pub struct Session {
    pub(super) handle: Handle<Client>,
    /// The server's identification, such as `SSH-2.0-OpenSSH_10.0p2 Debian-7`.
    pub banner: String,
    /// SHA256 fingerprint of the host key.
    pub fingerprint: String,
    /// Why the host key was trusted.
    pub trust: Trust,
    slots: Semaphore,
    turns: Semaphore,
    open: AtomicUsize,
    granted: AtomicUsize,
}

/// A session channel and the slot that it occupies.
pub(super) struct SessionChannel<'a> {
    pub(super) channel: Channel<Msg>,
    session: &'a Session,
    _slot: SemaphorePermit<'a>,
}

impl Drop for SessionChannel<'_> {
    fn drop(&mut self) {
        self.session.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Session {
    pub(super) fn new(
        handle: Handle<Client>,
        banner: String,
        fingerprint: String,
        trust: Trust,
    ) -> Self {
        let (slots, turns) = (Semaphore::new(SESSION_CHANNELS), Semaphore::new(TURNS));
        Self {
            handle,
            banner,
            fingerprint,
            trust,
            slots,
            turns,
            open: AtomicUsize::new(0),
            granted: AtomicUsize::new(0),
        }
    }

    /// Waits for a turn: what a VM is asked at once, it answers slowly, and the clock of a question must not run
    /// while it waits in our own queue.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Whether the other end still answers on this connection, when something behind it does not.
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
            .hint("is it frozen, paused, out of memory, or does its sshd wait for DNS?")),
        }
    }

    /// Opens a session channel. "Open failed" while others are open, or have just been, means that the server's
    /// limit is lower than ours: then it waits for its turn. Refused again and again while nobody is let in, it
    /// is an error.
    pub(super) async fn session_channel(
        &self,
        deadline: Instant,
    ) -> Result<SessionChannel<'_>, Obstacle> {
        let slot = self.slots.acquire().await.map_err(|_| Obstacle::lost())?;
        let (mut refused_alone, mut granted) = (0, self.granted.load(Ordering::Relaxed));
        let mut pause = Duration::from_millis(20);
        loop {
            match self.handle.channel_open_session().await {
                Ok(channel) => {
                    self.open.fetch_add(1, Ordering::Relaxed);
                    self.granted.fetch_add(1, Ordering::Relaxed);
                    return Ok(SessionChannel { channel, session: self, _slot: slot });
                }
                Err(russh::Error::ChannelOpenFailure(reason)) => {
                    let before =
                        std::mem::replace(&mut granted, self.granted.load(Ordering::Relaxed));
                    let alone = self.open.load(Ordering::Relaxed) == 0 && before == granted;
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

    /// Says goodbye.
    pub async fn disconnect(&self) {
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "en").await;
    }
}

fn refused(reason: &ChannelOpenFailure) -> Obstacle {
    Obstacle::passing(Stage::Channel, format!("sshd refuses to open a session: {reason:?}"))
        .hint("is MaxSessions in sshd_config 0, or is the VM out of processes?")
}
