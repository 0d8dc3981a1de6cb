//! Wires: the inventory's `connections`: what the far end listens on, and whether the near
//! end reaches it.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::fake_vm::Script;
use crate::scene::Scene;

/// A port of this machine: open as long as the listener lives.
fn open_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

fn closed_port() -> u16 {
    open_port().1
}

/// `app` and `redis` with one wire between them; the kernel of `redis` says that these ports
/// listen.
fn scene(wire: &Value, listening: &[u16]) -> Scene {
    let app = Script::default().prints("true", "").start();
    let redis = Script { listening: listening.to_vec(), ..Script::default() }.start();
    let mut scene = Scene::new().vm("app", &app).vm("redis", &redis).run("app", "true");
    scene.inventory["vms"]["redis"]["address"] = json!("127.0.0.1");
    scene.inventory["connections"] = json!([wire]);
    // They live as long as the scene is used.
    std::mem::forget((app, redis));
    scene
}

fn wire(port: u16) -> Value {
    json!({"from": "app", "to": "redis", "port": port, "intent": "queue"})
}

fn denied(port: u16) -> Value {
    json!({"from": "app", "to": "redis", "port": port, "deny": true})
}

#[test]
fn a_wire_has_the_same_id_in_every_output() {
    let (_open, port) = open_port();
    let scene = scene(&wire(port), &[22, port]);
    let run = scene.check(&[]);
    run.expect(0, &["passed", "passed"]);
    let row = &run.rows()[1];
    let id = format!("wires::app::redis-{port}");
    assert_eq!(
        (&row["id"], &row["type"], &row["file"]),
        (&json!(id), &json!("wire"), &json!("inventory.json"))
    );
    assert_eq!(
        (&row["wire"]["listens_on"], &row["wire"]["reached"]),
        (&json!(["0.0.0.0"]), &json!(true))
    );
    assert!(
        run.stdout.contains(&format!("app -> redis:{port} (queue)  0.0.0.0     yes")),
        "{}",
        run.transcript()
    );
    assert!(run.junit.contains(&id), "{}", run.junit);
    assert!(scene.lab(&["--list"]).stdout.contains(&format!("{id}: test")));
    let only = scene.check(&["--filter", "wires::"]);
    only.expect(0, &["not-selected", "passed"]);
}

#[test]
fn a_broken_wire_names_the_end_that_is_broken() {
    let port = closed_port();
    for (listening, why) in
        [(vec![22], "nothing listens on"), (vec![22, port], "the way is barred")]
    {
        let run = scene(&wire(port), &listening).check(&[]);
        run.expect(1, &["passed", "failed"]);
        let message = run.rows()[1]["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("app does not reach redis:{port}: "))
                && message.contains(why),
            "{message}"
        );
        assert_eq!(run.rows()[1]["wire"]["reached"], json!(false));
    }
}

#[test]
fn a_denied_wire_fails_if_it_connects_and_errors_if_nothing_listens() {
    let (_open, port) = open_port();
    scene(&denied(port), &[port]).check(&[]).expect(1, &["passed", "failed"]);
    let port = closed_port();
    scene(&denied(port), &[port]).check(&[]).expect(0, &["passed", "passed"]);
    let run = scene(&denied(port), &[22]).check(&[]);
    run.expect(3, &["passed", "errored"]);
    assert!(
        run.rows()[1]["message"].as_str().unwrap().contains("proves nothing"),
        "{}",
        run.transcript()
    );
}

#[test]
fn a_wire_passes_although_its_far_end_cannot_be_asked() {
    let (_open, port) = open_port();
    let mut scene = scene(&wire(port), &[port]);
    scene.inventory["vms"]["redis"]["ssh"]["password"] = json!("wrong");
    let run = scene.check(&[]);
    run.expect(0, &["passed", "passed"]);
    assert_eq!(run.rows()[1]["wire"]["listens_on"], json!(null));
    assert!(run.stdout.contains("?           yes"), "{}", run.transcript());
}

#[test]
fn a_duplicate_wire_is_an_error_even_if_one_is_denied() {
    let mut scene = scene(&wire(6379), &[6379]);
    scene.inventory["connections"] = json!([wire(6379), denied(6379)]);
    let run = scene.check(&[]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    assert!(
        run.stderr.contains("two assertions have the id `wires::app::redis-6379`"),
        "{}",
        run.transcript()
    );
    assert!(run.stderr.contains("the other one is in inventory.json:"), "{}", run.transcript());
}
