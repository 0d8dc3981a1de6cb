//! What a run leaves for machines and for people.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use bootproof::gate::{self, Gate, Request};
use bootproof::problem::Problem;
use bootproof::report::store::Destinations;
use bootproof::report::{json, junit, read};
use bootproof::run::{Event, RunSettings};
use bootproof::settings::{self, Sources};
use bootproof::spec::choice::{Choice, select};
use regex::Regex;
use roxmltree::{Document, Node};
use serde_json::{Value, json};

use crate::fake_vm::{FakeVm, Script, Step};
use crate::scene::{Scene, redact};

/// One of each verdict.
fn scene(vm: &FakeVm) -> Scene {
    Scene::with(vm)
        .vm_at("dead", 1)
        .run("vm", "yes")
        .run("vm", "no")
        .run("vm", "jq --version")
        .run("dead", "yes")
        .run("vm", "unwanted")
}

fn vm() -> FakeVm {
    Script::default()
        .prints("yes", "fine\n")
        .answer("no", [Step::Err(b"wrong\n".to_vec()), Step::Exit(1)])
        .start()
}

const FILTERS: [&str; 6] = ["--filter", "::yes", "--filter", "::no", "--filter", "::jq"];

fn attribute(node: &Node, name: &str) -> String {
    node.attribute(name).unwrap_or_else(|| panic!("{name} of {node:?}")).to_owned()
}

fn children<'a>(node: &Node<'a, 'a>, name: &str) -> Vec<Node<'a, 'a>> {
    node.descendants().filter(|child| child.has_tag_name(name)).collect()
}

/// What any reader of JUnit relies on.
#[track_caller]
pub fn is_sound_junit(xml: &str) {
    let document = Document::parse(xml).unwrap_or_else(|error| panic!("{error}\n{xml}"));
    let root = document.root_element();
    assert!(root.has_tag_name("testsuites"));
    for counted in children(&root, "testsuite").into_iter().chain([root]) {
        for (name, element) in [
            ("tests", "testcase"),
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ] {
            assert_eq!(
                attribute(&counted, name),
                children(&counted, element).len().to_string(),
                "{name}"
            );
        }
    }
    let decimal = Regex::new(r"^\d+\.\d+$").unwrap();
    assert!(
        document
            .descendants()
            .filter_map(|node| node.attribute("time"))
            .all(|time| decimal.is_match(time))
    );
    let mut names = HashSet::new();
    for case in children(&root, "testcase") {
        let name = (attribute(&case, "classname"), attribute(&case, "name"));
        assert!(names.insert(name.clone()), "{name:?} stands twice");
        for red in children(&case, "failure").into_iter().chain(children(&case, "error")) {
            let (message, text) = (attribute(&red, "message"), red.text().unwrap_or_default());
            assert!(!message.is_empty() && text.contains(&message), "{message:?} in {text:?}");
        }
    }
    let vms: Vec<_> =
        children(&root, "testsuite").iter().map(|suite| attribute(suite, "name")).collect();
    assert_eq!(vms.iter().collect::<HashSet<_>>().len(), vms.len(), "one suite a VM");
    is_read_by_expat(xml);
}

/// Python's reader, which many CI systems are built on; where there is no Python, roxmltree's word
/// must do.
fn is_read_by_expat(xml: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("junit.xml");
    std::fs::write(&file, xml).unwrap();
    let program = "import sys, xml.etree.ElementTree as e; e.parse(sys.argv[1])";
    if let Ok(output) = Command::new("python3").args(["-c", program]).arg(&file).output() {
        assert!(output.status.success(), "{}\n{xml}", String::from_utf8_lossy(&output.stderr));
    }
}

#[track_caller]
fn conforms(value: &Value, schema: &Value) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

fn schema(format: &str) -> Value {
    serde_json::from_str(&Scene::new().bootproof(&["schema", format]).stdout).unwrap()
}

