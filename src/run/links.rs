//! The links to all VMs of an inventory, each behind its jump host.

use std::collections::HashMap;
use std::sync::Arc;

use super::link::{Jump, Link};
use crate::secrets::Secrets;
use crate::spec::inventory::{Inventory, Ssh, Via, Vm};
use crate::ssh::host_key::HostKeyPolicy;
use crate::ssh::{Limits, Target};

/// The link to each VM, by name.
pub(super) type Links = HashMap<String, Arc<Link>>;

/// Makes the links of all VMs; connects to nothing yet.
pub(super) fn links(inventory: &Inventory, secrets: &Secrets, limits: Limits) -> Links {
    let mut making = Making { inventory, secrets, limits, made: HashMap::new() };
    for vm in inventory.vms.values() {
        making.link(vm);
    }
    making.made
}

struct Making<'a> {
    inventory: &'a Inventory,
    secrets: &'a Secrets,
    limits: Limits,
    made: Links,
}

impl Making<'_> {
    /// Jump hosts first; an inventory has no circle of them.
    fn link(&mut self, vm: &Vm) -> Arc<Link> {
        if let Some(link) = self.made.get(&vm.name) {
            return link.clone();
        }
        let jump = self.jump(vm);
        let target = self.target(vm, vm.ssh.clone());
        let link = Arc::new(Link::new(&vm.name, target, jump, self.limits, vm.readiness));
        self.made.insert(vm.name.clone(), link.clone());
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
                Jump::Host(Box::new(self.target(vm, ssh)))
            }
        }
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
