//! How many VMs are worked on at once, and that nobody waits for ever.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::fake_vm::{FakeVm, Script, Wire};
use crate::scene::Scene;

/// VMs of these names, all at the address of one server.
fn fleet(vm: &FakeVm, names: &[String]) -> Scene {
    let mut scene = Scene::new();
    for name in names {
        scene = scene.vm(name, vm);
    }
    scene.assert(json!({"on_vm": "*", "command": "true", "name": "up"}))
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("vm{number:02}")).collect()
}

#[test]
fn jobs_limits_how_many_vms_log_in_at_once() {
    let late = || {
        let wire = Wire::Late(Duration::from_millis(100));
        Script { wire, ..Script::default() }.prints("true", "").start()
    };
    let (vm, names) = (late(), names(12));
    let scene = fleet(&vm, &names);
    scene.check(&["--jobs", "3"]).expect(0, &["passed"; 12]);
    assert_eq!(vm.log.most_at_login.load(Ordering::SeqCst), 3);
    let vm = late();
    let scene = fleet(&vm, &names).env("BOOTPROOF_JOBS", "2");
    scene.check(&[]).expect(0, &["passed"; 12]);
    assert_eq!(vm.log.most_at_login.load(Ordering::SeqCst), 2);
}

#[test]
fn a_wrong_number_of_jobs_is_a_usage_error() {
    let vm = Script::default().start();
    let run = fleet(&vm, &names(1)).check(&["--jobs", "0"]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    let run = fleet(&vm, &names(1)).env("BOOTPROOF_JOBS", "many").check(&[]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    let run = fleet(&vm, &names(1)).env("BOOTPROOF_JOBS", "many").lab(&[]);
    // libtest's code for everything that is not green.
    assert_eq!(run.code, Some(101), "{}", run.transcript());
    assert!(run.stderr.contains("BOOTPROOF_JOBS"), "{}", run.transcript());
    assert_eq!(vm.connections(), 0);
}

#[test]
fn vms_that_need_each_other_do_not_wait_for_ever() {
    let open = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = open.local_addr().expect("an address").port();
    let vm = Script { listening: vec![22, port], ..Script::default() }.prints("true", "").start();
    let names = names(3);
    let mut scene = fleet(&vm, &names);
    let mut wires = Vec::new();
    for from in &names {
        for to in names.iter().filter(|to| *to != from) {
            wires.push(json!({"from": from, "to": to, "port": port}));
        }
        scene.inventory["vms"][from]["address"] = json!("127.0.0.1");
    }
    scene.inventory["connections"] = json!(wires);
    scene.check(&["--jobs", "1"]).expect(0, &["passed"; 9]);
}

#[test]
fn a_vm_that_is_not_up_yet_lets_others_go_first() {
    let reserved = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = reserved.local_addr().expect("an address").port();
    drop(reserved);
    let early = Script::default().prints("true", "").start();
    let scene = Scene::new().vm_at("app", port).vm("db", &early).run("app", "true");
    let scene = scene.run("db", "true");
    let run = scene.start_check(&["--jobs", "1", "--wait", "1m"]);
    // It comes up only when the other one was checked.
    while early.runs("true") == 0 {
        sleep(Duration::from_millis(10));
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the same port");
    let _late = FakeVm::listen(Script::default().prints("true", ""), listener);
    run.wait().expect(0, &["passed", "passed"]);
}

#[test]
fn assertions_that_wait_let_other_vms_go_first() {
    let reserved = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = reserved.local_addr().expect("an address").port();
    drop(reserved);
    let vms = [(); 2].map(|()| Script::default().prints("true", "").start());
    let scene = Scene::new().vm("app", &vms[0]).vm("db", &vms[1]).run("db", "true");
    let url = format!("http://127.0.0.1:{port}/");
    let scene =
        scene.assert(json!({"on_vm": "app", "type": "http_responds", "url": url, "name": "web"}));
    let run = scene.start_check(&["--jobs", "1", "--wait", "1m"]);
    while vms[1].runs("true") == 0 {
        sleep(Duration::from_millis(10));
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the same port");
    let (mut client, _) = listener.accept().expect("a client");
    let mut request = [0; 1024];
    assert!(client.read(&mut request).is_ok_and(|length| length > 0));
    client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("an answer");
    run.wait().expect(0, &["passed", "passed"]);
}

#[test]
fn vms_behind_one_host_share_its_connection() {
    let [jump, inner] = [(); 2].map(|()| Script::default().prints("true", "").start());
    let names = names(20);
    let mut scene = fleet(&inner, &names);
    for name in &names {
        scene = scene.ssh(name, "via", format!("ops@127.0.0.1:{}", jump.port));
    }
    scene.check(&["--jobs", "20"]).expect(0, &["passed"; 20]);
    assert_eq!((jump.connections(), inner.connections()), (1, 20));
    let most = inner.log.most_at_login.load(Ordering::SeqCst);
    assert!(most <= 8, "{most} logins at once behind one host");
}

#[test]
fn a_dead_host_is_asked_once_for_those_who_wait_together() {
    let names = names(5);
    let vm = Script::default().start();
    let dead = Script { wire: Wire::Says(b"220 mail\r\n".to_vec()), ..Script::default() }.start();
    let mut scene = fleet(&vm, &names);
    for name in &names {
        scene = scene.ssh(name, "via", format!("ops@127.0.0.1:{}", dead.port));
    }
    let run = scene.check(&["--jobs", "5"]);
    run.expect(3, &["blocked"; 5]);
    assert!(run.rows().iter().all(|row| {
        row["cause"]["message"].as_str().is_some_and(|it| it.starts_with("jump host 127.0.0.1"))
    }));
    assert!(dead.connections() <= 5 && vm.connections() == 0);
}
