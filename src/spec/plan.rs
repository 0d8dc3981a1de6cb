//! The plan: every assertion bound to its VM, with a stable id. In a plan, nothing is unknown.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::duration::Span;
use super::inventory::{Connection, Inventory, Peers, Vm};
use super::suite::{Expanded, Suite, SuiteAssertion};
use super::template::Names;
use crate::assertion::facts::READ_CLOCK;
use crate::assertion::peer::{Aspect, Peer};
use crate::assertion::peers::Compared;
use crate::assertion::wire::Wire;
use crate::assertion::{Expectation, slug};
use crate::problem::{Problem, Problems};

/// Time limit for one attempt, unless the suite sets another.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// How many assertions a plan can have; each takes memory.
const MOST_ASSERTIONS: usize = 1_000_000;

/// Everything that a run checks.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The VMs and how to log in to them.
    pub inventory: Inventory,
    /// The suite files, as given.
    pub suite_files: Vec<String>,
    /// All assertions, in the order of the suites.
    pub assertions: Vec<PlannedAssertion>,
    index: Index,
}

/// An assertion that is ready to run. What several VMs have in common is shared.
#[derive(Debug, Clone)]
pub struct PlannedAssertion {
    /// Unique in the plan, and the same in every run.
    pub id: AssertionId,
    /// The scenario's name.
    pub scenario: Arc<str>,
    /// The test's name.
    pub test: Arc<str>,
    /// The VM's name; it is in the inventory.
    pub vm: Arc<str>,
    /// One line about it, if the suite gives one.
    pub description: Option<Arc<str>>,
    /// What must hold.
    pub expectation: Arc<Expectation>,
    /// The suite's own counter-example.
    pub counter_example: Option<Arc<Expectation>>,
    /// Time limit for one attempt.
    pub timeout: Duration,
    /// For how long to try until it holds; `None` leaves it to the run.
    pub wait: Option<Duration>,
    /// For how long it must go on to hold, if it must.
    pub consistently: Option<Duration>,
    /// The systemd unit on the VM that it depends on, if the suite names one.
    pub unit: Option<Arc<str>>,
    /// The file that declares it: a suite, or the inventory.
    pub file: Arc<str>,
    /// Its line in that file, from 1.
    pub line: usize,
}

/// What would take too long to look for in a large plan.
#[derive(Debug, Clone)]
struct Index {
    by_id: HashMap<AssertionId, usize>,
    by_vm: HashMap<Arc<str>, Vec<usize>>,
    /// The VM with this name or address.
    vm_at: HashMap<String, String>,
}

impl Index {
    fn of(inventory: &Inventory, assertions: &[PlannedAssertion]) -> Self {
        let mut by_vm: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for (at, assertion) in assertions.iter().enumerate() {
            by_vm.entry(assertion.vm.clone()).or_default().push(at);
        }
        let by_id = assertions.iter().enumerate().map(|(at, one)| (one.id.clone(), at)).collect();
        let mut vm_at = HashMap::new();
        for vm in inventory.vms.values() {
            for host in std::iter::once(&vm.name).chain(&vm.address) {
                vm_at.entry(host.clone()).or_insert_with(|| vm.name.clone());
            }
        }
        Self { by_id, by_vm, vm_at }
    }
}

/// `stack-ports-listen::redis::6379`: the test, the VM, and what is checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssertionId(Arc<str>);

impl AssertionId {
    fn new(test: &str, vm: &str, last: &str) -> Self {
        Self(format!("{test}::{vm}::{last}").into())
    }

