//! A wire: an edge of the inventory's `connections`. One VM must reach a port of another, or must not.
//!
//! It is no word of the suite: the topology is declared once, and tested where it is declared.

use std::net::IpAddr;

use super::judgement::{Judgement, Unclear};
use super::port_listening::{Listeners, Protocol};

/// An edge of the topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// The VM that connects.
    pub from: String,
    /// The VM that answers.
    pub to: String,
    /// Its address on the lab's network.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// TCP, or UDP, which nobody can try from outside: there it counts that it listens.
    pub protocol: Protocol,
    /// What the edge is for.
    pub intent: Option<String>,
    /// There must be no way.
    pub deny: bool,
}

/// What was seen of a wire from both of its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireSeen {
    /// The sockets that listen at its far end; `None` when that VM could not be asked.
    pub listeners: Option<Listeners>,
    /// Why the near end does not reach it; `None` when it does.
    pub unreached: Option<String>,
}

impl WireSeen {
    /// The addresses on which the far end listens; `None` when it is not known.
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

    /// How it is looked at, in one line.
    pub fn how(&self) -> String {
        format!(
            "connect to {}:{} (through the VM's sshd); read the socket tables of {}",
            self.address, self.port, self.to
        )
    }

    /// Address and port of the far end.
    pub fn connects_to(&self) -> Vec<(String, u16)> {
        let end = (self.address.clone(), self.port);
        if self.protocol == Protocol::Tcp { vec![end] } else { Vec::new() }
    }

    /// The far end.
    pub fn slug(&self) -> String {
        let udp = if self.protocol == Protocol::Udp { "-udp" } else { "" };
        format!("{}-{}{udp}", self.to, self.port)
    }

    /// Whether it is as declared, and if not, where it is likely to be broken.
    pub fn judge(&self, seen: &WireSeen) -> Judgement {
        let listens = seen.listens_on(self.port, self.protocol);
        if self.protocol == Protocol::Udp {
            return self.judge_udp(listens.as_deref());
        }
        let actual = || {
            format!("{}, {}", self.told_of_listening(listens.as_deref()), told_of_reaching(seen))
        };
        match (self.deny, &seen.unreached) {
            (false, Some(why)) => {
                let message = format!(
                    "{} does not reach {}:{}: {}",
                    self.from,
                    self.to,
                    self.port,
                    self.likely(listens.as_deref(), why)
                );
                Judgement::differs(message, self.describe(), actual())
            }
            (true, None) => {
                let message =
                    format!("{} reaches {}:{}, which is denied", self.from, self.to, self.port);
                Judgement::differs(message, self.describe(), actual())
            }
            // Where nothing listens, nothing connects: that says nothing about a way.
            (true, Some(_)) if listens.as_ref().is_none_or(Vec::is_empty) => Judgement::Unclear(
                Unclear::NothingToDeny(self.told_of_listening(listens.as_deref())),
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
                    self.likely(listens, "")
                );
                Judgement::differs(message, self.describe(), self.told_of_listening(listens))
            }
            _ => Judgement::Unclear(Unclear::NothingToDeny(self.told_of_listening(listens))),
        }
    }

    /// The likely cause, from the two ends.
    fn likely(&self, listens: Option<&[IpAddr]>, why: &str) -> String {
        match listens {
            None => format!("{why}, and {} cannot be asked", self.to),
            Some([]) => format!("nothing listens on {} there", self.port),
            Some(addresses) if addresses.iter().any(|bound| self.is_served_by(*bound)) => {
                format!(
                    "it listens there, so the way is barred: a firewall, a route, or the address on another VM ({why})"
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

    fn told_of_listening(&self, listens: Option<&[IpAddr]>) -> String {
        match listens {
            None => format!("{} cannot be asked", self.to),
            Some([]) => format!("nothing listens on {} of {}", self.port, self.to),
            Some(addresses) => format!("{} listens on {}", self.to, list(addresses)),
        }
    }
}

fn told_of_reaching(seen: &WireSeen) -> String {
    seen.unreached.as_ref().map_or("reached".to_owned(), |why| format!("not reached: {why}"))
}

/// The addresses, each once.
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
    fn a_wire_that_is_reached_holds_and_a_denied_one_does_not() {
        assert_eq!(wire(false).judge(&seen(Some(&["10.71.0.40"]), None)), Judgement::Holds);
        // Reached is reached, whatever the far end says or does not say.
        assert_eq!(wire(false).judge(&seen(None, None)), Judgement::Holds);
        assert_eq!(
            message(&wire(true), &seen(Some(&["0.0.0.0"]), None)),
            "app reaches redis:6379, which is denied"
        );
        assert_eq!(wire(true).judge(&seen(Some(&["0.0.0.0"]), Some("refused"))), Judgement::Holds);
    }

    #[test]
    fn where_a_wire_is_broken_shows_from_its_two_ends() {
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
    fn of_a_udp_wire_it_counts_that_it_is_served() {
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
    fn a_denied_wire_proves_nothing_where_nothing_listens() {
        for bound in [None, Some(&[][..])] {
            let judgement = wire(true).judge(&seen(bound, Some("refused")));
            assert!(
                matches!(judgement, Judgement::Unclear(Unclear::NothingToDeny(_))),
                "{judgement:?}"
            );
        }
    }
}
