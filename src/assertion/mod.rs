//! What must hold, and whether it does. No I/O: [`crate::probe`] looks, this module judges.
//!
//! Each type of the suite is a file here, `port_listening` is `port_listening.rs`, and so is each
//! kind of assertion that the inventory declares: `wire.rs` and `peer.rs`. What several types look
//! at has a file, too: `service.rs`, `package.rs`, `file.rs` and `account.rs`.

pub mod account;
pub mod command_output;
pub mod facts;
pub mod file;
pub mod file_contains;
pub mod file_exists;
pub mod group_exists;
pub mod http_responds;
mod jq;
pub mod judgement;
pub mod mistake;
mod name;
pub mod number;
pub mod package;
pub mod package_installed;
pub mod package_not_installed;
pub mod peer;
pub mod peers;
pub mod port_listening;
pub mod process_running;
pub mod script;
pub mod service;
pub mod service_enabled;
pub mod service_running;
mod slug;
pub mod text;
pub mod user_exists;
pub mod wire;

use std::sync::Arc;

use account::Accounts;
use command_output::CommandOutput;
use file::Files;
use file_contains::{Contents, FileContains};
use file_exists::FileExists;
use group_exists::GroupExists;
use http_responds::HttpResponds;
pub use judgement::{Judgement, Mismatch, Unclear};
use mistake::Mistake;
use package::Packages;
use package_installed::PackageInstalled;
use package_not_installed::PackageNotInstalled;
use peer::{Aspect, Peer};
use port_listening::PortListening;
use process_running::{ProcessRunning, Processes};
use service::Services;
use service_enabled::ServiceEnabled;
use service_running::ServiceRunning;
pub use slug::slug;
use user_exists::UserExists;
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
    /// [`service_running`]
    ServiceRunning,
    /// [`service_enabled`]
    ServiceEnabled,
    /// [`process_running`]
    ProcessRunning,
    /// [`package_installed`]
    PackageInstalled,
    /// [`package_not_installed`]
    PackageNotInstalled,
    /// [`file_exists`]
    FileExists,
    /// [`file_contains`]
    FileContains,
    /// [`user_exists`]
    UserExists,
    /// [`group_exists`]
    GroupExists,
}

impl AssertionType {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 12] = [
        Self::PortListening,
        Self::CommandOutput,
        Self::HttpResponds,
        Self::ServiceRunning,
        Self::ServiceEnabled,
        Self::ProcessRunning,
        Self::PackageInstalled,
        Self::PackageNotInstalled,
        Self::FileExists,
        Self::FileContains,
        Self::UserExists,
        Self::GroupExists,
    ];

    /// How the suite writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::PortListening => "port_listening",
            Self::CommandOutput => "command_output",
            Self::HttpResponds => "http_responds",
            Self::ServiceRunning => "service_running",
            Self::ServiceEnabled => "service_enabled",
            Self::ProcessRunning => "process_running",
            Self::PackageInstalled => "package_installed",
            Self::PackageNotInstalled => "package_not_installed",
            Self::FileExists => "file_exists",
            Self::FileContains => "file_contains",
            Self::UserExists => "user_exists",
            Self::GroupExists => "group_exists",
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
    /// systemd runs a service.
    ServiceRunning(ServiceRunning),
    /// systemd starts a service at boot.
    ServiceEnabled(ServiceEnabled),
    /// Processes of a command run.
    ProcessRunning(ProcessRunning),
    /// A package is installed.
    PackageInstalled(PackageInstalled),
    /// A package is not installed.
    PackageNotInstalled(PackageNotInstalled),
    /// A file exists and is what it should be.
    FileExists(FileExists),
    /// A file contains a text, or does not.
    FileContains(FileContains),
    /// The VM has a user.
    UserExists(UserExists),
    /// The VM has a group.
    GroupExists(GroupExists),
    /// A VM reaches a port of another one, or must not; from the inventory.
    Wire(Wire),
    /// A VM is unique in the lab, or its clock is right; from the inventory.
    Peer(Peer),
}

/// What one look showed to all who share it, or why it showed nothing.
pub type Seen<T> = Arc<Result<T, Unclear>>;

