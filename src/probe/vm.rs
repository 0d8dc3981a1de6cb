//! A VM that answers: its connection, the turns of those who ask it, and what it answered to all.

use std::sync::Arc;
use std::time::Duration;

use super::fact::{Fact, Reading};
use super::shell::LoginShell;
use super::turns::{Load, Turn, Turns};
use super::wanted::Wanted;
use crate::assertion::Seen;
use crate::assertion::account::Accounts;
use crate::assertion::facts::{Clock, PeerIdentity};
use crate::assertion::file::Files;
use crate::assertion::file_contains::Contents;
use crate::assertion::package::Packages;
use crate::assertion::port_listening::Listeners;
use crate::assertion::process_running::Processes;
use crate::assertion::service::Services;
use crate::command::CommandResult;
use crate::record::Pace;
use crate::ssh::Session;
use crate::ssh::exec::{Unanswered, exec};
use tokio::time::Instant;

/// A VM that is logged in to and runs commands.
pub struct LiveVm {
    /// The connection.
    pub session: Arc<Session>,
    turns: Turns,
    /// What the run asks about it.
    pub(super) wanted: Arc<Wanted>,
    pub(super) listeners: Fact<Listeners>,
    pub(super) identity: Fact<PeerIdentity>,
    pub(super) clock: Fact<Clock>,
    pub(super) services: Fact<Seen<Services>>,
    pub(super) processes: Fact<Seen<Processes>>,
    pub(super) packages: Fact<Seen<Packages>>,
    pub(super) accounts: Fact<Seen<Accounts>>,
    pub(super) files: ByUser<Seen<Files>>,
    pub(super) contents: ByUser<Seen<Contents>>,
}

/// What the user who logs in sees, and what root sees.
pub(super) struct ByUser<T> {
    own: Fact<T>,
    root: Fact<T>,
}

impl<T> Default for ByUser<T> {
    fn default() -> Self {
        Self { own: Fact::default(), root: Fact::default() }
    }
}

impl<T> ByUser<T> {
    pub(super) fn fact(&self, run_as_root: bool) -> &Fact<T> {
        if run_as_root { &self.root } else { &self.own }
    }
}

impl LiveVm {
    /// A VM that was just logged in to.
    pub fn new(session: Arc<Session>, shell: &LoginShell, wanted: Arc<Wanted>) -> Self {
        Self {
            session,
            wanted,
            turns: Turns::new(shell.cpus),
            listeners: Fact::default(),
            identity: Fact::default(),
            clock: Fact::default(),
            services: Fact::default(),
            processes: Fact::default(),
            packages: Fact::default(),
            accounts: Fact::default(),
            files: ByUser::default(),
            contents: ByUser::default(),
        }
    }

    /// How quickly it has answered until now; `None` if it was asked nothing.
    pub fn pace(&self) -> Option<Pace> {
        self.turns.pace()
    }

    /// Waits for a turn; `alone` waits until nobody else keeps the VM busy.
    pub(super) async fn turn(&self, load: Load, alone: bool) -> Turn {
        if alone { self.turns.take_alone(load).await } else { self.turns.take(load).await }
    }

    /// Runs a command in a turn of its own, for at most `limit` from its beginning.
    pub(super) async fn run(&self, command: &str, limit: Duration) -> Option<CommandResult> {
        let ask = |deadline| exec(&self.session, command, None, deadline);
        self.read(false, limit, ask).await.result.ok()
    }

    /// Reads something in a turn of its own: `read` gets the deadline.
    pub(super) async fn read<T, F>(
        &self,
        alone: bool,
        limit: Duration,
        read: impl FnOnce(Instant) -> F,
    ) -> Reading<T>
    where
        F: Future<Output = Result<T, Unanswered>>,
    {
        let turn = self.turn(Load::Command, alone).await;
        let began = turn.began();
        let result = read(began + limit).await;
        let crowded = turn.was_crowded();
        turn.end(limit);
        let took = began.elapsed();
        Reading { began, took, crowded, result }
    }
}
