//! kill -9 at any point leaves whole reports that say what they are.

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fake_vm::{Script, Step};
use crate::scene::Scene;

const POINTS: u32 = 50;

#[test]
fn a_killed_run_leaves_no_torn_report_and_none_that_looks_finished() {
    let slow = [Step::Repeat(b"x".to_vec(), 10, Duration::from_millis(10)), Step::Exit(0)];
    let vm = Script::default().answer("work", slow).start();
    let scene = Scene::with(&vm).run("vm", "work");
    let whole = scene.check(&[]);
    whole.expect(0, &["passed"]);
    let (mut before, mut unfinished) = (whole.report["started"].clone(), 0);
    let span = whole.took + Duration::from_millis(20);
    for point in 0..POINTS {
        let started = scene.start_check(&[]);
        std::thread::sleep(span * point / POINTS);
        started.signal("KILL");
        let run = started.wait();
        let report: &Value = &run.report;
        assert!(report.is_object(), "torn at {point}: {}", scene.read("report.json"));
        roxmltree::Document::parse(&run.junit)
            .unwrap_or_else(|error| panic!("torn at {point}: {error}"));
        if report["started"] == before {
            continue;
        }
        before = report["started"].clone();
        if report["complete"] == true {
            assert_eq!(run.verdicts(), ["passed"], "complete means that everything has a verdict");
            assert!(!run.junit.contains("has not finished"), "JUnit is written first");
        } else {
            unfinished += 1;
            assert_eq!(report["stopped"], "the run has not finished");
            assert_eq!(run.verdicts(), ["not-run"]);
        }
    }
    assert!(unfinished > 0, "no point was in the middle of a run");
    scene.check(&[]).expect(0, &["passed"]);
    assert_eq!(beside(&scene), [""; 0], "the next run sweeps up");
}

/// The hidden files in the scene's folder.
fn beside(scene: &Scene) -> Vec<String> {
    let names = scene
        .path(".")
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut hidden: Vec<_> = names.filter(|name| name.starts_with('.')).collect();
    hidden.sort();
    hidden
}

#[test]
fn leftovers_of_a_killed_run_are_removed_unless_another_run_writes() {
    let vm = Script::default().prints("work", "").start();
    let scene = Scene::with(&vm).run("vm", "work");
    for name in [".bootproof-unfinished-a1B2c3", ".bootproof-mine", ".report"] {
        scene.write(name, "{");
    }
    // As a run does that is just writing.
    let writing = File::open(scene.path(".")).unwrap();
    writing.lock_shared().unwrap();
    scene.check(&[]).expect(0, &["passed"]);
    assert_eq!(beside(&scene), [".bootproof-mine", ".bootproof-unfinished-a1B2c3", ".report"]);
    drop(writing);
    scene.check(&[]).expect(0, &["passed"]);
    assert_eq!(beside(&scene), [".bootproof-mine", ".report"]);
}

#[test]
fn a_run_killed_during_a_request_leaves_no_temporary_file() {
    let vm = Script::default().start();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let url = format!("http://localhost:{}/", server.local_addr().unwrap().port());
    let scene = Scene::with(&vm).assert(json!({"type": "http_responds", "url": url}));
    let folder = scene.path("tmp");
    std::fs::create_dir(&folder).unwrap();
    let scene = scene.env("TMPDIR", &folder.display().to_string());
    let started = scene.start_check(&[]);
    let tries = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(10));
        server.accept().ok()
    });
    let (mut asked, _) = tries.take(6000).flatten().next().expect("it asks");
    asked.set_nonblocking(false).unwrap();
    asked.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    asked.read_exact(&mut [0; 4]).expect("a request");
    started.signal("KILL");
    started.wait();
    assert_eq!(folder.read_dir().unwrap().count(), 0);
}
