//! Runs one command in a channel of its own: no PTY, standard output and error apart.

use std::time::Duration;

use russh::{ChannelMsg, Sig};
use thiserror::Error;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use super::channel::CommandChannel;
use super::envelope::{Opened, Printed, Received};
use super::session::Session;
use crate::command::{CommandEnd, CommandResult};
use crate::obstacle::{Obstacle, Stage};

/// How many bytes of each stream are kept for judging.
const KEPT: usize = 1024 * 1024;

/// A command that prints this many bytes more is ended: it would go on for ever.
const MAX_LOST: usize = 8 * 1024 * 1024;

/// How many of the last bytes are kept, too: they say how the command ended.
const TAIL: usize = 512;

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
    open_exec(session, command, sudo_password, deadline).await.map(|opened| opened.result)
}

/// The same, with what the login shell printed around the command.
pub async fn open_exec(
    session: &Session,
    command: &str,
    sudo_password: Option<&[u8]>,
    deadline: Instant,
) -> Result<Opened, Unanswered> {
    let mut channel = start(session, command, sudo_password, deadline).await?;
    channel.end_input(b"").await?;
    let mut transcript = Transcript::default();
    let ended = timeout_at(deadline, listen(&mut channel, &mut transcript)).await;
    finish(session, channel, transcript, ended).await
}

/// Runs a command that prints a line when it is ready, and waits for a line on its standard input
/// before it does its work. Returns how long it took to become ready, too.
pub async fn exec_when_ready(
    session: &Session,
    command: &str,
    deadline: Instant,
) -> Result<(CommandResult, Duration), Unanswered> {
    let called = Instant::now();
    let mut channel = start(session, command, None, deadline).await?;
    let mut transcript = Transcript::default();
    let mut ready_after = Duration::ZERO;
    let conversation = async {
        while !session.envelope.has_a_line(&transcript.0.stdout) {
            match channel.next().await {
                Some(ChannelMsg::Close) => return Ok(()),
                None => return Err(Obstacle::lost()),
                Some(message) => transcript.add(message)?,
            }
        }
        ready_after = called.elapsed();
        channel.end_input(b"\n").await?;
        listen(&mut channel, &mut transcript).await
    };
    let ended = timeout_at(deadline, conversation).await;
    let opened = finish(session, channel, transcript, ended).await?;
    Ok((opened.result, ready_after))
}

async fn start(
    session: &Session,
    command: &str,
    sudo_password: Option<&[u8]>,
    deadline: Instant,
) -> Result<CommandChannel, Obstacle> {
    let opening = timeout_at(deadline, session.session_channel(deadline)).await;
    let mut channel = opening.map_err(|_| no_channel_in_time())??;
    channel.start(&session.envelope.wrap(command), sudo_password).await?;
    Ok(channel)
}

async fn finish(
    session: &Session,
    channel: CommandChannel,
    transcript: Transcript,
    ended: Result<Result<(), Obstacle>, Elapsed>,
) -> Result<Opened, Unanswered> {
    channel.end().await;
    let opened = session.envelope.open(&transcript.0);
    let ran = match ended {
        Ok(ended) => ended.and_then(|()| opened.check()),
        Err(_) => Err(late(&opened)),
    };
    match ran {
        Ok(()) => Ok(opened),
        Err(obstacle) => Err(Unanswered { obstacle, partial: Some(opened.result) }),
    }
}

fn late(opened: &Opened) -> Obstacle {
    if opened.began {
        return Obstacle::passing(Stage::Timeout, "the command did not end in time");
    }
    let said = opened.said();
    Obstacle::passing(
        Stage::Timeout,
        format!("the login shell did not start the command in time{said}"),
    )
    .hint("does .bashrc, or a script of sshd (sshrc, ForceCommand), wait for something?")
}

/// Takes down what the command prints until its channel closes.
async fn listen(channel: &mut CommandChannel, transcript: &mut Transcript) -> Result<(), Obstacle> {
    loop {
        match channel.next().await {
            // Data can still come after the exit status.
            Some(ChannelMsg::Close) => return Ok(()),
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
struct Transcript(Received);

impl Transcript {
    fn add(&mut self, message: ChannelMsg) -> Result<(), Obstacle> {
        match message {
            ChannelMsg::Data { data } => self.0.stdout.push(&data)?,
            ChannelMsg::ExtendedData { data, ext: 1 } => self.0.stderr.push(&data)?,
            ChannelMsg::ExitStatus { exit_status } => {
                self.0.end = Some(CommandEnd::Exited(exit_status));
            }
            ChannelMsg::ExitSignal { signal_name, .. } => {
                self.0.end = Some(CommandEnd::Signalled(name(&signal_name)));
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
}

fn name(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    }
}

impl Printed {
    fn push(&mut self, data: &[u8]) -> Result<(), Obstacle> {
        let fits = data.len().min(KEPT - self.kept.len());
        self.kept.extend_from_slice(&data[..fits]);
        self.lost += data.len() - fits;
        self.tail.extend_from_slice(&data[data.len().saturating_sub(TAIL)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
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
}