    /// The id of something that belongs to this assertion.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        Self(format!("{self}::{name}").into())
    }

    /// Its last part: what is checked.
    pub fn last_part(&self) -> &str {
        last_part(&self.0)
    }

    /// The same with a star in place of the VM.
    pub fn on_any_vm(&self) -> String {
        on_any_vm(&self.0)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The last part of an id: what is checked.
pub fn last_part(id: &str) -> &str {
    id.splitn(3, "::").nth(2).unwrap_or(id)
}

/// An id with a star in place of the VM.
pub fn on_any_vm(id: &str) -> String {
    let test = id.split("::").next().unwrap_or_default();
    format!("{test}::*::{}", last_part(id))
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
    /// Problems are selectors that mean no VM, templates without a value, and ids that occur twice.
    pub fn resolve(suites: &[Suite], inventory: Inventory) -> Result<Self, Problems> {
        let mut binder = Binder::new(&inventory);
        for suite in suites {
            binder.add_suite(suite);
        }
        binder.add_wires();
        binder.add_peers();
        let Binder { assertions, problems, .. } = binder;
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let assertions = assertions.into_values().collect();
        let suite_files = suites.iter().map(|suite| suite.file.clone()).collect();
        Ok(Self::of(inventory, suite_files, assertions))
    }

    /// A plan of these assertions; their ids must differ.
    pub fn of(
        inventory: Inventory,
        suite_files: Vec<String>,
        assertions: Vec<PlannedAssertion>,
    ) -> Self {
        let index = Index::of(&inventory, &assertions);
        Self { inventory, suite_files, assertions, index }
    }

    /// The assertion with this id.
    pub fn find(&self, id: &AssertionId) -> Option<&PlannedAssertion> {
        self.index.by_id.get(id).map(|at| &self.assertions[*at])
    }

    /// The assertions on a VM.
    pub fn on_vm(&self, vm: &str) -> impl Iterator<Item = &PlannedAssertion> {
        let indexes = self.index.by_vm.get(vm).map_or(&[][..], Vec::as_slice);
        indexes.iter().map(|at| &self.assertions[*at])
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
        let mut vms: Vec<&str> = ends.iter().map(|(vm, _)| *vm).collect();
        vms.sort_unstable();
        vms.dedup();
        let is_about_an_end = |other: &&PlannedAssertion| match &*other.expectation {
            Expectation::PortListening(listening) => {
                ends.iter().any(|(vm, port)| **vm == *other.vm && listening.is_about_tcp(*port))
            }
            _ => false,
        };
        let others = vms.into_iter().flat_map(|vm| self.on_vm(vm));
        others.filter(|other| other.id != assertion.id).filter(is_about_an_end).collect()
    }

    /// The assertion that `vm` is the machine that it should be.
    pub fn identity_of(&self, vm: &str) -> Option<&PlannedAssertion> {
        self.on_vm(vm).find(|assertion| {
            let Expectation::Peer(peer) = &*assertion.expectation else { return false };
            matches!(peer.aspect, Aspect::Identity { .. })
        })
    }

    /// The VMs that bootproof asks for these assertions; without the jump hosts.
    pub fn needed_vms(&self, selected: &HashSet<AssertionId>) -> HashSet<&str> {
        let chosen = || self.assertions.iter().filter(|one| selected.contains(&one.id));
        if chosen().any(|one| one.expectation.is_about_all_vms()) {
            return self.inventory.vms.keys().map(String::as_str).collect();
        }
        chosen().flat_map(PlannedAssertion::vms).collect()
    }

    /// The VM that `host` means on `vm`.
    pub(super) fn vm_at<'a>(&'a self, vm: &'a str, host: &str) -> Option<&'a str> {
        if matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]") {
            return Some(vm);
        }
        self.index.vm_at.get(host).map(String::as_str)
    }

    /// The assertions of each VM that has any, in the order of the inventory.
    pub fn by_vm(&self) -> Vec<(&Vm, Vec<&PlannedAssertion>)> {
        let vms = self.inventory.vms.values();
        let groups = vms.map(|vm| (vm, self.on_vm(&vm.name).collect::<Vec<_>>()));
        groups.filter(|(_, assertions)| !assertions.is_empty()).collect()
    }
}

/// The scenario and the test of wires.
pub const WIRES: &str = "wires";

/// The scenario and the test of what must hold between VMs.
pub const PEERS: &str = "peers";

