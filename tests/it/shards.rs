//! A run in shards: each checks its own VMs, and `merge` makes one report of all.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use bootproof::assertion::facts::{READ_CLOCK, READ_IDENTITY};
use bootproof::settings::{self, Sources};
use bootproof::spec::shard::{ShardBy, shard_of};
use serde_json::{Value, json};

use crate::fake_vm::{FakeVm, Script, Step};
use crate::reports::{hostile, is_sound_junit, is_tame};
use crate::scene::{Run, Scene, redact};

const SHARDS: u32 = 3;

/// What is measured, and so differs from run to run.
const MEASURED: [&str; 12] = [
    "started",
    "ended",
    "duration_ms",
    "started_ms",
    "ready_ms",
    "tcp_ms",
    "banner_ms",
    "login_ms",
    "running_ms",
    "pace",
    "schema_version",
    "merged",
];

/// Eight VMs in a ring of wires. On `app3` a check fails; on `app5` nothing listens, so the wire
/// from `app4` is red because of it; `app8` is off.
struct Fleet {
    scene: Scene,
    _vms: Vec<FakeVm>,
    _open: TcpListener,
}

impl Fleet {
    fn start() -> Self {
        let open = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = open.local_addr().expect("an address").port();
        let mut scene = Scene::new();
        let mut vms = Vec::new();
        for number in 1..=8_u8 {
            let name = format!("app{number}");
            scene = if number == 8 {
                scene.vm_at(&name, 1)
            } else {
                let vm = script(number, port).start();
                let scene = scene.vm(&name, &vm);
                vms.push(vm);
                scene
            };
            scene.inventory["vms"][&name]["address"] = json!(format!("127.0.1.{number}"));
            scene.inventory["vms"][&name]["ports"] = json!([22, port]);
            scene.inventory["vms"][&name]["groups"] = json!([format!("lab{}", number % 3)]);
        }
        let wire = |number: u8| json!({"from": format!("app{number}"), "to": format!("app{}", number % 8 + 1), "port": port});
        scene.inventory["connections"] = (1..=8).map(wire).collect();
        scene = scene
            .assert(json!({"type": "port_listening", "on_vm": "*", "port": port}))
            .assert(json!({"on_vm": "*", "command": "yes"}))
            .run("app3", "no");
        // So the first run trusts the keys for the same reason as the others.
        let known = vms.iter().map(FakeVm::known_hosts_line).collect::<String>();
        scene.write("known_hosts", known);
        Self { scene, _vms: vms, _open: open }
    }

    /// One shard, published into the folder `parts`.
    fn shard(&self, index: u32, flags: &[&str]) -> Run {
        let shard = format!("{index}/{SHARDS}");
        self.scene.check(&[&["--shard", &shard, "--publish", "parts"], flags].concat())
    }

    fn all_shards(&self, flags: &[&str]) {
        for index in 1..=SHARDS {
            let run = self.shard(index, flags);
            assert!(run.stderr.contains("published: parts/shard-"), "{}", run.transcript());
        }
    }

    /// `merge` of the folder `parts`; its report is in `report.json`.
    fn merge(&self, flags: &[&str]) -> Run {
        merge(&self.scene, flags)
    }

    fn part(&self, name: &str) -> Value {
        serde_json::from_str(&self.scene.read(&format!("parts/{name}"))).expect("a part")
    }

    fn write_part(&self, name: &str, part: &Value) {
        self.scene.write(&format!("parts/{name}"), format!("{part:#}\n"));
    }

    /// The shard of each VM.
    fn shards(&self, by: ShardBy) -> HashMap<String, u32> {
        self.scene.write_files();
        let plan = settings::load_plan(&Sources {
            inventory: Some(self.scene.path("inventory.json")),
            suites: vec![self.scene.path("suite.json")],
            vars: Vec::new(),
        })
        .unwrap();
        let vms = plan.inventory.vms.values();
        vms.map(|vm| (vm.name.clone(), shard_of(vm, by, SHARDS))).collect()
    }
}

fn merge(scene: &Scene, flags: &[&str]) -> Run {
    let _ = fs::remove_file(scene.path("report.json"));
    scene.bootproof(
        &[&["merge", "parts", "-o", "report.json", "--junit", "junit.xml"], flags].concat(),
    )
}

