//! The plan: every assertion bound to its VM, with a stable id. After this nothing can be unknown.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use indexmap::IndexMap;

use super::duration::Span;
use super::inventory::{Connection, Inventory, Vm};
use super::suite::{Suite, SuiteAssertion};
use crate::assertion::peer::{Aspect, Peer, READ_CLOCK};
use crate::assertion::wire::Wire;
use crate::assertion::{Expectation, slug};
use crate::problem::{Problem, Problems, hint_for_unknown};

/// How long one attempt may take when the suite does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a run is about to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The VMs and how to reach them.
    pub inventory: Inventory,
    /// The suite files, as given.
    pub suite_files: Vec<String>,
    /// All assertions, in the order of the suites.
    pub assertions: Vec<PlannedAssertion>,
}

/// An assertion that is ready to be run.
#[derive(Debug, Clone)]
pub struct PlannedAssertion {
    /// Its id: unique in the plan, and the same in every run.
    pub id: AssertionId,
    /// The scenario's name.
    pub scenario: String,
    /// The test's name.
    pub test: String,
    /// The VM's name; it is in the inventory.
    pub vm: String,
    /// One line about it, if the suite gives one.
    pub description: Option<String>,
    /// What should hold.
    pub expectation: Expectation,
    /// The suite's own example of what must be red.
    pub counter_example: Option<Expectation>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long it is tried until it holds; `None` leaves it to the run.
    pub wait: Option<Duration>,
    /// For how long it must go on to hold, if it must.
    pub consistently: Option<Duration>,
    /// The systemd unit on the VM that it is about, if the suite names one.
    pub unit: Option<String>,
    /// The suite file.
    pub file: String,
    /// Its line in the suite file.
    pub line: usize,
}

/// `stack-ports-listen::redis::6379`: the test, the VM, and what is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssertionId(String);

impl AssertionId {
    fn new(assertion: &SuiteAssertion) -> Self {
        let last = assertion.name.as_deref().map_or_else(|| assertion.expectation.slug(), slug);
        Self(format!("{}::{}::{last}", slug(&assertion.test), assertion.on_vm))
    }

    /// The id of something that belongs to this one.
    pub(super) fn below(&self, name: &str) -> Self {
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
    /// Binds the suites' assertions to the inventory's VMs.
    ///
    /// An unknown VM, and two assertions with one id, are errors at their place; an edge that stands twice, too.
    pub fn resolve(suites: &[Suite], inventory: Inventory) -> Result<Self, Problems> {
        let mut errors = Vec::new();
        let mut assertions: IndexMap<AssertionId, PlannedAssertion> = IndexMap::new();
        for (suite, assertion) in
            suites.iter().flat_map(|suite| suite.assertions.iter().map(move |one| (suite, one)))
        {
            if !inventory.vms.contains_key(&assertion.on_vm) {
                let hint =
                    hint_for_unknown(&assertion.on_vm, inventory.vms.keys().map(String::as_str));
                let message =
                    format!("unknown VM `{}`: it is not in {}", assertion.on_vm, inventory.file);
                errors.push(suite.error(&format!("{}.on_vm", assertion.path), message, Some(hint)));
                continue;
            }
            let planned = PlannedAssertion::new(suite, assertion);
            if let Some(first) = assertions.get(&planned.id) {
                let hint = Some(format!(
                    "it is that of {}:{}; give one of them a `name`",
                    first.file, first.line
                ));
                let message = format!("two assertions have the id `{}`", planned.id);
                errors.push(suite.error(&assertion.path, message, hint));
                continue;
            }
            assertions.insert(planned.id.clone(), planned);
        }
        let paths = (0..inventory.connections.len()).map(|index| format!("connections[{index}]"));
        let paths = paths.chain(std::iter::repeat("peers".to_owned()));
        for (own, path) in wires(&inventory).into_iter().chain(peers(&inventory)).zip(paths) {
            if let Some(first) = assertions.get(&own.id) {
                errors.push(Problem {
                    file: Some(own.file),
                    place: Some((own.line, 1)),
                    path,
                    message: format!("two assertions have the id `{}`", own.id),
                    hint: Some(format!("the other one is that of {}:{}", first.file, first.line)),
                });
                continue;
            }
            assertions.insert(own.id.clone(), own);
        }
        if !errors.is_empty() {
            return Err(Problems(errors));
        }
        let suite_files = suites.iter().map(|suite| suite.file.clone()).collect();
        Ok(Self { inventory, suite_files, assertions: assertions.into_values().collect() })
    }

    /// The port checks of what `assertion` connects to, on whichever VM: when one of them is red, that is why.
    pub fn leans_on(&self, assertion: &PlannedAssertion) -> Vec<&PlannedAssertion> {
        let ends = assertion.expectation.connects_to();
        let ends: Vec<_> = ends
            .iter()
            .filter_map(|(host, port)| Some((self.vm_at(&assertion.vm, host)?, *port)))
            .collect();
        let is_port = |one: &&PlannedAssertion| match &one.expectation {
            Expectation::PortListening(listening) => {
                ends.iter().any(|(vm, port)| *vm == one.vm && listening.is_about_tcp(*port))
            }
            _ => false,
        };
        self.assertions.iter().filter(|one| one.id != assertion.id).filter(is_port).collect()
    }

    /// The VM that `host` means when it is said on `vm`.
    pub(super) fn vm_at<'a>(&'a self, vm: &'a str, host: &str) -> Option<&'a str> {
        if matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]") {
            return Some(vm);
        }
        let known = |vm: &&Vm| vm.name == host || vm.address.as_deref() == Some(host);
        self.inventory.vms.values().find(known).map(|vm| vm.name.as_str())
    }

    /// The assertions of each VM that has any, in the order of the inventory.
    pub fn by_vm(&self) -> Vec<(&Vm, Vec<&PlannedAssertion>)> {
        let mut groups: HashMap<&str, Vec<&PlannedAssertion>> = HashMap::new();
        for assertion in &self.assertions {
            groups.entry(&assertion.vm).or_default().push(assertion);
        }
        self.inventory
            .vms
            .values()
            .filter_map(|vm| Some((vm, groups.remove(vm.name.as_str())?)))
            .collect()
    }
}

