//! `command_output`: a command on the VM exits and prints as expected.

use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Number;

use super::judgement::{Judgement, Unclear};
use super::mistake::Mistake;
use super::number::{NumberExpectation, read_bound};
pub use super::script::SUDO_GRANTED;
use super::script::{as_root, last_line};
use super::slug::slug;
use super::text::TextExpectation;
use crate::command::{CommandEnd, CommandResult};
use crate::shell::script::{Program, Script};

/// The exit status of a shell that did not find a program.
const NOT_FOUND: u32 = 127;

/// A command on the VM must exit with `exit_code`, and its standard output must be as expected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandOutput {
    /// The command; the login shell of the user runs it.
    #[schemars(length(min = 1))]
    pub command: String,
    /// Text that standard output must contain. `expected` and `expected_output` mean the same.
    #[serde(default, alias = "expected", alias = "expected_output")]
    pub contains: Option<String>,
    /// What standard output must be, apart from trailing line breaks.
    #[serde(default)]
    pub equals: Option<String>,
    /// A regular expression that must match somewhere in standard output; `^` and `$` match at the
    /// beginning and end of each line.
    #[serde(default)]
    pub matches: Option<String>,
    /// A jq program; standard output must be JSON for which its last output is `true`.
    #[serde(default)]
    pub jq: Option<String>,
    /// A number; standard output must be one number, with or without `%`, and not be below this.
    #[serde(default, deserialize_with = "read_bound")]
    pub at_least: Option<Number>,
    /// A number; standard output must be one number, with or without `%`, and not be above this.
    #[serde(default, deserialize_with = "read_bound")]
    pub at_most: Option<Number>,
    /// The exit status that the command must have. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 255))]
    pub exit_code: Option<u32>,
    /// `true`: run the command as root, through sudo.
    #[serde(default, rename = "become")]
    pub run_as_root: bool,
}

impl CommandOutput {
    /// Other names for `contains` in a suite.
    pub const ALIASES_OF_CONTAINS: [&str; 2] = ["expected", "expected_output"];

