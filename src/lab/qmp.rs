//! QEMU's control socket: ask and answer, a JSON object a line.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::LabError;

/// A QEMU that does not answer for so long is stuck; while it loads a snapshot from a busy disk it does not answer either.
const TIMEOUT: Duration = Duration::from_mins(2);

/// The name of the one job that we have at a time.
const JOB: &str = "bootproof";

const POLL: Duration = Duration::from_millis(50);

/// An open control connection; QEMU serves one at a time.
pub(super) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the socket of a running QEMU.
    pub(super) fn connect(socket: &Path) -> Result<Self, LabError> {
        let failed = || LabError::io(format!("talk to QEMU at {}", socket.display()));
        let stream = UnixStream::connect(socket).map_err(failed())?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed())?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        qmp.read()?;
        qmp.run("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Runs a command without arguments; what it returns.
    pub(super) fn run(&mut self, command: &str) -> Result<Value, LabError> {
        self.run_with(command, &json!({}))
    }

    /// Runs a command; what it returns.
    pub(super) fn run_with(&mut self, command: &str, arguments: &Value) -> Result<Value, LabError> {
        let line = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        self.reader
            .get_mut()
            .write_all(line.as_bytes())
            .map_err(LabError::io(format!("send `{command}` to QEMU")))?;
        loop {
            let mut answer = self.read()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(LabError::new(format!("QEMU refuses `{command}`: {error}")));
            }
            // Anything else is an event, of which nobody asked.
        }
    }

    /// `running`, `paused`, `internal-error`, ...
    pub(super) fn status(&mut self) -> Result<String, LabError> {
        let status = self.run("query-status")?;
        Ok(status["status"].as_str().unwrap_or("unknown").to_owned())
    }

    /// Runs a command that goes on in the background as a job, and waits for the job's end.
    pub(super) fn job(
        &mut self,
        command: &str,
        mut arguments: Value,
        limit: Duration,
    ) -> Result<(), LabError> {
        arguments["job-id"] = JOB.into();
        // One that nobody waited for to its end, because whoever asked was interrupted.
        let _ = self.run_with("job-dismiss", &json!({"id": JOB}));
        self.run_with(command, &arguments)?;
        let deadline = Instant::now() + limit;
        loop {
            let jobs = self.run("query-jobs")?;
            let job = jobs.as_array().into_iter().flatten().find(|job| job["id"] == JOB);
            let Some(job) = job else {
                return Err(LabError::new(format!("QEMU has lost the job `{command}`")));
            };
            if job["status"] == "concluded" {
                self.run_with("job-dismiss", &json!({"id": JOB}))?;
                return match job["error"].as_str() {
                    Some(error) => Err(LabError::new(format!("`{command}` failed: {error}"))),
                    None => Ok(()),
                };
            }
            if Instant::now() > deadline {
                return Err(LabError::new(format!("`{command}` did not end within {limit:?}")));
            }
            sleep(POLL);
        }
    }

    fn read(&mut self) -> Result<Value, LabError> {
        let mut line = String::new();
        let length = self.reader.read_line(&mut line).map_err(LabError::io("hear from QEMU"))?;
        if length == 0 {
            return Err(LabError::new("QEMU has closed its control socket"));
        }
        serde_json::from_str(&line)
            .map_err(|error| LabError::new(format!("QEMU said what is no JSON: {error}")))
    }
}
