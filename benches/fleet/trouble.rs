//! Hosts that are dead, that refuse the login, or that are only slow.

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{sleep, spawn};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::Fallible;
use crate::hosts::{Host, LOCKED_PORT, RUNNER, SLOW_PORT, VOID};
use crate::verdicts::Expected;

/// A forwarder waits this long before it lets anybody talk to sshd.
const LATE: Duration = Duration::from_secs(4);

/// A port on which no host listens.
const CLOSED_PORT: u16 = 23;

/// The fingerprint of a key that no host has.
const ANOTHER_KEY: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What is wrong with a host.
#[derive(Clone, Copy)]
pub enum Trouble {
    None,
    /// Dead: the machine is up, but sshd does not run.
    Closed,
    /// Dead: nothing ever comes back.
    Silent,
    /// It refuses the login: it has another host key.
    AnotherKey,
    /// It refuses the login: it does not accept the user's key.
    Locked,
    /// Slow: its sshd answers after seconds.
    Late,
    /// Slow: each command takes a second.
    Slow,
}

/// A host with its trouble, as the inventory has it.
pub struct Entry {
    pub ssh: Value,
    /// A line for known_hosts, if the host is reached in an unusual way.
    pub known_as: Option<String>,
}

impl Trouble {
    /// One host of twenty is dead, one refuses, and one is slow.
    pub fn of(host: Host) -> Self {
        let is_odd = host.number() / 20 % 2 == 1;
        match (host.number() % 20, is_odd) {
            (3, true) => Self::Closed,
            (3, false) => Self::Silent,
            (9, true) => Self::AnotherKey,
            (9, false) => Self::Locked,
            (15, true) => Self::Late,
            (15, false) => Self::Slow,
            _ => Self::None,
        }
    }

    pub fn expected(self) -> Expected {
        match self {
            Self::None | Self::Late | Self::Slow => Expected::Passed,
            Self::Closed | Self::Silent => Expected::Blocked("tcp"),
            Self::AnotherKey => Expected::Blocked("host-key"),
            Self::Locked => Expected::Blocked("auth"),
        }
    }

    /// How to reach the host; starts what plays the trouble.
    pub fn entry(self, host: Host) -> Fallible<Entry> {
        let on_port = |port: u16| Entry {
            ssh: json!({ "port": port }),
            known_as: Some(format!("[{}]:{port}", host.address())),
        };
        let reached = |ssh: Value| Entry { ssh, known_as: None };
        Ok(match self {
            Self::None => reached(json!({})),
            Self::Closed => reached(json!({ "port": CLOSED_PORT })),
            Self::Silent => reached(json!({ "host": host.address_in(VOID) })),
            Self::AnotherKey => reached(json!({ "host_key": ANOTHER_KEY })),
            Self::Locked => on_port(LOCKED_PORT),
            Self::Slow => on_port(SLOW_PORT),
            Self::Late => {
                let port = forward_late(host)?;
                Entry {
                    ssh: json!({ "host": RUNNER, "port": port }),
                    known_as: Some(format!("[{RUNNER}]:{port}")),
                }
            }
        })
    }
}

/// Forwards connections to the host's sshd, after a while; returns the port.
fn forward_late(host: Host) -> Fallible<u16> {
    let listener = TcpListener::bind((RUNNER, 0))?;
    let port = listener.local_addr()?.port();
    spawn(move || {
        for client in listener.incoming().flatten() {
            spawn(move || {
                sleep(LATE);
                forward(&client, (host.address(), 22).into())
            });
        }
    });
    Ok(port)
}

/// Forwards both ways, until both ends have said all.
fn forward(client: &TcpStream, server: SocketAddr) -> std::io::Result<()> {
    let server = TcpStream::connect(server)?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let sending = spawn(move || {
        let _ = copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let _ = copy(&mut &server, &mut &*client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = sending.join();
    Ok(())
}
