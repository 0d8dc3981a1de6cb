//! Counter-examples: an assertion that looks at something absent, so it must fail. If it passes all
//! the same, the original proves nothing.
//!
//! What is expected never changes: with another expectation, any check would fail. A
//! counter-example only reads: it changes ports and paths in the arguments of programs that are
//! known to read, and replaces every other program by `false`.

use std::num::NonZeroU16;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use thiserror::Error;
use url::Url;

use super::vacuous::accepts_any_failure;
use crate::assertion::Expectation;
use crate::assertion::command_output::CommandOutput;
use crate::assertion::http_responds::HttpResponds;
use crate::assertion::port_listening::PortListening;
use crate::assertion::wire::Wire;
use crate::shell::script::{Program, Script};

/// An assertion that must fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterExample {
    /// What it looks at instead of the real thing, in one line.
    pub what: String,
    /// The assertion.
    pub expectation: Expectation,
}

/// Why an assertion has no counter-example, as a fragment for a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NoCounterExample(String);

/// Above Linux's range for outgoing connections, and not assigned to any service.
const CLOSED_PORTS: [u16; 2] = [65111, 65112];

/// Prefix that makes a path lead nowhere.
const ABSENT: &str = "/bootproof-absent";

/// Programs that only read, whatever their arguments.
const READ: [&str; 46] = [
    ".",
    "source",
    "[",
    "[[",
    "test",
    "basename",
    "cat",
    "cmp",
    "column",
    "comm",
    "cut",
    "df",
    "diff",
    "dirname",
    "dpkg-query",
    "du",
    "egrep",
    "fgrep",
    "findmnt",
    "free",
    "getent",
    "grep",
    "groups",
    "head",
    "id",
    "jq",
    "ls",
    "md5sum",
    "nc",
    "nl",
    "nproc",
    "od",
    "paste",
    "ps",
    "readlink",
    "realpath",
    "rev",
    "sha256sum",
    "stat",
    "tac",
    "tail",
    "tr",
    "uname",
    "uniq",
    "wc",
    "whoami",
];

/// bootproof logs in through sshd, so this port is open on every VM.
const SSHD: u16 = 22;

/// It runs wherever bootproof logs in.
const SSHD_PROCESS: &str = "sshd";

/// Every VM has the package of its package manager.
const DPKG: &str = "dpkg";
const OTHER_PACKAGE_MANAGERS: [&str; 2] = ["rpm", "apk-tools"];

/// Their first argument that is not a flag says what to look for, not where.
const LOOK_FOR: [&str; 8] = ["awk", "gawk", "mawk", "egrep", "fgrep", "grep", "jq", "sed"];

/// Assertions that must fail if this one is worth anything.
pub fn counter_examples(
    expectation: &Expectation,
) -> Result<Vec<CounterExample>, NoCounterExample> {
    match expectation {
        Expectation::PortListening(port) => Ok(vec![of_port(port)]),
        Expectation::CommandOutput(command) => {
            let broken = of_command(command)?;
            Ok(broken.into_iter().chain(not_run(expectation)).collect())
        }
        Expectation::HttpResponds(request) => Ok(of_request(request)),
        Expectation::Wire(wire) => Ok(vec![of_wire(wire)]),
        Expectation::Peer(peer) => {
            let (what, other) = peer.counter_example();
            Ok(vec![CounterExample { what, expectation: Expectation::Peer(other) }])
        }
        other => elsewhere_on_the_vm(other),
    }
}

/// The assertion about a service, process, package, file, user or group that no VM has. What must
/// be missing becomes something that every VM has.
fn elsewhere_on_the_vm(expectation: &Expectation) -> Result<Vec<CounterExample>, NoCounterExample> {
    let mut other = expectation.clone();
    let absent = ABSENT.trim_start_matches('/').to_owned();
    match &mut other {
        Expectation::ServiceRunning(it) => it.service = absent,
        Expectation::ServiceEnabled(it) => it.service = absent,
        Expectation::ProcessRunning(it) if it.count == Some(0) => {
            (it.process, it.user) = (SSHD_PROCESS.to_owned(), None);
        }
        Expectation::ProcessRunning(it) => it.process = absent,
        Expectation::PackageInstalled(it) => it.package = absent,
        Expectation::PackageNotInstalled(it) => {
            DPKG.clone_into(&mut it.package);
            it.others = OTHER_PACKAGE_MANAGERS.to_vec();
        }
        Expectation::FileExists(it) => it.path = format!("{ABSENT}{}", it.path),
        Expectation::FileContains(it) => it.path = format!("{ABSENT}{}", it.path),
        Expectation::UserExists(it) => it.user = absent,
        Expectation::GroupExists(it) => it.group = absent,
        _ => {}
    }
    if other == *expectation {
        let why = "bootproof knows nothing else to look at".to_owned();
        return Err(NoCounterExample(why));
    }
    Ok(vec![CounterExample { what: other.describe(), expectation: other }])
}

