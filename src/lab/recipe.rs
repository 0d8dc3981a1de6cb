//! A recipe: what one VM is made of.
//!
//! A recipe is a folder with `recipe.json`, or `recipe.yaml`, and the startup scripts that it names.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::problem::{Problem, Problems, hint_for_unknown};
use crate::spec::inventory::Position;
use crate::spec::source::Source;

/// A startup script should have about this many lines; blank ones do not count.
pub const SCRIPT_LINES: usize = 25;

/// The most lines that are still "about 25".
pub const SCRIPT_LINES_AT_MOST: usize = 30;

/// A recipe file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bootproof recipe")]
pub struct Recipe {
    /// Address of this JSON Schema, for editors; bootproof ignores it.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Name of the VM, and its host name.
    pub name: String,
    /// Name of the lab that the VM belongs to.
    pub lab: String,
    /// What the VM does: `app`, `database`, ...
    pub role: String,
    /// Memory and disk.
    pub resources: Resources,
    /// Position of the VM in a drawing of the lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Operating system.
    pub os: Os,
    /// The builder's own tests: disabled and empty, because the lab has its suite.
    pub test_config: TestConfig,
    /// Remarks for readers of the recipe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What remains to be done at deployment time.
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

/// The operating system of a VM.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Os {
    /// Distribution.
    pub base: Base,
    /// Architecture.
    pub arch: Arch,
    /// What the system offers: `headless`, `ssh`, `postgresql`, ...
    pub features: Vec<String>,
    /// Debian packages to install.
    pub packages: Vec<String>,
    /// Users who can log in; bootproof logs in as the first.
    pub users: Vec<User>,
    /// Network settings.
    pub network: Network,
    /// Firewall settings.
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

/// A user who can log in.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Password; the image contains it.
    pub password: String,
    /// Additional groups.
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
    /// Whether address and default route come from DHCP; always true.
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
    /// Always false: the lab builds no firewalls.
    pub enabled: bool,
}

/// A script that runs as root at every boot.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartupScript {
    /// File name, beside the recipe.
    pub file: String,
    /// The systemd unit after which the script runs: a string, not a list.
    #[serde(default, deserialize_with = "one_unit", skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The name of one unit. systemd also takes lists, so the message says that this is not one.
