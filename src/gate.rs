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
use crate::report::explain::because;
use crate::report::redact::Redactor;
use crate::report::store::Destinations;
use crate::report::{Report, ResultRow, Totals};
use crate::run::{Engine, Listener, RunSettings, Runner};
use crate::secrets::Secrets;
use crate::settings;
use crate::spec::plan::{AssertionId, Plan};

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
        let secrets = settings::read_secrets(&request.plan, &request.selected)?;
        let redactor = Redactor::new(&secrets.values());
        let unfinished = Report::unfinished(&request.plan, &redactor);
        let problems = request.destinations.write(&unfinished);
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
        let Request { plan, selected, .. } = &self.request;
        let runner = Runner::start(engine, plan, selected, &self.secrets, settings, listener);
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
        let because = because(plan, assertion, &outcome.verdict, |id| self.runner.outcome(id));
        Some(ResultRow::new(assertion, &outcome, &because, &self.gate.redactor))
    }

    /// Waits for the end of the run and writes the reports.
    pub fn finish(&self) -> Ending {
        let Request { plan, destinations, coverage_required, .. } = &self.gate.request;
        let record = self.runner.finish();
        let report = Report::new(plan, &record, &self.gate.redactor)
            .with_coverage_required(*coverage_required);
        let problems = destinations.write(&report);
        let sound = report.is_sound();
        let exit_code = exit_code(record.stop, report.totals, sound, problems.is_empty());
        Ending { record, report, problems, exit_code }
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
    } else if !sound {
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
