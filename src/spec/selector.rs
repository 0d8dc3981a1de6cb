//! Which VMs are meant: a VM by name, all with a role, all of a group, all but some.

use crate::problem::{did_you_mean, hint_for_unknown};

use super::inventory::{Inventory, Vm};
use super::name::is_name;

/// `"web1"`, `"*"`, `"role:app"`, `"group:eu"`, and `"!web1"` to leave something out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Vec<Term>);

/// One of the words of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    /// Whether it leaves VMs out.
    negative: bool,
    meaning: Meaning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    All,
    Vm(String),
    Role(String),
    Group(String),
}

/// What is wrong with a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorMistake {
    /// Which word it is about; `None` if it is about all of them.
    pub word: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl SelectorMistake {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { word: None, message: message.into(), hint: hint.into() }
    }

    fn at(self, word: usize) -> Self {
        Self { word: Some(word), ..self }
    }
}

/// The first half of a hint.
const FORMS: &str = "write a VM's name, \"*\", \"role:NAME\", \"group:NAME\", or one of them after \
                     `!` to leave it out";

impl Selector {
    /// Reads the words of a selector. Whether they mean any VM is not known yet.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, SelectorMistake> {
        if words.is_empty() {
            return Err(SelectorMistake::new("the list of VMs is empty", FORMS));
        }
        let terms = words.iter().map(AsRef::as_ref).enumerate();
        let terms: Result<Vec<Term>, SelectorMistake> =
            terms.map(|(at, word)| Term::parse(word).map_err(|mistake| mistake.at(at))).collect();
        let terms = terms?;
        if terms.iter().all(|term| term.negative) {
            let message = "every selector has a `!`, so there is nothing to leave VMs out of";
            return Err(SelectorMistake::new(message, "begin with \"*\" for all VMs"));
        }
        Ok(Self(terms))
    }

    /// The VMs that it means, in the order of the inventory.
    ///
    /// A word that means no VM is a mistake, and so is a selector that leaves all of them out.
    pub fn resolve<'a>(&self, inventory: &'a Inventory) -> Result<Vec<&'a Vm>, SelectorMistake> {
        for (at, term) in self.0.iter().enumerate() {
            if !inventory.vms.values().any(|vm| term.means(vm)) {
                return Err(term.meaning.unknown(inventory).at(at));
            }
        }
        let vms = self.lenient(inventory);
        if vms.is_empty() {
            let message = "the selectors leave out every VM that they select";
            return Err(SelectorMistake::new(message, "`bootproof plan` shows the VMs"));
        }
        Ok(vms)
    }

    /// The VMs that it means; maybe none.
    pub fn lenient<'a>(&self, inventory: &'a Inventory) -> Vec<&'a Vm> {
        let is_meant = |vm: &&Vm| {
            let means =
                |negative| self.0.iter().any(|term| term.negative == negative && term.means(vm));
            means(false) && !means(true)
        };
        inventory.vms.values().filter(is_meant).collect()
    }
}

impl Term {
    fn parse(word: &str) -> Result<Self, SelectorMistake> {
        let (negative, word) = match word.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        Ok(Self { negative, meaning: Meaning::parse(word)? })
    }

    fn means(&self, vm: &Vm) -> bool {
        match &self.meaning {
            Meaning::All => true,
            Meaning::Vm(name) => vm.name == *name,
            Meaning::Role(role) => vm.role.as_deref() == Some(role),
            Meaning::Group(group) => vm.groups.contains(group),
        }
    }
}

impl Meaning {
    fn parse(word: &str) -> Result<Self, SelectorMistake> {
        if word == "*" {
            return Ok(Self::All);
        }
        let (kind, name) = word.split_once(':').unwrap_or(("", word));
        if !matches!(kind, "" | "role" | "group") {
            let message = format!("`{kind}:` is not a kind of selector");
            let hint = did_you_mean(kind, ["role", "group"]).map_or_else(
                || FORMS.to_owned(),
                |meant| format!("did you mean `{meant}:{name}`?"),
            );
            return Err(SelectorMistake::new(message, hint));
        }
        if !is_name(name) {
            return Err(SelectorMistake::new(
                format!("`{word}` is neither a name nor a selector"),
                no_name_hint(name),
            ));
        }
        let name = name.to_owned();
        Ok(match kind {
            "role" => Self::Role(name),
            "group" => Self::Group(name),
            _ => Self::Vm(name),
        })
    }

