//! One reader sees each problem once: what is the same on many VMs is one line or one block.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bootproof::assertion::Mismatch;
use bootproof::health::evidence::EvidenceItem;
use bootproof::obstacle::Stage;
use bootproof::outcome::{Cause, Outcome, Output, Stream, Verdict};
use bootproof::record::{RunRecord, ShellNoise, SuspectService, Timeline, VmRecord};
use bootproof::report::redact::Redactor;
use bootproof::report::terminal::{self, Screen};
use bootproof::report::{Report, json, junit};
use bootproof::spec::inventory::Inventory;
use bootproof::spec::plan::{AssertionId, Plan};
use bootproof::spec::suite::Suite;
use serde_json::{Map, Value, json};

use crate::fake_vm::{FakeVm, Script, Step};
use crate::reports::is_sound_junit;
use crate::scene::Scene;

const CHECKS: [&str; 6] =
    ["host-name", "disk", "root-login", "time-synchronised", "distribution", "package"];

/// The lines that a reader has to read at most about one fault, however many VMs have it.
const MOST_LINES: usize = 40;

/// A run over a fleet of VMs with the same checks.
struct Fleet {
    vms: Vec<String>,
    plan: Plan,
    record: RunRecord,
}

/// 50 VMs in three roles; all is green.
fn fleet() -> Fleet {
    let role = |name: &str, count: usize| -> Vec<String> {
        let width = if name == "db" { 1 } else { 2 };
        (1..=count).map(|number| format!("{name}{number:0width$}")).collect()
    };
    Fleet::of([role("web", 30), role("db", 8), role("app", 12)].concat())
}

/// The VMs that have the fault.
const BROKEN: &str = "web[01-30], db[1-8], app[01-10]";

impl Fleet {
    fn of(vms: Vec<String>) -> Self {
        let entries: Map<String, Value> = (1..)
            .zip(&vms)
            .map(|(number, vm)| {
                let address =
                    format!("10.{}.{}.{}", number >> 16, (number >> 8) & 255, number & 255);
                (vm.clone(), json!({"address": address}))
            })
            .collect();
        let defaults = json!({"user": "ops", "password": "secret"});
        let inventory = json!({"lab": "fleet", "defaults": defaults, "vms": entries});
        let assertions: Vec<Value> = CHECKS
            .iter()
            .flat_map(|check| vms.iter().map(move |vm| (check, vm)))
            .map(|(check, vm)| {
                let command = format!("/usr/local/bin/{check}");
                json!({"type": "command_output", "on_vm": vm, "name": check, "command": command,
                    "equals": "yes"})
            })
            .collect();
        let tests = json!([{"name": "everyday", "assertions": assertions}]);
        let suite = json!({"scenarios": [{"name": "fleet", "custom_tests": tests}]});
        let inventory = Inventory::parse("fleet.json", &inventory.to_string()).unwrap();
        let suite = Suite::parse("everyday.json", &suite.to_string()).unwrap();
        let plan = Plan::resolve(&[suite], inventory).unwrap();
        let record = RunRecord {
            outcomes: plan
                .assertions
                .iter()
                .map(|one| (one.id.clone(), Outcome::without_attempt(Verdict::Passed)))
                .collect(),
            vms: vms.iter().zip(85..).map(|(vm, ms)| (vm.clone(), healthy(ms))).collect(),
            started: chrono::DateTime::UNIX_EPOCH,
            ended: chrono::DateTime::UNIX_EPOCH,
            stop: None,
        };
        Self { vms, plan, record }
    }

