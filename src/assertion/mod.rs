//! What must hold, and whether it does. No I/O: [`crate::probe`] looks, this module judges.
//!
//! Each type of the suite is a file here, `port_listening` is `port_listening.rs`, and so is each
//! kind of assertion that the inventory declares: `wire.rs` and `peer.rs`.

pub mod command_output;
pub mod http_responds;
mod jq;
pub mod judgement;
pub mod mistake;
pub mod peer;
pub mod port_listening;
mod slug;
pub mod text;
pub mod wire;

use command_output::CommandOutput;
use http_responds::HttpResponds;
pub use judgement::{Judgement, Mismatch, Unclear};
use mistake::Mistake;
use peer::{Aspect, Peer};
use port_listening::PortListening;
pub use slug::slug;
use wire::Wire;

/// The type of an assertion in a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionType {
    /// [`port_listening`]
    PortListening,
    /// [`command_output`]
    CommandOutput,
    /// [`http_responds`]
    HttpResponds,
}

impl AssertionType {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 3] = [Self::PortListening, Self::CommandOutput, Self::HttpResponds];

    /// How the suite writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::PortListening => "port_listening",
            Self::CommandOutput => "command_output",
            Self::HttpResponds => "http_responds",
        }
    }

    /// The type that the suite writes with this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.word() == word)
    }
}

/// What one assertion expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// A socket listens on a port.
    PortListening(PortListening),
    /// A command exits and prints as expected.
    CommandOutput(CommandOutput),
    /// A server answers a request as expected.
    HttpResponds(Box<HttpResponds>),
    /// A VM reaches a port of another one, or must not; from the inventory.
    Wire(Wire),
    /// A VM is unique in the lab, or its clock is right; from the inventory.
    Peer(Peer),
}

/// What was seen, before it is judged.
#[derive(Debug, Clone)]
pub enum Observation {
    /// The listening sockets of the VM.
    Listeners(port_listening::Listeners),
    /// How a command ended and what it printed.
    Command(crate::command::CommandResult),
    /// The answer to a request.
    Http(http_responds::HttpResult),
    /// What was seen at both ends of a wire.
    Wire(wire::WireSeen),
    /// The identities of a VM and its peers, or their clocks.
    Peer(peer::PeerSeen),
}

impl Expectation {
    /// The word for its type in a suite; `wire` and `peer` come from the inventory.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::PortListening(_) => AssertionType::PortListening.word(),
            Self::CommandOutput(_) => AssertionType::CommandOutput.word(),
            Self::HttpResponds(_) => AssertionType::HttpResponds.word(),
            Self::Wire(_) => "wire",
            Self::Peer(_) => "peer",
        }
    }

    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        match self {
            Self::PortListening(expected) => expected.describe(),
            Self::CommandOutput(expected) => expected.describe(),
            Self::HttpResponds(expected) => expected.describe(),
            Self::Wire(expected) => expected.describe(),
            Self::Peer(expected) => expected.describe(),
        }
    }

    /// How bootproof checks it, in one line: the remote command, or the request.
    pub fn how(&self) -> String {
        match self {
            Self::PortListening(_) => format!("run: {}", port_listening::READ_SOCKET_TABLES),
            Self::CommandOutput(expected) => expected.how(),
            Self::HttpResponds(expected) => expected.how(),
            Self::Wire(expected) => expected.how(),
            Self::Peer(expected) => expected.how(),
        }
    }

    /// Hosts and TCP ports that it connects to, as far as its text shows.
    pub fn connects_to(&self) -> Vec<(String, u16)> {
        match self {
            Self::PortListening(_) | Self::Peer(_) => Vec::new(),
            Self::CommandOutput(expected) => expected.connects_to(),
            Self::HttpResponds(expected) => expected.connects_to(),
            Self::Wire(expected) => expected.connects_to(),
        }
    }

    /// Other VMs that bootproof logs in to for it.
    pub fn others(&self) -> Vec<&str> {
        match self {
            Self::Wire(wire) => vec![&wire.to],
            Self::Peer(peer) => peer.others.iter().map(|(name, _)| name.as_str()).collect(),
            Self::PortListening(_) | Self::CommandOutput(_) | Self::HttpResponds(_) => Vec::new(),
        }
    }

    /// Whether a slow answer alone makes it unclear.
    pub fn is_about_time(&self) -> bool {
        matches!(self, Self::Peer(Peer { aspect: Aspect::Clock { .. }, .. }))
    }

    /// The last part of the assertion's id, unless the suite names it.
    pub fn slug(&self) -> String {
        match self {
            Self::PortListening(expected) => expected.slug(),
            Self::CommandOutput(expected) => expected.slug(),
            Self::HttpResponds(expected) => expected.slug(),
            Self::Wire(expected) => expected.slug(),
            Self::Peer(expected) => expected.slug(),
        }
    }

    /// Mistakes that show without looking at a VM.
    pub fn mistakes(&self) -> Vec<Mistake> {
        match self {
            Self::PortListening(_) | Self::Wire(_) | Self::Peer(_) => Vec::new(),
            Self::CommandOutput(expected) => expected.mistakes(),
            Self::HttpResponds(expected) => expected.mistakes(),
        }
    }

    /// Whether what was seen is what was expected.
    ///
    /// # Panics If the observation is of another type: the probe for a type returns observations of
    /// that type.
    pub fn judge(&self, observation: &Observation) -> Judgement {
        match (self, observation) {
            (Self::PortListening(expected), Observation::Listeners(seen)) => expected.judge(seen),
            (Self::CommandOutput(expected), Observation::Command(seen)) => expected.judge(seen),
            (Self::HttpResponds(expected), Observation::Http(seen)) => expected.judge(seen),
            (Self::Wire(expected), Observation::Wire(seen)) => expected.judge(seen),
            (Self::Peer(expected), Observation::Peer(seen)) => expected.judge(seen),
            _ => unreachable!("a probe returned an observation of another type"),
        }
    }
}
