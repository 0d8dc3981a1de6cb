//! A node and its recipe become one recipe. What both say must be the same.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;

use super::rules::is_host_name;
use super::size::Size;
use super::spelling::Spelled;
use super::{BlueprintFile, Node, PlannedRecipe, PlannedResources, PlannedScript, RecipeLink};
use crate::lab::recipe::{self, Network, Os, Recipe, Resources, StartupScript};
use crate::problem::{Problem, Problems, hint_for_unknown};
use crate::spec::inventory::Position;

/// More memory than this was meant in MB.
const MEMORY_GB_AT_MOST: u32 = 1024;

/// A recipe that is to be written.
pub(super) struct Draft {
    /// Its path in the plan.
    pub home: String,
    /// The recipe.
    pub recipe: Recipe,
    /// `recipe.json`.
    pub text: String,
    /// Name and text of its startup script.
    pub script: (String, String),
}

/// The recipe of every node, and what is wrong with them.
pub(super) fn drafts(
    spelled: &Spelled,
    written: &BlueprintFile,
    lab: &str,
) -> (Vec<Draft>, Vec<Problem>) {
    let (mut drafts, mut errors) = (Vec::new(), Vec::new());
    for at in (0..written.nodes.len()).filter(|at| is_host_name(&written.nodes[*at].name)) {
        match draft(spelled, written, lab, at) {
            Ok(draft) => drafts.push(draft),
            Err(found) => errors.extend(found.0),
        }
    }
    let mut owners = HashMap::new();
    for draft in &drafts {
        let (alias, name) = (draft.recipe.os.network.alias_address(), &draft.recipe.name);
        if let Some(first) = owners.insert(alias, name) {
            let message = format!("`{first}` and `{name}` have the alias {alias}");
            let at = written.nodes.iter().position(|node| node.name == *name).unwrap_or_default();
            errors.push(spelled.error(
                &format!("nodes[{at}]"),
                message,
                Some("give one of them another".to_owned()),
            ));
        }
    }
    (drafts, errors)
}

fn draft(
    spelled: &Spelled,
    written: &BlueprintFile,
    lab: &str,
    at: usize,
) -> Result<Draft, Problems> {
    let node = &written.nodes[at];
    let (home, recipe) = recipe_of(spelled, written, at)?;
    let both = Both { spelled, node, node_path: format!("nodes[{at}]"), recipe, home };
    both.check_names(lab)?;
    let agreed = both.agreed()?;
    let recipe = both.recipe(lab, &agreed);
    let text = super::files::json(&recipe);
    Recipe::parse(spelled.file(), &text).map_err(|found| {
        Problems(found.0.into_iter().map(|error| spelled.at_home(error, &both.home)).collect())
    })?;
    Ok(Draft { home: both.home, recipe, text, script: agreed.script })
}

/// The recipe of a node, with its path.
fn recipe_of<'a>(
    spelled: &Spelled,
    written: &'a BlueprintFile,
    at: usize,
) -> Result<(String, &'a PlannedRecipe), Problem> {
    let node = &written.nodes[at];
    let (name, path) = match &node.recipe {
        Some(RecipeLink::Here(recipe)) => return Ok((format!("nodes[{at}].recipe"), recipe)),
        Some(RecipeLink::Name(name)) => (name, format!("nodes[{at}].recipe")),
        None => (&node.name, format!("nodes[{at}]")),
    };
    let found = written.recipes.iter().position(|recipe| recipe.name.as_ref() == Some(name));
    found.map(|index| (format!("recipes[{index}]"), &written.recipes[index])).ok_or_else(|| {
        let known: Vec<&str> =
            written.recipes.iter().filter_map(|recipe| recipe.name.as_deref()).collect();
        let hint = if known.is_empty() {
            "give it under `recipe`, here, or under the plan's `recipes`".to_owned()
        } else {
            hint_for_unknown(name, known)
        };
        spelled.error(&path, format!("the plan has no recipe `{name}`"), Some(hint))
    })
}

/// A node and its recipe.
struct Both<'a> {
    spelled: &'a Spelled,
    node: &'a Node,
    node_path: String,
    recipe: &'a PlannedRecipe,
    home: String,
}

