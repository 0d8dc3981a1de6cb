//! `file_contains`: a file contains a text, or must not contain it.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::Trouble;
use super::judgement::{Judgement, Unclear};
use super::mistake::Mistake;
use super::name;
use super::script::{self, set};
use super::slug::slug;
use super::text::{self, TextExpectation};

/// How many bytes of a file are read.
pub const MOST: usize = 256 * 1024;

/// How many bytes of all files are read in one question; less than what is kept of a command's
/// output, so that the end of the answer is never lost.
const MOST_OF_ALL: usize = 1_000_000;

/// A file must contain a text, or must not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileContains {
    /// The absolute path.
    #[schemars(length(min = 1))]
    pub path: String,
    /// The text.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub contains: Option<String>,
    /// A regular expression; `^` and `$` match at the beginning and end of each line.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub matches: Option<String>,
    /// `true`: the file must exist, and must not contain the text.
    #[serde(default)]
    pub absent: bool,
    /// `true`: read the file as root, through sudo.
    #[serde(default, rename = "become")]
    pub run_as_root: bool,
}

/// The script that prints the beginning of each file between two lines with `mark`. Whoever writes
/// a file cannot know the mark, so a file cannot end its own text.
pub fn read_contents(paths: &[&str], mark: &str) -> String {
    format!(
        "{}; {{ for p; do s=$(stat -L -c \"%f %s\" -- \"$p\" 2>&1); \
         printf \"{mark} %s\\n\" \"$s\"; case $s in 8???\\ *) \
         {{ e=$(head -c {} -- \"$p\" 2>&1 >&3); s=$?; }} 3>&1; \
         printf \"\\n{mark} %s %s\\n\" $s \"$e\";; esac; done; echo {mark} end; }} | \
         head -c {MOST_OF_ALL}",
        set(paths),
        MOST + 1
    )
}

/// What was read of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    /// Its text, and whether it goes on.
    Text { text: String, goes_on: bool },
    /// It is something else: a folder, a device.
    NoFile,
    /// It could not be read.
    Trouble(Trouble),
}

/// What was read of some files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents(HashMap<String, Content>);

impl Contents {
    /// Whether this file was tried to read.
    pub fn know(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }
}

impl FileContains {
    fn text(&self) -> TextExpectation<'_> {
        TextExpectation {
            contains: self.contains.as_deref(),
            equals: None,
            matches: self.matches.as_deref(),
            jq: None,
        }
    }

    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        let not = if self.absent { "exists, and not: " } else { "" };
        format!("{} {not}{}", self.path, self.text().describe())
    }

    /// The remote command, in one line.
    pub fn how(&self) -> String {
        script::how(&read_contents(&[&self.path], "MARK"), self.run_as_root)
    }

    /// The path, and that the file is read: `etc-hosts-contains`.
    pub fn slug(&self) -> String {
        let verb = if self.absent { "lacks" } else { "contains" };
        let text = self.contains.as_ref().or(self.matches.as_ref());
        format!("{}-{verb}-{}", slug(&self.path), text.map_or(String::new(), |text| slug(text)))
            .trim_end_matches('-')
            .to_owned()
    }

    /// Mistakes that show without looking at a VM.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes: Vec<_> = name::path("path", &self.path).into_iter().collect();
        mistakes.extend(self.text().mistakes());
        if self.contains.is_none() && self.matches.is_none() {
            let hint = "write `contains` or `matches`; `file_exists` needs neither";
            mistakes.push(Mistake::new("path", "nothing to look for in the file").hint(hint));
        }
        mistakes
    }

    /// Whether the file is as expected.
    pub fn judge(&self, seen: &Result<Contents, Unclear>) -> Judgement {
        self.try_judge(seen).unwrap_or_else(Judgement::Unclear)
    }

    fn try_judge(&self, seen: &Result<Contents, Unclear>) -> Result<Judgement, Unclear> {
        let path = &self.path;
        let content = seen.as_ref().map_err(Clone::clone)?.0.get(path);
        let differs = |message: String| Judgement::differs(&message, self.describe(), &message);
        match content {
            Some(Content::Text { text, goes_on }) => self.judge_text(text, *goes_on),
            Some(Content::NoFile) => Ok(differs(format!("{path} is not a regular file"))),
            Some(Content::Trouble(trouble)) => {
                trouble.unclear(path, self.run_as_root)?;
                let so = if self.absent { ", so it proves nothing" } else { "" };
                Ok(differs(format!("{path} does not exist{so}")))
            }
            None => {
                let why = "the answer is cut off".to_owned();
                Err(Unclear::NotRead { what: path.clone(), why })
            }
        }
    }

    fn judge_text(&self, text: &str, goes_on: bool) -> Result<Judgement, Unclear> {
        let path = &self.path;
        let undecided = || Unclear::FileTooLong { path: path.clone(), read: MOST };
        if self.absent {
            return match self.found_at(text) {
                Some(found) => {
                    let message = format!("{path} {found}");
                    Ok(Judgement::differs(message, self.describe(), found))
                }
                None if goes_on => Err(undecided()),
                None => Ok(Judgement::Holds),
            };
        }
        match self.text().judge(path, text) {
            // Files hold secrets that no report should show.
            Judgement::Differs(_) if goes_on => Err(undecided()),
            Judgement::Differs(mismatch) => {
                let size = format!("{} lines", text.lines().count());
                Ok(Judgement::differs(mismatch.message, self.describe(), size))
            }
            other => Ok(other),
        }
    }

    /// Where the text is that must be absent: `line 5 contains "x"`.
    fn found_at(&self, text: &str) -> Option<String> {
        let contained = self.contains.as_deref().and_then(|part| Some((text.find(part)?, part)));
        if let Some((at, part)) = contained {
            return Some(format!("contains {part:?} in line {}", line_at(text, at)));
        }
        let pattern = self.matches.as_deref()?;
        let at = text::first_match(pattern, text)?;
        Some(format!("matches /{pattern}/ in line {}", line_at(text, at)))
    }
}

