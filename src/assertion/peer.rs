//! A VM among its peers: its identity is unique, and its clock agrees with the others.
//!
//! A suite cannot contain it: the `peers` of the inventory ask for it on every VM.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::judgement::{Judgement, Unclear};

/// The remote command that prints the identity of a machine. It works for any user on any Linux.
/// Only the MAC addresses of hardware devices must be unique.
pub const READ_IDENTITY: &str = "sh -c 'echo \"machine-id $(cat /etc/machine-id)\"; \
    for device in /sys/class/net/*/device; do echo \"mac $(cat ${device%device}address)\"; done; \
    cat /proc/net/fib_trie /proc/net/if_inet6; echo @end' 2>/dev/null";

/// The remote command that says that it is ready, waits for a line, and prints the time: so the
/// time that a busy VM needs to start a shell makes no clock uncertain.
pub const READ_CLOCK: &str = "sh -c 'echo ready; read -r go; date +%s.%N'";

/// The same with the time an hour from now, as a wrong clock would print it.
pub const READ_LATE_CLOCK: &str = "sh -c 'echo ready; read -r go; date -d \"+1 hour\" +%s.%N'";

/// A VM to compare with its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Name of the VM.
    pub vm: String,
    /// Names of the other VMs, each with its address on the lab's network.
    pub others: Vec<(String, Option<IpAddr>)>,
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
    },
    /// Its clock is close to the median of all clocks.
    Clock {
        /// How close it must be.
        within: Duration,
        /// The remote command that reads the VM's clock.
        read: &'static str,
    },
}

/// What was seen of a VM and its peers; `None` for peers that could not be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerSeen {
    /// Their identities; the VM's own comes first.
    Identity(PeerIdentity, Vec<(String, Option<PeerIdentity>)>),
    /// Their clocks; the VM's own comes first.
    Clock(Clock, Vec<(String, Option<Clock>)>),
}

/// What is unique about a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerIdentity {
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// Fingerprint of its host key.
    pub host_key: String,
    /// MAC addresses of hardware devices.
    pub macs: BTreeSet<String>,
    /// IP addresses, on any device.
    pub addresses: BTreeSet<IpAddr>,
}

/// A remote clock, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    /// How far it is ahead of the clock of this machine.
    pub ahead: f64,
    /// By how much that can be wrong: half the time that the question took.
    pub doubt: f64,
}

impl PeerIdentity {
    /// Reads what [`READ_IDENTITY`] printed; `None` if it is cut off, or if it contains no address,
    /// not even that of the loopback.
    pub fn parse(text: &str, host_key: &str) -> Option<Self> {
        let text = text.trim_end().strip_suffix("@end")?;
        let mut identity = Self { host_key: host_key.to_owned(), ..Self::default() };
        let mut leaf: Option<IpAddr> = None;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["machine-id", id] => identity.machine_id = Some(id.to_owned()),
                ["mac", mac] if !mac.trim_matches(['0', ':']).is_empty() => {
                    identity.macs.insert(mac.to_owned());
                }
                // fib_trie: an address, and below it whether it is one of this machine.
                [branch, address] if branch.ends_with("--") => leaf = address.parse().ok(),
                ["/32", "host", "LOCAL"] => identity.addresses.extend(leaf),
                // if_inet6: 32 digits, then device number, prefix length, scope, flags and name.
                [digits, _, _, _, flags, _] if digits.len() == 32 && !is_taken(flags) => {
                    let address = u128::from_str_radix(digits, 16).ok();
                    identity.addresses.extend(address.map(|bits| IpAddr::V6(Ipv6Addr::from(bits))));
                }
                _ => {}
            }
        }
        identity.addresses.iter().any(IpAddr::is_ipv4).then_some(identity)
    }

    /// What this machine, whose address is `address`, must not have in common with another one.
    fn shared_with(&self, name: &str, other: &Self, address: Option<IpAddr>) -> Vec<String> {
        let mut shared = Vec::new();
        if self.machine_id.is_some() && self.machine_id == other.machine_id {
            shared.push(format!("the machine-id of {name}"));
        }
        if self.host_key == other.host_key {
            shared.push(format!("the host key of {name}"));
        }
        for mac in self.macs.intersection(&other.macs) {
            shared.push(format!("the MAC address {mac} of {name}"));
        }
        if let Some(address) = address.filter(|address| other.addresses.contains(address)) {
            shared.push(format!("the address {address}, which {name} has, too"));
        }
        shared
    }
}

