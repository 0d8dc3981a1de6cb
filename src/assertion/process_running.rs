//! `process_running`: processes of a command run.
//!
//! The answer comes from /proc, so it needs no tool such as `pgrep`.

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::Deserialize;

use super::judgement::{Judgement, Unclear};
use super::mistake::Mistake;
use super::name;
use super::script::{how, last_line, set};
use super::slug::slug;

/// The kernel keeps this many bytes of the name of a command.
const COMM: usize = 15;

/// How many processes a message lists.
const LISTED: usize = 10;

/// Processes of a command must run on the VM: one or more, unless the assertion says how many.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessRunning {
    /// The name of the command, without folder and arguments.
    #[schemars(length(min = 1))]
    pub process: String,
    /// Only processes of this user count.
    #[serde(default)]
    pub user: Option<String>,
    /// Exactly this many must run; 0 if none may run.
    #[serde(default)]
    pub count: Option<u32>,
    /// This many or more must run. Default: 1.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub at_least: Option<u32>,
}

/// The script that reads /proc, and the ids of `users`. It reads no arguments of commands: they can
/// hold secrets.
pub fn read_processes(users: &[&str]) -> String {
    format!(
        "{}; cd /proc || exit; echo \"@self $$\"; \
         for u; do i=$(id -u \"$u\" 2>&1); printf \"@user %s %s %s\\n\" \"$u\" $? \"$i\"; done; \
         echo @status; grep -EH \"^(Name|State|Uid|NSsid):\" [0-9]*/status 2>/dev/null; \
         echo @command; grep -aH \"\" [0-9]*/cmdline 2>/dev/null | tr \"\\000\" \"\\011\" | cut -f1; \
         echo @end",
        set(users)
    )
}

/// The processes of a VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processes {
    running: Vec<Process>,
    /// The ids of users; `None` for those that do not exist.
    users: HashMap<String, Option<u32>>,
    /// Users whose ids could not be read, and why.
    unknown_users: HashMap<String, String>,
    /// Whether the processes of all users are visible.
    complete: bool,
}

/// A process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Process {
    pid: u32,
    name: String,
    /// The first word of its command line; empty for threads of the kernel.
    command: String,
    uid: u32,
    session: Option<u32>,
    ended: bool,
}

impl Process {
    fn is(&self, name: &str) -> bool {
        if self.ended {
            return false;
        }
        // A long name is cut off in `name`. Many programs write a title over their command line.
        let command = self.command.rsplit('/').next().unwrap_or_default();
        let has_title = || self.command.strip_prefix(name).is_some_and(|it| it.starts_with(": "));
        self.name == name || command == name || (name.len() > COMM && has_title())
    }

    /// Whether sshd, or another SSH server, is this process.
    fn serves_ssh(&self) -> bool {
        ["sshd", "dropbear"].iter().any(|server| self.name.starts_with(server))
    }
}

impl Processes {
    /// Whether the id of this user was asked for.
    pub fn know(&self, user: &str) -> bool {
        self.users.contains_key(user) || self.unknown_users.contains_key(user)
    }

    /// The id of a user, who may not exist.
    fn id_of(&self, user: &str) -> Result<Option<u32>, Unclear> {
        self.users.get(user).copied().ok_or_else(|| Unclear::NotRead {
            what: format!("the id of user `{user}`"),
            why: self.unknown_users.get(user).cloned().unwrap_or_else(|| "no answer".to_owned()),
        })
    }
}

