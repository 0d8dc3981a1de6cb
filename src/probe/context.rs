//! What a probe has to look with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::fact::{Fact, Reading};
use super::turns::Load;
use super::vm::LiveVm;
use crate::secrets::Secret;
pub use crate::ssh::exec::Unanswered;

/// The VMs, the password and the limits of one attempt.
#[derive(Clone)]
pub struct ProbeContext {
    /// The VM.
    pub vm: Arc<LiveVm>,
    /// The other VMs that the assertion names; VMs that are down are missing.
    pub others: HashMap<String, Arc<LiveVm>>,
    /// For `become`.
    pub sudo_password: Option<Secret>,
    /// How long each question may take, from its turn.
    pub limit: Duration,
    /// Whether to ask while nobody else does.
    pub alone: bool,
    /// What was read before does not count.
    pub fresh_since: Instant,
    /// How the attempt goes.
    pub course: Arc<Course>,
}

/// How an attempt goes.
#[derive(Debug, Default)]
pub struct Course(Mutex<Answers>);

/// What is known of the answers to its questions.
#[derive(Debug, Default, Clone, Copy)]
pub struct Answers {
    /// How long the slowest took, from its turn.
    pub slowest: Duration,
    /// Whether a VM had other questions to answer at the same time.
    pub crowded: bool,
}

impl Course {
    /// What is known by now.
    pub fn answers(&self) -> Answers {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, took: Duration, crowded: bool) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.slowest = answers.slowest.max(took);
        answers.crowded |= crowded;
    }
}

impl ProbeContext {
    /// Asks the VM in a turn of its own; `ask` gets the deadline.
    pub(super) async fn ask<T, F>(&self, load: Load, ask: impl FnOnce(Instant) -> F) -> T
    where
        F: Future<Output = T>,
    {
        let turn = self.vm.turn(load, self.alone).await;
        let answer = ask(turn.began() + self.limit).await;
        self.course.note(turn.began().elapsed(), turn.was_crowded());
        turn.end(self.limit);
        answer
    }

    /// A fact about `vm`, read anew if what is known is too old.
    pub(super) async fn fact<T, F>(
        &self,
        vm: &LiveVm,
        fact: &Fact<T>,
        read: impl FnOnce(Instant) -> F,
    ) -> Result<T, Unanswered>
    where
        T: Clone,
        F: Future<Output = Result<T, Unanswered>>,
    {
        let reading = || async { vm.read(self.alone, self.limit, read).await };
        let Reading { took, crowded, result, .. } = fact.get(self.fresh_since, reading).await;
        self.course.note(took, crowded);
        result
    }
}
