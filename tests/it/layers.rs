//! The house rules of the source: who imports whom, and which file alone knows a big dependency.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use regex::Regex;

/// What each module of the library may import. Below are the rules that this table must itself obey.
const MAY_IMPORT: [(&str, &[&str]); 17] = [
    ("assertion", &[]),
    ("spec", &["assertion"]),
    ("outcome", &["assertion"]),
    ("health", &[]),
    ("evidence", &[]),
    ("secrets", &["spec"]),
    ("settings", &["secrets", "spec"]),
    ("ssh", &["assertion", "outcome", "secrets", "spec"]),
    ("probe", &["assertion", "evidence", "health", "outcome", "secrets", "ssh"]),
    ("run", &["assertion", "evidence", "health", "outcome", "probe", "secrets", "spec", "ssh"]),
    ("report", &["assertion", "evidence", "outcome", "run", "secrets", "spec", "ssh"]),
    ("exit_code", &["report", "run"]),
    ("harness", &["outcome", "report", "run", "settings", "spec"]),
    ("lab", &["spec"]),
    (
        "cli",
        &[
            "exit_code",
            "health",
            "lab",
            "outcome",
            "probe",
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
const DOORWAYS: [(&str, &[&str]); 12] = [
    ("russh", &["ssh/"]),
    ("reqwest", &["probe/http_responds.rs"]),
    ("libtest_mimic", &["harness.rs"]),
    ("jq_rs", &["assertion/jq.rs"]),
    ("tree_sitter", &["assertion/shell.rs"]),
    ("tree_sitter_bash", &["assertion/shell.rs"]),
    ("quick_xml", &["report/junit.rs"]),
    ("jsonc_parser", &["spec/source.rs"]),
    ("indicatif", &["cli/"]),
    ("clap", &["cli.rs", "cli/"]),
    ("tokio", &["ssh/", "probe/", "run/"]),
    (
        "std::fs",
        &["report/store.rs", "settings.rs", "secrets.rs", "ssh/host_key.rs", "lab/", "cli/lab.rs"],
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

fn module(path: &str) -> &str {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

fn may_import(module: &str) -> BTreeSet<&'static str> {
    let row = MAY_IMPORT.iter().find(|(name, _)| *name == module);
    row.unwrap_or_else(|| panic!("`{module}` is new: give it a row")).1.iter().copied().collect()
}

#[test]
fn modules_import_only_what_lies_below_them() {
    let import = Regex::new(r"\b(?:crate|bootproof)::([a-z_]+)").unwrap();
    for (path, code) in source() {
        let module = module(&path);
        let allowed = may_import(module);
        for name in import.captures_iter(&code).map(|found| found.extract::<1>().1[0].to_owned()) {
            assert!(name == module || allowed.contains(name.as_str()), "src/{path} imports {name}");
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
    for core in ["assertion", "spec", "outcome"] {
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
        assert!(
            ["cli.rs", "harness.rs"].contains(&path.as_str()) || path.starts_with("cli/"),
            "src/{path} prints"
        );
    }
}
