//! What must hold between the VMs: each is a machine of its own, and their clocks agree.

use std::time::{SystemTime, UNIX_EPOCH};

use bootproof::assertion::facts::{READ_CLOCK, READ_IDENTITY, READ_LATE_CLOCK};
use serde_json::json;

use crate::fake_vm::{FakeVm, Script};
use crate::scene::Scene;

/// What a VM is among the others.
struct Machine {
    id: &'static str,
    host_key: u8,
    mac: u8,
    address: &'static str,
    /// How many seconds its clock is ahead.
    ahead: u64,
}

const APP: Machine = Machine { id: "aaaa", host_key: 1, mac: 1, address: "10.9.0.1", ahead: 0 };
const DB: Machine = Machine { id: "bbbb", host_key: 2, mac: 2, address: "10.9.0.2", ahead: 0 };
const QUEUE: Machine = Machine { id: "cccc", host_key: 3, mac: 3, address: "10.9.0.3", ahead: 0 };

impl Machine {
    fn start(&self) -> FakeVm {
        let Self { id, mac, address, .. } = self;
        let identity = format!(
            "machine-id {id}\nmac 52:54:00:00:00:{mac:02}\nLocal:\n  |-- 127.0.0.1\n  /32 host LOCAL\n  |-- {address}\n  \
             /32 host LOCAL\n@end\n"
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
            + self.ahead;
        let script = Script { host_key: self.host_key, ..Script::default() };
        let clock = |seconds| format!("{seconds}.5\n");
        let script =
            script.prints(READ_CLOCK, clock(now)).prints(READ_LATE_CLOCK, clock(now + 3600));
        script.prints("true", "").prints(READ_IDENTITY, identity).start()
    }
}

/// `app`, `db` and `queue`, each at the address that it should have.
fn scene(machines: [&Machine; 3]) -> (Scene, [FakeVm; 3]) {
    let vms = machines.map(Machine::start);
    let mut scene = Scene::new();
    for (name, vm) in ["app", "db", "queue"].iter().zip(&vms) {
        scene = scene.vm(name, vm);
    }
    for (name, machine) in [("app", APP), ("db", DB), ("queue", QUEUE)] {
        scene.inventory["vms"][name]["address"] = json!(machine.address);
    }
    scene.inventory["peers"] = json!({"clocks_within": "20s"});
    (scene.run("app", "true"), vms)
}

/// The ids that are red, and what they say.
fn red(machines: [&Machine; 3]) -> Vec<(String, String)> {
    let (scene, _vms) = scene(machines);
    let run = scene.check(&[]);
    let rows = run.rows().iter().filter(|row| row["verdict"] != "passed");
    rows.map(|row| {
        (row["id"].as_str().unwrap().to_owned(), row["message"].as_str().unwrap().to_owned())
    })
    .collect()
}

fn printed(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(vm, message)| (format!("peers::{vm}"), (*message).to_owned())).collect()
}

#[test]
fn peers_have_the_same_ids_in_every_output() {
    let (scene, _vms) = scene([&APP, &DB, &QUEUE]);
    let run = scene.check(&[]);
    run.expect(0, &["passed"; 7]);
    assert_eq!(
        (&run.rows()[1]["id"], &run.rows()[1]["type"]),
        (&json!("peers::app::identity"), &json!("peer"))
    );
    assert!(scene.lab(&["--list"]).stdout.contains("peers::queue::clock: test"));
    // Whoever asks for one VM gets it compared with all.
    let only = scene.check(&["--limit", "db"]);
    assert_eq!(only.rows().iter().filter(|row| row["verdict"] == "passed").count(), 2);
}

#[test]
fn a_shared_identity_fails_on_both_vms() {
    let cloned = Machine { id: APP.id, host_key: APP.host_key, ..QUEUE };
    let message = |other| format!("it has the machine-id of {other}, and the host key of {other}");
    let expected =
        printed(&[("app::identity", &message("queue")), ("queue::identity", &message("app"))]);
    assert_eq!(red([&APP, &DB, &cloned]), expected);
    let twin = Machine { mac: DB.mac, ..QUEUE };
    let message = |other| format!("it has the MAC address 52:54:00:00:00:02 of {other}");
    let expected =
        printed(&[("db::identity", &message("queue")), ("queue::identity", &message("db"))]);
    assert_eq!(red([&APP, &DB, &twin]), expected);
}

#[test]
fn an_address_has_one_owner() {
    let thief = Machine { address: DB.address, ..QUEUE };
    let expected = printed(&[
        ("db::identity", "it has the address 10.9.0.2, which queue has, too"),
        (
            "queue::identity",
            "it has 10.9.0.2, the address of db; it does not have its declared address 10.9.0.3",
        ),
    ]);
    assert_eq!(red([&APP, &DB, &thief]), expected);
}

#[test]
fn only_the_wrong_clock_fails() {
    let early = Machine { ahead: 3600, ..DB };
    let rows = red([&APP, &early, &QUEUE]);
    let [(id, message)] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(id, "peers::db::clock");
    assert!(message.starts_with("its clock is ") && message.ends_with(" ahead"), "{message}");
}

#[test]
fn a_dead_vm_is_left_out_of_the_comparison_of_the_others() {
    let (mut scene, _vms) = scene([&APP, &DB, &QUEUE]);
    scene.inventory["vms"]["db"]["ssh"]["port"] = json!(1);
    let run = scene.check(&[]);
    let verdicts = run.verdicts();
    assert_eq!(verdicts, ["passed", "passed", "passed", "blocked", "blocked", "passed", "passed"]);
    // With nobody there, nothing is known.
    scene.inventory["vms"]["queue"]["ssh"]["port"] = json!(1);
    let run = scene.check(&["--limit", "app"]);
    assert_eq!(run.rows()[1]["verdict"], "errored");
    assert!(
        run.rows()[1]["message"].as_str().unwrap().contains("no other VM could be asked"),
        "{}",
        run.transcript()
    );
}

#[test]
fn prove_shows_that_peers_can_fail() {
    let (scene, _vms) = scene([&APP, &DB, &QUEUE]);
    scene.write_files();
    let files = ["prove", "-i", "inventory.json", "-s", "suite.json"];
    let run = scene.bootproof(&[&files[..], &["--filter", "peers::"]].concat());
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    assert!(run.stdout.contains("6 can fail; 0 pass anyway; 0 not proven"), "{}", run.transcript());
}

#[test]
fn swapped_logins_explain_all_that_is_red() {
    let (mut scene, _vms) = scene([&QUEUE, &DB, &APP]);
    scene = scene.assert(json!({"on_vm": "app", "command": "app-is-here"}));
    let run = scene.check(&["--no-evidence"]);
    let row = |id: &str| run.rows().iter().find(|row| row["id"] == id).unwrap();
    let message = |id: &str| row(id)["message"].as_str().unwrap().to_owned();
    assert_eq!(
        message("peers::app::identity"),
        "the login reaches queue, not app: the machine has 10.9.0.3, the address of queue, and not \
         10.9.0.1; are the SSH entries in the inventory swapped?"
    );
    assert!(message("peers::queue::identity").starts_with("the login reaches app, not queue"));
    assert_eq!(row("peers::db::identity")["verdict"], "passed");
    let because = row("t::app::app-is-here")["because"][0].as_str().unwrap();
    assert!(because.starts_with("peers::app::identity: the login reaches queue"), "{because}");
    assert_eq!(row("peers::app::identity")["because"], json!([]));
}