/// A command that ends as expected and does nothing: a refusal must be seen in what is printed,
/// unless the exit status has no other meaning.
pub fn not_run(expectation: &Expectation) -> Option<CounterExample> {
    let Expectation::CommandOutput(check) = expectation else { return None };
    let status = check.exit_code.filter(|_| accepts_any_failure(check))?;
    let command = CommandOutput { command: format!("exit {status}"), ..check.clone() };
    Some(CounterExample {
        what: format!("`exit {status}` instead of the command"),
        expectation: Expectation::CommandOutput(command),
    })
}

/// An allowed wire is tried with a closed port, a denied one with the port of sshd, which is open.
fn of_wire(wire: &Wire) -> CounterExample {
    let port = if wire.deny { SSHD } else { closed_port(wire.port).get() };
    let other = Wire { port, ..wire.clone() };
    CounterExample { what: other.describe(), expectation: Expectation::Wire(other) }
}

fn closed_port(but: u16) -> NonZeroU16 {
    let [first, second] = CLOSED_PORTS.map(|port| NonZeroU16::new(port).unwrap_or(NonZeroU16::MAX));
    if first.get() == but { second } else { first }
}

fn of_port(port: &PortListening) -> CounterExample {
    let closed = PortListening { port: closed_port(port.port.get()), ..port.clone() };
    CounterExample { what: closed.describe(), expectation: Expectation::PortListening(closed) }
}

fn of_request(request: &HttpResponds) -> Vec<CounterExample> {
    let with_url = |url: Url| CounterExample {
        what: format!("{} {url}", request.method),
        expectation: Expectation::HttpResponds(Box::new(HttpResponds { url, ..request.clone() })),
    };
    let closed = with_closed_port(&request.url);
    // A server that answers every path alike passes an assertion about one path.
    closed.into_iter().chain(with_absent_path(request)).map(with_url).collect()
}

fn with_closed_port(url: &Url) -> Option<Url> {
    let mut url = url.clone();
    url.set_port(Some(closed_port(url.port().unwrap_or(0)).get())).ok()?;
    Some(url)
}

/// Only for requests that read, and that expect success.
fn with_absent_path(request: &HttpResponds) -> Option<Url> {
    let reads = ["GET", "HEAD"].contains(&request.method.as_str()) && request.status < 400;
    if !reads || request.url.path() == "/" {
        return None;
    }
    let mut url = request.url.clone();
    url.set_path(&format!("{ABSENT}{}", request.url.path()));
    Some(url)
}

/// What is done to the text of a command.
#[derive(Default)]
struct Changes {
    /// What to put in the place of these bytes.
    edits: Vec<Edit>,
    /// What that means, each once.
    descriptions: Vec<String>,
}

struct Edit {
    range: Range<usize>,
    new: String,
}

fn of_command(check: &CommandOutput) -> Result<Vec<CounterExample>, NoCounterExample> {
    let not_understood = || NoCounterExample("bootproof cannot parse the command".to_owned());
    let script = Script::parse(&check.command).ok_or_else(not_understood)?;
    if let Some(file) = script.written_files().first() {
        return Err(NoCounterExample(format!("it writes to {file}")));
    }
    let programs = script.programs();
    let groups = by_text(programs.iter().filter(|program| looks_at_the_vm(check, program)));
    if groups.is_empty() {
        return Err(NoCounterExample("none of its programs looks at the VM".to_owned()));
    }
    let all_broken = || Ok(vec![broken(check, &script, &groups.concat())?]);
    // With `||`, one of several ways is enough for the check to pass, so all of them must be
    // broken.
    if groups.iter().flatten().any(|program| program.place.alternative) {
        return all_broken();
    }
    let each_broken: Result<Vec<_>, NoCounterExample> =
        groups.iter().map(|group| broken(check, &script, group)).collect();
    // A program that may write must not run after another one that was made to fail.
    each_broken.or_else(|_| all_broken())
}

fn looks_at_the_vm(check: &CommandOutput, program: &Program) -> bool {
    !program.place.fed || !absent_subjects(&check.command, program).is_empty()
}

