//! `port_listening`: a socket of the VM listens on a port.
//!
//! The answer comes from the kernel's tables, so it needs no tool on the VM, and says nothing about
//! firewalls: the port may still be unreachable from elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::Deserialize;
use thiserror::Error;

use super::judgement::Judgement;

/// The remote command that prints the kernel's socket tables, each after a line with its name.
pub const READ_SOCKET_TABLES: &str = "sh -c 'cd /proc/net && for t in tcp tcp6 udp udp6; do \
    echo \"@$t\"; if [ -e $t ]; then cat $t || exit 1; fi; done; echo @end'";

/// A socket on the VM must listen on `port`. Whether a firewall lets others reach it is not
/// checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortListening {
    /// The port, from 1 to 65535.
    pub port: NonZeroU16,
    /// `tcp` (default) or `udp`.
    #[serde(default)]
    pub protocol: Protocol,
    /// The IP address on which the socket must listen, itself or through a wildcard (`0.0.0.0`,
    /// `::`). Default: any address.
    #[serde(default)]
    pub address: Option<IpAddr>,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, in state LISTEN.
    #[default]
    Tcp,
    /// UDP, bound and not connected.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Its protocol.
    pub protocol: Protocol,
    /// The address it is bound to.
    pub address: IpAddr,
    /// The port it is bound to.
    pub port: u16,
}

/// All listening sockets of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listeners(pub Vec<Listener>);

impl PortListening {
    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        let on = self.address.map_or(String::new(), |address| format!(" on {address}"));
        format!("{}/{} listens{on}", self.port, self.protocol.word())
    }

    /// Whether a TCP connection to `port` needs it.
    pub fn is_about_tcp(&self, port: u16) -> bool {
        self.protocol == Protocol::Tcp && self.port.get() == port
    }

    /// The port, then the protocol if it is not TCP, and the address if there is one.
    pub fn slug(&self) -> String {
        let mut slug = self.port.to_string();
        if self.protocol != Protocol::Tcp {
            slug = format!("{slug}-{}", self.protocol.word());
        }
        if let Some(address) = self.address {
            slug = format!("{slug}-on-{}", address.to_string().replace(':', "."));
        }
        slug
    }

    /// Whether one of the sockets is as expected.
    pub fn judge(&self, seen: &Listeners) -> Judgement {
        let on_port: Vec<_> = seen
            .0
            .iter()
            .filter(|socket| socket.protocol == self.protocol && socket.port == self.port.get())
            .map(|socket| socket.address)
            .collect();
        let name = format!("{}/{}", self.port, self.protocol.word());
        match self.address {
            None if !on_port.is_empty() => Judgement::Holds,
            Some(wanted) if on_port.iter().any(|bound| covers(*bound, wanted)) => Judgement::Holds,
            Some(wanted) if !on_port.is_empty() => Judgement::differs(
                format!("{name} listens on {} only, not on {wanted}", list(&on_port)),
                self.describe(),
                format!("listens on {}", list(&on_port)),
            ),
            _ => Judgement::differs(
                format!("nothing listens on {name}"),
                self.describe(),
                format!("listening {} ports: {}", self.protocol.word(), self.ports(seen)),
            ),
        }
    }

    fn ports(&self, seen: &Listeners) -> String {
        let mut ports: Vec<u16> = seen
            .0
            .iter()
            .filter(|socket| socket.protocol == self.protocol)
            .map(|socket| socket.port)
            .collect();
        ports.sort_unstable();
        ports.dedup();
        if ports.is_empty() { "none".to_owned() } else { list(&ports) }
    }
}

fn list(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether a socket bound to `bound` answers on `wanted`. By default, Linux answers IPv4 on `::`
/// too.
fn covers(bound: IpAddr, wanted: IpAddr) -> bool {
    let bound = bound.to_canonical();
    bound == wanted || (bound.is_unspecified() && (bound.is_ipv6() || wanted.is_ipv4()))
}

/// Why the output of [`READ_SOCKET_TABLES`] is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadSocketTable {
    /// A line comes before the name of the first table.
    #[error("unexpected line before the socket tables: {0:?}")]
    NoTable(String),
    /// A line does not describe a socket.
    #[error("not a line of a socket table: {0:?}")]
    BadLine(String),
    /// The end is missing.
    #[error("the socket tables are cut off")]
    CutOff,
}

