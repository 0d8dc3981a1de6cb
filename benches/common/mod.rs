//! What the benches beside real sshd's share: how to measure a process, and what an sshd needs.

use std::error::Error;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use wait4::Wait4;

pub type Fallible<T> = Result<T, Box<dyn Error>>;

/// One finished process, with the children that it waited for.
#[derive(Clone, Copy)]
pub struct Measured {
    pub wall: Duration,
    pub cpu: Duration,
    /// In bytes. A child begins with the peak of its parent, so the bench itself must stay small.
    pub memory: u64,
    pub status: ExitStatus,
}

/// Runs `command` to its end.
pub fn measure(command: &mut Command) -> Fallible<Measured> {
    let started = Instant::now();
    let used = command.spawn()?.wait4()?;
    Ok(Measured {
        wall: started.elapsed(),
        cpu: used.rusage.utime + used.rusage.stime,
        memory: used.rusage.maxrss,
        status: used.status,
    })
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Makes a key pair without a passphrase: `path` and `path.pub`.
pub fn keygen(path: &Path) -> Fallible<()> {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status()?;
    if status.success() { Ok(()) } else { Err("ssh-keygen failed".into()) }
}

/// Waits until something listens on `address`.
pub fn await_port(address: SocketAddr, limit: Duration) -> Fallible<()> {
    let deadline = Instant::now() + limit;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            return Err(format!(
                "sshd does not listen on {address}; as root it needs the folder /run/sshd"
            )
            .into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The path of a tool.
pub fn find(tool: &str) -> Fallible<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    let found =
        folders.map(|folder| format!("{folder}/{tool}")).find(|path| Path::new(path).exists());
    found.ok_or_else(|| format!("`{tool}` is missing; `scripts/setup test` installs it").into())
}