    /// Gives the check of the first `count` VMs another verdict.
    fn set(mut self, check: &str, count: usize, verdict: impl Fn(usize, &str) -> Verdict) -> Self {
        let ids: HashMap<&str, &AssertionId> =
            self.plan.assertions.iter().map(|one| (one.id.as_str(), &one.id)).collect();
        for (index, vm) in self.vms.iter().take(count).enumerate() {
            let id = ids[format!("everyday::{vm}::{check}").as_str()];
            let mut outcome = Outcome::without_attempt(verdict(index, vm));
            outcome.output =
                Some(Output { stdout: Stream::bounded("no\n", 0), stderr: Stream::bounded("", 0) });
            self.record.outcomes.insert(id.clone(), outcome);
        }
        self
    }

    fn with_vm(mut self, count: usize, change: impl Fn(usize, &str, &mut VmRecord)) -> Self {
        for (index, vm) in self.vms.iter().take(count).enumerate() {
            change(index, vm, self.record.vms.get_mut(vm).unwrap());
        }
        self
    }

    fn report(&self) -> Report {
        Report::new(&self.plan, &self.record, &Redactor::default())
    }

    fn screen(&self) -> String {
        terminal::render(&self.report(), Screen::default())
    }
}

fn healthy(ms: u64) -> VmRecord {
    let timeline = Timeline { login: Some(Duration::from_millis(ms)), ..Timeline::default() };
    let mut record = VmRecord { timeline, ..VmRecord::default() };
    record.identity.os_release = Some("Debian GNU/Linux 13 (trixie)".to_owned());
    record.identity.kernel = Some("6.12.48+deb13-cloud-amd64".to_owned());
    record
}

fn failed(message: &str) -> Verdict {
    let [message, expected, actual] = [message, "output is \"yes\"", "no"].map(str::to_owned);
    Verdict::Failed(Mismatch { message, expected, actual })
}

