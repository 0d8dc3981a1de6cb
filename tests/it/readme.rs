//! What the README shows is so: its examples are understood, and its commands print what stands there.

use std::process::Command;

use bootproof::spec::inventory::Inventory;
use bootproof::spec::suite::Suite;

const README: &str = include_str!("../../README.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_examples_of_inventory_and_suite_are_understood() {
    let [inventory, suite] = blocks("json")[..] else { panic!("one inventory and one suite") };
    let inventory = Inventory::parse("README.md", inventory).unwrap();
    let suite = Suite::parse("README.md", suite).unwrap();
    bootproof::spec::plan::Plan::resolve(&[suite], inventory).unwrap();
}

#[test]
fn commands_that_need_no_vm_print_what_the_readme_shows() {
    let mut run = 0;
    for block in blocks("console") {
        let (command, shown) = block.split_once('\n').unwrap();
        let Some(arguments) = command.strip_prefix("$ bootproof lint ") else { continue };
        let output = Command::new(env!("CARGO_BIN_EXE_bootproof"))
            .arg("lint")
            .args(arguments.split(' '))
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        assert_eq!(String::from_utf8(printed).unwrap(), shown, "{command}");
        run += 1;
    }
    assert_eq!(run, 2, "the README shows a good and a bad file");
}

#[test]
fn an_import_prints_what_the_readme_shows() {
    let block = blocks("console")
        .into_iter()
        .find(|block| block.starts_with("$ bootproof import "))
        .unwrap();
    let (command, shown) = block.split_once('\n').unwrap();
    let (plan, into) =
        command.strip_prefix("$ bootproof import ").unwrap().split_once(" --into ").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let plan = format!("{}/{plan}", env!("CARGO_MANIFEST_DIR"));
    let mut import = Command::new(env!("CARGO_BIN_EXE_bootproof"));
    let output =
        import.args(["import", &plan, "--into", into]).current_dir(folder.path()).output().unwrap();
    assert_eq!(String::from_utf8([output.stdout, output.stderr].concat()).unwrap(), shown);
}

#[test]
fn the_table_of_exit_codes_is_that_of_the_help() {
    for line in bootproof::exit_code::ExitCode::TABLE.lines().skip(1) {
        let (code, _) = line.trim().split_once(' ').unwrap();
        assert!(README.contains(&format!("\n| {code}")), "{code}");
    }
}
