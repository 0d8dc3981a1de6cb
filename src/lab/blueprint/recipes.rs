//! A node and its recipe become one recipe. If both have a value, the values must agree.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;

use super::generated;
use super::rules::is_host_name;
use super::size::Size;
use super::spelling::Spelled;
use super::written::{
    BlueprintFile, BlueprintRecipe, BlueprintResources, BlueprintScript, Node, RecipeLink,
};
use crate::lab::recipe::{
    self, Network, Os, RECIPE_FILES, Recipe, Resources, Script, StartupScript,
};
use crate::problem::{Problem, Problems, hint_for_unknown};
use crate::spec::inventory::Position;

/// Whoever writes more memory than this means MB.
const MEMORY_GB_AT_MOST: u32 = 1024;

/// A recipe that an import writes.
pub(super) struct RecipeDraft {
    /// JSON path of the recipe in the blueprint.
    pub path: String,
    /// The recipe.
    pub recipe: Recipe,
    /// Text of `recipe.json`.
    pub text: String,
    /// The startup script.
    pub script: Script,
}

/// The recipes of all nodes, and the mistakes in them.
pub(super) fn drafts(
    spelled: &Spelled,
    written: &BlueprintFile,
    lab: &str,
) -> (Vec<RecipeDraft>, Vec<Problem>) {
    let (mut drafts, mut errors) = (Vec::new(), Vec::new());
    for at in (0..written.nodes.len()).filter(|at| is_host_name(&written.nodes[*at].name)) {
        match draft(spelled, written, lab, at) {
            Ok(draft) => drafts.push(draft),
            Err(found) => errors.extend(found.0),
        }
    }
    errors.extend(shared_aliases(spelled, written, &drafts));
    (drafts, errors)
}

fn shared_aliases(
    spelled: &Spelled,
    written: &BlueprintFile,
    drafts: &[RecipeDraft],
) -> Vec<Problem> {
    let mut errors = Vec::new();
    let mut owners = HashMap::new();
    for draft in drafts {
        let (alias, name) = (draft.recipe.os.network.alias_address(), &draft.recipe.name);
        if let Some(first) = owners.insert(alias, name) {
            let message = format!("`{first}` and `{name}` have the same alias {alias}");
            let at = written.nodes.iter().position(|node| node.name == *name).unwrap_or_default();
            let hint = Some("change one of them".to_owned());
            errors.push(spelled.error(&format!("nodes[{at}]"), message, hint));
        }
    }
    errors
}

fn draft(
    spelled: &Spelled,
    written: &BlueprintFile,
    lab: &str,
    at: usize,
) -> Result<RecipeDraft, Problems> {
    let node = &written.nodes[at];
    let (recipe_path, recipe) = recipe_of(spelled, written, at)?;
    let pair =
        NodeWithRecipe { spelled, node, node_path: format!("nodes[{at}]"), recipe, recipe_path };
    pair.check_names(lab)?;
    let agreed = pair.agreed_values()?;
    let recipe = pair.merged_recipe(lab, &agreed);
    let text = generated::json(&recipe);
    Recipe::parse(spelled.file(), &text).map_err(|found| {
        let located = found.0.into_iter().map(|error| spelled.locate(error, &pair.recipe_path));
        Problems(located.collect())
    })?;
    Ok(RecipeDraft { path: pair.recipe_path, recipe, text, script: agreed.script })
}

/// The JSON path of a node's recipe, and the recipe.
fn recipe_of<'a>(
    spelled: &Spelled,
    written: &'a BlueprintFile,
    at: usize,
) -> Result<(String, &'a BlueprintRecipe), Problem> {
    let node = &written.nodes[at];
    let (name, path) = match &node.recipe {
        Some(RecipeLink::Inline(recipe)) => return Ok((format!("nodes[{at}].recipe"), recipe)),
        Some(RecipeLink::Name(name)) => (name, format!("nodes[{at}].recipe")),
        None => (&node.name, format!("nodes[{at}]")),
    };
    let found = written.recipes.iter().position(|recipe| recipe.name.as_ref() == Some(name));
    found.map(|index| (format!("recipes[{index}]"), &written.recipes[index])).ok_or_else(|| {
        let known: Vec<&str> =
            written.recipes.iter().filter_map(|recipe| recipe.name.as_deref()).collect();
        let hint = if known.is_empty() {
            "write it under `recipe` of the node, or under `recipes`".to_owned()
        } else {
            hint_for_unknown(name, known)
        };
        spelled.error(&path, format!("the blueprint has no recipe `{name}`"), Some(hint))
    })
}

/// A node and its recipe.
struct NodeWithRecipe<'a> {
    spelled: &'a Spelled,
    node: &'a Node,
    node_path: String,
    recipe: &'a BlueprintRecipe,
    recipe_path: String,
}

