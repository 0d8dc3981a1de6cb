//! `lint` and `plan` of 1,000 VMs with 100 assertions each. It ends with an error when one of them
//! takes more than 2 s or 200 MB. `make bench` runs it.

use std::error::Error;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wait4::Wait4;

const VMS: usize = 1000;
const ROUNDS: usize = 5;
const TIME_AT_MOST: Duration = Duration::from_secs(2);
const MEMORY_AT_MOST: u64 = 200 * 1024 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::Builder::new().prefix("bootproof-bench-").tempdir()?;
    let (inventory, suite) = (folder.path().join("fleet.json"), folder.path().join("suite.json"));
    fs::write(&inventory, format!("{:#}", self::inventory()))?;
    fs::write(&suite, format!("{:#}", self::suite()))?;
    let (inventory, suite) = (inventory.display().to_string(), suite.display().to_string());
    println!("{VMS} VMs with 100 assertions each; the median of {ROUNDS} rounds");
    let lint = measure("lint", &["lint", &inventory, &suite])?;
    let plan = measure("plan", &["plan", "-i", &inventory, "-s", &suite])?;
    if lint && plan {
        Ok(())
    } else {
        Err("bootproof is too slow, or needs too much memory".into())
    }
}

/// Three roles; every VM has values of its own.
fn inventory() -> Value {
    let vm = |number: usize| {
        let role = ["web", "app", "db"][number % 3];
        let address = format!("10.{}.{}.1", number / 250, number % 250);
        let vars = json!({"port": 8000 + number, "folder": format!("/srv/{number}")});
        let entry =
            json!({"address": address, "role": role, "ports": [22, 8000 + number], "vars": vars});
        (format!("{role}{number:04}"), entry)
    };
    let vms: serde_json::Map<String, Value> = (1..=VMS).map(vm).collect();
    json!({"lab": "fleet", "defaults": {"user": "ops", "agent": true}, "vms": vms})
}

/// 100 assertions on every VM; 30 of them differ from VM to VM.
fn suite() -> Value {
    let plain = (0..60).map(|number| {
        json!({
            "type": "command_output", "on_vm": "*", "name": format!("plain-{number}"),
            "command": format!("systemctl show -P ActiveState unit-{number}.service"),
            "matches": "^(active|reloading)$"
        })
    });
    let rendered = (0..20).map(|number| {
        json!({
            "type": "command_output", "on_vm": "*", "name": format!("rendered-{number}"),
            "command": format!("stat -c %a ${{{{ vm.vars.folder }}}}/{number} && uname -n"),
            "contains": "${{ vm.name }}"
        })
    });
    let http = (0..10).map(|number| {
        json!({
            "type": "http_responds", "on_vm": "*", "name": format!("http-{number}"),
            "url": format!("http://localhost:8080/{number}"), "contains": "ok"
        })
    });
    let ports = (0..10).map(|number| {
        json!({
            "type": "port_listening", "on_vm": "*", "name": format!("port-{number}"),
            "port": format!("${{{{ vm.vars.port + {number} }}}}")
        })
    });
    let assertions: Vec<Value> = plain.chain(rendered).chain(http).chain(ports).collect();
    let test = json!({"name": "Every host", "assertions": assertions});
    json!({"scenarios": [{"name": "fleet", "custom_tests": [test]}]})
}

/// Runs bootproof several times, and prints the medians; says whether they are within the limits.
fn measure(name: &str, arguments: &[&str]) -> Result<bool, Box<dyn Error>> {
    let (mut times, mut memories) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_bootproof"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        let used = child.wait4()?;
        if !used.status.success() {
            return Err(format!("bootproof {name} ended with {}", used.status).into());
        }
        times.push(started.elapsed());
        memories.push(used.rusage.maxrss);
    }
    times.sort_unstable();
    memories.sort_unstable();
    let (time, memory) = (times[ROUNDS / 2], memories[ROUNDS / 2]);
    println!(
        "{name:8} {:.2} s (at most {}), {} MB at its peak (at most {})",
        time.as_secs_f64(),
        TIME_AT_MOST.as_secs(),
        memory >> 20,
        MEMORY_AT_MOST >> 20
    );
    Ok(time <= TIME_AT_MOST && memory <= MEMORY_AT_MOST)
}
