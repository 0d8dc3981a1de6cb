//! The house rules of the source: who imports whom, and which file alone knows a big dependency.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use regex::Regex;
use syn::visit::Visit;

/// What each module of the library may import. Below are the rules that this table must itself
/// obey.
const MAY_IMPORT: [(&str, &[&str]); 25] = [
    ("atomic_file", &[]),
    ("command", &[]),
    ("obstacle", &[]),
    ("problem", &[]),
    ("exit_code", &[]),
    ("error", &["exit_code", "problem"]),
    ("shell", &[]),
    ("assertion", &["command", "shell"]),
    ("spec", &["assertion", "problem", "shell"]),
    ("analysis", &["assertion", "command", "problem", "shell", "spec"]),
    ("outcome", &["assertion", "obstacle"]),
    ("health", &[]),
    ("record", &["assertion", "health", "outcome", "spec"]),
    ("secrets", &["problem", "spec"]),
    ("settings", &["problem", "secrets", "spec"]),
    (
        "report",
        &["assertion", "atomic_file", "health", "outcome", "problem", "record", "secrets", "spec"],
    ),
    ("ssh", &["command", "obstacle", "record", "secrets", "spec"]),
    ("probe", &["assertion", "command", "health", "obstacle", "record", "secrets", "ssh"]),
    (
        "run",
        &[
            "assertion",
            "command",
            "health",
            "obstacle",
            "outcome",
            "probe",
            "record",
            "secrets",
            "spec",
            "ssh",
        ],
    ),
    (
        "gate",
        &[
            "error",
            "exit_code",
            "problem",
            "record",
            "report",
            "run",
            "secrets",
            "settings",
            "spec",
        ],
    ),
    ("harness", &["error", "gate", "outcome", "report", "run", "settings", "spec"]),
    ("lab", &["assertion", "atomic_file", "problem", "spec"]),
    (
        "cli",
        &[
            "analysis",
            "error",
            "exit_code",
            "gate",
            "health",
            "lab",
            "outcome",
            "problem",
            "report",
            "run",
            "secrets",
            "settings",
            "spec",
        ],
    ),
    ("main", &["cli", "exit_code"]),
    ("lib", &[]),
];

/// Where alone a crate, or a part of the standard library, is named.
const DOORWAYS: [(&str, &[&str]); 15] = [
    ("russh", &["ssh/"]),
    ("reqwest", &["probe/http_responds.rs"]),
    ("libtest_mimic", &["harness.rs"]),
    ("jq_rs", &["assertion/jq.rs"]),
    ("tree_sitter", &["shell/"]),
    ("tree_sitter_bash", &["shell/"]),
    ("minijinja", &["spec/template.rs"]),
    ("quick_xml", &["report/junit.rs"]),
    ("jsonc_parser", &["spec/json/"]),
    ("saphyr_parser", &["spec/yaml/"]),
    ("indicatif", &["cli/"]),
    ("clap", &["cli/"]),
    ("twox_hash", &["spec/shard.rs"]),
    ("tokio", &["ssh/", "probe/", "run/"]),
    (
        "std::fs",
        &[
            "atomic_file.rs",
            "settings.rs",
            "secrets.rs",
            "report/read.rs",
            "ssh/host_key.rs",
            "lab/",
            "cli/lab.rs",
        ],
    ),
];

/// The source without comments and unit tests, by path below `src`.
fn source() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                let code: Vec<&str> =
                    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
                files.insert(
                    path.strip_prefix(&root).unwrap().display().to_string(),
                    code.join("\n"),
                );
            }
        }
    }
    assert!(files.len() > 30, "the source was not found");
    files
}

/// The module that a file is: `run/mod.rs` is `[run]`, `run/stop.rs` is `[run, stop]`.
fn module_path(file: &str) -> Vec<String> {
    let mut parts: Vec<String> =
        file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

/// Every path that a file names, `use` declarations with their braces taken apart.
#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl Paths {
    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                self.tree(&[before, &[path.ident.to_string()]].concat(), &path.tree);
            }
            syn::UseTree::Name(name) => {
                self.0.push([before, &[name.ident.to_string()]].concat());
            }
            syn::UseTree::Rename(name) => {
                self.0.push([before, &[name.ident.to_string()]].concat());
            }
            syn::UseTree::Glob(_) => self.0.push(before.to_vec()),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.tree(before, item));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    // `pub(super)` is no import.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.ident != "tests" {
            syn::visit::visit_item_mod(self, item);
        }
    }
}

/// Which files each file imports from.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let files = source();
    let modules: BTreeMap<Vec<String>, &String> =
        files.keys().map(|file| (module_path(file), file)).collect();
    let mut imports = BTreeMap::new();
    for (file, code) in &files {
        let parsed = syn::parse_file(code).unwrap_or_else(|error| panic!("src/{file}: {error}"));
        let mut paths = Paths::default();
        paths.visit_file(&parsed);
        let own = module_path(file);
        let imported = paths.0.iter().filter_map(|path| resolve(path, &own, &modules));
        let imported = imported.filter(|other| *other != file).cloned().collect();
        imports.insert(file.clone(), imported);
    }
    imports
}

