//! `--help` reads well at 80 columns, for every subcommand.

use std::process::Command;

const SUBCOMMANDS: [&str; 20] = [
    "",
    "check",
    "plan",
    "lint",
    "prove",
    "merge",
    "schema",
    "import",
    "lab",
    "lab build",
    "lab up",
    "lab status",
    "lab ssh",
    "lab logs",
    "lab snapshot",
    "lab restore",
    "lab pause",
    "lab resume",
    "lab reboot",
    "lab down",
];

fn help(subcommand: &str, columns: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootproof"));
    command.args(subcommand.split_whitespace()).arg("--help").env("COLUMNS", columns);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{subcommand}");
    String::from_utf8(output.stdout).unwrap()
}

/// A paragraph is a run of lines that begin at the margin. Wrapped once, each of its lines holds as
/// many words as fit; a text that was broken by hand and then wrapped again does not.
fn wrapped_twice(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    lines.windows(2).find_map(|pair| {
        let [line, next] = pair else { return None };
        let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
        let heading = line.ends_with(':');
        let ends = line.ends_with(['.', ')']) || heading;
        let first = next.split(' ').next().unwrap_or_default();
        let short = line.chars().count() + 1 + first.chars().count() <= 80;
        (is_prose(line) && is_prose(next) && !ends && short).then(|| format!("{line}\n{next}"))
    })
}

#[test]
fn help_fits_80_columns_and_is_wrapped_once() {
    for subcommand in SUBCOMMANDS {
        let text = help(subcommand, "80");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{subcommand}: {line}");
        }
        assert_eq!(wrapped_twice(&text), None, "bootproof {subcommand} --help");
    }
}

#[test]
fn every_subcommand_shows_an_example() {
    for subcommand in SUBCOMMANDS.iter().filter(|name| !name.is_empty()) {
        assert!(help(subcommand, "80").contains("Example"), "bootproof {subcommand} --help");
    }
}

#[test]
fn text_that_was_wrapped_twice_is_found() {
    let twice = "An assertion that cannot fail proves nothing. `prove` runs each one as it is,\nand\n\
                 then with a counter-example";
    assert!(wrapped_twice(twice).is_some());
}
