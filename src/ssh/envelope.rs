//! The envelope of a command: how bootproof tells what the command printed from what the login
//! shell printed around it, and whether the command ran at all. Pure.
//!
//! A start-up file may print before the command, and a wrapper after it. `nologin`, or sshd when the
//! password has expired, prints a refusal and runs nothing.

use std::hash::{BuildHasher, RandomState};

use crate::command::{Captured, CommandEnd, CommandResult};
use crate::obstacle::{Obstacle, Stage};

/// How many characters of what a shell says are quoted.
const QUOTED: usize = 200;

/// Marks the beginning and the end of what a command prints. Each connection has its own, so that
/// no start-up file can print it by chance.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    mark: String,
}

/// What came on the channel of a command, before the envelope is opened.
#[derive(Debug, Clone, Default)]
pub(super) struct Received {
    /// How the channel says that the login shell ended; `None` if it does not say.
    pub(super) end: Option<CommandEnd>,
    pub(super) stdout: Printed,
    pub(super) stderr: Printed,
}

/// What came on one stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Printed {
    /// The first bytes.
    pub(super) kept: Vec<u8>,
    /// How many bytes came after them.
    pub(super) lost: usize,
    /// The last bytes of all.
    pub(super) tail: Vec<u8>,
}

/// What was in an envelope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// What the command printed, and how it ended.
    pub result: CommandResult,
    /// What the login shell printed before and after it, on either stream.
    pub noise: Vec<Noise>,
    /// How sshd says that the login shell ended.
    pub shell_end: Option<CommandEnd>,
    /// Whether the command has begun, and whether it has ended.
    pub(super) began: bool,
    pub(super) finished: bool,
}

/// What a login shell prints around a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noise {
    /// Where and when: `on standard output before each command`.
    pub place: &'static str,
    /// The text.
    pub text: String,
}

/// One stream, taken apart.
struct Stream {
    before: String,
    text: Captured,
    after: String,
    began: bool,
    /// What the shell wrote behind the last mark.
    status: Option<u32>,
}

impl Envelope {
    pub(super) fn new() -> Self {
        let random = || RandomState::new().hash_one(());
        Self { mark: format!("bootproof-{:016x}{:016x}", random(), random()) }
    }

    /// The line that is sent to the VM for `command`.
    ///
    /// `exec` ends the login shell and its traps. A new shell of the same kind runs the command. It
    /// must not read the start-up files again: `SHLVL=9` tells bash that it is not the first shell,
    /// and zsh, csh and fish have an option.
    pub(super) fn wrap(&self, command: &str) -> String {
        let mark = &self.mark;
        let script = format!(
            "echo {mark}; echo {mark} >&2; unset BASH_ENV ENV; \
             case $SHELL in *zsh|*csh) f=-f;; *fish) f=--no-config;; *) f=;; esac; \
             SHLVL=9 \"${{SHELL:-/bin/sh}}\" $f -c \"$1\" \"${{SHELL##*/}}\"; s=$?; \
             echo {mark} $s >&2; echo {mark} $s; exit $s"
        );
        // Quoting fails for NUL only, which no command contains.
        let quoted = shlex::try_quote(command).unwrap_or_default();
        format!("exec /bin/sh -c '{script}' bootproof {quoted}")
    }

    /// Whether the command has printed a line by now.
    pub(super) fn has_a_line(&self, stdout: &Printed) -> bool {
        self.take_apart(stdout).text.text.contains('\n')
    }

    /// Takes apart what came, whether it is complete or not.
    pub(super) fn open(&self, received: &Received) -> Opened {
        let stdout = self.take_apart(&received.stdout);
        let stderr = self.take_apart(&received.stderr);
        let status = stdout.status.or(stderr.status);
        let parts = [
            ("on standard output before each command", stdout.before),
            ("on standard error before each command", stderr.before),
            ("on standard output after each command", stdout.after),
            ("on standard error after each command", stderr.after),
        ];
        let noise = parts.into_iter().filter(|(_, text)| !text.trim().is_empty());
        let end = status.map(CommandEnd::Exited).or_else(|| received.end.clone());
        Opened {
            result: CommandResult {
                end: end.unwrap_or_default(),
                stdout: stdout.text,
                stderr: stderr.text,
            },
            noise: noise.map(|(place, text)| Noise { place, text }).collect(),
            shell_end: received.end.clone(),
            began: stdout.began,
            finished: status.is_some(),
        }
    }

    fn take_apart(&self, printed: &Printed) -> Stream {
        let all = String::from_utf8_lossy(&printed.kept);
        let Some((before, rest)) = all.split_once(&format!("{}\n", self.mark)) else {
            let text = Captured { text: String::new(), lost: 0 };
            return Stream {
                before: all.into(),
                text,
                after: String::new(),
                began: false,
                status: None,
            };
        };
        let last = format!("{} ", self.mark);
        let in_kept = rest.rsplit_once(&last).filter(|_| printed.lost == 0);
        if let Some((text, end)) = in_kept {
            let (status, after) = end.split_once('\n').unwrap_or((end, ""));
            return Stream {
                before: before.to_owned(),
                text: Captured { text: text.to_owned(), lost: 0 },
                after: after.to_owned(),
                began: true,
                status: status.parse().ok(),
            };
        }
        // What was lost cannot be told from what came after it.
        let tail = String::from_utf8_lossy(&printed.tail);
        let end = tail.rsplit_once(&last).and_then(|(_, end)| end.lines().next());
        Stream {
            before: before.to_owned(),
            text: Captured { text: rest.to_owned(), lost: printed.lost },
            after: String::new(),
            began: true,
            status: end.and_then(|status| status.parse().ok()),
        }
    }
}