fn script(number: u8, port: u16) -> Script {
    let listening = if number == 5 { vec![22] } else { vec![22, port] };
    // Nothing listens on the first port of this machine.
    let paths = HashMap::from([(port, if number == 4 { 1 } else { port })]);
    let script = Script { host_key: number, listening, paths, ..Script::default() };
    let machine = number.max(2);
    let identity = format!(
        "machine-id {machine}\nmac 52:54:00:00:00:{number:02}\nLocal:\n  |-- 127.0.0.1\n  /32 host \
         LOCAL\n@end\n"
    );
    let identity = if number == 6 { String::new() } else { identity };
    let ahead = if number == 7 { 3600 } else { 0 };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + ahead;
    let script = script.prints(READ_IDENTITY, identity).prints(READ_CLOCK, format!("{now}.5\n"));
    let wrong = [Step::Err(b"wrong\n".to_vec()), Step::Exit(1)];
    script.prints("yes", "fine\n").answer("no", wrong)
}

/// A report without what is measured.
fn unmeasured(value: &Value) -> Value {
    match value {
        Value::Object(keys) => {
            let kept = keys.iter().filter(|(key, _)| !MEASURED.contains(&key.as_str()));
            kept.map(|(key, value)| (key.clone(), unmeasured(value))).collect()
        }
        Value::Array(items) => items.iter().map(unmeasured).collect(),
        other => other.clone(),
    }
}

/// Where two values differ.
fn differences(path: &str, one: &Value, other: &Value) -> Vec<String> {
    match (one, other) {
        (Value::Object(left), Value::Object(right)) if left.keys().eq(right.keys()) => {
            let values = left.iter().zip(right.values());
            values
                .flat_map(|((key, one), other)| differences(&format!("{path}.{key}"), one, other))
                .collect()
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let values = left.iter().zip(right).enumerate();
            values
                .flat_map(|(at, (one, other))| differences(&format!("{path}[{at}]"), one, other))
                .collect()
        }
        _ if one == other => Vec::new(),
        _ => vec![format!("{path}: {one} is not {other}")],
    }
}

/// Two runs have the same report, but for what is measured.
#[track_caller]
fn assert_same(one: &Run, other: &Run) {
    let [left, right] = [one, other].map(|run| unmeasured(&run.report));
    assert!(left["results"][0].is_object(), "{}", one.transcript());
    assert_eq!(differences("", &left, &right), [""; 0]);
}