/// Reads what [`READ_SOCKET_TABLES`] printed.
///
/// A table that is not understood is an error, and never taken for "nothing listens".
pub fn parse_socket_tables(text: &str) -> Result<Listeners, BadSocketTable> {
    let mut listeners = Vec::new();
    let mut table = None;
    for line in text.lines() {
        match (line.trim(), table) {
            ("@tcp" | "@tcp6", _) => table = Some(Protocol::Tcp),
            ("@udp" | "@udp6", _) => table = Some(Protocol::Udp),
            ("@end", _) => return Ok(Listeners(listeners)),
            (line, _) if line.starts_with("sl ") => {}
            (line, Some(protocol)) => listeners.extend(parse_socket(protocol, line)?),
            (line, None) => {
                return Err(BadSocketTable::NoTable(line.to_owned()));
            }
        }
    }
    Err(BadSocketTable::CutOff)
}

fn parse_socket(protocol: Protocol, line: &str) -> Result<Option<Listener>, BadSocketTable> {
    let bad = || BadSocketTable::BadLine(line.to_owned());
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (Some(local), Some(_remote), Some(state)) = (fields.next(), fields.next(), fields.next())
    else {
        return Err(bad());
    };
    // include/net/tcp_states.h: 0A is TCP_LISTEN; an unconnected UDP socket shows 07, TCP_CLOSE.
    let listening = match protocol {
        Protocol::Tcp => state == "0A",
        Protocol::Udp => state == "07",
    };
    let (address, port) = local.split_once(':').ok_or_else(bad)?;
    let address = parse_address(address).ok_or_else(bad)?;
    let port = u16::from_str_radix(port, 16).map_err(|_| bad())?;
    Ok(listening.then_some(Listener { protocol, address, port }))
}

/// The kernel prints addresses as 32-bit words in the byte order of the VM, which is little-endian.
fn parse_address(hex: &str) -> Option<IpAddr> {
    if !hex.is_ascii() {
        return None;
    }
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_le_bytes);
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "@tcp
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   107        0 4711 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
   2: 2800470A:18EB 0A00470A:C350 01 00000000:00000000 02:00000000 00000000   107        0 4713 2 0 20 4 30 10 -1
@tcp6
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:0 0 0 0 1
   1: 00000000000000000000000001000000:1538 00000000000000000000000000000000:0000 0A 00000000:00000000 00:0 0 0 0 1
@udp
@udp6
@end
";

    fn port(port: u16, address: Option<&str>) -> PortListening {
        PortListening {
            port: NonZeroU16::new(port).unwrap(),
            protocol: Protocol::Tcp,
            address: address.map(|text| text.parse().unwrap()),
        }
    }

    #[test]
    fn a_port_listens_on_its_bound_addresses() {
        let seen = parse_socket_tables(TABLES).unwrap();
        for (number, address) in [
            (6379, None),
            (6379, Some("127.0.0.1")),
            (22, Some("10.71.0.40")),
            (80, Some("10.71.0.40")),
            (80, Some("::1")),
            (5432, Some("::1")),
        ] {
            assert_eq!(
                port(number, address).judge(&seen),
                Judgement::Holds,
                "{number} {address:?}"
            );
        }
    }

    #[test]
    fn connected_sockets_and_other_addresses_do_not_count() {
        let seen = parse_socket_tables(TABLES).unwrap();
        let Judgement::Differs(only) = port(6379, Some("10.71.0.40")).judge(&seen) else {
            panic!("127.0.0.1 only")
        };
        assert_eq!(only.message, "6379/tcp listens on 127.0.0.1 only, not on 10.71.0.40");
        let Judgement::Differs(nothing) = port(2283, None).judge(&seen) else { panic!("closed") };
        assert_eq!(nothing.message, "nothing listens on 2283/tcp");
        assert_eq!(nothing.actual, "listening tcp ports: 22, 80, 5432, 6379");
        assert!(matches!(port(22, Some("::1")).judge(&seen), Judgement::Differs(_)));
    }

    #[test]
    fn cut_or_garbled_tables_are_errors() {
        for text in
            ["", "@tcp\n", "hello\n@end", "@tcp\n 0: xyz\n@end", "@tcp\n 0: 0100:1 0:0 0A\n@end"]
        {
            assert!(parse_socket_tables(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_slug_names_what_is_not_the_default() {
        assert_eq!(port(6379, None).slug(), "6379");
        assert_eq!(port(6379, Some("10.71.0.40")).slug(), "6379-on-10.71.0.40");
    }
}
