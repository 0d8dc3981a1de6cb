//! Assertions that cannot fail, or that pass although what they look at is broken, as far as their
//! text shows. `bootproof prove` finds out the rest by asking the VMs.

use std::collections::BTreeSet;

use crate::assertion::Expectation;
use crate::assertion::command_output::CommandOutput;
use crate::assertion::judgement::Judgement;
use crate::command::{Captured, CommandResult};
use crate::shell::script::{Program, Script};
use crate::shell::walk::{End, World, end_in};

/// A reason to distrust an assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The key that it is about.
    pub key: &'static str,
    /// The assertion can never fail; otherwise it hides some failures.
    pub never_fails: bool,
    /// What is wrong.
    pub why: String,
    /// How to write it better.
    pub hint: String,
}

/// All ways in which programs can end are tried for at most so many programs (2^n worlds).
const MOST_PROGRAMS: usize = 6;

/// A world in which no program fails or prints anything.
const SILENT: World =
    World { fails: &|_| false, silent: true, negated_succeeds: false, old_jq: false };

/// Reasons to distrust an assertion: it can never fail, or it hides a failure.
pub fn doubts(expectation: &Expectation) -> Vec<Doubt> {
    match expectation {
        Expectation::CommandOutput(check) if accepts_any_failure(check) => vec![any_failure()],
        Expectation::CommandOutput(check) => Check::of(check).map_or(Vec::new(), |it| it.doubts()),
        _ => Vec::new(),
    }
}

/// Programs whose exit status has one meaning: no match, not active, not there.
const EXACT: [&str; 14] = [
    "[",
    "[[",
    "cmp",
    "command",
    "diff",
    "egrep",
    "fgrep",
    "getent",
    "grep",
    "mountpoint",
    "pgrep",
    "systemctl",
    "test",
    "true",
];

/// Whether a command is expected to fail, and the same exit status can have another reason.
pub(super) fn accepts_any_failure(check: &CommandOutput) -> bool {
    let is_exact = |program: &Program| EXACT.contains(&program.name);
    let script = Script::parse(&check.command);
    let exact = script.is_some_and(|script| script.programs().iter().all(is_exact));
    check.accepts_any_failure() && !exact
}

/// A command that is expected to exit 0, and what was understood of it.
struct Check<'a> {
    expected: &'a CommandOutput,
    script: Script<'a>,
    programs: Vec<Program<'a>>,
}

impl<'a> Check<'a> {
    /// `None` where nothing can be said: the command is not understood, or it must not exit 0.
    fn of(expected: &'a CommandOutput) -> Option<Self> {
        if expected.exit_code.unwrap_or(0) != 0 {
            return None;
        }
        let script = Script::parse(&expected.command)?;
        let programs = script.programs();
        Some(Self { expected, script, programs })
    }

    fn doubts(&self) -> Vec<Doubt> {
        if self.passes_always() {
            return vec![cannot_fail(&self.programs)];
        }
        let starts_a_pipe = |program: &&Program| program.place.feeds && !program.place.fed;
        let lost_failure =
            self.programs.iter().filter(starts_a_pipe).find_map(|first| self.lost_failure(first));
        let forgiven = || self.passes_when_all_fail().then(|| forgiven(&self.programs));
        lost_failure.or_else(forgiven).into_iter().collect()
    }

    /// Whether it passes however its programs end, and whatever they print.
    fn passes_always(&self) -> bool {
        let texts: Vec<&str> = self.texts(|_| true).into_iter().collect();
        if texts.len() > MOST_PROGRAMS {
            return false;
        }
        // Bit n of a number says whether program n fails.
        (0..1u32 << texts.len()).all(|failing| {
            let fails = |text: &str| {
                let index = texts.iter().position(|program| *program == text);
                index.is_some_and(|index| failing >> index & 1 == 1)
            };
            self.passes_in(World { fails: &fails, silent: false, ..SILENT })
        })
    }

    fn passes_when_all_fail(&self) -> bool {
        self.passes_in(World { fails: &|_| true, negated_succeeds: true, ..SILENT })
    }

    /// A doubt if the check passes although the first program of a pipe has failed while the others
    /// work.
    fn lost_failure(&self, first: &Program) -> Option<Doubt> {
        let negated = self.texts(|program| program.place.negated);
        let fails = |text: &str| text == first.text || negated.contains(text);
        let world = World { fails: &fails, ..SILENT };
        let name = first.shortened();
        let why = if self.passes_in(world) {
            format!(
                "this assertion passes when `{name}` fails: a pipe has the exit status of its last \
                 command"
            )
        } else if self.passes_in(World { old_jq: true, ..world }) {
            format!(
                "this assertion passes when `{name}` fails, unless the VM has jq 1.7 or newer: \
                 without input, an older `jq -e` exits 0"
            )
        } else {
            return None;
        };
        let run_it_first = format!("run it first: `seen=$({name}) && printf '%s' \"$seen\" | ...`");
        let hint = match first.name {
            "curl" | "wget" => {
                format!("use `http_responds`, which needs no pipe; or {run_it_first}")
            }
            _ => run_it_first,
        };
        Some(Doubt { key: "command", never_fails: false, why, hint })
    }

