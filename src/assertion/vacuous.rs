//! Checks that cannot fail, or that pass when what they look at is broken: what their own text tells.
//!
//! A VM is not asked; `bootproof prove` does that.

use std::collections::BTreeSet;

use super::Judgement;
use super::command_output::CommandOutput;
use super::shell::{End, Program, Script, World};
use crate::command::{Captured, CommandResult};

/// A reason to distrust a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The key that it is about.
    pub key: &'static str,
    /// The check can never fail; otherwise it hides some failures.
    pub never_fails: bool,
    /// What is wrong.
    pub why: String,
    /// How to write it better.
    pub hint: String,
}

/// With more programs, not every way in which they can end is gone through.
const MOST_PROGRAMS: usize = 6;

/// A program in a message is cut after so many characters.
const LONGEST_NAME: usize = 60;

/// What a command's text tells about its worth as a check. A command that must not exit 0 is not doubted.
pub(super) fn doubts(check: &CommandOutput) -> Vec<Doubt> {
    let Some(script) = Script::parse(&check.command).filter(|_| check.exit_code.unwrap_or(0) == 0)
    else {
        return Vec::new();
    };
    let programs = script.programs();
    if passes_always(check, &script, &programs) {
        return vec![cannot_fail(&programs)];
    }
    let everything_fails =
        World { fails: &|_| true, silent: true, negated_is_so: true, old_jq: false };
    let mut origins = programs.iter().filter(|one| one.place.feeds && !one.place.fed);
    origins
        .find_map(|origin| lost(check, &script, &programs, origin))
        .or_else(|| passes(check, &script, everything_fails).then(|| forgiven(&programs)))
        .into_iter()
        .collect()
}

fn distinct<'a>(programs: &[Program<'a>], wanted: impl Fn(&Program) -> bool) -> BTreeSet<&'a str> {
    programs.iter().filter(|one| wanted(one)).map(|one| one.text).collect()
}

/// Whether it passes however its programs end, and whatever they print.
fn passes_always(check: &CommandOutput, script: &Script, programs: &[Program]) -> bool {
    let texts: Vec<&str> = distinct(programs, |_| true).into_iter().collect();
    texts.len() <= MOST_PROGRAMS
        && (0..1u32 << texts.len()).all(|ends| {
            let fails = |text: &str| {
                texts.iter().position(|one| *one == text).is_some_and(|at| ends >> at & 1 == 1)
            };
            passes(
                check,
                script,
                World { fails: &fails, silent: false, negated_is_so: false, old_jq: false },
            )
        })
}

fn passes(check: &CommandOutput, script: &Script, world: World) -> bool {
    script.end_in(world).is_some_and(|end| end.ok && surely_as_expected(check, end))
}

/// A jq program may never end, and nothing can stop it here: what it would say is not known.
fn surely_as_expected(check: &CommandOutput, end: End) -> bool {
    if check.jq.is_some() {
        return false;
    }
    let more_matters = check.equals.is_some() || check.matches.is_some();
    let stdout = Captured { text: end.printed, lost: 0 };
    !(end.more && more_matters)
        && check.judge(&CommandResult { stdout, ..CommandResult::default() }) == Judgement::Holds
}

/// A doubt when the check passes although the program that a pipe begins with has failed, and all else is as it should.
fn lost(
    check: &CommandOutput,
    script: &Script,
    programs: &[Program],
    origin: &Program,
) -> Option<Doubt> {
    let negated = distinct(programs, |one| one.place.negated);
    let fails = |text: &str| text == origin.text || negated.contains(text);
    let world = World { fails: &fails, silent: true, negated_is_so: false, old_jq: false };
    let name = shortened(origin.text);
    let why = if passes(check, script, world) {
        format!(
            "this check passes when `{name}` fails: of a pipe, only the last command's status counts"
        )
    } else if passes(check, script, World { old_jq: true, ..world }) {
        format!(
            "this check passes when `{name}` fails, unless the VM has jq 1.7 or newer: `jq -e` without input exited 0"
        )
    } else {
        return None;
    };
    let first = format!("run it first: `seen=$({name}) && printf '%s' \"$seen\" | ...`");
    let hint = match origin.name {
        "curl" | "wget" => format!("`http_responds` needs no pipe; or {first}"),
        _ => first,
    };
    Some(Doubt { key: "command", never_fails: false, why, hint })
}

