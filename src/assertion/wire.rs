//! A wire: one of the inventory's `connections`. One VM must reach a port of another, or must not.
//!
//! A suite cannot contain it: the topology is declared once, in the inventory.

use std::net::IpAddr;

use super::judgement::{Judgement, Unclear};
use super::port_listening::{Listeners, Protocol};

/// A wire between two VMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// Name of the VM that connects.
    pub from: String,
    /// Name of the VM that listens.
    pub to: String,
    /// Address of `to` on the lab's network.
    pub address: String,
    /// Port on `to`.
    pub port: u16,
    /// Nobody can try a UDP port from outside: for UDP, it is enough that the port listens.
    pub protocol: Protocol,
    /// What the wire is for.
    pub intent: Option<String>,
    /// `from` must not reach the port.
    pub deny: bool,
}

/// What was seen at both ends of a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireSeen {
    /// The listening sockets at the far end; `None` if that VM could not be asked.
    pub listeners: Option<Listeners>,
    /// Why the near end does not reach the port; `None` if it does.
    pub unreached: Option<String>,
}

impl WireSeen {
    /// The addresses on which the far end listens; `None` if that is not known.
    pub fn listens_on(&self, port: u16, protocol: Protocol) -> Option<Vec<IpAddr>> {
        let sockets = self.listeners.as_ref()?.0.iter();
        let on_port = sockets.filter(|socket| socket.protocol == protocol && socket.port == port);
        Some(on_port.map(|socket| socket.address).collect())
    }
}

impl Wire {
    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        let intent = self.intent.as_ref().map_or(String::new(), |intent| format!(" ({intent})"));
        let verb = if self.deny { "must not reach" } else { "reaches" };
        format!("{} {verb} {} at {}:{}{intent}", self.from, self.to, self.address, self.port)
    }

    /// How bootproof checks it, in one line.
    pub fn how(&self) -> String {
        format!(
            "connect to {}:{} (through the VM's sshd); read the socket tables of {}",
            self.address, self.port, self.to
        )
    }

    /// Address and port of the far end, if it is TCP.
    pub fn connects_to(&self) -> Vec<(String, u16)> {
        let end = (self.address.clone(), self.port);
        if self.protocol == Protocol::Tcp { vec![end] } else { Vec::new() }
    }

    /// The far end, such as `redis-6379` or `dns-53-udp`.
    pub fn slug(&self) -> String {
        let udp = if self.protocol == Protocol::Udp { "-udp" } else { "" };
        format!("{}-{}{udp}", self.to, self.port)
    }

    /// Whether the wire is as declared, and if not, where it is probably broken.
    pub fn judge(&self, seen: &WireSeen) -> Judgement {
        let listens = seen.listens_on(self.port, self.protocol);
        if self.protocol == Protocol::Udp {
            return self.judge_udp(listens.as_deref());
        }
        let actual =
            || format!("{}, {}", self.describe_listeners(listens.as_deref()), describe_reach(seen));
        match (self.deny, &seen.unreached) {
            (false, Some(why)) => {
                let message = format!(
                    "{} does not reach {}:{}: {}",
                    self.from,
                    self.to,
                    self.port,
                    self.likely_cause(listens.as_deref(), why)
                );
                Judgement::differs(message, self.describe(), actual())
            }
            (true, None) => {
                let message = format!(
                    "{} reaches {}:{}, although the inventory denies it",
                    self.from, self.to, self.port
                );
                Judgement::differs(message, self.describe(), actual())
            }
            // Nothing connects where nothing listens, so that proves nothing about a denied wire.
            (true, Some(_)) if listens.as_ref().is_none_or(Vec::is_empty) => Judgement::Unclear(
                Unclear::NothingToDeny(self.describe_listeners(listens.as_deref())),
            ),
            (false, None) | (true, Some(_)) => Judgement::Holds,
        }
    }

    fn judge_udp(&self, listens: Option<&[IpAddr]>) -> Judgement {
        match listens {
            Some(addresses) if self.deny && !addresses.is_empty() => {
                Judgement::Unclear(Unclear::UdpCannotBeTried)
            }
            Some(addresses) if addresses.iter().any(|bound| self.is_served_by(*bound)) => {
                Judgement::Holds
            }
            Some(_) if !self.deny => {
                let message = format!(
                    "{}:{}/udp is not served: {}",
                    self.to,
                    self.port,
                    self.likely_cause(listens, "")
                );
                Judgement::differs(message, self.describe(), self.describe_listeners(listens))
            }
            _ => Judgement::Unclear(Unclear::NothingToDeny(self.describe_listeners(listens))),
        }
    }

    /// The likely cause, from what was seen at both ends.
    fn likely_cause(&self, listens: Option<&[IpAddr]>, why: &str) -> String {
        match listens {
            None => format!("{why}, and {} cannot be asked", self.to),
            Some([]) => format!("nothing listens on {} there", self.port),
            Some(addresses) if addresses.iter().any(|bound| self.is_served_by(*bound)) => {
                format!(
                    "it listens there, so the way is barred: by a firewall, a route, or another VM \
                     with this address ({why})"
                )
            }
            Some(addresses) => {
                format!("it listens on {} only, not on {}", list(addresses), self.address)
            }
        }
    }

    fn is_served_by(&self, bound: IpAddr) -> bool {
        bound.is_unspecified()
            || self.address.parse::<IpAddr>().is_ok_and(|wanted| wanted == bound.to_canonical())
    }

    fn describe_listeners(&self, listens: Option<&[IpAddr]>) -> String {
        match listens {
            None => format!("{} cannot be asked", self.to),
            Some([]) => format!("nothing listens on {} of {}", self.port, self.to),
            Some(addresses) => format!("{} listens on {}", self.to, list(addresses)),
        }
    }
}

