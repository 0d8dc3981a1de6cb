//! Laws of the pure core, for whatever input proptest makes up.

use std::collections::HashMap;
use std::time::Duration;

use bootproof::assertion::port_listening::parse_socket_tables;
use bootproof::assertion::{AssertionType, Mismatch};
use bootproof::lab::blueprint::Blueprint;
use bootproof::obstacle::Stage;
use bootproof::outcome::{Attempt, Cause, Outcome, Output, Stream, Verdict};
use bootproof::record::{RunRecord, Stop, Timeline, VmRecord};
use bootproof::report::nodes::folded;
use bootproof::report::redact::Redactor;
use bootproof::report::terminal::Screen;
use bootproof::report::text::{harmless, harmless_line};
use bootproof::report::{self, Report, junit, terminal};
use bootproof::secrets::{Secret, Secrets};
use bootproof::spec::inventory::Inventory;
use bootproof::spec::plan::Plan;
use bootproof::spec::source::Source;
use bootproof::spec::suite::Suite;
use proptest::collection::{hash_map, hash_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

use crate::corpus::properties;
use crate::yaml::{as_yaml, with_comments};

const INVENTORY: &str = include_str!("../../inventory/immich-photo-vault.json");
const SUITE: &str = include_str!("../../suites/immich-photo-vault-validation.json");
const BLUEPRINT: &str = include_str!("labs/immich-photo-vault.blueprint.json");
const RECIPE: &str = include_str!("../../recipes/redis/recipe.json");

/// Text with every kind of special character.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        vec(
            prop_oneof![
                any::<char>().prop_map(String::from),
                (0u32..0xa0)
                    .prop_filter_map("a character", |code| char::from_u32(code).map(String::from)),
                select(vec![
                    "\u{1b}[31m",
                    "\u{1b}]0;",
                    "\u{7}",
                    "\u{1b}\\",
                    "\r\n",
                    "\u{fffe}",
                    "]]>",
                    "&",
                    "<",
                    "\u{202e}",
                    "\u{9b}",
                    "ä",
                ])
                .prop_map(str::to_owned),
            ],
            0..40
        )
        .prop_map(|parts| parts.concat()),
    ]
}

