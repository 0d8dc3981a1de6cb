//! Files of a VM: what `stat` says of them.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::judgement::Unclear;
use super::script::set;

/// Type and mode as the kernel has them, the owner's and the group's id, the size, and the names.
/// GNU and busybox have these in common.
const FORMAT: &str = "%f %u %g %s %U:%G";

/// The script that describes `paths`, and what they lead to if they are symbolic links.
pub fn read_files(paths: &[&str]) -> String {
    format!(
        "{}; for p; do s=$(stat -c \"{FORMAT}\" -- \"$p\" 2>&1); printf \"@path %s %s\\n\" $? \"$s\"; \
         case $s in a*) s=$(stat -L -c \"{FORMAT}\" -- \"$p\" 2>&1); \
         printf \"@target %s %s\\n\" $? \"$s\";; esac; done; echo @end",
        set(paths)
    )
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A socket of a process.
    Socket,
    /// A named pipe.
    Fifo,
    /// A device that is read and written by bytes.
    CharacterDevice,
    /// A device that is read and written by blocks, such as a disk.
    BlockDevice,
}

impl Kind {
    /// With its article.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Directory => "a directory",
            Self::Symlink => "a symlink",
            Self::Socket => "a socket",
            Self::Fifo => "a fifo",
            Self::CharacterDevice => "a character device",
            Self::BlockDevice => "a block device",
        }
    }

    /// From the four bits that the kernel has for it.
    fn of_bits(bits: u32) -> Option<Self> {
        Some(match bits {
            0x8 => Self::File,
            0x4 => Self::Directory,
            0xa => Self::Symlink,
            0xc => Self::Socket,
            0x1 => Self::Fifo,
            0x2 => Self::CharacterDevice,
            0x6 => Self::BlockDevice,
            _ => return None,
        })
    }
}

/// What is known of something that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) kind: Kind,
    /// With the set-user-id, set-group-id and sticky bits.
    pub(super) mode: u32,
    pub(super) owner: Owner,
    pub(super) group: Owner,
    /// In bytes.
    pub(super) size: u64,
}

/// A user or group that owns something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) id: u32,
    /// `UNKNOWN` if the VM has no name for it.
    pub(super) name: String,
}

impl Owner {
    /// Whether `wanted` is its name or its id.
    pub(super) fn is(&self, wanted: &str) -> bool {
        wanted.parse() == Ok(self.id) || (self.name == wanted && wanted != "UNKNOWN")
    }

    /// Its name, or its id where it has none.
    pub(super) fn words(&self) -> String {
        if self.name == "UNKNOWN" { self.id.to_string() } else { self.name.clone() }
    }
}

/// Why nothing is known of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing is there.
    Absent,
    /// A folder above it is closed to the user.
    Denied,
    /// Something else, in the words of the VM.
    Other(String),
}

impl Trouble {
    /// Reads the message of a program about a path, in the language of `LC_ALL=C`.
    pub(super) fn parse(message: &str) -> Self {
        let reason = message.trim().rsplit(": ").next().unwrap_or_default();
        match reason {
            "No such file or directory" | "Not a directory" | "File name too long" => Self::Absent,
            "Permission denied" => Self::Denied,
            _ => Self::Other(message.trim().to_owned()),
        }
    }

    /// `Ok` if nothing is there, which is an answer.
    pub(super) fn unclear(&self, path: &str, run_as_root: bool) -> Result<(), Unclear> {
        match self {
            Self::Absent => Ok(()),
            Self::Denied => Err(Unclear::Denied { path: path.to_owned(), run_as_root }),
            Self::Other(why) if why.ends_with("stat: not found") => {
                Err(Unclear::MissingTool("stat".to_owned()))
            }
            Self::Other(why) => {
                Err(Unclear::NotRead { what: path.to_owned(), why: why.to_owned() })
            }
        }
    }
}

/// What was found at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) itself: Result<Status, Trouble>,
    /// What it leads to, if it is a symbolic link.
    pub(super) target: Option<Result<Status, Trouble>>,
}

/// What was found at some paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(HashMap<String, Found>);

