//! What should hold, and whether it does. No I/O: [`crate::probe`] looks, this module judges.
//!
//! A word of the suite is a file here: `port_listening` is `port_listening.rs`.

pub mod command_output;
pub mod counter_example;
pub mod http_responds;
mod jq;
pub mod peer;
pub mod port_listening;
mod shell;
pub mod text;
pub mod vacuous;
pub mod wire;

use command_output::CommandOutput;
use http_responds::HttpResponds;
use peer::Peer;
use port_listening::PortListening;
use wire::Wire;

/// The types that an assertion can have, as the suite writes them.
pub const TYPES: [&str; 3] = ["port_listening", "command_output", "http_responds"];

/// What one assertion expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// A socket listens.
    PortListening(PortListening),
    /// A command ends and prints as expected.
    CommandOutput(CommandOutput),
    /// A URL is answered as expected.
    HttpResponds(Box<HttpResponds>),
    /// A VM reaches another one, or must not; from the inventory.
    Wire(Wire),
    /// A VM is a machine of its own, or on time; from the inventory.
    Peer(Peer),
}

/// What was seen, uninterpreted.
#[derive(Debug, Clone)]
pub enum Observation {
    /// The listening sockets of the VM.
    Listeners(port_listening::Listeners),
    /// How a command ended and what it printed.
    Command(crate::command::CommandResult),
    /// What came back for a request.
    Http(http_responds::HttpResult),
    /// What the two ends of a wire say.
    Wire(wire::WireSeen),
    /// What sets a VM and its peers apart, or their clocks.
    Peer(peer::PeerSeen),
}

/// The judgement of one observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It is as expected.
    Holds,
    /// It is not as expected.
    Differs(Mismatch),
    /// The observation does not tell; here is why.
    Unclear(Unclear),
}

/// How what was seen differs from what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// One line for a person.
    pub message: String,
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub actual: String,
}

/// Why an observation does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unclear {
    /// The command needs a program that the VM does not have.
    MissingTool(String),
    /// More output came than is looked at (bytes kept).
    TooMuchOutput(usize),
    /// `jq` could not read the text.
    Jq(String),
    /// Nothing listens, so that nothing connects proves nothing; what the far end says.
    NothingToDeny(String),
    /// No other VM could be asked.
    NobodyToCompare,
    /// The answers took so long that the clocks may be off by this.
    SlowClocks(String),
    /// Whether a UDP service is reached cannot be seen from outside.
    UdpCannotBeTried,
}

impl Expectation {
    /// The type's word in the suite.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::PortListening(_) => TYPES[0],
            Self::CommandOutput(_) => TYPES[1],
            Self::HttpResponds(_) => TYPES[2],
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

    /// How it is looked at, in one line: the remote command, or the request.
    pub fn how(&self) -> String {
        match self {
            Self::PortListening(_) => format!("run: {}", port_listening::READ_SOCKET_TABLES),
            Self::CommandOutput(expected) => expected.how(),
            Self::HttpResponds(expected) => expected.how(),
            Self::Wire(expected) => expected.how(),
            Self::Peer(expected) => expected.how(),
        }
    }

    /// Hosts and TCP ports to which it connects, as far as its words tell.
    pub fn connects_to(&self) -> Vec<(String, u16)> {
        match self {
            Self::PortListening(_) | Self::Peer(_) => Vec::new(),
            Self::CommandOutput(expected) => expected.connects_to(),
            Self::HttpResponds(expected) => expected.connects_to(),
            Self::Wire(expected) => expected.connects_to(),
        }
    }

    /// Other VMs that are logged in to for it.
    pub fn others(&self) -> Vec<&str> {
        match self {
            Self::Wire(wire) => vec![&wire.to],
            Self::Peer(peer) => peer.others.iter().map(|(name, _)| name.as_str()).collect(),
            Self::PortListening(_) | Self::CommandOutput(_) | Self::HttpResponds(_) => Vec::new(),
        }
    }

    /// The last part of the assertion's id when the suite gives it no name.
    pub fn slug(&self) -> String {
        match self {
            Self::PortListening(expected) => expected.slug(),
            Self::CommandOutput(expected) => expected.slug(),
            Self::HttpResponds(expected) => expected.slug(),
            Self::Wire(expected) => expected.slug(),
            Self::Peer(expected) => expected.slug(),
        }
    }

    /// Mistakes that can be seen without looking at a VM: the key that is wrong, and why.
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::PortListening(_) | Self::Wire(_) | Self::Peer(_) => Vec::new(),
            Self::CommandOutput(expected) => expected.mistakes(),
            Self::HttpResponds(expected) => expected.mistakes(),
        }
    }

    /// Reasons to distrust it that its own text gives: it can never fail, or it hides a failure.
    pub fn doubts(&self) -> Vec<vacuous::Doubt> {
        match self {
            Self::CommandOutput(expected) => vacuous::doubts(expected),
            Self::PortListening(_) | Self::HttpResponds(_) | Self::Wire(_) | Self::Peer(_) => {
                Vec::new()
            }
        }
    }

    /// The same check where what it looks at is not there; or why there is no such check.
    pub fn counter_examples(&self) -> Result<Vec<counter_example::CounterExample>, String> {
        counter_example::of(self)
    }

    /// Whether what was seen is what was expected.
    ///
    /// # Panics
    /// When the observation is of another type: the probe for a type returns that type's observation.
    pub fn judge(&self, observation: &Observation) -> Judgement {
        match (self, observation) {
            (Self::PortListening(expected), Observation::Listeners(seen)) => expected.judge(seen),
            (Self::CommandOutput(expected), Observation::Command(seen)) => expected.judge(seen),
            (Self::HttpResponds(expected), Observation::Http(seen)) => expected.judge(seen),
            (Self::Wire(expected), Observation::Wire(seen)) => expected.judge(seen),
            (Self::Peer(expected), Observation::Peer(seen)) => expected.judge(seen),
            _ => unreachable!("a probe answered with the observation of another type"),
        }
    }
}

impl Judgement {
    fn differs(
        message: impl Into<String>,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> Self {
        Self::Differs(Mismatch {
            message: message.into(),
            expected: expected.into(),
            actual: actual.into(),
        })
    }
}

/// `text` in lower case, with `-` for everything that is no letter or digit; at most 40 characters.
pub fn slug(text: &str) -> String {
    let dashed: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    let mut slug = words.join("-");
    slug.truncate(40);
    slug.trim_end_matches('-').to_owned()
}
