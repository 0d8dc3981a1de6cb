//! How hosts and their keys are written.

use std::net::IpAddr;

/// `user@host:port`, as a jump host is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub user: String,
    /// Without brackets.
    pub host: String,
    pub port: Option<u16>,
}

/// Reads `user@host` or `user@host:port`; an IPv6 address may have brackets.
pub(super) fn parse_endpoint(text: &str) -> Option<Endpoint> {
    let (user, rest) = text.split_once('@')?;
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (rest, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_complete = !user.is_empty() && !host.is_empty();
    is_complete.then(|| Endpoint { user: user.to_owned(), host: host.to_owned(), port })
}

/// An IP address, with or without a zone, or a host name.
pub(super) fn is_host(text: &str) -> bool {
    let address = text.split_once('%').map_or(text, |(address, _zone)| address);
    address.parse::<IpAddr>().is_ok() || is_host_name(text)
}

/// The last part of a host name is not a number (RFC 3696): `10.0.0` is neither name nor address.
fn is_host_name(text: &str) -> bool {
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    text.chars().all(|character| character.is_alphanumeric() || "-_.".contains(character))
        && !last.is_empty()
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// `SHA256:` and 43 characters of base64.
pub(super) fn is_fingerprint(pin: &str) -> bool {
    pin.strip_prefix("SHA256:").is_some_and(|hash| hash.len() == 43 && hash.is_ascii())
}
