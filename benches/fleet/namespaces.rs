//! The bench runs in a network, with processes and mounts, of its own. Nothing of it is left on the
//! machine, however it ends: with the namespaces, the kernel ends whatever runs in them.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::common::{Fallible, find};

const MARK: &str = "BOOTPROOF_FLEET_INSIDE";

/// Whether this process runs in the namespaces.
pub fn entered() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts this program again, in namespaces. Returns only if that fails.
pub fn enter() -> Fallible<()> {
    let unshare = find("unshare")?;
    let mut command = Command::new(unshare);
    if user_id()? != "0" {
        command.args(["--user", "--map-root-user", "--map-auto"]);
    }
    // The kernel keeps Ctrl-C from the first process of a namespace, so that is a shell.
    let error = command
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", "\"$@\"; exit $?", "sh"])
        .args(std::env::current_exe())
        .env(MARK, "1")
        .exec();
    Err(error.into())
}

fn user_id() -> Fallible<String> {
    let output = Command::new("id").arg("-u").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
