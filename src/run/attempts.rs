//! Tries one assertion until it holds or its time is up, and keeps every try.

use crate::obstacle::{Obstacle, Stage};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::Shared;
use super::link::Link;
use crate::assertion::wire::WireSeen;
use crate::assertion::{Expectation, Judgement, Observation, Unclear};
use crate::command::CommandResult;
use crate::outcome::{Attempt, Cause, Outcome, Output, Stream, Verdict};
use crate::probe::{ProbeContext, Unanswered, health, observe};
use crate::record::Stop;
use crate::spec::plan::PlannedAssertion;
use crate::ssh::Session;

/// Between two tries: first so long, then twice as long each time, up to two seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Between two looks at what must hold for a while.
const HOLDING_PAUSE: Duration = Duration::from_secs(1);

/// What was seen at the last moment is judged all the same.
const JUDGING: Duration = Duration::from_secs(5);

/// Runs one assertion to its outcome.
pub(super) async fn run(shared: &Shared, link: &Link, assertion: &PlannedAssertion) -> Outcome {
    let mut tries = Tries { shared, attempts: Vec::new(), output: None, wire: None };
    let stopped = tokio::select! {
        biased;
        stop = shared.stop.pulled() => Err(stop),
        verdict = tries.until_it_holds(link, assertion) => Ok(verdict),
    };
    let verdict = stopped.unwrap_or_else(|stop| tries.stopped(stop));
    let duration = match (tries.attempts.first(), tries.attempts.last()) {
        (Some((first, _)), Some((last, _))) => {
            Duration::from_millis(last.started_ms + last.duration_ms - first.started_ms)
        }
        _ => Duration::ZERO,
    };
    let attempts = tries.attempts.into_iter().map(|(attempt, _)| attempt).collect();
    Outcome { verdict, attempts, duration, output: tries.output, wire: tries.wire }
}

struct Tries<'a> {
    shared: &'a Shared,
    attempts: Vec<(Attempt, Verdict)>,
    output: Option<Output>,
    wire: Option<WireSeen>,
}

