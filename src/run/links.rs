//! The links to all VMs of an inventory, each behind its jump host.

use std::collections::HashMap;
use std::sync::Arc;

use super::jump_host::JumpHost;
use super::link::{Jump, Link};
use super::window::Window;
use crate::secrets::Secrets;
use crate::spec::inventory::{Inventory, Ssh, Via, Vm};
use crate::spec::plan::PlannedAssertion;
use crate::ssh::host_key::HostKeyPolicy;
use crate::ssh::{Limits, Target};

/// The links to all VMs, and the jump hosts that are none.
#[derive(Default)]
pub(super) struct Links {
    of: HashMap<String, Arc<Link>>,
    jump_hosts: Vec<Arc<JumpHost>>,
}

impl Links {
    /// Makes the links of all VMs; connects to nothing yet.
    pub(super) fn new(
        inventory: &Inventory,
        secrets: &Secrets,
        limits: Limits,
        window: &Arc<Window>,
    ) -> Self {
        let mut making = Making { inventory, secrets, limits, window, made: Self::default() };
        for vm in inventory.vms.values() {
            making.link(vm);
        }
        making.made
    }

    /// Says that a VM will be visited, and these assertions checked there.
    pub(super) fn need(&self, vm: &str, assertions: &[PlannedAssertion]) {
        let others = assertions.iter().flat_map(|one| one.expectation.others());
        for link in std::iter::once(vm).chain(others).filter_map(|name| self.of.get(name)) {
            link.need();
        }
    }

    /// The link to a VM of the inventory.
    pub(super) fn get(&self, vm: &str) -> Option<&Arc<Link>> {
        self.of.get(vm)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Arc<Link>)> {
        self.of.iter()
    }

    /// Ends all connections, those of the jump hosts last.
    pub(super) async fn disconnect(&self) {
        for link in self.of.values() {
            link.disconnect().await;
        }
        for host in &self.jump_hosts {
            host.disconnect().await;
        }
    }
}

struct Making<'a> {
    inventory: &'a Inventory,
    secrets: &'a Secrets,
    limits: Limits,
    window: &'a Arc<Window>,
    made: Links,
}

impl Making<'_> {
    /// Jump hosts first; an inventory has no circle of them.
    fn link(&mut self, vm: &Vm) -> Arc<Link> {
        if let Some(link) = self.made.of.get(&vm.name) {
            return link.clone();
        }
        let jump = self.jump(vm);
        let target = self.target(vm, vm.ssh.clone());
        let link = Link::new(&vm.name, target, jump, self.limits, vm.readiness, self.window);
        let link = Arc::new(link);
        self.made.of.insert(vm.name.clone(), link.clone());
        link
    }

    fn jump(&mut self, vm: &Vm) -> Jump {
        match &vm.ssh.via {
            None => Jump::Direct,
            Some(Via::Vm(name)) => Jump::Vm(self.link(&self.inventory.vms[name])),
            Some(Via::Host { user, host, port }) => {
                let ssh = Ssh {
                    user: user.clone(),
                    host: host.clone(),
                    port: *port,
                    // The pin is the VM's; the jump host must be known otherwise.
                    host_key: None,
                    ..vm.ssh.clone()
                };
                Jump::Host(self.jump_host(vm, ssh))
            }
        }
    }

    /// VMs that log in to a jump host in the same way share one connection to it.
    fn jump_host(&mut self, vm: &Vm, ssh: Ssh) -> Arc<JumpHost> {
        let known = self.made.jump_hosts.iter().find(|host| host.is_reached_by(&ssh));
        if let Some(host) = known {
            return host.clone();
        }
        let host = Arc::new(JumpHost::new(self.target(vm, ssh)));
        self.made.jump_hosts.push(host.clone());
        host
    }

    fn target(&self, vm: &Vm, ssh: Ssh) -> Target {
        let host_keys = HostKeyPolicy {
            pin: ssh.host_key.clone(),
            known_hosts: HostKeyPolicy::usual_known_hosts(),
            lab_known_hosts: self.inventory.known_hosts.clone(),
        };
        Target { host_keys, secrets: self.secrets.of(&vm.name), ssh }
    }
}
