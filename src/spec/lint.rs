//! What is wrong with a suite that can be run all the same: checks that cannot fail, or that hide failures.

use super::inventory::{Inventory, Vm};
use super::source::join;
use super::suite::{Suite, SuiteAssertion};
use crate::assertion::Expectation;
use crate::assertion::port_listening::Protocol;
use crate::problem::Problem;

/// Something that `lint` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What, where, and what to do.
    pub error: Problem,
}

/// How bad a finding is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    /// The check can never fail.
    Error,
    /// The check likely hides a failure, or is of no use.
    Warning,
    /// A warning that the suite accepts, for this reason.
    Waived(String),
}

/// What suites tell about their checks, in the order of the suites. They are looked at together: the same check in two
/// of them is found.
pub fn suites(suites: &[Suite]) -> Vec<Finding> {
    let all: Vec<_> = suites
        .iter()
        .flat_map(|suite| suite.assertions.iter().map(move |one| (suite, one)))
        .collect();
    let mut findings = Vec::new();
    for (index, (suite, assertion)) in all.iter().enumerate() {
        let mut found = doubts(suite, assertion);
        let same = |other: &&(&Suite, &SuiteAssertion)| {
            other.1.on_vm == assertion.on_vm && other.1.expectation == assertion.expectation
        };
        if let Some((first_suite, first)) = all[..index].iter().find(same) {
            let hint = Some("keep one of the two".to_owned());
            let message =
                format!("this is the same check as that of {}:{}", first_suite.file, first.line);
            found.push(warning(assertion, suite.error(&assertion.path, message, hint)));
        }
        if assertion.waive.is_some() && found.is_empty() {
            let hint = Some("take it away, so that it hides nothing later".to_owned());
            let error = suite.error(
                &join(&assertion.path, "waive"),
                "there is nothing to waive here",
                hint,
            );
            found.push(Finding { level: Level::Warning, error });
        }
        findings.extend(found);
    }
    findings
}

/// What shows only when the VMs are known: ports that listen whenever anything can be looked at.
pub fn login_ports(suites: &[Suite], inventory: &Inventory) -> Vec<Finding> {
    let all = suites.iter().flat_map(|suite| suite.assertions.iter().map(move |one| (suite, one)));
    let logins = all.filter(|(_, one)| {
        inventory.vms.get(&one.on_vm).is_some_and(|vm| is_login_port(vm, &one.expectation))
    });
    let finding = |(suite, assertion): (&Suite, &SuiteAssertion)| {
        let hint = Some("leave the check out, or ask for an `address`".to_owned());
        let message = "this check cannot be seen to fail: bootproof logs in through this port";
        warning(assertion, suite.error(&join(&assertion.own_path, "port"), message, hint))
    };
    logins.map(finding).collect()
}

fn is_login_port(vm: &Vm, expectation: &Expectation) -> bool {
    // Elsewhere than at the VM's own address, the port of the login can be a forwarded one.
    let at_its_own_address = vm.address.as_deref() == Some(vm.ssh.host.as_str());
    at_its_own_address
        && matches!(expectation, Expectation::PortListening(port)
            if port.port.get() == vm.ssh.port && port.protocol == Protocol::Tcp && port.address.is_none())
}

fn doubts(suite: &Suite, assertion: &SuiteAssertion) -> Vec<Finding> {
    let finding = |doubt: crate::assertion::vacuous::Doubt| {
        let error = suite.error(&join(&assertion.own_path, doubt.key), doubt.why, Some(doubt.hint));
        if doubt.never_fails {
            Finding { level: Level::Error, error }
        } else {
            warning(assertion, error)
        }
    };
    assertion.expectation.doubts().into_iter().map(finding).collect()
}

fn warning(assertion: &SuiteAssertion, error: Problem) -> Finding {
    let level = assertion.waive.clone().map_or(Level::Warning, Level::Waived);
    Finding { level, error }
}
