//! Findings about suites that can be run all the same: assertions that cannot fail or hide
//! failures.

use super::vacuous::{self, Doubt};
use crate::assertion::Expectation;
use crate::assertion::port_listening::Protocol;
use crate::problem::Problem;
use crate::spec::inventory::{Inventory, Vm};
use crate::spec::source::join;
use crate::spec::suite::{Content, Suite, SuiteAssertion};

/// Something that `lint` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What, where, and what to do.
    pub problem: Problem,
}

/// How bad a finding is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    /// The assertion can never fail.
    Error,
    /// The assertion probably hides a failure, or is of no use.
    Warning,
    /// A warning that the suite accepts with `lint_allow`, for this reason.
    Allowed(String),
}

/// An assertion and its suite.
#[derive(Clone, Copy)]
struct Entry<'a> {
    suite: &'a Suite,
    assertion: &'a SuiteAssertion,
    content: &'a Content,
}

/// Findings about suites, in their order. Looking at several suites together finds duplicates
/// across them.
pub fn suites(suites: &[Suite]) -> Vec<Finding> {
    let entries: Vec<Entry> = entries(suites).collect();
    let mut findings = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut found = entry.doubts();
        found.extend(entry.duplicate_of_one_in(&entries[..index]));
        if found.is_empty() {
            found.extend(entry.needless_allowance());
        }
        findings.extend(found);
    }
    findings
}

/// Findings that need the inventory: port assertions that pass whenever bootproof can log in.
pub fn login_ports(suites: &[Suite], inventory: &Inventory) -> Vec<Finding> {
    let checks_login_port = |entry: &Entry| {
        let vms = entry.assertion.on_vm.lenient(inventory);
        vms.into_iter().any(|vm| is_login_port(vm, &entry.content.expectation))
    };
    entries(suites).filter(checks_login_port).map(Entry::login_port).collect()
}

fn entries(suites: &[Suite]) -> impl Iterator<Item = Entry<'_>> {
    suites.iter().flat_map(|suite| {
        suite.assertions.iter().filter_map(move |assertion| {
            let content = assertion.sample.as_ref()?;
            Some(Entry { suite, assertion, content })
        })
    })
}

fn is_login_port(vm: &Vm, expectation: &Expectation) -> bool {
    // At another address than the VM's own, the port of the login may be a forwarded one.
    let logs_in_at_its_own_address = vm.address.as_deref() == Some(vm.ssh.host.as_str());
    let Expectation::PortListening(check) = expectation else { return false };
    logs_in_at_its_own_address
        && check.port.get() == vm.ssh.port
        && check.protocol == Protocol::Tcp
        && check.address.is_none()
}

impl<'a> Entry<'a> {
    fn doubts(self) -> Vec<Finding> {
        let doubts = vacuous::doubts(&self.content.expectation);
        doubts.into_iter().map(|doubt| self.doubt(doubt)).collect()
    }

    fn doubt(self, doubt: Doubt) -> Finding {
        let path = join(self.own_path(), doubt.key);
        let problem = self.suite.problem(&path, doubt.why).hint(doubt.hint);
        if doubt.never_fails {
            Finding { level: Level::Error, problem }
        } else {
            self.warning(problem)
        }
    }

    fn duplicate_of_one_in(self, earlier: &[Entry<'a>]) -> Option<Finding> {
        // Templates with other names can have the same sample.
        if self.assertion.has_templates {
            return None;
        }
        let first = earlier.iter().find(|first| {
            !first.assertion.has_templates
                && first.assertion.on_vm == self.assertion.on_vm
                && first.content.expectation == self.content.expectation
        })?;
        let message = format!(
            "duplicate: {}:{} has the same assertion",
            first.suite.file, first.assertion.line
        );
        let problem = self.suite.problem(&self.assertion.path, message).hint("keep one of the two");
        Some(self.warning(problem))
    }

    fn needless_allowance(self) -> Option<Finding> {
        self.content.lint_allow.as_ref()?;
        let path = join(&self.assertion.path, "lint_allow");
        let problem = self
            .suite
            .problem(&path, "there is no warning for this `lint_allow` to allow")
            .hint("remove it, so that it does not hide a later warning");
        Some(Finding { level: Level::Warning, problem })
    }

    fn login_port(self) -> Finding {
        let path = join(self.own_path(), "port");
        let message = "this assertion always passes: bootproof logs in through this port";
        let problem =
            self.suite.problem(&path, message).hint("remove the assertion, or add an `address`");
        self.warning(problem)
    }

    fn own_path(self) -> &'a str {
        self.suite.own_path(self.assertion)
    }

    fn warning(self, problem: Problem) -> Finding {
        let reason = self.content.lint_allow.clone();
        Finding { level: reason.map_or(Level::Warning, Level::Allowed), problem }
    }
}
