//! How to read files: the beginning of each, in one question for all of them.

use std::hash::{BuildHasher, RandomState};

use super::context::{ProbeContext, Unanswered};
use super::together::Look;
use crate::assertion::Seen;
use crate::assertion::file_contains::{Contents, FileContains, parse_contents, read_contents};
use crate::assertion::script::fitting;

pub(super) async fn look(
    wanted: &FileContains,
    context: &ProbeContext,
) -> Result<Seen<Contents>, Unanswered> {
    let vm = &context.vm;
    let own = [wanted.path.as_str()];
    let mark = format!("bootproof-{:016x}", RandomState::new().hash_one(()));
    let look = Look {
        fact: vm.contents.fact(wanted.run_as_root),
        run_as_root: wanted.run_as_root,
        script: &|paths| read_contents(paths, &mark),
        parse: &|paths, printed| Ok(parse_contents(paths, &mark, &printed.stdout.text)),
        is_complete: &|contents: &Contents| contents.know(&wanted.path),
    };
    look.ask(context, &fitting(&own, vm.wanted.contents(wanted.run_as_root)), &own).await
}
