//! QEMU's control socket: requests and answers, one JSON object a line.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::problem::Problem;

/// Without an answer for this long, QEMU is stuck. While it loads a snapshot from a busy disk, it
/// does not answer either, so this is generous.
const TIMEOUT: Duration = Duration::from_mins(2);

/// bootproof runs one job at a time on a VM; this is its name.
const JOB: &str = "bootproof";

const POLL: Duration = Duration::from_millis(50);

/// An open control connection; QEMU serves one at a time.
pub(super) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the socket of a running QEMU.
    pub(super) fn connect(socket: &Path) -> Result<Self, Problem> {
        let failed = || Problem::io(format!("connect to QEMU at {}", socket.display()));
        let stream = UnixStream::connect(socket).map_err(failed())?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed())?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        qmp.read()?;
        qmp.run("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Runs a command without arguments and returns its result.
    pub(super) fn run(&mut self, command: &str) -> Result<Value, Problem> {
        self.run_with(command, &json!({}))
    }

    /// Runs a command and returns its result.
    pub(super) fn run_with(&mut self, command: &str, arguments: &Value) -> Result<Value, Problem> {
        let line = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        self.reader
            .get_mut()
            .write_all(line.as_bytes())
            .map_err(Problem::io(format!("send `{command}` to QEMU")))?;
        loop {
            let mut answer = self.read()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(Problem::new(format!("QEMU refused `{command}`: {error}")));
            }
            // Anything else is an event, which nobody asked for.
        }
    }

    /// `running`, `paused`, `internal-error`, ...
    pub(super) fn status(&mut self) -> Result<String, Problem> {
        let status = self.run("query-status")?;
        Ok(status["status"].as_str().unwrap_or("unknown").to_owned())
    }

    /// Runs a command that QEMU performs as a background job, and waits for the end of the job.
    pub(super) fn job(
        &mut self,
        command: &str,
        mut arguments: Value,
        limit: Duration,
    ) -> Result<(), Problem> {
        arguments["job-id"] = JOB.into();
        // An earlier command may have been interrupted and left a finished job behind.
        let _ = self.run_with("job-dismiss", &json!({"id": JOB}));
        self.run_with(command, &arguments)?;
        let deadline = Instant::now() + limit;
        loop {
            let jobs = self.run("query-jobs")?;
            let job = jobs.as_array().into_iter().flatten().find(|job| job["id"] == JOB);
            let Some(job) = job else {
                return Err(Problem::new(format!("QEMU lost the job `{command}`")));
            };
            if job["status"] == "concluded" {
                self.run_with("job-dismiss", &json!({"id": JOB}))?;
                return match job["error"].as_str() {
                    Some(error) => Err(Problem::new(format!("`{command}` failed: {error}"))),
                    None => Ok(()),
                };
            }
            if Instant::now() > deadline {
                return Err(Problem::new(format!(
                    "`{command}` did not end within {}",
                    humantime::format_duration(limit)
                )));
            }
            sleep(POLL);
        }
    }

    fn read(&mut self) -> Result<Value, Problem> {
        let mut line = String::new();
        let length = self.reader.read_line(&mut line).map_err(Problem::io("read QEMU's answer"))?;
        if length == 0 {
            return Err(Problem::new("QEMU closed its control socket"));
        }
        serde_json::from_str(&line)
            .map_err(|error| Problem::new(format!("QEMU sent invalid JSON: {error}")))
    }
}