/// The scenario and the test of wires.
pub const WIRES: &str = "wires";

/// The scenario and the test of what VMs are to each other.
pub const PEERS: &str = "peers";

/// The edges of the inventory, each as an assertion on the VM that connects.
fn wires(inventory: &Inventory) -> Vec<PlannedAssertion> {
    let one = |(edge, line): (&Connection, &usize)| {
        let far = inventory.vms.get(&edge.to)?;
        let wire = Wire {
            from: edge.from.clone(),
            to: edge.to.clone(),
            address: far.address.clone().unwrap_or_else(|| far.ssh.host.clone()),
            port: edge.port,
            protocol: edge.protocol,
            intent: edge.intent.clone(),
            deny: edge.deny,
        };
        Some(PlannedAssertion::derived(
            inventory,
            *line,
            WIRES,
            &edge.from,
            Expectation::Wire(wire),
        ))
    };
    inventory.connections.iter().zip(&inventory.connection_lines).filter_map(one).collect()
}

/// What must hold between the VMs, on each of them; one VM has no peers.
fn peers(inventory: &Inventory) -> Vec<PlannedAssertion> {
    let Some((peers, line)) = inventory.peers.filter(|_| inventory.vms.len() > 1) else {
        return Vec::new();
    };
    // Every VM has that of the loopback.
    let address = |vm: &Vm| {
        vm.address.as_ref()?.parse::<IpAddr>().ok().filter(|address| !address.is_loopback())
    };
    let one = |vm: &Vm| {
        let others = inventory.vms.values().filter(|other| other.name != vm.name);
        let others: Vec<_> = others.map(|other| (other.name.clone(), address(other))).collect();
        let identity = Aspect::Identity { address: address(vm) };
        let clock =
            peers.clocks_within.map(|Span(within)| Aspect::Clock { within, read: READ_CLOCK });
        let peer = |aspect| Peer { vm: vm.name.clone(), others: others.clone(), aspect };
        let aspects = std::iter::once(identity).chain(clock).map(peer);
        let planned = |peer| {
            PlannedAssertion::derived(inventory, line, PEERS, &vm.name, Expectation::Peer(peer))
        };
        aspects.map(planned).collect::<Vec<_>>()
    };
    inventory.vms.values().flat_map(one).collect()
}

impl PlannedAssertion {
    /// The VMs that are logged in to for it.
    pub fn vms(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.vm.as_str()).chain(self.expectation.others())
    }

    /// Of what the inventory declares, at this line.
    fn derived(
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

    fn new(suite: &Suite, assertion: &SuiteAssertion) -> Self {
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
