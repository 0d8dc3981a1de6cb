//! A recipe: what one VM is made of.
//!
//! A folder with `recipe.json` and the startup scripts that it names.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::LabError;
use crate::problem::{Problem, Problems};
use crate::spec::inventory::Position;
use crate::spec::source::Source;

/// About so many lines should a startup script have; blank ones do not count.
pub const SCRIPT_LINES: usize = 25;

/// More than this is no longer "about 25".
pub const SCRIPT_LINES_AT_MOST: usize = 30;

/// A recipe file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bootproof recipe")]
pub struct Recipe {
    /// Address of the JSON Schema, for editors; not read by bootproof.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The VM's name; its host name, too.
    pub name: String,
    /// The lab that it belongs to.
    pub lab: String,
    /// What it is for: `app`, `database`, ...
    pub role: String,
    /// Memory and disk.
    pub resources: Resources,
    /// Where it stands in a drawing of the lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The system on it.
    pub os: Os,
    /// The builder's own tests; the lab has its suite instead, so they are disabled and empty.
    pub test_config: TestConfig,
    /// What a reader of the recipe should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What stays to be done at deployment time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Memory and disk of a VM.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Memory in GiB.
    #[schemars(range(min = 1))]
    pub memory_gb: u32,
    /// Disk in GiB.
    #[schemars(range(min = 1))]
    pub disk_gb: u32,
}

/// The system on a VM.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Os {
    /// The distribution.
    pub base: Base,
    /// The architecture.
    pub arch: Arch,
    /// What it can do: `headless`, `ssh`, `postgresql`, ...
    pub features: Vec<String>,
    /// Debian packages.
    pub packages: Vec<String>,
    /// Users with a login.
    pub users: Vec<User>,
    /// Its network.
    pub network: Network,
    /// Its firewall.
    pub firewall: Firewall,
    /// Scripts that run as root at every boot.
    pub startup_scripts: Vec<StartupScript>,
}

/// A distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// Debian 13.
    DebianTrixie,
}

/// An architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Arch {
    /// 64-bit PC.
    #[serde(rename = "x86_64")]
    X86_64,
}

/// A user with a login.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Password; it stands in the image.
    pub password: String,
    /// Further groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "User({}, ***)", self.name)
    }
}

/// The network of a VM.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Address and default route by DHCP.
    pub dhcp: bool,
    /// The address that the startup script adds, such as `10.71.0.10/24`.
    pub alias: String,
    /// Name servers.
    pub dns: Vec<std::net::IpAddr>,
}

impl Network {
    /// The alias without its prefix length.
    pub fn alias_address(&self) -> &str {
        self.alias.split('/').next().unwrap_or(&self.alias)
    }
}

/// The firewall of a VM.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Firewall {
    /// Always false: the lab has none.
    pub enabled: bool,
}

/// A script that runs as root at every boot.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartupScript {
    /// Its file, beside the recipe.
    pub file: String,
    /// The systemd unit after which it runs: a text, not a list.
    #[serde(default, deserialize_with = "one_unit", skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The name of one unit. systemd takes a list as well, so it is said that this is none.
pub(super) fn one_unit<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::String(unit) => Ok(Some(unit)),
        _ => Err(serde::de::Error::custom(
            "`after` is a text, not a list: write \"network-online.target\"",
        )),
    }
}

/// The builder's own tests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestConfig {
    /// Always false.
    pub enabled: bool,
    /// Always empty.
    #[schemars(length(max = 0))]
    pub tests: Vec<serde_json::Value>,
}

