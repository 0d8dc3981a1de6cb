//! How to look at packages: one list of all of them.

use super::context::{ProbeContext, Unanswered};
use super::together::Look;
use crate::assertion::Seen;
use crate::assertion::package::{Packages, parse_packages, read_packages};

pub(super) async fn look(context: &ProbeContext) -> Result<Seen<Packages>, Unanswered> {
    let look = Look {
        fact: &context.vm.packages,
        run_as_root: false,
        script: &|_| read_packages(),
        parse: &|_, printed| parse_packages(&printed.stdout.text, &printed.stderr.text),
        is_complete: &|_| true,
    };
    look.ask(context, &[], &[]).await
}