impl Both<'_> {
    fn at_node(&self, key: &str) -> String {
        format!("{}.{key}", self.node_path)
    }

    fn at_recipe(&self, key: &str) -> String {
        format!("{}.{key}", self.home)
    }

    fn check_names(&self, lab: &str) -> Result<(), Problem> {
        let differs = |key: &str, message: String| {
            Err(self.spelled.error(&self.at_recipe(key), message, Some("write it once".to_owned())))
        };
        let node = &self.node.name;
        match (&self.recipe.name, &self.recipe.lab, &self.node.recipe) {
            (_, Some(other), _) if other != lab => differs(
                "lab",
                format!("the recipe belongs to the lab `{other}`, the plan to `{lab}`"),
            ),
            (Some(name), _, Some(RecipeLink::Here(_))) if name != node => {
                differs("name", format!("the recipe is called `{name}`, its node `{node}`"))
            }
            _ => Ok(()),
        }
    }

    /// What the two say together; every mistake is returned, not only the first.
    fn agreed(&self) -> Result<Agreed, Problems> {
        let mut errors = Vec::new();
        let role = keep(&mut errors, self.role());
        let alias = keep(&mut errors, self.alias());
        let resources = keep(&mut errors, self.resources());
        let position = keep(&mut errors, self.position());
        let script = keep(&mut errors, self.script());
        match (role, alias, resources, position, script) {
            (Some(role), Some(alias), Some(resources), Some(position), Some(script)) => {
                Ok(Agreed { role, alias, resources, position, script })
            }
            _ => Err(Problems(errors)),
        }
    }

    /// The one value on which all agree who say it.
    fn one<T: PartialEq + Display>(
        &self,
        what: &str,
        said: Vec<(String, Option<T>)>,
    ) -> Result<Option<T>, Problem> {
        let mut said = said.into_iter().filter_map(|(path, value)| Some((path, value?)));
        let Some((first_path, first)) = said.next() else { return Ok(None) };
        let Some((path, other)) = said.find(|(_, other)| *other != first) else {
            return Ok(Some(first));
        };
        let message = format!(
            "the {what} is {other} here, and {first} in line {}",
            self.spelled.line(&first_path)
        );
        Err(self.spelled.error(&path, message, Some("write it once".to_owned())))
    }

    fn needed<T: PartialEq + Display>(
        &self,
        what: &str,
        example: &str,
        said: Vec<(String, Option<T>)>,
    ) -> Result<T, Problem> {
        let missing = || {
            let message = format!("the node `{}` has no {what}", self.node.name);
            self.spelled.error(&self.node_path, message, Some(format!("write {example}")))
        };
        self.one(what, said)?.ok_or_else(missing)
    }

    fn role(&self) -> Result<String, Problem> {
        let said = vec![
            (self.at_node("role"), self.node.role.clone()),
            (self.at_recipe("role"), self.recipe.role.clone()),
        ];
        self.needed("role", "\"role\": \"app\"", said)
    }

    fn alias(&self) -> Result<String, Problem> {
        let said = vec![
            (self.at_node("alias"), self.node.alias.clone()),
            (self.at_recipe("os.network.alias"), self.recipe.os.network.alias.clone()),
        ];
        let path = said
            .iter()
            .find(|(_, alias)| alias.is_some())
            .map_or(String::new(), |(path, _)| path.clone());
        let alias = self.needed("alias", "\"alias\": \"10.71.0.10/24\"", said)?;
        if recipe::is_alias(&alias) {
            Ok(alias)
        } else {
            Err(self.spelled.error(&path, recipe::WHAT_AN_ALIAS_IS, None))
        }
    }

    fn position(&self) -> Result<Option<Position>, Problem> {
        let apart = match (self.node.x, self.node.y) {
            (Some(x), Some(y)) => Some(Position { x, y }),
            (None, None) => None,
            _ => {
                return Err(self.spelled.error(
                    &self.node_path,
                    "`x` and `y` belong together",
                    None,
                ));
            }
        };
        let said = vec![
            (self.at_node("x"), apart),
            (self.at_node("position"), self.node.position),
            (self.at_recipe("position"), self.recipe.position),
        ];
        self.one("position", said)
    }

    fn resources(&self) -> Result<Resources, Problem> {
        let Node { memory_gb, memory_mb, disk_gb, resources, .. } = *self.node;
        let places = [
            (self.node_path.clone(), PlannedResources { memory_gb, memory_mb, disk_gb }),
            (self.at_node("resources"), resources),
            (self.at_recipe("resources"), self.recipe.resources),
        ];
        let (mut memory, mut disk) = (Vec::new(), Vec::new());
        for (path, amounts) in places {
            let mb = amounts.memory_mb.map(Size::of_mb).transpose();
            let mb =
                mb.map_err(|why| self.spelled.error(&format!("{path}.memory_mb"), why, None))?;
            memory.push((format!("{path}.memory_gb"), amounts.memory_gb.map(|size| size.0)));
            memory.push((format!("{path}.memory_mb"), mb.map(|size| size.0)));
            disk.push((format!("{path}.disk_gb"), amounts.disk_gb.map(|size| size.0)));
        }
        let too_much = memory.iter().find(|(_, gb)| gb.is_some_and(|gb| gb > MEMORY_GB_AT_MOST));
        if let Some((path, _)) = too_much {
            let hint = "in MB it is `memory_mb`, or \"4096 MB\"".to_owned();
            return Err(self.spelled.error(
                path,
                "this is more than 1024 GB of memory",
                Some(hint),
            ));
        }
        Ok(Resources {
            memory_gb: self.needed("memory", "\"memory_gb\": 4", memory)?,
            disk_gb: self.needed("disk", "\"disk_gb\": 24", disk)?,
        })
    }

    /// Name and text of the one startup script.
    fn script(&self) -> Result<(String, String), Problem> {
        let path = self.at_recipe("os.startup_scripts");
        let alias = self.node.alias.as_ref().or(self.recipe.os.network.alias.as_ref());
        let error = |path: &str, message: String, hint: Option<String>| {
            self.spelled.error(path, message, hint)
        };
        let [script] = &self.recipe.os.startup_scripts[..] else {
            let message = format!(
                "`{}` has {} startup scripts",
                self.node.name,
                self.recipe.os.startup_scripts.len()
            );
            return Err(error(
                &path,
                message,
                Some("a node has exactly one, of about 25 lines".to_owned()),
            ));
        };
        let path = format!("{path}[0]");
        let name =
            script_name(script).map_err(|(message, hint)| error(&path, message, Some(hint)))?;
        let hint =
            "write its text under `content`, or its path from the plan's folder under `file`";
        let text = self
            .script_text(script)
            .map_err(|message| error(&path, message, Some(hint.to_owned())))?;
        let path = if script.content.is_some() { format!("{path}.content") } else { path };
        recipe::check_script(&text).map_err(|message| error(&path, message, None))?;
        if let Some(alias) =
            alias.filter(|alias| recipe::is_alias(alias) && !recipe::adds_alias(&text, alias))
        {
            let message = format!("the startup script does not add the alias {alias}");
            return Err(error(&path, message, Some(recipe::alias_hint(alias))));
        }
        Ok((name, text))
    }

    fn script_text(&self, script: &PlannedScript) -> Result<String, String> {
        let text = match (&script.content, &script.file) {
            (Some(content), _) => content.clone(),
            (None, Some(file)) => {
                let path =
                    Path::new(self.spelled.file()).parent().unwrap_or(Path::new("")).join(file);
                std::fs::read_to_string(&path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?
            }
            (None, None) => {
                return Err("the startup script has neither `content` nor `file`".to_owned());
            }
        };
        // A file of text ends with a line end; a text in JSON often does not.
        Ok(if text.ends_with('\n') { text } else { text + "\n" })
    }

    fn recipe(&self, lab: &str, agreed: &Agreed) -> Recipe {
        let os = &self.recipe.os;
        let mut warnings = self.recipe.warnings.clone();
        warnings.extend(
            self.node.warnings.iter().filter(|one| !self.recipe.warnings.contains(one)).cloned(),
        );
        Recipe {
            schema: None,
            name: self.node.name.clone(),
            lab: lab.to_owned(),
            role: agreed.role.clone(),
            resources: agreed.resources,
            position: agreed.position,
            os: Os {
                base: os.base,
                arch: os.arch,
                features: os.features.clone(),
                packages: os.packages.clone(),
                users: os.users.clone(),
                network: Network {
                    dhcp: os.network.dhcp,
                    alias: agreed.alias.clone(),
                    dns: os.network.dns.clone(),
                },
                firewall: os.firewall,
                startup_scripts: os
                    .startup_scripts
                    .iter()
                    .map(|one| StartupScript {
                        file: agreed.script.0.clone(),
                        after: one.after.clone(),
                    })
                    .collect(),
            },
            test_config: self.recipe.test_config.clone(),
            notes: self.recipe.notes.clone(),
            warnings,
        }
    }
}

/// What a node and its recipe say together.
struct Agreed {
    role: String,
    alias: String,
    resources: Resources,
    position: Option<Position>,
    /// Name and text.
    script: (String, String),
}

fn keep<T>(errors: &mut Vec<Problem>, found: Result<T, Problem>) -> Option<T> {
    found.map_err(|error| errors.push(error)).ok()
}

/// The name of the script's file, or what is wrong with it and a hint.
fn script_name(script: &PlannedScript) -> Result<String, (String, String)> {
    let Some(file) = &script.file else { return Ok("startup.sh".to_owned()) };
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte));
    if plain && !name.is_empty() && !name.starts_with('.') && name != "recipe.json" {
        return Ok(name.to_owned());
    }
    Err((format!("`{}` is no name for a script", file.display()), "such as startup.sh".to_owned()))
}
