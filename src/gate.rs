//! The one sequence of a run: secrets, the unfinished report, the run, the final report, the exit
//! code.
//!
//! Every face goes through here: `check`, `prove`, `cargo test --test lab` and the fault matrix. A
//! face loads a plan, selects, and says how to run and where reports go; [`Gate::prepare`] and
//! [`Gate::run`] do the rest.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::problem::{Problem, Problems};
use crate::record::{RunRecord, Stop};
use crate::report::explain::{Known, because};
use crate::report::redact::Redactor;
use crate::report::store::{Destinations, Published};
use crate::report::{Part, Report, ResultRow, Totals};
use crate::run::{Engine, Listener, Reading, RunSettings, Runner, Work};
use crate::secrets::Secrets;
use crate::settings;
use crate::spec::plan::{AssertionId, Plan, PlannedAssertion};

/// The runtime and the signals, which outlive a run. A process makes one.
pub fn engine() -> Result<Engine, Error> {
    Engine::start().map_err(|error| Error::internal(Problem::io("start the runtime")(error)))
}

/// What to run and where its reports go.
pub struct Request {
    /// What can be run.
    pub plan: Plan,
    /// What of it to run.
    pub selected: HashSet<AssertionId>,
    /// Where the reports go.
    pub destinations: Destinations,
    /// Whether declared VMs and ports that no assertion covers make the run red.
    pub coverage_required: bool,
    /// The part of the plan that the report is about; `None` for all of it.
    pub part: Option<Part>,
}

/// A run that is ready to start.
pub struct Gate {
    request: Request,
    secrets: Secrets,
    redactor: Redactor,
}

/// How a run ended.
pub struct Ending {
    /// What was seen.
    pub record: RunRecord,
    /// The report of it.
    pub report: Report,
    /// Reports that could not be written.
    pub problems: Vec<Problem>,
    /// What became of the part that was to be published.
    pub published: Option<Published>,
    /// What the process ends with.
    pub exit_code: ExitCode,
}

impl Gate {
    /// Reads the secrets, and writes reports that say that the run has not finished: a killed run
    /// leaves these and not those of an older run.
    ///
    /// A secret that is missing is a usage error; a report that cannot be written is found here,
    /// before hours of work.
    pub fn prepare(request: Request) -> Result<Self, Error> {
        let part = request.part.as_ref().filter(|part| !part.left_to_merge().is_empty());
        let read = part.into_iter().flat_map(Part::vms);
        let secrets = settings::read_secrets(&request.plan, &request.selected, read)?;
        let redactor = Redactor::new(&secrets.values());
        let unfinished = Report::unfinished(&request.plan, request.part.as_ref(), &redactor);
        let mut problems = request.destinations.write(&unfinished);
        problems.extend(request.destinations.prepare_to_publish().err());
        if problems.is_empty() {
            Ok(Self { request, secrets, redactor })
        } else {
            Err(Error::Internal(Problems(problems)))
        }
    }

    /// What can be run.
    pub fn plan(&self) -> &Plan {
        &self.request.plan
    }

    /// What of it is run.
    pub fn selected(&self) -> &HashSet<AssertionId> {
        &self.request.selected
    }

    /// Masks this run's secrets.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Runs to the end.
    pub fn run(self, engine: &Engine, settings: RunSettings, listener: Listener) -> Ending {
        Arc::new(self).start(engine, settings, listener).finish()
    }

    /// Starts, for a face that waits for single outcomes.
    pub fn start(
        self: Arc<Self>,
        engine: &Engine,
        settings: RunSettings,
        listener: Listener,
    ) -> Running {
        let Request { plan, selected, part, .. } = &self.request;
        let reading = part
            .as_ref()
            .map(|part| Reading { comparisons: part.left_to_merge(), vms: part.vms() });
        let work = Work { plan, selected, reading };
        let runner = Runner::start(engine, &work, &self.secrets, settings, listener);
        Running { gate: self, runner }
    }
}

/// A run under way.
pub struct Running {
    gate: Arc<Gate>,
    runner: Runner,
}

