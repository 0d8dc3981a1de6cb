//! Whether a guest really runs on KVM here. A /dev/kvm that opens proves nothing: on some cloud machines a kernel
//! stops in its first instructions.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::LabFolder;
use super::machine::Accel;

/// A kernel says its first word within a second on KVM.
const PATIENCE: Duration = Duration::from_secs(10);

/// How guests run here, and why, in one line. The answer is kept for as long as this machine is up.
pub(super) fn choose(folder: &LabFolder, kernel: Option<&Path>) -> (Accel, String) {
    if fs::File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return (
            Accel::Tcg,
            "no KVM here (/dev/kvm does not open): VMs are emulated (TCG), which is slow"
                .to_owned(),
        );
    }
    let Some(kernel) = kernel else {
        return (
            Accel::Tcg,
            "KVM was not tried, for want of an image of ours: VMs are emulated (TCG)".to_owned(),
        );
    };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let note = folder.0.join("kvm");
    let known = fs::read_to_string(&note).ok();
    let known = known.as_deref().and_then(|text| text.strip_prefix(boot.trim()));
    let works = known.map_or_else(|| a_kernel_speaks(kernel), |answer| answer.trim() == "works");
    if known.is_none() {
        // Only a note that saves ten seconds.
        let _ = fs::write(
            &note,
            format!("{} {}\n", boot.trim(), if works { "works" } else { "does not work" }),
        );
    }
    if works {
        (Accel::Kvm, "VMs run on KVM".to_owned())
    } else {
        (
            Accel::Tcg,
            "KVM opens, but no kernel runs on it: VMs are emulated (TCG), which is slow".to_owned(),
        )
    }
}

/// Boots a kernel without a system on KVM and listens for its first words.
fn a_kernel_speaks(kernel: &Path) -> bool {
    let Ok(folder) = tempfile::Builder::new().prefix("bootproof-kvm-").tempdir() else {
        return false;
    };
    let console = folder.path().join("console");
    let child = Command::new("setpriv")
        .args([
            "--pdeathsig",
            "KILL",
            "--",
            "qemu-system-x86_64",
            "-machine",
            "q35",
            "-nodefaults",
            "-no-user-config",
        ])
        .args(["-display", "none", "-accel", "kvm", "-cpu", "host", "-m", "256", "-no-reboot"])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-kernel")
        .arg(kernel)
        .args(["-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    let deadline = Instant::now() + PATIENCE;
    let spoke = loop {
        let text = fs::read(&console).unwrap_or_default();
        // The version comes first; that it goes on until it misses its root file system shows that it runs.
        if String::from_utf8_lossy(&text).contains("Kernel panic - not syncing: VFS") {
            break true;
        }
        if Instant::now() > deadline || !matches!(child.try_wait(), Ok(None)) {
            let text = fs::read(&console).unwrap_or_default();
            break String::from_utf8_lossy(&text).contains("Kernel panic - not syncing: VFS");
        }
        sleep(Duration::from_millis(100));
    };
    let _ = child.kill();
    let _ = child.wait();
    spoke
}
