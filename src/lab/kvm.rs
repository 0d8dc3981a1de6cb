//! Whether a guest really runs on KVM here.
//!
//! Opening /dev/kvm proves nothing: on some cloud machines a kernel then stops in its first
//! instructions.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::folder::LabFolder;
use super::qemu::Accel;

/// On KVM a kernel writes its first line within a second.
const BOOT_LIMIT: Duration = Duration::from_secs(10);

/// What a kernel writes once it misses its root file system: up to there it ran well.
const KERNEL_RAN: &str = "Kernel panic - not syncing: VFS";

/// How guests run here, and why, in one line. The answer is kept until this machine restarts.
pub(super) fn choose(folder: &LabFolder, kernel: Option<&Path>) -> (Accel, String) {
    let (accel, why) = if !can_open_kvm() {
        (Accel::Tcg, "cannot open /dev/kvm: QEMU emulates the VMs (TCG), which is slow")
    } else if let Some(kernel) = kernel {
        if kernel_runs_on_kvm(folder, kernel) {
            (Accel::Kvm, "the VMs run on KVM")
        } else {
            let why = "/dev/kvm opens, but no kernel runs on it: QEMU emulates the VMs (TCG), \
                       which is slow";
            (Accel::Tcg, why)
        }
    } else {
        let why = "no built image to try KVM with: QEMU emulates the VMs (TCG), which is slow";
        (Accel::Tcg, why)
    };
    (accel, why.to_owned())
}

fn can_open_kvm() -> bool {
    fs::File::options().read(true).write(true).open("/dev/kvm").is_ok()
}

/// Tries it once for each start of this machine and notes the answer in the lab's folder.
fn kernel_runs_on_kvm(folder: &LabFolder, kernel: &Path) -> bool {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot_id = boot_id.trim();
    let note = folder.0.join("kvm");
    let noted = fs::read_to_string(&note).unwrap_or_default();
    if let Some(answer) = noted.strip_prefix(boot_id) {
        return answer.trim() == "works";
    }
    let works = boots_on_kvm(kernel);
    let answer = if works { "works" } else { "does not work" };
    // The note only saves ten seconds.
    let _ = fs::write(&note, format!("{boot_id} {answer}\n"));
    works
}

/// Boots a kernel without a system on KVM and watches what it writes.
fn boots_on_kvm(kernel: &Path) -> bool {
    let Ok(folder) = tempfile::Builder::new().prefix("bootproof-kvm-").tempdir() else {
        return false;
    };
    let console = folder.path().join("console");
    let Ok(mut qemu) = start_kernel(kernel, &console) else { return false };
    let ran = || {
        let text = fs::read(&console).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(KERNEL_RAN)
    };
    let deadline = Instant::now() + BOOT_LIMIT;
    while !ran() && Instant::now() < deadline && matches!(qemu.try_wait(), Ok(None)) {
        sleep(Duration::from_millis(100));
    }
    let _ = qemu.kill();
    let _ = qemu.wait();
    ran()
}

fn start_kernel(kernel: &Path, console: &Path) -> std::io::Result<Child> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"])
        .args(["-machine", "q35", "-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-accel", "kvm", "-cpu", "host", "-m", "256", "-no-reboot"])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-kernel")
        .arg(kernel)
        .args(["-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
