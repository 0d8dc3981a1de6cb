//! What is known of all VMs that are compared with each other, found in one look for each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use indexmap::IndexMap;

use super::facts::{Clock, Facts, PeerIdentity, PeerReading};

/// So many clocks are listed one by one.
const CLOCKS: usize = 8;

/// The VMs that are compared, as the inventory declares them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    names: Vec<String>,
    /// The VMs that have an address on the lab's network.
    owners: HashMap<IpAddr, Vec<String>>,
}

impl FromIterator<(String, Option<IpAddr>)> for Compared {
    fn from_iter<T: IntoIterator<Item = (String, Option<IpAddr>)>>(vms: T) -> Self {
        let mut compared = Self::default();
        for (name, address) in vms {
            if let Some(address) = address {
                compared.owners.entry(address).or_default().push(name.clone());
            }
            compared.names.push(name);
        }
        compared
    }
}

impl Compared {
    /// The VMs that have this address.
    pub fn owners(&self, address: IpAddr) -> &[String] {
        self.owners.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Those besides `vm`, in words.
    pub fn others(&self, vm: &str) -> String {
        let others = self.names.iter().filter(|name| *name != vm);
        if self.names.len() > CLOCKS {
            return format!("{} other VMs", others.count());
        }
        let others: Vec<_> = others.map(String::as_str).collect();
        others.join(", ")
    }
}

/// The VMs with this value.
type Owners<T> = HashMap<T, Vec<Arc<str>>>;

/// What is known of all VMs that could be asked. [`AllFacts::compare`] makes what was noted before
/// comparable.
#[derive(Debug, Clone, Default)]
pub struct AllFacts {
    of: IndexMap<Arc<str>, Facts>,
    machine_ids: Owners<String>,
    host_keys: Owners<String>,
    macs: Owners<String>,
    addresses: Owners<IpAddr>,
    right: RightClock,
}

impl<'a> FromIterator<(&'a str, Facts)> for AllFacts {
    fn from_iter<T: IntoIterator<Item = (&'a str, Facts)>>(vms: T) -> Self {
        let of = vms.into_iter().map(|(vm, facts)| (vm.into(), facts)).collect();
        let mut all = Self { of, ..Self::default() };
        all.compare();
        all
    }
}

/// Between which bounds the right time is, in seconds ahead of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RightClock {
    /// Not before this.
    pub earliest: f64,
    /// Not after this.
    pub latest: f64,
}

impl AllFacts {
    /// Adds what was read of a VM.
    pub fn note(&mut self, vm: &str, reading: PeerReading) {
        self.of.entry(vm.into()).or_default().note(reading);
    }

    /// Finds who has what, once for all comparisons.
    pub fn compare(&mut self) {
        let mut owners = Self { of: std::mem::take(&mut self.of), ..Self::default() };
        for (name, facts) in &owners.of {
            let Some(identity) = &facts.identity else { continue };
            if let Some(id) = &identity.machine_id {
                owners.machine_ids.entry(id.clone()).or_default().push(name.clone());
            }
            let key = owners.host_keys.entry(identity.host_key.clone());
            key.or_default().push(name.clone());
            for mac in &identity.macs {
                owners.macs.entry(mac.clone()).or_default().push(name.clone());
            }
            for address in &identity.addresses {
                owners.addresses.entry(*address).or_default().push(name.clone());
            }
        }
        owners.right = RightClock::of(owners.of.values().filter_map(|facts| facts.clock));
        *self = owners;
    }

    /// Which machine this VM is.
    pub fn identity(&self, vm: &str) -> Option<&PeerIdentity> {
        self.of.get(vm)?.identity.as_ref()
    }

    /// The VMs whose identity is known.
    pub fn with_identity(&self) -> impl Iterator<Item = &str> {
        let known = self.of.iter().filter(|(_, facts)| facts.identity.is_some());
        known.map(|(name, _)| &**name)
    }

    /// The VMs whose clock is known.
    pub fn with_clock(&self) -> impl Iterator<Item = &str> {
        let known = self.of.iter().filter(|(_, facts)| facts.clock.is_some());
        known.map(|(name, _)| &**name)
    }

    /// The VMs with this machine-id.
    pub fn with_machine_id(&self, id: &str) -> &[Arc<str>] {
        self.machine_ids.get(id).map_or(&[], Vec::as_slice)
    }

    /// The VMs with this host key.
    pub fn with_host_key(&self, key: &str) -> &[Arc<str>] {
        self.host_keys.get(key).map_or(&[], Vec::as_slice)
    }

    /// The VMs with a device that has this MAC address.
    pub fn with_mac(&self, mac: &str) -> &[Arc<str>] {
        self.macs.get(mac).map_or(&[], Vec::as_slice)
    }

    /// The VMs that have this address.
    pub fn with_address(&self, address: IpAddr) -> &[Arc<str>] {
        self.addresses.get(&address).map_or(&[], Vec::as_slice)
    }

    /// What the right time is.
    pub fn right_clock(&self) -> RightClock {
        self.right
    }

    /// The clocks besides that of `vm`, in words.
    pub fn describe_clocks(&self, vm: &str) -> String {
        let others = self.of.iter().filter(|(name, _)| &***name != vm);
        let clocks: Vec<_> =
            others.filter_map(|(name, facts)| Some((name, facts.clock?.ahead))).collect();
        if clocks.len() >= CLOCKS {
            let right = f64::midpoint(self.right.earliest, self.right.latest);
            return format!("the median of {} other clocks {right:+.1} s", clocks.len());
        }
        let clocks = clocks.iter().map(|(name, ahead)| format!("{name} {ahead:+.1} s"));
        clocks.collect::<Vec<_>>().join(", ")
    }
}

impl RightClock {
    /// The bounds of the median of these clocks and ours. Whatever the clocks are within their
    /// doubts, the median is between the median of all lower and that of all upper bounds.
    fn of(clocks: impl Iterator<Item = Clock>) -> Self {
        let bounds = clocks.map(|clock| (clock.ahead - clock.doubt, clock.ahead + clock.doubt));
        let (lower, upper): (Vec<f64>, Vec<f64>) = bounds.chain([(0.0, 0.0)]).unzip();
        Self { earliest: median(lower), latest: median(upper) }
    }
}

/// Of at least one value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_known_better_than_the_worst_clock() {
        let clock = |ahead, doubt| Clock { ahead, doubt };
        let slow = [clock(0.0, 0.1), clock(0.1, 0.1), clock(0.2, 60.0)];
        let right = RightClock::of(slow.into_iter());
        assert!(right.earliest >= -0.1 && right.latest <= 0.2, "{right:?}");
    }

    #[test]
    fn the_others_are_named_or_counted() {
        let compared = |count: u8| {
            let vms = (0..count).map(|at| (format!("vm{at}"), Some(IpAddr::from([10, 0, 0, at]))));
            vms.collect::<Compared>()
        };
        assert_eq!(compared(3).others("vm1"), "vm0, vm2");
        assert_eq!(compared(100).others("vm1"), "99 other VMs");
        assert_eq!(compared(3).owners(IpAddr::from([10, 0, 0, 2])), ["vm2"]);
    }
}
