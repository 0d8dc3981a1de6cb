//! The judgement of one observation.

/// Whether what was seen is what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It is as expected.
    Holds,
    /// It is not as expected.
    Differs(Mismatch),
    /// The observation does not answer the question.
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

/// Why an observation does not answer the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unclear {
    /// The command needs this program, and the VM does not have it.
    MissingTool(String),
    /// The output was longer than this many bytes, and the rest was not read.
    TooMuchOutput(usize),
    /// libjq failed, with this message.
    Jq(String),
    /// Nothing connects because nothing listens, which proves nothing about a denied wire. What is
    /// known about the far end.
    NothingToDeny(String),
    /// No other VM could be asked.
    NobodyToCompare,
    /// The answers took so long that the clocks can be off by this much, such as `2.5 s`.
    SlowClocks(String),
    /// Nobody can see from outside whether a UDP service is reached.
    UdpCannotBeTried,
    /// The VM does not run systemd, but this.
    NoSystemd(String),
    /// The VM has none of the package managers that bootproof knows.
    NoPackageManager,
    /// The VM hides processes of other users.
    HiddenProcesses,
    /// The user may not look at this path.
    Denied {
        /// The path.
        path: String,
        /// Whether the user was root.
        run_as_root: bool,
    },
    /// A file goes on after what was read of it.
    FileTooLong {
        /// Its path.
        path: String,
        /// How many bytes were read.
        read: usize,
    },
    /// Something could not be read.
    NotRead {
        /// What.
        what: String,
        /// Why, in the words of the VM.
        why: String,
    },
}

impl Judgement {
    pub(super) fn differs(
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
