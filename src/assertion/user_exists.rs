//! `user_exists`: the VM has a user.

use schemars::JsonSchema;
use serde::Deserialize;

use super::account::{Accounts, User, read_accounts};
use super::judgement::{Judgement, Unclear};
use super::mistake::Mistake;
use super::slug::slug;
use super::{name, script};

/// The VM must have a user, in its files or in a directory service that it asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserExists {
    /// The user's name.
    #[schemars(length(min = 1))]
    pub user: String,
    /// Groups of which the user must be a member; other groups do not matter.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The user's shell.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub shell: Option<String>,
    /// The user's home folder.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub home: Option<String>,
    /// The user's id.
    #[serde(default)]
    pub uid: Option<u32>,
}

impl UserExists {
    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        let mut text = format!("user {} exists", self.user);
        if let Some(uid) = self.uid {
            text += &format!(", has uid {uid}");
        }
        for (key, path) in [("shell", &self.shell), ("home", &self.home)] {
            if let Some(path) = path {
                text += &format!(", has {key} {path}");
            }
        }
        if !self.groups.is_empty() {
            text += &format!(", is in {}", self.groups.join(", "));
        }
        text
    }

    /// The groups that it names.
    pub fn group_names(&self) -> Vec<&str> {
        self.groups.iter().map(String::as_str).collect()
    }

    /// The remote command, in one line.
    pub fn how(&self) -> String {
        script::how(&read_accounts(&[&self.user], &self.group_names()), false)
    }

    /// `user-deploy`.
    pub fn slug(&self) -> String {
        format!("user-{}", slug(&self.user))
    }

    /// Mistakes that show without looking at a VM.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes: Vec<_> = name::account("user", &self.user).into_iter().collect();
        mistakes.extend(self.groups.iter().filter_map(|group| name::account("groups", group)));
        for (key, path) in [("shell", &self.shell), ("home", &self.home)] {
            mistakes.extend(path.as_deref().and_then(|path| name::path(key, path)));
        }
        mistakes
    }

    /// Whether the user exists and is as expected.
    pub fn judge(&self, seen: &Result<Accounts, Unclear>) -> Judgement {
        self.try_judge(seen).unwrap_or_else(Judgement::Unclear)
    }

    fn try_judge(&self, seen: &Result<Accounts, Unclear>) -> Result<Judgement, Unclear> {
        let seen = seen.as_ref().map_err(Clone::clone)?;
        let Some(user) = seen.user(&self.user)? else {
            let message = format!("the VM has no user `{}`", self.user);
            return Ok(Judgement::differs(&message, self.describe(), &message));
        };
        let mut differences = self.differences(user);
        let mut unclear = None;
        for group in &self.groups {
            match self.group_difference(seen, group) {
                Ok(difference) => differences.extend(difference),
                Err(why) => unclear = Some(why),
            }
        }
        if differences.is_empty() {
            return unclear.map_or(Ok(Judgement::Holds), Err);
        }
        let message = format!("user {}: {}", self.user, differences.join("; "));
        let User { uid, home, shell } = user;
        let actual = format!("uid {uid}, home {home}, shell {shell}");
        Ok(Judgement::differs(message, self.describe(), actual))
    }

    fn differences(&self, user: &User) -> Vec<String> {
        let differs = |key: &str, found: &str, wanted: &Option<String>| {
            let wanted = wanted.as_ref().filter(|wanted| *wanted != found)?;
            Some(format!("{key} is {found}, expected {wanted}"))
        };
        let uid = self.uid.filter(|uid| *uid != user.uid);
        [
            uid.map(|uid| format!("uid is {}, expected {uid}", user.uid)),
            differs("shell", &user.shell, &self.shell),
            differs("home", &user.home, &self.home),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn group_difference(&self, seen: &Accounts, group: &str) -> Result<Option<String>, Unclear> {
        let Some(gid) = seen.group(group)? else {
            return Ok(Some(format!("the VM has no group `{group}`")));
        };
        let is_member = seen.groups_of(&self.user)?.contains(&gid);
        Ok((!is_member).then(|| format!("not in group {group}")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::tests::accounts;
    use super::*;

    fn user(name: &str) -> UserExists {
        UserExists { user: name.to_owned(), ..UserExists::default() }
    }

    fn in_groups(name: &str, groups: &[&str]) -> UserExists {
        UserExists { groups: groups.iter().map(ToString::to_string).collect(), ..user(name) }
    }

    #[track_caller]
    fn message(expected: &UserExists) -> String {
        match expected.judge(&Ok(accounts())) {
            Judgement::Differs(mismatch) => mismatch.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_user_is_as_expected() {
        let deploy = UserExists {
            shell: Some("/bin/bash".to_owned()),
            home: Some("/home/deploy".to_owned()),
            uid: Some(1000),
            ..in_groups("deploy", &["docker", "sudo"])
        };
        for expected in [deploy, user("ldap-user"), user("first.last")] {
            assert_eq!(expected.judge(&Ok(accounts())), Judgement::Holds, "{expected:?}");
        }
    }

    #[test]
    fn says_every_difference() {
        let deploy = UserExists {
            shell: Some("/usr/sbin/nologin".to_owned()),
            home: Some("/srv".to_owned()),
            uid: Some(1),
            ..in_groups("deploy", &["docker", "adm", "bootproof-absent"])
        };
        assert_eq!(
            message(&deploy),
            "user deploy: uid is 1000, expected 1; shell is /bin/bash, expected \
             /usr/sbin/nologin; home is /home/deploy, expected /srv; not in group adm; the VM has \
             no group `bootproof-absent`"
        );
        assert_eq!(message(&user("bootproof-absent")), "the VM has no user `bootproof-absent`");
    }

    #[test]
    fn what_was_not_read_does_not_tell() {
        for unknown in [user("slow"), user("never-asked"), in_groups("ldap-user", &["sudo"])] {
            let judgement = unknown.judge(&Ok(accounts()));
            assert!(matches!(judgement, Judgement::Unclear(_)), "{unknown:?}");
        }
        // Another difference is one all the same.
        let both = UserExists { uid: Some(1), ..in_groups("ldap-user", &["sudo"]) };
        assert_eq!(message(&both), "user ldap-user: uid is 70001, expected 1");
    }

    #[test]
    fn odd_names_are_mistakes() {
        for wrong in [
            user("a b"),
            in_groups("a", &["b", ""]),
            UserExists { home: Some("~".to_owned()), ..user("a") },
            UserExists { shell: Some("bash".to_owned()), ..user("a") },
        ] {
            assert_eq!(wrong.mistakes().len(), 1, "{wrong:?}");
        }
        assert_eq!(user("www-data").slug(), "user-www-data");
    }
}
