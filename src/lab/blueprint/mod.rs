//! A plan from elsewhere: one file with the nodes, the connections, the recipes and the scenario of a lab.
//!
//! What a run does is called a plan, too ([`crate::spec::plan`]); so the code calls this one a blueprint.
//! [`BlueprintFile`] is what stands in the file; [`Blueprint`] is what it means: bootproof's own files, made of it and
//! checked. What `lint` calls right can be imported, and what is wrong is told at its place in the plan.

mod files;
mod recipes;
mod rules;
mod size;
mod spelling;
pub mod store;

use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::recipe::{Arch, Base, Firewall, TestConfig, User, one_unit};
use crate::problem::Problems;
use crate::spec::inventory::{Connection, Peers, Position};
use crate::spec::suite::ScenarioEntry;
use size::Size;

/// A plan, as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bootproof plan")]
pub struct BlueprintFile {
    /// Address of the JSON Schema, for editors; not read by bootproof.
    #[serde(rename = "$schema", default)]
    #[expect(dead_code, reason = "for editors")]
    schema: Option<String>,
    /// The lab's name.
    #[serde(default)]
    lab: Option<String>,
    /// The lab's name in another word; one of the two is needed.
    #[serde(default)]
    name: Option<String>,
    /// One line about the lab.
    #[serde(default)]
    description: Option<String>,
    /// The VMs, in the order in which they are shown.
    #[schemars(length(min = 1))]
    nodes: Vec<Node>,
    /// Which VM talks to which.
    #[serde(default)]
    connections: Vec<Connection>,
    /// What must hold between the VMs.
    #[serde(default)]
    peers: Option<Peers>,
    /// What the nodes are made of, unless it stands in the nodes.
    #[serde(default)]
    recipes: Vec<PlannedRecipe>,
    /// Exactly one, of type `group`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 1))]
    scenarios: Vec<ScenarioEntry>,
    /// The one scenario, without a list around it.
    #[serde(default)]
    scenario: Option<ScenarioEntry>,
    /// What stays to be done at deployment time, for the whole lab.
    #[serde(default)]
    warnings: Vec<String>,
}

/// A VM of the plan. What it does not say, its recipe says; what both say must be the same.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Node {
    /// Its name; its host name, too.
    name: String,
    /// What it is for: `app`, `database`, ...
    #[serde(default)]
    role: Option<String>,
    /// Its address with a prefix length, such as `10.71.0.10/24`.
    #[serde(default)]
    alias: Option<String>,
    /// TCP ports that it serves.
    #[serde(default)]
    ports: Vec<NonZeroU16>,
    /// UDP ports that it serves.
    #[serde(default)]
    udp_ports: Vec<NonZeroU16>,
    /// Memory.
    #[serde(default)]
    memory_gb: Option<Size>,
    /// Memory in MiB.
    #[serde(default)]
    memory_mb: Option<u32>,
    /// Disk.
    #[serde(default)]
    disk_gb: Option<Size>,
    /// Memory and disk, in an object of their own.
    #[serde(default)]
    resources: PlannedResources,
    /// Pixels from the left.
    #[serde(default)]
    x: Option<i32>,
    /// Pixels from the top.
    #[serde(default)]
    y: Option<i32>,
    /// `x` and `y`, in an object of their own.
    #[serde(default)]
    position: Option<Position>,
    /// What it is made of: the name of one of `recipes`, or the recipe; by default the recipe of its own name.
    #[serde(default)]
    recipe: Option<RecipeLink>,
    /// What stays to be done on it at deployment time.
    #[serde(default)]
    warnings: Vec<String>,
}

/// Memory and disk.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlannedResources {
    /// Memory.
    #[serde(default)]
    memory_gb: Option<Size>,
    /// Memory in MiB.
    #[serde(default)]
    memory_mb: Option<u32>,
    /// Disk.
    #[serde(default)]
    disk_gb: Option<Size>,
}

/// What a node is made of.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
enum RecipeLink {
    /// One of the plan's recipes, by its name.
    Name(String),
    /// The recipe.
    Here(Box<PlannedRecipe>),
}

