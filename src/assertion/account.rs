//! The users and groups of a VM.

use std::collections::{HashMap, HashSet};

use super::judgement::Unclear;
use super::script::{last_line, set};

/// The script that looks up `users` and `groups`.
///
/// `getent` also knows the users of a directory service. Alpine's is a script that takes a dot in a
/// name for any character, so the files are read, too. Their last lines may have no end.
pub fn read_accounts(users: &[&str], groups: &[&str]) -> String {
    format!(
        "{}; echo @passwd; cat /etc/passwd; echo; echo @groups; cat /etc/group; echo; \
         echo @names; \
         for n; do e=$(getent passwd \"$n\" 2>&1); printf \"@user %s %s %s\\n\" \"$n\" $? \"$e\"; \
         i=$(id -G \"$n\" 2>&1); printf \"@ids %s %s %s\\n\" \"$n\" $? \"$i\"; done; {}; \
         for n; do e=$(getent group \"$n\" 2>&1); printf \"@group %s %s %s\\n\" \"$n\" $? \"$e\"; \
         done; echo @end",
        set(users),
        set(groups)
    )
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) home: String,
    pub(super) shell: String,
}

/// The answer to the question for a name: `None` if nobody has it.
type Answer<T> = Result<Option<T>, Unclear>;

/// Some users and groups of a VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    users: HashMap<String, Answer<User>>,
    /// The ids of all groups of a user.
    memberships: HashMap<String, Result<HashSet<u32>, Unclear>>,
    /// Groups and their ids.
    groups: HashMap<String, Answer<u32>>,
}

impl Accounts {
    /// Whether these were looked up.
    pub fn know(&self, users: &[&str], groups: &[&str]) -> bool {
        users.iter().all(|name| self.users.contains_key(*name))
            && groups.iter().all(|name| self.groups.contains_key(*name))
    }

