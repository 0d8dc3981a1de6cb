//! What is known of one VM so far; several tasks write it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::health::identity::SystemIdentity;
use crate::outcome::Cause;
use crate::probe::shell::LoginShell;
use crate::record::{Pace, ShellNoise, Timeline, VmRecord};
use crate::spec::duration::Span;
use crate::spec::inventory::Readiness;
use crate::ssh::{Milestone, Session};

/// What systemd says of a boot.
pub(super) struct BootState {
    /// `starting`, `running`, `degraded`, ...; `None` without systemd.
    pub(super) system: Option<String>,
    /// When it was over, from the start of the run; `None` while it goes on.
    pub(super) ended_after: Option<Duration>,
}

#[derive(Default)]
pub(super) struct VmLog(Mutex<VmRecord>);

impl VmLog {
    pub(super) fn change(&self, change: impl FnOnce(&mut VmRecord)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What is known by now.
    pub(super) fn snapshot(&self) -> VmRecord {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note_connect(&self) {
        self.change(|record| record.connects += 1);
    }

    /// The first time counts: a VM that reboots in the middle has come up all the same.
    pub(super) fn note_milestone(&self, milestone: Milestone, at: Duration) {
        self.change(|record| {
            let step = match milestone {
                Milestone::Tcp => &mut record.timeline.tcp,
                Milestone::Banner => &mut record.timeline.banner,
                Milestone::Login => &mut record.timeline.login,
            };
            step.get_or_insert(at);
        });
    }

    pub(super) fn note_login(&self, session: &Session) {
        self.change(|record| {
            record.banner = Some(session.banner.clone());
            record.host_key = Some(session.fingerprint.clone());
            // A key that was accepted in this run stays accepted, also after a reconnect.
            record.trust.get_or_insert(session.trust);
        });
    }

    /// The last login counts.
    pub(super) fn note_shell(&self, shell: &LoginShell) {
        let noise = shell.noise.iter().map(|noise| ShellNoise {
            place: noise.place.to_owned(),
            text: noise.text.trim().to_owned(),
        });
        let noise = noise.collect();
        self.change(|record| {
            record.cpus = Some(shell.cpus);
            record.noise = noise;
        });
    }

    pub(super) fn note_pace(&self, pace: Option<Pace>) {
        self.change(|record| record.pace = pace.or(record.pace));
    }

    pub(super) fn note_first_look(&self, identity: SystemIdentity, boot: BootState) {
        self.change(|record| {
            record.identity = identity;
            record.timeline.system = boot.system;
            record.timeline.running = boot.ended_after;
        });
    }

    pub(super) fn note_cause(&self, cause: &Cause) {
        self.change(|record| record.cause = Some(cause.clone()));
    }

    /// The boot step that has used up its budget, `elapsed` after the start of the run.
    pub(super) fn spent_budget(&self, budgets: Readiness, elapsed: Duration) -> Option<String> {
        let step = BootStep::next(&self.snapshot().timeline, budgets);
        let Span(budget) = step.budget.filter(|budget| elapsed > step.since + budget.0)?;
        let budget = humantime::format_duration(budget);
        Some(format!("the readiness limit of {budget} for `{}` has passed", step.name))
    }
}

/// A step of a boot that is waited for.
struct BootStep {
    name: &'static str,
    budget: Option<Span>,
    /// When the step before it was reached, from the start of the run.
    since: Duration,
}

impl BootStep {
    fn next(timeline: &Timeline, budgets: Readiness) -> Self {
        let (name, budget, since) = match (timeline.tcp, timeline.banner, timeline.login) {
            (None, ..) => ("tcp", budgets.tcp, Duration::ZERO),
            (Some(tcp), None, _) => ("banner", budgets.banner, tcp),
            (_, Some(banner), None) => ("login", budgets.login, banner),
            (_, _, Some(login)) => ("running", budgets.running, login),
        };
        Self { name, budget, since }
    }
}
