//! `bootproof merge`: one report of a run from the reports of its shards.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;

use super::output::{tell, tell_all};
use super::printing::Printing;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::gate::exit_code;
use crate::problem::Problem;
use crate::report::Report;
use crate::report::merge::{Parts, merge};
use crate::report::nodes::folded;
use crate::report::read::{self, Unreadable};
use crate::report::redact::Redactor;
use crate::report::store::Destinations;
use crate::secrets::Secrets;
use crate::settings::{self, Loaded, Sources};
use crate::spec::choice::select;
use crate::spec::duration;

/// How long `--wait` waits between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Make one report of a run from the reports of its shards
#[derive(Debug, Args)]
#[command(after_help = "\
Each shard must have run with the same files, flags, values and version of bootproof, and with the \
same --run-id; anything else is an error. A shard without a report makes its assertions not-run.

Examples:
  bootproof check -i lab.json --shard 3/8 --publish parts
      what each of eight machines runs, with its own number
  bootproof merge parts -o report.json --junit junit.xml --wait 10m
      what one machine runs then

`bootproof --help` lists the exit codes.")]
pub struct MergeArgs {
    /// Reports of shards, or folders in which each *.json file is one
    #[arg(value_name = "PART|DIR", required = true)]
    parts: Vec<PathBuf>,

    /// Write the JSON report to this file
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Write JUnit XML to this file, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Wait until each shard has given its report, for up to this time ("10m")
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse)]
    wait: Option<Duration>,

    /// The inventory of the run [default: the file that the parts name]
    #[arg(short, long, value_name = "FILE", env = "BOOTPROOF_INVENTORY")]
    inventory: Option<PathBuf>,

    /// A suite of the run; repeat it for several [default: with --inventory, the suites
    /// that it names; without it, the files that the parts name]
    #[arg(
        short,
        long = "suite",
        value_name = "FILE",
        env = "BOOTPROOF_SUITE",
        value_delimiter = ':'
    )]
    suites: Vec<PathBuf>,

    /// A value that the shards had set; repeat it for several (also `BOOTPROOF_VARS`)
    #[arg(long = "var", value_name = "NAME=VALUE")]
    vars: Vec<String>,

    #[command(flatten)]
    printing: Printing,
}

impl MergeArgs {
    /// The files of the run, as named here or in its parts.
    fn sources(&self, parts: &Parts) -> Sources {
        let (inventory, suites) = parts.files();
        let their_suites = || suites.iter().map(PathBuf::from).collect();
        let are_named = self.inventory.is_some() || !self.suites.is_empty();
        Sources {
            inventory: Some(self.inventory.clone().unwrap_or_else(|| inventory.into())),
            suites: if are_named { self.suites.clone() } else { their_suites() },
            vars: settings::vars_and_variable(&self.vars),
        }
    }

    /// The files that may be parts. What this command itself has written is none.
    fn paths(&self) -> Result<Vec<PathBuf>, Problem> {
        let mut paths = Vec::new();
        for part in &self.parts {
            if part.is_dir() {
                paths.extend(json_files(part, &self.output)?);
            } else {
                paths.push(part.clone());
            }
        }
        Ok(paths)
    }
}

fn json_files(folder: &Path, output: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = folder.read_dir().and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(Problem::io(format!("read the folder {}", folder.display())))?;
    let is_json = |path: &Path| path.extension().is_some_and(|extension| extension == "json");
    let written = output.canonicalize().ok();
    let is_other = |path: &Path| written.is_none() || path.canonicalize().ok() != written;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.path());
    }
    files.retain(|path| is_json(path) && is_other(path));
    files.sort();
    Ok(files)
}

/// The reports that were read so far.
#[derive(Default)]
struct Gathered {
    reports: BTreeMap<PathBuf, Report>,
    /// Files that may yet become reports.
    pending: Vec<Unreadable>,
}

impl Gathered {
    /// Reads what was not read yet.
    fn look(&mut self, paths: Vec<PathBuf>) -> Result<(), Problem> {
        self.pending.clear();
        for path in paths {
            if self.reports.contains_key(&path) {
                continue;
            }
            match read::read(&path) {
                Ok(report) => drop(self.reports.insert(path, report)),
                Err(unreadable) if unreadable.may_come() => self.pending.push(unreadable),
                Err(wrong) => return Err(wrong.into()),
            }
        }
        Ok(())
    }

    /// The shards that gave no report yet; `None` if it is not known how many there are.
    fn missing(&self) -> Option<Vec<String>> {
        let shards = || self.reports.values().filter_map(|report| report.shard.as_ref());
        let count = shards().next()?.count;
        let seen: HashSet<u32> = shards().map(|shard| shard.index).collect();
        let missing = (1..=count).filter(|index| !seen.contains(index));
        Some(missing.map(|index| index.to_string()).collect())
    }

    /// What was read. A part whose run has not finished counts as missing.
    fn parts(self) -> Result<Parts, Problem> {
        for unreadable in self.pending {
            match unreadable {
                Unreadable::Unfinished(problem) => tell("note", &problem),
                other => return Err(other.into()),
            }
        }
        let files = self.reports.into_iter();
        Parts::of(files.map(|(path, report)| (path.display().to_string(), report)))
    }
}

pub fn run(arguments: &MergeArgs) -> Result<ExitCode, Error> {
    let parts = gather(arguments)?;
    tell_all("note", parts.notes());
    let Loaded { plan, digests } = settings::load(&arguments.sources(&parts))?;
    parts.check_digests(&plan, &digests)?;
    let selected = select(&plan, parts.choice())?;
    let redactor = Redactor::new(&Secrets::at_hand(plan.inventory.vms.values()));
    let report = merge(&plan, &selected, &parts, &redactor)?;
    let destinations = Destinations {
        junit: arguments.junit.clone(),
        json: Some(arguments.output.clone()),
        parts: None,
    };
    let problems = destinations.write(&report);
    tell_all("error", &problems);
    // What was not looked at may be red.
    let sound = report.is_sound() && report.complete;
    let exit_code = exit_code(None, report.totals, sound, problems.is_empty());
    if !arguments.printing.quiet || exit_code != ExitCode::Conforms {
        arguments.printing.show_report(&report);
        eprintln!("reports: {}", destinations.names());
    }
    Ok(exit_code)
}

/// The parts that are there, or come in time.
fn gather(arguments: &MergeArgs) -> Result<Parts, Problem> {
    let until = arguments.wait.map(|wait| Instant::now() + wait);
    let mut gathered = Gathered::default();
    let mut told = None;
    loop {
        gathered.look(arguments.paths()?)?;
        let missing = gathered.missing();
        let all_are_there = missing.as_ref().is_some_and(Vec::is_empty);
        if all_are_there || until.is_none_or(|until| Instant::now() >= until) {
            return gathered.parts();
        }
        if told.as_ref() != Some(&missing) && !arguments.printing.quiet {
            tell_missing(missing.as_deref());
        }
        told = Some(missing);
        sleep(PAUSE);
    }
}

fn tell_missing(missing: Option<&[String]>) {
    match missing {
        None => eprintln!("waiting for the first report of a shard"),
        Some(missing) => {
            eprintln!("waiting for shard {}", folded(missing.iter().map(String::as_str)));
        }
    }
}
