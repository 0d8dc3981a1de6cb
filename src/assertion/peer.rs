//! A VM among its peers: its identity is unique, and its clock agrees with the others.
//!
//! A suite cannot contain it: the `peers` of the inventory ask for it on every VM.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::facts::{Clock, PeerIdentity, PeerReading, READ_CLOCK, READ_IDENTITY, READ_LATE_CLOCK};
use super::judgement::{Judgement, Unclear};
use super::peers::{AllFacts, Compared};

/// A VM to compare with its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Name of the VM.
    pub vm: String,
    /// All VMs that are compared, this one among them.
    pub all: Arc<Compared>,
    /// What to compare.
    pub aspect: Aspect,
}

/// What to compare between VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// Machine-id, host key and MAC addresses are unique, and no other VM has this VM's address.
    Identity {
        /// Its address on the lab's network.
        address: Option<IpAddr>,
        /// Whether the VM counts as one of the others, too: then it cannot be unique.
        is_its_own_peer: bool,
    },
    /// Its clock is close to the median of all clocks.
    Clock {
        /// How close it must be.
        within: Duration,
        /// The remote command that reads the VM's clock.
        read: &'static str,
    },
}

impl Aspect {
    /// `identity` or `clock`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Identity { .. } => "identity",
            Self::Clock { .. } => "clock",
        }
    }
}

/// What was seen of a VM and its peers.
#[derive(Debug, Clone)]
pub struct PeerSeen {
    /// Of the VM.
    pub own: PeerReading,
    /// Of all VMs that could be asked; it may contain an older reading of the VM.
    pub facts: Arc<AllFacts>,
}

