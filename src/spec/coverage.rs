//! Coverage: which declared VMs and ports no assertion looks at.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU16;
use std::sync::Arc;

use super::inventory::Vm;
use super::plan::{Plan, PlannedAssertion};
use crate::assertion::Expectation;
use crate::assertion::port_listening::Protocol;

/// How many of the declared VMs and ports have an assertion. Wires need no coverage: each is an
/// assertion itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// How many VMs and ports the inventory declares.
    pub declared: usize,
    /// Those without an assertion in the plan.
    pub uncovered: Vec<Uncovered>,
}

/// A declared VM or port without an assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncovered {
    /// The VM's name.
    pub vm: String,
    /// The port; `None` for the VM itself.
    pub port: Option<(NonZeroU16, Protocol)>,
}

impl Coverage {
    /// The coverage of a whole plan, whatever part of it is selected.
    pub fn of(plan: &Plan) -> Self {
        Self::on(plan, |_| true)
    }

    /// The coverage of these VMs, by the assertions of the whole plan.
    pub fn on(plan: &Plan, is_meant: impl Fn(&str) -> bool) -> Self {
        let vms = plan.inventory.vms.values().filter(|vm| is_meant(&vm.name));
        let all: Vec<_> = vms.flat_map(declared).collect();
        let declared = all.len();
        let covered = Covered::by(plan);
        let uncovered = all.into_iter().filter(|item| !covered.has(item)).collect();
        Self { declared, uncovered }
    }
}

/// A VM and its ports.
fn declared(vm: &Vm) -> Vec<Uncovered> {
    let tcp = vm.ports.iter().map(|port| Some((*port, Protocol::Tcp)));
    let udp = vm.udp_ports.iter().map(|port| Some((*port, Protocol::Udp)));
    let ports = std::iter::once(None).chain(tcp).chain(udp);
    ports.map(|port| Uncovered { vm: vm.name.clone(), port }).collect()
}

impl Uncovered {
    /// The last parts of its id: `redis::9121`, `dns::53-udp`, or the VM alone.
    pub fn slug(&self) -> String {
        match self.port {
            None => self.vm.clone(),
            Some((port, Protocol::Tcp)) => format!("{}::{port}", self.vm),
            Some((port, Protocol::Udp)) => format!("{}::{port}-udp", self.vm),
        }
    }

    /// `9121/tcp of redis`, or the VM alone.
    pub fn describe(&self) -> String {
        self.port.map_or_else(
            || self.vm.clone(),
            |(port, protocol)| format!("{port}/{} of {}", protocol.word(), self.vm),
        )
    }
}

/// The VMs and ports that assertions are about.
#[derive(Default)]
struct Covered<'a> {
    vms: HashSet<&'a str>,
    ports: HashSet<(&'a str, u16, Protocol)>,
}

impl<'a> Covered<'a> {
    fn by(plan: &'a Plan) -> Self {
        let mut covered = Self::default();
        // Assertions on several VMs share what they expect.
        let mut ends: HashMap<*const Expectation, Vec<(String, u16)>> = HashMap::new();
        for assertion in &plan.assertions {
            let expectation = &assertion.expectation;
            covered.add(assertion);
            let ends = ends
                .entry(Arc::as_ptr(expectation))
                .or_insert_with(|| ends_covered_by(expectation));
            for (host, port) in ends.iter() {
                if let Some(vm) = plan.vm_at(&assertion.vm, host) {
                    covered.ports.insert((vm, *port, Protocol::Tcp));
                }
            }
        }
        covered
    }

    /// What an assertion covers, apart from the ports that it connects to.
    fn add(&mut self, assertion: &'a PlannedAssertion) {
        match &*assertion.expectation {
            // Every VM has these, so they say nothing about the purpose of this one.
            Expectation::Peer(_) => {}
            Expectation::Wire(wire) if wire.deny => {}
            Expectation::Wire(wire) => {
                self.ports.insert((&wire.to, wire.port, wire.protocol));
            }
            Expectation::PortListening(seen) => {
                self.vms.insert(&assertion.vm);
                self.ports.insert((&assertion.vm, seen.port.get(), seen.protocol));
            }
            _ => {
                self.vms.insert(&assertion.vm);
            }
        }
    }