impl ProcessRunning {
    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        let user = self.user.as_ref().map_or(String::new(), |user| format!(" as {user}"));
        let process = &self.process;
        match (self.count, self.at_least.unwrap_or(1)) {
            (Some(0), _) => format!("no process `{process}` runs{user}"),
            (Some(count), _) => format!("{} `{process}`{user}", running(count, "exactly ")),
            (None, 1) => format!("a process `{process}` runs{user}"),
            (None, least) => format!("{} `{process}`{user}", running(least, "at least ")),
        }
    }

    /// The remote command, in one line.
    pub fn how(&self) -> String {
        let users: Vec<&str> = self.user.as_deref().into_iter().collect();
        how(&read_processes(&users), false)
    }

    /// The name of the process and the user; `no-telnetd` if none may run.
    pub fn slug(&self) -> String {
        let mut words = slug(&self.process);
        if let Some(user) = &self.user {
            words = format!("{words}-as-{}", slug(user));
        }
        if self.count == Some(0) {
            format!("no-process-{words}")
        } else {
            format!("process-{words}")
        }
    }

    /// Mistakes that show without looking at a VM.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes: Vec<_> = name::process(&self.process).into_iter().collect();
        mistakes.extend(self.user.as_deref().and_then(|user| name::account("user", user)));
        if self.count.is_some() && self.at_least.is_some() {
            let message = "`count` already says how many";
            mistakes.push(Mistake::new("at_least", message).hint("keep one of the two"));
        }
        if self.at_least == Some(0) {
            let message = "at least 0 processes always run, so this assertion cannot fail";
            let hint = "write 1 or more; `\"count\": 0` means that none may run";
            mistakes.push(Mistake::new("at_least", message).hint(hint));
        }
        mistakes
    }

    /// Whether as many run as expected.
    pub fn judge(&self, seen: &Result<Processes, Unclear>) -> Judgement {
        self.try_judge(seen).unwrap_or_else(Judgement::Unclear)
    }

    fn try_judge(&self, seen: &Result<Processes, Unclear>) -> Result<Judgement, Unclear> {
        let seen = seen.as_ref().map_err(Clone::clone)?;
        let all: Vec<&Process> =
            seen.running.iter().filter(|process| process.is(&self.process)).collect();
        let Some(user) = &self.user else {
            return self.judge_those(seen, &all, "");
        };
        let Some(uid) = seen.id_of(user)? else {
            let message = format!("the VM has no user `{user}`");
            return Ok(Judgement::differs(message, self.describe(), list(&all)));
        };
        let (own, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|process| process.uid == uid);
        let elsewhere =
            if others.is_empty() { String::new() } else { format!("; others: {}", list(&others)) };
        self.judge_those(seen, &own, &elsewhere)
    }

    fn judge_those(
        &self,
        seen: &Processes,
        those: &[&Process],
        elsewhere: &str,
    ) -> Result<Judgement, Unclear> {
        let found = u32::try_from(those.len()).unwrap_or(u32::MAX);
        let holds = match self.count {
            Some(count) => found == count,
            None => found >= self.at_least.unwrap_or(1),
        };
        let too_many = self.count.is_some_and(|count| found > count);
        // More of them can hide.
        let is_sure = seen.complete || too_many || (holds && self.count.is_none());
        if !is_sure {
            return Err(Unclear::HiddenProcesses);
        }
        if holds {
            return Ok(Judgement::Holds);
        }
        let user = self.user.as_ref().map_or(String::new(), |user| format!(" as {user}"));
        let expected = match (self.count, self.at_least.unwrap_or(1)) {
            (None, 1) => String::new(),
            (None, least) => format!(", expected at least {least}"),
            (Some(0), _) => ", expected none".to_owned(),
            (Some(count), _) => format!(", expected {count}"),
        };
        let message = match found {
            0 => format!("no process `{}` runs{user}{expected}{elsewhere}", self.process),
            _ => format!("{} `{}`{user}{expected}{elsewhere}", running(found, ""), self.process),
        };
        Ok(Judgement::differs(message, self.describe(), list(those)))
    }
}

/// `2 processes run:`, with a word for how many.
fn running(count: u32, word: &str) -> String {
    if count == 1 {
        format!("{word}1 process runs:")
    } else {
        format!("{word}{count} processes run:")
    }
}

