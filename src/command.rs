//! How a remote command ended and what it printed. Plain data that `ssh` fills and `assertion`
//! judges.

/// How a command ended and what it printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandResult {
    /// How it ended.
    pub end: CommandEnd,
    /// Standard output.
    pub stdout: Captured,
    /// Standard error.
    pub stderr: Captured,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandEnd {
    /// With an exit status.
    Exited(u32),
    /// By a signal, such as `KILL`.
    Signalled(String),
}

impl Default for CommandEnd {
    fn default() -> Self {
        Self::Exited(0)
    }
}

/// What one stream carried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// What was kept; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Bytes that came beyond what is kept.
    pub lost: usize,
}
