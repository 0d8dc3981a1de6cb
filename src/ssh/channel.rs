//! The session channels of one connection, each with one command. sshd does not hang up on a
//! command without a terminal, so a channel that is dropped before its command ended ends it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, Sig};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::obstacle::Obstacle;

/// sshd allows 10 sessions a connection by default (`MaxSessions`); two are left for others.
const SLOTS: u32 = 8;

/// A command that gets a signal has this long to go; longer than this nobody waits for it.
const ENDING: Duration = Duration::from_secs(1);

/// What [`super::exec`] sends to a command that asks for a password.
pub(super) type SudoPassword = Zeroizing<Vec<u8>>;

/// The channels of one connection.
pub(super) struct Channels {
    slots: Arc<Semaphore>,
    open: AtomicUsize,
    granted: AtomicUsize,
    survivors: Mutex<Vec<Survivor>>,
}

/// A command that may still run: sshd sends no signals for a login as root, and none of a user's
/// signals reaches all processes below sudo.
pub(super) struct Survivor {
    /// Set if the command ran through sudo.
    pub(super) sudo_password: Option<SudoPassword>,
}

impl Channels {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(SLOTS as usize)),
            open: AtomicUsize::new(0),
            granted: AtomicUsize::new(0),
            survivors: Mutex::default(),
        })
    }

    /// Waits for one of the slots.
    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit, Obstacle> {
        self.slots.clone().acquire_owned().await.map_err(|_| Obstacle::lost())
    }

    /// How many channels are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many channels the server has ever opened for us.
    pub(super) fn granted(&self) -> usize {
        self.granted.load(Ordering::Relaxed)
    }

    /// Wraps a channel that the server has just opened.
    pub(super) fn adopt(
        self: &Arc<Self>,
        channel: Channel<Msg>,
        slot: OwnedSemaphorePermit,
    ) -> CommandChannel {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.granted.fetch_add(1, Ordering::Relaxed);
        let open = OpenChannel {
            channel,
            channels: self.clone(),
            sudo_password: None,
            state: State::Unused,
            _slot: slot,
        };
        CommandChannel(Some(open))
    }

    /// Waits until no command runs any more, but only as long as commands have to go.
    pub(super) async fn idle(&self) {
        let _ = timeout(ENDING + ENDING / 4, self.slots.acquire_many(SLOTS)).await;
    }

    /// The commands that may still run, since the last call.
    pub(super) fn take_survivors(&self) -> Vec<Survivor> {
        std::mem::take(&mut *self.survivors())
    }

    fn survivors(&self) -> MutexGuard<'_, Vec<Survivor>> {
        self.survivors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel for one command. Dropping it ends the command.
pub(super) struct CommandChannel(Option<OpenChannel>);

impl CommandChannel {
    /// Starts `command`; the password goes to its standard input. [`Self::end_input`] ends it.
    pub(super) async fn start(
        &mut self,
        command: &str,
        sudo_password: Option<&[u8]>,
    ) -> Result<(), Obstacle> {
        let open = self.0.as_mut().ok_or_else(Obstacle::lost)?;
        open.state = State::Running;
        open.sudo_password = sudo_password.map(|password| Zeroizing::new(password.to_vec()));
        let lost = |_| Obstacle::lost();
        open.channel.exec(true, command).await.map_err(lost)?;
        if let Some(password) = sudo_password {
            open.channel.data_bytes(password.to_vec()).await.map_err(lost)?;
        }
        Ok(())
    }

    /// Sends the last bytes of the standard input.
    pub(super) async fn end_input(&mut self, last: &'static [u8]) -> Result<(), Obstacle> {
        let open = self.0.as_mut().ok_or_else(Obstacle::lost)?;
        let lost = |_| Obstacle::lost();
        if !last.is_empty() {
            open.channel.data_bytes(last).await.map_err(lost)?;
        }
        open.channel.eof().await.map_err(lost)
    }

    /// The next message; `None` when the connection is gone.
    pub(super) async fn next(&mut self) -> Option<ChannelMsg> {
        let open = self.0.as_mut()?;
        let message = open.channel.wait().await;
        match message {
            None | Some(ChannelMsg::Close) => open.state = State::Closed,
            // sshd did not start the command.
            Some(ChannelMsg::Failure) => open.state = State::Unused,
            _ => {}
        }
        message
    }

    /// Ends the command and waits for that, at most [`ENDING`].
    pub(super) async fn end(mut self) {
        if let Some(ending) = self.start_ending() {
            // It cannot fail in a way that would matter to the caller.
            let _ = ending.await;
        }
    }

    /// In a task of its own: whoever waited for the command may be gone.
    fn start_ending(&mut self) -> Option<JoinHandle<()>> {
        let open = self.0.take().filter(|open| open.state != State::Closed)?;
        let runtime = Handle::try_current().ok()?;
        Some(runtime.spawn(open.end()))
    }
}

impl Drop for CommandChannel {
    fn drop(&mut self) {
        self.start_ending();
    }
}

struct OpenChannel {
    channel: Channel<Msg>,
    channels: Arc<Channels>,
    sudo_password: Option<SudoPassword>,
    state: State,
    _slot: OwnedSemaphorePermit,
}

#[derive(PartialEq, Eq)]
enum State {
    Unused,
    Running,
    Closed,
}

impl OpenChannel {
    async fn end(mut self) {
        if self.state == State::Running && !self.terminate().await {
            let survivor = Survivor { sudo_password: self.sudo_password.take() };
            self.channels.survivors().push(survivor);
        }
        let _ = timeout(ENDING / 4, self.channel.close()).await;
    }

    /// Whether the command is gone. sshd signals the whole process group, and closes the channel
    /// when nothing of it is left.
    async fn terminate(&mut self) -> bool {
        if self.sudo_password.is_some() {
            // sudo passes the signal on to its child only and ends. The rest of a pipeline would
            // go on, without the session leader by which `leftovers` finds it.
            return false;
        }
        let gone = async {
            if self.channel.signal(Sig::TERM).await.is_ok() {
                while !matches!(self.channel.wait().await, None | Some(ChannelMsg::Close)) {}
            }
        };
        timeout(ENDING, gone).await.is_ok()
    }
}

impl Drop for OpenChannel {
    fn drop(&mut self) {
        self.channels.open.fetch_sub(1, Ordering::Relaxed);
    }
}