fn ids(run: &Run) -> Vec<&str> {
    run.rows().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[test]
fn a_merged_report_is_that_of_a_run_without_shards() {
    let fleet = Fleet::start();
    let whole = fleet.scene.check(&[]);
    assert_eq!(whole.code, Some(1), "{}", whole.transcript());
    let shards = fleet.shards(ShardBy::Vm);
    let used: BTreeSet<u32> = shards.values().copied().collect();
    assert_eq!(used.len(), 3, "every shard has work: {shards:?}");
    assert_ne!(shards["app4"], shards["app5"], "the red wire goes from shard to shard");
    fleet.all_shards(&[]);
    let merged = fleet.merge(&[]);
    assert_eq!(merged.code, Some(1), "{}", merged.transcript());
    assert_same(&merged, &whole);
    let wire =
        merged.rows().iter().find(|row| row["id"].as_str().unwrap().starts_with("wires::app4"));
    let because = wire.unwrap()["because"][0].as_str().unwrap();
    assert!(because.starts_with("t::app5::"), "{because}");
    let [printed, expected] = [&merged, &whole].map(|run| redact(&run.stdout, &fleet.scene));
    assert_eq!(printed.replacen(", merged from 3 shards", "", 1), expected);
    assert_eq!(redact(&merged.junit, &fleet.scene), redact(&whole.junit, &fleet.scene));
    is_sound_junit(&merged.junit);
    let parts = merged.report["merged"]["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 3);
    let started = parts.iter().map(|part| part["started"].as_str().unwrap()).min();
    assert_eq!(merged.report["started"].as_str(), started);
}

#[test]
fn a_part_has_only_what_is_its_own() {
    let fleet = Fleet::start();
    let shards = fleet.shards(ShardBy::Vm);
    for index in 1..=SHARDS {
        let run = fleet.shard(index, &[]);
        let own = |vm: &Value| shards[vm.as_str().unwrap()] == index;
        assert!(run.rows().iter().all(|row| own(&row["vm"])), "{:?}", ids(&run));
        assert!(run.report["vms"].as_array().unwrap().iter().all(|vm| own(&vm["name"])));
        let count = shards.values().filter(|shard| **shard == index).count();
        assert_eq!(run.report["vms"].as_array().unwrap().len(), count);
        // Each VM and its two ports.
        assert_eq!(run.report["coverage"]["declared"], json!(count * 3));
        let shard = &run.report["shard"];
        assert_eq!(
            (&shard["index"], &shard["count"], &shard["by"]),
            (&json!(index), &json!(3), &json!("vm"))
        );
        assert!(run.stdout.lines().next().unwrap().ends_with(&format!(", shard {index} of 3")));
    }
}

#[test]
fn a_selection_counts_for_the_whole_run() {
    let fleet = Fleet::start();
    let flags = ["--exclude", "app8", "--filter", "yes", "--fail-uncovered"];
    let whole = fleet.scene.check(&flags);
    assert_eq!(whole.code, Some(3), "{}", whole.transcript());
    fleet.all_shards(&flags);
    let merged = fleet.merge(&[]);
    assert_eq!(merged.code, Some(3), "{}", merged.transcript());
    assert_same(&merged, &whole);
    let coverage = &merged.report["coverage"];
    assert_eq!((&coverage["required"], &coverage["declared"]), (&json!(true), &json!(24)));
    fs::remove_dir_all(fleet.scene.path("parts")).unwrap();
    fleet.all_shards(&flags[..4]);
    assert_eq!(fleet.merge(&[]).code, Some(0));
}

#[test]
fn groups_stay_together() {
    let fleet = Fleet::start();
    let shards = fleet.shards(ShardBy::Group);
    for lab in [["app1", "app4", "app7"], ["app2", "app5", "app8"]] {
        assert!(lab.iter().all(|vm| shards[*vm] == shards[lab[0]]), "{shards:?}");
    }
    let whole = fleet.scene.check(&[]);
    fleet.all_shards(&["--shard-by", "group"]);
    let merged = fleet.merge(&[]);
    assert_eq!(merged.report["merged"]["by"], "group");
    assert_same(&merged, &whole);
}

#[test]
fn plan_shows_what_a_shard_runs() {
    let fleet = Fleet::start();
    fleet.scene.write_files();
    let mut seen = Vec::new();
    for index in 1..=SHARDS {
        let shard = format!("{index}/{SHARDS}");
        let files = ["plan", "-i", "inventory.json", "-s", "suite.json", "-v"];
        let run = fleet.scene.bootproof(&[&files[..], &["--shard", &shard]].concat());
        assert_eq!(run.code, Some(0), "{}", run.transcript());
        let lines = run.stdout.lines().filter(|line| line.starts_with("  ") && line.contains("::"));
        seen.extend(lines.map(|line| line.trim().to_owned()));
        assert!(run.stdout.contains(&format!("\nshard {shard}: app")), "{}", run.transcript());
    }
    let whole = fleet.scene.check(&[]);
    let mut all = ids(&whole);
    all.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, all);
}

#[test]
fn a_shard_without_a_report_makes_its_assertions_not_run() {
    let fleet = Fleet::start();
    let shards = fleet.shards(ShardBy::Vm);
    let flags = ["--exclude", "app8", "--filter", "yes"];
    fleet.all_shards(&flags);
    fs::remove_file(fleet.scene.path("parts/shard-2-of-3.json")).unwrap();
    let merged = fleet.merge(&[]);
    assert_eq!(merged.code, Some(3), "{}", merged.transcript());
    for row in merged.rows() {
        let vm = row["vm"].as_str().unwrap();
        let is_selected = row["id"].as_str().unwrap().contains("yes") && vm != "app8";
        let expected = match shards[vm] {
            _ if !is_selected => "not-selected",
            2 => "not-run",
            _ => "passed",
        };
        assert_eq!(row["verdict"], expected, "{row:#}");
        if expected == "not-run" {
            assert_eq!(row["message"], "not run: shard 2 gave no report");
        }
    }
    assert_eq!(merged.report["complete"], false);
    assert_eq!(merged.report["stopped"], "shard 2 gave no report");
    assert_eq!(merged.report["merged"]["missing"], json!([2]));
    assert!(merged.stdout.ends_with(": shard 2 gave no report\n"), "{}", merged.transcript());
}

/// The fleet with peers: `app1` and `app2` are one machine twice, `app6` says nothing about itself,
/// the clock of `app7` is wrong.
fn fleet_with_peers() -> Fleet {
    let mut fleet = Fleet::start();
    fleet.scene.inventory["peers"] = json!({"clocks_within": "20s"});
    fleet
}

fn of_peers(run: &Run) -> Vec<(String, String)> {
    let rows = run.rows().iter().filter(|row| row["type"] == "peer");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let red = rows.filter(|row| row["verdict"] != "passed");
    red.map(|row| {
        (text(&row["id"]), format!("{}: {}", text(&row["verdict"]), text(&row["message"])))
    })
    .collect()
}

#[test]
fn merge_compares_the_vms_of_all_shards() {
    let fleet = fleet_with_peers();
    let whole = fleet.scene.check(&[]);
    let red = of_peers(&whole);
    let ids: Vec<&str> = red.iter().map(|(id, _)| id.as_str()).collect();
    let expected = [
        "peers::app1::identity",
        "peers::app2::identity",
        "peers::app6::identity",
        "peers::app7::clock",
        "peers::app8::identity",
        "peers::app8::clock",
    ];
    assert_eq!(ids, expected, "{}", whole.transcript());
    assert_eq!(red[0].1, "failed: it has the machine-id of app2");
    assert!(red[2].1.contains("cannot read the VM's addresses"), "{red:?}");
    fleet.all_shards(&[]);
    for index in 1..=SHARDS {
        let part = fleet.part(&format!("shard-{index}-of-3.json"));
        assert!(!part["results"].to_string().contains("peers::"), "{part:#}");
    }
    let merged = fleet.merge(&[]);
    assert_eq!(merged.code, whole.code, "{}", merged.transcript());
    let without_seconds = |rows: Vec<(String, String)>| {
        // How far a clock is off is measured.
        let known = |(id, text): (String, String)| match text.split_once("its clock is ") {
            Some(_) => (id, "its clock is off".to_owned()),
            None => (id, text),
        };
        rows.into_iter().map(known).collect::<Vec<_>>()
    };
    assert_eq!(without_seconds(of_peers(&merged)), without_seconds(red));
    assert_eq!(merged.report["totals"], whole.report["totals"]);
}

#[test]
fn a_selection_of_peers_alone_makes_shards_read_their_vms() {
    let fleet = fleet_with_peers();
    fleet.all_shards(&["--filter", "peers::", "--exclude", "app8"]);
    fs::remove_file(fleet.scene.path("parts/shard-2-of-3.json")).unwrap();
    let shards = fleet.shards(ShardBy::Vm);
    let merged = fleet.merge(&[]);
    let rows = merged.rows().iter().filter(|row| row["type"] == "peer");
    for row in rows {
        let vm = row["vm"].as_str().unwrap();
        match (vm, shards[vm]) {
            ("app8", _) => assert_eq!(row["verdict"], "not-selected"),
            (_, 2) => assert_eq!(row["message"], "not run: shard 2 gave no report"),
            ("app3" | "app4" | "app5", _) => assert_eq!(row["verdict"], "passed", "{row:#}"),
            _ => assert!(row["verdict"] != "not-run", "{row:#}"),
        }
    }
}

#[test]
fn a_stopped_shard_is_accepted_and_a_complete_one_takes_its_place() {
    let vm = Script::default().prints("yes", "").answer("hangs", [Step::Hang]).start();
    let scene = Scene::new().vm("vm", &vm).run("vm", "yes").run("vm", "hangs");
    let publish = ["--shard", "1/1", "--publish", "parts", "--run-id", "r"];
    let stopped = scene.check(&[&publish[..], &["--deadline", "2s"]].concat());
    stopped.expect(124, &["passed", "not-run"]);
    assert!(scene.path("parts/shard-1-of-1-stopped.json").exists());
    let merged = merge(&scene, &[]);
    merged.expect(3, &["passed", "not-run"]);
    assert_eq!(merged.report["stopped"], "shard 1: the deadline of 2s passed");
    // What the engine starts again has all of it.
    let vm = vm.restart(Script::default().prints("yes", "").prints("hangs", ""));
    scene.check(&publish).expect(0, &["passed", "passed"]);
    let merged = merge(&scene, &[]);
    merged.expect(0, &["passed", "passed"]);
    let note = "note: shard 1/1: parts/shard-1-of-1.json counts; \
                parts/shard-1-of-1-stopped.json was stopped\n";
    assert!(merged.stderr.contains(note), "{}", merged.transcript());
    drop(vm);
}

#[test]
fn of_two_complete_parts_the_earlier_counts() {
    let fleet = Fleet::start();
    fleet.all_shards(&[]);
    let mut twin = fleet.part("shard-2-of-3.json");
    twin["started"] = json!("2099-01-01T00:00:00.000Z");
    fleet.write_part("twin.json", &twin);
    let merged = fleet.merge(&[]);
    assert_eq!(merged.code, Some(1), "{}", merged.transcript());
    let note = "note: shard 2/3: parts/shard-2-of-3.json counts; parts/twin.json says the same\n";
    assert!(merged.stderr.contains(note), "{}", merged.transcript());
    let row = twin["results"].as_array().unwrap().iter().position(|row| row["verdict"] == "passed");
    let row = row.expect("a green row");
    twin["results"][row]["verdict"] = json!("failed");
    twin["results"][row]["message"] = json!("it has changed");
    fleet.write_part("twin.json", &twin);
    let merged = fleet.merge(&[]);
    let note = "parts/shard-2-of-3.json counts; parts/twin.json says something else and started \
                later, at 2099-01-01T00:00:00.000Z\n";
    assert!(merged.stderr.contains(note), "{}", merged.transcript());
    assert!(!merged.stdout.contains("it has changed"), "{}", merged.transcript());
    // The other way round, the other one counts.
    twin["started"] = json!("2001-01-01T00:00:00.000Z");
    fleet.write_part("twin.json", &twin);
    let merged = fleet.merge(&[]);
    assert!(merged.stdout.contains("it has changed"), "{}", merged.transcript());
}

/// Changes a part.
type Change = fn(&mut Value);

const FOREIGN: [(Change, &str); 15] = [
    (
        |part| part["shard"]["count"] = json!(4),
        "it is shard 2/4, but parts/shard-1-of-3.json is shard 1/3",
    ),
    (|part| part["shard"]["by"] = json!("group"), "its shard ran with another --shard-by than"),
    (
        |part| part["shard"]["digests"]["inventory"] = json!("00"),
        "its shard ran with another inventory",
    ),
    (|part| part["shard"]["digests"]["suites"] = json!([]), "its shard ran with other suites"),
    (
        |part| part["shard"]["digests"]["vars"] = json!("00"),
        "its shard ran with other values (--var",
    ),
    (
        |part| part["shard"]["selection"]["skip"] = json!(["x"]),
        "its shard ran with another selection",
    ),
    (
        |part| part["shard"]["run_id"] = json!("old"),
        "it is of the run `old`, but parts/shard-1-of-3.json of `",
    ),
    (|part| part["tool"]["version"] = json!("9.9.9"), "it is by bootproof 9.9.9, and this is"),
    (|part| part["schema_version"] = json!(3), "the report is by a newer bootproof"),
    (
        |part| drop(part.as_object_mut().unwrap().remove("shard")),
        "this is not the report of a shard",
    ),
    (|part| part["shard"]["index"] = json!(4), "there is no shard 4/3"),
    (|part| part["shard"]["index"] = json!(3), "which is not in shard 3"),
    (|part| part["started"] = json!("yesterday"), "its times cannot be read"),
    (|part| drop(part["results"].as_array_mut().unwrap().remove(0)), "it has no result of t::"),
    (
        |part| {
            let row = part["results"][0].clone();
            part["results"].as_array_mut().unwrap().push(row);
        },
        "it has two results of t::",
    ),
];

#[test]
fn what_does_not_belong_to_the_run_is_refused_by_name() {
    let fleet = Fleet::start();
    fleet.all_shards(&[]);
    let name = "shard-2-of-3.json";
    let right = fleet.part(name);
    let refused = |message: &str| {
        let run = fleet.merge(&[]);
        assert_eq!(run.code, Some(2), "{message}: {}", run.transcript());
        assert!(run.stderr.contains(&format!("parts/{name}: ")), "{}", run.transcript());
        assert!(run.stderr.contains(message), "{message}: {}", run.transcript());
        assert!(!fleet.scene.path("report.json").exists(), "{message}");
    };
    for (change, message) in FOREIGN {
        let mut part = right.clone();
        change(&mut part);
        fleet.write_part(name, &part);
        // Where only two parts are left, the wrong index is not a second part of shard 3.
        if message.contains("in shard 3") {
            fs::remove_file(fleet.scene.path("parts/shard-3-of-3.json")).unwrap();
        }
        refused(message);
        if message.contains("in shard 3") {
            fleet.shard(3, &[]);
        }
    }
    let mut part = right.clone();
    for row in part["results"].as_array_mut().unwrap() {
        row["verdict"] = json!("not-selected");
    }
    fleet.write_part(name, &part);
    refused("was not selected, which does not fit its selection");
    let mut part = right.clone();
    part["results"][0]["vm"] = json!("app99");
    fleet.write_part(name, &part);
    refused("is about app99, which it is not");
    fleet.scene.write(&format!("parts/{name}"), &right.to_string()[..2000]);
    refused("the report is cut off at line 1");
    fleet.scene.write(&format!("parts/{name}"), "nothing");
    refused("this is not a report");
    fleet.write_part(name, &right);
    assert_eq!(fleet.merge(&[]).code, Some(1));
}

/// Every text of a part that another machine could have written is hostile.
fn with_hostile_texts(key: &str, value: &mut Value) {
    /// What decides whether the file is a part at all.
    const READ: [&str; 9] = [
        "id",
        "vm",
        "name",
        "verdict",
        "stage",
        "host_key_trust",
        "listens_on",
        "protocol",
        "cpus",
    ];
    match value {
        _ if READ.contains(&key) => {}
        Value::String(text) => *text = format!("{text} {}", hostile()),
        Value::Array(items) => items.iter_mut().for_each(|item| with_hostile_texts(key, item)),
        Value::Object(keys) => {
            keys.iter_mut().for_each(|(key, value)| with_hostile_texts(key, value));
        }
        _ => {}
    }
}

#[test]
fn a_hostile_part_breaks_no_report_and_no_terminal() {
    let fleet = Fleet::start();
    fleet.all_shards(&[]);
    for index in 1..=SHARDS {
        let name = format!("shard-{index}-of-3.json");
        let mut part = fleet.part(&name);
        for list in ["results", "vms"] {
            with_hostile_texts("", &mut part[list]);
        }
        for row in part["results"].as_array_mut().unwrap() {
            if row["cause"].is_object() {
                row["cause"]["vm"] = json!(hostile());
            }
        }
        part["complete"] = json!(false);
        part["stopped"] = json!(hostile());
        fleet.write_part(&name, &part);
    }
    for flags in [&[][..], &["-v"], &["--format", "json"]] {
        let merged = fleet.merge(flags);
        assert_eq!(merged.code, Some(1), "{}", merged.transcript());
        is_tame(&merged.stdout);
        is_tame(&merged.stderr);
        is_sound_junit(&merged.junit);
        // What the plan knows is taken from there.
        let types: BTreeSet<_> = merged.rows().iter().map(|row| row["type"].as_str()).collect();
        assert_eq!(types.len(), 3, "{types:?}");
    }
}

#[test]
fn the_files_must_be_those_of_the_shards() {
    let fleet = Fleet::start();
    fleet.all_shards(&["--filter", "yes", "--exclude", "app8"]);
    let refused = |flags: &[&str], message: &str| {
        let run = fleet.merge(flags);
        assert_eq!(run.code, Some(2), "{}", run.transcript());
        assert!(run.stderr.contains(message), "{message}: {}", run.transcript());
    };
    let [inventory, suite] = ["inventory.json", "suite.json"].map(|name| fleet.scene.read(name));
    fs::create_dir(fleet.scene.path("moved")).unwrap();
    for (name, text) in [("inventory.json", &inventory), ("suite.json", &suite)] {
        fleet.scene.write(&format!("moved/{name}"), text);
        fleet.scene.write(name, format!("{text}\n"));
    }
    refused(&[], "inventory.json is not the inventory that the shards ran with");
    let moved = ["-i", "moved/inventory.json"];
    refused(&[&moved[..], &["-s", "suite.json"]].concat(), "suite.json: these are not the suites");
    let files = ["-i", "moved/inventory.json", "-s", "moved/suite.json"];
    let merged = fleet.merge(&files);
    assert_eq!(merged.code, Some(0), "{}", merged.transcript());
    assert!(merged.rows().iter().all(|row| row["file"].as_str().unwrap().starts_with("moved/")));
    let part = "parts/shard-1-of-3.json";
    let run = fleet.scene.bootproof(&["merge", part, "-o", "o.json", "-i", "absent.json"]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    assert!(run.stderr.contains("cannot read absent.json"), "{}", run.transcript());
}

#[test]
fn values_of_the_suite_are_part_of_the_run() {
    let vm = Script::default().prints("echo a", "a\n").prints("echo b", "b\n").start();
    let mut scene = Scene::with(&vm).run("vm", "echo ${{ vars.word }}");
    scene.suite["vars"] = json!({"word": "a"});
    let shard = ["--shard", "1/1", "--publish", "parts"];
    scene.check(&[&shard[..], &["--var", "word=b"]].concat()).expect(0, &["passed"]);
    let run = merge(&scene, &[]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    assert!(
        run.stderr.contains("the values of --var and BOOTPROOF_VARS are not those"),
        "{}",
        run.stderr
    );
    merge(&scene, &["--var", "word=b"]).expect(0, &["passed"]);
    merge(&scene.env("BOOTPROOF_VARS", "word=b"), &[]).expect(0, &["passed"]);
}

#[test]
fn a_part_is_published_once() {
    let fleet = Fleet::start();
    fleet.all_shards(&[]);
    let before = fleet.scene.read("parts/shard-2-of-3.json");
    let again = fleet.shard(2, &[]);
    let note = "note: parts/shard-2-of-3.json is there already, and says the same\n";
    assert!(again.stderr.contains(note), "{}", again.transcript());
    assert_eq!(fleet.scene.read("parts/shard-2-of-3.json"), before);
    let mut part = fleet.part("shard-2-of-3.json");
    part["results"][0]["message"] = json!("something else");
    fleet.write_part("shard-2-of-3.json", &part);
    let before = fleet.scene.read("parts/shard-2-of-3.json");
    let again = fleet.shard(2, &[]);
    let warning = "warning: parts/shard-2-of-3.json is there already, and says something else; it \
                   was left as it is\n";
    assert!(again.stderr.contains(warning), "{}", again.transcript());
    assert_eq!(fleet.scene.read("parts/shard-2-of-3.json"), before);
    let names: Vec<_> = fleet.scene.path("parts").read_dir().unwrap().collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_folder_that_cannot_be_made_is_found_before_the_run() {
    let vm = Script::default().prints("yes", "").start();
    let scene = Scene::with(&vm).run("vm", "yes");
    scene.write("parts", "a file");
    let run = scene.check(&["--shard", "1/1", "--publish", "parts"]);
    assert_eq!(run.code, Some(70), "{}", run.transcript());
    assert!(run.stderr.contains("cannot make the folder parts: "), "{}", run.transcript());
    assert_eq!(vm.connections(), 0);
}

#[test]
fn merge_waits_for_the_last_part() {
    let fleet = Fleet::start();
    let flags = ["--filter", "yes", "--exclude", "app8"];
    fleet.all_shards(&flags);
    let last = fleet.part("shard-2-of-3.json");
    // Half of it is there, as while it is copied.
    fleet.scene.write("parts/shard-2-of-3.json", &last.to_string()[..500]);
    let waiting = fleet.scene.start(&["merge", "parts", "-o", "report.json", "--wait", "60s"]);
    let tries = std::iter::repeat_with(|| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        fleet.scene.read("stderr")
    });
    let told = tries.take(3000).find(|text| text.contains("waiting for")).expect("it waits");
    assert_eq!(told, "waiting for shard 2\n");
    fleet.write_part("shard-2-of-3.json", &last);
    let run = waiting.wait();
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    assert_eq!(run.report["merged"]["missing"], json!([]));
}

#[test]
fn merge_waits_no_longer_than_it_is_told() {
    let scene = Scene::new();
    fs::create_dir(scene.path("parts")).unwrap();
    let run = scene.bootproof(&["merge", "parts", "-o", "report.json", "--wait", "1s"]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    assert!(run.took >= std::time::Duration::from_secs(1));
    assert!(run.stderr.contains("error: there is no report of a shard"), "{}", run.transcript());
    // A file that will never be a part ends the wait at once.
    scene.write("parts/other.json", "{}");
    let run = scene.bootproof(&["merge", "parts", "-o", "report.json", "--wait", "60s"]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    assert!(run.stderr.contains("parts/other.json: this is not a report"), "{}", run.transcript());
}

#[test]
fn the_report_of_a_run_that_still_goes_on_counts_as_missing() {
    let fleet = Fleet::start();
    fleet.all_shards(&["--filter", "yes", "--exclude", "app8"]);
    let mut part = fleet.part("shard-2-of-3.json");
    part["complete"] = json!(false);
    part["stopped"] = json!("the run has not finished");
    fleet.write_part("shard-2-of-3.json", &part);
    let merged = fleet.merge(&[]);
    assert_eq!(merged.code, Some(3), "{}", merged.transcript());
    let note = "note: parts/shard-2-of-3.json: the run has not finished";
    assert!(merged.stderr.contains(note), "{}", merged.transcript());
    assert_eq!(merged.report["merged"]["missing"], json!([2]));
}

#[test]
fn an_empty_shard_is_green_and_says_so() {
    let vm = Script::default().prints("yes", "").start();
    let scene = Scene::with(&vm).run("vm", "yes");
    let runs: Vec<Run> = (1..=4)
        .map(|index| scene.check(&["--shard", &format!("{index}/4"), "--publish", "parts"]))
        .collect();
    assert!(runs.iter().all(|run| run.code == Some(0)));
    let empty: Vec<&Run> = runs.iter().filter(|run| run.rows().is_empty()).collect();
    assert_eq!(empty.len(), 3);
    for run in empty {
        let line = "\nno selected assertion is in this shard\n";
        assert!(run.stdout.contains(line), "{}", run.transcript());
    }
    merge(&scene, &[]).expect(0, &["passed"]);
    // That it was empty is only known if it says so.
    let index = runs.iter().position(|run| run.rows().is_empty()).expect("an empty shard") + 1;
    fs::remove_file(scene.path(&format!("parts/shard-{index}-of-4.json"))).unwrap();
    merge(&scene, &[]).expect(3, &["passed"]);
    // Nothing at all is a mistake, in a shard and in the merged report.
    let scene = Scene::with(&vm).run("vm", "yes");
    let nothing = ["--filter", "absent", "--publish", "parts", "--shard", "1/1"];
    let run = scene.check(&nothing);
    assert_eq!(run.code, Some(4), "{}", run.transcript());
    assert_eq!(merge(&scene, &[]).code, Some(4));
}

#[test]
fn a_shard_comes_from_the_environment_only_if_it_is_asked_for() {
    let vm = Script::default().prints("yes", "").start();
    let scene = Scene::with(&vm)
        .run("vm", "yes")
        .env("TEST_SHARD_INDEX", "0")
        .env("TEST_TOTAL_SHARDS", "1")
        .env("TEST_SHARD_STATUS_FILE", "status");
    let run = scene.check(&[]);
    run.expect(0, &["passed"]);
    assert_eq!(run.report["shard"], Value::Null);
    assert!(!scene.path("status").exists());
    let run = scene.check(&["--shard", "auto"]);
    run.expect(0, &["passed"]);
    assert_eq!(
        (&run.report["shard"]["index"], &run.report["shard"]["count"]),
        (&json!(1), &json!(1))
    );
    assert!(scene.path("status").exists());
    let run_id = run.report["shard"]["run_id"].as_str().unwrap();
    assert!(run_id.starts_with("files-"), "{run_id}");
    let scene = scene.env("PARALLEL_SEQ", "1");
    let run = scene.check(&["--shard", "auto"]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    assert!(run.stderr.contains("TEST_SHARD_INDEX of Bazel and PARALLEL_SEQ"), "{}", run.stderr);
}

#[test]
fn the_flag_comes_before_the_variable() {
    let vm = Script::default().prints("yes", "").start();
    let scene = Scene::with(&vm).run("vm", "yes").env("BOOTPROOF_SHARD", "2/3");
    let scene = scene.env("BOOTPROOF_RUN_ID", "nightly");
    let shard = |flags: &[&str]| {
        let run = scene.check(flags);
        assert_eq!(run.code, Some(0), "{}", run.transcript());
        let shard = &run.report["shard"];
        format!("{}/{} {}", shard["index"], shard["count"], shard["run_id"])
    };
    assert_eq!(shard(&[]), r#"2/3 "nightly""#);
    assert_eq!(shard(&["--shard", "1/2", "--run-id", "mine"]), r#"1/2 "mine""#);
    let scene = Scene::with(&vm).run("vm", "yes").env("BOOTPROOF_SHARD", "auto");
    let scene = scene.env("BUILDKITE_PARALLEL_JOB", "0").env("BUILDKITE_PARALLEL_JOB_COUNT", "1");
    let run = scene.env("BUILDKITE_BUILD_ID", "b-1").check(&[]);
    run.expect(0, &["passed"]);
    assert_eq!(run.report["shard"]["run_id"], "b-1");
}

#[test]
fn mistakes_in_flags_are_found_before_the_run() {
    let vm = Script::default().prints("yes", "").start();
    let scene = Scene::with(&vm).run("vm", "yes");
    for (flags, message) in [
        (&["--shard", "9/8"][..], "error: there is no shard 9/8: the last is 8/8\n  hint: write"),
        (&["--shard", "0/8"], "error: there is no shard 0/8: the first is 1/8"),
        (&["--shard", "3"], "error: `3` is not a shard"),
        (&["--publish", "parts"], "error: --publish is for a shard, and --shard is not given"),
        (&["--run-id", "r"], "error: --run-id is for a shard, and --shard is not given"),
    ] {
        let run = scene.check(flags);
        assert_eq!(run.code, Some(2), "{}", run.transcript());
        assert!(run.stderr.contains(message), "{message}: {}", run.transcript());
    }
    assert_eq!(vm.connections(), 0);
}