fn cannot_fail(programs: &[Program]) -> Doubt {
    let why = match programs {
        [] => "this check cannot fail: no program of it looks at the VM".to_owned(),
        [one] => {
            format!("this check cannot fail: it passes however `{}` ends", shortened(one.text))
        }
        _ => "this check cannot fail: it passes however its programs end".to_owned(),
    };
    let hint =
        "leave out what takes the failure back (`|| true`, `;`); join what must hold with `&&`"
            .to_owned();
    Doubt { key: "command", never_fails: true, why, hint }
}

fn forgiven(programs: &[Program]) -> Doubt {
    let (what, name) = match programs {
        [one] => (format!("`{}` fails", shortened(one.text)), shortened(one.text)),
        _ => ("all of its programs fail".to_owned(), "PROGRAM".to_owned()),
    };
    Doubt {
        key: "command",
        never_fails: false,
        why: format!("this check passes when {what}, for whatever reason"),
        hint: format!(
            "if it is to fail, say so: `! {name} && echo ...`; else leave out what takes the failure back"
        ),
    }
}

/// A program, as it stands in a message.
pub(super) fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST_NAME) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str, key: &str, text: &str) -> CommandOutput {
        let mut keys = serde_json::json!({"command": command});
        if !key.is_empty() {
            keys[key] = text.into();
        }
        serde_json::from_value(keys).unwrap()
    }

    #[test]
    fn what_passes_however_it_ends_cannot_fail() {
        for (command, key, text) in [
            ("nc -z h 1 || true", "", ""),
            ("nc -z h 1 || :", "", ""),
            ("nc -z h 1; true", "", ""),
            ("nc -z h 1; echo server-ok", "contains", "ok"),
            ("if a; then echo ok; else echo not ok; fi", "contains", "ok"),
            ("a && b | sort || exit 0", "", ""),
            ("echo \"$(curl h)\"", "", ""),
            ("true", "", ""),
            ("echo ok", "equals", "ok"),
        ] {
            let doubts = doubts(&check(command, key, text));
            assert!(matches!(&doubts[..], [doubt] if doubt.never_fails), "{command}: {doubts:?}");
        }
    }

    #[test]
    fn what_passes_when_something_fails_is_doubted() {
        for (command, key, text, said) in [
            (
                "nc -z h 1 || echo ok",
                "contains",
                "ok",
                "passes when `nc -z h 1` fails, for whatever reason",
            ),
            ("a; echo server-ok", "equals", "server-ok", "passes when `a` fails"),
            ("a -x || true", "matches", "^$", "passes when `a -x` fails"),
            ("curl h | sort", "", "", "passes when `curl h` fails: of a pipe"),
            (
                "cat /a | grep bad || echo none",
                "equals",
                "none",
                "passes when `cat /a` fails: of a pipe",
            ),
            ("! curl h | grep -q bad", "", "", "passes when `curl h` fails: of a pipe"),
            (
                "curl h | jq -e .ok > /dev/null && echo ok",
                "contains",
                "ok",
                "unless the VM has jq 1.7",
            ),
        ] {
            let doubts = doubts(&check(command, key, text));
            assert!(
                matches!(&doubts[..], [doubt] if !doubt.never_fails && doubt.why.contains(said)),
                "{command}: {doubts:?}"
            );
        }
    }

    #[test]
    fn what_notices_a_failure_is_not_doubted() {
        for (command, key, text) in [
            ("nc -z h 1 && echo ok", "contains", "ok"),
            ("a || true", "contains", "ok"),
            ("systemctl is-active x; echo $?", "equals", "0"),
            ("! command -v nft && echo none", "equals", "none"),
            ("ss -Hltn | awk '{ print $4 }' | sort", "equals", "10.0.0.1:80"),
            ("set -o pipefail; curl h | sort", "", ""),
            ("curl h | grep -q ok", "", ""),
            ("printf 'PING\\r\\n' | nc h 1", "contains", "PONG"),
            (
                "dpkg -l | awk 'END { exit NR < 9 }' || exit 1; dpkg -l | grep bad || echo none",
                "equals",
                "none",
            ),
            ("while a; do b; done; true", "", ""),
        ] {
            assert_eq!(doubts(&check(command, key, text)), [], "{command}");
        }
        assert_eq!(
            doubts(&CommandOutput { exit_code: Some(1), ..check("sudo -n true", "", "") }),
            []
        );
    }
}