/// Programs with the same text belong together: they are broken together.
fn by_text<'a, 'b>(programs: impl Iterator<Item = &'b Program<'a>>) -> Vec<Vec<&'b Program<'a>>> {
    let mut groups: Vec<Vec<&Program>> = Vec::new();
    for program in programs {
        match groups.iter_mut().find(|group| group[0].text == program.text) {
            Some(group) => group.push(program),
            None => groups.push(vec![program]),
        }
    }
    groups
}

/// The command, changed so that these programs find nothing.
fn broken(
    check: &CommandOutput,
    script: &Script,
    programs: &[&Program],
) -> Result<CounterExample, NoCounterExample> {
    let mut changes = Changes::default();
    for program in programs {
        changes.break_program(check, program);
    }
    let untouched = script
        .every_program()
        .into_iter()
        .find(|program| !changes.cover(program) && !only_reads(program));
    if let Some(program) = untouched {
        let why = format!("`{}` would still run, and may do more than read", program.name);
        return Err(NoCounterExample(why));
    }
    let what = changes.descriptions.join("; ");
    let command = changes.applied_to(&check.command);
    let expectation = Expectation::CommandOutput(CommandOutput { command, ..check.clone() });
    Ok(CounterExample { what, expectation })
}

impl Changes {
    fn break_program(&mut self, check: &CommandOutput, program: &Program) {
        let must_fail = must_fail(check, program);
        let subjects = absent_subjects(&check.command, program);
        let description = if must_fail || subjects.is_empty() {
            let new = if must_fail { "true" } else { "false" };
            self.edits.push(Edit { range: program.range.clone(), new: new.to_owned() });
            format!("`{new}` instead of `{}`", program.shortened())
        } else {
            let old_words = subjects.iter().map(|edit| &check.command[edit.range.clone()]);
            let swaps: Vec<_> = subjects
                .iter()
                .zip(old_words)
                .map(|(edit, old)| format!("{} instead of {old}", edit.new))
                .collect();
            self.edits.extend(subjects);
            format!("`{}` with {}", program.name, swaps.join(" and "))
        };
        if !self.descriptions.contains(&description) {
            self.descriptions.push(description);
        }
    }

    /// Whether a program is replaced as a whole.
    fn cover(&self, program: &Program) -> bool {
        self.edits.iter().any(|edit| {
            edit.range.start <= program.range.start && program.range.end <= edit.range.end
        })
    }

    fn applied_to(mut self, command: &str) -> String {
        let mut command = command.to_owned();
        // From the end, so that earlier ranges stay valid.
        self.edits.sort_by_key(|edit| std::cmp::Reverse(edit.range.start));
        for edit in self.edits {
            command.replace_range(edit.range, &edit.new);
        }
        command
    }
}

/// Whether the check passes only if this program fails.
fn must_fail(check: &CommandOutput, program: &Program) -> bool {
    program.place.negated != (check.exit_code.unwrap_or(0) != 0)
}

/// Edits that turn the ports and paths that a program looks at into closed and absent ones.
fn absent_subjects(command: &str, program: &Program) -> Vec<Edit> {
    if !only_reads(program) {
        return Vec::new();
    }
    let is_flag = |range: &&Range<usize>| command[(*range).clone()].starts_with('-');
    let mut arguments: Vec<_> = program.words.iter().filter(|range| !is_flag(range)).collect();
    if LOOK_FOR.contains(&base_name(program)) && arguments.len() > 1 {
        arguments.remove(0);
    }
    // The last argument of nc is a port: `nc -z HOST PORT`.
    let port_of_nc = arguments.last().copied().filter(|_| base_name(program) == "nc");
    let edit = |range: &Range<usize>| {
        let word = &command[range.clone()];
        let port = word.parse::<u16>().ok().filter(|_| Some(range) == port_of_nc);
        let closed = port.map(|port| closed_port(port).to_string());
        let new = closed.or_else(|| elsewhere(word))?;
        Some(Edit { range: range.clone(), new })
    };
    arguments.into_iter().filter_map(edit).collect()
}

/// The word with a closed port, or as a path that does not exist; `None` if it is neither.
fn elsewhere(word: &str) -> Option<String> {
    static PORT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r":(\d{2,5})\b").expect("a valid pattern"));
    static PATH: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^/[\w.@+,:=*?/-]*$").expect("a valid pattern"));
    if PATH.is_match(word) {
        return (!word.starts_with("/dev/")).then(|| format!("{ABSENT}{word}"));
    }
    if let Some(url) = Url::parse(word).ok().filter(Url::has_host) {
        return with_closed_port(&url).map(String::from);
    }
    let port = PORT.captures(word)?.get(1)?;
    let closed = closed_port(port.as_str().parse().ok()?);
    Some(format!("{}{closed}{}", &word[..port.start()], &word[port.end()..]))
}

