//! kill -9 at any point leaves whole reports that say what they are.

use std::time::Duration;

use serde_json::Value;

use crate::fake_vm::{Script, Step};
use crate::scene::Scene;

const POINTS: u32 = 50;

#[test]
fn killed_at_any_point_a_run_leaves_no_torn_report_and_none_that_looks_finished() {
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
        roxmltree::Document::parse(&run.junit).unwrap_or_else(|error| panic!("torn at {point}: {error}"));
        if report["started"] == before {
            continue;
        }
        before = report["started"].clone();
        if report["complete"] == true {
            assert_eq!(run.verdicts(), ["passed"], "complete means that everything has a verdict");
        } else {
            unfinished += 1;
            assert_eq!(report["stopped"], "the run has not come to its end");
            assert_eq!(run.verdicts(), ["not-run"]);
        }
    }
    assert!(unfinished > 0, "no point was in the middle of a run");
}