    fn text(&self) -> TextExpectation<'_> {
        TextExpectation {
            contains: self.contains.as_deref(),
            equals: self.equals.as_deref(),
            matches: self.matches.as_deref(),
            jq: self.jq.as_deref(),
        }
    }

    fn number(&self) -> NumberExpectation<'_> {
        NumberExpectation { at_least: self.at_least.as_ref(), at_most: self.at_most.as_ref() }
    }

    fn exit_code(&self) -> u32 {
        self.exit_code.unwrap_or(0)
    }

    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        let output = [self.text().describe(), self.number().describe()];
        let output: Vec<String> = output.into_iter().filter(|text| !text.is_empty()).collect();
        if output.is_empty() {
            return format!("exits {}", self.exit_code());
        }
        format!("exits {}, output {}", self.exit_code(), output.join(" and "))
    }

    /// The line that is sent to the VM.
    pub fn remote_command(&self) -> String {
        if self.run_as_root { as_root(&self.command) } else { self.command.clone() }
    }

    /// The remote command, in one line.
    pub fn how(&self) -> String {
        format!("run: {}", self.remote_command())
    }

    /// `HOST:PORT` and `HOST PORT` in the command, as in a URL and in `nc -z HOST PORT`.
    pub fn connects_to(&self) -> Vec<(String, u16)> {
        static ENDS: LazyLock<Regex> = LazyLock::new(|| {
            const HOST: &str =
                r"\[::1\]|localhost|\d{1,3}(?:\.\d{1,3}){3}|\b[a-z][a-z0-9.-]*[a-z0-9]";
            Regex::new(&format!(r"(?P<host>{HOST})(?::|\s+)(?P<port>\d{{2,5}})\b"))
                .expect("a valid pattern")
        });
        let ends = ENDS.captures_iter(&self.command);
        ends.filter_map(|end| Some((end["host"].to_owned(), end["port"].parse().ok()?))).collect()
    }

    /// The expected text, which usually says what the command is for; otherwise the command.
    pub fn slug(&self) -> String {
        let words = [
            self.contains.as_deref(),
            self.equals.as_deref(),
            Some(&self.command),
            Some("command"),
        ];
        words.into_iter().flatten().map(slug).find(|slug| !slug.is_empty()).unwrap_or_default()
    }

    /// Mistakes that show without running the command.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = self.text().mistakes();
        mistakes.extend(self.number().mistakes());
        if self.command.trim().is_empty() {
            let message = "the command is empty, so this assertion cannot fail";
            mistakes.push(Mistake::new("command", message));
        }
        if self.command.contains('\0') {
            mistakes.push(Mistake::new("command", "a command cannot contain NUL"));
        }
        if self.exit_code() > 255 {
            let message = format!("invalid exit status {}", self.exit_code());
            let hint = "write a number from 0 to 255";
            mistakes.push(Mistake::new("exit_code", message).hint(hint));
        }
        mistakes
    }

    /// Whether the command exited and printed as expected.
    pub fn judge(&self, seen: &CommandResult) -> Judgement {
        let judgement = self.judge_end(seen).unwrap_or_else(|| self.judge_output(seen));
        // A missing program can explain any difference, and also a failure or an output that was
        // expected, if the program should have made it: that proves nothing about the VM.
        let missing = missing_tool(&seen.stderr.text)
            .or_else(|| missing_file(&self.command, &seen.stderr.text));
        let is_expected = self.exit_code() == NOT_FOUND && judgement == Judgement::Holds;
        if let Some(tool) = missing.filter(|_| !is_expected) {
            let holds = judgement == Judgement::Holds && !self.holds_without_output();
            if !holds || makes_output(&self.command, &tool) {
                return Judgement::Unclear(Unclear::MissingTool(tool));
            }
        }
        if judgement == Judgement::Holds && !self.holds_without_output() {
            return judgement;
        }
        if seen.stdout.lost > 0 && judgement != Judgement::Holds {
            return Judgement::Unclear(Unclear::TooMuchOutput(seen.stdout.text.len()));
        }
        judgement
    }

    fn judge_output(&self, seen: &CommandResult) -> Judgement {
        match self.text().judge("output", &seen.stdout.text) {
            Judgement::Holds => self.number().judge("output", &seen.stdout.text),
            other => other,
        }
    }

    /// Whether it expects the command to fail, and nothing of what it prints: then any failure will
    /// do, also one that has nothing to do with what the assertion is about.
    pub fn accepts_any_failure(&self) -> bool {
        self.exit_code() != 0 && self.holds_without_output()
    }

    /// Whether it would hold for a command that prints nothing, as one does that cannot run. That a
    /// program is missing can itself be what is expected.
    fn holds_without_output(&self) -> bool {
        self.exit_code() != NOT_FOUND && self.text().accepts_nothing() && self.number().is_empty()
    }

    fn judge_end(&self, seen: &CommandResult) -> Option<Judgement> {
        let wanted = self.exit_code();
        let ended = match &seen.end {
            CommandEnd::Exited(code) if *code == wanted => return None,
            CommandEnd::Exited(code) => format!("exit status {code}"),
            CommandEnd::Signalled(name) => format!("ended by signal {name}"),
        };
        let reason = failed_connection(&self.command, &seen.stderr.text)
            .or_else(|| last_line(&seen.stderr.text).map(str::to_owned));
        let message = match reason {
            Some(reason) => format!("{ended}, expected {wanted}: {reason}"),
            None => format!("{ended}, expected {wanted}"),
        };
        let printed = match seen.stdout.text.as_str() {
            "" => "no output".to_owned(),
            text => format!("output: {text}"),
        };
        Some(Judgement::differs(message, self.describe(), format!("{ended}, {printed}")))
    }
}

/// The first connection that failed in a chain of `nc -z HOST PORT && ...`. OpenBSD's nc reports
/// the connections that it made, and is silent about the one that it did not make.
fn failed_connection(command: &str, stderr: &str) -> Option<String> {
    let steps = command.split("&&").map(str::trim).take_while(|step| step.starts_with("nc "));
    let made = stderr
        .lines()
        .filter(|line| line.starts_with("Connection to ") && line.contains("succeeded!"))
        .count();
    let step = steps.clone().nth(made)?;
    let mut words = step.split_whitespace().rev();
    let (port, host) = (words.next()?, words.next()?);
    // With `-v` it does report the failure, in better words than ours.
    let silent = !stderr.contains("nc: ");
    silent.then(|| {
        format!(
            "no connection to {host} port {port} (`{step}`, step {} of {})",
            made + 1,
            steps.count()
        )
    })
}