fn list(processes: &[&Process]) -> String {
    let one = |process: &&Process| format!("pid {} (uid {})", process.pid, process.uid);
    let listed: Vec<String> = processes.iter().take(LISTED).map(one).collect();
    match processes.len() {
        0 => "none".to_owned(),
        all if all > LISTED => format!("{} and {} more", listed.join(", "), all - LISTED),
        _ => listed.join(", "),
    }
}

/// Reads what the script of [`read_processes`] printed.
pub fn parse_processes(stdout: &str, stderr: &str) -> Result<Processes, Unclear> {
    let not_read = |why: &str| Unclear::NotRead { what: "/proc".to_owned(), why: why.to_owned() };
    let mut reading = Reading::default();
    let mut section = "";
    for line in stdout.lines() {
        match line {
            "@status" | "@command" => section = line,
            "@end" => return reading.finish().ok_or_else(|| not_read("it lists no process")),
            _ => reading.line(section, line),
        }
    }
    Err(not_read(last_line(stderr).unwrap_or("the answer is cut off")))
}

/// What was read by now.
#[derive(Default)]
struct Reading {
    seen: Processes,
    own_pid: u32,
    by_pid: BTreeMap<u32, Process>,
}

impl Reading {
    fn line(&mut self, section: &str, line: &str) {
        match section {
            "@status" => self.status(line),
            "@command" => self.command(line),
            _ => self.preface(line),
        }
    }

