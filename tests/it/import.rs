//! Blueprints: what an import writes, what it refuses, and that imported labs need no line of Rust.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bootproof::assertion::port_listening::READ_SOCKET_TABLES;
use bootproof::lab::recipe::Recipe;
use bootproof::spec::inventory::Inventory;
use bootproof::spec::suite::Suite;
use serde_json::{Value, json};

use crate::fake_vm::{FakeVm, Login, Script, Sudo, http, serve_http};
use crate::scene::{Run, Scene, redact};

const IMMICH: &str = include_str!("labs/immich-photo-vault.blueprint.json");
const PAPERLESS: &str = include_str!("labs/paperless-documents.blueprint.json");
const DNS: &str = include_str!("labs/dns-lab.blueprint.json");

/// A small blueprint in camelCase, in which tests plant mistakes.
const SMALL: &str = r##"{
  "name": "small",
  "nodes": [
    { "name": "web", "role": "app", "alias": "10.9.0.1/24", "memoryGb": 1, "diskGb": 8, "recipe": {
        "os": { "base": "debian-trixie", "arch": "x86_64", "features": ["ssh"], "packages": ["openssh-server"],
          "users": [{ "name": "me", "password": "pw", "groups": ["sudo"] }],
          "network": { "dhcp": true, "dns": ["1.1.1.1"] },
          "firewall": { "enabled": false },
          "startupScripts": [{ "content": "#!/bin/sh\nip addr add 10.9.0.1/24 dev eth0 || true", "after": "network-online.target" }] },
        "testConfig": { "enabled": false, "tests": [] } } },
    { "name": "db", "role": "database", "alias": "10.9.0.2/24", "memoryGb": 1, "diskGb": 8 }
  ],
  "connections": [{ "from": "web", "to": "db", "port": 5432 }],
  "recipes": [
    { "name": "db",
      "os": { "base": "debian-trixie", "arch": "x86_64", "features": ["ssh"], "packages": ["openssh-server"],
        "users": [{ "name": "me", "password": "pw" }],
        "network": { "dhcp": true, "dns": ["1.1.1.1"] },
        "firewall": { "enabled": false },
        "startupScripts": [{ "content": "#!/bin/sh\nip addr add 10.9.0.2/24 dev eth0" }] },
      "testConfig": { "enabled": false, "tests": [] } }
  ],
  "scenarios": [
    { "name": "small-validation", "type": "group", "tests": [], "customTests": [
        { "name": "Ports", "assertions": [
            { "type": "port_listening", "onVm": "db", "port": 5432 },
            { "type": "command_output", "onVm": "web", "command": "true" } ] } ] }
  ],
  "warnings": ["Backup is a deployment-time concern."]
}
"##;