fn unreachable(vm: &str, address: &str, message: &str) -> Verdict {
    Verdict::Blocked(Cause {
        vm: vm.to_owned(),
        stage: Stage::Tcp,
        address: address.to_owned(),
        message: message.to_owned(),
        hint: Some("is the VM powered on?".to_owned()),
    })
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

/// What a VM with a stopped service shows: its journal has its own name and time in it.
fn chrony_is_dead(index: usize, vm: &str, record: &mut VmRecord) {
    let [unit, state] = ["chrony.service", "inactive (dead)"].map(str::to_owned);
    record.suspects = vec![SuspectService { unit: unit.clone(), state }];
    let text = format!("2026-11-24T03:11:{index:02} {vm} systemd[1]: Stopped chrony.service.");
    record.evidence = vec![
        EvidenceItem { about: unit, text },
        EvidenceItem { about: "disk".to_owned(), text: "/dev/vda".to_owned() },
    ];
}

#[test]
fn a_fault_on_48_of_50_vms_is_one_block() {
    let fleet = fleet()
        .set("time-synchronised", 48, |_, _| failed("ntp is not enabled"))
        .with_vm(48, chrony_is_dead);
    insta::assert_snapshot!("fault", fleet.screen());
    let narrow = Screen { width: Some(80), ..Screen::default() };
    let narrow = terminal::render(&fleet.report(), narrow);
    insta::assert_snapshot!("fault_at_80_columns", narrow);
    for text in [fleet.screen(), narrow] {
        assert!(lines(&text) <= MOST_LINES, "{text}");
        let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(joined.contains(&format!("on 48 of 50: {BROKEN} ")), "{text}");
        assert_eq!(text.matches("ntp is not enabled").count(), 1, "{text}");
    }
}

#[test]
fn different_messages_about_one_assertion_share_a_heading() {
    let disk = |index: usize, _: &str| match index {
        0..3 => failed("disk is 90%"),
        _ => failed(&format!("disk is {}%, {}", 90 + index % 10, index)),
    };
    let fleet = fleet().set("disk", 48, disk);
    let text = fleet.screen();
    insta::assert_snapshot!("messages", text);
    assert!(lines(&text) <= MOST_LINES, "{text}");
    let verbose = Screen { verbose: true, ..Screen::default() };
    let all = terminal::render(&fleet.report(), verbose);
    assert_eq!(all.matches("\nfailed ").count(), 46, "{all}");
    assert!(all.contains("failed   everyday::*::disk on 3 of 50: web[01-03]\n"), "{all}");
    assert!(all.contains("failed   everyday::app10::disk\n"), "{all}");
}

#[test]
fn messages_that_differ_by_the_name_and_address_of_the_vm_are_the_same() {
    let own = |index: usize, vm: &str| {
        failed(&format!("{vm} (10.0.0.{}) calls itself {vm}-old", index + 1))
    };
    let fleet = fleet().set("host-name", 50, own);
    let text = fleet.screen();
    assert!(text.contains("\n  <vm> (<address>) calls itself <vm>-old\n"), "{text}");
    assert!(text.contains("failed   everyday::*::host-name on all 50: web[01-30]"), "{text}");
    // On one VM, there is nothing to leave out.
    let text = fleet_with_one_fault().screen();
    assert!(text.contains("web01 (10.0.0.1) calls itself web01-old"), "{text}");
}

fn fleet_with_one_fault() -> Fleet {
    fleet().set("host-name", 1, |_, _| failed("web01 (10.0.0.1) calls itself web01-old"))
}

#[test]
fn a_word_that_is_the_name_of_a_vm_does_not_split_a_message() {
    let vms = ["redis", "web", "db", "proxy", "queue", "cache"].map(str::to_owned).to_vec();
    let fleet = Fleet::of(vms).set("package", 6, |_, _| failed("redis is not installed"));
    let text = fleet.screen();
    let block = "failed   everyday::*::package on all 6: redis, web, db, proxy, queue, cache\n  \
                 redis is not installed\n";
    assert!(text.contains(block), "{text}");
}

#[test]
fn vms_that_are_down_for_the_same_reason_are_one_cause() {
    let down = |index: usize, vm: &str| {
        let tried = 290 + index % 3;
        let message = format!("no TCP connection: refused; bootproof has tried for {tried}s");
        unreachable(vm, &format!("10.0.0.{}:22", index + 1), &message)
    };
    let fleet = CHECKS.iter().fold(fleet(), |fleet, check| fleet.set(check, 48, down));
    let text = fleet.screen();
    insta::assert_snapshot!("cause", text);
    assert!(lines(&text) <= MOST_LINES, "{text}");
}

#[test]
fn vms_that_are_down_for_many_reasons_are_all_named() {
    let down = |index: usize, vm: &str| {
        unreachable(vm, &format!("10.0.0.{}:22", index + 1), &format!("reason {index}"))
    };
    let fleet = CHECKS.iter().fold(fleet(), |fleet, check| fleet.set(check, 48, down));
    let text = fleet.screen();
    assert!(lines(&text) <= MOST_LINES, "{text}");
    let heading = format!("cause 48 different causes\n  VMs:      {BROKEN}\n");
    assert!(text.contains(&heading), "{text}");
    assert!(text.contains("  web01 at tcp (10.0.0.1:22): reason 0\n"), "{text}");
    assert!(text.contains("  and 43 others; -v shows all\n"), "{text}");
}

#[test]
fn a_green_run_over_many_vms_has_a_line_for_each_assertion() {
    let fleet = fleet();
    let text = fleet.screen();
    insta::assert_snapshot!("green", text);
    let verbose = Screen { verbose: true, ..Screen::default() };
    let all = terminal::render(&fleet.report(), verbose);
    assert_eq!(all.matches("passed   everyday::").count(), 300, "{all}");
}

#[test]
fn up_to_four_vms_are_listed_one_by_one() {
    let vms = |count: usize| (1..=count).map(|number| format!("web{number}")).collect();
    let four = Fleet::of(vms(4)).set("disk", 3, |_, _| failed("disk is full"));
    let text = four.screen();
    insta::assert_snapshot!("four", text);
    assert_eq!(text.matches("passed   everyday::").count(), 21, "{text}");
    let five = Fleet::of(vms(5)).screen();
    assert_eq!(five.matches("passed   everyday::*::").count(), 6, "{five}");
}

#[test]
fn warnings_and_instability_are_folded() {
    let noisy = |index: usize, vm: &str, record: &mut VmRecord| {
        let place = "on standard output before each command".to_owned();
        record.noise = vec![ShellNoise { place, text: format!("Welcome to {vm}!") }];
        if index < 2 {
            record.unstable = vec!["it rebooted during the run".to_owned()];
        }
    };
    let text = fleet().with_vm(48, noisy).screen();
    let warning = format!(
        "warning 48 VMs: its login shell prints \"Welcome to <vm>!\" on standard output before \
         each command; bootproof ignores it\n  VMs: {BROKEN}\n"
    );
    assert!(text.contains(&warning), "{text}");
    let unstable = "unstable 2 VMs: do not rely on their verdicts\n  VMs: web[01-02]\n  \
                    it rebooted during the run\n";
    assert!(text.contains(unstable), "{text}");
}

#[test]
fn reports_keep_each_result_and_have_the_groups() {
    let fleet = fleet().set("disk", 48, |index, _| failed(&format!("disk {}", index % 2)));
    let report = fleet.report();
    let value: Value = serde_json::from_str(&json::render(&report)).unwrap();
    assert_eq!(value["results"].as_array().unwrap().len(), 300);
    let groups = value["groups"].as_array().unwrap();
    let red: Vec<_> = groups.iter().filter(|group| group["verdict"] == "failed").collect();
    assert_eq!((groups.len(), red.len()), (8, 2), "{groups:#?}");
    let odd = "web[01,03,05,07,09,11,13,15,17,19,21,23,25,27,29], db[1,3,5,7], app[01,03,05,07,09]";
    for (key, expected) in [
        ("scenario", json!("fleet")),
        ("test", json!("everyday")),
        ("name", json!("disk")),
        ("message", json!("disk 0")),
        ("nodes", json!(odd)),
    ] {
        assert_eq!(red[0][key], expected);
    }
    assert_eq!(red[0]["vms"][23], "app09");
    assert_eq!(red[0]["ids"][23], "everyday::app09::disk");
    assert_eq!(groups[0]["message"], Value::Null);
    // Each result is in one group.
    let ids = groups.iter().flat_map(|group| group["ids"].as_array().unwrap());
    let ids: std::collections::HashSet<_> = ids.map(|id| id.as_str().unwrap()).collect();
    assert_eq!(ids.len(), 300);
    let xml = junit::render(&report);
    is_sound_junit(&xml);
    assert_eq!(xml.matches("<testcase").count(), 300);
}

#[test]
fn folding_takes_time_in_proportion_to_the_results() {
    let time = |vms: usize| {
        let names = (0..vms).map(|number| format!("node{number:05}")).collect();
        let fleet = Fleet::of(names).set("disk", vms, |index, vm| failed(&format!("{vm} {index}")));
        let report = fleet.report();
        let started = Instant::now();
        let text = terminal::render(&report, Screen::default());
        assert!(lines(&text) <= MOST_LINES, "{text}");
        started.elapsed()
    };
    let (one, eight) = (time(500), time(4000));
    // Quadratic would be 64 times; the machine may be busy.
    assert!(eight < one * 30 + Duration::from_millis(200), "{one:?} for 500, {eight:?} for 4000");
}

/// Six VMs on one server; `work` fails where the suite says so.
fn six(vm: &FakeVm) -> Scene {
    (1..=6).fold(Scene::new(), |scene, number| {
        let name = format!("web{number}");
        scene.vm(&name, vm).run(&name, "work")
    })
}

#[test]
fn a_quiet_run_prints_nothing_if_all_is_green() {
    let vm = Script::default().prints("work", "").prints("work || true", "").start();
    // A check that cannot fail is a warning of a run that is not quiet.
    let scene = six(&vm).run("web1", "work || true");
    assert!(scene.check(&[]).stderr.contains("warning: "));
    for flags in [&["--quiet"][..], &["-q", "-v"], &["-q", "--format", "json"]] {
        let run = scene.check(flags);
        assert_eq!(run.code, Some(0), "{}", run.transcript());
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
        assert_eq!(run.rows().len(), 7, "the reports are written all the same");
    }
}

#[test]
fn a_quiet_run_prints_as_usual_if_something_is_red() {
    let vm = Script::default().answer("work", [Step::Exit(1)]).start();
    let scene = six(&vm);
    let quiet = scene.check(&["--quiet"]);
    assert_eq!(quiet.code, Some(1), "{}", quiet.transcript());
    let heading = "failed   t::*::work on all 6: web[1-6]\n";
    assert!(quiet.stdout.contains(heading), "{}", quiet.transcript());
    assert!(quiet.stderr.contains("reports: "), "{}", quiet.transcript());
    let mistake = scene.check(&["--quiet", "--filter", "nothing"]);
    assert_eq!(mistake.code, Some(4), "{}", mistake.transcript());
    assert!(mistake.stderr.contains("error: there is no assertion"), "{}", mistake.stderr);
}

#[test]
fn verbose_lists_each_assertion_of_each_vm() {
    let vm = Script::default().prints("work", "").start();
    let scene = six(&vm);
    assert!(scene.check(&[]).stdout.contains("  passed   t::*::work  on all 6\n"));
    let run = scene.check(&["--verbose"]);
    assert!(run.stdout.contains("  passed   t::web6::work  "), "{}", run.transcript());
}

#[test]
fn a_log_has_no_line_for_each_of_many_vms() {
    let vm = Script::default().prints("work", "").start();
    let run = six(&vm).check(&[]);
    assert_eq!(run.stderr, "reports: junit.xml, report.json\n", "{}", run.transcript());
}

#[test]
fn wires_of_many_vms_to_one_port_are_one_line() {
    let mut fleet = Scene::new();
    let vm = Script { listening: vec![22, 5432], ..Script::default() }.prints("work", "").start();
    let mut connections = Vec::new();
    for number in 1..=5 {
        let name = format!("web{number}");
        fleet = fleet.vm(&name, &vm);
        connections.push(json!({"from": name, "to": "db", "port": 5432}));
    }
    fleet = fleet.vm("db", &vm).run("db", "work");
    fleet.inventory["connections"] = json!(connections);
    let run = fleet.check(&[]);
    assert!(run.stdout.contains("  web[1-5] -> db:5432  "), "{}", run.transcript());
    assert!(!run.stdout.contains("web1 ->"), "{}", run.transcript());
}

#[test]
fn what_lacks_coverage_on_many_vms_is_one_line() {
    let vm = Script::default().prints("work", "").start();
    let mut scene = six(&vm);
    for number in 1..=6 {
        scene.inventory["vms"][format!("web{number}")]["ports"] = json!([9100]);
    }
    let run = scene.check(&[]);
    let line = "  no assertion covers 9100/tcp of web[1-6]\n";
    assert!(run.stdout.contains(line), "{}", run.transcript());
}

#[test]
fn lint_says_once_what_is_wrong_in_several_places() {
    let scene = (1..=9).fold(Scene::new(), |scene, number| {
        let name = format!("web{number}");
        scene.vm_at(&name, 22).run(&name, "cat /x | sort")
    });
    scene.write_files();
    let run = scene.bootproof(&["lint", "inventory.json", "suite.json"]);
    assert_eq!(run.stderr.matches("warning: ").count(), 1, "{}", run.transcript());
    assert!(run.stderr.contains("\n  also: suite.json:"), "{}", run.transcript());
    assert!(run.stderr.contains(" and 3 other places\n"), "{}", run.transcript());
}