/// An assertion of a suite, and where it is from.
struct Origin<'a> {
    suite: &'a Suite,
    file: &'a Arc<str>,
    assertion: &'a SuiteAssertion,
    /// The test's name in an id.
    test: String,
}

/// Gathers assertions with their ids, and problems.
struct Binder<'a> {
    inventory: &'a Inventory,
    /// The names of the VMs, each kept once.
    names: HashMap<&'a str, Arc<str>>,
    file: Arc<str>,
    assertions: IndexMap<AssertionId, PlannedAssertion>,
    problems: Vec<Problem>,
}

impl<'a> Binder<'a> {
    fn new(inventory: &'a Inventory) -> Self {
        let names = inventory.vms.keys().map(|name| (name.as_str(), name.as_str().into()));
        Self {
            inventory,
            names: names.collect(),
            file: inventory.file.as_str().into(),
            assertions: IndexMap::new(),
            problems: Vec::new(),
        }
    }

    /// Adds the assertions of a suite.
    fn add_suite(&mut self, suite: &Suite) {
        let names = suite.names(self.inventory);
        let file: Arc<str> = suite.file.as_str().into();
        for assertion in &suite.assertions {
            let origin = Origin { suite, file: &file, assertion, test: slug(&assertion.test) };
            if let Err(problems) = self.bind(&origin, &names) {
                self.problems.extend(problems.0);
            }
        }
    }

    /// Adds an assertion of a suite on each of its VMs, once for each of its values.
    fn bind(&mut self, origin: &Origin, names: &Names) -> Result<(), Problems> {
        let Origin { suite, assertion, .. } = *origin;
        let vms = self.vms_of(origin)?;
        let mut shared = None;
        let is_shared = suite.is_the_same_everywhere(assertion);
        for vm in &vms {
            let expanded = if let Some(expanded) = &shared {
                expanded
            } else {
                let expanded = suite.expand(assertion, names, &vm.name);
                &*shared.insert(expanded.map_err(|found| on_one_of(&vms, vm, found))?)
            };
            for one in expanded {
                self.add(origin, &vm.name, one)?;
            }
            if !is_shared {
                shared = None;
            }
        }
        Ok(())
    }

    /// The VMs that an assertion is about.
    fn vms_of(&self, origin: &Origin) -> Result<Vec<&'a Vm>, Problem> {
        let Origin { suite, assertion, .. } = origin;
        match assertion.on_vm.resolve(self.inventory) {
            Ok(vms) => Ok(vms),
            Err(_) if assertion.may_match_nothing => Ok(assertion.on_vm.lenient(self.inventory)),
            Err(mistake) => Err(suite.on_vm_problem(assertion, mistake)),
        }
    }

    fn add(&mut self, origin: &Origin, vm: &str, expanded: &Expanded) -> Result<(), Problem> {
        let vm = self.names.get(vm).cloned().unwrap_or_else(|| vm.into());
        let planned = PlannedAssertion::of_suite(origin, vm, expanded);
        let Some(first) = self.assertions.get(&planned.id) else {
            if self.assertions.len() >= MOST_ASSERTIONS {
                let message = format!("the plan has more than {MOST_ASSERTIONS} assertions");
                return Err(origin.suite.problem(&origin.assertion.path, message));
            }
            self.assertions.insert(planned.id.clone(), planned);
            return Ok(());
        };
        let message = format!("two assertions have the id `{}`", planned.id);
        let hint = if (&first.file, first.line) == (&planned.file, planned.line) {
            "give it a `name` with a template that differs for each of its values".to_owned()
        } else {
            format!("the first is in {}:{}; give one a `name`", first.file, first.line)
        };
        Err(origin.suite.problem(&origin.assertion.path, message).hint(hint))
    }

    /// Adds each connection of the inventory, as an assertion of the VM that connects.
    fn add_wires(&mut self) {
        let declared = self.inventory.connections.iter().zip(&self.inventory.lines.connections);
        for (index, (connection, line)) in declared.enumerate() {
            let Some(far) = self.inventory.vms.get(&connection.to) else { continue };
            let wire = Expectation::Wire(wire(connection, far));
            let planned =
                PlannedAssertion::declared(&self.file, *line, WIRES, &connection.from, wire);
            self.add_declared(&format!("connections[{index}]"), planned);
        }
    }

    /// Adds what must hold between the VMs, for each of them; a single VM has no peers.
    fn add_peers(&mut self) {
        let Some(peers) = self.inventory.peers.filter(|_| self.inventory.vms.len() > 1) else {
            return;
        };
        let vms = self.inventory.vms.values();
        let all: Arc<Compared> =
            Arc::new(vms.map(|vm| (vm.name.clone(), own_address(vm))).collect());
        for vm in self.inventory.vms.values() {
            for aspect in aspects(vm, peers) {
                let (vm_name, all) = (vm.name.clone(), all.clone());
                let peer = Expectation::Peer(Peer { vm: vm_name, all, aspect });
                let line = self.inventory.lines.peers;
                let planned = PlannedAssertion::declared(&self.file, line, PEERS, &vm.name, peer);
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
            file: Some(planned.file.to_string()),
            place: Some((planned.line, 1)),
            path: path.to_owned(),
            ..Problem::new(message)
        };
        let hint = format!("the other one is in {}:{}", first.file, first.line);
        self.problems.push(problem.hint(hint));
    }
}