fn describe_reach(seen: &WireSeen) -> String {
    seen.unreached.as_ref().map_or("reached".to_owned(), |why| format!("not reached: {why}"))
}

/// The addresses, sorted, each once.
pub fn list(addresses: &[IpAddr]) -> String {
    let mut texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    texts.sort();
    texts.dedup();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::port_listening::Listener;
    use super::*;

    fn wire(deny: bool) -> Wire {
        Wire {
            from: "app".to_owned(),
            to: "redis".to_owned(),
            address: "10.71.0.40".to_owned(),
            port: 6379,
            protocol: Protocol::Tcp,
            intent: None,
            deny,
        }
    }

    fn seen(bound: Option<&[&str]>, unreached: Option<&str>) -> WireSeen {
        let listener = |address: &&str| Listener {
            protocol: Protocol::Tcp,
            address: address.parse().unwrap(),
            port: 6379,
        };
        WireSeen {
            listeners: bound.map(|all| Listeners(all.iter().map(listener).collect())),
            unreached: unreached.map(str::to_owned),
        }
    }

    fn message(wire: &Wire, seen: &WireSeen) -> String {
        match wire.judge(seen) {
            Judgement::Differs(mismatch) => mismatch.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_denied_wire_must_not_be_reached() {
        assert_eq!(wire(false).judge(&seen(Some(&["10.71.0.40"]), None)), Judgement::Holds);
        // If the port was reached, nobody needs to ask the far end.
        assert_eq!(wire(false).judge(&seen(None, None)), Judgement::Holds);
        assert_eq!(
            message(&wire(true), &seen(Some(&["0.0.0.0"]), None)),
            "app reaches redis:6379, although the inventory denies it"
        );
        assert_eq!(wire(true).judge(&seen(Some(&["0.0.0.0"]), Some("refused"))), Judgement::Holds);
    }

    #[test]
    fn the_message_says_where_a_wire_is_broken() {
        let likely = |bound: Option<&[&str]>| message(&wire(false), &seen(bound, Some("refused")));
        assert!(likely(Some(&[])).ends_with("nothing listens on 6379 there"));
        assert!(
            likely(Some(&["127.0.0.1", "::1"]))
                .ends_with("it listens on 127.0.0.1, ::1 only, not on 10.71.0.40")
        );
        for open in ["0.0.0.0", "::", "10.71.0.40", "::ffff:10.71.0.40"] {
            assert!(likely(Some(&[open])).contains("the way is barred"), "{open}");
        }
        assert!(likely(None).ends_with("refused, and redis cannot be asked"));
    }

    #[test]
    fn a_udp_wire_holds_if_its_port_listens() {
        let udp = |bound: Option<&str>| {
            let wire = Wire { protocol: Protocol::Udp, ..wire(false) };
            let mut seen = seen(Some(bound.as_slice()), None);
            for socket in &mut seen.listeners.as_mut().unwrap().0 {
                socket.protocol = Protocol::Udp;
            }
            wire.judge(&seen)
        };
        assert_eq!(udp(Some("0.0.0.0")), Judgement::Holds);
        assert!(matches!(udp(Some("127.0.0.1")), Judgement::Differs(_)));
        assert!(matches!(udp(None), Judgement::Differs(_)));
    }

    #[test]
    fn a_denied_wire_is_unclear_if_nothing_listens() {
        for bound in [None, Some(&[][..])] {
            let judgement = wire(true).judge(&seen(bound, Some("refused")));
            assert!(
                matches!(judgement, Judgement::Unclear(Unclear::NothingToDeny(_))),
                "{judgement:?}"
            );
        }
    }
}