impl Opened {
    /// Whether the command ran, from its beginning to its end.
    ///
    /// A signal that kills the shell kills the command with it: that is an answer.
    pub(super) fn check(&self) -> Result<(), Obstacle> {
        let Some(end) = &self.shell_end else {
            let why = "the channel closed without an exit status";
            return Err(Obstacle::passing(Stage::Channel, why));
        };
        match (self.began, self.finished, end) {
            (true, true, _) | (true, false, CommandEnd::Signalled(_)) => Ok(()),
            (true, false, CommandEnd::Exited(status)) => Err(Obstacle::passing(
                Stage::Shell,
                format!(
                    "the shell ended before the command did, with exit status {status}{}",
                    said(&self.result.stderr.text)
                ),
            )),
            (false, ..) => Err(self.not_run(end)),
        }
    }

    fn not_run(&self, end: &CommandEnd) -> Obstacle {
        let end = match end {
            CommandEnd::Exited(status) => format!("it ended with exit status {status}"),
            CommandEnd::Signalled(name) => format!("signal {name} ended it"),
        };
        let message = format!("the login shell did not run the command: {end}{}", self.said());
        Obstacle::passing(Stage::Shell, message).hint(
            "log in by hand: is the password expired, is the login shell a real one, and does \
             .bashrc end the shell?",
        )
    }

    /// What the login shell said around the command, as the end of a message.
    pub(super) fn said(&self) -> String {
        said(&self.noise.iter().map(|noise| noise.text.as_str()).collect::<Vec<_>>().join("\n"))
    }
}

/// The last line of `text`, as the end of a message.
fn said(text: &str) -> String {
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map_or(String::new(), |line| {
        format!(", and said {:?}", line.chars().take(QUOTED).collect::<String>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Printed {
        Printed { kept: text.into(), ..Printed::default() }
    }

    fn received(stdout: &str, stderr: &str, status: u32) -> Received {
        let end = Some(CommandEnd::Exited(status));
        Received { end, stdout: printed(stdout), stderr: printed(stderr) }
    }

    fn envelope() -> Envelope {
        Envelope { mark: "M".to_owned() }
    }

    fn opened(stdout: &str, stderr: &str, status: u32) -> Result<Opened, String> {
        let received = received(stdout, stderr, status);
        let opened = envelope().open(&received);
        opened.check().map_err(|obstacle| obstacle.message)?;
        Ok(opened)
    }

    #[test]
    fn only_what_is_between_the_marks_is_the_commands() {
        let opened = opened("Welcome\nM\nPONGM 0\nbye\n", "tip\nM\nwarn\nM 0\n", 7).unwrap();
        assert_eq!(opened.result.stdout.text, "PONG");
        assert_eq!(opened.result.stderr.text, "warn\n");
        assert_eq!(opened.result.end, CommandEnd::Exited(0), "the wrapper's own does not count");
        let noise: Vec<_> = opened.noise.iter().map(|noise| (noise.place, &*noise.text)).collect();
        assert_eq!(
            noise,
            [
                ("on standard output before each command", "Welcome\n"),
                ("on standard error before each command", "tip\n"),
                ("on standard output after each command", "bye\n"),
            ]
        );
    }

    #[test]
    fn a_command_that_did_not_run_proves_nothing() {
        let refusal = opened("", "Password change required but no TTY available.\n", 1);
        assert_eq!(
            refusal.unwrap_err(),
            "the login shell did not run the command: it ended with exit status 1, and said \
             \"Password change required but no TTY available.\""
        );
        assert!(opened("", "", 0).unwrap_err().contains("did not run"));
        let early = opened("M\nhalf", "M\nsh: killed\n", 3).unwrap_err();
        assert!(early.contains("ended before the command did, with exit status 3"), "{early}");
        assert!(early.contains("sh: killed"), "{early}");
    }

    #[test]
    fn the_end_of_a_cut_stream_is_found_in_its_tail() {
        let stdout =
            Printed { kept: b"noise\nM\nxxx".to_vec(), lost: 9, tail: b"xxxM 5\n".to_vec() };
        let received = Received { stdout, ..received("", "M\n", 5) };
        let opened = envelope().open(&received);
        assert!(opened.check().is_ok());
        assert_eq!(opened.result.end, CommandEnd::Exited(5));
        assert_eq!(opened.result.stdout, Captured { text: "xxx".to_owned(), lost: 9 });
    }

    #[test]
    fn a_shell_that_is_killed_is_an_answer() {
        let killed = Received {
            end: Some(CommandEnd::Signalled("KILL".to_owned())),
            ..received("M\nok", "M\n", 0)
        };
        let opened = envelope().open(&killed);
        assert!(opened.check().is_ok());
        assert_eq!(opened.result.end, CommandEnd::Signalled("KILL".to_owned()));
    }

    #[test]
    fn a_command_arrives_in_the_inner_shell_as_it_is() {
        let command = "printf '%s\\n' \"it's\" $HOME; exit 3";
        let words = shlex::split(&Envelope::new().wrap(command)).unwrap();
        assert_eq!(words[..3], ["exec", "/bin/sh", "-c"]);
        assert_eq!(words[4..], ["bootproof", command]);
    }
}
