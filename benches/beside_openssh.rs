//! bootproof beside a shell script with OpenSSH: the same ten checks on the same four real sshd's,
//! by turns.
//!
//! The servers run on loopback and belong to this process. It ends with an error when bootproof
//! takes more than 0.75 of the script's time (median of the pairs), 60 ms of CPU or 40 MB. `make
//! bench` runs it.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Fallible, Measured, await_port, find, keygen, median};

const ROUNDS: usize = 20;
const RATIO_AT_MOST: f64 = 0.75;
const CPU_AT_MOST: Duration = Duration::from_millis(60);
const MEMORY_AT_MOST: u64 = 40 * 1024 * 1024;

fn main() -> Fallible<()> {
    let folder = tempfile::Builder::new().prefix("bootproof-bench-").tempdir()?;
    let lab = Lab::start(folder.path())?;
    let bootproof = lab.bootproof();
    let script = lab.script()?;
    println!(
        "{ROUNDS} rounds after a warm-up, by turns, on four sshd's on loopback; ten checks each"
    );
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (our, their) = (measure(&bootproof)?, measure(&script)?);
        if round > 0 {
            ours.push(our);
            theirs.push(their);
        }
    }
    report(&ours, &theirs)
}

/// A program and its arguments.
struct Line(Vec<String>);

fn measure(line: &Line) -> Fallible<Measured> {
    let mut command = Command::new(&line.0[0]);
    command.args(&line.0[1..]).stdout(Stdio::null()).stderr(Stdio::null());
    let measured = common::measure(&mut command)?;
    if !measured.status.success() {
        let (line, status) = (line.0.join(" "), measured.status);
        return Err(format!("{line} ended with {status}; run it by hand to see why").into());
    }
    Ok(measured)
}

fn report(ours: &[Measured], theirs: &[Measured]) -> Fallible<()> {
    let ratio = median(
        ours.iter()
            .zip(theirs)
            .map(|(our, their)| our.wall.as_secs_f64() / their.wall.as_secs_f64()),
    );
    let seconds = |all: &[Measured]| median(all.iter().map(|one| one.wall.as_secs_f64()));
    let cpu = median(ours.iter().map(|one| one.cpu.as_secs_f64()));
    let memory = ours.iter().map(|one| one.memory).max().unwrap_or(0);
    println!("bootproof       {:.3} s (median)", seconds(ours));
    println!("OpenSSH script  {:.3} s (median)", seconds(theirs));
    println!("time            {ratio:.2} of the script's (at most {RATIO_AT_MOST})");
    println!(
        "CPU             {:.0} ms of its own (at most {})",
        cpu * 1000.0,
        CPU_AT_MOST.as_millis()
    );
    println!(
        "memory          {} MB at its peak (at most {})",
        memory / 1024 / 1024,
        MEMORY_AT_MOST / 1024 / 1024
    );
    if ratio > RATIO_AT_MOST || cpu > CPU_AT_MOST.as_secs_f64() || memory > MEMORY_AT_MOST {
        return Err("a limit is exceeded".into());
    }
    Ok(())
}

/// Four sshd's, and the services that are checked through them.
struct Lab<'a> {
    folder: &'a Path,
    ports: [u16; 4],
    services: [u16; 6],
    sshds: Vec<Child>,
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        for sshd in &mut self.sshds {
            // It may have ended by itself; then there is nothing to end.
            let _ = sshd.kill();
            let _ = sshd.wait();
        }
    }
}

const NAMES: [&str; 4] = ["immich-server", "immich-ml", "postgres-pgvector", "redis"];

impl<'a> Lab<'a> {
    fn start(folder: &'a Path) -> Fallible<Self> {
        for tool in ["sshd", "ssh", "ssh-keygen", "curl", "jq", "nc", "bash"] {
            find(tool)?;
        }
        let services = [
            serve("{\"res\":\"pong\"}")?,
            serve("{\"status\":\"ok\"}")?,
            serve("postgres")?,
            serve("metrics")?,
            serve("redis")?,
            serve("metrics")?,
        ];
        keygen(&folder.join("user"))?;
        fs::copy(folder.join("user.pub"), folder.join("authorized"))?;
        fs::set_permissions(folder.join("authorized"), fs::Permissions::from_mode(0o600))?;
        fs::write(folder.join("bootstrap.sql"), "CREATE EXTENSION IF NOT EXISTS vectors;\n")?;
        let mut lab = Self { folder, ports: [0; 4], services, sshds: Vec::new() };
        let mut known = String::new();
        for (index, name) in NAMES.iter().enumerate() {
            keygen(&folder.join(name))?;
            let port = free_port()?;
            lab.ports[index] = port;
            lab.sshds.push(sshd(folder, name, port)?);
            let key = fs::read_to_string(folder.join(format!("{name}.pub")))?;
            known += &format!("[127.0.0.1]:{port} {key}");
        }
        fs::write(folder.join("known_hosts"), known)?;
        for port in lab.ports {
            await_port(([127, 0, 0, 1], port).into(), Duration::from_secs(10))?;
        }
        lab.write_inventory()?;
        lab.write_suite()?;
        Ok(lab)
    }

