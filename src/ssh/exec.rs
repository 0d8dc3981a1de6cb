//! Runs one command in a channel of its own: no PTY, standard output and error apart.

use crate::obstacle::{Obstacle, Stage};
use std::time::Duration;

use russh::{ChannelMsg, Sig};
use tokio::time::{Instant, timeout, timeout_at};

use super::Session;
use crate::command::{Captured, CommandEnd, CommandResult};

/// So much of each stream is kept for judging.
const KEPT: usize = 1024 * 1024;

/// When so much more has come, the command is ended: it would go on for ever.
const LOST_AT_MOST: usize = 8 * 1024 * 1024;

/// A command that did not end in time, with what it had printed, or a failure of the transport.
#[derive(Debug, Clone)]
pub struct ExecError {
    /// What went wrong.
    pub error: Obstacle,
    /// What had come until then.
    pub partial: CommandResult,
}

impl From<Obstacle> for ExecError {
    fn from(error: Obstacle) -> Self {
        Self { error, partial: CommandResult::default() }
    }
}

/// Runs `command` by the login shell with `stdin` (then end of file), until `deadline`.
pub async fn exec(
    session: &Session,
    command: &str,
    stdin: Option<&[u8]>,
    deadline: Instant,
) -> Result<CommandResult, ExecError> {
    let opening = timeout_at(deadline, session.session_channel(deadline)).await;
    let mut slot = opening.map_err(|_| no_channel_in_time())??;
    let channel = &mut slot.channel;
    let lost = |_| Obstacle::lost();
    channel.exec(true, command).await.map_err(lost)?;
    if let Some(bytes) = stdin {
        channel.data_bytes(bytes.to_vec()).await.map_err(lost)?;
    }
    channel.eof().await.map_err(lost)?;

    let mut seen = Seen::default();
    let ended = loop {
        match timeout_at(deadline, channel.wait()).await {
            Err(_) => {
                break Err(Obstacle::passing(Stage::Timeout, "the command did not end in time"));
            }
            // Only the close ends it: data can still come after the exit status.
            Ok(Some(ChannelMsg::Close)) => break seen.end(),
            Ok(None) => break Err(Obstacle::lost()),
            Ok(Some(message)) => {
                if let Err(error) = seen.take(message) {
                    break Err(error);
                }
            }
        }
    };
    let result = CommandResult {
        end: seen.end.unwrap_or_default(),
        stdout: seen.stdout.text(),
        stderr: seen.stderr.text(),
    };
    match ended {
        Ok(()) => Ok(result),
        Err(error) => {
            // Without a PTY nothing hangs up on the command; ask it to go, and do not wait for that.
            let goodbye = async {
                let _ = channel.signal(Sig::TERM).await;
                let _ = channel.close().await;
            };
            let _ = timeout(Duration::from_secs(1), goodbye).await;
            Err(ExecError { error, partial: result })
        }
    }
}

fn no_channel_in_time() -> Obstacle {
    Obstacle::passing(
        Stage::Timeout,
        "no channel was opened in time: the VM does not answer on its SSH connection",
    )
}

#[derive(Default)]
struct Seen {
    stdout: Bounded,
    stderr: Bounded,
    end: Option<CommandEnd>,
}

impl Seen {
    fn take(&mut self, message: ChannelMsg) -> Result<(), Obstacle> {
        match message {
            ChannelMsg::Data { data } => self.stdout.push(&data)?,
            ChannelMsg::ExtendedData { data, ext: 1 } => self.stderr.push(&data)?,
            ChannelMsg::ExitStatus { exit_status } => {
                self.end = Some(CommandEnd::Exited(exit_status))
            }
            ChannelMsg::ExitSignal { signal_name, .. } => {
                self.end = Some(CommandEnd::Signalled(name(&signal_name)))
            }
            // sshd leaves the channel open: nothing more would come.
            ChannelMsg::Failure => {
                return Err(Obstacle::lasting(Stage::Channel, "sshd refuses to run commands")
                    .hint("is there a ForceCommand, or no shell for this user?"));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&self) -> Result<(), Obstacle> {
        match &self.end {
            Some(_) => Ok(()),
            None => {
                Err(Obstacle::passing(Stage::Channel, "the channel closed without an exit status"))
            }
        }
    }
}

fn name(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    }
}

#[derive(Default)]
struct Bounded {
    kept: Vec<u8>,
    lost: usize,
}

impl Bounded {
    fn push(&mut self, data: &[u8]) -> Result<(), Obstacle> {
        let fits = data.len().min(KEPT - self.kept.len());
        self.kept.extend_from_slice(&data[..fits]);
        self.lost += data.len() - fits;
        if self.lost > LOST_AT_MOST {
            let limit = (KEPT + LOST_AT_MOST) / 1024 / 1024;
            return Err(Obstacle::passing(
                Stage::Answer,
                format!("the command printed more than {limit} MiB and was ended"),
            )
            .hint("let the command print less, with `head` or `grep -q`"));
        }
        Ok(())
    }

    fn text(&self) -> Captured {
        Captured { text: String::from_utf8_lossy(&self.kept).into_owned(), lost: self.lost }
    }
}