#[test]
fn junit_has_every_verdict_as_its_readers_expect() {
    let vm = vm();
    let run = scene(&vm).check(&FILTERS);
    run.expect(1, &["passed", "failed", "errored", "blocked", "not-selected"]);
    is_sound_junit(&run.junit);
    let document = Document::parse(&run.junit).unwrap();
    let types: Vec<_> = document.descendants().filter_map(|node| node.attribute("type")).collect();
    assert_eq!(types, ["failed", "errored", "blocked"]);
    let hosts: Vec<_> =
        document.descendants().filter_map(|node| node.attribute("hostname")).collect();
    assert_eq!(hosts, ["vm", "dead"]);
}

#[test]
fn a_stopped_run_leaves_valid_junit() {
    let vm = Script::default().answer("hangs", [Step::Hang]).prints("yes", "").start();
    let run = Scene::with(&vm).run("vm", "hangs").run("vm", "yes").check(&["--deadline", "5s"]);
    run.expect(124, &["not-run", "passed"]);
    is_sound_junit(&run.junit);
    conforms(&run.report, &schema("report"));
}

#[test]
fn the_json_report_conforms_to_its_schema_and_agrees_with_junit_and_the_screen() {
    let vm = vm();
    let scene = scene(&vm);
    let run = scene.check(&FILTERS);
    conforms(&run.report, &schema("report"));
    let document = Document::parse(&run.junit).unwrap();
    let names: Vec<_> = children(&document.root_element(), "testcase")
        .iter()
        .map(|case| attribute(case, "name"))
        .collect();
    for row in run.rows() {
        let id = row["id"].as_str().unwrap();
        assert!(names.iter().any(|name| name == id), "{id}");
        let line = run.stdout.lines().find(|line| line.contains(id));
        if row["verdict"] == "not-selected" {
            assert_eq!(line, None, "what was not selected is only counted");
            continue;
        }
        let line = line.unwrap_or_else(|| panic!("{id}"));
        assert!(line.trim_start().starts_with(row["verdict"].as_str().unwrap()), "{line}");
    }
    let printed = scene.check(&[&FILTERS[..], &["--format", "json"]].concat());
    let printed: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(printed["totals"], run.report["totals"]);
    let started = run.report["started"].as_str().unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(started).is_ok(), "{started}");
}

#[test]
fn a_report_is_read_back_as_it_was_written() {
    let vm = vm();
    let mut scene = scene(&vm);
    scene.inventory["vms"]["vm"]["role"] = json!("app");
    scene.inventory["vms"]["vm"]["address"] = json!("127.0.0.1");
    scene.inventory["vms"]["vm"]["ports"] = json!([1]);
    scene.inventory["connections"] = json!([{"from": "vm", "to": "dead", "port": 1}]);
    for flags in [&[][..], &FILTERS, &["--deadline", "1ms"]] {
        scene.check(flags);
        let written = scene.read("report.json");
        let report = read::read(&scene.path("report.json")).expect("a report");
        assert_eq!(json::render(&report), written);
        assert!(written.contains(r#""wire": {"#), "{written}");
    }
}

/// What reading these bytes says, and whether waiting may help.
fn unreadable(bytes: &[u8]) -> (String, bool) {
    let unreadable = read::parse("part.json", bytes).unwrap_err();
    let may_come = unreadable.may_come();
    (Problem::from(unreadable).to_string(), may_come)
}

#[test]
fn a_file_that_is_no_report_is_refused_by_name() {
    let vm = vm();
    let scene = scene(&vm);
    scene.check(&[]);
    let written = scene.read("report.json");
    for (text, message) in [
        ("<xml/>", "part.json: this is not a report: expected value at line 1"),
        ("{}", "part.json: this is not a report: missing field `schema_version`"),
        ("[1, 2]", "part.json: this is not a report: "),
        (&written.replace("\"name\": \"bootproof\"", "\"name\": \"goss\""), "a report of goss"),
        (
            &written.replace("\"schema_version\": 2", "\"schema_version\": 3"),
            "by a newer bootproof",
        ),
        (
            &written.replace("\"schema_version\": 2", "\"schema_version\": 1"),
            "by an older bootproof",
        ),
        (
            &written.replacen("\"verdict\": \"passed\"", "\"verdict\": \"fine\"", 1),
            "unknown variant `fine`, expected one of `passed`",
        ),
        (&("[".repeat(100_000)), "part.json: this is not a report: "),
    ] {
        let (told, may_come) = unreadable(text.as_bytes());
        assert!(told.contains(message) && told.starts_with("part.json: "), "{told}");
        assert!(!may_come, "{told}");
    }
    assert!(unreadable(b"\xff\xfe").0.starts_with("part.json: this is not a report"));
    for (text, message) in [
        ("", "part.json: the report is cut off at line 1"),
        (&written[..written.len() / 2], "part.json: the report is cut off at line "),
    ] {
        let (told, may_come) = unreadable(text.as_bytes());
        assert!(told.contains(message) && may_come, "{told}");
    }
    let absent = read::read(Path::new("/nowhere/part.json")).unwrap_err();
    assert!(absent.may_come());
    let told = Problem::from(absent).to_string();
    assert!(told.contains("cannot read the report /nowhere/part.json: "), "{told}");
}

#[test]
fn the_report_of_a_run_that_has_not_finished_is_refused() {
    let vm = Script::default().answer("hangs", [Step::Hang]).start();
    let scene = Scene::with(&vm).run("vm", "hangs");
    let started = scene.start_check(&[]);
    let tries = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(10));
        scene.read("report.json")
    });
    let written = tries.take(6000).find(|text| !text.is_empty()).expect("a report at the start");
    started.signal("KILL");
    started.wait();
    let (told, may_come) = unreadable(written.as_bytes());
    assert!(told.starts_with("part.json: the run has not finished") && may_come, "{told}");
}

