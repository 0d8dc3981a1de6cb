//! Repeats one assertion until it holds or its time is up, and keeps every attempt.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::link::Link;
use super::links::Links;
use super::shared::Shared;
use crate::assertion::facts::PeerReading;
use crate::assertion::peer::PeerSeen;
use crate::assertion::{Expectation, Judgement, Observation};
use crate::command::CommandResult;
use crate::obstacle::{Obstacle, Stage};
use crate::outcome::{Attempt, Cause, Outcome, Output, Stream, Verdict, obstacle_of};
use crate::probe::{Answers, LiveVm, ProbeContext, Unanswered, health, observe};
use crate::record::Stop;
use crate::spec::plan::PlannedAssertion;
use crate::ssh::Session;

/// Between two attempts: first this long, then twice as long each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Between two looks at what must hold for a while.
const HOLDING_PAUSE: Duration = Duration::from_secs(1);

/// What was seen at the last moment is judged all the same.
const JUDGING: Duration = Duration::from_secs(5);

/// An attempt that took this long beside others, and did not pass, is made again alone.
const LONG: Duration = Duration::from_secs(5);

/// What somebody else read so shortly before the first attempt is as good as a reading of its own.
const SHARED: Duration = Duration::from_secs(1);

/// Runs one assertion to its outcome.
pub(super) async fn run(
    shared: &Shared,
    links: &Links,
    link: &Link,
    assertion: &PlannedAssertion,
) -> Outcome {
    go_on(shared, links, link, assertion, None).await
}

/// Runs one assertion to its outcome; the first attempt may have looked already.
pub(super) async fn go_on(
    shared: &Shared,
    links: &Links,
    link: &Link,
    assertion: &PlannedAssertion,
    look: Option<Look>,
) -> Outcome {
    let mut attempts = Attempts {
        shared,
        links,
        link,
        assertion,
        look,
        made: Vec::new(),
        last: None,
        output: None,
        observation: None,
    };
    let stopped = tokio::select! {
        biased;
        stop = shared.stop.requested() => Err(stop),
        verdict = attempts.until_it_holds() => Ok(verdict),
    };
    let verdict = stopped.unwrap_or_else(|stop| attempts.verdict_at_stop(stop));
    attempts.outcome(verdict)
}

/// What an attempt saw.
pub(super) struct Look {
    seen: Result<Observation, Unanswered>,
    /// From its turn to the slowest answer.
    began: Instant,
    took: Duration,
    /// Whether the VM had other questions to answer at the same time.
    crowded: bool,
}

impl Look {
    /// A look that has just ended.
    fn done(seen: Result<Observation, Unanswered>, context: &ProbeContext) -> Self {
        // Without the time in our own queue.
        let Answers { slowest: took, crowded } = context.course.answers();
        let now = Instant::now();
        Self { seen, began: now.checked_sub(took).unwrap_or(now), took, crowded }
    }

    /// A look at one VM, to be compared with the others.
    pub(super) fn at_a_peer(seen: Result<PeerReading, Unanswered>, context: &ProbeContext) -> Self {
        let seen = seen.map(|own| Observation::Peer(PeerSeen { own, facts: Arc::default() }));
        Self::done(seen, context)
    }
}

/// What an attempt came to, and whether another one can end differently.
struct Tried {
    verdict: Verdict,
    may_change: bool,
}

struct Attempts<'a> {
    shared: &'a Shared,
    links: &'a Links,
    link: &'a Link,
    assertion: &'a PlannedAssertion,
    /// What the first attempt has seen already.
    look: Option<Look>,
    made: Vec<Attempt>,
    /// The verdict of the last attempt.
    last: Option<Verdict>,
    output: Option<Output>,
    observation: Option<Observation>,
}

