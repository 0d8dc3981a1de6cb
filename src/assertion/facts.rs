//! What is read of a VM to compare it with others: which machine it is, and its clock.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The remote command that prints the identity of a machine. It works for any user on any Linux.
/// Only the MAC addresses of hardware devices must be unique.
pub const READ_IDENTITY: &str = "sh -c 'echo \"machine-id $(cat /etc/machine-id)\"; \
    for device in /sys/class/net/*/device; do [ -e \"$device\" ] || continue; \
    echo \"mac $(cat \"${device%device}address\")\"; done; \
    cat /proc/net/fib_trie /proc/net/if_inet6; echo @end' 2>/dev/null";

/// The remote command that says that it is ready, waits for a line, and prints the time: so the
/// time that a busy VM needs to start a shell makes no clock uncertain.
pub const READ_CLOCK: &str = "sh -c 'echo ready; read -r go; date +%s.%N'";

/// The same with the time an hour from now, as a wrong clock would print it.
pub const READ_LATE_CLOCK: &str = "sh -c 'echo ready; read -r go; date -d \"+1 hour\" +%s.%N'";

/// What is unique about a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// One aspect of a VM.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerReading {
    /// Which machine it is.
    Identity(PeerIdentity),
    /// Its clock.
    Clock(Clock),
}

/// What is known of one VM; `None` as long as it could not be asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// Which machine it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<PeerIdentity>,
    /// Its clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
}

impl Facts {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a reading.
    pub fn note(&mut self, reading: PeerReading) {
        match reading {
            PeerReading::Identity(identity) => self.identity = Some(identity),
            PeerReading::Clock(clock) => self.clock = Some(clock),
        }
    }
}

/// `IFA_F_DADFAILED`: another machine on the network has the address, so the kernel does not use
/// it.
fn is_taken(flags: &str) -> bool {
    u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 0x08 != 0)
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