#[test]
fn the_screen_and_junit_look_like_this() {
    let vm = vm();
    let scene = scene(&vm);
    let run = scene.check(&FILTERS);
    insta::assert_snapshot!("screen", redact(&run.stdout, &scene));
    insta::assert_snapshot!("junit", redact(&run.junit, &scene));
}

/// Everything that breaks terminals and XML.
pub fn hostile() -> String {
    let controls: String =
        (0..0xa0).filter_map(char::from_u32).filter(|character| character.is_control()).collect();
    format!(
        "{controls}]]></system-out><!-- <&amp;'\"> \u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}[31mred\u{1b}[0m \u{9b}31m \
        \u{1b}P+q\u{1b}\\ \u{fffe}\u{ffff} \u{202e}txt.exe \u{feff}end\r\nnext\n"
    )
}

/// Only what a terminal shows as it stands.
#[track_caller]
pub fn is_tame(text: &str) {
    let wild: Vec<char> = text
        .chars()
        .filter(|character| {
            (character.is_control() && !"\n\t".contains(*character))
                || "\u{202e}\u{fffe}".contains(*character)
        })
        .collect();
    assert!(wild.is_empty(), "{wild:?} in {text}");
}

#[test]
fn hostile_output_breaks_no_report_and_no_terminal() {
    let out = || {
        vec![Step::Out(hostile().into_bytes()), Step::Err(hostile().into_bytes()), Step::Exit(1)]
    };
    let identity =
        format!("os-release {}\nkernel {}\n", hostile().replace(['\n', '\r'], ""), "\u{1b}[5mk");
    let vm = Script::default()
        .answer("work", out())
        .prints(bootproof::health::READ_HEALTH, identity)
        .start();
    let scene = Scene::with(&vm)
        .assert(json!({"command": "work"}))
        .assert(json!({"command": "work", "exit_code": 1, "contains": "absent", "name": "absent"}))
        .assert(json!({"command": "work", "exit_code": 1, "name": "holds"}))
        .assert(json!({"command": "work", "become": true, "name": "root"}));
    for flags in [&[][..], &["--format", "json"], &["--color", "never"]] {
        let run = scene.check(flags);
        run.expect(1, &["failed", "failed", "passed", "failed"]);
        is_tame(&run.stdout);
        is_tame(&run.stderr);
        is_sound_junit(&run.junit);
        conforms(&run.report, &schema("report"));
        let kept = run.rows()[0]["output"]["stdout"]["text"].as_str().unwrap();
        assert!(kept.contains("]]></system-out>"), "{kept}");
    }
    let run = scene.lab(&[]);
    assert_eq!(run.code, Some(101));
    is_tame(&run.stdout);
    is_tame(&run.stderr);
}