/// The program that the shell did not find, from what bash, dash, ksh, zsh, fish or tcsh print on
/// standard error. Also one that `timeout`, `env`, `sudo` or the like did not find for the command.
pub fn missing_tool(stderr: &str) -> Option<String> {
    static NOT_FOUND: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?mx)
            ^\S*sh:\ (?:(?:line\ )?\d+:\ )?([^\s:]+):\ (?:command\ )?not\ found\s*$
            | ^\S*zsh:\d+:\ command\ not\ found:\ (\S+)\s*$
            | ^fish:\ Unknown\ command:\ (\S+)\s*$
            | ^(\S+):\ Command\ not\ found\.\s*$
            | ^sudo:\ ([^\s:]+):\ command\ not\ found\s*$
            | ^(?:timeout|env|nice|nohup|setsid|stdbuf|xargs|ionice|chroot|time):\ (?:failed\ to
              \ (?:run\ command|execute)\ |can't\ execute\ |cannot\ run\ (?:command\ )?)?
              [‘'`]?([^\s:’']+)[’']?:\ No\ such\ file\ or\ directory\s*$
            | ^\S*sh:\ 0:\ (?:[Cc]an't|[Cc]annot)\ open\ '?([^\s:']+)'?(?::\ No\ such\ file.*)?\s*$",
        )
        .expect("a valid pattern")
    });
    let found = NOT_FOUND.captures(stderr)?;
    found.iter().skip(1).flatten().next().map(|tool| tool.as_str().to_owned())
}

/// The program or script with a path that bash did not find. It says the same of a file that a
/// redirect names; that one is data.
fn missing_file(command: &str, stderr: &str) -> Option<String> {
    static NO_SUCH_FILE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^\S*sh: (?:line \d+: )?(/[^\s:]+): No such file or directory\s*$")
            .expect("a valid pattern")
    });
    let is_redirect = |at: usize| command[..at].trim_end().ends_with(['<', '>']);
    let found = NO_SUCH_FILE.captures_iter(stderr).map(|found| found[1].to_owned());
    found
        .into_iter()
        .find(|path| command.match_indices(path.as_str()).any(|(at, _)| !is_redirect(at)))
}

/// Whether what the command printed can be due to a program that is missing: it is negated, or
/// writes into a pipe or a substitution.
fn makes_output(command: &str, tool: &str) -> bool {
    let Some(script) = Script::parse(command) else { return command.contains(tool) };
    let is_tool = |program: &&Program| runs(program.text, tool);
    let is_captured = |program: &Program| {
        script.captured().iter().any(|outer| outer.contains(&program.range.start))
    };
    script.every_program().iter().filter(is_tool).any(is_captured)
        || script.programs().iter().filter(is_tool).any(|it| it.place.feeds || it.place.negated)
}

