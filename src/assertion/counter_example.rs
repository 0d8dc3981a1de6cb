//! Counter-examples: the same check where what it looks at is not there. A check that passes all the same proves nothing.
//!
//! What is expected is never changed: a changed expectation is always red, and says nothing about the check. A
//! counter-example only reads: ports and paths change in the words of programs that are known to read, and every other
//! program is replaced by `false`.

use std::num::NonZeroU16;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use url::Url;

use super::Expectation;
use super::command_output::CommandOutput;
use super::http_responds::HttpResponds;
use super::port_listening::PortListening;
use super::shell::{Program, Script};
use super::vacuous::shortened;
use super::wire::Wire;

/// A check that must be red.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterExample {
    /// What is looked at in the place of the real thing, in one line.
    pub what: String,
    /// The check.
    pub expectation: Expectation,
}

/// Above the ports that Linux gives to clients, and nobody's by name.
const CLOSED_PORTS: [u16; 2] = [65111, 65112];

/// In front of a path: there is nothing.
const ABSENT: &str = "/bootproof-absent";

/// Programs that only read, whatever their arguments are.
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

/// Listens on every VM that is looked at.
const SSHD: u16 = 22;

/// Their first word that is no flag says what is looked for, not where.
const LOOK_FOR: [&str; 8] = ["awk", "gawk", "mawk", "egrep", "fgrep", "grep", "jq", "sed"];

/// Checks that must be red if this one is worth anything; or why there are none.
pub(super) fn of(expectation: &Expectation) -> Result<Vec<CounterExample>, String> {
    match expectation {
        Expectation::PortListening(port) => Ok(vec![of_port(port)]),
        Expectation::CommandOutput(command) => of_command(command),
        Expectation::HttpResponds(request) => Ok(of_request(request)),
        Expectation::Wire(wire) => Ok(vec![of_wire(wire)]),
        Expectation::Peer(peer) => {
            let (what, other) = peer.counter_example();
            Ok(vec![CounterExample { what, expectation: Expectation::Peer(other) }])
        }
    }
}

/// A way that must be there leads to a closed port; one that must not be there leads to sshd, which does listen.
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
    let with = |url: Url| CounterExample {
        what: format!("{} {url}", request.method),
        expectation: Expectation::HttpResponds(Box::new(HttpResponds { url, ..request.clone() })),
    };
    let mut examples: Vec<_> = with_closed_port(&request.url).map(with).into_iter().collect();
    // A server that gives everyone the same answer is not told apart by one that gives none.
    let reads = ["GET", "HEAD"].contains(&request.method.as_str()) && request.status < 400;
    if reads && request.url.path() != "/" {
        let mut url = request.url.clone();
        url.set_path(&format!("{ABSENT}{}", request.url.path()));
        examples.push(with(url));
    }
    examples
}

fn with_closed_port(url: &Url) -> Option<Url> {
    let mut url = url.clone();
    url.set_port(Some(closed_port(url.port().unwrap_or(0)).get())).ok()?;
    Some(url)
}

fn of_command(check: &CommandOutput) -> Result<Vec<CounterExample>, String> {
    let script = Script::parse(&check.command).ok_or("the command is not understood")?;
    if let Some(file) = script.written_files().first() {
        return Err(format!("it writes to {file}"));
    }
    let programs = script.programs();
    let looks = |one: &&Program| !one.place.fed || !subjects(&check.command, one).is_empty();
    let mut groups: Vec<Vec<&Program>> = Vec::new();
    for program in programs.iter().filter(looks) {
        match groups.iter_mut().find(|group| group[0].text == program.text) {
            Some(group) => group.push(program),
            None => groups.push(vec![program]),
        }
    }
    if groups.is_empty() {
        return Err("no program of it looks at the VM".to_owned());
    }
    let all = || broken(check, &script, &groups.concat()).map(|example| vec![example]);
    // One of several ways is enough for the check, so all of them must be broken.
    if groups.iter().flatten().any(|one| one.place.alternative) {
        return all();
    }
    let each: Result<Vec<_>, String> =
        groups.iter().map(|group| broken(check, &script, group)).collect();
    // A program that may write is not run where another one has failed.
    each.or_else(|_| all())
}

