//! Runs one command in a channel of its own: no PTY, standard output and error apart.

use russh::{ChannelMsg, Sig};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::channel::CommandChannel;
use super::session::Session;
use crate::command::{Captured, CommandEnd, CommandResult};
use crate::obstacle::{Obstacle, Stage};

/// How many bytes of each stream are kept for judging.
const KEPT: usize = 1024 * 1024;

/// A command that prints this many bytes more is ended: it would go on for ever.
const MAX_LOST: usize = 8 * 1024 * 1024;

/// A question to a VM that got no complete answer.
#[derive(Debug, Clone, Error)]
#[error("{obstacle}")]
pub struct Unanswered {
    /// Why.
    pub obstacle: Obstacle,
    /// What a command had printed until then.
    pub partial: Option<CommandResult>,
}

impl From<Obstacle> for Unanswered {
    fn from(obstacle: Obstacle) -> Self {
        Self { obstacle, partial: None }
    }
}

/// Runs `command` by the login shell until `deadline`. `sudo_password` goes to its standard input,
/// which then ends. If the command does not end in time, or if the future is dropped, the command
/// is ended on the VM.
pub async fn exec(
    session: &Session,
    command: &str,
    sudo_password: Option<&[u8]>,
    deadline: Instant,
) -> Result<CommandResult, Unanswered> {
    let opening = timeout_at(deadline, session.session_channel(deadline)).await;
    let mut channel = opening.map_err(|_| no_channel_in_time())??;
    channel.start(command, sudo_password).await?;
    let mut transcript = Transcript::default();
    let ended = match timeout_at(deadline, listen(&mut channel, &mut transcript)).await {
        Ok(ended) => ended,
        Err(_) => Err(Obstacle::passing(Stage::Timeout, "the command did not end in time")),
    };
    channel.end().await;
    let result = transcript.into_result();
    match ended {
        Ok(()) => Ok(result),
        Err(obstacle) => Err(Unanswered { obstacle, partial: Some(result) }),
    }
}

/// Takes down what the command prints until its channel closes.
async fn listen(channel: &mut CommandChannel, transcript: &mut Transcript) -> Result<(), Obstacle> {
    loop {
        match channel.next().await {
            // Data can still come after the exit status.
            Some(ChannelMsg::Close) => return transcript.check_end(),
            None => return Err(Obstacle::lost()),
            Some(message) => transcript.add(message)?,
        }
    }
}

fn no_channel_in_time() -> Obstacle {
    Obstacle::passing(
        Stage::Timeout,
        "the VM did not open a channel in time: it does not answer on its SSH connection",
    )
}

/// What came on a channel.
#[derive(Default)]
struct Transcript {
    stdout: Bounded,
    stderr: Bounded,
    end: Option<CommandEnd>,
}

impl Transcript {
    fn add(&mut self, message: ChannelMsg) -> Result<(), Obstacle> {
        match message {
            ChannelMsg::Data { data } => self.stdout.push(&data)?,
            ChannelMsg::ExtendedData { data, ext: 1 } => self.stderr.push(&data)?,
            ChannelMsg::ExitStatus { exit_status } => {
                self.end = Some(CommandEnd::Exited(exit_status));
            }
            ChannelMsg::ExitSignal { signal_name, .. } => {
                self.end = Some(CommandEnd::Signalled(name(&signal_name)));
            }
            // sshd leaves the channel open, and nothing more comes on it.
            ChannelMsg::Failure => {
                return Err(Obstacle::lasting(Stage::Channel, "sshd refuses to run commands")
                    .hint("is there a ForceCommand, or no shell for this user?"));
            }
            _ => {}
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), Obstacle> {
        if self.end.is_some() {
            return Ok(());
        }
        Err(Obstacle::passing(Stage::Channel, "the channel closed without an exit status"))
    }

    fn into_result(self) -> CommandResult {
        CommandResult {
            end: self.end.unwrap_or_default(),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
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
        if self.lost > MAX_LOST {
            let limit = (KEPT + MAX_LOST) / 1024 / 1024;
            return Err(Obstacle::passing(
                Stage::Answer,
                format!("the command printed more than {limit} MiB, so bootproof ended it"),
            )
            .hint("let the command print less, with `head` or `grep -q`"));
        }
        Ok(())
    }

    fn text(&self) -> Captured {
        Captured { text: String::from_utf8_lossy(&self.kept).into_owned(), lost: self.lost }
    }
}
