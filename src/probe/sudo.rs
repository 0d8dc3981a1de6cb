//! How to run something as root: through sudo, with its password on standard input.

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::context::{ProbeContext, Unanswered};
use crate::assertion::command_output::missing_tool;
use crate::assertion::script::{SUDO_GRANTED, as_root, last_line};
use crate::command::CommandResult;
use crate::obstacle::{Obstacle, Stage};
use crate::secrets::Secret;
use crate::ssh::exec::exec;

/// Runs `script` as root. What sudo itself prints is not part of the result.
pub(super) async fn exec_as_root(
    context: &ProbeContext,
    script: &str,
    deadline: Instant,
) -> Result<CommandResult, Unanswered> {
    let password = password_line(context.sudo_password.as_ref());
    let session = &context.vm.session;
    match exec(session, &as_root(script), Some(password.as_bytes()), deadline).await {
        Ok(mut result) => {
            if take_granted(&mut result) {
                return Ok(result);
            }
            Err(Unanswered { obstacle: refused(&result.stderr.text), partial: Some(result) })
        }
        Err(unanswered) => Err(explain(unanswered)),
    }
}

/// What sudo reads from standard input.
fn password_line(password: Option<&Secret>) -> Zeroizing<String> {
    let line = password.map(|secret| [secret.expose(), "\n"].concat());
    Zeroizing::new(line.unwrap_or_default())
}

/// Removes the lines that say that sudo let the command through, and what sudo printed before
/// them; `false` if they are missing.
fn take_granted(result: &mut CommandResult) -> bool {
    let line = format!("{SUDO_GRANTED}\n");
    let granted = [&mut result.stdout.text, &mut result.stderr.text].map(|text| {
        let found = text.find(&line);
        text.drain(..found.map_or(0, |at| at + line.len()));
        found.is_some()
    });
    granted == [true, true]
}

/// A time-out before sudo let the command through is sudo's.
fn explain(mut unanswered: Unanswered) -> Unanswered {
    let Some(partial) = &mut unanswered.partial else { return unanswered };
    let granted = take_granted(partial);
    if unanswered.obstacle.stage == Stage::Timeout && !granted {
        unanswered.obstacle = slow(&partial.stderr.text);
    }
    unanswered
}

fn refused(stderr: &str) -> Obstacle {
    if missing_tool(stderr).as_deref() == Some("sudo") {
        return Obstacle::passing(
            Stage::MissingTool,
            "`sudo` is not installed on the VM, so nothing can run as root",
        )
        .hint("install `sudo` on the VM, or check something that does not need root");
    }
    let why = last_line(stderr).unwrap_or("it printed nothing");
    Obstacle::lasting(Stage::Sudo, format!("sudo refused: {why}")).hint(
        "is the user in the group `sudo`, and is the password (or `sudo_password`) in the \
         inventory right?",
    )
}

fn slow(stderr: &str) -> Obstacle {
    let hint = if stderr.contains("unable to resolve host") {
        "the VM cannot resolve its own name; add it to /etc/hosts there. The VM is slow, not down"
    } else {
        "sudo waits for DNS or PAM; the SSH connection itself answers, so the VM is slow, not down"
    };
    Obstacle::passing(Stage::Timeout, "sudo did not start the command in time").hint(hint)
}