/// The command in which these programs look at nothing.
fn broken(
    check: &CommandOutput,
    script: &Script,
    programs: &[&Program],
) -> Result<CounterExample, String> {
    let mut changes: Vec<(Range<usize>, String)> = Vec::new();
    let mut what: Vec<String> = Vec::new();
    for program in programs {
        let subjects = if wanted_to_fail(check, program) {
            Vec::new()
        } else {
            subjects(&check.command, program)
        };
        let told = if subjects.is_empty() {
            let word = if wanted_to_fail(check, program) { "true" } else { "false" };
            changes.push((program.range.clone(), word.to_owned()));
            format!("`{word}` in the place of `{}`", shortened(program.text))
        } else {
            let told: Vec<_> = subjects
                .iter()
                .map(|(range, new)| format!("{} for {}", new, &check.command[range.clone()]))
                .collect();
            changes.extend(subjects);
            format!("`{}` with {}", program.name, told.join(" and "))
        };
        if !what.contains(&told) {
            what.push(told);
        }
    }
    let replaced = |one: &Program| {
        changes
            .iter()
            .any(|(range, _)| range.start <= one.range.start && one.range.end <= range.end)
    };
    if let Some(other) =
        script.every_program().iter().find(|one| !replaced(one) && !only_reads(one))
    {
        return Err(format!("`{}` would still be run, and may do more than read", other.name));
    }
    changes.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut command = check.command.clone();
    for (range, new) in changes {
        command.replace_range(range, &new);
    }
    let expectation = Expectation::CommandOutput(CommandOutput { command, ..check.clone() });
    Ok(CounterExample { what: what.join("; "), expectation })
}

/// The check is about something that must not be so.
fn wanted_to_fail(check: &CommandOutput, program: &Program) -> bool {
    program.place.negated != (check.exit_code.unwrap_or(0) != 0)
}

/// Where the ports and paths stand at which a program looks, and what is to stand there.
fn subjects(command: &str, program: &Program) -> Vec<(Range<usize>, String)> {
    if !only_reads(program) {
        return Vec::new();
    }
    let mut words: Vec<_> =
        program.words.iter().filter(|range| !command[(*range).clone()].starts_with('-')).collect();
    if LOOK_FOR.contains(&base_name(program)) && words.len() > 1 {
        words.remove(0);
    }
    let last = words.last().copied();
    let changed = |range: &Range<usize>| {
        let word = &command[range.clone()];
        let port =
            word.parse::<u16>().ok().filter(|_| base_name(program) == "nc" && Some(range) == last);
        let new = port.map(|port| closed_port(port).to_string()).or_else(|| elsewhere(word))?;
        Some((range.clone(), new))
    };
    words.into_iter().filter_map(changed).collect()
}

/// The word with a closed port, or as a path at which nothing is.
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

/// Without its folder.
fn base_name<'a>(program: &Program<'a>) -> &'a str {
    program.name.rsplit('/').next().unwrap_or_default()
}

/// Whether a program is known to write nothing and change nothing.
fn only_reads(program: &Program) -> bool {
    let words: Vec<&str> = program.text.split_whitespace().skip(1).collect();
    let has = |any: &[&str]| words.iter().any(|word| any.contains(word));
    let flag = |letters: &[char]| {
        words
            .iter()
            .any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(letters))
    };
    match base_name(program) {
        "awk" | "gawk" | "mawk" => !["system(", "> \"", ">\"", "| \"", "|\"", "-i "]
            .iter()
            .any(|sign| program.text.contains(sign)),
        "command" => has(&["-v", "-V"]),
        "curl" => {
            let to_nothing = program.text.contains("-o /dev/null");
            let long = words.iter().any(|word| word.starts_with("--"));
            !long
                && !flag(&['O', 'T', 'd', 'F', 'X', 'K', 'c', 'D'])
                && (to_nothing || !flag(&['o']))
        }
        "date" => !flag(&['s']) && !program.text.contains("--set"),
        "find" => !has(&[
            "-delete", "-exec", "-execdir", "-ok", "-okdir", "-fprint", "-fprint0", "-fprintf",
            "-fls",
        ]),
        "hostname" => words.iter().all(|word| word.starts_with('-')),
        "ip" => {
            !has(&["add", "del", "delete", "set", "flush", "change", "replace", "append", "exec"])
        }
        "sed" => !flag(&['i']) && !program.text.contains("--in-place"),
        "sort" => !flag(&['o']) && !program.text.contains("--output"),
        "ss" => !flag(&['K']),
        "systemctl" => {
            has(&["is-active", "is-enabled", "is-failed", "show", "status", "cat", "list-units"])
        }
        name => READ.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(command: &str, exit_code: u32) -> Result<Vec<String>, String> {
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
    fn a_program_looks_where_nothing_is() {
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
    fn what_may_write_is_left_alone() {
        for (command, why) in [
            ("cat /a > /b", "it writes to /b"),
            ("cat /a | tee /b", "`tee` would still be run"),
            ("cat /a | command rm /b", "`command` would still be run"),
            ("cat /a | xargs rm", "`xargs` would still be run"),
            ("[ \"$(touch /b)\" ] && cat /a | tee /c", "`tee` would still be run"),
            ("a && | b", "not understood"),
            ("echo ok", "no program"),
        ] {
            let told = commands(command, 0);
            assert!(told.as_ref().is_err_and(|told| told.contains(why)), "{command}: {told:?}");
        }
    }

    #[test]
    fn ports_are_closed_and_paths_of_urls_absent() {
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
