//! Files in YAML, and JSON with comments: they mean what the same files mean in JSON.

use std::fs;
use std::path::Path;

use bootproof::spec::source::Source;
use regex::Regex;
use serde_json::{Value, json};

use crate::fake_vm::Script;
use crate::scene::Scene;

const INVENTORY: &str = "immich-photo-vault";
const BLUEPRINT: &str = include_str!("labs/immich-photo-vault.blueprint.json");

fn ours(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A value as a YAML file, in block style wherever this is possible.
pub fn as_yaml(value: &Value) -> String {
    let mut text = String::from("# made of JSON\n");
    if is_flat(value) {
        text += &format!("{}\n", flat(value));
    } else {
        block(value, 0, &mut text);
    }
    text
}

fn is_flat(value: &Value) -> bool {
    match value {
        Value::Object(keys) => keys.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

fn block(value: &Value, indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                let key = string(key);
                if is_flat(value) {
                    *text += &format!("{pad}{key}: {} # c\n", flat(value));
                } else {
                    *text += &format!("{pad}{key}:\n");
                    block(value, indent + 2, text);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut below = String::new();
                if is_flat(item) {
                    below = format!("{}\n", flat(item));
                } else {
                    block(item, indent + 2, &mut below);
                }
                *text += &format!("{pad}- {}", below.trim_start_matches(' '));
            }
        }
        _ => {}
    }
}

fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        other => other.to_string(),
    }
}

