//! The plan: every assertion bound to its VM, with a stable id. In a plan, nothing is unknown.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use indexmap::IndexMap;

use super::duration::Span;
use super::inventory::{Connection, Inventory, Peers, Vm};
use super::source::join;
use super::suite::{Suite, SuiteAssertion};
use crate::assertion::peer::{Aspect, Peer, READ_CLOCK};
use crate::assertion::wire::Wire;
use crate::assertion::{Expectation, slug};
use crate::problem::{Problem, Problems, hint_for_unknown};

/// Time limit for one attempt, unless the suite sets another.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything that a run checks.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The VMs and how to log in to them.
    pub inventory: Inventory,
    /// The suite files, as given.
    pub suite_files: Vec<String>,
    /// All assertions, in the order of the suites.
    pub assertions: Vec<PlannedAssertion>,
}

/// An assertion that is ready to run.
#[derive(Debug, Clone)]
pub struct PlannedAssertion {
    /// Unique in the plan, and the same in every run.
    pub id: AssertionId,
    /// The scenario's name.
    pub scenario: String,
    /// The test's name.
    pub test: String,
    /// The VM's name; it is in the inventory.
    pub vm: String,
    /// One line about it, if the suite gives one.
    pub description: Option<String>,
    /// What must hold.
    pub expectation: Expectation,
    /// The suite's own counter-example.
    pub counter_example: Option<Expectation>,
    /// Time limit for one attempt.
    pub timeout: Duration,
    /// For how long to try until it holds; `None` leaves it to the run.
    pub wait: Option<Duration>,
    /// For how long it must go on to hold, if it must.
    pub consistently: Option<Duration>,
    /// The systemd unit on the VM that it depends on, if the suite names one.
    pub unit: Option<String>,
    /// The file that declares it: a suite, or the inventory.
    pub file: String,
    /// Its line in that file, from 1.
    pub line: usize,
}

/// `stack-ports-listen::redis::6379`: the test, the VM, and what is checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssertionId(String);

impl AssertionId {
    fn new(assertion: &SuiteAssertion) -> Self {
        let last = assertion.name.as_deref().map_or_else(|| assertion.expectation.slug(), slug);
        Self(format!("{}::{}::{last}", slug(&assertion.test), assertion.on_vm))
    }

    /// The id of something that belongs to this assertion.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        Self(format!("{self}::{name}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AssertionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Plan {
    /// Binds the suites' assertions to the inventory's VMs, and adds those that the inventory
    /// declares.
    ///
    /// Problems are unknown VMs, and ids that occur twice.
    pub fn resolve(suites: &[Suite], inventory: Inventory) -> Result<Self, Problems> {
        let mut binder = Binder::new(&inventory);
        for suite in suites {
            suite.assertions.iter().for_each(|assertion| binder.bind(suite, assertion));
        }
        binder.add_wires();
        binder.add_peers();
        let Binder { assertions, problems, .. } = binder;
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let assertions = assertions.into_values().collect();
        let suite_files = suites.iter().map(|suite| suite.file.clone()).collect();
        Ok(Self { inventory, suite_files, assertions })
    }

    /// The port assertions that can explain why `assertion` is red: those for the ports that it
    /// connects to, on whichever VM.
    pub fn explained_by(&self, assertion: &PlannedAssertion) -> Vec<&PlannedAssertion> {
        let ends: Vec<(&str, u16)> = assertion
            .expectation
            .connects_to()
            .iter()
            .filter_map(|(host, port)| Some((self.vm_at(&assertion.vm, host)?, *port)))
            .collect();
        let is_about_an_end = |other: &&PlannedAssertion| match &other.expectation {
            Expectation::PortListening(listening) => {
                ends.iter().any(|(vm, port)| *vm == other.vm && listening.is_about_tcp(*port))
            }
            _ => false,
        };
        let others = self.assertions.iter().filter(|other| other.id != assertion.id);
        others.filter(is_about_an_end).collect()
    }

