//! A VM among its peers: it is a machine of its own, and it agrees with the others on the time.
//!
//! As a wire, it is no word of the suite: the inventory's `peers` asks for it, of every VM.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::judgement::{Judgement, Unclear};

/// The remote command that prints what sets a machine apart; everyone may read it, on any Linux. Only devices that
/// stand for hardware have a MAC address that must not be another VM's.
pub const READ_IDENTITY: &str = "sh -c 'echo \"machine-id $(cat /etc/machine-id)\"; \
    for device in /sys/class/net/*/device; do echo \"mac $(cat ${device%device}address)\"; done; \
    cat /proc/net/fib_trie /proc/net/if_inet6; echo @end' 2>/dev/null";

/// The remote command that prints the time.
pub const READ_CLOCK: &str = "date +%s.%N";

/// The remote command that prints the time in an hour: what a clock that is off would say.
pub const READ_LATE_CLOCK: &str = "date -d '+1 hour' +%s.%N";

/// A VM that is compared with its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The VM.
    pub vm: String,
    /// The others, each with its address on the lab's network.
    pub others: Vec<(String, Option<IpAddr>)>,
    /// In what.
    pub aspect: Aspect,
}

/// In what VMs are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// Machine-id, host key and MAC addresses are nobody else's, and the VM alone has its address.
    Identity {
        /// Its address on the lab's network.
        address: Option<IpAddr>,
    },
    /// Its clock is so close to that of the others.
    Clock {
        /// How close.
        within: Duration,
        /// The remote command that reads the VM's own.
        read: &'static str,
    },
}

/// What was seen of a VM and its peers; `None` for those that could not be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerSeen {
    /// Who they are; the VM itself first.
    Identity(PeerIdentity, Vec<(String, Option<PeerIdentity>)>),
    /// Their clocks; the VM's own first.
    Clock(Clock, Vec<(String, Option<Clock>)>),
}

/// What sets a machine apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerIdentity {
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// Fingerprint of its host key.
    pub host_key: String,
    /// Of devices that stand for hardware.
    pub macs: BTreeSet<String>,
    /// On whatever device.
    pub addresses: BTreeSet<IpAddr>,
}

/// A clock that was read from afar, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    /// How far it is ahead of ours.
    pub ahead: f64,
    /// By how much that can be wrong: half of what the question took.
    pub doubt: f64,
}

impl PeerIdentity {
    /// Reads what [`READ_IDENTITY`] printed; `None` when it is cut off, or when the kernel tells no address, not even
    /// that of the loopback.
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
                // fib_trie: an address, and below it what it is to this machine.
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
}

impl Clock {
    /// Reads what [`READ_CLOCK`] printed, asked and answered at these times of our own, in seconds.
    pub fn parse(text: &str, asked: f64, answered: f64) -> Option<Self> {
        let (seconds, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let whole: u32 = seconds.parse().ok()?;
        // Not every `date` knows fractions.
        let (fraction, unknown) = format!("0.{fraction}")
            .parse::<f64>()
            .ok()
            .filter(|_| !fraction.is_empty())
            .map_or((0.5, 0.5), |f| (f, 0.0));
        let ahead = f64::from(whole) + fraction - f64::midpoint(asked, answered);
        Some(Self { ahead, doubt: (answered - asked) / 2.0 + unknown })
    }
}

impl Peer {
    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        match self.aspect {
            Aspect::Identity { address: None } => {
                "machine-id, host key and MAC addresses are its own".to_owned()
            }
            Aspect::Identity { address: Some(address) } => {
                format!(
                    "machine-id, host key and MAC addresses are its own, and it alone has {address}"
                )
            }
            Aspect::Clock { within, .. } => {
                format!("its clock is within {} of the others", humantime::format_duration(within))
            }
        }
    }

    /// How it is looked at, in one line.
    pub fn how(&self) -> String {
        let command = match self.aspect {
            Aspect::Identity { .. } => READ_IDENTITY,
            Aspect::Clock { read, .. } => read,
        };
        let names: Vec<_> = self.others.iter().map(|(name, _)| name.as_str()).collect();
        format!("run: {command} (and compare with {})", names.join(", "))
    }

    /// The last part of the id.
    pub fn slug(&self) -> String {
        match self.aspect {
            Aspect::Identity { .. } => "identity",
            Aspect::Clock { .. } => "clock",
        }
        .to_owned()
    }

    /// The VM in the place of one of its peers, or at another time: what that is, in one line, and the check.
    pub fn counter_example(&self) -> (String, Self) {
        let vm = &self.vm;
        match self.aspect {
            Aspect::Identity { .. } => (
                format!("{vm} in the place of the other VMs"),
                Self { others: vec![(vm.clone(), None)], ..self.clone() },
            ),
            Aspect::Clock { within, .. } => {
                let aspect = Aspect::Clock { within, read: READ_LATE_CLOCK };
                (format!("run: {READ_LATE_CLOCK}"), Self { aspect, ..self.clone() })
            }
        }
    }

