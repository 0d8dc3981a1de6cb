//! Compares VMs by what reports say of them.

use std::sync::Arc;
use std::time::Duration;

use super::vm::VmReport;
use crate::assertion::facts::PeerReading;
use crate::assertion::peer::{Aspect, PeerSeen};
use crate::assertion::peers::AllFacts;
use crate::assertion::{Expectation, Judgement, Observation};
use crate::outcome::{Attempt, Cause, Outcome, Verdict, obstacle_of};
use crate::spec::plan::{Plan, PlannedAssertion};

/// The outcome of an assertion that compares `vm` with all others. `stopped` is why its run ended
/// early.
pub(super) fn compare(
    plan: &Plan,
    assertion: &PlannedAssertion,
    vm: &VmReport,
    stopped: Option<&str>,
    facts: &Arc<AllFacts>,
) -> Outcome {
    let Expectation::Peer(peer) = &*assertion.expectation else {
        let why = "it cannot be judged by what the shards have read";
        return Outcome::without_attempt(Verdict::NotRun(why.to_owned()));
    };
    let own = match peer.aspect {
        Aspect::Identity { .. } => vm.facts.identity.clone().map(PeerReading::Identity),
        Aspect::Clock { .. } => vm.facts.clock.map(PeerReading::Clock),
    };
    let unread = vm.unread.iter().find(|unread| unread.fact == peer.aspect.word());
    match (own, unread, &vm.cause) {
        (Some(own), ..) => {
            let seen = Observation::Peer(PeerSeen { own, facts: facts.clone() });
            let verdict = match assertion.expectation.judge(&seen) {
                Judgement::Holds => Verdict::Passed,
                Judgement::Differs(mismatch) => Verdict::Failed(mismatch),
                Judgement::Unclear(unclear) => {
                    let obstacle = obstacle_of(unclear);
                    Verdict::Errored(Cause {
                        vm: vm.name.clone(),
                        stage: obstacle.stage,
                        address: plan.inventory.vms[&vm.name].ssh.address(),
                        message: obstacle.message,
                        hint: obstacle.hint,
                    })
                }
            };
            after_one_attempt(verdict, Some(seen))
        }
        (None, Some(unread), _) => after_one_attempt(Verdict::Errored(unread.cause.clone()), None),
        (None, None, Some(cause)) => Outcome::without_attempt(Verdict::Blocked(cause.clone())),
        (None, None, None) => {
            let why = stopped.unwrap_or("its shard has not read what is compared");
            Outcome::without_attempt(Verdict::NotRun(why.to_owned()))
        }
    }
}

/// When the shard read what is judged is not in its report.
fn after_one_attempt(verdict: Verdict, observation: Option<Observation>) -> Outcome {
    let attempt = Attempt {
        started_ms: 0,
        duration_ms: 0,
        verdict: verdict.kind(),
        message: verdict.message(),
    };
    let attempts = vec![attempt];
    Outcome { verdict, attempts, duration: Duration::ZERO, output: None, observation }
}
