//! A fault as `immich-photo-vault.json` describes it: how to plant it and what must turn red.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bootproof::exit_code::ExitCode;
use bootproof::problem::Problem;
use bootproof::spec::plan::PlannedAssertion;
use indexmap::IndexMap;
use serde::Deserialize;

/// Unlike the validation suite, this scenario is large: only the part that concerns the fault runs.
const CONTRACT: &str = "immich-photo-vault-contract";

/// One fault.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What is wrong, in a few words.
    #[serde(rename = "fault")]
    pub name: String,
    /// Scripts by VM; root runs them in this order.
    #[serde(default)]
    pub plant: IndexMap<String, String>,
    /// A misbehaving server in place of a service.
    #[serde(default)]
    pub serve: Option<Serve>,
    /// Two VMs whose logins the inventory swaps.
    #[serde(default)]
    pub swap_logins: Option<[String; 2]>,
    /// Arguments of `bootproof lab`, such as `pause redis`.
    #[serde(default)]
    pub lab: Option<String>,
    /// Parts of ids: which assertions of the contract suite run, too. The default is all that are
    /// on the touched VMs.
    #[serde(default)]
    also: Option<Vec<String>>,
    /// A suite in place of the usual two.
    #[serde(default)]
    pub suite: Option<PathBuf>,
    /// As `--wait`.
    #[serde(default, with = "humantime_text")]
    pub wait: Duration,
    /// How long the fault needs to take effect after it was planted. A script that cuts its own
    /// connection has to delay the cut.
    #[serde(default, with = "humantime_text")]
    pub sets_in: Duration,
    /// The assertions that must be red, by id.
    #[serde(default)]
    pub red: BTreeMap<String, ExpectedRed>,
    /// The VMs that must be unstable, and words that the report must contain about each.
    #[serde(default)]
    pub unstable: BTreeMap<String, String>,
    /// The VMs about which the report must warn, and words of the warning.
    #[serde(default)]
    pub warnings: BTreeMap<String, String>,
    /// Why no assertion can see the fault, or why nothing should be red.
    #[serde(default)]
    pub green: Option<String>,
}

/// A server that misbehaves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// The VM.
    pub on: String,
    /// The systemd unit, and its program in `/usr/local/bin`, that the server replaces.
    pub unit: String,
    pub port: u16,
    /// How it misbehaves: a `MODE` of `server.py`.
    pub mode: String,
}

/// Written as `failed: nothing listens`; the words may be absent.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub struct ExpectedRed {
    pub verdict: String,
    /// Words that the explanation must contain.
    pub words: String,
}

impl From<String> for ExpectedRed {
    fn from(text: String) -> Self {
        let (verdict, words) = text.split_once(": ").unwrap_or((&text, ""));
        Self { verdict: verdict.to_owned(), words: words.to_owned() }
    }
}

impl fmt::Display for ExpectedRed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.verdict, self.words)
    }
}

impl Fault {
    /// All faults of a file, in its order.
    pub fn read_all(file: &Path) -> Result<Vec<Self>, Problem> {
        let name = file.display();
        let text = std::fs::read_to_string(file).map_err(Problem::io(format!("read {name}")))?;
        serde_json::from_str(&text).map_err(|error| Problem::new(format!("{name}: {error}")))
    }

    /// What `bootproof check` must end with.
    pub fn exit_code(&self) -> ExitCode {
        if self.red.values().any(|red| red.verdict == "failed") {
            ExitCode::Failed
        } else if self.red.is_empty() && self.unstable.is_empty() {
            ExitCode::Conforms
        } else {
            ExitCode::CouldNotTell
        }
    }

    /// The VMs that must be restored afterwards.
    pub fn touched_vms(&self) -> BTreeSet<&str> {
        let planted = self.plant.keys().map(String::as_str);
        let served = self.serve.iter().map(|serve| serve.on.as_str());
        let named_to_the_lab = self.lab.iter().flat_map(|arguments| arguments.split(' ').skip(1));
        planted.chain(served).chain(named_to_the_lab).collect()
    }

    /// Whether a run over this fault includes the assertion.
    pub fn selects(&self, assertion: &PlannedAssertion) -> bool {
        let id = assertion.id.as_str();
        let swapped = self.swap_logins.iter().flatten().map(String::as_str);
        let touched: BTreeSet<&str> = self.touched_vms().into_iter().chain(swapped).collect();
        let is_near = match &self.also {
            Some(parts) => parts.iter().any(|part| id.contains(part.as_str())),
            None => touched.contains(&*assertion.vm),
        };
        *assertion.scenario != *CONTRACT || is_near || self.red.contains_key(id)
    }
}

mod humantime_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de::Error};

    pub fn deserialize<'de, D: Deserializer<'de>>(text: D) -> Result<Duration, D::Error> {
        humantime::parse_duration(&String::deserialize(text)?).map_err(D::Error::custom)
    }
}
