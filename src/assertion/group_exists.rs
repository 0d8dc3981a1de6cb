//! `group_exists`: the VM has a group.

use schemars::JsonSchema;
use serde::Deserialize;

use super::account::{Accounts, read_accounts};
use super::judgement::{Judgement, Unclear};
use super::mistake::Mistake;
use super::slug::slug;
use super::{name, script};

/// The VM must have a group, in its files or in a directory service that it asks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupExists {
    /// The group's name.
    #[schemars(length(min = 1))]
    pub group: String,
    /// The group's id.
    #[serde(default)]
    pub gid: Option<u32>,
}

impl GroupExists {
    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        let gid = self.gid.map_or(String::new(), |gid| format!(", has gid {gid}"));
        format!("group {} exists{gid}", self.group)
    }

    /// The remote command, in one line.
    pub fn how(&self) -> String {
        script::how(&read_accounts(&[], &[&self.group]), false)
    }

    /// `group-docker`.
    pub fn slug(&self) -> String {
        format!("group-{}", slug(&self.group))
    }

    /// Mistakes that show without looking at a VM.
    pub fn mistakes(&self) -> Vec<Mistake> {
        name::account("group", &self.group).into_iter().collect()
    }

    /// Whether the group exists and is as expected.
    pub fn judge(&self, seen: &Result<Accounts, Unclear>) -> Judgement {
        let found = seen.as_ref().map_err(Clone::clone).and_then(|seen| seen.group(&self.group));
        match (found, self.gid) {
            (Err(unclear), _) => Judgement::Unclear(unclear),
            (Ok(None), _) => {
                let message = format!("the VM has no group `{}`", self.group);
                Judgement::differs(&message, self.describe(), &message)
            }
            (Ok(Some(gid)), Some(wanted)) if gid != wanted => {
                let message = format!("group {}: gid is {gid}, expected {wanted}", self.group);
                Judgement::differs(message, self.describe(), format!("gid {gid}"))
            }
            (Ok(Some(_)), _) => Judgement::Holds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::tests::accounts;
    use super::*;

    fn judge(group: &str, gid: Option<u32>) -> Judgement {
        GroupExists { group: group.to_owned(), gid }.judge(&Ok(accounts()))
    }

    #[test]
    fn a_group_has_its_id() {
        assert_eq!(judge("docker", None), Judgement::Holds);
        assert_eq!(judge("docker", Some(998)), Judgement::Holds);
        let Judgement::Differs(other) = judge("docker", Some(999)) else { panic!("998") };
        assert_eq!(other.message, "group docker: gid is 998, expected 999");
        let Judgement::Differs(absent) = judge("bootproof-absent", None) else { panic!("none") };
        assert_eq!(absent.message, "the VM has no group `bootproof-absent`");
        assert!(matches!(judge("never-asked", None), Judgement::Unclear(_)));
    }
}