/// JSON with keys of our formats.
fn any_json() -> impl Strategy<Value = Value> {
    let key = || {
        let words = vec![
            "scenarios",
            "custom_tests",
            "assertions",
            "tests",
            "name",
            "type",
            "on_vm",
            "params",
            "port",
            "command",
            "contains",
            "url",
            "jq",
            "matches",
            "timeout",
            "vms",
            "defaults",
            "ssh",
            "password",
            "via",
            "a.b",
            "a[0]",
            "",
        ];
        prop_oneof![4 => select(words).prop_map(str::to_owned), 1 => any::<String>()]
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(AssertionType::ALL.to_vec()).prop_map(|kind| Value::from(kind.word())),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            hash_map(key(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// One of our own files with one value replaced, renamed or removed.
fn mutated(file: &'static str) -> impl Strategy<Value = String> {
    (any::<Index>(), 0..3, any_json()).prop_map(move |(place, how, value)| {
        let mut document: Value = serde_json::from_str(file).unwrap();
        let mut pointers = Vec::new();
        pointers_of("", &document, &mut pointers);
        let pointer = place.get(&pointers);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match (document.pointer_mut(parent).unwrap(), how) {
            (Value::Object(map), 0) => drop(map.shift_remove(key)),
            (Value::Object(map), 1) => {
                let moved = map.shift_remove(key).unwrap();
                map.insert(format!("{key}x"), moved);
            }
            (Value::Array(list), 0) => drop(list.remove(key.parse().unwrap())),
            (parent, _) => match parent {
                Value::Object(map) => drop(map.insert(key.to_owned(), value)),
                Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
                _ => {}
            },
        }
        format!("{document:#}")
    })
}

fn pointers_of(prefix: &str, value: &Value, all: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(map) => {
            map.iter().map(|(key, value)| (format!("{prefix}/{key}"), value)).collect()
        }
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, value)| (format!("{prefix}/{index}"), value))
            .collect(),
        _ => Vec::new(),
    };
    for (pointer, value) in below {
        pointers_of(&pointer, value, all);
        all.push(pointer);
    }
}

/// One of our own files with some bytes removed, repeated or replaced.
fn torn(file: &'static str) -> impl Strategy<Value = String> {
    vec(
        (
            any::<Index>(),
            any::<Index>(),
            select(vec!["", "{", "}", "[", "]", "\"", ",", ":", "\\u0000", "1e999", "ä"]),
        ),
        1..4,
    )
    .prop_map(move |cuts| {
        cuts.into_iter().fold(file.to_owned(), |text, (from, to, with)| {
            let (from, to) = (from.index(text.len() + 1), to.index(text.len() + 1));
            let from = text.floor_char_boundary(from.min(to));
            let to = text.floor_char_boundary(to.min(from + 30)).max(from);
            format!("{}{with}{}", &text[..from], &text[to..])
        })
    })
}

fn parse_both(text: &str) -> Vec<Option<(usize, usize)>> {
    let inventory = Inventory::parse("inventory.json", text).err();
    let suite = Suite::parse("suite.json", text).err();
    [inventory, suite]
        .into_iter()
        .flatten()
        .flat_map(|errors| errors.0)
        .map(|error| error.place)
        .collect()
}

fn secrets(words: &[String]) -> Vec<Secret> {
    let vms: Map<String, Value> = words
        .iter()
        .enumerate()
        .map(|(index, word)| {
            (format!("vm{index}"), json!({"address": "h", "ssh": {"user": "u", "password": word}}))
        })
        .collect();
    let inventory = json!({"lab": "l", "vms": vms}).to_string();
    let inventory = Inventory::parse("inventory.json", &inventory).unwrap();
    Secrets::read(inventory.vms.values()).unwrap().values()
}

fn stages() -> impl Strategy<Value = Stage> {
    select(vec![
        Stage::Resolve,
        Stage::Banner,
        Stage::Auth,
        Stage::Sudo,
        Stage::Timeout,
        Stage::Answer,
        Stage::Internal,
    ])
}

fn causes() -> impl Strategy<Value = Cause> {
    (stages(), text(), option::of(text())).prop_map(|(stage, message, hint)| Cause {
        vm: "redis".to_owned(),
        stage,
        address: "127.0.0.1:22".to_owned(),
        message,
        hint,
    })
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Passed),
        (text(), text(), text()).prop_map(|(message, expected, actual)| Verdict::Failed(
            Mismatch { message, expected, actual }
        )),
        causes().prop_map(Verdict::Errored),
        causes().prop_map(Verdict::Blocked),
        text().prop_map(Verdict::NotRun),
        Just(Verdict::NotSelected),
    ]
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let attempts = vec((any::<u64>(), any::<u64>(), verdicts(), option::of(text())), 0..4);
    let stream = || (text(), 0usize..3).prop_map(|(text, lost)| Stream::bounded(&text, lost));
    let output = option::of((stream(), stream()));
    (verdicts(), attempts, any::<u32>(), output).prop_map(
        |(verdict, attempts, duration, output)| Outcome {
            observation: None,
            attempts: attempts
                .into_iter()
                .map(|(started_ms, duration_ms, verdict, message)| Attempt {
                    started_ms,
                    duration_ms,
                    verdict: verdict.kind(),
                    message,
                })
                .collect(),
            verdict,
            duration: Duration::from_millis(u64::from(duration)),
            output: output.map(|(stdout, stderr)| Output { stdout, stderr }),
        },
    )
}