pub(super) fn one_unit<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::String(unit) => Ok(Some(unit)),
        _ => Err(serde::de::Error::custom(
            "`after` is a string, not a list: write \"network-online.target\"",
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
        let mut wrong = |path: &str, message: &str| errors.push(source.problem(path, message));
        if self.test_config.enabled || !self.test_config.tests.is_empty() {
            wrong("test_config", "`test_config` must be {\"enabled\": false, \"tests\": []}");
        }
        if self.os.firewall.enabled {
            wrong("os.firewall.enabled", "the lab cannot build firewalls: write false");
        }
        if !self.os.network.dhcp {
            wrong("os.network.dhcp", "the lab's network needs DHCP: write true");
        }
        if !is_alias(&self.os.network.alias) {
            wrong("os.network.alias", WHAT_AN_ALIAS_IS);
        }
        if self.os.network.dns.is_empty() {
            wrong(
                "os.network.dns",
                "the VM needs a name server: without one, every sudo waits for a time-out",
            );
        }
        if self.warnings.iter().any(|warning| warning.trim().is_empty()) {
            wrong("warnings", "a warning is empty");
        }
        if self.os.users.is_empty() {
            wrong("os.users", "the VM needs a user who can log in");
        }
        let plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
        };
        if !plain(&self.name) {
            wrong("name", "invalid host name: use letters, digits and `-`");
        }
        for (index, package) in
            self.os.packages.iter().enumerate().filter(|(_, package)| !plain(package))
        {
            wrong(
                &format!("os.packages[{index}]"),
                &format!("`{package}` is not the name of a Debian package"),
            );
        }
        for (index, user) in self.os.users.iter().enumerate() {
            if !plain(&user.name)
                || !user.groups.iter().all(|group| plain(group))
                || user.password.contains(['\n', ':'])
            {
                wrong(
                    &format!("os.users[{index}]"),
                    "invalid user name, group or password: in names use letters, digits, `-`, `_`, \
                     `.` and `+`; in the password no `:` and no line break",
                );
            }
        }
        for (index, script) in self.os.startup_scripts.iter().enumerate() {
            if !plain(&script.file) || script.after.as_deref().is_some_and(|after| !plain(after)) {
                wrong(
                    &format!("os.startup_scripts[{index}]"),
                    "invalid `file` or `after`: use letters, digits, `-`, `_`, `.` and `+`",
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

/// A recipe with the text of its scripts.
#[derive(Debug, Clone)]
pub struct RecipeFolder {
    /// The recipe.
    pub recipe: Recipe,
    /// Text of the recipe file.
    pub text: String,
    /// The startup scripts, in the recipe's order.
    pub scripts: Vec<Script>,
}

/// The text of a startup script.
#[derive(Debug, Clone)]
pub struct Script {
    /// File name.
    pub file: String,
    /// What the file contains.
    pub text: String,
    /// The systemd unit after which the script runs.
    pub after: Option<String>,
}

impl RecipeFolder {
    /// Reads the recipe file of a folder and the scripts that it names.
    pub fn read(folder: &Path) -> Result<Self, Problems> {
        let file = recipe_file(folder)?;
        let text = read_text(&file)?;
        let recipe = Recipe::parse(&file.display().to_string(), &text)?;
        let read_script = |script: &StartupScript| {
            let path = folder.join(&script.file);
            let text = read_text(&path)?;
            if let Some(mistake) = script_mistake(&text) {
                return Err(about_file(&path, Problem::new(mistake)));
            }
            Ok(Script { file: script.file.clone(), text, after: script.after.clone() })
        };
        let scripts =
            recipe.os.startup_scripts.iter().map(read_script).collect::<Result<Vec<_>, _>>()?;
        let alias = &recipe.os.network.alias;
        if !scripts.iter().any(|script| adds_alias(&script.text, alias)) {
            let problem = Problem::new(format!("no startup script adds the alias {alias}"))
                .hint(alias_hint(alias));
            return Err(about_file(folder, problem).into());
        }
        Ok(Self { recipe, text, scripts })
    }

    /// Warnings about scripts that are allowed but too long.
    pub fn remarks(&self) -> Vec<String> {
        let remark =
            |script: &Script| Some(format!("{}: {}", script.file, script_remark(&script.text)?));
        self.scripts.iter().filter_map(remark).collect()
    }

    /// The recipes in a folder of folders, in the order of their folders' names: those of `vms`,
    /// or all if `vms` is empty.
    pub fn read_all(recipes: &Path, vms: &[String]) -> Result<Vec<Self>, Problems> {
        let entries = std::fs::read_dir(recipes)
            .map_err(Problem::io(format!("read {}", recipes.display())))
            .map_err(|problem| problem.hint("--recipes names the folder with the recipes"))?;
        let mut folders: Vec<_> =
            entries.flatten().map(|entry| entry.path()).filter(|path| has_recipe(path)).collect();
        folders.sort();
        let all = folders.iter().map(|path| Self::read(path)).collect::<Result<Vec<_>, _>>()?;
        let known: Vec<_> = all.iter().map(|folder| folder.recipe.name.as_str()).collect();
        if let Some(unknown) = vms.iter().find(|name| !known.contains(&name.as_str())) {
            let message = format!("{} has no recipe for `{unknown}`", recipes.display());
            return Err(Problem::new(message).hint(hint_for_unknown(unknown, known)).into());
        }
        let selected = |folder: &Self| vms.is_empty() || vms.contains(&folder.recipe.name);
        Ok(all.into_iter().filter(selected).collect())
    }
}

/// What the recipe file of a folder may be called.
pub(super) const RECIPE_FILES: [&str; 3] = ["recipe.json", "recipe.yaml", "recipe.yml"];

/// Whether a folder has a recipe file.
pub(super) fn has_recipe(folder: &Path) -> bool {
    RECIPE_FILES.iter().any(|name| folder.join(name).exists())
}

/// The one recipe file of a folder; `recipe.json`, which cannot be read, if there is none.
fn recipe_file(folder: &Path) -> Result<PathBuf, Problem> {
    let files: Vec<_> =
        RECIPE_FILES.iter().map(|name| folder.join(name)).filter(|file| file.exists()).collect();
    match &files[..] {
        [first, second, ..] => {
            let message = format!("this folder also has {}", second.display());
            Err(about_file(first, Problem::new(message).hint("keep one of the two")))
        }
        [file] => Ok(file.clone()),
        [] => Ok(folder.join(RECIPE_FILES[0])),
    }
}

fn read_text(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(Problem::io(format!("read {}", path.display())))
}

fn about_file(path: &Path, problem: Problem) -> Problem {
    Problem { file: Some(path.display().to_string()), ..problem }
}

/// What is wrong with a startup script: it must be short, and a shell script.
pub fn script_mistake(text: &str) -> Option<String> {
    let lines = script_lines(text);
    if lines > SCRIPT_LINES_AT_MOST {
        return Some(format!(
            "the startup script has {lines} lines: about {SCRIPT_LINES} are expected, \
             {SCRIPT_LINES_AT_MOST} allowed"
        ));
    }
    let interpreter = text.lines().next().unwrap_or_default();
    let is_shell = ["#!/bin/sh", "#!/bin/bash"].iter().any(|shell| interpreter.starts_with(shell));
    (!is_shell).then(|| "the startup script must begin with #!/bin/sh or #!/bin/bash".to_owned())
}

/// A warning about a startup script that is allowed but too long.
pub fn script_remark(text: &str) -> Option<String> {
    let lines = script_lines(text);
    (lines > SCRIPT_LINES)
        .then(|| format!("the startup script has {lines} lines: about {SCRIPT_LINES} are expected"))
}

fn script_lines(text: &str) -> usize {
    text.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Whether a startup script adds the alias. An address that is added elsewhere would be gone after
/// the next boot.
pub fn adds_alias(script: &str, alias: &str) -> bool {
    script.lines().filter(|line| !line.trim_start().starts_with('#')).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.windows(4).any(|words| {
            words[..3] == ["ip", "addr", "add"] && words[3].trim_matches(['"', '\'']) == alias
        })
    })
}

/// How a script adds an alias.
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
    fn the_four_reference_recipes_are_valid() {
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
    fn forbidden_values_are_errors_with_their_line() {
        for (right, wrong, words) in [
            (
                "\"enabled\": false,\n    \"tests\"",
                "\"enabled\": true,\n    \"tests\"",
                "test_config",
            ),
            ("\"network-online.target\"", "[\"network-online.target\"]", "`after` is a string"),
            ("10.71.0.40/24", "10.71.0.40", "alias"),
            ("debian-trixie", "debian-sid", "debian-trixie"),
            ("\"jq\"", "\"jq; rm\"", "not the name of a Debian package"),
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
        assert_eq!((script_mistake(&script(25)), script_remark(&script(25))), (None, None));
        assert_eq!(script_mistake(&script(26)), None);
        assert!(script_remark(&script(26)).is_some_and(|remark| remark.contains("26 lines")));
        assert_eq!(script_mistake(&script(30)), None);
        assert!(script_mistake(&script(31)).is_some());
    }

    #[test]
    fn recognizes_scripts_that_add_the_alias() {
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
