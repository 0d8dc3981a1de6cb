//! A blueprint as it is written in its file, before anything is derived from it.

use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::size::Size;
use crate::lab::recipe::{Arch, Base, Firewall, TestConfig, User, one_unit};
use crate::spec::inventory::{Connection, Peers, Position};
use crate::spec::suite::ScenarioEntry;

/// A whole blueprint file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bootproof blueprint")]
pub(super) struct BlueprintFile {
    /// Address of this JSON Schema, for editors; bootproof ignores it.
    #[serde(rename = "$schema", default)]
    #[expect(dead_code, reason = "for editors")]
    schema: Option<String>,
    /// Name of the lab.
    #[serde(default)]
    pub(super) lab: Option<String>,
    /// Another key for the lab's name; one of the two is required.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// Description of the lab in one line.
    #[serde(default)]
    pub(super) description: Option<String>,
    /// The VMs, in the order in which they are shown.
    #[schemars(length(min = 1))]
    pub(super) nodes: Vec<Node>,
    /// Which VM connects to which.
    #[serde(default)]
    pub(super) connections: Vec<Connection>,
    /// What must hold between the VMs.
    #[serde(default)]
    pub(super) peers: Option<Peers>,
    /// The recipes of the nodes, unless the nodes contain them.
    #[serde(default)]
    pub(super) recipes: Vec<BlueprintRecipe>,
    /// Exactly one, of type `group`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 1))]
    pub(super) scenarios: Vec<ScenarioEntry>,
    /// The one scenario, without a list around it.
    #[serde(default)]
    pub(super) scenario: Option<ScenarioEntry>,
    /// What remains to be done at deployment time, for the whole lab.
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

/// A VM of the blueprint. A value can be in the node or in its recipe; if it is in both, they must
/// agree.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    /// Name of the VM, and its host name.
    pub(super) name: String,
    /// What the VM does: `app`, `database`, ...
    #[serde(default)]
    pub(super) role: Option<String>,
    /// Address with a prefix length, such as `10.71.0.10/24`.
    #[serde(default)]
    pub(super) alias: Option<String>,
    /// TCP ports on which the VM listens.
    #[serde(default)]
    pub(super) ports: Vec<NonZeroU16>,
    /// UDP ports on which the VM listens.
    #[serde(default)]
    pub(super) udp_ports: Vec<NonZeroU16>,
    /// Memory.
    #[serde(default)]
    pub(super) memory_gb: Option<Size>,
    /// Memory in MiB.
    #[serde(default)]
    pub(super) memory_mb: Option<u32>,
    /// Disk.
    #[serde(default)]
    pub(super) disk_gb: Option<Size>,
    /// Memory and disk, in an object of their own.
    #[serde(default)]
    pub(super) resources: BlueprintResources,
    /// Pixels from the left.
    #[serde(default)]
    pub(super) x: Option<i32>,
    /// Pixels from the top.
    #[serde(default)]
    pub(super) y: Option<i32>,
    /// `x` and `y`, in an object of their own.
    #[serde(default)]
    pub(super) position: Option<Position>,
    /// Name of one of `recipes`, or the recipe itself; by default the recipe with the node's name.
    #[serde(default)]
    pub(super) recipe: Option<RecipeLink>,
    /// What remains to be done on this VM at deployment time.
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

/// Memory and disk.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlueprintResources {
    /// Memory.
    #[serde(default)]
    pub(super) memory_gb: Option<Size>,
    /// Memory in MiB.
    #[serde(default)]
    pub(super) memory_mb: Option<u32>,
    /// Disk.
    #[serde(default)]
    pub(super) disk_gb: Option<Size>,
}

/// The recipe of a node.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum RecipeLink {
    /// The name of one of the blueprint's `recipes`.
    Name(String),
    /// The recipe itself.
    Inline(Box<BlueprintRecipe>),
}

/// A recipe of the blueprint: like `recipe.json`, with the text of the startup script in it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlueprintRecipe {
    /// The name by which nodes refer to it; by default the name of its node.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// Name of the lab that the VM belongs to.
    #[serde(default)]
    pub(super) lab: Option<String>,
    /// What the VM does.
    #[serde(default)]
    pub(super) role: Option<String>,
    /// Memory and disk.
    #[serde(default)]
    pub(super) resources: BlueprintResources,
    /// Position of the VM in a drawing of the lab.
    #[serde(default)]
    pub(super) position: Option<Position>,
    /// Operating system.
    pub(super) os: BlueprintOs,
    /// The builder's own tests: disabled and empty.
    pub(super) test_config: TestConfig,
    /// Remarks for readers of the recipe.
    #[serde(default)]
    pub(super) notes: Vec<String>,
    /// What remains to be done at deployment time.
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

/// The operating system of a VM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlueprintOs {
    /// Distribution.
    pub(super) base: Base,
    /// Architecture.
    pub(super) arch: Arch,
    /// What the system offers: `headless`, `ssh`, `postgresql`, ...
    pub(super) features: Vec<String>,
    /// Debian packages to install.
    pub(super) packages: Vec<String>,
    /// Users who can log in; bootproof logs in as the first.
    pub(super) users: Vec<User>,
    /// Network settings.
    pub(super) network: BlueprintNetwork,
    /// Firewall settings.
    pub(super) firewall: Firewall,
    /// The script that runs as root at every boot.
    pub(super) startup_scripts: Vec<BlueprintScript>,
}

/// The network of a VM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlueprintNetwork {
    /// Whether address and default route come from DHCP; always true.
    pub(super) dhcp: bool,
    /// The address that the startup script adds, such as `10.71.0.10/24`.
    #[serde(default)]
    pub(super) alias: Option<String>,
    /// Name servers.
    pub(super) dns: Vec<std::net::IpAddr>,
}

/// A script that runs as root at every boot: its text, or a file beside the blueprint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlueprintScript {
    /// Text of the script.
    #[serde(default)]
    pub(super) content: Option<String>,
    /// File name; without `content`, a path from the blueprint's folder to the script.
    #[serde(default)]
    pub(super) file: Option<PathBuf>,
    /// The systemd unit after which the script runs: a string, not a list.
    #[serde(default, deserialize_with = "one_unit")]
    pub(super) after: Option<String>,
}

impl<'de> Deserialize<'de> for RecipeLink {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrRecipe;
        impl<'de> Visitor<'de> for NameOrRecipe {
            type Value = RecipeLink;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("the name of a recipe, or a recipe")
            }

            fn visit_str<E>(self, name: &str) -> Result<RecipeLink, E> {
                Ok(RecipeLink::Name(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<RecipeLink, A::Error> {
                BlueprintRecipe::deserialize(MapAccessDeserializer::new(keys))
                    .map(|recipe| RecipeLink::Inline(recipe.into()))
            }
        }
        deserializer.deserialize_any(NameOrRecipe)
    }
}
