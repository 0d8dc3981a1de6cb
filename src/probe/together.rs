//! How to look at what several assertions share, once for all of them.

use std::sync::Arc;

use tokio::time::Instant;

use super::context::{ProbeContext, Unanswered};
use super::fact::Fact;
use super::sudo;
use super::turns::Load;
use crate::assertion::script::as_user;
use crate::assertion::{Seen, Unclear};
use crate::command::CommandResult;
use crate::ssh::exec::exec;

/// Reads the answer to a question for these names.
type Parse<'a, T> = dyn Fn(&[&str], &CommandResult) -> Result<T, Unclear> + Send + Sync + 'a;

/// A look that answers for several assertions.
pub(super) struct Look<'a, T> {
    /// What is known of it.
    pub(super) fact: &'a Fact<Seen<T>>,
    /// Whether root looks.
    pub(super) run_as_root: bool,
    /// Reads the answer to the question for these names.
    pub(super) parse: &'a Parse<'a, T>,
    /// The script that asks for these names.
    pub(super) script: &'a (dyn Fn(&[&str]) -> String + Send + Sync),
    /// Whether the answer is complete for this assertion.
    pub(super) is_complete: &'a (dyn Fn(&T) -> bool + Send + Sync),
}

impl<T: Send + Sync> Look<'_, T> {
    /// Asks for `names`, which are those of all assertions. Where the answer is incomplete, one
    /// of the others was too much for it: then this assertion asks for its `own` names alone.
    pub(super) async fn ask(
        &self,
        context: &ProbeContext,
        names: &[&str],
        own: &[&str],
    ) -> Result<Seen<T>, Unanswered> {
        let read = |deadline| self.read(context, names, deadline);
        let seen = context.fact(&context.vm, self.fact, read).await?;
        match &*seen {
            Ok(answer) if !(self.is_complete)(answer) && names != own => {
                context.ask(Load::Command, |deadline| self.read(context, own, deadline)).await
            }
            _ => Ok(seen),
        }
    }

    async fn read(
        &self,
        context: &ProbeContext,
        names: &[&str],
        deadline: Instant,
    ) -> Result<Seen<T>, Unanswered> {
        let script = (self.script)(names);
        let result = if self.run_as_root {
            sudo::exec_as_root(context, &script, deadline).await?
        } else {
            exec(&context.vm.session, &as_user(&script), None, deadline).await?
        };
        Ok(Arc::new((self.parse)(names, &result)))
    }
}