    /// Whether it is a machine of its own, and on time.
    ///
    /// # Panics
    /// When something else was seen than what the aspect asks for.
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
            _ => unreachable!("the probe looks at what the aspect asks for"),
        }
    }

    fn judge_identity(
        &self,
        address: Option<IpAddr>,
        own: &PeerIdentity,
        others: &[(&str, &PeerIdentity)],
    ) -> Judgement {
        let mut shared = Vec::new();
        let mut missing = Vec::new();
        for (name, other) in others {
            if own.machine_id.is_some() && own.machine_id == other.machine_id {
                shared.push(format!("the machine-id of {name}"));
            }
            if own.host_key == other.host_key {
                shared.push(format!("the host key of {name}"));
            }
            shared.extend(
                own.macs
                    .intersection(&other.macs)
                    .map(|mac| format!("the MAC address {mac} of {name}")),
            );
            shared.extend(
                address
                    .filter(|address| other.addresses.contains(address))
                    .map(|address| format!("its address {address} on {name}, too")),
            );
        }
        let theirs =
            self.others.iter().filter_map(|(name, address)| Some((name, address.as_ref()?)));
        let taken = theirs.filter(|(_, address)| own.addresses.contains(address));
        shared.extend(taken.map(|(name, address)| format!("{address}, the address of {name}")));
        if let Some(address) = address.filter(|address| !own.addresses.contains(address)) {
            missing.push(format!("it does not have its address {address}"));
        }
        if shared.is_empty() && missing.is_empty() {
            return Judgement::Holds;
        }
        if !shared.is_empty() {
            missing.insert(0, format!("it has {}", shared.join(", and ")));
        }
        Judgement::differs(missing.join("; "), self.describe(), own.to_string())
    }

    /// The median of all clocks, ours among them, is right: one that is off does not put the others in the wrong.
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
        let told = others.iter().map(|(name, clock)| format!("{name} {:+.1} s", clock.ahead));
        let told: Vec<_> =
            std::iter::once(format!("{} {:+.1} s", self.vm, own.ahead)).chain(told).collect();
        Judgement::differs(
            format!("its clock is {} {direction}", humantime::format_duration(by)),
            self.describe(),
            format!("beside ours: {}", told.join(", ")),
        )
    }
}

/// `IFA_F_DADFAILED`: another machine on the network answers for the address, so the kernel does not use it.
fn is_taken(flags: &str) -> bool {
    u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 0x08 != 0)
}

/// Those that could be asked. A VM that could not has its own red assertion.
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
    fn what_a_machine_prints_is_its_identity() {
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
    fn each_part_of_an_identity_must_be_nobody_elses() {
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
        assert_eq!(message(&beside(same_address)), "it has its address 10.71.0.40 on b, too");
        let lost = PeerIdentity { addresses: BTreeSet::new(), ..own.clone() };
        assert_eq!(
            message(&judged(&lost, [Some(other.clone()), None])),
            "it does not have its address 10.71.0.40"
        );
        let mut thief = own.clone();
        thief.addresses.insert("10.71.0.10".parse().unwrap());
        // Its owner need not be there to say so.
        let without_owner =
            judged(&thief, [None, Some(PeerIdentity { addresses: BTreeSet::new(), ..other })]);
        assert_eq!(message(&without_owner), "it has 10.71.0.10, the address of a");
    }

    #[test]
    fn an_unknown_machine_id_is_nobodys() {
        let without =
            |address| PeerIdentity { machine_id: None, macs: BTreeSet::new(), ..identity(address) };
        assert_eq!(
            judged(&without("10.71.0.40"), [Some(without("10.71.0.10")), None]),
            Judgement::Holds
        );
    }

    #[test]
    fn without_peers_nothing_is_known() {
        let judgement = judged(&identity("10.71.0.40"), [None, None]);
        assert_eq!(judgement, Judgement::Unclear(Unclear::NobodyToCompare));
        // What it is itself is known.
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
    fn the_clock_that_is_off_is_the_one_that_is_wrong() {
        assert_eq!(message(&clock(3600.0, [0.1, -0.1])), "its clock is 1h ahead");
        assert_eq!(message(&clock(-7.0, [0.1, -0.1])), "its clock is 7s behind");
        assert_eq!(clock(0.0, [3600.0, 0.1]), Judgement::Holds);
        // Ours may be the one that is off.
        assert_eq!(clock(3600.0, [3600.1, 3599.9]), Judgement::Holds);
        // Within the doubt nobody knows.
        assert_eq!(clock(4.7, [0.0, 0.0]), Judgement::Holds);
        assert!(matches!(clock(4.9, [0.0, 0.0]), Judgement::Unclear(Unclear::SlowClocks(_))));
        assert!(matches!(clock(5.1, [0.0, 0.0]), Judgement::Unclear(Unclear::SlowClocks(_))));
        assert!(matches!(clock(5.3, [0.0, 0.0]), Judgement::Differs(_)));
    }

    #[test]
    fn a_clock_is_read_half_way_between_question_and_answer() {
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