impl Recipe {
    /// Reads a recipe; `file` is only a name for messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let source = Source::parse(file, text)?;
        let recipe: Self = source.read()?;
        let errors = recipe.mistakes(&source);
        if errors.is_empty() { Ok(recipe) } else { Err(Problems(errors)) }
    }

    fn mistakes(&self, source: &Source) -> Vec<Problem> {
        let mut errors = Vec::new();
        let mut wrong = |path: &str, message: &str| errors.push(source.error(path, message, None));
        if self.test_config.enabled || !self.test_config.tests.is_empty() {
            wrong("test_config", "`test_config` must be {\"enabled\": false, \"tests\": []}");
        }
        if self.os.firewall.enabled {
            wrong("os.firewall.enabled", "no firewall can be built; write false");
        }
        if !self.os.network.dhcp {
            wrong("os.network.dhcp", "the lab's network needs DHCP; write true");
        }
        if !is_alias(&self.os.network.alias) {
            wrong("os.network.alias", WHAT_AN_ALIAS_IS);
        }
        if self.os.network.dns.is_empty() {
            wrong(
                "os.network.dns",
                "without a name server the VM resolves nothing, and each sudo waits for one",
            );
        }
        if self.warnings.iter().any(|warning| warning.trim().is_empty()) {
            wrong("warnings", "a warning is empty");
        }
        if self.os.users.is_empty() {
            wrong("os.users", "without a user nobody can log in");
        }
        let plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
        };
        if !plain(&self.name) {
            wrong("name", "a host name has letters, digits and `-`");
        }
        for (index, package) in
            self.os.packages.iter().enumerate().filter(|(_, package)| !plain(package))
        {
            wrong(
                &format!("os.packages[{index}]"),
                &format!("`{package}` is no name of a Debian package"),
            );
        }
        for (index, user) in self.os.users.iter().enumerate() {
            if !plain(&user.name)
                || !user.groups.iter().all(|group| plain(group))
                || user.password.contains(['\n', ':'])
            {
                wrong(
                    &format!("os.users[{index}]"),
                    "this user, group or password cannot be written down in a system",
                );
            }
        }
        for (index, script) in self.os.startup_scripts.iter().enumerate() {
            if !plain(&script.file) || script.after.as_deref().is_some_and(|after| !plain(after)) {
                wrong(
                    &format!("os.startup_scripts[{index}]"),
                    "`file` and `after` are plain names",
                );
            }
        }
        errors
    }
}

pub(super) const WHAT_AN_ALIAS_IS: &str =
    "an alias is an IPv4 address with a prefix length, such as 10.71.0.10/24";

pub(super) fn is_alias(text: &str) -> bool {
    text.split_once('/').is_some_and(|(ip, bits)| {
        ip.parse::<std::net::Ipv4Addr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= 32)
    })
}

/// A recipe with its scripts, as it is built.
#[derive(Debug, Clone)]
pub struct RecipeFolder {
    /// The recipe.
    pub recipe: Recipe,
    /// Text of `recipe.json`.
    pub text: String,
    /// Name, text and unit to run after, of each startup script.
    pub scripts: Vec<(String, String, Option<String>)>,
}

impl RecipeFolder {
    /// Reads `FOLDER/recipe.json` and the scripts that it names.
    pub fn read(folder: &Path) -> Result<Self, LabError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(LabError::io(format!("read {}", path.display())))
        };
        let file = folder.join("recipe.json");
        let text = read(&file)?;
        let recipe = Recipe::parse(&file.display().to_string(), &text)
            .map_err(|errors| LabError::new(errors.to_string()))?;
        let mut scripts = Vec::new();
        for script in &recipe.os.startup_scripts {
            let path = folder.join(&script.file);
            let text = read(&path)?;
            check_script(&text)
                .map_err(|why| LabError::new(format!("{}: {why}", path.display())))?;
            scripts.push((script.file.clone(), text, script.after.clone()));
        }
        let alias = &recipe.os.network.alias;
        if !scripts.iter().any(|(_, text, _)| adds_alias(text, alias)) {
            let message = format!("{}: no startup script adds the alias {alias}", folder.display());
            return Err(LabError::new(message).hint(alias_hint(alias)));
        }
        Ok(Self { recipe, text, scripts })
    }

    /// What is not wrong with its scripts, and yet should be looked at.
    pub fn remarks(&self) -> Vec<String> {
        let remark = |(file, text, _): &(String, String, _)| {
            Some(format!("{file}: {}", script_remark(text)?))
        };
        self.scripts.iter().filter_map(remark).collect()
    }

    /// All recipes in a folder of folders, in the order of their names; or only those in `wanted`.
    pub fn read_all(recipes: &Path, wanted: &[String]) -> Result<Vec<Self>, LabError> {
        let entries = std::fs::read_dir(recipes)
            .map_err(LabError::io(format!("read {}", recipes.display())))?;
        let mut folders: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join("recipe.json").exists())
            .collect();
        folders.sort();
        let all = folders.iter().map(|folder| Self::read(folder)).collect::<Result<Vec<_>, _>>()?;
        if let Some(unknown) =
            wanted.iter().find(|name| !all.iter().any(|one| one.recipe.name == **name))
        {
            let known: Vec<_> = all.iter().map(|one| one.recipe.name.as_str()).collect();
            let hint = crate::problem::hint_for_unknown(unknown, known);
            return Err(LabError::new(format!(
                "there is no recipe for `{unknown}` in {}",
                recipes.display()
            ))
            .hint(hint));
        }
        Ok(all
            .into_iter()
            .filter(|one| wanted.is_empty() || wanted.contains(&one.recipe.name))
            .collect())
    }
}

