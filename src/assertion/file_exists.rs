//! `file_exists`: a file, folder or socket exists, and is what it should be.

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{Files, Kind, Owner, Status, read_files};
use super::judgement::{Judgement, Unclear};
use super::mistake::Mistake;
use super::slug::slug;
use super::{name, script};

/// Something must exist at a path. Symbolic links are followed, unless `kind` is `symlink`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileExists {
    /// The absolute path.
    #[schemars(length(min = 1))]
    pub path: String,
    /// What it must be. Default: anything.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// Its permissions as an octal number in quotes, such as `"0750"`.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[0-7]{3,4}$"))]
    pub mode: Option<String>,
    /// The name or id of the user who owns it.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub owner: Option<String>,
    /// The name or id of the group that owns it.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub group: Option<String>,
    /// Its exact size in bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// It has this many bytes or more.
    #[serde(default)]
    pub size_at_least: Option<u64>,
    /// It has this many bytes or fewer.
    #[serde(default)]
    pub size_at_most: Option<u64>,
    /// `true`: look as root, through sudo.
    #[serde(default, rename = "become")]
    pub run_as_root: bool,
}

impl FileExists {
    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        let parts = [
            self.kind.map(|kind| format!("is {}", kind.words())),
            self.mode.as_ref().map(|mode| format!("has mode {}", four_digits(octal(mode)))),
            self.owner.as_ref().map(|owner| format!("has owner {owner}")),
            self.group.as_ref().map(|group| format!("has group {group}")),
            self.size.map(|size| format!("has {size} bytes")),
            self.size_at_least.map(|size| format!("has at least {size} bytes")),
            self.size_at_most.map(|size| format!("has at most {size} bytes")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let parts = if parts.is_empty() { "exists".to_owned() } else { parts.join(", ") };
        format!("{} {parts}", self.path)
    }

    /// The remote command, in one line.
    pub fn how(&self) -> String {
        script::how(&read_files(&[&self.path]), self.run_as_root)
    }

    /// The path.
    pub fn slug(&self) -> String {
        if self.path == "/" { "root-folder".to_owned() } else { slug(&self.path) }
    }

    /// Mistakes that show without looking at a VM.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes: Vec<_> = name::path("path", &self.path).into_iter().collect();
        let is_mode = |mode: &&String| {
            (3..=4).contains(&mode.len()) && mode.bytes().all(|byte| (b'0'..=b'7').contains(&byte))
        };
        if let Some(mode) = self.mode.as_ref().filter(|mode| !is_mode(mode)) {
            let hint = "write three or four octal digits in quotes, such as \"0750\"";
            mistakes.push(Mistake::new("mode", format!("invalid mode {mode:?}")).hint(hint));
        }
        for (key, owner) in [("owner", &self.owner), ("group", &self.group)] {
            let is_id = |owner: &str| owner.parse::<u32>().is_ok();
            let named = owner.as_deref().filter(|owner| !is_id(owner));
            mistakes.extend(named.and_then(|owner| name::account(key, owner)));
        }
        let least = self.size_at_least.or(self.size);
        let most = self.size_at_most.or(self.size);
        if least.zip(most).is_some_and(|(least, most)| least > most) {
            let message = "no size is as all keys about it say";
            mistakes.push(Mistake::new("size_at_least", message));
        }
        mistakes
    }

    /// Whether it exists and is as expected.
    pub fn judge(&self, seen: &Result<Files, Unclear>) -> Judgement {
        self.try_judge(seen).unwrap_or_else(Judgement::Unclear)
    }

    fn try_judge(&self, seen: &Result<Files, Unclear>) -> Result<Judgement, Unclear> {
        let path = &self.path;
        let found = seen.as_ref().map_err(Clone::clone)?.get(path)?;
        let followed = found.target.as_ref().filter(|_| self.kind != Some(Kind::Symlink));
        let status = match followed.unwrap_or(&found.itself) {
            Ok(status) => status,
            Err(trouble) => {
                trouble.unclear(path, self.run_as_root)?;
                return Ok(self.absent(followed.is_some()));
            }
        };
        let differences = self.differences(status);
        if differences.is_empty() {
            return Ok(Judgement::Holds);
        }
        let message = format!("{path}: {}", differences.join("; "));
        Ok(Judgement::differs(message, self.describe(), words(status)))
    }

    fn absent(&self, is_link: bool) -> Judgement {
        let path = &self.path;
        let message = if is_link {
            format!("{path} is a symlink to something that does not exist")
        } else {
            format!("{path} does not exist")
        };
        Judgement::differs(&message, self.describe(), &message)
    }

    fn differences(&self, status: &Status) -> Vec<String> {
        let kind = self.kind.filter(|kind| *kind != status.kind);
        let mode = self.mode.as_ref().map(|mode| octal(mode)).filter(|mode| *mode != status.mode);
        let is_another = |owner: &Owner, wanted: &&String| !owner.is(wanted);
        let owner = self.owner.as_ref().filter(|wanted| is_another(&status.owner, wanted));
        let group = self.group.as_ref().filter(|wanted| is_another(&status.group, wanted));
        let size = status.size;
        let differences = [
            kind.map(|kind| format!("is {}, expected {}", status.kind.words(), kind.words())),
            mode.map(|mode| {
                let [is, expected] = [status.mode, mode].map(four_digits);
                format!("mode is {is}, expected {expected}")
            }),
            owner.map(|owner| format!("owner is {}, expected {owner}", status.owner.words())),
            group.map(|group| format!("group is {}, expected {group}", status.group.words())),
            self.size
                .filter(|wanted| *wanted != size)
                .map(|wanted| format!("size is {size}, expected {wanted}")),
            self.size_at_least
                .filter(|least| *least > size)
                .map(|least| format!("size is {size}, expected at least {least}")),
            self.size_at_most
                .filter(|most| *most < size)
                .map(|most| format!("size is {size}, expected at most {most}")),
        ];
        differences.into_iter().flatten().collect()
    }
}

