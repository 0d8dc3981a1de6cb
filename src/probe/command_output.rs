//! How to look at a command: run it, as the user or through sudo.

use crate::obstacle::{Obstacle, Stage};
use zeroize::Zeroizing;

use super::{ProbeError, Vantage};
use crate::assertion::command_output::{CommandOutput, SUDO_GRANTED, missing_tool};
use crate::command::CommandResult;
use crate::secrets::Secret;
use crate::ssh::exec::{ExecError, exec};

pub(super) async fn look(
    wanted: &CommandOutput,
    from: &Vantage,
) -> Result<CommandResult, ProbeError> {
    let command = wanted.remote_command();
    if !wanted.run_as_root {
        return Ok(exec(&from.session, &command, None, from.deadline).await?);
    }
    let line = |secret: &Secret| [secret.expose(), "\n"].concat();
    let password = Zeroizing::new(from.sudo_password.as_ref().map_or(String::new(), line));
    match exec(&from.session, &command, Some(password.as_bytes()), from.deadline).await {
        Ok(mut result) => {
            if take_granted(&mut result) {
                return Ok(result);
            }
            Err(ProbeError { error: refused(&result.stderr.text), partial: Some(result) })
        }
        Err(ExecError { error, mut partial }) => {
            let granted = take_granted(&mut partial);
            let error = if error.stage == Stage::Timeout && !granted {
                slow(&partial.stderr.text)
            } else {
                error
            };
            Err(ProbeError { error, partial: Some(partial) })
        }
    }
}

/// Takes the line that says that sudo let the command through; `false` when it is not there.
fn take_granted(result: &mut CommandResult) -> bool {
    let line = format!("{SUDO_GRANTED}\n");
    let Some(at) = result.stderr.text.find(&line) else { return false };
    result.stderr.text.replace_range(at..at + line.len(), "");
    true
}

fn refused(stderr: &str) -> Obstacle {
    if missing_tool(stderr).as_deref() == Some("sudo") {
        return Obstacle::passing(
            Stage::MissingTool,
            "`sudo` is not installed there, so nothing can be run as root",
        )
        .hint("install `sudo` on the VM, or ask in a way that does not need root");
    }
    let said =
        stderr.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    Obstacle::lasting(Stage::Sudo, format!("sudo refused: {said}"))
        .hint("is the user in the group `sudo`, and is the password (or `sudo_password`) in the inventory right?")
}

fn slow(stderr: &str) -> Obstacle {
    let hint = if stderr.contains("unable to resolve host") {
        "the VM cannot resolve its own name; add it to /etc/hosts there. The VM is slow, not dead"
    } else {
        "sudo waits, for DNS or PAM; the SSH connection itself answers, so the VM is slow, not dead"
    };
    Obstacle::passing(Stage::Timeout, "sudo did not let the command through in time").hint(hint)
}