impl NodeWithRecipe<'_> {
    fn at_node(&self, key: &str) -> String {
        format!("{}.{key}", self.node_path)
    }

    fn at_recipe(&self, key: &str) -> String {
        format!("{}.{key}", self.recipe_path)
    }

    fn check_names(&self, lab: &str) -> Result<(), Problem> {
        let differs = |key: &str, message: String| {
            Err(self.spelled.error(
                &self.at_recipe(key),
                message,
                Some("remove it from the recipe, or make both the same".to_owned()),
            ))
        };
        let node = &self.node.name;
        match (&self.recipe.name, &self.recipe.lab, &self.node.recipe) {
            (_, Some(other), _) if other != lab => differs(
                "lab",
                format!("the recipe is for the lab `{other}`, but the blueprint is for `{lab}`"),
            ),
            (Some(name), _, Some(RecipeLink::Inline(_))) if name != node => differs(
                "name",
                format!("the recipe is named `{name}`, but its node is named `{node}`"),
            ),
            _ => Ok(()),
        }
    }

    /// The values on which both agree; all mistakes are returned, not only the first.
    fn agreed_values(&self) -> Result<AgreedValues, Problems> {
        let mut errors = Vec::new();
        let role = ok_or_note(&mut errors, self.role());
        let alias = ok_or_note(&mut errors, self.alias());
        let resources = ok_or_note(&mut errors, self.resources());
        let position = ok_or_note(&mut errors, self.position());
        let script = ok_or_note(&mut errors, self.script());
        match (role, alias, resources, position, script) {
            (Some(role), Some(alias), Some(resources), Some(position), Some(script)) => {
                Ok(AgreedValues { role, alias, resources, position, script })
            }
            _ => Err(Problems(errors)),
        }
    }

    /// The value that all places agree on which have one.
    fn same_value<T: PartialEq + Display>(
        &self,
        what: &str,
        values: Vec<(String, Option<T>)>,
    ) -> Result<Option<T>, Problem> {
        let mut values = values.into_iter().filter_map(|(path, value)| Some((path, value?)));
        let Some((first_path, first)) = values.next() else { return Ok(None) };
        let Some((path, other)) = values.find(|(_, other)| *other != first) else {
            return Ok(Some(first));
        };
        let message = format!(
            "the {what} is {other} here but {first} on line {}",
            self.spelled.line(&first_path)
        );
        Err(self.spelled.error(&path, message, Some("remove one of them".to_owned())))
    }

    fn required<T: PartialEq + Display>(
        &self,
        what: &str,
        example: &str,
        values: Vec<(String, Option<T>)>,
    ) -> Result<T, Problem> {
        let missing = || {
            let message = format!("the node `{}` has no {what}", self.node.name);
            self.spelled.error(&self.node_path, message, Some(format!("write {example}")))
        };
        self.same_value(what, values)?.ok_or_else(missing)
    }

    fn role(&self) -> Result<String, Problem> {
        let values = vec![
            (self.at_node("role"), self.node.role.clone()),
            (self.at_recipe("role"), self.recipe.role.clone()),
        ];
        self.required("role", "\"role\": \"app\"", values)
    }

    fn alias(&self) -> Result<String, Problem> {
        let values = vec![
            (self.at_node("alias"), self.node.alias.clone()),
            (self.at_recipe("os.network.alias"), self.recipe.os.network.alias.clone()),
        ];
        let path = values
            .iter()
            .find(|(_, alias)| alias.is_some())
            .map_or(String::new(), |(path, _)| path.clone());
        let alias = self.required("alias", "\"alias\": \"10.71.0.10/24\"", values)?;
        if recipe::is_alias(&alias) {
            Ok(alias)
        } else {
            Err(self.spelled.error(&path, recipe::WHAT_AN_ALIAS_IS, None))
        }
    }

    fn position(&self) -> Result<Option<Position>, Problem> {
        let from_x_and_y = match (self.node.x, self.node.y) {
            (Some(x), Some(y)) => Some(Position { x, y }),
            (None, None) => None,
            _ => {
                return Err(self.spelled.error(
                    &self.node_path,
                    "write both `x` and `y`, or neither",
                    None,
                ));
            }
        };
        let values = vec![
            (self.at_node("x"), from_x_and_y),
            (self.at_node("position"), self.node.position),
            (self.at_recipe("position"), self.recipe.position),
        ];
        self.same_value("position", values)
    }

    fn resources(&self) -> Result<Resources, Problem> {
        let Node { memory_gb, memory_mb, disk_gb, resources, .. } = *self.node;
        let places = [
            (self.node_path.clone(), BlueprintResources { memory_gb, memory_mb, disk_gb }),
            (self.at_node("resources"), resources),
            (self.at_recipe("resources"), self.recipe.resources),
        ];
        let (mut memory, mut disk) = (Vec::new(), Vec::new());
        for (path, amounts) in places {
            let mb = amounts.memory_mb.map(Size::of_mb).transpose();
            let mb = mb.map_err(|why| {
                self.spelled.error(&format!("{path}.memory_mb"), why.message, None)
            })?;
            memory.push((format!("{path}.memory_gb"), amounts.memory_gb.map(|size| size.0)));
            memory.push((format!("{path}.memory_mb"), mb.map(|size| size.0)));
            disk.push((format!("{path}.disk_gb"), amounts.disk_gb.map(|size| size.0)));
        }
        let too_much = memory.iter().find(|(_, gb)| gb.is_some_and(|gb| gb > MEMORY_GB_AT_MOST));
        if let Some((path, _)) = too_much {
            let hint = "for MB write `memory_mb`, or \"4096 MB\"".to_owned();
            return Err(self.spelled.error(
                path,
                "this is more than 1024 GB of memory",
                Some(hint),
            ));
        }
        Ok(Resources {
            memory_gb: self.required("memory", "\"memory_gb\": 4", memory)?,
            disk_gb: self.required("disk", "\"disk_gb\": 24", disk)?,
        })
    }

    /// The one startup script.
    fn script(&self) -> Result<Script, Problem> {
        let path = self.at_recipe("os.startup_scripts");
        let [script] = &self.recipe.os.startup_scripts[..] else {
            let count = self.recipe.os.startup_scripts.len();
            let message = format!("`{}` has {count} startup scripts", self.node.name);
            let hint = Some("write exactly one, of about 25 lines".to_owned());
            return Err(self.spelled.error(&path, message, hint));
        };
        let path = format!("{path}[0]");
        let file = self.script_name(&path, script)?;
        let text = self.script_text(&path, script)?;
        let path = if script.content.is_some() { format!("{path}.content") } else { path };
        self.check_script(&path, &text)?;
        Ok(Script { file, text, after: script.after.clone() })
    }

    fn script_name(&self, path: &str, script: &BlueprintScript) -> Result<String, Problem> {
        let Some(file) = &script.file else { return Ok("startup.sh".to_owned()) };
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let plain =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte));
        if plain && !name.is_empty() && !name.starts_with('.') && !RECIPE_FILES.contains(&name) {
            return Ok(name.to_owned());
        }
        let message = format!("invalid name for a script: `{}`", file.display());
        Err(self.spelled.error(path, message, Some("write a name such as startup.sh".to_owned())))
    }

    fn script_text(&self, path: &str, script: &BlueprintScript) -> Result<String, Problem> {
        let text = match (&script.content, &script.file) {
            (Some(content), _) => Ok(content.clone()),
            (None, Some(file)) => {
                let blueprint = Path::new(self.spelled.file());
                let script = blueprint.parent().unwrap_or(Path::new("")).join(file);
                std::fs::read_to_string(&script)
                    .map_err(|error| format!("cannot read {}: {error}", script.display()))
            }
            (None, None) => Err("the startup script has neither `content` nor `file`".to_owned()),
        };
        let text = text.map_err(|message| {
            let hint = "write the script under `content`, or its path from the blueprint's folder \
                        under `file`";
            self.spelled.error(path, message, Some(hint.to_owned()))
        })?;
        // Text files end with a line feed; texts in JSON often do not.
        Ok(if text.ends_with('\n') { text } else { text + "\n" })
    }

    fn check_script(&self, path: &str, text: &str) -> Result<(), Problem> {
        if let Some(mistake) = recipe::script_mistake(text) {
            return Err(self.spelled.error(path, mistake, None));
        }
        let alias = self.node.alias.as_ref().or(self.recipe.os.network.alias.as_ref());
        match alias.filter(|alias| recipe::is_alias(alias)) {
            Some(alias) if !recipe::adds_alias(text, alias) => {
                let message = format!("the startup script does not add the alias {alias}");
                Err(self.spelled.error(path, message, Some(recipe::alias_hint(alias))))
            }
            _ => Ok(()),
        }
    }

    fn merged_recipe(&self, lab: &str, agreed: &AgreedValues) -> Recipe {
        let os = &self.recipe.os;
        let mut warnings = self.recipe.warnings.clone();
        let more = self.node.warnings.iter().filter(|text| !self.recipe.warnings.contains(text));
        warnings.extend(more.cloned());
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
                startup_scripts: vec![StartupScript {
                    file: agreed.script.file.clone(),
                    after: agreed.script.after.clone(),
                }],
            },
            test_config: self.recipe.test_config.clone(),
            notes: self.recipe.notes.clone(),
            warnings,
        }
    }
}

/// The values on which a node and its recipe agree.
struct AgreedValues {
    role: String,
    alias: String,
    resources: Resources,
    position: Option<Position>,
    script: Script,
}

fn ok_or_note<T>(errors: &mut Vec<Problem>, found: Result<T, Problem>) -> Option<T> {
    found.map_err(|error| errors.push(error)).ok()
}