/// What was found, in one line.
fn words(status: &Status) -> String {
    let Status { kind, mode, owner, group, size } = status;
    let (kind, mode) = (kind.words(), four_digits(*mode));
    format!("{kind}, mode {mode}, owner {}, group {}, {size} bytes", owner.words(), group.words())
}

/// `mistakes` has refused everything but octal digits.
fn octal(mode: &str) -> u32 {
    u32::from_str_radix(mode, 8).unwrap_or(u32::MAX)
}

fn four_digits(mode: u32) -> String {
    format!("{mode:04o}")
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::files;
    use super::*;

    fn at(path: &str) -> FileExists {
        FileExists { path: path.to_owned(), ..FileExists::default() }
    }

    #[track_caller]
    fn message(expected: &FileExists) -> String {
        match expected.judge(&Ok(files())) {
            Judgement::Differs(mismatch) => mismatch.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_as_expected_holds() {
        let app = FileExists {
            kind: Some(Kind::File),
            mode: Some("755".to_owned()),
            owner: Some("root".to_owned()),
            group: Some("33".to_owned()),
            size: Some(1234),
            size_at_least: Some(1234),
            size_at_most: Some(1234),
            ..at("/etc/app.conf")
        };
        assert_eq!(app.judge(&Ok(files())), Judgement::Holds);
        assert_eq!(
            app.describe(),
            "/etc/app.conf is a file, has mode 0755, has owner root, has group 33, has 1234 bytes, \
             has at least 1234 bytes, has at most 1234 bytes"
        );
        let socket =
            FileExists { kind: Some(Kind::Socket), mode: Some("4775".to_owned()), ..at("/run/s") };
        assert_eq!(socket.judge(&Ok(files())), Judgement::Holds);
    }

    #[test]
    fn says_every_difference() {
        let app = FileExists {
            kind: Some(Kind::Directory),
            mode: Some("0750".to_owned()),
            owner: Some("deploy".to_owned()),
            group: Some("0".to_owned()),
            size: Some(0),
            size_at_least: Some(2000),
            ..at("/etc/app.conf")
        };
        assert_eq!(
            message(&app),
            "/etc/app.conf: is a file, expected a directory; mode is 0755, expected 0750; owner is \
             root, expected deploy; group is www-data, expected 0; size is 1234, expected 0; size \
             is 1234, expected at least 2000"
        );
        let unnamed = FileExists { owner: Some("UNKNOWN".to_owned()), ..at("/run/s") };
        assert_eq!(message(&unnamed), "/run/s: owner is 4711, expected UNKNOWN");
    }

    #[test]
    fn links_are_followed_unless_a_link_is_expected() {
        let link = FileExists {
            mode: Some("0640".to_owned()),
            owner: Some("deploy".to_owned()),
            ..at("/etc/link")
        };
        assert_eq!(link.judge(&Ok(files())), Judgement::Holds);
        for path in ["/etc/link", "/etc/dangling"] {
            let itself = FileExists { kind: Some(Kind::Symlink), ..at(path) };
            assert_eq!(itself.judge(&Ok(files())), Judgement::Holds, "{path}");
        }
        assert_eq!(
            message(&at("/etc/dangling")),
            "/etc/dangling is a symlink to something that does not exist"
        );
        assert_eq!(message(&at("/etc/none")), "/etc/none does not exist");
    }

    #[test]
    fn a_closed_folder_does_not_tell() {
        let denied = |run_as_root| Unclear::Denied { path: "/root/secret".to_owned(), run_as_root };
        for run_as_root in [false, true] {
            let secret = FileExists { run_as_root, ..at("/root/secret") };
            assert_eq!(secret.judge(&Ok(files())), Judgement::Unclear(denied(run_as_root)));
        }
        for path in ["/srv/odd", "/never/asked"] {
            let judgement = at(path).judge(&Ok(files()));
            assert!(matches!(judgement, Judgement::Unclear(Unclear::NotRead { .. })), "{path}");
        }
    }

    #[test]
    fn impossible_expectations_are_mistakes() {
        for wrong in [
            at("etc"),
            FileExists { mode: Some("888".to_owned()), ..at("/x") },
            FileExists { mode: Some("00750".to_owned()), ..at("/x") },
            FileExists { mode: Some("rwx".to_owned()), ..at("/x") },
            FileExists { owner: Some("a b".to_owned()), ..at("/x") },
            FileExists { size_at_least: Some(2), size_at_most: Some(1), ..at("/x") },
            FileExists { size: Some(0), size_at_least: Some(1), ..at("/x") },
        ] {
            assert_eq!(wrong.mistakes().len(), 1, "{wrong:?}");
        }
        assert_eq!(at("/etc/app.conf").slug(), "etc-app-conf");
        assert_eq!(at("/").slug(), "root-folder");
    }
}
