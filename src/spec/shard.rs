//! Shards: a run cut into parts by VM, so that several machines share the work.
//!
//! Each VM has a key, and belongs to the shard for which the hash of the key is highest: XXH64 of
//! the key's bytes, with the shard's index as the seed (rendezvous hashing). So a VM has the same
//! shard on every machine, another VM moves none, and one more shard takes only what it needs.

use std::collections::HashSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use super::inventory::{Inventory, Vm};
use super::plan::PlannedAssertion;
use crate::assertion::Expectation;
use crate::problem::Problem;

/// No engine starts more tasks, and a typing mistake must not hash for hours.
const MOST_SHARDS: u32 = 100_000;

/// One of the shards of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

/// What stays together in one shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShardBy {
    /// Nothing: each VM counts alone.
    #[default]
    Vm,
    /// The VMs with the same first group stay together.
    Group,
}

impl ShardBy {
    /// The word in flags and reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Group => "group",
        }
    }

    /// What is hashed. A group is not mixed up with a VM: no name has a colon.
    fn key(self, vm: &Vm) -> String {
        match (self, vm.groups.first()) {
            (Self::Group, Some(group)) => format!("group:{group}"),
            _ => vm.name.clone(),
        }
    }
}

impl Shard {
    /// The shard with this index, from 1.
    pub fn new(index: u32, count: u32) -> Result<Self, Problem> {
        let problem = |message: String, hint: &str| Err(Problem::new(message).hint(hint));
        match (index, count) {
            (_, 0) => problem(
                format!("there is no shard {index}/{count}: a run has at least one shard"),
                "write INDEX/COUNT, such as 3/8 for the third of eight shards",
            ),
            (_, MOST_SHARDS..) => problem(
                format!("{count} shards are too many"),
                "use fewer than 100000; a shard for 20 to 50 VMs is usual",
            ),
            (0, _) => problem(
                format!("there is no shard 0/{count}: the first is 1/{count}"),
                "add 1 to an index that begins with 0",
            ),
            _ if index > count => problem(
                format!("there is no shard {index}/{count}: the last is {count}/{count}"),
                "write INDEX/COUNT, such as 3/8 for the third of eight shards",
            ),
            _ => Ok(Self { index, count }),
        }
    }

    /// Reads `3/8`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let numbers = text.split_once('/').and_then(|(index, count)| {
            let number = |text: &str| {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse().ok().filter(|_| digits)
            };
            Some((number(index)?, number(count)?))
        });
        let Some((index, count)) = numbers else {
            return Err(Problem::new(format!("`{text}` is not a shard"))
                .hint("write INDEX/COUNT, such as 3/8 for the third of eight shards, or auto"));
        };
        Self::new(index, count)
    }

    /// Which shard it is, from 1.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many shards the run has.
    pub fn count(self) -> u32 {
        self.count
    }

    /// The VMs of this shard.
    pub fn vms(self, by: ShardBy, inventory: &Inventory) -> HashSet<&str> {
        let all = inventory.vms.values();
        all.filter(|vm| self.has(by, vm)).map(|vm| vm.name.as_str()).collect()
    }

    /// Whether a VM is in this shard.
    pub fn has(self, by: ShardBy, vm: &Vm) -> bool {
        index_of(&by.key(vm), self.count) == self.index
    }
}

/// The shard of a VM, from 1.
pub fn shard_of(vm: &Vm, by: ShardBy, count: u32) -> u32 {
    index_of(&by.key(vm), count)
}

/// The index with the highest hash; of equal ones the first.
fn index_of(key: &str, count: u32) -> u32 {
    let hash = |index: u32| XxHash64::oneshot(u64::from(index), key.as_bytes());
    (1..=count).max_by_key(|index| (hash(*index), std::cmp::Reverse(*index))).unwrap_or(1)
}