/// The file of the deepest module that a path goes through; `None` for other crates and local
/// names.
fn resolve<'a>(
    path: &[String],
    own: &[String],
    modules: &BTreeMap<Vec<String>, &'a String>,
) -> Option<&'a String> {
    let mut at = own.to_vec();
    let mut rest = path;
    match path.first().map(String::as_str) {
        Some("crate" | "bootproof") => {
            at.clear();
            rest = &rest[1..];
        }
        Some("super") => {
            while rest.first().is_some_and(|first| first == "super") {
                at.pop();
                rest = &rest[1..];
            }
        }
        Some("self") => rest = &rest[1..],
        Some(first) => {
            let child = [own, &[first.to_owned()]].concat();
            modules.get(&child)?;
        }
        None => return None,
    }
    for segment in rest {
        let below = [at.as_slice(), std::slice::from_ref(segment)].concat();
        if !modules.contains_key(&below) {
            break;
        }
        at = below;
    }
    modules.get(&at).copied()
}

fn module(path: &str) -> &str {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

fn may_import(module: &str) -> BTreeSet<&'static str> {
    let row = MAY_IMPORT.iter().find(|(name, _)| *name == module);
    row.unwrap_or_else(|| panic!("`{module}` is new: give it a row")).1.iter().copied().collect()
}

#[test]
fn modules_import_only_what_lies_below_them() {
    for (path, imported) in imports() {
        let module = module(&path);
        let allowed = may_import(module);
        for other in &imported {
            let name = self::module(other);
            assert!(name == module || allowed.contains(name), "src/{path} imports {name}");
        }
    }
}

#[test]
fn imports_run_one_way_and_the_pure_core_knows_no_shell() {
    for (index, (module, imports)) in MAY_IMPORT.iter().enumerate() {
        for import in *imports {
            let below = MAY_IMPORT[..index].iter().any(|(name, _)| name == import);
            assert!(below, "`{module}` imports `{import}`, which does not lie below it");
        }
    }
    for core in ["assertion", "spec", "analysis", "outcome"] {
        for shell in ["run", "probe", "ssh", "report", "lab", "cli", "harness"] {
            assert!(!may_import(core).contains(shell), "`{core}` imports `{shell}`");
        }
    }
    let importers =
        MAY_IMPORT.iter().filter(|(_, imports)| imports.contains(&"lab")).map(|(name, _)| *name);
    assert_eq!(importers.collect::<Vec<_>>(), ["cli"], "nobody imports lab but cli");
}

#[test]
fn each_big_dependency_has_one_doorway() {
    let files = source();
    for (name, doorways) in DOORWAYS {
        let named = Regex::new(&format!(r"\b{name}\b")).unwrap();
        let users: Vec<&String> =
            files.iter().filter(|(_, code)| named.is_match(code)).map(|(path, _)| path).collect();
        assert!(!users.is_empty(), "nobody uses {name}");
        for path in users {
            assert!(
                doorways.iter().any(|doorway| path.starts_with(doorway)),
                "src/{path} names {name}"
            );
        }
    }
}

#[test]
fn only_the_command_line_and_the_harness_print() {
    let printing = Regex::new(r"\be?print(ln)?!").unwrap();
    for (path, _) in source().iter().filter(|(_, code)| printing.is_match(code)) {
        assert!(path == "harness.rs" || path.starts_with("cli/"), "src/{path} prints");
    }
}

/// A circle of imports, if there is one: each file imports the next, and the last one the first.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<&str>> {
    let mut left: BTreeMap<&str, BTreeSet<&str>> = imports
        .iter()
        .map(|(file, others)| (file.as_str(), others.iter().map(String::as_str).collect()))
        .collect();
    // Take away files that import nothing that is left: what stays is circles and who imports them.
    while let Some(file) = left.iter().find(|(_, others)| others.is_empty()).map(|(file, _)| *file)
    {
        left.remove(file);
        for others in left.values_mut() {
            others.remove(file);
        }
    }
    let mut walked = vec![*left.keys().next()?];
    loop {
        let next = *left[walked[walked.len() - 1]].first()?;
        if let Some(start) = walked.iter().position(|file| *file == next) {
            return Some(walked.split_off(start));
        }
        walked.push(next);
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = imports();
    let circle = circle(&imports);
    assert!(circle.is_none(), "these files import each other in a circle: {circle:?}");
}

#[test]
fn the_report_does_not_know_the_engine() {
    for room in ["report", "record"] {
        for engine in ["run", "ssh", "probe", "gate"] {
            assert!(!may_import(room).contains(engine), "`{room}` may import `{engine}`");
        }
    }
}

#[test]
fn only_the_gate_starts_a_run() {
    let starting = Regex::new(r"\b(Runner|Engine)::start\b").unwrap();
    let files = source();
    let callers =
        files.iter().filter(|(path, code)| !path.starts_with("run/") && starting.is_match(code));
    assert_eq!(callers.map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["gate.rs"]);
    for file in ["tests/faults.rs", "tests/lab.rs"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        assert!(!starting.is_match(&text), "{file} starts a run past the gate");
    }
}