    fn has(&self, item: &Uncovered) -> bool {
        match item.port {
            None => self.vms.contains(item.vm.as_str()),
            Some((port, protocol)) => {
                self.ports.contains(&(item.vm.as_str(), port.get(), protocol))
            }
        }
    }
}

/// Hosts and TCP ports that an assertion connects to; those of a wire are known better.
fn ends_covered_by(expectation: &Expectation) -> Vec<(String, u16)> {
    match expectation {
        Expectation::Wire(_) => Vec::new(),
        other => other.connects_to(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::inventory::Inventory;
    use super::super::suite::Suite;
    use super::*;

    /// The slugs of what is uncovered in a lab of two VMs, `app` and `db`; `db` has these ports.
    fn uncovered(ports: &Value, assertions: &Value, connections: &Value) -> Vec<String> {
        let inventory = json!({
            "lab": "l",
            "defaults": {"user": "ops", "agent": true},
            "vms": {"app": {"address": "10.0.0.1"}, "db": {"address": "10.0.0.2"}},
            "connections": connections,
        });
        let mut inventory = inventory;
        for (key, value) in ports.as_object().unwrap() {
            inventory["vms"]["db"][key] = value.clone();
        }
        let test = json!({"name": "t", "assertions": assertions});
        let suite = json!({"scenarios": [{"name": "s", "custom_tests": [test]}]});
        let inventory = Inventory::parse("i", &inventory.to_string()).unwrap();
        let plan =
            Plan::resolve(&[Suite::parse("s", &suite.to_string()).unwrap()], inventory).unwrap();
        Coverage::of(&plan).uncovered.iter().map(Uncovered::slug).collect()
    }

    const ON_APP: &str = r#"{"type": "command_output", "on_vm": "app", "command": "true"}"#;

    fn with(assertion: &Value) -> Value {
        json!([serde_json::from_str::<Value>(ON_APP).unwrap(), assertion])
    }

    #[test]
    fn a_vm_without_an_assertion_of_its_own_is_uncovered() {
        let (none, only_app) = (json!({}), json!([serde_json::from_str::<Value>(ON_APP).unwrap()]));
        let wire = json!([{"from": "db", "to": "app", "port": 1}]);
        assert_eq!(uncovered(&none, &only_app, &wire), ["db"]);
        let both = with(&json!({"type": "command_output", "on_vm": "db", "command": "true"}));
        assert!(uncovered(&none, &both, &json!([])).is_empty());
    }

    #[test]
    fn any_assertion_about_a_port_covers_it() {
        let ports = json!({"ports": [5432]});
        let looks = |assertion: Value| uncovered(&ports, &with(&assertion), &json!([]));
        assert_eq!(
            looks(json!({"type": "port_listening", "on_vm": "db", "port": 5433})),
            ["db::5432"]
        );
        assert_eq!(
            looks(
                json!({"type": "port_listening", "on_vm": "db", "port": 5432, "protocol": "udp"})
            ),
            ["db::5432"]
        );
        for one in [
            json!({"type": "port_listening", "on_vm": "db", "port": 5432}),
            json!({"type": "http_responds", "on_vm": "db", "url": "http://localhost:5432/"}),
        ] {
            assert!(looks(one.clone()).is_empty(), "{one}");
        }
        // A check from elsewhere covers the port, but not the VM itself.
        assert_eq!(
            looks(
                json!({"type": "command_output", "on_vm": "app", "command": "nc -z 10.0.0.2 5432"})
            ),
            ["db"]
        );
        let wire = |deny: bool| json!([{"from": "app", "to": "db", "port": 5432, "deny": deny}]);
        let on_db = with(&json!({"type": "command_output", "on_vm": "db", "command": "true"}));
        assert!(uncovered(&ports, &on_db, &wire(false)).is_empty());
        assert_eq!(uncovered(&ports, &on_db, &wire(true)), ["db::5432"]);
    }

    #[test]
    fn tcp_and_udp_ports_are_covered_separately() {
        let ports = json!({"udp_ports": [53]});
        let looks = |assertion: Value| uncovered(&ports, &with(&assertion), &json!([]));
        assert_eq!(
            looks(json!({"type": "port_listening", "on_vm": "db", "port": 53})),
            ["db::53-udp"]
        );
        assert!(
            looks(json!({"type": "port_listening", "on_vm": "db", "port": 53, "protocol": "udp"}))
                .is_empty()
        );
    }
}