impl Peer {
    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        match self.aspect {
            Aspect::Identity { address: None, .. } => {
                "machine-id, host key and MAC addresses are unique".to_owned()
            }
            Aspect::Identity { address: Some(address), .. } => {
                format!(
                    "machine-id, host key and MAC addresses are unique, and it alone has {address}"
                )
            }
            Aspect::Clock { within, .. } => {
                format!("its clock is within {} of the others", humantime::format_duration(within))
            }
        }
    }

    /// How bootproof checks it, in one line.
    pub fn how(&self) -> String {
        let command = match self.aspect {
            Aspect::Identity { .. } => READ_IDENTITY,
            Aspect::Clock { read, .. } => read,
        };
        format!("run: {command} (and compare with {})", self.all.others(&self.vm))
    }

    /// The name of the VM that was reached instead of this one, if that was seen.
    pub fn reached_instead<'a>(&'a self, seen: &'a PeerSeen) -> Option<&'a str> {
        match &seen.own {
            PeerReading::Identity(own) => self.instead(own, &seen.facts).map(|(name, _)| name),
            PeerReading::Clock(_) => None,
        }
    }

    /// The other VM whose address this machine has, and not that of this VM. The login of the other
    /// VM must reach another machine: if both have the address, one of them has stolen it.
    fn instead<'a>(&'a self, own: &PeerIdentity, facts: &AllFacts) -> Option<(&'a str, IpAddr)> {
        let Aspect::Identity { address: Some(address), .. } = self.aspect else { return None };
        if own.addresses.contains(&address) {
            return None;
        }
        let [(name, its)] = self.addresses_of_others(own)[..] else { return None };
        let other = facts.identity(name)?;
        (!other.addresses.contains(&its)).then_some((name, its))
    }

    /// The addresses of this machine that the inventory gives to another VM.
    fn addresses_of_others(&self, own: &PeerIdentity) -> Vec<(&str, IpAddr)> {
        let owned = own
            .addresses
            .iter()
            .flat_map(|its| self.all.owners(*its).iter().map(|name| (name.as_str(), *its)));
        owned.filter(|(name, _)| *name != self.vm).collect()
    }

    /// Whether its clock is read by the command by which all clocks are read.
    pub fn reads_as_others_do(&self) -> bool {
        !matches!(self.aspect, Aspect::Clock { read, .. } if read != READ_CLOCK)
    }

    /// The last part of the id.
    pub fn slug(&self) -> String {
        self.aspect.word().to_owned()
    }

    /// An assertion that must fail, and what it does, in one line: it compares the VM with itself,
    /// or reads a clock that is an hour off.
    pub fn counter_example(&self) -> (String, Self) {
        let (what, aspect) = match self.aspect {
            Aspect::Identity { address, .. } => (
                format!("compare {} with itself", self.vm),
                Aspect::Identity { address, is_its_own_peer: true },
            ),
            Aspect::Clock { within, .. } => {
                (format!("run: {READ_LATE_CLOCK}"), Aspect::Clock { within, read: READ_LATE_CLOCK })
            }
        };
        (what, Self { aspect, ..self.clone() })
    }

    /// Whether the VM is unique, or its clock is right.
    ///
    /// # Panics
    /// If the observation is about another aspect.
    pub fn judge(&self, seen: &PeerSeen) -> Judgement {
        match (self.aspect, &seen.own) {
            (Aspect::Identity { .. }, PeerReading::Identity(own)) => {
                match self.judge_identity(own, &seen.facts) {
                    Judgement::Holds if !self.has_peers(seen.facts.with_identity()) => {
                        Judgement::Unclear(Unclear::NobodyToCompare)
                    }
                    judgement => judgement,
                }
            }
            (Aspect::Clock { within, .. }, PeerReading::Clock(own)) => {
                if !self.has_peers(seen.facts.with_clock()) {
                    return Judgement::Unclear(Unclear::NobodyToCompare);
                }
                self.judge_clock(within, *own, &seen.facts)
            }
            _ => unreachable!("the probe returned an observation of another aspect"),
        }
    }

    /// Whether one of these VMs is another one; with a counter-example, the VM itself counts.
    fn has_peers<'a>(&self, mut known: impl Iterator<Item = &'a str>) -> bool {
        known.any(|name| self.is_peer(name))
    }

    fn is_peer(&self, name: &str) -> bool {
        let counts = matches!(self.aspect, Aspect::Identity { is_its_own_peer: true, .. });
        counts || name != self.vm
    }

    fn judge_identity(&self, own: &PeerIdentity, facts: &AllFacts) -> Judgement {
        let Aspect::Identity { address, .. } = self.aspect else {
            unreachable!("the caller looked at the aspect")
        };
        if let (Some((other, its)), Some(address)) = (self.instead(own, facts), address) {
            let message = format!(
                "the login reaches {other}, not {}: the machine has {its}, the address of {other}, \
                 and not {address}; are the SSH entries in the inventory swapped?",
                self.vm
            );
            return Judgement::differs(message, self.describe(), own.to_string());
        }
        let mut shared = self.shared(own, facts, address);
        let stolen = self.addresses_of_others(own).into_iter();
        shared.extend(stolen.map(|(name, its)| format!("{its}, the address of {name}")));
        let mut faults = Vec::new();
        if !shared.is_empty() {
            faults.push(format!("it has {}", shared.join(", and ")));
        }
        if let Some(address) = address.filter(|address| !own.addresses.contains(address)) {
            faults.push(format!("it does not have its declared address {address}"));
        }
        if faults.is_empty() {
            return Judgement::Holds;
        }
        Judgement::differs(faults.join("; "), self.describe(), own.to_string())
    }

    /// What this machine must not have in common with another one.
    fn shared(&self, own: &PeerIdentity, facts: &AllFacts, address: Option<IpAddr>) -> Vec<String> {
        let others = |names: &[Arc<str>]| {
            let names: Vec<&str> =
                names.iter().map(|name| &**name).filter(|name| self.is_peer(name)).collect();
            (!names.is_empty()).then(|| listed(&names))
        };
        let mut shared = Vec::new();
        if let Some(id) = &own.machine_id {
            let names = others(facts.with_machine_id(id));
            shared.extend(names.map(|names| format!("the machine-id of {names}")));
        }
        let names = others(facts.with_host_key(&own.host_key));
        shared.extend(names.map(|names| format!("the host key of {names}")));
        for mac in &own.macs {
            let names = others(facts.with_mac(mac));
            shared.extend(names.map(|names| format!("the MAC address {mac} of {names}")));
        }
        if let Some(address) = address {
            let names = others(facts.with_address(address));
            shared.extend(
                names.map(|names| format!("the address {address}, which {names} has, too")),
            );
        }
        shared
    }

    /// The median of all clocks, including ours, is right, so one wrong clock does not make others
    /// red. How far it is off is known from one bound to another.
    fn judge_clock(&self, within: Duration, own: Clock, facts: &AllFacts) -> Judgement {
        let right = facts.right_clock();
        let within = within.as_secs_f64();
        let (low, high) =
            (own.ahead - own.doubt - right.latest, own.ahead + own.doubt - right.earliest);
        if -within <= low && high <= within {
            return Judgement::Holds;
        }
        if low <= within && -within <= high {
            let doubt = (high - low) / 2.0;
            return Judgement::Unclear(Unclear::SlowClocks(format!("{doubt:.1} s")));
        }
        let off = f64::midpoint(low, high);
        let direction = if off > 0.0 { "ahead" } else { "behind" };
        let by = Duration::try_from_secs_f64(off.abs().round()).unwrap_or(Duration::MAX);
        let clocks = facts.describe_clocks(&self.vm);
        Judgement::differs(
            format!("its clock is {} {direction}", humantime::format_duration(by)),
            self.describe(),
            format!("compared with this machine: {} {:+.1} s, {clocks}", self.vm, own.ahead),
        )
    }
}