impl Files {
    /// Whether somebody looked at this path.
    pub fn know(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    pub(super) fn get(&self, path: &str) -> Result<&Found, Unclear> {
        self.0.get(path).ok_or_else(|| Unclear::NotRead {
            what: path.to_owned(),
            why: "the answer is cut off".to_owned(),
        })
    }
}

/// Reads what the script of [`read_files`] printed about `paths`.
pub fn parse_files(paths: &[&str], stdout: &str) -> Files {
    let mut found: Vec<Found> = Vec::new();
    for line in stdout.lines() {
        if let Some(answer) = line.strip_prefix("@path ") {
            found.push(Found { itself: parse_answer(answer), target: None });
        } else if let Some(answer) = line.strip_prefix("@target ") {
            if let Some(last) = found.last_mut() {
                last.target = Some(parse_answer(answer));
            }
        } else if line == "@end" {
            let paths = paths.iter().map(|path| (*path).to_owned());
            return Files(paths.zip(found).collect());
        }
    }
    Files::default()
}

/// `0 81a4 0 0 12 root:root`, or the exit status and what `stat` said.
fn parse_answer(answer: &str) -> Result<Status, Trouble> {
    match answer.split_once(' ') {
        Some(("0", status)) => {
            parse_status(status).ok_or_else(|| Trouble::Other(format!("stat printed {status:?}")))
        }
        Some((_, message)) => Err(Trouble::parse(message)),
        None => Err(Trouble::Other("stat printed nothing".to_owned())),
    }
}

fn parse_status(line: &str) -> Option<Status> {
    let mut fields = line.splitn(5, ' ');
    let bits = u32::from_str_radix(fields.next()?, 16).ok()?;
    let (user, group, size) = (fields.next()?, fields.next()?, fields.next()?);
    let (user_name, group_name) = fields.next()?.split_once(':')?;
    let owner = |id: &str, name: &str| Some(Owner { id: id.parse().ok()?, name: name.to_owned() });
    Some(Status {
        kind: Kind::of_bits(bits >> 12)?,
        mode: bits & 0o7777,
        owner: owner(user, user_name)?,
        group: owner(group, group_name)?,
        size: size.parse().ok()?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const PATHS: [&str; 8] = [
        "/etc/app.conf",
        "/etc",
        "/etc/link",
        "/etc/dangling",
        "/etc/none",
        "/root/secret",
        "/srv/odd",
        "/run/s",
    ];

    /// The messages are those of GNU and of busybox.
    pub(crate) const PRINTED: &str = "\
@path 0 81ed 0 33 1234 root:www-data
@path 0 41ed 0 0 4096 root:root
@path 0 a1ff 0 0 8 root:root
@target 0 81a0 1000 1000 5 deploy:deploy
@path 0 a1ff 0 0 8 root:root
@target 1 stat: cannot statx '/etc/dangling': No such file or directory
@path 1 stat: can't stat '/etc/none': No such file or directory
@path 1 stat: cannot statx '/root/secret': Permission denied
@path 1 stat: cannot statx '/srv/odd': Input/output error
@path 0 c9fd 4711 0 0 UNKNOWN:root
@end
";

    pub(crate) fn files() -> Files {
        parse_files(&PATHS, PRINTED)
    }

    #[test]
    fn every_answer_belongs_to_its_path() {
        let files = files();
        let app = files.get("/etc/app.conf").unwrap().itself.clone().unwrap();
        assert_eq!((app.kind, app.mode, app.size), (Kind::File, 0o755, 1234));
        assert_eq!((app.owner.id, app.group.words()), (0, "www-data".to_owned()));
        let link = files.get("/etc/link").unwrap();
        assert_eq!(link.itself.as_ref().unwrap().kind, Kind::Symlink);
        assert_eq!(link.target.as_ref().unwrap().as_ref().unwrap().mode, 0o640);
        let socket = files.get("/run/s").unwrap().itself.clone().unwrap();
        assert_eq!(
            (socket.kind, socket.mode, socket.owner.words()),
            (Kind::Socket, 0o4775, "4711".into())
        );
        assert_eq!(files.get("/etc/none").unwrap().itself, Err(Trouble::Absent));
        assert_eq!(files.get("/root/secret").unwrap().itself, Err(Trouble::Denied));
    }

    #[test]
    fn cut_and_garbled_answers_tell_nothing() {
        assert!(!parse_files(&PATHS, &PRINTED[..100]).know("/etc/app.conf"));
        for answer in
            ["", "0", "0 81a4", "0 81a4 0 0 12 root", "0 xyz 0 0 1 a:b", "0 91a4 0 0 1 a:b"]
        {
            let files = parse_files(&["/x"], &format!("@path {answer}\n@end\n"));
            let found = files.get("/x").unwrap().itself.clone();
            assert!(matches!(found, Err(Trouble::Other(_))), "{answer}: {found:?}");
        }
        let missing = Trouble::parse("sh: 1: stat: not found").unclear("/x", false);
        assert_eq!(missing, Err(Unclear::MissingTool("stat".to_owned())));
    }
}