#[test]
fn a_hostile_banner_is_made_harmless() {
    let wire = crate::fake_vm::Wire::Says(hostile().into_bytes());
    let vm = Script { wire, ..Script::default() }.start();
    let scene = Scene::with(&vm).run("vm", "true");
    let run = scene.check(&["--wait", "1s"]);
    run.expect(3, &["blocked"]);
    is_tame(&run.stdout);
    is_tame(&run.stderr);
    is_sound_junit(&run.junit);
    let run = scene.env("BOOTPROOF_WAIT", "1s").lab(&[]);
    is_tame(&run.stdout);
    is_tame(&run.stderr);
}

#[test]
fn names_from_our_own_files_break_no_report() {
    let vm = vm();
    let mut scene = Scene::with(&vm).run("vm", "yes");
    scene.inventory["lab"] = json!("a <lab> & \"more\" \u{1} \u{fffe} ]]>\n");
    scene.suite["scenarios"][0]["name"] = json!("s\u{1}");
    let run = scene.check(&[]);
    run.expect(0, &["passed"]);
    is_sound_junit(&run.junit);
    is_tame(&run.stdout);
}

fn own_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn our_own_files_conform_to_their_schemas() {
    for (folder, format) in [("inventory", "inventory"), ("suites", "suite")] {
        let schema = schema(format);
        for file in own_files(folder) {
            conforms(
                &serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap(),
                &schema,
            );
        }
    }
}