/// Words without quotes, the rest in them.
fn string(text: &str) -> String {
    let is_plain = Regex::new("^[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$").unwrap();
    let is_word = ["true", "false", "null"].contains(&text.to_lowercase().as_str());
    if is_plain.is_match(text) && !is_word {
        return text.to_owned();
    }
    let escaped = text.chars().map(|letter| match letter {
        '"' | '\\' => format!("\\{letter}"),
        ' '..='~' => letter.to_string(),
        other => format!("\\U{:08x}", u32::from(other)),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// The same JSON with comments and trailing commas.
pub fn with_comments(value: &Value) -> String {
    let item_at_end = Regex::new(r"(?m)([^\s,\[{])\n(\s*[\]}])").unwrap();
    let text = format!("{value:#}");
    let text = item_at_end.replace_all(&text, "$1, // last, or: {\n$2");
    // Only between values does pretty JSON have a comma and a line feed.
    format!("/* c\n * c */ {} // c", text.replace(",\n", ", // c \"\n /* c */"))
}

#[test]
fn our_own_files_mean_the_same_in_yaml() {
    let scene = Scene::new();
    for folder in ["inventory", "suites"] {
        fs::create_dir(scene.path(folder)).unwrap();
    }
    let suites = ["validation", "contract"].map(|name| format!("suites/{INVENTORY}-{name}"));
    let inventory = format!("inventory/{INVENTORY}");
    for file in suites.iter().chain([&inventory]) {
        let text = ours(&format!("{file}.json"));
        scene.write(&format!("{file}.json"), &text);
        let mut value = Source::parse("f.json", &text).unwrap().value.clone();
        for suite in value.get_mut("suites").and_then(Value::as_array_mut).into_iter().flatten() {
            *suite = suite.as_str().unwrap().replace(".json", ".yml").into();
        }
        scene.write(&format!("{file}.yml"), as_yaml(&value));
    }
    let plan = |kind: &str, suites: &[&str]| {
        let inventory = format!("{inventory}.{kind}");
        let printed = scene.bootproof(&[&["plan", "-i", &inventory], suites].concat());
        assert_eq!(printed.code, Some(0), "{}", printed.transcript());
        printed.stdout.replace(&format!(".{kind}"), ".json")
    };
    let [validation, contract] = &suites;
    let both = |kind: &str| {
        let files = [validation, contract].map(|file| format!("{file}.{kind}"));
        plan(kind, &["-s", &files[0], "-s", &files[1]])
    };
    let expected = both("json");
    assert!(expected.lines().count() > 100, "{expected}");
    assert_eq!(both("yml"), expected);
    assert_eq!(plan("yml", &[]), plan("json", &[]), "the suites that the inventory names");
    let files = suites.iter().chain([&inventory]).map(|file| format!("{file}.yml"));
    let files: Vec<String> = files.collect();
    let files: Vec<&str> = ["lint"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let lint = scene.bootproof(&files);
    assert_eq!(lint.code, Some(0), "{}", lint.transcript());
}

#[test]
fn check_runs_files_in_yaml_and_in_json_with_comments() {
    let vm = Script::default().prints("true", "").start();
    let scene = Scene::with(&vm).run("vm", "true");
    for (kind, write) in [("yaml", as_yaml as fn(&Value) -> String), ("json", with_comments)] {
        let (inventory, suite) = (format!("lab.{kind}"), format!("checks.{kind}"));
        scene.write(&inventory, write(&scene.inventory));
        scene.write(&suite, write(&scene.suite));
        let run = scene.bootproof(&["check", "-i", &inventory, "-s", &suite, "--once"]);
        assert_eq!(run.code, Some(0), "{}", run.transcript());
    }
}

#[test]
fn selectors_and_templates_work_in_yaml() {
    let scene = Scene::new().vm_at("db-1", 1).vm_at("db-2", 1);
    scene.write("lab.yaml", as_yaml(&scene.inventory));
    let suite = "scenarios:\n- name: s\n  custom_tests:\n  - name: t\n    assertions:\n    \
                 - type: port_listening\n      on_vm: [\"*\", \"!db-2\"]\n      \
                 port: ${{ each.port }}\n      for_each: { port: [5432, 9187] } # no 22\n";
    scene.write("suite.yaml", suite);
    let plan = scene.bootproof(&["plan", "-i", "lab.yaml", "-s", "suite.yaml"]);
    assert_eq!(plan.code, Some(0), "{}", plan.transcript());
    for (id, is_there) in [("t::db-1::5432", true), ("t::db-1::9187", true), ("t::db-2::", false)] {
        assert_eq!(plan.stdout.contains(id), is_there, "{}", plan.stdout);
    }
}

#[test]
fn a_blueprint_in_yaml_makes_the_same_files() {
    let scene = Scene::new();
    scene.write("blueprint.json", BLUEPRINT);
    scene.write("blueprint.yaml", as_yaml(&serde_json::from_str(BLUEPRINT).unwrap()));
    let import = |kind: &str| {
        let file = format!("blueprint.{kind}");
        let run = scene.bootproof(&["import", &file, "--into", kind]);
        assert_eq!(run.code, Some(0), "{}", run.transcript());
        run.stdout.replace(&format!("{kind}/"), "").replace(&format!("cd {kind}"), "cd")
    };
    assert_eq!(import("yaml"), import("json"));
    let diff = std::process::Command::new("diff")
        .args(["-r", "json", "yaml"])
        .current_dir(scene.path("."))
        .output()
        .unwrap();
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
}

#[test]
fn a_recipe_may_be_yaml_but_not_both() {
    let scene = Scene::new();
    fs::create_dir_all(scene.path("recipes/redis")).unwrap();
    let recipe = ours("recipes/redis/recipe.json");
    scene.write("recipes/redis/startup.sh", ours("recipes/redis/startup.sh"));
    let value = serde_json::from_str(&recipe).unwrap();
    scene.write("recipes/redis/recipe.yaml", as_yaml(&value));
    let run = scene.bootproof(&["lint", "recipes/redis/recipe.yaml"]);
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    assert_eq!(run.stdout, "recipes/redis/recipe.yaml: ok: recipe with 1 startup script\n");
    scene.write("recipes/redis/recipe.json", recipe);
    let run = scene.bootproof(&["lint", "recipes/redis/recipe.yaml"]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    let message = "recipes/redis/recipe.json: this folder also has recipes/redis/recipe.yaml";
    assert!(run.stderr.contains(message), "{}", run.stderr);
}

#[test]
fn the_schemas_accept_yaml() {
    let scene = Scene::new();
    let schema = scene.bootproof(&["schema", "suite"]).stdout;
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let text = "# yaml-language-server: $schema=suite.schema.json\nscenarios:\n- name: s\n  \
                custom_tests:\n  - name: t\n    assertions:\n    - type: port_listening\n      \
                on_vm: redis # the cache\n      port: PORT\n";
    for (port, is_valid) in [("6379", true), ("no", false)] {
        let source = Source::parse("s.yaml", &text.replace("PORT", port)).unwrap();
        assert_eq!(schema.is_valid(&source.value), is_valid, "{port}");
    }
}

#[test]
fn what_looks_like_a_comment_in_a_text_stays_text() {
    let texts = json!(["a // b", "a /* b */ c", "a # b", "# a", "https://x/#y", "/*", "*/"]);
    let json = Source::parse("f.json", &with_comments(&texts)).unwrap();
    let yaml = Source::parse("f.yaml", &as_yaml(&texts)).unwrap();
    assert_eq!((&json.value, &yaml.value), (&texts, &texts));
    let block = "command: |\n  # a comment of the shell\n  curl http://h/#x # and one more\n";
    let block = Source::parse("f.yaml", block).unwrap();
    let text = "# a comment of the shell\ncurl http://h/#x # and one more\n";
    assert_eq!(block.value["command"], text);
}