    /// The ten checks of the reference scenario, on this machine's ports: VM, kind, what.
    fn commands(&self) -> [(usize, String, &'static str); 4] {
        let [server, ml, postgres, _, redis, _] = self.services;
        let sql = self.folder.join("bootstrap.sql");
        [
            (
                0,
                format!(
                    "curl -fsS http://localhost:{server}/api/server-info/ping | jq -e '.res == \"pong\"' >/dev/null && echo server-ok"
                ),
                "server-ok",
            ),
            (
                1,
                format!(
                    "curl -fsS http://localhost:{ml}/ping | jq -e '.status == \"ok\"' >/dev/null && echo ml-ok"
                ),
                "ml-ok",
            ),
            (
                0,
                format!(
                    "nc -z -w 5 127.0.0.1 {postgres} && nc -z -w 5 127.0.0.1 {redis} && nc -z -w 5 127.0.0.1 {ml} && echo backends-reachable"
                ),
                "backends-reachable",
            ),
            (
                2,
                format!("grep -q 'CREATE EXTENSION' {} && echo bootstrap-ready", sql.display()),
                "bootstrap-ready",
            ),
        ]
    }

    /// Which VM has which of the services.
    fn listeners(&self) -> impl Iterator<Item = (usize, u16)> {
        [0, 1, 2, 2, 3, 3].into_iter().zip(self.services)
    }

    fn write_inventory(&self) -> Fallible<()> {
        let vms: serde_json::Map<_, _> = NAMES
            .iter()
            .zip(self.ports)
            .map(|(name, port)| (name.to_string(), serde_json::json!({"ssh": {"port": port}})))
            .collect();
        let inventory = serde_json::json!({
            "lab": "bench",
            "known_hosts": "known_hosts",
            "defaults": {"host": "127.0.0.1", "user": user()?, "key": "user"},
            "vms": vms,
        });
        Ok(fs::write(self.folder.join("inventory.json"), inventory.to_string())?)
    }

    fn write_suite(&self) -> Fallible<()> {
        let ports = self
            .listeners()
            .map(|(vm, port)| serde_json::json!({"type": "port_listening", "on_vm": NAMES[vm], "port": port}));
        let commands = self.commands().map(|(vm, command, expected)| {
            serde_json::json!({"type": "command_output", "on_vm": NAMES[vm], "command": command, "contains": expected})
        });
        let assertions: Vec<_> = ports.chain(commands).collect();
        let suite = serde_json::json!({"scenarios": [{"name": "bench", "custom_tests": [{"name": "Bench", "assertions": assertions}]}]});
        Ok(fs::write(self.folder.join("suite.json"), suite.to_string())?)
    }

    fn bootproof(&self) -> Line {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let flags =
            ["check", "-i", &path("inventory.json"), "-s", &path("suite.json")].map(str::to_owned);
        let reports = ["--report-junit", &path("junit.xml"), "--report-json", &path("report.json")]
            .map(str::to_owned);
        Line(
            [env!("CARGO_BIN_EXE_bootproof").to_owned()]
                .into_iter()
                .chain(flags)
                .chain(reports)
                .collect(),
        )
    }

    /// One `ssh` a host, all at once; every check of a host in the one command.
    fn script(&self) -> Fallible<Line> {
        let mut checks = vec![String::new(); NAMES.len()];
        for (vm, port) in self.listeners() {
            checks[vm] += &format!(
                "grep -qE '^ *[0-9]+: [0-9A-F]+:{port:04X} [0-9A-F:]+ 0A' /proc/net/tcp && echo ok || exit 1\n"
            );
        }
        for (vm, command, expected) in self.commands() {
            checks[vm] +=
                &format!("out=$({command}) && [ \"$out\" = {expected} ] && echo ok || exit 1\n");
        }
        let mut script = String::from("#!/bin/bash\npids=()\n");
        for (check, port) in checks.iter().zip(self.ports) {
            script += &format!(
                "ssh -F none -i {0}/user -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes \
                 -o UserKnownHostsFile={0}/known_hosts -p {port} {1}@127.0.0.1 bash <<'CHECKS' & pids+=($!)\n{check}CHECKS\n",
                self.folder.display(),
                user()?,
            );
        }
        script += "for pid in \"${pids[@]}\"; do wait \"$pid\" || exit 1; done\n";
        let path = self.folder.join("script.sh");
        fs::write(&path, script)?;
        Ok(Line(vec!["bash".to_owned(), path.display().to_string()]))
    }
}

/// A service that answers every request with `body`; its port.
fn serve(body: &'static str) -> Fallible<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = [0; 1024];
                // `nc -z` says nothing and goes.
                if stream.read(&mut request).is_ok_and(|length| length > 0) {
                    let _ = write!(
                        stream,
                        "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                }
            });
        }
    });
    Ok(port)
}

fn sshd(folder: &Path, name: &str, port: u16) -> Fallible<Child> {
    let config = folder.join(format!("{name}.conf"));
    // Another home: what this user's shell does at its start (pyenv, nvm) is not what is measured.
    let text = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {0}/{name}\nAuthorizedKeysFile {0}/authorized\n\
         StrictModes no\nUsePAM no\nPidFile none\nSetEnv HOME={0}\n",
        folder.display()
    );
    fs::write(&config, text)?;
    let log = fs::File::create(folder.join(format!("{name}.log")))?;
    // sshd starts itself anew for each connection and wants to know its own path for that.
    Ok(Command::new(find("sshd")?).arg("-D").arg("-e").arg("-f").arg(config).stderr(log).spawn()?)
}

fn free_port() -> Fallible<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn user() -> Fallible<String> {
    let output = Command::new("id").arg("-un").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