/// The rules for a startup script: short, and a shell script.
pub fn check_script(text: &str) -> Result<(), String> {
    let lines = script_lines(text);
    if lines > SCRIPT_LINES_AT_MOST {
        return Err(format!(
            "the startup script has {lines} lines; about {SCRIPT_LINES} are meant, {SCRIPT_LINES_AT_MOST} allowed"
        ));
    }
    let interpreter = text.lines().next().unwrap_or_default();
    if ["#!/bin/sh", "#!/bin/bash"].iter().any(|shell| interpreter.starts_with(shell)) {
        return Ok(());
    }
    Err("the startup script must begin with #!/bin/sh (or #!/bin/bash)".to_owned())
}

/// What is not wrong with a startup script, and yet should be looked at.
pub fn script_remark(text: &str) -> Option<String> {
    let lines = script_lines(text);
    (lines > SCRIPT_LINES)
        .then(|| format!("the startup script has {lines} lines; about {SCRIPT_LINES} are meant"))
}

fn script_lines(text: &str) -> usize {
    text.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Whether a startup script adds the alias: an address that is added elsewhere would be gone after the next boot.
pub fn adds_alias(script: &str, alias: &str) -> bool {
    script.lines().filter(|line| !line.trim_start().starts_with('#')).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.windows(4).any(|words| {
            words[..3] == ["ip", "addr", "add"] && words[3].trim_matches(['"', '\'']) == alias
        })
    })
}

/// What a script does that adds an alias.
pub fn alias_hint(alias: &str) -> String {
    format!("the script needs a line such as: ip addr add {alias} dev \"$IFACE\" || true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> String {
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/redis/recipe.json"))
            .unwrap()
    }

    #[test]
    fn the_reference_recipes_are_four_and_correct() {
        let all =
            RecipeFolder::read_all(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/recipes")), &[])
                .unwrap();
        let names: Vec<_> = all.iter().map(|one| one.recipe.name.as_str()).collect();
        assert_eq!(names, ["immich-ml", "immich-server", "postgres-pgvector", "redis"]);
        assert!(
            all.iter().all(|one| one
                .recipe
                .warnings
                .iter()
                .any(|warning| warning.contains("10.71.0.0/24")))
        );
    }

    #[test]
    fn what_the_seed_forbids_is_an_error_with_its_line() {
        for (right, wrong, words) in [
            (
                "\"enabled\": false,\n    \"tests\"",
                "\"enabled\": true,\n    \"tests\"",
                "test_config",
            ),
            ("\"network-online.target\"", "[\"network-online.target\"]", "`after` is a text"),
            ("10.71.0.40/24", "10.71.0.40", "alias"),
            ("debian-trixie", "debian-sid", "debian-trixie"),
            ("\"jq\"", "\"jq; rm\"", "no name of a Debian package"),
            ("\"1.1.1.1\",\n        \"8.8.8.8\"", "", "name server"),
            (
                "\"Redis has no password here;",
                "\"\", \"Redis has no password here;",
                "a warning is empty",
            ),
        ] {
            let text = reference();
            assert!(text.contains(right), "{right}");
            let errors = Recipe::parse("recipe.json", &text.replace(right, wrong)).unwrap_err();
            assert!(errors.0[0].place.is_some(), "{errors}");
            assert!(errors.to_string().contains(words), "{errors}");
        }
    }

    #[test]
    fn a_long_script_is_refused() {
        let script = |lines: usize| format!("#!/bin/sh\n{}", "true\n\n".repeat(lines - 1));
        assert_eq!((check_script(&script(25)), script_remark(&script(25))), (Ok(()), None));
        assert!(check_script(&script(26)).is_ok());
        assert!(script_remark(&script(26)).is_some_and(|remark| remark.contains("26 lines")));
        assert!(check_script(&script(30)).is_ok());
        assert!(check_script(&script(31)).is_err());
    }

    #[test]
    fn the_alias_is_added_by_the_script() {
        let alias = "10.71.0.40/24";
        assert!(adds_alias("ip  addr add 10.71.0.40/24 dev \"$IFACE\" || true", alias));
        assert!(adds_alias("sleep 1; ip addr add '10.71.0.40/24' dev eth0", alias));
        for other in [
            "ip addr add 10.71.0.4/24 dev x",
            "ip addr add 10.71.0.40/241 dev x",
            "# ip addr add 10.71.0.40/24 dev x",
            "",
        ] {
            assert!(!adds_alias(other, alias), "{other}");
        }
    }
}