    /// The assertion that `vm` is the machine that it should be.
    pub fn identity_of(&self, vm: &str) -> Option<&PlannedAssertion> {
        self.assertions.iter().find(|assertion| {
            let Expectation::Peer(peer) = &assertion.expectation else { return false };
            assertion.vm == vm && matches!(peer.aspect, Aspect::Identity { .. })
        })
    }

    /// The VM that `host` means on `vm`.
    pub(super) fn vm_at<'a>(&'a self, vm: &'a str, host: &str) -> Option<&'a str> {
        if matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]") {
            return Some(vm);
        }
        let is_meant = |vm: &&Vm| vm.name == host || vm.address.as_deref() == Some(host);
        self.inventory.vms.values().find(is_meant).map(|vm| vm.name.as_str())
    }

    /// The assertions of each VM that has any, in the order of the inventory.
    pub fn by_vm(&self) -> Vec<(&Vm, Vec<&PlannedAssertion>)> {
        let mut groups: HashMap<&str, Vec<&PlannedAssertion>> = HashMap::new();
        for assertion in &self.assertions {
            groups.entry(&assertion.vm).or_default().push(assertion);
        }
        let vms = self.inventory.vms.values();
        vms.filter_map(|vm| Some((vm, groups.remove(vm.name.as_str())?))).collect()
    }
}

/// The scenario and the test of wires.
pub const WIRES: &str = "wires";

/// The scenario and the test of what must hold between VMs.
pub const PEERS: &str = "peers";

/// Gathers assertions with their ids, and problems.
struct Binder<'a> {
    inventory: &'a Inventory,
    assertions: IndexMap<AssertionId, PlannedAssertion>,
    problems: Vec<Problem>,
}

impl<'a> Binder<'a> {
    fn new(inventory: &'a Inventory) -> Self {
        Self { inventory, assertions: IndexMap::new(), problems: Vec::new() }
    }

    /// Adds an assertion of a suite.
    fn bind(&mut self, suite: &Suite, assertion: &SuiteAssertion) {
        if !self.inventory.vms.contains_key(&assertion.on_vm) {
            self.problems.push(unknown_vm(suite, assertion, self.inventory));
            return;
        }
        let planned = PlannedAssertion::of_suite(suite, assertion);
        if let Some(first) = self.assertions.get(&planned.id) {
            let message = format!("two assertions have the id `{}`", planned.id);
            let hint = format!("the first is in {}:{}; give one a `name`", first.file, first.line);
            self.problems.push(suite.problem(&assertion.path, message).hint(hint));
            return;
        }
        self.assertions.insert(planned.id.clone(), planned);
    }

    /// Adds each connection of the inventory, as an assertion of the VM that connects.
    fn add_wires(&mut self) {
        let declared = self.inventory.connections.iter().zip(&self.inventory.lines.connections);
        for (index, (connection, line)) in declared.enumerate() {
            let Some(far) = self.inventory.vms.get(&connection.to) else { continue };
            let wire = Expectation::Wire(wire(connection, far));
            let planned =
                PlannedAssertion::declared(self.inventory, *line, WIRES, &connection.from, wire);
            self.add_declared(&format!("connections[{index}]"), planned);
        }
    }

    /// Adds what must hold between the VMs, for each of them; a single VM has no peers.
    fn add_peers(&mut self) {
        let Some(peers) = self.inventory.peers.filter(|_| self.inventory.vms.len() > 1) else {
            return;
        };
        for vm in self.inventory.vms.values() {
            for aspect in aspects(vm, peers) {
                let peer = Expectation::Peer(peer(vm, aspect, self.inventory));
                let line = self.inventory.lines.peers;
                let planned =
                    PlannedAssertion::declared(self.inventory, line, PEERS, &vm.name, peer);
                self.add_declared("peers", planned);
            }
        }
    }

