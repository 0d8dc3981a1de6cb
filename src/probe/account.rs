//! How to look at users and groups: one question for all of them.

use super::context::{ProbeContext, Unanswered};
use super::together::Look;
use crate::assertion::Seen;
use crate::assertion::account::{Accounts, parse_accounts, read_accounts};
use crate::assertion::script::fitting;

/// What separates users from groups in a list of names; it is neither.
const GROUPS: &str = "";

pub(super) async fn look(
    users: &[&str],
    groups: &[&str],
    context: &ProbeContext,
) -> Result<Seen<Accounts>, Unanswered> {
    let vm = &context.vm;
    let look = Look {
        fact: &vm.accounts,
        run_as_root: false,
        script: &|names| {
            let (users, groups) = apart(names);
            read_accounts(users, groups)
        },
        parse: &|_, printed| parse_accounts(&printed.stdout.text, &printed.stderr.text),
        is_complete: &|accounts: &Accounts| accounts.know(users, groups),
    };
    let names = together(&fitting(users, &vm.wanted.users), &fitting(groups, &vm.wanted.groups));
    look.ask(context, &names, &together(users, groups)).await
}

fn together<'a>(users: &[&'a str], groups: &[&'a str]) -> Vec<&'a str> {
    [users, &[GROUPS], groups].concat()
}

fn apart<'a, 'b>(names: &'a [&'b str]) -> (&'a [&'b str], &'a [&'b str]) {
    let at = names.iter().position(|name| *name == GROUPS).unwrap_or(names.len());
    (&names[..at], names.get(at + 1..).unwrap_or_default())
}