/// A recipe of the plan: as `recipe.json`, with the startup script's text in it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlannedRecipe {
    /// Its name, by which nodes refer to it; by default that of its node.
    #[serde(default)]
    name: Option<String>,
    /// The lab that it belongs to.
    #[serde(default)]
    lab: Option<String>,
    /// What the VM is for.
    #[serde(default)]
    role: Option<String>,
    /// Memory and disk.
    #[serde(default)]
    resources: PlannedResources,
    /// Where the VM stands in a drawing of the lab.
    #[serde(default)]
    position: Option<Position>,
    /// The system on the VM.
    os: PlannedOs,
    /// The builder's own tests: disabled and empty.
    test_config: TestConfig,
    /// What a reader of the recipe should know.
    #[serde(default)]
    notes: Vec<String>,
    /// What stays to be done at deployment time.
    #[serde(default)]
    warnings: Vec<String>,
}

/// The system on a VM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlannedOs {
    /// The distribution.
    base: Base,
    /// The architecture.
    arch: Arch,
    /// What it can do: `headless`, `ssh`, `postgresql`, ...
    features: Vec<String>,
    /// Debian packages.
    packages: Vec<String>,
    /// Users with a login; bootproof logs in as the first.
    users: Vec<User>,
    /// Its network.
    network: PlannedNetwork,
    /// Its firewall.
    firewall: Firewall,
    /// The script that runs as root at every boot.
    startup_scripts: Vec<PlannedScript>,
}

/// The network of a VM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlannedNetwork {
    /// Address and default route by DHCP.
    dhcp: bool,
    /// The address that the startup script adds, such as `10.71.0.10/24`.
    #[serde(default)]
    alias: Option<String>,
    /// Name servers.
    dns: Vec<std::net::IpAddr>,
}

/// A script that runs as root at every boot: its text, or a file beside the plan that holds it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlannedScript {
    /// Its text.
    #[serde(default)]
    content: Option<String>,
    /// Its file's name; without `content` the file is read, from the plan's folder.
    #[serde(default)]
    file: Option<PathBuf>,
    /// The systemd unit after which it runs: a text, not a list.
    #[serde(default, deserialize_with = "one_unit")]
    after: Option<String>,
}

impl<'de> Deserialize<'de> for RecipeLink {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RecipeLink;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("the name of a recipe, or a recipe")
            }

            fn visit_str<E>(self, name: &str) -> Result<RecipeLink, E> {
                Ok(RecipeLink::Name(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<RecipeLink, A::Error> {
                PlannedRecipe::deserialize(MapAccessDeserializer::new(keys))
                    .map(|recipe| RecipeLink::Here(recipe.into()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A plan that was read, understood and turned into bootproof's own files.
#[derive(Debug)]
pub struct Blueprint {
    /// The lab's name.
    pub lab: String,
    /// The nodes' names.
    pub nodes: Vec<String>,
    /// How many assertions the scenario has.
    pub assertions: usize,
    /// Each warning with its node; without one when it is the whole lab's.
    pub warnings: Vec<(Option<String>, String)>,
    /// What is not wrong, and yet should be looked at.
    pub remarks: Vec<String>,
    /// The inventory, by its path.
    pub inventory: PathBuf,
    /// The suite, by its path.
    pub suite: PathBuf,
    /// Every file that is to be written.
    pub files: Vec<PlannedFile>,
}

/// A file that is to be written.
#[derive(Debug)]
pub struct PlannedFile {
    /// From the folder into which is imported.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
    /// Whether it is a program.
    pub executable: bool,
}

impl Blueprint {
    /// Reads a plan; `file` names it in messages, and the scripts that it names start from its folder.
    /// All mistakes are returned, not only the first.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let spelled = spelling::Spelled::parse(file, text)?;
        let written: BlueprintFile = spelled.read()?;
        files::make(&spelled, &written)
    }

    /// The JSON Schema of the format, with every spelling of a key.
    pub fn schema() -> Schema {
        spelling::schema()
    }
}