/// A report of the reference suite with arbitrary outcomes.
fn reports() -> impl Strategy<Value = Report> {
    (vec(outcomes(), 10), text(), text(), option::of(causes())).prop_map(
        |(outcomes, lab, seen, cause)| {
            let mut inventory: Value = serde_json::from_str(INVENTORY).unwrap();
            inventory["lab"] = Value::from(lab);
            let inventory = Inventory::parse("inventory.json", &inventory.to_string()).unwrap();
            let plan =
                Plan::resolve(&[Suite::parse("suite.json", SUITE).unwrap()], inventory).unwrap();
            let mut record = VmRecord {
                banner: Some(seen.clone()),
                timeline: Timeline { login: Some(Duration::ZERO), ..Timeline::default() },
                connects: 1,
                cause,
                ..VmRecord::default()
            };
            record.identity.os_release = Some(seen.clone());
            record.identity.kernel = Some(seen);
            let finished = RunRecord {
                outcomes: plan.assertions.iter().map(|one| one.id.clone()).zip(outcomes).collect(),
                vms: HashMap::from([("redis".to_owned(), record)]),
                started: chrono::DateTime::UNIX_EPOCH,
                ended: chrono::DateTime::UNIX_EPOCH,
                stop: Some(Stop::Interrupt),
            };
            Report::new(&plan, &finished, &Redactor::default())
        },
    )
}

/// Lines of a known_hosts file, most of them about `vm.example`.
fn known_hosts() -> impl Strategy<Value = String> {
    let ours = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    let another = "AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";
    let hosts = "[vm.exampl*?!,]{1,12}|vm[.]example|\\[vm[.]example\\]:2222|[*]|[*],!vm[.]example|[|]1[|][A-Za-z0-9+/]{4}=[|]x";
    let line = (
        select(vec!["", "", "@revoked ", "@cert-authority ", "#", " "]),
        hosts,
        select(vec![" ", "\t", "  "]),
        select(vec!["ssh-ed25519", "ssh-rsa", ""]),
        prop_oneof![Just(ours.to_owned()), Just(another.to_owned()), "[A-Za-z0-9+/=]{0,40}"],
        select(vec!["\n", "\r\n", " comment\n", "\n\n"]),
    );
    let line = line.prop_map(|(marker, hosts, blank, kind, key, end)| {
        format!("{marker}{hosts}{blank}{kind}{blank}{key}{end}")
    });
    vec(line, 0..5).prop_map(|lines| lines.concat())
}

/// The names of a node set such as `web[01-02,7], db`, none of which is written twice.
fn expanded(nodes: &str) -> Vec<String> {
    nodes.split(", ").flat_map(expanded_set).collect()
}

fn expanded_set(set: &str) -> Vec<String> {
    let Some((before, rest)) = set.split_once('[') else { return vec![set.to_owned()] };
    let (ranges, after) = rest.split_once(']').unwrap();
    let numbers = ranges.split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let width =
            if first.starts_with('0') || last.len() == first.len() { first.len() } else { 0 };
        (first.parse::<u64>().unwrap()..=last.parse().unwrap()).map(move |n| format!("{n:0width$}"))
    });
    numbers.map(|number| format!("{before}{number}{after}")).collect()
}