/// Problems of an assertion on one of its VMs say which VM that is.
fn on_one_of(vms: &[&Vm], vm: &Vm, problems: Problems) -> Problems {
    if vms.len() == 1 {
        return problems;
    }
    let on = |problem: Problem| Problem {
        message: format!("{} (on {})", problem.message, vm.name),
        ..problem
    };
    Problems(problems.0.into_iter().map(on).collect())
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
    let identity = Aspect::Identity { address: own_address(vm), is_its_own_peer: false };
    let clock = peers.clocks_within.map(|Span(within)| Aspect::Clock { within, read: READ_CLOCK });
    std::iter::once(identity).chain(clock)
}

/// An address that no other VM may have; every VM has that of the loopback.
fn own_address(vm: &Vm) -> Option<IpAddr> {
    let address: IpAddr = vm.address.as_ref()?.parse().ok()?;
    (!address.is_loopback()).then_some(address)
}

impl PlannedAssertion {
    /// The VMs that bootproof asks for it, at the same time.
    pub fn vms(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.vm).chain(self.expectation.others())
    }

    /// An assertion that the inventory declares at this line.
    fn declared(
        file: &Arc<str>,
        line: usize,
        test: &str,
        vm: &str,
        expectation: Expectation,
    ) -> Self {
        Self {
            id: AssertionId::new(test, vm, &expectation.slug()),
            scenario: test.into(),
            test: test.into(),
            vm: vm.into(),
            description: None,
            expectation: Arc::new(expectation),
            counter_example: None,
            timeout: DEFAULT_TIMEOUT,
            wait: None,
            consistently: None,
            unit: None,
            file: file.clone(),
            line,
        }
    }

    fn of_suite(origin: &Origin, vm: Arc<str>, expanded: &Expanded) -> Self {
        let Origin { assertion, file, test, .. } = origin;
        let content = &expanded.content;
        Self {
            id: AssertionId::new(test, &vm, &expanded.slug),
            scenario: assertion.scenario.clone(),
            test: assertion.test.clone(),
            vm,
            description: content.description.clone(),
            counter_example: content.counter_example.clone(),
            timeout: content.timeout.unwrap_or(DEFAULT_TIMEOUT),
            wait: content.wait,
            consistently: content.consistently,
            unit: content.unit.clone().or_else(|| content.expectation.unit().map(Arc::from)),
            expectation: content.expectation.clone(),
            file: (*file).clone(),
            line: assertion.line,
        }
    }
}
