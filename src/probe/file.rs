//! How to look at files: one `stat` after the other, in one question for all of them.

use super::context::{ProbeContext, Unanswered};
use super::together::Look;
use crate::assertion::Seen;
use crate::assertion::file::{Files, parse_files, read_files};
use crate::assertion::file_exists::FileExists;
use crate::assertion::script::fitting;

pub(super) async fn look(
    wanted: &FileExists,
    context: &ProbeContext,
) -> Result<Seen<Files>, Unanswered> {
    let vm = &context.vm;
    let own = [wanted.path.as_str()];
    let look = Look {
        fact: vm.files.fact(wanted.run_as_root),
        run_as_root: wanted.run_as_root,
        script: &read_files,
        parse: &|paths, printed| Ok(parse_files(paths, &printed.stdout.text)),
        is_complete: &|files: &Files| files.know(&wanted.path),
    };
    look.ask(context, &fitting(&own, vm.wanted.files(wanted.run_as_root)), &own).await
}
