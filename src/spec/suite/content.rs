//! What an assertion says, once its templates are rendered.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::expand::RenderedKeys;
use super::file::CommonKeys;
use super::keys::Keys;
use crate::assertion::{AssertionType, Expectation, slug};
use crate::problem::{Problem, Problems};
use crate::spec::duration::Span;
use crate::spec::source::{Source, join};

/// What an assertion says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The last part of the id, if the suite gives one.
    pub name: Option<String>,
    /// What must hold.
    pub expectation: Arc<Expectation>,
    /// The suite's own counter-example.
    pub counter_example: Option<Arc<Expectation>>,
    /// One line about it.
    pub description: Option<Arc<str>>,
    /// Time limit for one attempt.
    pub timeout: Option<Duration>,
    /// For how long to try until it holds.
    pub wait: Option<Duration>,
    /// For how long it must go on to hold.
    pub consistently: Option<Duration>,
    /// The systemd unit that it depends on.
    pub unit: Option<Arc<str>>,
    /// Why the warnings of `lint` about it are acceptable.
    pub lint_allow: Option<String>,
}

/// What the keys of an assertion say, once its templates are rendered.
pub(super) fn read_content(
    source: &Source,
    path: &str,
    written: &Keys,
    keys: &RenderedKeys,
) -> Result<Content, Problems> {
    let common: CommonKeys = source.read_rendered(
        path,
        &Value::Object(keys.common.clone()),
        &Value::Object(written.common.clone()),
        &[],
    )?;
    if common.lint_allow.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        let problem = source.problem(&join(path, "lint_allow"), "`lint_allow` needs a reason");
        return Err(problem.hint("write why the warning is acceptable here").into());
    }
    if common.name.as_ref().is_some_and(|name| slug(name).is_empty()) {
        return Err(no_id(source, &join(path, "name")).into());
    }
    let place = Place { path: &written.own_path, allowed_beside: written.allowed_beside };
    let expectation = read_expectation(source, &place, written.kind, &keys.own, &written.own)?;
    let counter_example = match &common.counter_example {
        Some(changes) => {
            let example = read_counter_example(source, path, written, keys, &expectation, changes)?;
            Some(Arc::new(example))
        }
        None => None,
    };
    let duration = |span: Option<Span>| span.map(|Span(duration)| duration);
    Ok(Content {
        name: common.name,
        description: common.description.map(Arc::from),
        expectation: Arc::new(expectation),
        counter_example,
        timeout: duration(common.timeout),
        wait: duration(common.wait),
        consistently: duration(common.consistently),
        unit: common.unit.map(Arc::from),
        lint_allow: common.lint_allow,
    })
}

/// A name from which no part of an id can be made.
pub(super) fn no_id(source: &Source, path: &str) -> Problem {
    let problem = source.problem(path, "the name has no letter and no digit");
    problem.hint("the ids of assertions are made of it")
}

/// The object from which an expectation is read.
struct Place<'a> {
    path: &'a str,
    /// Other keys that its place allows, for "did you mean".
    allowed_beside: &'a [&'a str],
}

/// The keys of an assertion's type.
struct OwnKeys<'a> {
    source: &'a Source,
    place: &'a Place<'a>,
    keys: &'a Value,
    written: &'a Value,
}

impl OwnKeys<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let Place { path, allowed_beside } = self.place;
        self.source.read_rendered(path, self.keys, self.written, allowed_beside)
    }
}

fn read_expectation(
    source: &Source,
    place: &Place,
    kind: AssertionType,
    keys: &Map<String, Value>,
    written: &Map<String, Value>,
) -> Result<Expectation, Problems> {
    let (keys, written) = (Value::Object(keys.clone()), Value::Object(written.clone()));
    let own = OwnKeys { source, place, keys: &keys, written: &written };
    let expectation = match kind {
        AssertionType::PortListening => Expectation::PortListening(own.read()?),
        AssertionType::CommandOutput => Expectation::CommandOutput(own.read()?),
        AssertionType::HttpResponds => Expectation::HttpResponds(Box::new(own.read()?)),
        AssertionType::ServiceRunning => Expectation::ServiceRunning(own.read()?),
        AssertionType::ServiceEnabled => Expectation::ServiceEnabled(own.read()?),
        AssertionType::ProcessRunning => Expectation::ProcessRunning(own.read()?),
        AssertionType::PackageInstalled => Expectation::PackageInstalled(own.read()?),
        AssertionType::PackageNotInstalled => Expectation::PackageNotInstalled(own.read()?),
        AssertionType::FileExists => Expectation::FileExists(own.read()?),
        AssertionType::FileContains => Expectation::FileContains(own.read()?),
        AssertionType::UserExists => Expectation::UserExists(own.read()?),
        AssertionType::GroupExists => Expectation::GroupExists(own.read()?),
    };
    let mistakes = expectation.mistakes();
    if mistakes.is_empty() {
        return Ok(expectation);
    }
    let problems = mistakes.into_iter().map(|mistake| Problem {
        hint: mistake.hint.map(str::to_owned),
        ..source.problem(&join(place.path, mistake.key), mistake.message)
    });
    Err(Problems(problems.collect()))
}

/// The assertion after the changes that its `counter_example` makes to its keys.
fn read_counter_example(
    source: &Source,
    path: &str,
    written: &Keys,
    keys: &RenderedKeys,
    expectation: &Expectation,
    changes: &Map<String, Value>,
) -> Result<Expectation, Problems> {
    let path = join(path, "counter_example");
    let changed = |own: &Map<String, Value>, changes: Option<&Map<String, Value>>| {
        let mut changed = own.clone();
        changed.extend(changes.cloned().unwrap_or_default());
        changed
    };
    let place = Place { path: &path, allowed_beside: &[] };
    let as_written = written.common.get("counter_example").and_then(Value::as_object);
    let counter_example = read_expectation(
        source,
        &place,
        written.kind,
        &changed(&keys.own, Some(changes)),
        &changed(&written.own, as_written),
    )?;
    if counter_example == *expectation {
        let message = "the counter-example is the same as the assertion";
        let hint = "use another command, port or URL, with which the assertion must fail";
        return Err(source.problem(&path, message).hint(hint).into());
    }
    Ok(counter_example)
}