fn line_at(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Reads what the script of [`read_contents`] printed about `paths`. Files whose end is missing are
/// left out.
pub fn parse_contents(paths: &[&str], mark: &str, stdout: &str) -> Contents {
    let line = format!("{mark} ");
    let mut rest = stdout;
    let mut contents = HashMap::new();
    for path in paths {
        let Some((status, after)) = rest.strip_prefix(&line).and_then(|rest| rest.split_once('\n'))
        else {
            break;
        };
        rest = after;
        let Some(size) = regular_size(status) else {
            contents.insert((*path).to_owned(), not_regular(status));
            continue;
        };
        let Some((text, after)) = rest.split_once(&format!("\n{line}")) else { break };
        let Some((end, after)) = after.split_once('\n') else { break };
        rest = after;
        contents.insert((*path).to_owned(), read_to(end, text, size));
    }
    Contents(contents)
}

/// The size of a regular file, from `81a4 1234`.
fn regular_size(status: &str) -> Option<usize> {
    let (bits, size) = status.split_once(' ')?;
    (bits.len() == 4 && bits.starts_with('8')).then(|| size.parse().unwrap_or(usize::MAX))
}

fn not_regular(status: &str) -> Content {
    let bits = status.split(' ').next().unwrap_or_default();
    if u32::from_str_radix(bits, 16).is_ok() {
        Content::NoFile
    } else {
        Content::Trouble(Trouble::parse(status))
    }
}

/// `end` is the exit status of `head`, and what it said.
fn read_to(end: &str, text: &str, size: usize) -> Content {
    match end.split_once(' ') {
        // Files of the kernel have a size of 0, whatever is in them. Bytes that are not UTF-8 make
        // a text longer than its file, so its length alone says nothing about other files.
        Some(("0", _)) => Content::Text {
            text: text.to_owned(),
            goes_on: size > MOST || (size == 0 && text.len() > MOST),
        },
        Some((_, said)) => Content::Trouble(Trouble::parse(said)),
        None => Content::Trouble(Trouble::Other(end.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 7] = [
        "/etc/ssh/sshd_config",
        "/etc",
        "/etc/none",
        "/etc/shadow",
        "/root/x",
        "/var/log/long",
        "/proc/long",
    ];

    fn printed() -> String {
        let long = "x".repeat(MOST + 1);
        format!(
            "M 81a4 70\n# M 0 \nPort 22\nPermitRootLogin no\r\n\n\nM 0 \n\
             M 41ed 4096\n\
             M stat: cannot statx '/etc/none': No such file or directory\n\
             M 81a0 999\n\nM 1 head: cannot open '/etc/shadow' for reading: Permission denied\n\
             M stat: can't stat '/root/x': Permission denied\n\
             M 81a4 300000\n{long}\nM 0 \n\
             M 8124 0\n{long}\nM 0 \n\
             M end\n"
        )
    }

    fn judge(expected: &FileContains) -> Judgement {
        expected.judge(&Ok(parse_contents(&PATHS, "M", &printed())))
    }

    fn contains(path: &str, text: &str) -> FileContains {
        let contains = Some(text.to_owned());
        FileContains { path: path.to_owned(), contains, ..FileContains::default() }
    }

    fn lacks(path: &str, text: &str) -> FileContains {
        FileContains { absent: true, ..contains(path, text) }
    }

    fn matches(path: &str, pattern: &str) -> FileContains {
        let matches = Some(pattern.to_owned());
        FileContains { path: path.to_owned(), matches, ..FileContains::default() }
    }

    #[track_caller]
    fn message(expected: &FileContains) -> String {
        match judge(expected) {
            Judgement::Differs(mismatch) => mismatch.message,
            other => panic!("{other:?}"),
        }
    }

    const SSHD: &str = "/etc/ssh/sshd_config";

    #[test]
    fn a_text_or_a_pattern_must_be_in_the_file() {
        for holds in [
            contains(SSHD, "Port 22"),
            matches(SSHD, "^Port 2+$"),
            lacks(SSHD, "PermitRootLogin yes"),
            FileContains { absent: true, ..matches(SSHD, "(?i)^permitrootlogin +yes") },
        ] {
            assert_eq!(judge(&holds), Judgement::Holds, "{holds:?}");
        }
        assert_eq!(
            message(&contains(SSHD, "Port 23")),
            "/etc/ssh/sshd_config does not contain \"Port 23\""
        );
        assert!(
            message(&matches(SSHD, "^PermitRootLogin no$")).ends_with("at line ends, as in line 1")
        );
        assert_eq!(
            message(&lacks(SSHD, "PermitRootLogin no")),
            "/etc/ssh/sshd_config contains \"PermitRootLogin no\" in line 3"
        );
        assert_eq!(
            message(&FileContains { absent: true, ..matches(SSHD, "^Port") }),
            "/etc/ssh/sshd_config matches /^Port/ in line 2"
        );
    }

    #[test]
    fn no_report_shows_what_else_is_in_the_file() {
        let Judgement::Differs(mismatch) = judge(&contains(SSHD, "absent")) else { panic!() };
        assert_eq!(mismatch.actual, "4 lines");
    }

    #[test]
    fn a_file_that_does_not_exist_fails_both_ways() {
        assert_eq!(message(&contains("/etc/none", "x")), "/etc/none does not exist");
        assert_eq!(
            message(&lacks("/etc/none", "x")),
            "/etc/none does not exist, so it proves nothing"
        );
        assert_eq!(message(&lacks("/etc", "x")), "/etc is not a regular file");
    }

    #[test]
    fn what_cannot_be_read_does_not_tell() {
        for path in ["/etc/shadow", "/root/x"] {
            let denied = Unclear::Denied { path: path.to_owned(), run_as_root: false };
            assert_eq!(judge(&contains(path, "x")), Judgement::Unclear(denied.clone()));
            assert_eq!(judge(&lacks(path, "x")), Judgement::Unclear(denied));
        }
        assert!(matches!(judge(&lacks("/never/asked", "x")), Judgement::Unclear(_)));
    }

    #[test]
    fn the_beginning_of_a_long_file_can_decide() {
        for path in ["/var/log/long", "/proc/long"] {
            assert_eq!(judge(&contains(path, "xx")), Judgement::Holds);
            assert!(matches!(judge(&lacks(path, "xx")), Judgement::Differs(_)));
            let long = Unclear::FileTooLong { path: path.to_owned(), read: MOST };
            assert_eq!(judge(&contains(path, "y")), Judgement::Unclear(long.clone()));
            assert_eq!(judge(&lacks(path, "y")), Judgement::Unclear(long));
        }
    }

    #[test]
    fn a_file_whose_end_is_missing_is_not_known() {
        let printed = printed();
        for length in 0..140 {
            let contents = parse_contents(&PATHS, "M", &printed[..length]);
            let text = "M 81a4 70\n# M 0 \nPort 22\nPermitRootLogin no\r\n\n\nM 0 \n";
            assert_eq!(contents.know(SSHD), length >= text.len(), "{length}");
        }
    }

    #[test]
    fn nothing_to_look_for_is_a_mistake() {
        let nothing = FileContains { path: "/x".to_owned(), ..FileContains::default() };
        for wrong in [nothing, contains("/x", ""), matches("/x", "("), contains("x", "y")] {
            assert_eq!(wrong.mistakes().len(), 1, "{wrong:?}");
        }
        assert_eq!(contains(SSHD, "Port 22").slug(), "etc-ssh-sshd-config-contains-port-22");
        assert_eq!(lacks(SSHD, "=").slug(), "etc-ssh-sshd-config-lacks");
    }
}
