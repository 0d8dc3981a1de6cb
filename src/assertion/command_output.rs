//! `command_output`: a command on the VM ends and prints as expected.

use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

use super::text::TextExpectation;
use super::{Judgement, Unclear, slug};
use crate::command::{CommandEnd, CommandResult};

/// What stands on standard error, in a line of its own, once sudo has let the command through.
pub const SUDO_GRANTED: &str = "bootproof: sudo granted";

/// A command must end with `exit_code`, and its standard output must be as expected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandOutput {
    /// The command, run by the login shell of the user.
    #[schemars(length(min = 1))]
    pub command: String,
    /// Standard output contains this.
    #[serde(default, alias = "expected", alias = "expected_output")]
    pub contains: Option<String>,
    /// Standard output is this; line ends at its end do not count.
    #[serde(default)]
    pub equals: Option<String>,
    /// A regular expression that matches somewhere in standard output (`^` and `$`: ends of lines).
    #[serde(default)]
    pub matches: Option<String>,
    /// A jq program whose last output for standard output must be `true`.
    #[serde(default)]
    pub jq: Option<String>,
    /// The exit status; 0 by default.
    #[serde(default)]
    #[schemars(range(min = 0, max = 255))]
    pub exit_code: Option<u32>,
    /// Run it as root, through sudo.
    #[serde(default, rename = "become")]
    pub run_as_root: bool,
}

impl CommandOutput {
    fn text(&self) -> TextExpectation<'_> {
        TextExpectation {
            contains: self.contains.as_deref(),
            equals: self.equals.as_deref(),
            matches: self.matches.as_deref(),
            jq: self.jq.as_deref(),
        }
    }

    fn exit_code(&self) -> u32 {
        self.exit_code.unwrap_or(0)
    }

    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        match self.text().describe().as_str() {
            "" => format!("exits {}", self.exit_code()),
            text => format!("exits {}, output {text}", self.exit_code()),
        }
    }

    /// The line that is sent to the VM.
    ///
    /// Through sudo, the password comes on stdin; the command itself gets an empty one, and a line on standard
    /// error tells that sudo let it through.
    pub fn remote_command(&self) -> String {
        if !self.run_as_root {
            return self.command.clone();
        }
        let inner = format!("exec </dev/null; echo '{SUDO_GRANTED}' >&2; {}", self.command);
        // Quoting fails for NUL only, which `mistakes` has refused.
        let quoted = shlex::try_quote(&inner).unwrap_or_default();
        format!("sudo -S -p '' -- sh -c {quoted}")
    }

    /// The remote command, in one line.
    pub fn how(&self) -> String {
        format!("run: {}", self.remote_command())
    }

    /// `HOST:PORT` and `HOST PORT` in the command, as in a URL and in `nc -z HOST PORT`.
    pub fn connects_to(&self) -> Vec<(String, u16)> {
        static ENDS: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"(?P<host>\[::1\]|localhost|\d{1,3}(?:\.\d{1,3}){3}|\b[a-z][a-z0-9.-]*[a-z0-9])(?::|\s+)(?P<port>\d{2,5})\b")
                .expect("a valid pattern")
        });
        let ends = ENDS.captures_iter(&self.command);
        ends.filter_map(|end| Some((end["host"].to_owned(), end["port"].parse().ok()?))).collect()
    }

    /// The expected text, which says what the command is for; else the command.
    pub fn slug(&self) -> String {
        let words = [
            self.contains.as_deref(),
            self.equals.as_deref(),
            Some(&self.command),
            Some("command"),
        ];
        words.into_iter().flatten().map(slug).find(|slug| !slug.is_empty()).unwrap_or_default()
    }

    /// Mistakes that show without running it.
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut mistakes = self.text().mistakes();
        if self.command.trim().is_empty() {
            mistakes.push(("command", "the command is empty; this check cannot fail".to_owned()));
        }
        if self.command.contains('\0') {
            mistakes.push(("command", "a command cannot contain NUL".to_owned()));
        }
        if self.exit_code() > 255 {
            mistakes.push(("exit_code", "an exit status is between 0 and 255".to_owned()));
        }
        mistakes
    }

    /// Whether it ended and printed as expected.
    pub fn judge(&self, seen: &CommandResult) -> Judgement {
        let judgement =
            self.judge_end(seen).unwrap_or_else(|| self.text().judge("output", &seen.stdout.text));
        match judgement {
            Judgement::Holds => Judgement::Holds,
            // What is missing can explain any difference, so the difference proves nothing about the VM's services.
            _ if missing_tool(&seen.stderr.text).is_some() => Judgement::Unclear(
                Unclear::MissingTool(missing_tool(&seen.stderr.text).unwrap_or_default()),
            ),
            _ if seen.stdout.lost > 0 => {
                Judgement::Unclear(Unclear::TooMuchOutput(seen.stdout.text.len()))
            }
            differs => differs,
        }
    }

    fn judge_end(&self, seen: &CommandResult) -> Option<Judgement> {
        let wanted = self.exit_code();
        let ended = match &seen.end {
            CommandEnd::Exited(code) if *code == wanted => return None,
            CommandEnd::Exited(code) => format!("exit status {code}"),
            CommandEnd::Signalled(name) => format!("signal {name}"),
        };
        let said = failed_connection(&self.command, &seen.stderr.text)
            .or_else(|| last_line(&seen.stderr.text).map(str::to_owned));
        let message = match said {
            Some(line) => format!("{ended}, expected {wanted}: {line}"),
            None => format!("{ended}, expected {wanted}"),
        };
        let printed = match seen.stdout.text.as_str() {
            "" => "no output".to_owned(),
            text => format!("output: {text}"),
        };
        Some(Judgement::differs(message, self.describe(), format!("{ended}, {printed}")))
    }
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