    /// Adds an assertion that the inventory declares at `path`.
    fn add_declared(&mut self, path: &str, planned: PlannedAssertion) {
        let Some(first) = self.assertions.get(&planned.id) else {
            self.assertions.insert(planned.id.clone(), planned);
            return;
        };
        let message = format!("two assertions have the id `{}`", planned.id);
        let problem = Problem {
            file: Some(planned.file),
            place: Some((planned.line, 1)),
            path: path.to_owned(),
            ..Problem::new(message)
        };
        let hint = format!("the other one is in {}:{}", first.file, first.line);
        self.problems.push(problem.hint(hint));
    }
}

fn unknown_vm(suite: &Suite, assertion: &SuiteAssertion, inventory: &Inventory) -> Problem {
    let message = format!("unknown VM `{}`: it is not in {}", assertion.on_vm, inventory.file);
    let known = inventory.vms.keys().map(String::as_str);
    suite
        .problem(&join(&assertion.path, "on_vm"), message)
        .hint(hint_for_unknown(&assertion.on_vm, known))
}

fn wire(connection: &Connection, far: &Vm) -> Wire {
    Wire {
        from: connection.from.clone(),
        to: connection.to.clone(),
        address: far.address.clone().unwrap_or_else(|| far.ssh.host.clone()),
        port: connection.port,
        protocol: connection.protocol,
        intent: connection.intent.clone(),
        deny: connection.deny,
    }
}

/// In what a VM is compared with its peers.
fn aspects(vm: &Vm, peers: Peers) -> impl Iterator<Item = Aspect> {
    let identity = Aspect::Identity { address: own_address(vm) };
    let clock = peers.clocks_within.map(|Span(within)| Aspect::Clock { within, read: READ_CLOCK });
    std::iter::once(identity).chain(clock)
}

fn peer(vm: &Vm, aspect: Aspect, inventory: &Inventory) -> Peer {
    let others = inventory.vms.values().filter(|other| other.name != vm.name);
    Peer {
        vm: vm.name.clone(),
        others: others.map(|other| (other.name.clone(), own_address(other))).collect(),
        aspect,
    }
}

/// An address that no other VM may have; every VM has that of the loopback.
fn own_address(vm: &Vm) -> Option<IpAddr> {
    let address: IpAddr = vm.address.as_ref()?.parse().ok()?;
    (!address.is_loopback()).then_some(address)
}

impl PlannedAssertion {
    /// The VMs that bootproof logs in to for it.
    pub fn vms(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.vm.as_str()).chain(self.expectation.others())
    }

    /// An assertion that the inventory declares at this line.
    fn declared(
        inventory: &Inventory,
        line: usize,
        test: &str,
        vm: &str,
        expectation: Expectation,
    ) -> Self {
        Self {
            id: AssertionId(format!("{test}::{vm}::{}", expectation.slug())),
            scenario: test.to_owned(),
            test: test.to_owned(),
            vm: vm.to_owned(),
            description: None,
            expectation,
            counter_example: None,
            timeout: DEFAULT_TIMEOUT,
            wait: None,
            consistently: None,
            unit: None,
            file: inventory.file.clone(),
            line,
        }
    }

    fn of_suite(suite: &Suite, assertion: &SuiteAssertion) -> Self {
        Self {
            id: AssertionId::new(assertion),
            scenario: assertion.scenario.clone(),
            test: assertion.test.clone(),
            vm: assertion.on_vm.clone(),
            description: assertion.description.clone(),
            expectation: assertion.expectation.clone(),
            counter_example: assertion.counter_example.clone(),
            timeout: assertion.timeout.unwrap_or(DEFAULT_TIMEOUT),
            wait: assertion.wait,
            consistently: assertion.consistently,
            unit: assertion.unit.clone(),
            file: suite.file.clone(),
            line: assertion.line,
        }
    }
}