/// So many names are listed.
const NAMES: usize = 3;

/// `a`, `a and b`, `a, b, c and 7 more VMs`.
fn listed(names: &[&str]) -> String {
    match names {
        [name] => (*name).to_owned(),
        [first, second] => format!("{first} and {second}"),
        [shown @ .., last] if names.len() <= NAMES => format!("{} and {last}", shown.join(", ")),
        _ => {
            let more = names.len() - NAMES;
            let plural = if more == 1 { "" } else { "s" };
            format!("{} and {more} more VM{plural}", names[..NAMES].join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn identity(address: &str) -> PeerIdentity {
        PeerIdentity {
            machine_id: Some(address.to_owned()),
            host_key: address.to_owned(),
            macs: BTreeSet::from(["52:54:00:00:00:01".to_owned()]),
            addresses: BTreeSet::from([address.parse().unwrap()]),
        }
    }

    /// `redis` beside `a` and `b`; the inventory knows the address of `a`.
    fn peer(aspect: Aspect) -> Peer {
        let vms = [("redis", "10.71.0.40"), ("a", "10.71.0.10"), ("b", "")];
        let vms = vms.map(|(name, address)| (name.to_owned(), address.parse().ok()));
        Peer { vm: "redis".to_owned(), all: Arc::new(vms.into_iter().collect()), aspect }
    }

    fn facts(of: impl IntoIterator<Item = (&'static str, PeerReading)>) -> Arc<AllFacts> {
        let mut facts = AllFacts::default();
        for (name, reading) in of {
            facts.note(name, reading);
        }
        facts.compare();
        Arc::new(facts)
    }

    fn message(judgement: &Judgement) -> &str {
        match judgement {
            Judgement::Differs(mismatch) => &mismatch.message,
            other => panic!("{other:?}"),
        }
    }

    fn judged(own: &PeerIdentity, others: [Option<PeerIdentity>; 2]) -> Judgement {
        let known = ["a", "b"].into_iter().zip(others).filter_map(|(name, it)| Some((name, it?)));
        let known = known.chain([("redis", own.clone())]);
        let facts = facts(known.map(|(name, it)| (name, PeerReading::Identity(it))));
        let address = "10.71.0.40".parse().ok();
        peer(Aspect::Identity { address, is_its_own_peer: false })
            .judge(&PeerSeen { own: PeerReading::Identity(own.clone()), facts })
    }

    #[test]
    fn each_part_of_an_identity_must_be_unique() {
        let own = identity("10.71.0.40");
        let other = PeerIdentity { macs: BTreeSet::new(), ..identity("10.71.0.10") };
        let beside = |twin: PeerIdentity| judged(&own, [Some(other.clone()), Some(twin)]);
        assert_eq!(beside(other.clone()), Judgement::Holds);
        let same_id = PeerIdentity { machine_id: own.machine_id.clone(), ..other.clone() };
        assert_eq!(message(&beside(same_id)), "it has the machine-id of b");
        let same_key = PeerIdentity { host_key: own.host_key.clone(), ..other.clone() };
        assert_eq!(message(&beside(same_key)), "it has the host key of b");
        let same_mac = PeerIdentity { macs: own.macs.clone(), ..other.clone() };
        assert_eq!(message(&beside(same_mac)), "it has the MAC address 52:54:00:00:00:01 of b");
        let same_address = PeerIdentity { addresses: own.addresses.clone(), ..other.clone() };
        assert_eq!(
            message(&beside(same_address)),
            "it has the address 10.71.0.40, which b has, too"
        );
        let lost = PeerIdentity { addresses: BTreeSet::new(), ..own.clone() };
        assert_eq!(
            message(&judged(&lost, [Some(other.clone()), None])),
            "it does not have its declared address 10.71.0.40"
        );
        let mut thief = own.clone();
        thief.addresses.insert("10.71.0.10".parse().unwrap());
        // This shows even if the owner could not be asked.
        let without_owner =
            judged(&thief, [None, Some(PeerIdentity { addresses: BTreeSet::new(), ..other })]);
        assert_eq!(message(&without_owner), "it has 10.71.0.10, the address of a");
    }

    #[test]
    fn unknown_machine_ids_are_not_equal() {
        let without =
            |address| PeerIdentity { machine_id: None, macs: BTreeSet::new(), ..identity(address) };
        assert_eq!(
            judged(&without("10.71.0.40"), [Some(without("10.71.0.10")), None]),
            Judgement::Holds
        );
    }

    #[test]
    fn without_peers_it_is_unclear() {
        let judgement = judged(&identity("10.71.0.40"), [None, None]);
        assert_eq!(judgement, Judgement::Unclear(Unclear::NobodyToCompare));
        // Its own address can be judged alone.
        let message_of = judged(&identity("10.71.0.10"), [None, None]);
        assert!(
            message(&message_of).starts_with("it has 10.71.0.10, the address of a"),
            "{message_of:?}"
        );
    }

    #[test]
    fn many_names_are_not_listed() {
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
        assert_eq!(listed(&["a", "b", "c", "d"]), "a, b, c and 1 more VM");
        assert_eq!(listed(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more VMs");
    }

    fn clock(own: f64, others: [f64; 2]) -> Judgement {
        let clock = |ahead| PeerReading::Clock(Clock { ahead, doubt: 0.1 });
        let [a, b] = others.map(clock);
        let facts = facts([("redis", clock(own)), ("a", a), ("b", b)]);
        peer(Aspect::Clock { within: Duration::from_secs(5), read: READ_CLOCK })
            .judge(&PeerSeen { own: clock(own), facts })
    }

    #[test]
    fn only_the_wrong_clock_is_red() {
        assert_eq!(message(&clock(3600.0, [0.1, -0.1])), "its clock is 1h ahead");
        assert_eq!(message(&clock(-7.0, [0.1, -0.1])), "its clock is 7s behind");
        assert_eq!(clock(0.0, [3600.0, 0.1]), Judgement::Holds);
        // Our own clock may be the wrong one.
        assert_eq!(clock(3600.0, [3600.1, 3599.9]), Judgement::Holds);
        // Within the doubt it is unclear.
        assert_eq!(clock(4.7, [0.0, 0.0]), Judgement::Holds);
        assert!(matches!(clock(4.9, [0.0, 0.0]), Judgement::Unclear(Unclear::SlowClocks(_))));
        assert!(matches!(clock(5.1, [0.0, 0.0]), Judgement::Unclear(Unclear::SlowClocks(_))));
        assert!(matches!(clock(5.3, [0.0, 0.0]), Judgement::Differs(_)));
    }
}
