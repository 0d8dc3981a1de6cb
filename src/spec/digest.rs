//! What a run was made of, in short: two runs with the same digests have the same plan.

use std::collections::BTreeMap;
use std::fmt::Write;

use ring::digest::{Context, SHA256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// SHA-256 digests, in hexadecimal, of what a plan is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Digests {
    /// Of the bytes of the inventory file.
    pub inventory: String,
    /// Of the bytes of each suite file, in the order of the suites.
    pub suites: Vec<String>,
    /// Of the values that `--var` and `BOOTPROOF_VARS` set.
    pub vars: String,
}

impl Digests {
    /// The digests of these texts and of `NAME=VALUE` pairs, of which the last of a name counts.
    pub fn of<'a>(
        inventory: &str,
        suites: impl IntoIterator<Item = &'a str>,
        vars: &[String],
    ) -> Self {
        let pairs = vars.iter().filter_map(|var| var.split_once('='));
        let pairs: BTreeMap<&str, &str> = pairs.collect();
        Self {
            inventory: sha256([inventory]),
            suites: suites.into_iter().map(|text| sha256([text])).collect(),
            vars: of_list(pairs.into_iter().flat_map(|(name, value)| [name, value])),
        }
    }

    /// One digest of all of them and of `more`.
    pub fn all<'a>(&'a self, more: impl IntoIterator<Item = &'a str>) -> String {
        let own = [self.inventory.as_str(), &self.vars].into_iter();
        let own = own.chain(self.suites.iter().map(String::as_str));
        of_list(own.chain(more))
    }
}

/// The digest of a list of texts: where each of them ends is a part of it.
fn of_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let with_lengths = texts.into_iter().map(|text| format!("{}:{text}", text.len()));
    let with_lengths: Vec<String> = with_lengths.collect();
    sha256(with_lengths.iter().map(String::as_str))
}

fn sha256<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut context = Context::new(&SHA256);
    texts.into_iter().for_each(|text| context.update(text.as_bytes()));
    let mut hexadecimal = String::new();
    for byte in context.finish().as_ref() {
        let _ = write!(hexadecimal, "{byte:02x}");
    }
    hexadecimal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vars: &[&str]) -> Digests {
        let vars: Vec<String> = vars.iter().map(|var| (*var).to_owned()).collect();
        Digests::of("abc", ["a", "b"], &vars)
    }

    #[test]
    fn files_have_the_digest_that_sha256sum_prints() {
        assert_eq!(
            of(&[]).inventory,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(of(&[]).suites.len(), 2);
    }

    #[test]
    fn the_values_count_and_not_how_they_were_given() {
        assert_eq!(of(&["a=1", "b=2"]), of(&["b=2", "a=0", "a=1"]));
        for other in [&["a=1"][..], &["a=1", "b=3"], &["a=1b=2"], &["a=1", "b="], &[]] {
            assert_ne!(of(&["a=1", "b=2"]), of(other), "{other:?}");
        }
        assert_ne!(of(&["ab=c"]), of(&["a=bc"]));
        assert_ne!(of(&[]).all(["ab", "c"]), of(&[]).all(["a", "bc"]));
    }
}