impl Running {
    /// Waits for the outcome of an assertion, and for those that can explain it; `None` for an id
    /// that is not in the plan.
    pub fn row(&self, id: &AssertionId) -> Option<ResultRow> {
        let plan = self.gate.plan();
        let assertion = plan.find(id)?;
        let outcome = self.runner.outcome(id)?;
        let known = |other: &PlannedAssertion| {
            self.runner.outcome(&other.id).map(|outcome| Known::of(other, &outcome))
        };
        let because = because(plan, assertion, outcome.verdict.kind(), known);
        Some(ResultRow::new(assertion, &outcome, &because, &self.gate.redactor))
    }

    /// Waits for the end of the run and writes the reports.
    pub fn finish(&self) -> Ending {
        let Request { plan, destinations, coverage_required, part, .. } = &self.gate.request;
        let part = part.as_ref();
        let record = self.runner.finish();
        let report = Report::of_part(plan, part, &record, &self.gate.redactor)
            .with_coverage_required(*coverage_required);
        let mut problems = destinations.write(&report);
        let published = destinations.publish(&report).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let (sound, written) = (report.is_sound(), problems.is_empty());
        let exit_code = match exit_code(record.stop, report.totals, sound, written) {
            // Other shards have all the work.
            ExitCode::NothingSelected if part.is_some_and(Part::is_empty) => {
                without_red(sound, written)
            }
            exit_code => exit_code,
        };
        Ending { record, report, problems, published, exit_code }
    }
}

/// What a run ends with. A stop comes first: what was seen until then is not the whole answer.
/// A proven failure comes before what could not be told, such as what was seen while it was not
/// `sound`.
pub fn exit_code(
    stop: Option<Stop>,
    totals: Totals,
    sound: bool,
    reports_written: bool,
) -> ExitCode {
    match stop {
        Some(Stop::Deadline(_)) => return ExitCode::Deadline,
        Some(Stop::Interrupt) => return ExitCode::Interrupted,
        Some(Stop::Terminate) => return ExitCode::Terminated,
        None => {}
    }
    if totals.failed > 0 {
        ExitCode::Failed
    } else if totals.errored + totals.blocked + totals.not_run > 0 {
        ExitCode::CouldNotTell
    } else if totals.passed == 0 {
        ExitCode::NothingSelected
    } else {
        without_red(sound, reports_written)
    }
}

/// What a run ends with if no assertion is red.
fn without_red(sound: bool, reports_written: bool) -> ExitCode {
    if !sound {
        ExitCode::CouldNotTell
    } else if reports_written {
        ExitCode::Conforms
    } else {
        ExitCode::Internal
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::VerdictKind::{
        self, Blocked, Errored, Failed, NotRun, NotSelected, Passed,
    };

    #[test]
    fn the_worst_verdict_decides() {
        let of = |kinds: &[VerdictKind]| {
            exit_code(None, Totals::count(kinds.iter().copied()), true, true)
        };
        for (kinds, code) in [
            (&[Passed, NotSelected][..], ExitCode::Conforms),
            (&[Passed, Failed, Errored, Blocked, NotRun], ExitCode::Failed),
            (&[Passed, Errored], ExitCode::CouldNotTell),
            (&[Passed, Blocked], ExitCode::CouldNotTell),
            (&[Passed, NotRun], ExitCode::CouldNotTell),
            (&[NotSelected], ExitCode::NothingSelected),
            (&[], ExitCode::NothingSelected),
        ] {
            assert_eq!(of(kinds), code, "{kinds:?}");
        }
    }

    #[test]
    fn a_stopped_run_is_never_green() {
        let green = Totals::count([Passed]);
        for (stop, code) in [
            (Stop::Deadline(Duration::from_secs(1)), 124),
            (Stop::Interrupt, 130),
            (Stop::Terminate, 143),
        ] {
            assert_eq!(exit_code(Some(stop), green, true, true) as u8, code);
        }
        assert_eq!(exit_code(None, green, true, false), ExitCode::Internal);
    }

    #[test]
    fn an_unstable_vm_is_never_green() {
        assert_eq!(exit_code(None, Totals::count([Passed]), false, true), ExitCode::CouldNotTell);
        assert_eq!(exit_code(None, Totals::count([Passed, Failed]), false, true), ExitCode::Failed);
    }
}