    /// What to say when it means no VM of the inventory.
    fn unknown(&self, inventory: &Inventory) -> SelectorMistake {
        let file = &inventory.file;
        let vms = inventory.vms.values();
        match self {
            Self::All => SelectorMistake::new(format!("{file} has no VM"), "add one"),
            Self::Vm(name) => SelectorMistake::new(
                format!("unknown VM `{name}`: it is not in {file}"),
                unknown_vm_hint(name, inventory),
            ),
            Self::Role(name) => SelectorMistake::new(
                format!("no VM of {file} has the role `{name}`"),
                match did_you_mean(name, vms.filter_map(|vm| vm.role.as_deref())) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "give it to a VM in the inventory, as its `role`".to_owned(),
                },
            ),
            Self::Group(name) => SelectorMistake::new(
                format!("no VM of {file} is in the group `{name}`"),
                match did_you_mean(name, vms.flat_map(|vm| &vm.groups).map(String::as_str)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "add it to the `groups` of a VM in the inventory".to_owned(),
                },
            ),
        }
    }
}

fn no_name_hint(word: &str) -> String {
    if word.contains(',') {
        return "write a list: [\"web1\", \"web2\"]".to_owned();
    }
    if word.contains(['[', '*', '?']) {
        return "patterns do not work here; give the VMs a role or a group, and write \
                \"role:NAME\" or \"group:NAME\""
            .to_owned();
    }
    if word.contains("${{") {
        return "the VM is chosen before any value is known; use a role, a group or `for_each`"
            .to_owned();
    }
    FORMS.to_owned()
}

/// A name that is no VM may be that of a role or a group.
fn unknown_vm_hint(name: &str, inventory: &Inventory) -> String {
    let has_role = |vm: &Vm| vm.role.as_deref() == Some(name);
    let is_in_group = |vm: &Vm| vm.groups.iter().any(|group| group == name);
    if inventory.vms.values().any(has_role) {
        return format!("did you mean \"role:{name}\"?");
    }
    if inventory.vms.values().any(is_in_group) {
        return format!("did you mean \"group:{name}\"?");
    }
    hint_for_unknown(name, inventory.vms.keys().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let text = r#"{
            "lab": "l", "defaults": {"user": "ops", "agent": true},
            "vms": {
                "web1": {"address": "10.0.0.1", "role": "web", "groups": ["eu"]},
                "web2": {"address": "10.0.0.2", "role": "web", "groups": ["us"]},
                "db": {"address": "10.0.0.3", "role": "db", "groups": ["eu", "ssd"]}
            }}"#;
        Inventory::parse("lab.json", text).unwrap()
    }

    fn names(words: &[&str]) -> Result<Vec<String>, String> {
        let inventory = inventory();
        let vms = Selector::parse(words).and_then(|selector| {
            Ok(selector.resolve(&inventory)?.iter().map(|vm| vm.name.clone()).collect())
        });
        vms.map_err(|mistake| format!("{:?} {} {}", mistake.word, mistake.message, mistake.hint))
    }

    #[test]
    fn means_vms_by_name_role_and_group_in_the_order_of_the_inventory() {
        for (words, expected) in [
            (&["db"][..], &["db"][..]),
            (&["*"], &["web1", "web2", "db"]),
            (&["role:web"], &["web1", "web2"]),
            (&["group:eu"], &["web1", "db"]),
            (&["db", "role:web", "db"], &["web1", "web2", "db"]),
            (&["*", "!role:web"], &["db"]),
            (&["!web1", "group:eu", "web2"], &["web2", "db"]),
        ] {
            assert_eq!(names(words).unwrap(), expected, "{words:?}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_word() {
        for (words, expected) in [
            (&[][..], "None the list of VMs is empty"),
            (&["!db"], "None every selector has a `!`"),
            (&["role:web", "!*"], "None the selectors leave out every VM"),
            (
                &["db", "web"],
                "Some(1) unknown VM `web`: it is not in lab.json did you mean \"role:",
            ),
            (&["ssd"], "Some(0) unknown VM `ssd`: it is not in lab.json did you mean \"group:ssd"),
            (&["web3"], "Some(0) unknown VM `web3`: it is not in lab.json did you mean `web"),
            (&["role:wep"], "Some(0) no VM of lab.json has the role `wep` did you mean `web`?"),
            (&["*", "!group:asia"], "Some(1) no VM of lab.json is in the group `asia`"),
            (&["roles:web"], "Some(0) `roles:` is not a kind of selector did you mean `role:web`?"),
            (&["web[1-2]"], "Some(0) `web[1-2]` is neither a name nor a selector patterns"),
            (&["web1,web2"], "Some(0) `web1,web2` is neither a name nor a selector write a list"),
            (&["role:"], "Some(0) `role:` is neither a name nor a selector write a VM's name"),
            (&[""], "Some(0) `` is neither"),
            (&["!!db"], "Some(0) `!db` is neither"),
        ] {
            let message = names(words).unwrap_err();
            assert!(message.starts_with(expected), "{words:?}: {message}");
        }
    }
}