impl Clock {
    /// Reads what [`READ_CLOCK`] printed. `asked` and `answered` are times of this machine's clock,
    /// in seconds.
    pub fn parse(text: &str, asked: f64, answered: f64) -> Option<Self> {
        let line = text.trim().lines().last()?;
        let (seconds, fraction) = line.split_once('.').unwrap_or((line, ""));
        let whole: u32 = seconds.parse().ok()?;
        // Not every `date` prints fractions.
        let known = format!("0.{fraction}").parse::<f64>().ok().filter(|_| !fraction.is_empty());
        let (fraction, unknown) = known.map_or((0.5, 0.5), |fraction| (fraction, 0.0));
        let ahead = f64::from(whole) + fraction - f64::midpoint(asked, answered);
        Some(Self { ahead, doubt: (answered - asked) / 2.0 + unknown })
    }
}

impl Peer {
    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        match self.aspect {
            Aspect::Identity { address: None } => {
                "machine-id, host key and MAC addresses are unique".to_owned()
            }
            Aspect::Identity { address: Some(address) } => {
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
        let names: Vec<_> = self.others.iter().map(|(name, _)| name.as_str()).collect();
        format!("run: {command} (and compare with {})", names.join(", "))
    }

    /// The name of the VM that was reached instead of this one, if that was seen.
    pub fn reached_instead(&self, seen: &PeerSeen) -> Option<&str> {
        let PeerSeen::Identity(own, others) = seen else { return None };
        self.instead(own, &known(others)).map(|(name, _)| name)
    }

    /// The other VM whose address this machine has, and not that of this VM. The login of the other
    /// VM must reach another machine: if both have the address, one of them has stolen it.
    fn instead(
        &self,
        own: &PeerIdentity,
        others: &[(&str, &PeerIdentity)],
    ) -> Option<(&str, IpAddr)> {
        let Aspect::Identity { address: Some(address) } = self.aspect else { return None };
        if own.addresses.contains(&address) {
            return None;
        }
        let declared = self.others.iter().filter_map(|(name, its)| Some((&**name, (*its)?)));
        let mut taken = declared.filter(|(_, its)| own.addresses.contains(its));
        let (name, its) = taken.next()?;
        let (_, other) = others.iter().find(|(other, _)| *other == name)?;
        let swapped = taken.next().is_none() && !other.addresses.contains(&its);
        swapped.then_some((name, its))
    }

    /// The last part of the id: `identity` or `clock`.
    pub fn slug(&self) -> String {
        match self.aspect {
            Aspect::Identity { .. } => "identity",
            Aspect::Clock { .. } => "clock",
        }
        .to_owned()
    }

    /// An assertion that must fail, and what it does, in one line: it compares the VM with itself,
    /// or reads a clock that is an hour off.
    pub fn counter_example(&self) -> (String, Self) {
        let vm = &self.vm;
        match self.aspect {
            Aspect::Identity { .. } => (
                format!("compare {vm} with itself"),
                Self { others: vec![(vm.clone(), None)], ..self.clone() },
            ),
            Aspect::Clock { within, .. } => {
                let aspect = Aspect::Clock { within, read: READ_LATE_CLOCK };
                (format!("run: {READ_LATE_CLOCK}"), Self { aspect, ..self.clone() })
            }
        }
    }

    /// Whether the VM is unique, or its clock is right.
    ///
    /// # Panics
    /// If the observation is about another aspect.
    pub fn judge(&self, seen: &PeerSeen) -> Judgement {
        match (self.aspect, seen) {
            (Aspect::Identity { address }, PeerSeen::Identity(own, others)) => {
                let known = known(others);
                match self.judge_identity(address, own, &known) {
                    Judgement::Holds if known.is_empty() => {
                        Judgement::Unclear(Unclear::NobodyToCompare)
                    }
                    judgement => judgement,
                }
            }
            (Aspect::Clock { within, .. }, PeerSeen::Clock(own, others)) => {
                let known = known(others);
                if known.is_empty() {
                    return Judgement::Unclear(Unclear::NobodyToCompare);
                }
                self.judge_clock(within, *own, &known)
            }
            _ => unreachable!("the probe returned an observation of another aspect"),
        }
    }

    fn judge_identity(
        &self,
        address: Option<IpAddr>,
        own: &PeerIdentity,
        others: &[(&str, &PeerIdentity)],
    ) -> Judgement {
        if let (Some((other, its)), Some(address)) = (self.instead(own, others), address) {
            let message = format!(
                "the login reaches {other}, not {}: the machine has {its}, the address of {other}, \
                 and not {address}; are the SSH entries in the inventory swapped?",
                self.vm
            );
            return Judgement::differs(message, self.describe(), own.to_string());
        }
        let mut shared: Vec<String> =
            others.iter().flat_map(|(name, other)| own.shared_with(name, other, address)).collect();
        shared.extend(self.stolen_addresses(own));
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

    /// Addresses of other VMs that this VM has. The other VMs need not be asked for this.
    fn stolen_addresses(&self, own: &PeerIdentity) -> Vec<String> {
        let addresses =
            self.others.iter().filter_map(|(name, address)| Some((name, address.as_ref()?)));
        addresses
            .filter(|(_, address)| own.addresses.contains(address))
            .map(|(name, address)| format!("{address}, the address of {name}"))
            .collect()
    }

    /// The median of all clocks, including ours, is right, so one wrong clock does not make others
    /// red.
    fn judge_clock(&self, within: Duration, own: Clock, others: &[(&str, &Clock)]) -> Judgement {
        let mut all: Vec<f64> =
            others.iter().map(|(_, clock)| clock.ahead).chain([own.ahead, 0.0]).collect();
        all.sort_by(f64::total_cmp);
        let right = f64::midpoint(all[(all.len() - 1) / 2], all[all.len() / 2]);
        let off = own.ahead - right;
        let doubt = own.doubt + others.iter().map(|(_, clock)| clock.doubt).fold(0.0, f64::max);
        if off.abs() + doubt <= within.as_secs_f64() {
            return Judgement::Holds;
        }
        if off.abs() - doubt <= within.as_secs_f64() {
            return Judgement::Unclear(Unclear::SlowClocks(format!("{doubt:.1} s")));
        }
        let direction = if off > 0.0 { "ahead" } else { "behind" };
        let by = Duration::try_from_secs_f64(off.abs().round()).unwrap_or(Duration::MAX);
        let own_clock = format!("{} {:+.1} s", self.vm, own.ahead);
        let other_clocks =
            others.iter().map(|(name, clock)| format!("{name} {:+.1} s", clock.ahead));
        let clocks: Vec<_> = std::iter::once(own_clock).chain(other_clocks).collect();
        Judgement::differs(
            format!("its clock is {} {direction}", humantime::format_duration(by)),
            self.describe(),
            format!("compared with this machine: {}", clocks.join(", ")),
        )
    }
}

/// `IFA_F_DADFAILED`: another machine on the network has the address, so the kernel does not use
/// it.
fn is_taken(flags: &str) -> bool {
    u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 0x08 != 0)
}

/// The peers that could be asked. The others have red assertions of their own.
fn known<T>(others: &[(String, Option<T>)]) -> Vec<(&str, &T)> {
    others.iter().filter_map(|(name, seen)| Some((name.as_str(), seen.as_ref()?))).collect()
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let macs: Vec<_> = self.macs.iter().map(String::as_str).collect();
        let addresses: Vec<_> = self
            .addresses
            .iter()
            .filter(|one| !one.is_loopback())
            .map(ToString::to_string)
            .collect();
        let (id, macs) = (self.machine_id.as_deref().unwrap_or("none"), macs.join(", "));
        write!(
            formatter,
            "machine-id {id}, host key {}, MAC {macs}, addresses {}",
            self.host_key,
            addresses.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "machine-id 3f1c\nmac 52:54:00:00:00:01\nmac 00:00:00:00:00:00\nMain:\n  \
        +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.2.0\n        /24 link UNICAST\n     |-- 10.71.0.40\n        \
        /32 host LOCAL\n     |-- 10.71.0.255\n        /32 link BROADCAST\n\
        fe80000000000000505400fffe000001 02 40 20 80     eth0\n\
        fd710000000000000000000000000040 02 40 00 88     eth0\n@end\n";

    fn identity(address: &str) -> PeerIdentity {
        PeerIdentity::parse(
            &PRINTED.replace("10.71.0.40", address).replace("3f1c", address),
            address,
        )
        .unwrap()
    }

    fn peer(aspect: Aspect) -> Peer {
        Peer {
            vm: "redis".to_owned(),
            others: vec![("a".to_owned(), "10.71.0.10".parse().ok()), ("b".to_owned(), None)],
            aspect,
        }
    }

    fn message(judgement: &Judgement) -> &str {
        match judgement {
            Judgement::Differs(mismatch) => &mismatch.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_an_identity() {
        let seen = PeerIdentity::parse(PRINTED, "SHA256:x").unwrap();
        assert_eq!(seen.machine_id.as_deref(), Some("3f1c"));
        assert_eq!(seen.macs, BTreeSet::from(["52:54:00:00:00:01".to_owned()]));
        let addresses =
            ["10.71.0.40", "fe80::5054:ff:fe00:1"].map(|address| address.parse().unwrap());
        assert_eq!(seen.addresses, BTreeSet::from(addresses));
        for cut in ["", "machine-id 3f1c\n@end\n", PRINTED.trim_end_matches("@end\n")] {
            assert_eq!(PeerIdentity::parse(cut, "x"), None, "{cut}");
        }
    }

    fn judged(own: &PeerIdentity, others: [Option<PeerIdentity>; 2]) -> Judgement {
        let [a, b] = others;
        let others = vec![("a".to_owned(), a), ("b".to_owned(), b)];
        peer(Aspect::Identity { address: "10.71.0.40".parse().ok() })
            .judge(&PeerSeen::Identity(own.clone(), others))
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

    fn clock(own: f64, others: [f64; 2]) -> Judgement {
        let clock = |ahead| Clock { ahead, doubt: 0.1 };
        let others = ["a", "b"]
            .map(str::to_owned)
            .into_iter()
            .zip(others.map(|ahead| Some(clock(ahead))))
            .collect();
        peer(Aspect::Clock { within: Duration::from_secs(5), read: READ_CLOCK })
            .judge(&PeerSeen::Clock(clock(own), others))
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

    #[test]
    fn a_clock_is_compared_with_the_middle_of_question_and_answer() {
        let seen = Clock::parse("1000.500000000\n", 999.0, 1000.0).unwrap();
        assert!((seen.ahead - 1.0).abs() < 1e-6 && (seen.doubt - 0.5).abs() < 1e-6, "{seen:?}");
        // Busybox' date.
        let coarse = Clock::parse("1000.%N\n", 999.0, 1000.0).unwrap();
        assert!(
            (coarse.ahead - 1.0).abs() < 1e-6 && (coarse.doubt - 1.0).abs() < 1e-6,
            "{coarse:?}"
        );
        assert_eq!(Clock::parse("no date", 0.0, 1.0), None);
    }
}