impl Attempts<'_> {
    async fn until_it_holds(&mut self) -> Verdict {
        let until = Instant::now() + self.wait();
        let mut pause = FIRST_PAUSE;
        loop {
            let Tried { verdict, may_change } = self.try_and_hold(until).await;
            let left = until.saturating_duration_since(Instant::now());
            let settled = matches!(verdict, Verdict::Passed | Verdict::Blocked(_));
            if settled || !may_change || left.is_zero() {
                return verdict;
            }
            if let Some(given_up) = self.failed_for_good(&verdict, until).await {
                return given_up;
            }
            self.link.seat().rest(sleep(pause.min(left))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn wait(&self) -> Duration {
        let settings = self.shared.settings;
        if settings.once {
            return Duration::ZERO;
        }
        self.assertion.wait.unwrap_or(settings.wait)
    }

    /// One attempt; where the suite says `consistently`, one after the other for that time.
    async fn try_and_hold(&mut self, until: Instant) -> Tried {
        let mut tried = self.try_once(until).await;
        let Some(span) = self.assertion.consistently else { return tried };
        let started = Instant::now();
        while tried.verdict == Verdict::Passed && started.elapsed() < span {
            sleep(HOLDING_PAUSE.min(span.saturating_sub(started.elapsed()))).await;
            let held = started.elapsed();
            tried = self.try_once(until).await;
            if let Verdict::Failed(mismatch) = &mut tried.verdict {
                let [held, span] = [held, span].map(|time| format!("{:.1} s", time.as_secs_f64()));
                mismatch.message = format!("held for {held} of {span}, then: {}", mismatch.message);
            }
        }
        tried
    }

    /// One attempt. If it took long beside other questions and did not pass, the VM may only have
    /// been busy with them: then another one follows while nobody else asks.
    async fn try_once(&mut self, until: Instant) -> Tried {
        let (tried, busy) = self.ask(until, false).await;
        if !busy {
            return tried;
        }
        self.ask(until, true).await.0
    }

    /// Asks, with an entry in the list of attempts. The second value says whether being busy can
    /// explain the verdict.
    async fn ask(&mut self, until: Instant, alone: bool) -> (Tried, bool) {
        let (look, vm) = match self.look.take() {
            Some(look) => (look, None),
            None => match self.look_now(until, alone).await {
                Ok((look, vm)) => (look, Some(vm)),
                Err(cause) => {
                    return (Tried { verdict: Verdict::Blocked(cause), may_change: false }, false);
                }
            },
        };
        let Look { seen, began, took, crowded } = look;
        let looked = Instant::now();
        let seen = seen.map(|seen| self.among_peers(seen));
        let dead = match vm {
            Some(vm) if lost_the_vm(&seen, &vm.session).await => Some(vm),
            _ => None,
        };
        let lost = dead.is_some();
        let tried = if let Some(dead) = dead {
            self.abandon(&dead, until).await
        } else {
            self.keep(&seen);
            self.judge(seen).await
        };
        let is_late = took >= LONG.min(self.assertion.timeout);
        let busy = crowded
            && (is_late || self.assertion.expectation.is_about_time())
            && matches!(tried.verdict, Verdict::Failed(_) | Verdict::Errored(_))
            && !lost;
        self.write_down(began, took + looked.elapsed(), &tried.verdict);
        (tried, busy)
    }

    /// Looks at the VM, and at others that the assertion needs.
    async fn look_now(&self, until: Instant, alone: bool) -> Result<(Look, Arc<LiveVm>), Cause> {
        self.link.seat().take().await;
        // The other VMs may take long to connect to; the own connection may be gone by then.
        let others = self.others(until).await;
        let vm = self.link.vm(self.shared, until).await?;
        let context = ProbeContext {
            vm,
            others,
            sudo_password: self.link.sudo_password(),
            limit: self.assertion.timeout,
            alone,
            fresh_since: self.fresh_since(Instant::now()),
            course: Arc::default(),
        };
        let seen = observe(&self.assertion.expectation, &context).await;
        if let Ok(Observation::Peer(seen)) = &seen
            && self.assertion.expectation.shares_its_reading()
        {
            self.shared.peers.note(self.link.name(), seen.own.clone());
        }
        Ok((Look::done(seen, &context), context.vm))
    }

    /// What was seen of this VM, beside what is known of the others by now.
    fn among_peers(&self, seen: Observation) -> Observation {
        match seen {
            Observation::Peer(PeerSeen { own, .. }) => {
                Observation::Peer(PeerSeen { own, facts: self.shared.peers.known() })
            }
            other => other,
        }
    }

    /// The first attempt shares what others read at the same time; the next ones want to know
    /// whether something has changed.
    fn fresh_since(&self, now: Instant) -> Instant {
        if self.made.is_empty() { now.checked_sub(SHARED).unwrap_or(now) } else { now }
    }

    /// The connections to other VMs that the assertion needs; those that are given up are missing.
    async fn others(&self, until: Instant) -> HashMap<String, Arc<LiveVm>> {
        let mut others = HashMap::new();
        for name in self.assertion.expectation.others() {
            let Some(link) = self.links.get(name) else { continue };
            if let Ok(vm) = link.vm(self.shared, until).await {
                others.insert(name.to_owned(), vm);
            }
        }
        others
    }

    /// Blocked for good only if the VM is given up; otherwise the next attempt connects anew.
    async fn abandon(&self, vm: &LiveVm, until: Instant) -> Tried {
        let cause = self.link.abandon(self.shared, vm, until).await;
        if Instant::now() < until {
            Tried { verdict: Verdict::Errored(cause), may_change: true }
        } else {
            Tried { verdict: Verdict::Blocked(cause), may_change: false }
        }
    }

    fn keep(&mut self, seen: &Result<Observation, Unanswered>) {
        (self.output, self.observation) = match seen {
            // What a command printed can be large: a bounded copy is enough.
            Ok(Observation::Command(result)) => (Some(output(result)), None),
            // Reports show these.
            Ok(seen @ (Observation::Wire(_) | Observation::Peer(_))) => (None, Some(seen.clone())),
            Ok(_) => (None, None),
            Err(Unanswered { partial, .. }) => (partial.as_ref().map(output), None),
        };
    }

    async fn judge(&self, seen: Result<Observation, Unanswered>) -> Tried {
        let observation = match seen {
            Ok(observation) => observation,
            Err(Unanswered { obstacle, .. }) => return self.errored(obstacle),
        };
        let expectation = self.assertion.expectation.clone();
        let judgement = if expectation.runs_a_program() {
            match self.judge_aside(expectation, observation).await {
                Some(judgement) => judgement,
                None => return self.errored(endless_judging()),
            }
        } else {
            expectation.judge(&observation)
        };
        let verdict = match judgement {
            Judgement::Holds => Verdict::Passed,
            Judgement::Differs(mismatch) => Verdict::Failed(mismatch),
            Judgement::Unclear(unclear) => return self.errored(obstacle_of(unclear)),
        };
        Tried { verdict, may_change: true }
    }

    /// Judges beside the runtime: a jq program that never ends must hold up neither the deadline
    /// nor other VMs. `None` if it does not end in time.
    async fn judge_aside(
        &self,
        expectation: Arc<Expectation>,
        observation: Observation,
    ) -> Option<Judgement> {
        let judging = tokio::task::spawn_blocking(move || expectation.judge(&observation));
        match timeout(JUDGING.max(self.assertion.timeout), judging).await {
            Ok(Ok(judgement)) => Some(judgement),
            Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            Err(_) => None,
        }
    }

    fn errored(&self, obstacle: Obstacle) -> Tried {
        let may_change = obstacle.may_pass;
        let obstacle = with_limit(obstacle, self.assertion.timeout);
        Tried { verdict: Verdict::Errored(self.link.cause(obstacle)), may_change }
    }

    /// A service that systemd has given up on does not come back by waiting.
    async fn failed_for_good(&self, verdict: &Verdict, until: Instant) -> Option<Verdict> {
        let (Some(unit), Verdict::Failed(mismatch)) = (&self.assertion.unit, verdict) else {
            return None;
        };
        let vm = self.link.vm(self.shared, until).await.ok()?;
        let seen = health::services(&vm, &[unit]).await;
        let service = seen.iter().find(|service| service.failed_for_good())?;
        let mut mismatch = mismatch.clone();
        mismatch.message = format!(
            "{}; systemd has given up on {unit}, so bootproof stopped waiting: {}",
            mismatch.message,
            service.describe()
        );
        Some(Verdict::Failed(mismatch))
    }

    fn write_down(&mut self, began: Instant, took: Duration, verdict: &Verdict) {
        self.made.push(Attempt {
            started_ms: milliseconds(began.saturating_duration_since(self.shared.start)),
            duration_ms: milliseconds(took),
            verdict: verdict.kind(),
            message: verdict.message(),
        });
        self.last = Some(verdict.clone());
    }

    /// The run ended first: what was seen last is the answer, if anything was.
    fn verdict_at_stop(&self, stop: Stop) -> Verdict {
        self.last.clone().unwrap_or_else(|| Verdict::NotRun(stop.to_string()))
    }

    fn outcome(self, verdict: Verdict) -> Outcome {
        let duration = match (self.made.first(), self.made.last()) {
            (Some(first), Some(last)) => {
                Duration::from_millis(last.started_ms + last.duration_ms - first.started_ms)
            }
            _ => Duration::ZERO,
        };
        let (output, observation) = (self.output, self.observation);
        Outcome { verdict, attempts: self.made, duration, output, observation }
    }
}

/// Whether nothing came back, and the VM does not answer either when it is asked on the same
/// connection.
async fn lost_the_vm(seen: &Result<Observation, Unanswered>, session: &Session) -> bool {
    let Err(Unanswered { obstacle, .. }) = seen else { return false };
    matches!(obstacle.stage, Stage::Timeout | Stage::Channel)
        && !session.is_closed()
        && session.answers().await.is_err()
}

/// Adds the limit that was exceeded to the message.
fn with_limit(obstacle: Obstacle, limit: Duration) -> Obstacle {
    if obstacle.stage != Stage::Timeout {
        return obstacle;
    }
    let limit = humantime::format_duration(limit);
    Obstacle { message: format!("{} (timeout {limit})", obstacle.message), ..obstacle }
}

fn endless_judging() -> Obstacle {
    Obstacle::lasting(Stage::Timeout, "bootproof could not judge the answer in time")
        .hint("does the jq program end?")
}

fn output(result: &CommandResult) -> Output {
    Output {
        stdout: Stream::bounded(&result.stdout.text, result.stdout.lost),
        stderr: Stream::bounded(&result.stderr.text, result.stderr.lost),
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