/// The program's name without its folder.
fn base_name<'a>(program: &Program<'a>) -> &'a str {
    program.name.rsplit('/').next().unwrap_or_default()
}

/// Whether a program is known to write nothing and change nothing.
fn only_reads(program: &Program) -> bool {
    let arguments: Vec<&str> = program.text.split_whitespace().skip(1).collect();
    let has_any = |words: &[&str]| arguments.iter().any(|argument| words.contains(argument));
    let has_flag = |letters: &[char]| {
        let is_short = |word: &&&str| word.starts_with('-') && !word.starts_with("--");
        arguments.iter().filter(is_short).any(|word| word.contains(letters))
    };
    let contains_any = |parts: &[&str]| parts.iter().any(|part| program.text.contains(part));
    match base_name(program) {
        "awk" | "gawk" | "mawk" => !contains_any(&["system(", "> \"", ">\"", "| \"", "|\"", "-i "]),
        "command" => has_any(&["-v", "-V"]),
        "curl" => {
            let has_long_flag = arguments.iter().any(|word| word.starts_with("--"));
            let writes_a_file = has_flag(&['o']) && !contains_any(&["-o /dev/null"]);
            !has_long_flag && !has_flag(&['O', 'T', 'd', 'F', 'X', 'K', 'c', 'D']) && !writes_a_file
        }
        "date" => !has_flag(&['s']) && !contains_any(&["--set"]),
        "find" => !has_any(&[
            "-delete", "-exec", "-execdir", "-ok", "-okdir", "-fprint", "-fprint0", "-fprintf",
            "-fls",
        ]),
        "hostname" => arguments.iter().all(|word| word.starts_with('-')),
        "ip" => !has_any(&[
            "add", "del", "delete", "set", "flush", "change", "replace", "append", "exec",
        ]),
        "sed" => !has_flag(&['i']) && !contains_any(&["--in-place"]),
        "sort" => !has_flag(&['o']) && !contains_any(&["--output"]),
        "ss" => !has_flag(&['K']),
        "systemctl" => has_any(&[
            "is-active",
            "is-enabled",
            "is-failed",
            "show",
            "status",
            "cat",
            "list-units",
        ]),
        name => READ.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(command: &str, exit_code: u32) -> Result<Vec<String>, NoCounterExample> {
        let check = CommandOutput {
            command: command.to_owned(),
            exit_code: Some(exit_code),
            ..CommandOutput::default()
        };
        let text = |example: CounterExample| match example.expectation {
            Expectation::CommandOutput(check) => check.command,
            other => panic!("{other:?}"),
        };
        Ok(of_command(&check)?.into_iter().map(text).collect())
    }

    #[test]
    fn programs_look_at_something_absent() {
        for (command, broken) in [
            ("cat /etc/hosts", &["cat /bootproof-absent/etc/hosts"][..]),
            (
                "grep -q '^x' /a 2>/dev/null && echo ok",
                &["grep -q '^x' /bootproof-absent/a 2>/dev/null && echo ok"],
            ),
            (
                "nc -z -w 5 h 5432 && nc -z h 6379 && echo ok",
                &[
                    "nc -z -w 5 h 65111 && nc -z h 6379 && echo ok",
                    "nc -z -w 5 h 5432 && nc -z h 65111 && echo ok",
                ],
            ),
            (
                "curl -fsS http://localhost:2283/ping | jq -e '.a' >/dev/null && echo ok",
                &["curl -fsS http://localhost:65111/ping | jq -e '.a' >/dev/null && echo ok"],
            ),
            ("ss -Hltn 'sport = :6379' | sort", &["ss -Hltn 'sport = :65111' | sort"]),
            ("printf 'PING' | nc -w 3 h 6379", &["printf 'PING' | nc -w 3 h 65111"]),
            (
                "[ -f /a ] || test -f /b",
                &["[ -f /bootproof-absent/a ] || test -f /bootproof-absent/b"],
            ),
            ("hostname", &["false"]),
            ("cd / && psql -c 'SELECT 1' > /dev/null", &["cd / && false > /dev/null"]),
            ("python3 /opt/check.py /var", &["false"]),
            (
                "! command -v nft && ! grep -q . /p",
                &["! true && ! grep -q . /p", "! command -v nft && ! true"],
            ),
            ("grep -q x /a || systemctl restart b", &["grep -q x /bootproof-absent/a || false"]),
            ("grep -q x /a; systemctl restart b", &["grep -q x /bootproof-absent/a; false"]),
            ("cat /a && echo \"$(touch /b)\"", &["cat /bootproof-absent/a && echo \"$(false)\""]),
            ("[ \"$(touch /b)\" ]", &["false"]),
            (
                "find /a -delete && /usr/bin/stat /b",
                &["false && /usr/bin/stat /bootproof-absent/b"],
            ),
            ("id x | grep y; id x", &["false | grep y; false"]),
            ("x=$(ip route); [ \"$x\" ]", &["x=$(false); [ \"$x\" ]", "x=$(ip route); false"]),
        ] {
            assert_eq!(
                commands(command, 0),
                Ok(broken.iter().map(ToString::to_string).collect()),
                "{command}"
            );
        }
        assert_eq!(commands("sudo -n true", 1), Ok(vec!["true".to_owned()]));
    }

    #[test]
    fn commands_that_may_write_have_no_counter_example() {
        for (command, why) in [
            ("cat /a > /b", "it writes to /b"),
            ("cat /a | tee /b", "`tee` would still run"),
            ("cat /a | command rm /b", "`command` would still run"),
            ("cat /a | xargs rm", "`xargs` would still run"),
            ("[ \"$(touch /b)\" ] && cat /a | tee /c", "`tee` would still run"),
            ("a && | b", "cannot parse the command"),
            ("echo ok", "none of its programs"),
        ] {
            let error = commands(command, 0).unwrap_err().to_string();
            assert!(error.contains(why), "{command}: {error}");
        }
    }

    #[test]
    fn everyday_checks_look_at_something_else() {
        let of = |kind: &str, keys: serde_json::Value| {
            let mut assertion = keys;
            (assertion["type"], assertion["on_vm"]) = (kind.into(), "v".into());
            let file = serde_json::json!({"scenarios": [{"name": "s", "custom_tests":
                [{"name": "t", "assertions": [assertion]}]}]});
            let suite = crate::spec::suite::Suite::parse("s", &file.to_string()).unwrap();
            let examples =
                counter_examples(&suite.assertions[0].sample.as_ref().unwrap().expectation);
            examples.map(|examples| examples[0].what.clone()).map_err(|why| why.to_string())
        };
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        for (kind, keys, what) in [
            ("service_running", r#"{"service": "x"}"#, "bootproof-absent.service runs"),
            ("service_enabled", r#"{"service": "x"}"#, "bootproof-absent.service is enabled"),
            ("process_running", r#"{"process": "x"}"#, "a process `bootproof-absent` runs"),
            ("process_running", r#"{"process": "x", "count": 0}"#, "no process `sshd` runs"),
            ("package_installed", r#"{"package": "x"}"#, "package bootproof-absent is installed"),
            (
                "package_not_installed",
                r#"{"package": "x"}"#,
                "none of the packages dpkg, rpm, apk-tools is installed",
            ),
            (
                "file_exists",
                r#"{"path": "/x", "mode": "0644"}"#,
                "/bootproof-absent/x has mode 0644",
            ),
            (
                "file_contains",
                r#"{"path": "/x", "contains": "y", "absent": true}"#,
                "/bootproof-absent/x exists, and not: contains \"y\"",
            ),
            ("user_exists", r#"{"user": "x"}"#, "user bootproof-absent exists"),
            (
                "group_exists",
                r#"{"group": "x", "gid": 5}"#,
                "group bootproof-absent exists, has gid 5",
            ),
        ] {
            assert_eq!(of(kind, json(keys)).as_deref(), Ok(what), "{kind}");
        }
        assert!(of("process_running", json(r#"{"process": "sshd", "count": 0}"#)).is_err());
    }

    #[test]
    fn requests_go_to_closed_ports_and_absent_paths() {
        let request = |method: &str| {
            let keys = serde_json::json!({"url": "http://localhost/ping", "method": method});
            let urls = of_request(&serde_json::from_value(keys).unwrap()).into_iter();
            urls.map(|example| example.what).collect::<Vec<_>>()
        };
        assert_eq!(
            request("GET"),
            ["GET http://localhost:65111/ping", "GET http://localhost/bootproof-absent/ping"]
        );
        assert_eq!(request("POST"), ["POST http://localhost:65111/ping"]);
        let port: PortListening =
            serde_json::from_str(r#"{"port": 65111, "protocol": "udp"}"#).unwrap();
        assert_eq!(of_port(&port).what, "65112/udp listens");
    }
}