/// Whether no shard can judge an assertion: it compares VMs of all shards.
pub fn needs_all_shards(assertion: &PlannedAssertion) -> bool {
    matches!(&*assertion.expectation, Expectation::Peer(_))
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    fn inventory(vms: impl IntoIterator<Item = (String, Value)>) -> Inventory {
        let vms: Map<String, Value> = vms.into_iter().collect();
        let text = json!({"lab": "l", "defaults": {"user": "u", "agent": true}, "vms": vms});
        Inventory::parse("lab.json", &text.to_string()).unwrap()
    }

    fn fleet(count: u32) -> Inventory {
        inventory((0..count).map(|at| (format!("web{at:04}"), json!({"address": "h"}))))
    }

    fn shards(inventory: &Inventory, by: ShardBy, count: u32) -> Vec<u32> {
        inventory.vms.values().map(|vm| shard_of(vm, by, count)).collect()
    }

    #[test]
    fn a_shard_is_written_with_index_and_count() {
        for (text, index, count) in [("3/8", 3, 8), ("1/1", 1, 1), ("08/8", 8, 8)] {
            assert_eq!(Shard::parse(text), Ok(Shard { index, count }), "{text}");
        }
        assert_eq!(Shard::parse("3/8").unwrap().to_string(), "3/8");
        for (text, message) in [
            ("0/8", "there is no shard 0/8: the first is 1/8"),
            ("9/8", "there is no shard 9/8: the last is 8/8"),
            ("3/0", "there is no shard 3/0: a run has at least one shard"),
            ("1/4000000000", "4000000000 shards are too many"),
            ("", "`` is not a shard"),
            ("3", "`3` is not a shard"),
            ("three", "`three` is not a shard"),
            ("3/8/9", "`3/8/9` is not a shard"),
            ("+3/8", "`+3/8` is not a shard"),
            ("3 / 8", "`3 / 8` is not a shard"),
            ("1/99999999999", "`1/99999999999` is not a shard"),
        ] {
            let problem = Shard::parse(text).unwrap_err();
            assert_eq!(problem.message, message);
            assert!(problem.hint.is_some(), "{text}");
        }
    }

    #[test]
    fn every_vm_is_in_exactly_one_shard() {
        let fleet = fleet(200);
        for count in [1, 2, 7, 32] {
            let mut seen = Vec::new();
            for index in 1..=count {
                seen.extend(Shard::new(index, count).unwrap().vms(ShardBy::Vm, &fleet));
            }
            seen.sort_unstable();
            let all: Vec<&str> = fleet.vms.keys().map(String::as_str).collect();
            assert_eq!(seen, all, "{count} shards");
        }
    }

    #[test]
    fn shards_are_about_equal() {
        let of = shards(&fleet(1000), ShardBy::Vm, 10);
        for index in 1..=10 {
            let size = of.iter().filter(|shard| **shard == index).count();
            assert!((60..=140).contains(&size), "shard {index} has {size} of 1000 VMs");
        }
    }

    #[test]
    fn one_more_shard_takes_its_share_and_moves_nothing_else() {
        let fleet = fleet(1000);
        for count in [1, 4, 9] {
            let [before, after] =
                [count, count + 1].map(|count| shards(&fleet, ShardBy::Vm, count));
            let moved: Vec<u32> = before
                .iter()
                .zip(&after)
                .filter(|(one, other)| one != other)
                .map(|(_, other)| *other)
                .collect();
            assert!(moved.iter().all(|shard| *shard == count + 1), "{moved:?}");
            let share = 1000 / (count as usize + 1);
            assert!(
                (share * 7 / 10..=share * 13 / 10).contains(&moved.len()),
                "{} moved",
                moved.len()
            );
        }
    }

    #[test]
    fn another_vm_moves_no_other() {
        let small = fleet(300);
        let large = fleet(400);
        assert_eq!(
            shards(&small, ShardBy::Vm, 8),
            shards(&large, ShardBy::Vm, 8)[..300],
            "the first 300"
        );
    }

    #[test]
    fn membership_is_the_same_on_every_machine_and_in_every_version() {
        let names = ["web", "db", "queue", "app-server"];
        let some = inventory(names.map(|name| (name.to_owned(), json!({"address": "h"}))));
        assert_eq!(shards(&some, ShardBy::Vm, 8), EXPECTED);
        // XXH64 of nothing with the seed 0, as its specification has it.
        assert_eq!(XxHash64::oneshot(0, b""), 0xef46_db37_51d8_e999);
    }

    /// As an independent implementation computes it.
    const EXPECTED: [u32; 4] = [8, 6, 6, 2];

    #[test]
    fn a_group_stays_together() {
        let vms = (0..60).map(|at| {
            let groups = json!([format!("lab{}", at % 12), "all"]);
            (format!("vm{at}"), json!({"address": "h", "groups": groups}))
        });
        let alone = [("alone".to_owned(), json!({"address": "h"}))];
        let labs = inventory(vms.chain(alone));
        let of = shards(&labs, ShardBy::Group, 5);
        for (at, shard) in of[..60].iter().enumerate() {
            assert_eq!(*shard, of[at % 12], "vm{at}");
        }
        assert!(of[..12].iter().collect::<HashSet<_>>().len() > 1, "{of:?}");
        // A VM without a group has a key of its own.
        assert_eq!(of[60], shard_of(&labs.vms["alone"], ShardBy::Vm, 5));
        assert_ne!(shards(&labs, ShardBy::Vm, 5)[..60], of[..60]);
    }
}