    pub(super) fn user(&self, name: &str) -> Result<Option<&User>, Unclear> {
        let answer = self.users.get(name).ok_or_else(|| not_asked("user", name))?;
        answer.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    pub(super) fn group(&self, name: &str) -> Result<Option<u32>, Unclear> {
        self.groups.get(name).cloned().ok_or_else(|| not_asked("group", name))?
    }

    pub(super) fn groups_of(&self, user: &str) -> Result<&HashSet<u32>, Unclear> {
        let answer = self.memberships.get(user).ok_or_else(|| not_asked("groups of user", user))?;
        answer.as_ref().map_err(Clone::clone)
    }
}

fn not_asked(what: &str, name: &str) -> Unclear {
    Unclear::NotRead { what: format!("{what} `{name}`"), why: "the answer is cut off".to_owned() }
}

/// Reads what the script of [`read_accounts`] printed.
pub fn parse_accounts(stdout: &str, stderr: &str) -> Result<Accounts, Unclear> {
    let mut reading = Reading::default();
    let mut section = "";
    for line in stdout.lines() {
        match (section, line) {
            ("", "@passwd") | ("@passwd", "@groups") | ("@groups", "@names") => section = line,
            ("@passwd", entry) => reading.passwd.extend(parse_user(entry)),
            ("@groups", entry) => reading.group.extend(parse_group(entry)),
            (_, "@end") => return Ok(reading.accounts),
            (_, answer) => reading.answer(answer),
        }
    }
    let why = last_line(stderr).unwrap_or("the answer is cut off").to_owned();
    Err(Unclear::NotRead { what: "users and groups".to_owned(), why })
}

/// What was read by now.
#[derive(Default)]
struct Reading {
    passwd: HashMap<String, User>,
    group: HashMap<String, u32>,
    accounts: Accounts,
}

impl Reading {
    /// `@user root 0 root:x:0:0:root:/root:/bin/bash`.
    fn answer(&mut self, line: &str) {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (kind, name, status, said) = (word(), word(), word(), word());
        let accounts = &mut self.accounts;
        match kind {
            "@user" => {
                let found =
                    named(name, parse_user(said)).or_else(|| self.passwd.get(name).cloned());
                accounts.users.insert(name.to_owned(), answer(name, found, status, said));
            }
            "@group" => {
                let found =
                    named(name, parse_group(said)).or_else(|| self.group.get(name).copied());
                accounts.groups.insert(name.to_owned(), answer(name, found, status, said));
            }
            "@ids" => {
                let ids: Option<_> = said.split_whitespace().map(|id| id.parse().ok()).collect();
                let not_read = || Unclear::NotRead {
                    what: format!("the groups of user `{name}`"),
                    why: said.to_owned(),
                };
                let ids = ids.filter(|_| status == "0").ok_or_else(not_read);
                accounts.memberships.insert(name.to_owned(), ids);
            }
            _ => {}
        }
    }
}

fn named<T>(name: &str, found: Option<(String, T)>) -> Option<T> {
    found.filter(|(found, _)| found == name).map(|(_, entry)| entry)
}

/// What `getent` found, or why it is not known whether there is anything to find.
fn answer<T>(name: &str, found: Option<T>, status: &str, said: &str) -> Answer<T> {
    match (found, status) {
        (Some(entry), _) => Ok(Some(entry)),
        (_, "127") => Err(Unclear::MissingTool("getent".to_owned())),
        // 2: no entry with this name. 0: an entry with another one.
        (_, "0" | "2") => Ok(None),
        (_, status) => Err(Unclear::NotRead {
            what: format!("`{name}` with getent"),
            why: if said.is_empty() { format!("exit status {status}") } else { said.to_owned() },
        }),
    }
}

/// `root:x:0:0:root:/root:/bin/bash`.
fn parse_user(line: &str) -> Option<(String, User)> {
    let fields: Vec<&str> = line.trim_end().split(':').collect();
    let [name, _, uid, _, _, home, shell] = fields[..] else { return None };
    let (home, shell) = (home.to_owned(), shell.to_owned());
    Some((name.to_owned(), User { uid: uid.parse().ok()?, home, shell }))
}

/// `docker:x:998:deploy`.
fn parse_group(line: &str) -> Option<(String, u32)> {
    let mut fields = line.split(':');
    let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
    Some((name.to_owned(), gid.parse().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const PRINTED: &str = "\
@passwd
root:x:0:0:root:/root:/bin/bash
first.last:x:1002:1002::/home/first.last:/bin/ash
deploy:x:1000:1000:Deploy,,,:/home/deploy:/bin/bash
@groups
root:x:0:
docker:x:998:deploy
@names
@user deploy 0 deploy:x:1000:1000:Deploy,,,:/home/deploy:/bin/bash
@ids deploy 0 1000 27 998
@user ldap-user 0 ldap-user:*:70001:70000:From a directory:/home/ldap-user:/bin/zsh
@ids ldap-user 1 id: cannot find name for group ID 70000
@user first.last 0 firstXlast:x:1001:1001::/home/firstXlast:/bin/ash
@ids first.last 0 1002
@user bootproof-absent 2 
@ids bootproof-absent 1 id: 'bootproof-absent': no such user
@user slow 3 getent: timed out
@ids slow 1 id: 'slow': no such user
@group docker 0 docker:x:998:deploy
@group sudo 0 sudo:x:27:deploy
@group adm 0 adm:x:4:syslog
@group bootproof-absent 2 
@end
";

    pub(crate) fn accounts() -> Accounts {
        parse_accounts(PRINTED, "").unwrap()
    }

    #[test]
    fn files_whose_last_line_has_no_end_are_read() {
        let script = read_accounts(&["root"], &["root"]);
        for ends in ["cat /etc/passwd; echo; echo @groups", "cat /etc/group; echo; echo @names"] {
            assert!(script.contains(ends), "{script}");
        }
        let printed = "@passwd\nroot:x:0:0:root:/root:/bin/sh\n\n@groups\nroot:x:0:\n\n@names\n\
                       @user root 127 \n@ids root 0 0\n@group root 127 \n@end\n";
        let accounts = parse_accounts(printed, "").unwrap();
        assert!(accounts.user("root").unwrap().is_some());
        assert_eq!(accounts.group("root"), Ok(Some(0)));
    }

    #[test]
    fn users_come_from_getent_and_from_the_file() {
        let accounts = accounts();
        let uid = |name: &str| accounts.user(name).unwrap().map(|user| user.uid);
        assert_eq!(
            ["deploy", "ldap-user", "first.last", "bootproof-absent"].map(uid),
            [Some(1000), Some(70001), Some(1002), None]
        );
        assert_eq!(accounts.group("sudo"), Ok(Some(27)));
        assert_eq!(accounts.group("bootproof-absent"), Ok(None));
        assert!(accounts.groups_of("deploy").unwrap().contains(&27));
        assert!(accounts.groups_of("ldap-user").is_err());
        assert!(accounts.user("slow").is_err() && accounts.user("never-asked").is_err());
    }

    #[test]
    fn without_getent_only_the_files_are_known() {
        let missing = PRINTED.replace(
            "@user bootproof-absent 2 ",
            "@user bootproof-absent 127 sh: getent: not found",
        );
        let missing = missing.replace(
            "@user first.last 0 firstXlast:x:1001:1001::/home/firstXlast:/bin/ash",
            "@user first.last 127 sh: getent: not found",
        );
        let accounts = parse_accounts(&missing, "").unwrap();
        assert_eq!(accounts.user("first.last").unwrap().unwrap().uid, 1002);
        let tool = Unclear::MissingTool("getent".to_owned());
        assert_eq!(accounts.user("bootproof-absent"), Err(tool));
    }

    #[test]
    fn cut_answers_tell_nothing() {
        for length in 0..PRINTED.len() - 5 {
            assert!(parse_accounts(&PRINTED[..length], "").is_err(), "{length}");
        }
    }
}
