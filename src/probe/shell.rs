//! Whether a login runs commands: one question after each login, before anything else is asked.

use std::time::Duration;

use tokio::time::Instant;

use crate::command::CommandEnd;
use crate::health::shell::{READ_SHELL, SHELL_STATUS, parse_cpus};
use crate::obstacle::{Obstacle, Stage};
use crate::ssh::exec::{Unanswered, open_exec};
use crate::ssh::{Noise, Session};

/// A shell that needs longer than this to start would let every assertion run into its time limit.
/// A busy VM needs a few seconds.
const LIMIT: Duration = Duration::from_mins(1);

/// A login shell that runs commands.
#[derive(Debug, Clone)]
pub struct LoginShell {
    /// How many CPUs the VM has.
    pub cpus: usize,
    /// What the shell prints around each command.
    pub noise: Vec<Noise>,
}

/// Runs a command whose output and exit status are known.
pub async fn look(session: &Session) -> Result<LoginShell, Obstacle> {
    let deadline = Instant::now() + LIMIT;
    let opened = open_exec(session, READ_SHELL, None, deadline).await.map_err(explain)?;
    let result = &opened.result;
    let cpus =
        parse_cpus(&result.stdout.text, &result.stderr.text).map_err(|said| no_programs(&said))?;
    for end in [Some(&result.end), opened.shell_end.as_ref()] {
        if end != Some(&CommandEnd::Exited(SHELL_STATUS)) {
            return Err(wrong_status(end));
        }
    }
    Ok(LoginShell { cpus, noise: opened.noise })
}

/// Whatever keeps this command from running keeps every command from it.
fn explain(unanswered: Unanswered) -> Obstacle {
    let Unanswered { obstacle, partial } = unanswered;
    // Without a channel, no shell was started.
    if obstacle.stage != Stage::Timeout || partial.is_none() {
        return obstacle;
    }
    let limit = humantime::format_duration(LIMIT);
    let message = format!("{} ({limit})", obstacle.message);
    Obstacle { stage: Stage::Shell, message, ..obstacle }
}

fn no_programs(said: &str) -> Obstacle {
    Obstacle::passing(
        Stage::Shell,
        format!("the login shell cannot start programs: it says {said:?}"),
    )
    .hint(
        "is PATH right (.bashrc, /etc/environment), and may the user start processes (`nproc` in \
         limits.conf, the memory of the VM)?",
    )
}

fn wrong_status(end: Option<&CommandEnd>) -> Obstacle {
    let got = match end {
        Some(CommandEnd::Exited(status)) => format!("exit status {status}"),
        Some(CommandEnd::Signalled(name)) => format!("signal {name}"),
        None => "none".to_owned(),
    };
    Obstacle::passing(
        Stage::Shell,
        format!(
            "the login shell changes exit statuses: a command that ended with {SHELL_STATUS} came \
             back with {got}"
        ),
    )
    .hint("does a ForceCommand or a wrapper around the login shell lose the exit status?")
}