fn is_tame(text: &str) -> bool {
    text.chars().all(|character| !character.is_control() || "\n\t".contains(character))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn every_format_has_the_same_values(value in any_json()) {
        for (file, text) in [
            ("f.json", value.to_string()),
            ("f.json", format!("{value:#}")),
            ("f.json", with_comments(&value)),
            ("f.yaml", as_yaml(&value)),
        ] {
            let source = Source::parse(file, &text);
            prop_assert!(source.is_ok(), "{text}: {}", source.unwrap_err());
            prop_assert_eq!(&source.unwrap().value, &value, "{}", text);
        }
    }

    #[test]
    fn what_serde_json_reads_is_read_in_the_same_way(text in torn(SUITE)) {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            match Source::parse("f.json", &text) {
                Ok(source) => prop_assert_eq!(&source.value, &value, "{}", text),
                // serde_json takes the last one.
                Err(problems) => {
                    let only = problems.0.iter().all(|one| one.message.starts_with("duplicate key"));
                    prop_assert!(only, "{text}: {problems}");
                }
            }
        }
    }

    #[test]
    fn no_text_breaks_the_yaml_parser(text in text(), torn in torn(SUITE), value in any_json()) {
        let yaml = as_yaml(&value);
        for text in [&text, &torn, &format!("{yaml}{text}"), &yaml.replace("- ", "-\t")] {
            if let Err(problems) = Source::parse("f.yaml", text) {
                for problem in problems.0 {
                    prop_assert!(problem.place.is_some_and(|(line, column)| line > 0 && column > 0));
                }
            }
        }
    }

    #[test]
    fn the_socket_table_parser_never_panics(
        text in text(),
        addresses in vec("[0-9A-Fä]{0,34}", 0..10),
        lines in vec("[ 0-9A-F:a-z@]{0,60}", 0..10),
    ) {
        let _ = parse_socket_tables(&text);
        let _ = parse_socket_tables(&format!("@tcp\n{}\n@end\n", lines.join("\n")));
        for address in addresses {
            let _ = parse_socket_tables(&format!("@tcp6\n 0: {address}:0016 x 0A\n@end\n"));
        }
    }

    #[test]
    fn harmless_text_has_no_control_characters_and_stays_as_it_is(text in text()) {
        let safe = harmless(&text).into_owned();
        prop_assert!(is_tame(&safe), "{safe:?}");
        prop_assert_eq!(harmless(&safe).into_owned(), safe.clone());
        prop_assert!(!harmless_line(&text).contains(['\n', '\t']));
    }

    #[test]
    fn a_bounded_stream_stays_within_its_limit_and_counts_what_is_gone(part in text(), times in 0usize..3000, lost in 0usize..9) {
        let text = part.repeat(times);
        let stream = Stream::bounded(&text, lost);
        let marker = format!("\n[... {} bytes cut ...]\n", stream.truncated_bytes);
        let kept = if stream.truncated_bytes == 0 { stream.text.len() } else { stream.text.len() - marker.len() };
        prop_assert!(kept <= Stream::LIMIT);
        prop_assert_eq!(kept + stream.truncated_bytes, text.len() + lost);
    }

    #[test]
    fn the_parsers_never_panic_on_json(value in any_json()) {
        let suite = json!({"scenarios": [{"name": "s", "custom_tests": [{"name": "t", "assertions": [value]}]}]});
        let assertion = json!({"type": "port_listening", "on_vm": "v", "params": value});
        let with_params = json!({"scenarios": [{"name": "s", "custom_tests": [{"name": "t", "assertions": [assertion]}]}]});
        let inventory = json!({"lab": "l", "vms": {"v": {"address": "h", "ssh": value}}, "connections": [value]});
        for document in [&value, &suite, &with_params, &inventory] {
            parse_both(&document.to_string());
            parse_both(&format!("{document:#}"));
        }
    }

    #[test]
    fn problems_of_a_torn_file_have_a_line(text in prop_oneof![torn(INVENTORY), torn(SUITE)]) {
        for place in parse_both(&text) {
            prop_assert!(place.is_some_and(|(line, column)| line > 0 && column > 0));
        }
    }

    #[test]
    fn problems_of_a_changed_file_have_a_line_of_that_file(
        text in prop_oneof![mutated(INVENTORY), mutated(SUITE)]
    ) {
        let lines = text.lines().count();
        for place in parse_both(&text) {
            prop_assert!(place.is_some_and(|(line, _)| (1..=lines).contains(&line)), "{place:?} in\n{text}");
        }
    }

    #[test]
    fn errors_of_damaged_blueprints_have_a_line_of_that_file(text in prop_oneof![mutated(BLUEPRINT), torn(BLUEPRINT)]) {
        let lines = text.lines().count();
        for error in Blueprint::parse("blueprint.json", &text).err().into_iter().flat_map(|errors| errors.0) {
            prop_assert_eq!(error.file.as_deref(), Some("blueprint.json"));
            prop_assert!(error.place.is_some_and(|(line, _)| (1..=lines.max(1)).contains(&line)), "{error} in\n{text}");
        }
    }

    #[test]
    fn only_duplicate_keys_are_called_duplicate(value in any_json()) {
        prop_assert!(Source::parse("f", &value.to_string()).is_ok(), "{value}");
    }

    #[test]
    fn a_node_set_has_exactly_the_names_that_were_folded(
        names in hash_set("[ab]?[0-9]{0,3}([.-]?[ab][0-2]{0,2}){0,2}", 1..40)
    ) {
        let mut names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
        prop_assume!(!names.is_empty());
        let nodes = folded(names.iter().map(String::as_str));
        let mut found = expanded(&nodes);
        found.sort();
        names.sort();
        prop_assert_eq!(found, names, "{}", nodes);
    }

    #[test]
    fn redaction_leaves_no_occurrence(
        words in vec("[a-z]{4,12}|[a-zA-Z0-9\"\\\\<&' ]{4,20}", 1..4),
        parts in vec((text(), any::<Index>(), 0..4), 0..6),
    ) {
        let redactor = Redactor::new(&secrets(&words));
        let printed: String = parts.iter().map(|(text, index, how)| {
            let word = index.get(&words);
            match how {
                0 => format!("{text}{word}"),
                1 => format!("{text}{word:?}"),
                2 => format!("{text}\u{1b}[1m{}\u{1b}[0m{}", &word[..2], &word[2..]),
                _ => text.clone(),
            }
        }).collect();
        for clean in [redactor.text(&printed), harmless(&redactor.text(&printed)).into_owned(), redactor.line(&printed)] {
            for word in &words {
                prop_assert!(!clean.contains(word.as_str()), "{word:?} in {clean:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn every_report_is_well_formed_in_every_format(report in reports()) {
        let xml = junit::render(&report);
        let document = roxmltree::Document::parse(&xml);
        prop_assert!(document.is_ok(), "{document:?}");
        let document = document.unwrap();
        let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
        prop_assert_eq!(count("testcase"), report.totals.assertions);
        prop_assert_eq!(count("failure"), report.totals.failed);
        prop_assert_eq!(count("error"), report.totals.errored + report.totals.blocked + report.totals.not_run);
        prop_assert_eq!(count("skipped"), report.totals.not_selected);
        let text = report::json::render(&report);
        prop_assert!(is_tame(&text));
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(value["results"].as_array().map(Vec::len), Some(report.totals.assertions));
        for width in [None, Some(80)] {
            let screen = Screen { width, ..Screen::default() };
            prop_assert!(is_tame(&terminal::render(&report, screen)));
        }
    }
}

// The properties that are fuzzed, for whatever input proptest makes up.
proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn a_changed_file_is_understood_or_has_problems_with_places(
        inventory in prop_oneof![torn(INVENTORY), mutated(INVENTORY)],
        suite in prop_oneof![torn(SUITE), mutated(SUITE)],
        recipe in prop_oneof![torn(RECIPE), mutated(RECIPE)],
    ) {
        properties::inventory(inventory.as_bytes());
        properties::suite(suite.as_bytes());
        properties::recipe(recipe.as_bytes());
    }

    #[test]
    fn socket_tables_are_read_as_the_kernel_writes_them(bytes in vec(any::<u8>(), 0..400), text in text()) {
        properties::socket_tables(&bytes);
        properties::socket_tables(format!("@tcp\n{text}\n@end\n").as_bytes());
    }

    #[test]
    fn only_host_keys_in_a_known_hosts_file_are_trusted(port in any::<u8>(), lines in known_hosts()) {
        properties::known_hosts(&[&[port][..], lines.as_bytes()].concat());
    }

    #[test]
    fn every_spelling_of_a_secret_is_masked(
        secret in "[a-z]{4,12}|[ -)+-~\u{e4}\u{1f511}\n\t]{4,20}|\\PC{4,12}",
        around in (text(), text()),
        way in any::<u8>(),
    ) {
        let bytes = [secret.as_bytes(), around.0.as_bytes(), around.1.as_bytes(), &[way]].join(&0xff);
        properties::redactor(&bytes);
    }
}