    fn preface(&mut self, line: &str) {
        if let Some(pid) = line.strip_prefix("@self ") {
            self.own_pid = pid.trim().parse().unwrap_or(0);
        }
        let mut words = line.strip_prefix("@user ").unwrap_or_default().splitn(3, ' ');
        let (Some(user), Some(status), Some(said)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        let id: Option<u32> = said.trim().parse().ok().filter(|_| status == "0");
        // "id: 'x': no such user" of coreutils, "id: unknown user x" of busybox.
        let is_absent = said.contains("no such user") || said.contains("unknown user");
        if id.is_some() || is_absent {
            self.seen.users.insert(user.to_owned(), id);
        } else {
            self.seen.unknown_users.insert(user.to_owned(), said.to_owned());
        }
    }

    fn status(&mut self, line: &str) {
        let Some((pid, line)) = numbered(line, "/status:") else { return };
        let Some((key, value)) = line.split_once(':') else { return };
        let mut words = value.split_whitespace();
        let process =
            self.by_pid.entry(pid).or_insert_with(|| Process { pid, ..Process::default() });
        match key {
            "Name" => process.name = value.trim_start_matches('\t').replace("\\\\", "\\"),
            "State" => process.ended = words.next().is_some_and(|state| "ZXx".contains(state)),
            // The real one, the effective one, and two more.
            "Uid" => process.uid = words.nth(1).and_then(|uid| uid.parse().ok()).unwrap_or(0),
            // The last one is that of the process's own namespace.
            "NSsid" => process.session = words.next_back().and_then(|id| id.parse().ok()),
            _ => {}
        }
    }

    /// The first line of a process: others come from arguments with line breaks.
    fn command(&mut self, line: &str) {
        let Some((pid, command)) = numbered(line, "/cmdline:") else { return };
        if let Some(process) = self.by_pid.get_mut(&pid)
            && process.command.is_empty()
        {
            command.clone_into(&mut process.command);
        }
    }

    /// Without the processes of this question itself; `None` if nothing was read.
    fn finish(mut self) -> Option<Processes> {
        let own = self.by_pid.get(&self.own_pid)?.session;
        self.seen.complete = self.by_pid.contains_key(&1);
        let (own_pid, by_pid) = (self.own_pid, self.by_pid);
        let is_own = |process: &Process| {
            process.pid == own_pid
                || (own.is_some() && process.session == own && !process.serves_ssh())
        };
        self.seen.running = by_pid
            .into_values()
            .filter(|process| !process.name.is_empty() && !is_own(process))
            .collect();
        Some(self.seen)
    }
}

/// `12/status:Name:...` as 12 and what is behind `mark`.
fn numbered<'a>(line: &'a str, mark: &str) -> Option<(u32, &'a str)> {
    let (pid, rest) = line.split_once(mark)?;
    Some((pid.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "@self 900
@user www-data 0 33
@user nobody-like-this 1 id: 'nobody-like-this': no such user
@user alpine 1 id: unknown user alpine
@user slow 1 id: cannot find name for user ID 7
@status
1/status:Name:\tsystemd
1/status:State:\tS (sleeping)
1/status:Uid:\t0\t0\t0\t0
1/status:NSsid:\t1
20/status:Name:\tnginx
20/status:State:\tS (sleeping)
20/status:Uid:\t0\t0\t0\t0
20/status:NSsid:\t20
21/status:Name:\tnginx
21/status:State:\tS (sleeping)
21/status:Uid:\t33\t33\t33\t33
21/status:NSsid:\t20
22/status:Name:\tnginx
22/status:State:\tZ (zombie)
22/status:Uid:\t33\t33\t33\t33
22/status:NSsid:\t20
30/status:Name:\tsystemd-timesyn
30/status:State:\tS (sleeping)
30/status:Uid:\t997\t997\t997\t997
30/status:NSsid:\t30
31/status:Name:\ta-long-command-
31/status:State:\tS (sleeping)
31/status:Uid:\t0\t0\t0\t0
31/status:NSsid:\t31
32/status:Name:\tbackup.sh
32/status:State:\tS (sleeping)
32/status:Uid:\t0\t0\t0\t0
32/status:NSsid:\t32
40/status:Name:\tkworker/0:1
40/status:State:\tI (idle)
40/status:Uid:\t0\t0\t0\t0
40/status:NSsid:\t0
50/status:Name:\tsshd
50/status:State:\tS (sleeping)
50/status:Uid:\t0\t0\t0\t0
50/status:NSsid:\t50
898/status:Name:\tbash
898/status:State:\tS (sleeping)
898/status:Uid:\t1000\t1000\t1000\t1000
898/status:NSsid:\t898
900/status:Name:\tsh
900/status:State:\tS (sleeping)
900/status:Uid:\t1000\t1000\t1000\t1000
900/status:NSsid:\t898
901/status:Name:\tgrep
901/status:State:\tR (running)
901/status:Uid:\t1000\t1000\t1000\t1000
901/status:NSsid:\t898
@command
1/cmdline:/sbin/init
20/cmdline:nginx: master process /usr/sbin/nginx
21/cmdline:nginx: worker process
30/cmdline:/usr/lib/systemd/systemd-timesyncd
31/cmdline:a-long-command-name: waits
32/cmdline:/bin/bash
32/cmdline:31/cmdline:/usr/bin/forged
50/cmdline:sshd: /usr/sbin/sshd -D
898/cmdline:bash
900/cmdline:sh
@end
";

    fn running(process: &str) -> ProcessRunning {
        ProcessRunning { process: process.to_owned(), user: None, count: None, at_least: None }
    }

    fn seen() -> Result<Processes, Unclear> {
        parse_processes(PRINTED, "")
    }

    #[track_caller]
    fn message(expected: &ProcessRunning) -> String {
        match expected.judge(&seen()) {
            Judgement::Differs(mismatch) => mismatch.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_process_is_found_by_its_name_or_its_command() {
        for process in [
            "systemd",
            "init",
            "nginx",
            "systemd-timesyncd",
            "a-long-command-name",
            "backup.sh",
            "bash",
            "kworker/0:1",
            "sshd",
        ] {
            assert_eq!(running(process).judge(&seen()), Judgement::Holds, "{process}");
        }
        for process in
            ["ngin", "nginx:", "forged", "systemd-timesyncx", "a-long-command-", "worker"]
        {
            // The kernel's own cut is a name, too.
            let is_cut = process == "a-long-command-";
            assert_eq!(running(process).judge(&seen()) == Judgement::Holds, is_cut, "{process}");
        }
    }

    #[test]
    fn the_processes_of_the_question_do_not_count() {
        assert_eq!(message(&running("sh")), "no process `sh` runs");
        assert_eq!(message(&running("grep")), "no process `grep` runs");
        // pid 32 is a script, and its interpreter is bash; the login shell is not counted.
        let one = ProcessRunning { count: Some(1), ..running("bash") };
        assert_eq!(one.judge(&seen()), Judgement::Holds);
    }

    #[test]
    fn says_how_many_run() {
        let nginx = |count, at_least| ProcessRunning { count, at_least, ..running("nginx") };
        assert_eq!(nginx(Some(2), None).judge(&seen()), Judgement::Holds);
        assert_eq!(nginx(None, Some(2)).judge(&seen()), Judgement::Holds);
        assert_eq!(message(&nginx(None, Some(3))), "2 processes run: `nginx`, expected at least 3");
        assert_eq!(message(&nginx(Some(1), None)), "2 processes run: `nginx`, expected 1");
        assert_eq!(message(&nginx(Some(0), None)), "2 processes run: `nginx`, expected none");
        let absent = ProcessRunning { count: Some(0), ..running("telnetd") };
        assert_eq!(absent.judge(&seen()), Judgement::Holds);
    }

    #[test]
    fn only_processes_of_the_user_count() {
        let of = |user: &str| ProcessRunning { user: Some(user.to_owned()), ..running("nginx") };
        let exactly = |count| ProcessRunning { count: Some(count), ..of("www-data") };
        assert_eq!(exactly(1).judge(&seen()), Judgement::Holds);
        assert_eq!(
            message(&exactly(2)),
            "1 process runs: `nginx` as www-data, expected 2; others: pid 20 (uid 0)"
        );
        for user in ["nobody-like-this", "alpine"] {
            assert_eq!(message(&of(user)), format!("the VM has no user `{user}`"));
        }
        for user in ["slow", "never-asked"] {
            assert!(matches!(of(user).judge(&seen()), Judgement::Unclear(_)), "{user}");
        }
    }

    #[test]
    fn where_processes_are_hidden_only_what_is_seen_counts() {
        let hidden: String = PRINTED
            .lines()
            .filter(|line| !line.starts_with("1/"))
            .map(|line| format!("{line}\n"))
            .collect();
        let seen = parse_processes(&hidden, "");
        let unclear = Judgement::Unclear(Unclear::HiddenProcesses);
        let count = |count| ProcessRunning { count: Some(count), ..running("nginx") };
        assert_eq!(running("nginx").judge(&seen), Judgement::Holds);
        assert_eq!(running("telnetd").judge(&seen), unclear);
        assert_eq!(count(2).judge(&seen), unclear);
        assert!(matches!(count(1).judge(&seen), Judgement::Differs(_)));
        assert_eq!(ProcessRunning { count: Some(0), ..running("x") }.judge(&seen), unclear);
    }

    #[test]
    fn cut_or_empty_answers_do_not_tell() {
        for printed in ["", "@self 1\n@status\n@command\n@end\n", &PRINTED[..PRINTED.len() - 5]] {
            let seen = parse_processes(printed, "");
            assert!(matches!(running("x").judge(&seen), Judgement::Unclear(_)), "{printed}");
        }
    }

    #[test]
    fn contradictions_are_mistakes() {
        let both = ProcessRunning { count: Some(1), at_least: Some(1), ..running("x") };
        let zero = ProcessRunning { at_least: Some(0), ..running("x") };
        let path = running("/usr/sbin/nginx");
        for wrong in [both, zero, path] {
            assert_eq!(wrong.mistakes().len(), 1, "{wrong:?}");
        }
        assert_eq!(running("nginx").slug(), "process-nginx");
        let none = ProcessRunning { count: Some(0), user: Some("root".to_owned()), ..running("x") };
        assert_eq!(none.slug(), "no-process-x-as-root");
    }
}