/// Whether the tool is a word of the program's text: `timeout` runs others.
fn runs(program: &str, tool: &str) -> bool {
    program.split_whitespace().any(|word| word.trim_matches(['"', '\'']) == tool)
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
    fn the_right_output_with_the_wrong_exit_status_fails() {
        assert_eq!(echo_ok().judge(&ended(0, "ok\n", "")), Judgement::Holds);
        let Judgement::Differs(mismatch) =
            echo_ok().judge(&ended(7, "ok\n", "curl: (7) refused\n"))
        else {
            panic!()
        };
        assert_eq!(mismatch.message, "exit status 7, expected 0: curl: (7) refused");
    }

    #[test]
    fn names_the_connection_that_failed_in_a_chain() {
        let chain = CommandOutput {
            command: "nc -z 10.71.0.30 5432 && nc -z 10.71.0.40 6379 && echo reachable".to_owned(),
            contains: Some("reachable".to_owned()),
            ..CommandOutput::default()
        };
        let message = |stderr: &str| match chain.judge(&ended(1, "", stderr)) {
            Judgement::Differs(mismatch) => mismatch.message,
            other => panic!("{other:?}"),
        };
        let first = "Connection to 10.71.0.30 5432 port [tcp/postgresql] succeeded!\n";
        assert_eq!(
            message(first),
            "exit status 1, expected 0: no connection to 10.71.0.40 port 6379 \
             (`nc -z 10.71.0.40 6379`, step 2 of 2)"
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
    fn a_killed_command_fails() {
        let killed =
            CommandResult { end: CommandEnd::Signalled("KILL".to_owned()), ..ended(0, "ok", "") };
        assert!(matches!(echo_ok().judge(&killed), Judgement::Differs(_)));
    }

    #[test]
    fn a_missing_program_is_unclear() {
        for stderr in [
            "bash: line 1: jq: command not found\n",
            "sh: 1: jq: not found\n",
            "-bash: line 1: jq: command not found",
            "ksh: jq: not found\n",
            "zsh:1: command not found: jq\n",
            "fish: Unknown command: jq\nfish: \njq\n^^\n",
            "jq: Command not found.\n",
        ] {
            let judgement = echo_ok().judge(&ended(127, "", stderr));
            assert_eq!(
                judgement,
                Judgement::Unclear(Unclear::MissingTool("jq".to_owned())),
                "{stderr}"
            );
        }
        // If the command itself did not find something, that is its answer.
        assert!(matches!(
            echo_ok().judge(&ended(1, "", "error: file not found\n")),
            Judgement::Differs(_)
        ));
        // If the expectation holds by what was printed, nothing is unclear.
        assert_eq!(echo_ok().judge(&ended(0, "ok", "sh: 1: jq: not found\n")), Judgement::Holds);
    }

    #[test]
    fn what_could_not_run_is_no_reason_to_pass() {
        let missing = "bash: line 1: sudo: command not found\n";
        let unclear = Judgement::Unclear(Unclear::MissingTool("sudo".to_owned()));
        let refused = CommandOutput {
            command: "sudo -n true".to_owned(),
            exit_code: Some(1),
            ..CommandOutput::default()
        };
        assert_eq!(
            refused.judge(&ended(1, "", "sudo: a password is required\n")),
            Judgement::Holds
        );
        assert_eq!(refused.judge(&ended(1, "", missing)), unclear);
        let empty =
            CommandOutput { exit_code: None, equals: Some(String::new()), ..refused.clone() };
        assert_eq!(empty.judge(&ended(0, "", "")), Judgement::Holds);
        assert_eq!(empty.judge(&ended(0, "", missing)), unclear);
        let absent = CommandOutput { exit_code: Some(NOT_FOUND), ..refused };
        assert_eq!(absent.judge(&ended(NOT_FOUND, "", missing)), Judgement::Holds);
    }

    #[test]
    fn a_missing_program_never_makes_a_command_pass() {
        let judge = |command: &str, expected: &[(&str, &str)], code, stdout, stderr| {
            let get = |name: &str| {
                expected.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            let wanted = CommandOutput {
                command: command.to_owned(),
                equals: get("equals"),
                at_most: get("at_most").map(|number| number.parse().unwrap()),
                ..CommandOutput::default()
            };
            wanted.judge(&ended(code, stdout, stderr))
        };
        for (command, stderr, tool) in [
            (
                "! /usr/sbin/nosuch",
                "bash: line 1: /usr/sbin/nosuch: No such file or directory\n",
                "/usr/sbin/nosuch",
            ),
            ("! /usr/sbin/nosuch", "sh: 1: /usr/sbin/nosuch: not found\n", "/usr/sbin/nosuch"),
            (
                "! timeout 5 nosuch",
                "timeout: failed to run command ‘nosuch’: No such file or directory\n",
                "nosuch",
            ),
            (
                "! timeout 5 nosuch",
                "timeout: failed to run command 'nosuch': No such file or directory\n",
                "nosuch",
            ),
            (
                "! timeout 5 nosuch",
                "timeout: can't execute 'nosuch': No such file or directory\n",
                "nosuch",
            ),
            ("! env X=1 nosuch", "env: ‘nosuch’: No such file or directory\n", "nosuch"),
            ("! env X=1 nosuch", "env: nosuch: No such file or directory\n", "nosuch"),
            ("! sudo -n nosuch", "sudo: nosuch: command not found\n", "nosuch"),
            (
                "! sh /opt/nosuch.sh",
                "sh: 0: cannot open /opt/nosuch.sh: No such file\n",
                "/opt/nosuch.sh",
            ),
            (
                "! bash /opt/nosuch.sh",
                "bash: /opt/nosuch.sh: No such file or directory\n",
                "/opt/nosuch.sh",
            ),
        ] {
            assert_eq!(
                judge(command, &[], 0, "", stderr),
                Judgement::Unclear(Unclear::MissingTool(tool.to_owned())),
                "{command}: {stderr}"
            );
        }
        let unclear = Judgement::Unclear(Unclear::MissingTool("nosuch".to_owned()));
        let missing = "bash: line 1: nosuch: command not found\n";
        let none = ("equals", "0");
        for command in ["nosuch --failed | wc -l", "x=$(nosuch); echo ${x:-0}"] {
            assert_eq!(judge(command, &[none], 0, "0\n", missing), unclear, "{command}");
        }
        assert_eq!(judge("nosuch | wc -l", &[("at_most", "0")], 0, "0\n", missing), unclear);
        // Another program has made the output; a file of a redirect is data.
        assert_eq!(judge("nosuch || echo 0", &[none], 0, "0\n", missing), Judgement::Holds);
        let data = "bash: line 1: /etc/x: No such file or directory\n";
        assert_eq!(judge("! grep a < /etc/x", &[], 0, "", data), Judgement::Holds);
        let own = "nosuch: unit not found\ngrep: /etc/x: No such file or directory\n";
        assert_eq!(judge("! grep a /etc/x", &[], 0, "", own), Judgement::Holds);
    }

    #[test]
    fn cut_output_is_unclear_unless_it_holds() {
        let mut cut = ended(0, "ok", "");
        cut.stdout.lost = 5;
        assert_eq!(echo_ok().judge(&cut), Judgement::Holds);
        cut.stdout.text = "no".to_owned();
        assert_eq!(echo_ok().judge(&cut), Judgement::Unclear(Unclear::TooMuchOutput(2)));
    }

    #[test]
    fn finds_the_hosts_and_ports_in_a_command() {
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
    fn the_output_can_be_a_number() {
        let disk = CommandOutput {
            command: "df --output=pcent / | tail -n 1".to_owned(),
            at_most: Some(90.into()),
            ..CommandOutput::default()
        };
        assert_eq!(disk.describe(), "exits 0, output is at most 90");
        assert_eq!(disk.judge(&ended(0, " 83%\n", "")), Judgement::Holds);
        assert!(matches!(disk.judge(&ended(1, " 83%\n", "")), Judgement::Differs(_)));
        let Judgement::Differs(full) = disk.judge(&ended(0, " 97%\n", "")) else { panic!("full") };
        assert_eq!(full.message, "output is 97%, expected at most 90");
        let missing = disk.judge(&ended(0, "", "sh: 1: df: not found\n"));
        assert_eq!(missing, Judgement::Unclear(Unclear::MissingTool("df".to_owned())));
        let Judgement::Differs(none) = disk.judge(&ended(0, "", "")) else { panic!("empty") };
        assert_eq!(none.message, "output is not a number: \"\"");
        let refused = CommandOutput { exit_code: Some(1), ..disk.clone() };
        assert!(!refused.accepts_any_failure());
        let between = CommandOutput { at_least: Some(91.into()), ..disk };
        assert_eq!(between.mistakes().len(), 1);
    }

    #[test]
    fn the_slug_is_what_is_expected() {
        assert_eq!(echo_ok().slug(), "ok");
        let bare =
            CommandOutput { command: "test -d /var/lib".to_owned(), ..CommandOutput::default() };
        assert_eq!(bare.slug(), "test-d-var-lib");
    }
}