#[test]
fn our_own_files_are_clean_under_lint() {
    let files: Vec<String> = ["inventory", "suites"]
        .into_iter()
        .flat_map(own_files)
        .map(|path| path.display().to_string())
        .collect();
    let arguments: Vec<&str> =
        ["lint"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let run = Scene::new().bootproof(&arguments);
    assert_eq!(run.code, Some(0), "{}", run.transcript());
}

/// Whether the schema, and whether `bootproof lint`, takes it.
fn taken(format: &str, value: &Value) -> (bool, bool) {
    let scene = Scene::new();
    scene.write("file.json", value.to_string());
    let schema = jsonschema::validator_for(&schema(format)).unwrap().is_valid(value);
    (schema, scene.bootproof(&["lint", "file.json"]).code == Some(0))
}

fn suite_of(assertion: &Value) -> Value {
    json!({"scenarios": [{"name": "s", "type": "group", "tests": [], "custom_tests": [{"name": "t", "assertions": [assertion]}]}]})
}

#[test]
fn schema_and_parser_accept_the_same_assertions() {
    for right in [
        json!({"type": "port_listening", "on_vm": "v", "port": 1}),
        json!({"type": "port_listening", "on_vm": "v", "port": 65535, "protocol": "udp", "address": "::1"}),
        json!({"type": "port_listening", "on_vm": "v", "params": {"port": 1}}),
        json!({"type": "command_output", "on_vm": "v", "command": "x"}),
        json!({"type": "command_output", "on_vm": "v", "command": "x", "expected": "y"}),
        json!({"type": "command_output", "on_vm": "v", "command": "x", "expected_output": "y", "become": true}),
        json!({"type": "command_output", "on_vm": "v", "params": {"command": "x", "jq": ".", "timeout": "5s"}}),
        json!({"type": "command_output", "on_vm": "v", "command": "x", "timeout": 5, "wait": "1h 5m", "name": "n"}),
        json!({"type": "http_responds", "on_vm": "v", "url": "http://localhost/"}),
        json!({"type": "http_responds", "on_vm": "v", "url": "https://h:1/p", "method": "POST", "body": {"a": 1}, "headers": {"x": "y"}}),
        json!({"type": "http_responds", "on_vm": "v", "url": "http://h/", "from": "runner", "status": 204}),
    ] {
        assert_eq!(taken("suite", &suite_of(&right)), (true, true), "{right}");
    }
    for wrong in [
        json!({}),
        json!("port_listening"),
        json!({"type": "port_listening", "on_vm": "v"}),
        json!({"type": "port_listening", "port": 1}),
        json!({"type": "port_listening", "on_vm": "v", "port": 0}),
        json!({"type": "port_listening", "on_vm": "v", "port": 65536}),
        json!({"type": "port_listening", "on_vm": "v", "port": "1"}),
        json!({"type": "port_listening", "on_vm": "v", "port": 1, "protocol": "sctp"}),
        json!({"type": "port_listening", "on_vm": "v", "port": 1, "command": "x"}),
        json!({"type": "port_listening", "on_vm": "v", "port": 1, "params": {"port": 1}}),
        json!({"type": "port_listening", "on_vm": 5, "port": 1}),
        json!({"type": "service_running", "on_vm": "v", "port": 1}),
        json!({"type": "command_output", "on_vm": "v"}),
        json!({"type": "command_output", "on_vm": "v", "command": ""}),
        json!({"type": "command_output", "on_vm": "v", "command": "x", "exit_code": -1}),
        json!({"type": "command_output", "on_vm": "v", "command": "x", "exit_code": 256}),
        json!({"type": "command_output", "on_vm": "v", "command": "x", "become": "yes"}),
        json!({"type": "command_output", "on_vm": "v", "command": "x", "timeout": -1}),
        json!({"type": "command_output", "on_vm": "v", "command": "x", "timeout": ""}),
        json!({"type": "http_responds", "on_vm": "v", "url": "nonsense"}),
        json!({"type": "http_responds", "on_vm": "v", "url": "http://h/", "status": 99}),
        json!({"type": "http_responds", "on_vm": "v", "url": "http://h/", "from": "here"}),
        json!({"type": "http_responds", "on_vm": "v", "url": "http://h/", "headers": {"x": 1}}),
    ] {
        let (schema, parser) = taken("suite", &suite_of(&wrong));
        assert!(!parser, "the parser takes {wrong}");
        assert!(!schema || wrong["url"] == "nonsense", "the schema takes {wrong}");
    }
}

#[test]
fn schema_and_parser_accept_the_same_inventories() {
    let with = |key: &str, value: Value| {
        let mut inventory = json!({"lab": "l", "defaults": {"user": "u", "password": "p"}, "vms": {"v": {"address": "h"}}});
        inventory[key] = value;
        inventory
    };
    for right in [
        with("lab", json!("other")),
        with(
            "vms",
            json!({"v": {"address": "h", "ssh": {"port": 22, "via": "u@h:2222", "agent": true}}}),
        ),
        with(
            "vms",
            json!({"v": {"address": "h", "ssh": {"password": {"env": "E"}, "sudo_password": {"file": "f"}}}}),
        ),
        with("connections", json!([{"from": "v", "to": "v", "port": 1, "intent": "i"}])),
    ] {
        assert_eq!(taken("inventory", &right), (true, true), "{right}");
    }
    for wrong in [
        with("lab", json!(5)),
        with("vmz", json!({})),
        with("vms", json!([])),
        with("vms", json!({"v": {"adress": "h"}})),
        with("vms", json!({"v": {"address": "h", "ssh": {"port": 65536}}})),
        with("vms", json!({"v": {"address": "h", "ssh": {"password": 5}}})),
        with("vms", json!({"v": {"address": "h", "ssh": {"password": {"env": "E", "file": "f"}}}})),
        with("connections", json!([{"from": "v", "port": 1}])),
        with("connections", json!([{"from": "v", "to": "v", "port": "1"}])),
    ] {
        assert_eq!(taken("inventory", &wrong), (false, false), "{wrong}");
    }
}

#[test]
fn a_panic_in_one_assertion_leaves_the_others_alone() {
    let (vm, other) = (vm(), vm());
    let scene = Scene::with(&vm)
        .vm("other", &other)
        .run("vm", "yes")
        .run("other", "yes")
        .run("other", "no");
    scene.write_files();
    let plan = settings::load_plan(&Sources {
        inventory: Some(scene.path("inventory.json")),
        suites: vec![scene.path("suite.json")],
        vars: Vec::new(),
    })
    .unwrap();
    let selected = select(&plan, &Choice::default()).unwrap();
    let destinations = Destinations::nowhere();
    let request = Request { plan, selected, destinations, coverage_required: false, part: None };
    // The listener is called in the middle of an assertion: the only place of ours there.
    let listener = Arc::new(|event: Event| {
        assert!(!matches!(event, Event::Ready { vm } if vm == "vm"), "on purpose");
    });
    let engine = gate::engine().unwrap();
    let gate = Gate::prepare(request).unwrap();
    let report = gate.run(&engine, RunSettings::default(), listener).report;
    let verdicts: Vec<_> = report.results.iter().map(|row| row.verdict.word()).collect();
    assert_eq!(verdicts, ["errored", "passed", "failed"]);
    let cause = report.results[0].cause.as_ref().unwrap();
    assert_eq!((cause.stage.word(), cause.vm.as_str()), ("internal", "vm"));
    assert!(cause.message.starts_with("bootproof failed: "), "{}", cause.message);
    is_sound_junit(&junit::render(&report));
}

/// Runs `script` with a file system of 16 KiB on the scene's folder `full`, which nobody else sees;
/// `None` where this user may not do that.
fn on_a_small_disk(scene: &Scene, script: &str) -> Option<Output> {
    std::fs::create_dir(scene.path("full")).unwrap();
    let within = |script: &str| {
        let mount = format!("mount -t tmpfs -o size=16k none full && {script}");
        let mut command = scene.command(Path::new("unshare"));
        command.args(["-rm", "timeout", "60", "sh", "-c", &mount]).output().ok()
    };
    within("true").filter(|tried| tried.status.success())?;
    within(script)
}

#[test]
fn a_full_disk_under_one_report_keeps_the_other_report() {
    let vm = Script::default().prints("work", "x".repeat(60_000)).start();
    let scene = Scene::with(&vm).run("vm", "work");
    scene.write_files();
    let check = format!(
        "{} check -i inventory.json -s suite.json --report-json full/report.json --report-junit junit.xml; \
         code=$?; cp full/report.json .; ls -A full > left; exit $code",
        env!("CARGO_BIN_EXE_bootproof")
    );
    let Some(run) = on_a_small_disk(&scene, &check) else {
        eprintln!("not tested: this user may not mount a file system in a namespace of its own");
        return;
    };
    let told = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(70), "{told}");
    assert!(
        told.contains("cannot write the report full/report.json: No space left on device"),
        "{told}"
    );
    let left: Value = serde_json::from_str(&scene.read("report.json")).expect("it is whole");
    assert_eq!(
        (&left["complete"], &left["results"][0]["verdict"]),
        (&json!(false), &json!("not-run"))
    );
    assert_eq!(left["stopped"], "the run has not finished");
    assert_eq!(scene.read("left"), "report.json\n");
    is_sound_junit(&scene.read("junit.xml"));
    assert!(!scene.read("junit.xml").contains("<error"), "the other report tells that it passed");
}

#[test]
fn a_full_disk_leaves_no_half_of_a_part() {
    let vm = Script::default().prints("work", "x".repeat(60_000)).start();
    let scene = Scene::with(&vm).run("vm", "work");
    scene.write_files();
    let check = format!(
        "{} check -i inventory.json -s suite.json --report-json report.json --shard 1/1 \
         --publish full/parts; code=$?; ls -A full/parts > left; exit $code",
        env!("CARGO_BIN_EXE_bootproof")
    );
    let Some(run) = on_a_small_disk(&scene, &check) else {
        eprintln!("not tested: this user may not mount a file system in a namespace of its own");
        return;
    };
    let told = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(70), "{told}");
    let why = "cannot write the report full/parts/shard-1-of-1.json: No space left on device";
    assert!(told.contains(why) && told.contains("hint: check the path, the free space"), "{told}");
    assert_eq!(scene.read("left"), "");
    assert!(scene.read("report.json").contains(r#""complete": true"#));
}
