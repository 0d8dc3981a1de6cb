//! Putting a fault on the VMs, by OpenSSH and `bootproof lab`.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;

use bootproof::problem::Problem;

use super::fault::{Fault, Serve};

const SERVER: &str = include_str!("server.py");

/// Every script may call `up PORT` and `down PORT`, which wait, and use `$IFACE`.
const HELPERS: &str = r#"set -e
listens() { ss -Hltn "sport = :$1" | grep -q .; }
up() {
  for i in $(seq 150); do if listens $1; then return; fi; sleep 0.2; done
  echo "$1 does not listen"; exit 1
}
down() {
  for i in $(seq 150); do if ! listens $1; then return; fi; sleep 0.2; done
  echo "$1 listens"; exit 1
}
IFACE=$(ip route show default | awk '{print $5; exit}')
"#;

/// Plants a fault and waits until it has taken effect.
pub fn plant(fault: &Fault, password: &str) -> Result<(), Problem> {
    for (vm, script) in &fault.plant {
        run_as_root(vm, password, script)?;
    }
    if let Some(serve) = &fault.serve {
        run_as_root(&serve.on, password, &serve.script())?;
    }
    if let Some(arguments) = &fault.lab {
        lab(&arguments.split(' ').collect::<Vec<_>>())?;
    }
    sleep(fault.sets_in);
    Ok(())
}

impl Serve {
    /// Overwrites the unit's program with the misbehaving server and restarts the unit.
    fn script(&self) -> String {
        let Self { unit, port, mode, .. } = self;
        format!(
            "cat > /usr/local/bin/{unit} <<'PYTHON'\n\
             MODE = '{mode}'\nPORT = {port}\n{SERVER}\n\
             PYTHON\n\
             systemctl restart {unit}\nup {port}"
        )
    }
}

/// Runs `bootproof lab` with these arguments.
pub fn lab(arguments: &[&str]) -> Result<(), Problem> {
    let command = format!("bootproof lab {}", arguments.join(" "));
    let output = Command::new(env!("CARGO_BIN_EXE_bootproof"))
        .arg("lab")
        .args(arguments)
        .output()
        .map_err(Problem::io(format!("start `{command}`")))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Problem::new(format!("`{command}` failed: {message}")))
}

fn run_as_root(vm: &str, password: &str, script: &str) -> Result<(), Problem> {
    let input = format!("{password}\n{HELPERS}\n{script}\n");
    let output = sudo_shell(vm, &input)
        .map_err(Problem::io("plant the fault"))
        .map_err(|problem| problem.about(vm))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).trim().to_owned();
    Err(Problem::new(format!("cannot plant the fault: {printed}")).about(vm))
}

/// A root shell on the VM: sudo reads the first line of `input` as the password, sh the rest.
fn sudo_shell(vm: &str, input: &str) -> std::io::Result<Output> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bootproof"))
        .args(["lab", "ssh", vm, "--", "sudo", "-S", "-p", "''", "sh", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Taken, so that the pipe closes after the last line.
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    child.wait_with_output()
}
