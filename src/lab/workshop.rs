//! What the builder runs: tools in a work folder, with a log that error messages quote.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::problem::Problem;

/// A folder in which tools make something.
pub(super) struct Workshop<'a> {
    /// What they make, for messages: the name of a VM, or the base system.
    pub(super) product: &'a str,
    pub(super) work: &'a Path,
    pub(super) log: &'a Path,
}

impl Workshop<'_> {
    /// Begins a new log.
    pub(super) fn begin_log(&self) -> Result<(), Problem> {
        let log = self.log.display();
        File::create(self.log).map(drop).map_err(Problem::io(format!("write {log}")))
    }

    /// mmdebstrap with what the base system and the images have in common.
    pub(super) fn mmdebstrap(&self) -> Result<Command, Problem> {
        let mut make = self.tool("mmdebstrap")?;
        make.args(["--format=tar", "--components=main"])
            .args(LEFT_OUT.map(|option| format!("--dpkgopt={option}")));
        Ok(make)
    }

    /// A command that runs in the work folder and writes into the build's log.
    pub(super) fn tool(&self, program: &str) -> Result<Command, Problem> {
        let log = File::options().append(true).open(self.log);
        let log = log.map_err(Problem::io(format!("write {}", self.log.display())))?;
        let path = std::env::var("PATH").unwrap_or_default();
        let found = std::env::split_paths(&format!("{path}:/usr/sbin:/sbin"))
            .any(|folder| folder.join(program).exists());
        if !found {
            return Err(
                Problem::new(format!("`{program}` is not installed")).hint("run scripts/setup lab")
            );
        }
        let mut command = Command::new(program);
        let errors =
            log.try_clone().map_err(Problem::io(format!("write {}", self.log.display())))?;
        command
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.work)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        Ok(command)
    }

    pub(super) fn failed(&self, program: &str) -> Problem {
        let log = fs::read_to_string(self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(12)..].join("\n    ");
        Problem::new(format!(
            "{program} failed for {}; the end of {}:\n    {tail}",
            self.product,
            self.log.display()
        ))
        .hint(
            "mmdebstrap needs root or user namespaces, and a Debian mirror; set \
             BOOTPROOF_DEBIAN_MIRROR to choose one",
        )
    }
}

/// What no image needs; the copyright files stay.
const LEFT_OUT: [&str; 4] = [
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
];

/// The mirror that this machine itself uses if it runs Debian; otherwise mmdebstrap has a default.
pub(super) fn debian_mirror() -> Option<String> {
    if let Ok(mirror) = std::env::var("BOOTPROOF_DEBIAN_MIRROR") {
        return Some(mirror);
    }
    let targets = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(ORIGIN) $(LABEL) $(CODENAME) $(SITE)",
            "Created-By: Packages",
        ])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let targets = String::from_utf8(targets.stdout).ok()?;
    let sites = targets.lines().filter_map(|line| line.strip_prefix("Debian Debian "));
    sites
        .filter_map(|line| line.split_once(' '))
        .find(|(codename, _)| !codename.contains('-'))
        .map(|(_, site)| site.to_owned())
}

/// Writes a file below a folder.
pub(super) fn write_below(folder: &Path, path: &str, text: &str) -> Result<(), Problem> {
    let path = folder.join(path.trim_start_matches('/'));
    let failed = || Problem::io(format!("write {}", path.display()));
    fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(failed())?;
    fs::write(&path, text).map_err(failed())
}