/// What was seen, before it is judged.
#[derive(Debug, Clone)]
pub enum Observation {
    /// The listening sockets of the VM.
    Listeners(port_listening::Listeners),
    /// How a command ended and what it printed.
    Command(crate::command::CommandResult),
    /// The answer to a request.
    Http(http_responds::HttpResult),
    /// Services, as systemd describes them.
    Services(Seen<Services>),
    /// All processes.
    Processes(Seen<Processes>),
    /// All packages.
    Packages(Seen<Packages>),
    /// What some paths are.
    Files(Seen<Files>),
    /// What is in some files.
    Contents(Seen<Contents>),
    /// Users and groups.
    Accounts(Seen<Accounts>),
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
            Self::ServiceRunning(_) => AssertionType::ServiceRunning.word(),
            Self::ServiceEnabled(_) => AssertionType::ServiceEnabled.word(),
            Self::ProcessRunning(_) => AssertionType::ProcessRunning.word(),
            Self::PackageInstalled(_) => AssertionType::PackageInstalled.word(),
            Self::PackageNotInstalled(_) => AssertionType::PackageNotInstalled.word(),
            Self::FileExists(_) => AssertionType::FileExists.word(),
            Self::FileContains(_) => AssertionType::FileContains.word(),
            Self::UserExists(_) => AssertionType::UserExists.word(),
            Self::GroupExists(_) => AssertionType::GroupExists.word(),
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
            Self::ServiceRunning(expected) => expected.describe(),
            Self::ServiceEnabled(expected) => expected.describe(),
            Self::ProcessRunning(expected) => expected.describe(),
            Self::PackageInstalled(expected) => expected.describe(),
            Self::PackageNotInstalled(expected) => expected.describe(),
            Self::FileExists(expected) => expected.describe(),
            Self::FileContains(expected) => expected.describe(),
            Self::UserExists(expected) => expected.describe(),
            Self::GroupExists(expected) => expected.describe(),
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
            Self::ServiceRunning(expected) => service::how(&expected.unit()),
            Self::ServiceEnabled(expected) => service::how(&expected.unit()),
            Self::ProcessRunning(expected) => expected.how(),
            Self::FileExists(expected) => expected.how(),
            Self::FileContains(expected) => expected.how(),
            Self::UserExists(expected) => expected.how(),
            Self::GroupExists(expected) => expected.how(),
            Self::PackageInstalled(_) | Self::PackageNotInstalled(_) => package::how(),
            Self::Wire(expected) => expected.how(),
            Self::Peer(expected) => expected.how(),
        }
    }

    /// Hosts and TCP ports that it connects to, as far as its text shows.
    pub fn connects_to(&self) -> Vec<(String, u16)> {
        match self {
            Self::CommandOutput(expected) => expected.connects_to(),
            Self::HttpResponds(expected) => expected.connects_to(),
            Self::Wire(expected) => expected.connects_to(),
            _ => Vec::new(),
        }
    }

    /// Other VMs that bootproof asks for it, at the same time.
    pub fn others(&self) -> Vec<&str> {
        match self {
            Self::Wire(wire) => vec![&wire.to],
            _ => Vec::new(),
        }
    }

    /// Whether judging runs a program of the suite, which may never end.
    pub fn runs_a_program(&self) -> bool {
        match self {
            Self::CommandOutput(expected) => expected.jq.is_some(),
            Self::HttpResponds(expected) => expected.jq.is_some(),
            _ => false,
        }
    }

    /// Whether it compares the VM with all others.
    pub fn is_about_all_vms(&self) -> bool {
        matches!(self, Self::Peer(_))
    }

    /// Whether other VMs are compared with what it reads of its VM.
    pub fn shares_its_reading(&self) -> bool {
        matches!(self, Self::Peer(peer) if peer.reads_as_others_do())
    }

    /// The systemd unit that it is about: if systemd gives up on the unit, waiting is in vain.
    pub fn unit(&self) -> Option<String> {
        match self {
            Self::ServiceRunning(expected) => Some(expected.unit()),
            _ => None,
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
            Self::ServiceRunning(expected) => expected.slug(),
            Self::ServiceEnabled(expected) => expected.slug(),
            Self::ProcessRunning(expected) => expected.slug(),
            Self::PackageInstalled(expected) => expected.slug(),
            Self::PackageNotInstalled(expected) => expected.slug(),
            Self::FileExists(expected) => expected.slug(),
            Self::FileContains(expected) => expected.slug(),
            Self::UserExists(expected) => expected.slug(),
            Self::GroupExists(expected) => expected.slug(),
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
            Self::ServiceRunning(expected) => expected.mistakes(),
            Self::ServiceEnabled(expected) => expected.mistakes(),
            Self::ProcessRunning(expected) => expected.mistakes(),
            Self::PackageInstalled(expected) => expected.mistakes(),
            Self::PackageNotInstalled(expected) => expected.mistakes(),
            Self::FileExists(expected) => expected.mistakes(),
            Self::FileContains(expected) => expected.mistakes(),
            Self::UserExists(expected) => expected.mistakes(),
            Self::GroupExists(expected) => expected.mistakes(),
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
            (Self::ServiceRunning(expected), Observation::Services(seen)) => expected.judge(seen),
            (Self::ServiceEnabled(expected), Observation::Services(seen)) => expected.judge(seen),
            (Self::ProcessRunning(expected), Observation::Processes(seen)) => expected.judge(seen),
            (Self::PackageInstalled(expected), Observation::Packages(seen)) => expected.judge(seen),
            (Self::PackageNotInstalled(expected), Observation::Packages(seen)) => {
                expected.judge(seen)
            }
            (Self::FileExists(expected), Observation::Files(seen)) => expected.judge(seen),
            (Self::FileContains(expected), Observation::Contents(seen)) => expected.judge(seen),
            (Self::UserExists(expected), Observation::Accounts(seen)) => expected.judge(seen),
            (Self::GroupExists(expected), Observation::Accounts(seen)) => expected.judge(seen),
            (Self::Wire(expected), Observation::Wire(seen)) => expected.judge(seen),
            (Self::Peer(expected), Observation::Peer(seen)) => expected.judge(seen),
            _ => unreachable!("a probe returned an observation of another type"),
        }
    }
}