    fn passes_in(&self, world: World) -> bool {
        end_in(&self.script, world).is_some_and(|end| end.ok && self.is_as_expected(end))
    }

    fn is_as_expected(&self, end: End) -> bool {
        // A jq program may run forever, and nothing could stop it here, so it is not run.
        if self.expected.jq.is_some() {
            return false;
        }
        let expected = self.expected;
        let is_number = expected.at_least.is_some() || expected.at_most.is_some();
        let more_matters = expected.equals.is_some() || expected.matches.is_some() || is_number;
        let stdout = Captured { text: end.printed, lost: 0 };
        let seen = CommandResult { stdout, ..CommandResult::default() };
        !(end.more && more_matters) && self.expected.judge(&seen) == Judgement::Holds
    }

    /// The texts of some of its programs, each once.
    fn texts(&self, wanted: impl Fn(&Program) -> bool) -> BTreeSet<&'a str> {
        let wanted = self.programs.iter().filter(|program| wanted(program));
        wanted.map(|program| program.text).collect()
    }
}

fn any_failure() -> Doubt {
    let why = "this assertion passes for the wrong reason, too: another error, or a program that \
               cannot start, can have the same exit status";
    let hint = "expect the words of the refusal, too: `... 2>&1` with `contains`";
    Doubt { key: "exit_code", never_fails: false, why: why.to_owned(), hint: hint.to_owned() }
}

fn cannot_fail(programs: &[Program]) -> Doubt {
    let why = match programs {
        [] => "this assertion cannot fail: none of its programs looks at the VM".to_owned(),
        [program] => {
            format!("this assertion cannot fail: it passes however `{}` ends", program.shortened())
        }
        _ => "this assertion cannot fail: it passes however its programs end".to_owned(),
    };
    Doubt {
        key: "command",
        never_fails: true,
        why,
        hint: "remove what discards the failure (`|| true`, `;`), and use `&&` between commands \
               that must all succeed"
            .to_owned(),
    }
}

fn forgiven(programs: &[Program]) -> Doubt {
    let (what, name) = match programs {
        [program] => (format!("`{}` fails", program.shortened()), program.shortened()),
        _ => ("all of its programs fail".to_owned(), "PROGRAM".to_owned()),
    };
    Doubt {
        key: "command",
        never_fails: false,
        why: format!("this assertion passes when {what}, whatever the reason"),
        hint: format!(
            "if `{name}` is supposed to fail, write `! {name} && echo ...`; otherwise remove what \
             discards the failure"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubts_of(check: &CommandOutput) -> Vec<Doubt> {
        doubts(&Expectation::CommandOutput(check.clone()))
    }

    fn check(command: &str, key: &str, text: &str) -> CommandOutput {
        let mut keys = serde_json::json!({"command": command});
        if !key.is_empty() {
            keys[key] = text.into();
        }
        serde_json::from_value(keys).unwrap()
    }

    #[test]
    fn finds_checks_that_cannot_fail() {
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
            let doubts = doubts_of(&check(command, key, text));
            assert!(matches!(&doubts[..], [doubt] if doubt.never_fails), "{command}: {doubts:?}");
        }
    }

    #[test]
    fn finds_checks_that_hide_a_failure() {
        for (command, key, text, why) in [
            (
                "nc -z h 1 || echo ok",
                "contains",
                "ok",
                "passes when `nc -z h 1` fails, whatever the reason",
            ),
            ("a; echo server-ok", "equals", "server-ok", "passes when `a` fails"),
            ("a -x || true", "matches", "^$", "passes when `a -x` fails"),
            ("curl h | sort", "", "", "passes when `curl h` fails: a pipe has the exit status"),
            (
                "cat /a | grep bad || echo none",
                "equals",
                "none",
                "passes when `cat /a` fails: a pipe has the exit status",
            ),
            (
                "! curl h | grep -q bad",
                "",
                "",
                "passes when `curl h` fails: a pipe has the exit status",
            ),
            (
                "curl h | jq -e .ok > /dev/null && echo ok",
                "contains",
                "ok",
                "unless the VM has jq 1.7",
            ),
        ] {
            let doubts = doubts_of(&check(command, key, text));
            assert!(
                matches!(&doubts[..], [doubt] if !doubt.never_fails && doubt.why.contains(why)),
                "{command}: {doubts:?}"
            );
        }
    }

    #[test]
    fn has_no_doubts_about_checks_that_notice_a_failure() {
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
            assert_eq!(doubts_of(&check(command, key, text)), [], "{command}");
        }
    }

    #[test]
    fn an_exit_status_alone_is_no_refusal() {
        let refused = |command: &str, contains: Option<&str>| CommandOutput {
            command: command.to_owned(),
            contains: contains.map(str::to_owned),
            exit_code: Some(1),
            ..CommandOutput::default()
        };
        let found = doubts_of(&refused("sudo -n true", None));
        assert_eq!(found.iter().map(|doubt| doubt.key).collect::<Vec<_>>(), ["exit_code"]);
        assert!(found[0].why.contains("wrong reason"), "{}", found[0].why);
        let words = refused("sudo -n true 2>&1", Some("a password is required"));
        for sound in [words, refused("grep -q x /etc/hosts", None), refused("test -e /x", None)] {
            assert_eq!(doubts_of(&sound), [], "{}", sound.command);
        }
    }
}