/// The first link that broke in a chain of `nc -z HOST PORT && ...`. OpenBSD's nc tells of the connections that it
/// made, and is silent about the one that it did not make.
fn failed_connection(command: &str, stderr: &str) -> Option<String> {
    let steps = command.split("&&").map(str::trim).take_while(|step| step.starts_with("nc "));
    let made = stderr
        .lines()
        .filter(|line| line.starts_with("Connection to ") && line.contains("succeeded!"))
        .count();
    let step = steps.clone().nth(made)?;
    let mut words = step.split_whitespace().rev();
    let (port, host) = (words.next()?, words.next()?);
    // With `-v` it does speak of what failed; its own words are better than ours.
    let silent = !stderr.contains("nc: ");
    silent.then(|| {
        format!(
            "no connection to {host} port {port} (`{step}`, step {} of {})",
            made + 1,
            steps.count()
        )
    })
}

/// The program that the shell did not find, from what bash and dash say about it on standard error.
pub fn missing_tool(stderr: &str) -> Option<String> {
    static NOT_FOUND: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^\S*sh: (?:line )?\d+: (?P<tool>[^\s:]+): (?:command )?not found\s*$")
            .expect("a valid pattern")
    });
    NOT_FOUND.captures(stderr).map(|found| found["tool"].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Captured;

    fn ended(code: u32, stdout: &str, stderr: &str) -> CommandResult {
        let capture = |text: &str| Captured { text: text.to_owned(), lost: 0 };
        CommandResult {
            end: CommandEnd::Exited(code),
            stdout: capture(stdout),
            stderr: capture(stderr),
        }
    }

    fn echo_ok() -> CommandOutput {
        CommandOutput {
            command: "true && echo ok".to_owned(),
            contains: Some("ok".to_owned()),
            ..CommandOutput::default()
        }
    }

    #[test]
    fn the_right_words_with_the_wrong_exit_status_are_a_failure() {
        assert_eq!(echo_ok().judge(&ended(0, "ok\n", "")), Judgement::Holds);
        let Judgement::Differs(mismatch) =
            echo_ok().judge(&ended(7, "ok\n", "curl: (7) refused\n"))
        else {
            panic!()
        };
        assert_eq!(mismatch.message, "exit status 7, expected 0: curl: (7) refused");
    }

    #[test]
    fn a_chain_of_connections_names_the_one_that_failed() {
        let chain = CommandOutput {
            command: "nc -z -w 5 10.71.0.30 5432 && nc -z -w 5 10.71.0.40 6379 && echo backends-reachable".to_owned(),
            contains: Some("backends-reachable".to_owned()),
            ..CommandOutput::default()
        };
        let message = |stderr: &str| match chain.judge(&ended(1, "", stderr)) {
            Judgement::Differs(mismatch) => mismatch.message,
            other => panic!("{other:?}"),
        };
        let first = "Connection to 10.71.0.30 5432 port [tcp/postgresql] succeeded!\n";
        assert_eq!(
            message(first),
            "exit status 1, expected 0: no connection to 10.71.0.40 port 6379 (`nc -z -w 5 10.71.0.40 6379`, step 2 of 2)"
        );
        assert!(message("").contains("no connection to 10.71.0.30 port 5432"));
        assert!(
            message("nc: connect to 10.71.0.30 port 5432 (tcp) failed\n").ends_with("(tcp) failed")
        );
    }

    #[test]
    fn a_command_without_expectation_must_exit_0() {
        let bare = CommandOutput { command: "x".to_owned(), ..CommandOutput::default() };
        assert_eq!(bare.judge(&ended(0, "", "")), Judgement::Holds);
        assert!(matches!(bare.judge(&ended(1, "", "")), Judgement::Differs(_)));
    }

    #[test]
    fn death_by_a_signal_is_not_exit_0() {
        let killed =
            CommandResult { end: CommandEnd::Signalled("KILL".to_owned()), ..ended(0, "ok", "") };
        assert!(matches!(echo_ok().judge(&killed), Judgement::Differs(_)));
    }

    #[test]
    fn a_missing_program_is_told_apart_from_a_wrong_answer() {
        for stderr in [
            "bash: line 1: jq: command not found\n",
            "sh: 1: jq: not found\n",
            "-bash: line 1: jq: command not found",
        ] {
            let judgement = echo_ok().judge(&ended(127, "", stderr));
            assert_eq!(
                judgement,
                Judgement::Unclear(Unclear::MissingTool("jq".to_owned())),
                "{stderr}"
            );
        }
        // The command's own words about something else that was not found are its answer.
        assert!(matches!(
            echo_ok().judge(&ended(1, "", "error: file not found\n")),
            Judgement::Differs(_)
        ));
        // And when the expectation holds all the same, nothing is unclear.
        assert_eq!(echo_ok().judge(&ended(0, "ok", "sh: 1: jq: not found\n")), Judgement::Holds);
    }

    #[test]
    fn output_that_was_cut_is_judged_only_when_it_holds() {
        let mut cut = ended(0, "ok", "");
        cut.stdout.lost = 5;
        assert_eq!(echo_ok().judge(&cut), Judgement::Holds);
        cut.stdout.text = "no".to_owned();
        assert_eq!(echo_ok().judge(&cut), Judgement::Unclear(Unclear::TooMuchOutput(2)));
    }

    #[test]
    fn a_command_tells_where_it_connects() {
        let ends = |command: &str| {
            let wanted = CommandOutput { command: command.to_owned(), ..CommandOutput::default() };
            wanted
                .connects_to()
                .iter()
                .map(|(host, port)| format!("{host} {port}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(ends("curl -fsS http://localhost:2283/api | jq ."), ["localhost 2283"]);
        assert_eq!(
            ends("nc -z -w 5 10.71.0.30 5432 && nc -z redis 6379"),
            ["10.71.0.30 5432", "redis 6379"]
        );
        assert_eq!(ends("grep -q 5 /etc/passwd && echo ok"), [""; 0]);
    }

    #[test]
    fn the_name_is_what_is_expected() {
        assert_eq!(echo_ok().slug(), "ok");
        let bare =
            CommandOutput { command: "test -d /var/lib".to_owned(), ..CommandOutput::default() };
        assert_eq!(bare.slug(), "test-d-var-lib");
    }
}