impl Tries<'_> {
    async fn until_it_holds(&mut self, link: &Link, assertion: &PlannedAssertion) -> Verdict {
        let settings = self.shared.settings;
        let wait =
            if settings.once { Duration::ZERO } else { assertion.wait.unwrap_or(settings.wait) };
        if let Err(cause) = link.session(self.shared, self.shared.start + settings.waits()).await {
            return Verdict::Blocked(cause);
        }
        let until = Instant::now() + wait;
        let mut pause = FIRST_PAUSE;
        loop {
            let (verdict, may_pass) = self.try_and_hold(link, assertion, until).await;
            let left = until.saturating_duration_since(Instant::now());
            if matches!(verdict, Verdict::Passed | Verdict::Blocked(_))
                || !may_pass
                || left.is_zero()
            {
                return verdict;
            }
            if let Some(given_up) = hopeless(link, assertion, &verdict, self.shared, until).await {
                return given_up;
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// A try; where the suite says `consistently`, one after the other for so long.
    async fn try_and_hold(
        &mut self,
        link: &Link,
        assertion: &PlannedAssertion,
        until: Instant,
    ) -> (Verdict, bool) {
        let (mut verdict, mut may_pass) = self.try_once(link, assertion, until).await;
        let Some(span) = assertion.consistently else { return (verdict, may_pass) };
        let started = Instant::now();
        while verdict == Verdict::Passed && started.elapsed() < span {
            sleep(HOLDING_PAUSE.min(span.saturating_sub(started.elapsed()))).await;
            let held = started.elapsed();
            (verdict, may_pass) = self.try_once(link, assertion, until).await;
            if let Verdict::Failed(mismatch) = &mut verdict {
                let [held, span] = [held, span].map(|span| format!("{:.1} s", span.as_secs_f64()));
                mismatch.message = format!("held for {held} of {span}, then: {}", mismatch.message);
            }
        }
        (verdict, may_pass)
    }

    /// One try, written down; and whether another one can end differently.
    async fn try_once(
        &mut self,
        link: &Link,
        assertion: &PlannedAssertion,
        until: Instant,
    ) -> (Verdict, bool) {
        // The others may be long in coming; what was had before them may be gone by then.
        let others = self.others(&assertion.expectation, until).await;
        let session = match link.session(self.shared, until).await {
            Ok(session) => session,
            Err(cause) => return (Verdict::Blocked(cause), false),
        };
        let turns = session.clone();
        let _turn = turns.turn().await;
        let started = Instant::now();
        let deadline = Instant::now() + assertion.timeout;
        let context =
            ProbeContext { session, others, sudo_password: link.sudo_password(), deadline };
        let seen = observe(&assertion.expectation, &context).await;
        if let Err(Unanswered { obstacle, .. }) = &seen
            && matches!(obstacle.stage, Stage::Timeout | Stage::Channel)
            && !context.session.is_closed()
            && context.session.answers().await.is_err()
        {
            let verdict =
                Verdict::Blocked(link.abandon(self.shared, &context.session, until).await);
            self.write_down(started, &verdict);
            // Blocked for good only when the VM is given up; else it is connected to anew.
            return match verdict {
                Verdict::Blocked(cause) if Instant::now() < until => {
                    (Verdict::Errored(cause), true)
                }
                blocked => (blocked, false),
            };
        }
        self.output = match &seen {
            Ok(Observation::Command(result)) => Some(output(result)),
            Err(Unanswered { partial, .. }) => partial.as_ref().map(output),
            _ => None,
        };
        self.wire = match &seen {
            Ok(Observation::Wire(seen)) => Some(seen.clone()),
            _ => None,
        };
        let (verdict, may_pass) = judge(link, assertion, seen, deadline).await;
        self.write_down(started, &verdict);
        (verdict, may_pass)
    }

    /// The connections to other VMs; those that are given up are missing.
    async fn others(
        &self,
        expectation: &Expectation,
        until: Instant,
    ) -> HashMap<String, Arc<Session>> {
        let mut others = HashMap::new();
        for name in expectation.others() {
            let Some(link) = self.shared.links.get().and_then(|links| links.get(name)) else {
                continue;
            };
            if let Ok(session) = link.session(self.shared, until).await {
                others.insert(name.to_owned(), session);
            }
        }
        others
    }

    fn write_down(&mut self, started: Instant, verdict: &Verdict) {
        let attempt = Attempt {
            started_ms: milliseconds(started.saturating_duration_since(self.shared.start)),
            duration_ms: milliseconds(started.elapsed()),
            verdict: verdict.kind(),
            message: verdict.message(),
        };
        self.attempts.push((attempt, verdict.clone()));
    }

    /// The run ended first: what was seen last is the answer, if anything was.
    fn stopped(&self, stop: Stop) -> Verdict {
        match self.attempts.last() {
            Some((_, last)) => last.clone(),
            None => Verdict::NotRun(stop.to_string()),
        }
    }
}

/// A service that systemd has given up on does not come back by waiting.
async fn hopeless(
    link: &Link,
    assertion: &PlannedAssertion,
    verdict: &Verdict,
    shared: &Shared,
    until: Instant,
) -> Option<Verdict> {
    let (Some(unit), Verdict::Failed(mismatch)) = (&assertion.unit, verdict) else { return None };
    let session = link.session(shared, until).await.ok()?;
    let seen = health::services(&session, &[unit]).await;
    let service = seen.iter().find(|service| service.failed_for_good())?;
    let mut mismatch = mismatch.clone();
    mismatch.message = format!(
        "{}; {unit} has failed for good, so waiting is of no use: {}",
        mismatch.message,
        service.describe()
    );
    Some(Verdict::Failed(mismatch))
}

/// Judges beside the runtime: a jq program that never ends must hold up neither the deadline nor other VMs.
async fn judge(
    link: &Link,
    assertion: &PlannedAssertion,
    seen: Result<Observation, Unanswered>,
    deadline: Instant,
) -> (Verdict, bool) {
    let observation = match seen {
        Ok(observation) => observation,
        Err(Unanswered { obstacle, .. }) => {
            let may_pass = obstacle.may_pass;
            return (Verdict::Errored(link.cause(with_limit(obstacle, assertion))), may_pass);
        }
    };
    let expectation = assertion.expectation.clone();
    let judging = tokio::task::spawn_blocking(move || expectation.judge(&observation));
    let judgement = match timeout_at(deadline.max(Instant::now() + JUDGING), judging).await {
        Ok(Ok(judgement)) => judgement,
        Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        Err(_) => {
            let endless =
                Obstacle::lasting(Stage::Timeout, "what was seen could not be judged in time")
                    .hint("does the jq program end?");
            return (Verdict::Errored(link.cause(with_limit(endless, assertion))), false);
        }
    };
    let verdict = match judgement {
        Judgement::Holds => Verdict::Passed,
        Judgement::Differs(mismatch) => Verdict::Failed(mismatch),
        Judgement::Unclear(unclear) => Verdict::Errored(unclear_cause(link, unclear)),
    };
    (verdict, true)
}

/// The limit that was exceeded stands in the message.
fn with_limit(error: Obstacle, assertion: &PlannedAssertion) -> Obstacle {
    if error.stage != Stage::Timeout {
        return error;
    }
    let limit = humantime::format_duration(assertion.timeout);
    Obstacle { message: format!("{} (timeout {limit})", error.message), ..error }
}

fn unclear_cause(link: &Link, unclear: Unclear) -> Cause {
    let error = match unclear {
        Unclear::MissingTool(tool) => Obstacle::passing(
            Stage::MissingTool,
            format!("`{tool}` is not installed there, so the command cannot tell"),
        )
        .hint(format!("install `{tool}` on the VM, or ask in a way that does not need it")),
        Unclear::TooMuchOutput(kept) => Obstacle::passing(
            Stage::Answer,
            format!("more than {kept} bytes came, and the first ones do not tell"),
        )
        .hint("let it print less"),
        Unclear::NothingToDeny(why) => Obstacle::passing(
            Stage::Answer,
            format!("{why}, so it proves nothing that there is no connection"),
        )
        .hint("start what listens there, then ask again"),
        Unclear::NobodyToCompare => Obstacle::passing(
            Stage::Answer,
            "no other VM could be asked, so there is nothing to compare it with",
        ),
        Unclear::SlowClocks(doubt) => Obstacle::passing(
            Stage::Answer,
            format!("the VMs answer slowly: clocks are known to {doubt} only"),
        )
        .hint("ask again, or allow more in `clocks_within`"),
        Unclear::UdpCannotBeTried => Obstacle::lasting(
            Stage::Answer,
            "whether a UDP service is reached cannot be seen from outside",
        )
        .hint("deny TCP edges only"),
        Unclear::Jq(why) => Obstacle::passing(Stage::Answer, format!("jq failed: {why}")),
    };
    link.cause(error)
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
