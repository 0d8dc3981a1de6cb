//! Why VMs cannot be asked: each cause once, with the number of assertions that it blocks.

use std::collections::HashSet;
use std::fmt::Write;

use indexmap::IndexMap;

use super::screen::{Screen, nodes_of};
use crate::outcome::{Cause, VerdictKind};
use crate::report::Report;
use crate::report::fold::{Same, Seen, Vms};
use crate::report::row::ResultRow;
use crate::report::text::{counted, harmless_line};

/// A cause and how many assertions it blocks.
type Blocking<'a> = (&'a Cause, usize);

pub(super) fn render<'a>(report: &'a Report, vms: &Vms<'a>, screen: Screen) -> String {
    let seen = blocking(&report.results).into_iter().map(|(cause, count)| {
        // The name and the address of the VM are not a part of it.
        let text = format!("at {}: {}", cause.stage.word(), cause.message);
        Seen { vm: &cause.vm, text, of: (cause, count) }
    });
    let same = vms.fold(seen.collect());
    let (shown, rest) = screen.split(&same);
    if rest.is_empty() {
        return shown.iter().map(|same| block(same, vms, screen)).collect();
    }
    let word = screen.red("cause");
    let mut text = format!("\n{word} {}\n", counted(same.len(), "different cause"));
    text += &who_and_what(&same, vms);
    for cause in shown {
        let _ = writeln!(text, "  {}", harmless_line(&title(cause)));
    }
    let _ = writeln!(text, "  and {}; -v shows all", counted(rest.len(), "other"));
    text
}

/// The causes of blocked assertions, in their order. What else has the same cause counts, too.
fn blocking(results: &[ResultRow]) -> Vec<Blocking<'_>> {
    let mut found: IndexMap<_, Blocking> = IndexMap::new();
    let mut blocks = HashSet::new();
    for (row, cause) in results.iter().filter_map(|row| Some((row, row.cause.as_ref()?))) {
        let key = (&cause.vm, cause.stage.word(), &cause.address, &cause.message);
        found.entry(key).or_insert((cause, 0)).1 += 1;
        if row.verdict == VerdictKind::Blocked {
            blocks.insert(key);
        }
    }
    found.into_iter().filter(|(key, _)| blocks.contains(key)).map(|(_, found)| found).collect()
}

fn block(same: &Same<Blocking>, vms: &Vms, screen: Screen) -> String {
    let word = screen.red("cause");
    let text = format!("\n{word} {}\n", harmless_line(&title(same)));
    text + &who_and_what(std::slice::from_ref(same), vms) + &hint(same, vms)
}

fn title(same: &Same<Blocking>) -> String {
    if let [(_, (cause, _))] = same.items[..] {
        cause.to_string()
    } else {
        format!("{} {}", counted(same.items.len(), "VM"), same.text)
    }
}

/// The VMs, if there are several, and how many assertions are blocked.
fn who_and_what(same: &[Same<Blocking>], vms: &Vms) -> String {
    let causes = || same.iter().flat_map(|one| &one.items);
    let mut text = String::new();
    if causes().count() > 1 {
        let _ = writeln!(text, "  VMs:      {}", nodes_of(same, vms));
    }
    let blocked = causes().map(|(_, (_, count))| count).sum();
    let _ = writeln!(text, "  blocks:   {}", counted(blocked, "assertion"));
    text
}

/// The hint that most of them have.
fn hint(same: &Same<Blocking>, vms: &Vms) -> String {
    let causes = same.items.iter().map(|(_, (cause, _))| *cause);
    let seen = causes.filter_map(|cause| {
        let text = cause.hint.clone()?;
        Some(Seen { vm: &cause.vm, text, of: () })
    });
    let hints = vms.fold(seen.collect());
    hints
        .first()
        .map_or_else(String::new, |hint| format!("  hint:     {}\n", harmless_line(&hint.text)))
}