/// A title, a part of the valid blueprint, and the mistake that replaces it.
type Case = (&'static str, &'static str, &'static str);

const SCENARIO: &str = r#"    { "name": "small-validation", "type": "group""#;
const DB: &str = r#""alias": "10.9.0.2/24", "memoryGb": 1, "diskGb": 8"#;

const WRONG: &[Case] = &[
    // The scenario.
    (
        "two scenarios",
        SCENARIO,
        r#"    { "name": "other", "type": "group", "customTests": [
        { "name": "Other", "assertions": [{ "type": "port_listening", "onVm": "db", "port": 1 }] }] },
    { "name": "small-validation", "type": "group""#,
    ),
    ("a scenario that is no group", r#""type": "group", "#, ""),
    ("a scenario of another type", r#""type": "group""#, r#""type": "single""#),
    (
        "tests that are not empty",
        r#""tests": [], "customTests""#,
        r#""tests": ["boot"], "customTests""#,
    ),
    ("a scenario that is no file name", r#""small-validation""#, r#""../small""#),
    // The assertions.
    ("no on_vm", r#""onVm": "db", "#, ""),
    ("on_vm names no node", r#""onVm": "db""#, r#""onVm": "bd""#),
    ("vm_boots", r#""type": "command_output""#, r#""type": "vm_boots""#),
    ("network_reachable", r#""type": "command_output""#, r#""type": "network_reachable""#),
    ("service_running", r#""type": "command_output""#, r#""type": "service_running""#),
    ("a type of other suites", r#""type": "command_output""#, r#""type": "package_installed""#),
    ("misspelt type", r#""type": "command_output""#, r#""type": "comand_output""#),
    ("unknown key in an assertion", r#""port": 5432 },"#, r#""prot": 5432 },"#),
    (
        "two assertions with one id",
        r#""onVm": "web", "command": "true""#,
        r#""onVm": "web", "command": "true" },
            { "type": "command_output", "onVm": "web", "command": "true""#,
    ),
    // The recipes.
    (
        "test_config enabled",
        r#""enabled": false, "tests": [] } } },"#,
        r#""enabled": true, "tests": [] } } },"#,
    ),
    (
        "test_config with tests",
        r#""tests": [] } } },"#,
        r#""tests": [{ "type": "vm_boots" }] } } },"#,
    ),
    ("test_config with more", r#""tests": [] } } },"#, r#""tests": [], "timeout": 60 } } },"#),
    (
        "no test_config",
        r#"dev eth0" }] },
      "testConfig": { "enabled": false, "tests": [] } }"#,
        r#"dev eth0" }] } }"#,
    ),
    ("after is a list", r#""network-online.target""#, r#"["network-online.target"]"#),
    (
        "a script that is too long",
        r"|| true",
        r"|| true\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18\n19\n20\n21\n22\n23\n24\n25\n26\n27\n28\n29",
    ),
    (
        "a script in another language",
        r"#!/bin/sh\nip addr add 10.9.0.1",
        r"#!/usr/bin/python3\nip addr add 10.9.0.1",
    ),
    ("a script that does not add the alias", "ip addr add 10.9.0.1/24", "ip addr add 10.9.0.11/24"),
    ("two scripts", r#"dev eth0" }] },"#, r##"dev eth0" }, { "content": "#!/bin/sh" }] },"##),
    (
        "a script without text",
        r##"{ "content": "#!/bin/sh\nip addr add 10.9.0.2/24 dev eth0" }"##,
        "{}",
    ),
    (
        "a script whose file is not there",
        r##"{ "content": "#!/bin/sh\nip addr add 10.9.0.2/24 dev eth0" }"##,
        r#"{ "file": "absent.sh" }"#,
    ),
    (
        "a script that is no file name",
        r##"{ "content": "#!/bin/sh\nip addr add 10.9.0.2"##,
        r##"{ "file": "recipe.json", "content": "#!/bin/sh\nip addr add 10.9.0.2"##,
    ),
    (
        "no name server",
        r#""dns": ["1.1.1.1"] },
          "firewall""#,
        r#""dns": [] },
          "firewall""#,
    ),
    (
        "a firewall",
        r#""firewall": { "enabled": false },
          "startup"#,
        r#""firewall": { "enabled": true },
          "startup"#,
    ),
    ("no user", r#""users": [{ "name": "me", "password": "pw" }]"#, r#""users": []"#),
    (
        "another distribution",
        r#""debian-trixie", "arch": "x86_64", "features": ["ssh"], "packages": ["openssh-server"],
          "#,
        r#""debian-sid", "arch": "x86_64", "features": ["ssh"], "packages": ["openssh-server"],
          "#,
    ),
    ("a recipe that is not there", r#""diskGb": 8 }"#, r#""diskGb": 8, "recipe": "bd" }"#),
    (
        "a recipe without a name",
        r#"{ "name": "db",
      "os""#,
        r#"{ "os""#,
    ),
    ("another name in the recipe", r#""recipe": {"#, r#""recipe": { "name": "wbe","#),
    // The nodes.
    ("two nodes with one name", r#"{ "name": "db", "role""#, r#"{ "name": "web", "role""#),
    ("a name that is no host name", r#"{ "name": "db", "role""#, r#"{ "name": "../db", "role""#),
    ("two nodes with one alias", "10.9.0.2", "10.9.0.1"),
    ("no alias", r#""alias": "10.9.0.2/24", "#, ""),
    ("an invalid alias", "10.9.0.2/24", "10.9.0.2"),
    (
        "no role, no alias and no disk",
        r#""role": "database", "alias": "10.9.0.2/24", "memoryGb": 1, "diskGb": 8"#,
        r#""memoryGb": 1"#,
    ),
    ("no role", r#""role": "database", "#, ""),
    ("no disk", DB, r#""alias": "10.9.0.2/24", "memoryGb": 1"#),
    ("memory in MB", DB, r#""alias": "10.9.0.2/24", "ram": 4096, "diskGb": 8"#),
    ("half a GB", DB, r#""alias": "10.9.0.2/24", "ram": "512 MB", "diskGb": 8"#),
    (
        "two spellings of one key",
        DB,
        r#""alias": "10.9.0.2/24", "ram": 1, "memoryGb": 1, "diskGb": 8"#,
    ),
    (
        "node and recipe differ",
        r#"{ "name": "db",
      "os""#,
        r#"{ "name": "db", "role": "queue", "resources": { "disk": "16 GB" },
      "os""#,
    ),
    ("x without y", DB, r#""alias": "10.9.0.2/24", "memoryGb": 1, "diskGb": 8, "x": 1"#),
    (
        "unknown key in a node",
        r#""memoryGb": 1, "diskGb": 8 }"#,
        r#""memoryGb": 1, "diskGb": 8, "rolle": 1 }"#,
    ),
    // The blueprint.
    ("connection to nowhere", r#""to": "db""#, r#""to": "bd""#),
    ("connection to port 0", r#""port": 5432 }],"#, r#""port": 0 }],"#),
    ("no name", r#""name": "small","#, ""),
    ("two names", r#""name": "small","#, r#""name": "small", "lab": "large","#),
    ("a name that is taken", r#""name": "small","#, r#""name": "local","#),
    ("a name that is no file name", r#""name": "small","#, r#""name": "a small lab","#),
    ("no warnings", r#""warnings": ["Backup is a deployment-time concern."]"#, r#""warnings": []"#),
    ("an empty warning", r#""Backup is a deployment-time concern.""#, r#""Backup", " ""#),
    ("a warning that is no text", r#""Backup is a deployment-time concern.""#, "{}"),
    ("unknown key", r#""connections": ["#, r#""conections": ["#),
];

fn wrong(case: &Case) -> String {
    let (title, right, wrong) = case;
    assert!(SMALL.contains(right), "{title}: {right}");
    SMALL.replace(right, wrong)
}

/// The small blueprint with an empty list under this key.
fn without(list: &str) -> String {
    let mut blueprint = json_of(SMALL);
    blueprint[list] = json!([]);
    blueprint.to_string()
}

fn lint(text: &str) -> (Scene, Run) {
    let scene = Scene::new();
    scene.write("blueprint.json", text);
    let run = scene.bootproof(&["lint", "blueprint.json"]);
    (scene, run)
}

#[test]
fn mistakes_are_reported_with_file_line_and_hint() {
    let mut messages = String::new();
    let (_, right) = lint(SMALL);
    assert_eq!((right.code, right.stderr.as_str()), (Some(0), ""));
    for case in WRONG {
        let (scene, run) = lint(&wrong(case));
        assert_eq!(run.code, Some(2), "{}: {}", case.0, run.transcript());
        messages += &format!("# {}\n{}\n", case.0, redact(&run.stderr, &scene));
    }
    for (title, text) in [
        ("no scenario", without("scenarios")),
        ("no node", without("nodes")),
        ("truncated", SMALL[..SMALL.len() / 2].to_owned()),
    ] {
        let (_, run) = lint(&text);
        assert_eq!(run.code, Some(2), "{title}: {}", run.transcript());
        messages += &format!("# {title}\n{}\n", run.stderr);
    }
    insta::assert_snapshot!("wrong_blueprints", messages);
}

#[test]
fn import_refuses_what_lint_refuses_and_writes_nothing() {
    for case in &WRONG[..8] {
        let (scene, run) = lint(&wrong(case));
        let import = scene.bootproof(&["import", "blueprint.json", "--into", "lab"]);
        assert_eq!((import.code, import.stderr), (Some(2), run.stderr), "{}", case.0);
        assert!(!scene.path("lab").exists());
    }
}

/// A scene with a lab that was imported from this blueprint.
fn imported(blueprint: &str) -> Scene {
    let scene = Scene::new();
    scene.write("blueprint.json", blueprint);
    let run = scene.bootproof(&["import", "blueprint.json", "--into", "lab"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", run.transcript());
    scene
}

/// Path below `folder`, and text, of every file.
fn tree(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        for path in fs::read_dir(one).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), text);
            }
        }
    }
    files
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_blueprint_of_the_reference_lab_gives_its_files() {
    let scene = imported(IMMICH);
    let files = tree(&scene.path("lab"));
    assert_eq!(files.len(), 10);
    for (path, text) in files {
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
        let expected = fs::read_to_string(&ours).unwrap();
        if path.extension().is_some_and(|extension| extension == "json") {
            assert_eq!(json_of(&text), json_of(&expected), "{}", path.display());
        } else {
            assert_eq!(text, expected, "{}", path.display());
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let program = path.extension().is_some_and(|extension| extension == "sh");
        assert_eq!(
            mode(&scene.path("lab").join(&path)),
            if program { 0o755 } else { 0o644 },
            "{}",
            path.display()
        );
    }
}

/// Every word in capitals within a key becomes a word of its own.
fn in_snake_case(value: &Value) -> Value {
    let snake = |key: &String| {
        let letters = key.chars().map(|c| {
            if c.is_uppercase() { format!("_{}", c.to_lowercase()) } else { c.to_string() }
        });
        letters.collect::<String>()
    };
    match value {
        Value::Object(keys) => {
            keys.iter().map(|(key, value)| (snake(key), in_snake_case(value))).collect()
        }
        Value::Array(all) => all.iter().map(in_snake_case).collect(),
        other => other.clone(),
    }
}

#[test]
fn camel_case_and_snake_case_give_the_same_files() {
    for blueprint in [IMMICH, DNS] {
        let snake = in_snake_case(&json_of(blueprint)).to_string();
        assert!(blueprint.contains("customTests") && snake.contains("custom_tests"));
        assert_eq!(tree(&imported(blueprint).path("lab")), tree(&imported(&snake).path("lab")));
    }
}

#[test]
fn names_of_headers_are_kept() {
    let text = fs::read_to_string(
        imported(PAPERLESS).path("lab/suites/paperless-documents-validation.json"),
    )
    .unwrap();
    // `from` is a key of the format, `From` a header.
    assert!(text.contains("\"From\": \"admin@lab.example\""), "{text}");
}

/// The texts under every `warnings` in a JSON value.
fn warnings_in(value: &Value) -> Vec<String> {
    match value {
        Value::Object(keys) => keys
            .iter()
            .flat_map(|(key, below)| match (key.as_str(), below) {
                ("warnings", Value::Array(all)) => {
                    all.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
                }
                _ => warnings_in(below),
            })
            .collect(),
        Value::Array(all) => all.iter().flat_map(warnings_in).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn no_warning_is_lost() {
    let with_one_at_a_node = DNS.replacen(
        "\"role\": \"client\",",
        "\"role\": \"client\", \"warnings\": [\"At the node.\"],",
        1,
    );
    for blueprint in [IMMICH, PAPERLESS, &with_one_at_a_node] {
        let mut expected = warnings_in(&json_of(blueprint));
        let files = tree(&imported(blueprint).path("lab"));
        let json = files
            .iter()
            .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "json"));
        let mut kept: Vec<_> = json.flat_map(|(_, text)| warnings_in(&json_of(text))).collect();
        expected.sort();
        kept.sort();
        assert!(expected.len() > 3);
        assert_eq!(expected, kept);
    }
}

#[test]
fn lint_reports_warnings_that_the_lab_lost() {
    let scene = imported(PAPERLESS);
    let files = ["lab/inventory/paperless-documents.json", "lab/recipes/paperless-db/recipe.json"];
    let lint = || scene.bootproof(&[&["lint", "blueprint.json"], &files[..]].concat());
    assert_eq!(lint().code, Some(0), "{}", lint().transcript());
    for (file, warning) in [(files[0], "Mail accounts"), (files[1], "Backup")] {
        let text = scene.read(file);
        scene.write(file, text.replace(warning, "Other"));
        let run = lint();
        assert_eq!(run.code, Some(2));
        assert!(run.stderr.contains("lacks the warning \""), "{}", run.stderr);
        assert!(run.stderr.contains(warning), "{}", run.stderr);
        scene.write(file, text);
    }
}

#[test]
fn a_slightly_long_script_is_a_warning() {
    let long =
        |lines: usize| SMALL.replace("|| true", &format!("|| true{}", "\\ntrue".repeat(lines - 2)));
    assert_eq!(lint(&long(25)).1.stderr, "");
    let (scene, run) = lint(&long(30));
    assert_eq!(run.code, Some(0));
    assert!(
        run.stderr.starts_with("warning: blueprint.json:9: web: the startup script has 30 lines"),
        "{}",
        run.stderr
    );
    assert_eq!(scene.bootproof(&["import", "blueprint.json"]).stderr, run.stderr);
    let recipe = scene.bootproof(&["lint", "recipes/web/recipe.json"]);
    assert_eq!(recipe.code, Some(0));
    assert!(
        recipe.stderr.contains("recipes/web/recipe.json: startup.sh: the startup script has 30"),
        "{}",
        recipe.stderr
    );
}

#[test]
fn every_recipe_must_add_its_alias() {
    let scene = imported(SMALL);
    scene.write("lab/recipes/web/startup.sh", "#!/bin/sh\n# ip addr add 10.9.0.1/24 dev eth0\n");
    let run = scene.bootproof(&["lint", "lab/recipes/web/recipe.json"]);
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr
            .contains("lab/recipes/web: no startup script adds the alias 10.9.0.1/24\n  hint: "),
        "{}",
        run.stderr
    );
}

#[test]
fn a_script_can_be_a_file_beside_the_blueprint() {
    let scene = Scene::new();
    let content = r##""content": "#!/bin/sh\nip addr add 10.9.0.2/24 dev eth0""##;
    assert!(SMALL.contains(content));
    fs::create_dir_all(scene.path("from/scripts")).unwrap();
    scene.write("from/blueprint.json", SMALL.replace(content, r#""file": "scripts/db.sh""#));
    let script = "#!/bin/sh -e\nip addr add 10.9.0.2/24 dev eth0\n";
    scene.write("from/scripts/db.sh", script);
    let run = scene.bootproof(&["import", "from/blueprint.json"]);
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    assert_eq!(scene.read("recipes/db/db.sh"), script);
    assert_eq!(scene.bootproof(&["lint", "recipes/db/recipe.json"]).code, Some(0));
}

#[test]
fn one_scenario_needs_no_list() {
    let single = SMALL
        .replace("\"scenarios\": [", "\"scenario\":")
        .replace("\"port\": 5432 },\n", "\"port\": 0 },\n");
    let single = single.replacen("] }\n  ],\n  \"warnings\"", "] },\n  \"warnings\"", 1);
    let (_, run) = lint(&single);
    assert!(run.stderr.contains("blueprint.json:26:55"), "{}", run.stderr);
    assert!(run.stderr.contains("at scenario.customTests[0].assertions[0].port"), "{}", run.stderr);
}

#[test]
fn importing_twice_changes_nothing() {
    let scene = imported(PAPERLESS);
    let before = tree(&scene.path("lab"));
    let written =
        |path: &PathBuf| fs::metadata(scene.path("lab").join(path)).unwrap().modified().unwrap();
    let times: Vec<_> = before.keys().map(written).collect();
    let run = scene.bootproof(&["import", "blueprint.json", "--into", "lab"]);
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    assert_eq!(run.stdout.matches("unchanged ").count(), before.len(), "{}", run.stdout);
    assert_eq!(tree(&scene.path("lab")), before);
    assert_eq!(before.keys().map(written).collect::<Vec<_>>(), times);
}

#[test]
fn files_with_other_content_are_listed_and_kept_unless_forced() {
    let scene = imported(PAPERLESS);
    let whole = tree(&scene.path("lab"));
    scene.write("lab/recipes/paperless-db/startup.sh", "mine\n");
    fs::remove_file(scene.path("lab/inventory/paperless-documents.json")).unwrap();
    let before = tree(&scene.path("lab"));
    let run = scene.bootproof(&["import", "blueprint.json", "--into", "lab"]);
    assert_eq!(run.code, Some(2));
    assert_eq!(
        run.stderr,
        "error: these files exist with different content, so bootproof wrote nothing:\n  \
         lab/recipes/paperless-db/startup.sh\n  \
         hint: use --force to replace them, or --into FOLDER to write elsewhere\n"
    );
    assert_eq!(tree(&scene.path("lab")), before);
    let run = scene.bootproof(&["import", "blueprint.json", "--into", "lab", "--force"]);
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    assert!(
        run.stdout.contains("replaced   lab/recipes/paperless-db/startup.sh\n"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains("wrote      lab/inventory/paperless-documents.json\n"),
        "{}",
        run.stdout
    );
    assert_eq!(tree(&scene.path("lab")), whole);
}

#[test]
fn recipes_of_another_lab_are_not_mixed_in() {
    let scene = imported(PAPERLESS);
    scene.write("small.json", SMALL);
    let before = tree(&scene.path("lab"));
    let run = scene.bootproof(&["import", "small.json", "--into", "lab"]);
    assert_eq!(run.code, Some(2));
    let others = "lab/recipes has recipes that are not in the blueprint, so bootproof wrote \
                  nothing: paperless-broker, paperless-db, paperless-web\n";
    assert!(run.stderr.contains(others), "{}", run.stderr);
    assert_eq!(tree(&scene.path("lab")), before);
}

#[test]
fn a_failed_import_leaves_nothing() {
    // A folder cannot be made where a file stands.
    let scene = Scene::new();
    scene.write("blueprint.json", SMALL);
    fs::create_dir(scene.path("lab")).unwrap();
    scene.write("lab/recipes", "a file");
    let run = scene.bootproof(&["import", "blueprint.json", "--into", "lab", "--force"]);
    assert_eq!(run.code, Some(70), "{}", run.transcript());
    assert!(run.stderr.contains("hint: nothing was changed"), "{}", run.stderr);
    let left: Vec<_> =
        fs::read_dir(scene.path("lab")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["recipes"]);

    // A file cannot be renamed over a folder; what was renamed before is taken back.
    let scene = imported(SMALL);
    scene.write("lab/inventory/small.json", "{}");
    fs::remove_file(scene.path("lab/suites/small-validation.json")).unwrap();
    fs::remove_file(scene.path("lab/recipes/db/startup.sh")).unwrap();
    fs::create_dir_all(scene.path("lab/recipes/db/startup.sh")).unwrap();
    let before = tree(&scene.path("lab"));
    let run = scene.bootproof(&["import", "blueprint.json", "--into", "lab", "--force"]);
    assert_eq!(run.code, Some(70), "{}", run.transcript());
    assert_eq!(tree(&scene.path("lab")), before);
}

/// The ids of `bootproof plan` on an imported lab.
fn ids(scene: &Scene, lab: &str) -> Vec<String> {
    let (inventory, suite) =
        (format!("lab/inventory/{lab}.json"), format!("lab/suites/{lab}-validation.json"));
    let run = scene.bootproof(&["plan", "--verbose", "-i", &inventory, "-s", &suite]);
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    run.stdout
        .lines()
        .filter(|line| line.starts_with("  ") && line.contains("::"))
        .map(|line| line.trim().to_owned())
        .collect()
}

/// `bootproof lint` on the blueprint and all imported files.
fn lint_all(scene: &Scene, lab: &str) {
    let recipes = fs::read_dir(scene.path("lab/recipes")).unwrap();
    let recipes = recipes.map(|entry| format!("{}/recipe.json", entry.unwrap().path().display()));
    let files: Vec<String> = [
        "blueprint.json".to_owned(),
        format!("lab/inventory/{lab}.json"),
        format!("lab/suites/{lab}-validation.json"),
    ]
    .into_iter()
    .chain(recipes)
    .collect();
    let arguments: Vec<&str> =
        ["lint"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let run = scene.bootproof(&arguments);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", run.transcript());
}

/// `bootproof check` on an imported lab with fake VMs.
fn check(scene: &Scene, lab: &str, vms: &[(&str, &FakeVm)]) -> Run {
    let path = format!("lab/inventory/{lab}.json");
    let mut inventory = json_of(&scene.read(&path));
    for (name, vm) in vms {
        inventory["vms"][name]["ssh"]["host"] = json!("127.0.0.1");
        inventory["vms"][name]["ssh"]["port"] = json!(vm.port);
    }
    // The lab's addresses do not exist here, so its TCP wires cannot be checked.
    inventory["connections"].as_array_mut().unwrap().retain(|wire| wire["protocol"] == "udp");
    scene.write(&path, inventory.to_string());
    let suite = format!("lab/suites/{lab}-validation.json");
    scene.bootproof(&["check", "-i", &path, "-s", &suite, "--once", "--report-json", "report.json"])
}

fn vm_of(user: &str, password: &str) -> Script {
    Script {
        login: Login::password(password).of(user),
        sudo: Sudo::Password(password.to_owned()),
        ..Script::default()
    }
}

#[test]
fn a_lab_with_other_users_ports_and_networks_needs_no_code() {
    let lab = "paperless-documents";
    let scene = imported(PAPERLESS);
    lint_all(&scene, lab);
    assert_eq!(
        ids(&scene, lab),
        [
            "ports-listen::paperless-web::8010",
            "api-answers::paperless-web::documents",
            "web-reaches-backends::paperless-web::backends-reachable",
            "wires::paperless-web::paperless-db-5433",
            "wires::paperless-web::paperless-broker-6380",
            "ports-listen::paperless-db::5433",
            "database-is-restricted::paperless-db::subnet-acl",
            "ports-listen::paperless-broker::6380",
        ]
    );
    let vm = || vm_of("admin", "paperless-admin");
    let reach =
        "nc -z -w 5 10.88.5.12 5433 && nc -z -w 5 10.88.5.13 6380 && echo backends-reachable";
    let grep = "grep -c '^host paperless' /etc/postgresql/17/main/pg_hba.conf";
    let web =
        Script { listening: vec![22, 8010], ..vm() }.prints(reach, "backends-reachable\n").start();
    let db = Script { listening: vec![22, 5433], ..vm() }.prints(grep, "1\n").start();
    let broker = Script { listening: vec![22, 6380], ..vm() }.start();
    let suite = format!("lab/suites/{lab}-validation.json");
    let api = serve_http(http("200 OK", r#"{"documents":0}"#));
    scene.write(&suite, scene.read(&suite).replace(":8010/", &format!(":{api}/")));
    let vms = [("paperless-web", &web), ("paperless-db", &db), ("paperless-broker", &broker)];
    check(&scene, lab, &vms).expect(0, &["passed"; 6]);

    let broker = broker.restart(vm());
    let run = check(&scene, lab, &[("paperless-broker", &broker)]);
    run.expect(1, &["passed", "passed", "failed", "passed", "passed", "passed"]);
}

/// Socket tables with sockets bound to these UDP ports, and sshd.
fn udp_tables(ports: &[u16]) -> String {
    let line = |port: &u16| format!("   0: 00000000:{port:04X} 00000000:0000 07 0:0 0 0 0 0 1\n");
    let head = "  sl  local_address rem_address   st\n";
    let udp: String = ports.iter().map(line).collect();
    format!(
        "@tcp\n{head}   0: 00000000:0035 00000000:0000 0A 0:0 0 0 0 0 1\n@tcp6\n@udp\n{head}{udp}@udp6\n@end\n"
    )
}

#[test]
fn a_lab_with_udp_services_and_a_user_per_vm_needs_no_code() {
    let lab = "dns-lab";
    let scene = imported(DNS);
    lint_all(&scene, lab);
    assert_eq!(
        ids(&scene, lab),
        [
            "udp-services-listen::ns1::53-udp",
            "udp-services-listen::ns1::53",
            "udp-services-listen::ns2::53-udp",
            "udp-services-listen::clock::123-udp",
            "names-resolve::client-a::by-ns1",
            "wires::client-a::ns1-53-udp",
            "wires::client-a::ns2-53-udp",
            "wires::client-a::clock-123-udp",
            "names-resolve::client-b::by-ns2",
            "wires::client-b::ns1-53-udp",
            "wires::client-b::ns2-53-udp",
            "wires::client-b::clock-123-udp",
        ]
    );
    let connections = &json_of(&scene.read("lab/inventory/dns-lab.json"))["connections"];
    assert_eq!(
        connections[2],
        json!({"from": "client-a", "to": "clock", "port": 123, "protocol": "udp", "intent": "time"})
    );
    let serves = |user: &str, password: &str, port: u16| {
        vm_of(user, password).prints(READ_SOCKET_TABLES, udp_tables(&[68, port])).start()
    };
    let asks = |user: &str, password: &str, server: &str| {
        let dig = format!("dig +short +time=2 @{server} clock.lab.example");
        vm_of(user, password).prints(&dig, "172.20.7.4\n").start()
    };
    let ns1 = serves("resolver", "resolver-one", 53);
    let ns2 = serves("resolver", "resolver-two", 53);
    let clock = serves("timekeeper", "tick-tock", 123);
    let (a, b) = (asks("alice", "alices-own", "172.20.7.2"), asks("bob", "bobs-own", "172.20.7.3"));
    let vms = [("ns1", &ns1), ("ns2", &ns2), ("clock", &clock), ("client-a", &a), ("client-b", &b)];
    check(&scene, lab, &vms).expect(0, &["passed"; 12]);
    assert_eq!(a.logins(), ["password"]);

    let clock = clock
        .restart(vm_of("timekeeper", "tick-tock").prints(READ_SOCKET_TABLES, udp_tables(&[68])));
    let run = check(&scene, lab, &[("clock", &clock)]);
    let half = ["passed", "passed", "failed", "passed", "passed", "passed"];
    let wires = ["passed", "passed", "failed", "passed", "passed", "failed"];
    run.expect(1, &[half, wires].concat());
    assert!(run.stdout.contains("nothing listens on 123/udp"), "{}", run.stdout);
}

#[test]
fn imported_files_are_valid() {
    for (lab, blueprint, assertions) in [
        ("immich-photo-vault", IMMICH, 10),
        ("paperless-documents", PAPERLESS, 6),
        ("dns-lab", DNS, 6),
    ] {
        let scene = imported(blueprint);
        let read = |path: String| scene.read(&path);
        let inventory = Inventory::parse("i", &read(format!("lab/inventory/{lab}.json"))).unwrap();
        let suite = Suite::parse("s", &read(format!("lab/suites/{lab}-validation.json"))).unwrap();
        assert_eq!(suite.assertions.len(), assertions);
        for (name, vm) in inventory.vms {
            let recipe =
                Recipe::parse("r", &read(format!("lab/recipes/{name}/recipe.json"))).unwrap();
            assert_eq!((recipe.name, recipe.lab.as_str()), (name, lab));
            assert_eq!(
                (Some(recipe.role), recipe.os.users[0].name.as_str()),
                (vm.role, vm.ssh.user.as_str())
            );
        }
    }
}

#[test]
fn the_schema_accepts_every_spelling_and_nothing_else() {
    let schema = json_of(&Scene::new().bootproof(&["schema", "blueprint"]).stdout);
    let schema = jsonschema::validator_for(&schema).unwrap();
    for blueprint in [IMMICH, PAPERLESS, DNS, SMALL] {
        let blueprint = json_of(blueprint);
        for spelled in [&blueprint, &in_snake_case(&blueprint)] {
            let errors: Vec<_> = schema
                .iter_errors(spelled)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{errors:#?}");
        }
    }
    for title in [
        "two scenarios",
        "no on_vm",
        "vm_boots",
        "test_config with more",
        "after is a list",
        "unknown key in a node",
    ] {
        let case = WRONG.iter().find(|case| case.0 == title).unwrap();
        assert!(!schema.is_valid(&json_of(&wrong(case))), "{title}");
    }
}

#[test]
fn the_next_steps_work_in_the_folder_of_the_lab() {
    let scene = Scene::new();
    scene.write("blueprint.json", PAPERLESS);
    let here = scene.bootproof(&["import", "blueprint.json"]).stdout;
    let there = scene.bootproof(&["import", "blueprint.json", "--into", "my labs/one"]).stdout;
    let steps = |printed: &str| printed.split_once("\nNext:\n").unwrap().1.to_owned();
    assert_eq!(steps(&there), format!("  cd 'my labs/one'\n{}", steps(&here)));
    let suite = "suites/paperless-documents-validation.json";
    let local = format!("\n  bootproof check -i inventory/local.json -s {suite} --wait 5m\n");
    assert!(here.contains(&local), "{here}");
    let mut commands = 0;
    for line in steps(&here).lines().filter_map(|line| line.strip_prefix("  bootproof ")) {
        // A shell expands the pattern of the recipes.
        let words = line.replace("recipes/*/", "recipes/paperless-db/");
        let arguments: Vec<&str> = words.split(' ').collect();
        if ["lint", "plan"].contains(&arguments[0]) {
            let run = scene.bootproof(&arguments);
            assert_eq!(run.code, Some(0), "{line}: {}", run.transcript());
            commands += 1;
        }
    }
    assert_eq!(commands, 2);
}
