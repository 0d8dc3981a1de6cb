//! How to look at a command: run it, as the user or through sudo.

use super::context::{ProbeContext, Unanswered};
use super::sudo;
use super::turns::Load;
use crate::assertion::command_output::CommandOutput;
use crate::command::CommandResult;
use crate::ssh::exec::exec;

pub(super) async fn look(
    wanted: &CommandOutput,
    context: &ProbeContext,
) -> Result<CommandResult, Unanswered> {
    context
        .ask(Load::Command, async |deadline| {
            if wanted.run_as_root {
                return sudo::exec_as_root(context, &wanted.command, deadline).await;
            }
            exec(&context.vm.session, &wanted.command, None, deadline).await
        })
        .await
}
