//! What a VM boots from: an image, and the disk that holds what a live system writes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::qemu::{BootMedia, IsoDrive};
use super::vm::{VmImage, VmToBoot};
use crate::problem::Problem;

/// The kind of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ImageKind {
    Iso,
    Raw,
    Qcow2,
}

/// What QEMU boots. The image itself is never written; `make_disks` makes the disk.
pub(super) fn boot_media(run: &Path, vm: &VmToBoot) -> Result<BootMedia, Problem> {
    let disk = Some(overlay(run, vm));
    Ok(match &vm.image {
        VmImage::Built(image) => BootMedia { iso: Some(IsoDrive::Virtio(image.iso.clone())), disk },
        VmImage::Given(path) => match given_image(path)? {
            (path, ImageKind::Iso) => BootMedia { iso: Some(IsoDrive::Cdrom(path)), disk: None },
            _ => BootMedia { iso: None, disk },
        },
    })
}

/// Makes the disk on which a VM writes.
pub(super) fn make_disks(run: &Path, vm: &VmToBoot) -> Result<(), Problem> {
    let recipe = &vm.recipe.recipe;
    match &vm.image {
        VmImage::Built(_) => {
            let raw = format!("{}.disk", recipe.name);
            make_disk(run, &run.join(&raw), recipe.resources.disk_gb)?;
            // A relative name, because the kept state is this folder under another name.
            make_overlay(&overlay(run, vm), Path::new(&raw), ImageKind::Raw)
        }
        VmImage::Given(path) => match given_image(path)? {
            (_, ImageKind::Iso) => Ok(()),
            (path, kind) => make_overlay(&overlay(run, vm), &path, kind),
        },
    }
}

fn overlay(run: &Path, vm: &VmToBoot) -> PathBuf {
    run.join(format!("{}.qcow2", vm.recipe.recipe.name))
}

fn given_image(path: &Path) -> Result<(PathBuf, ImageKind), Problem> {
    let path = path.canonicalize().map_err(Problem::io(format!("open {}", path.display())))?;
    let kind = image_kind(&path).map_err(Problem::io(format!("read {}", path.display())))?;
    Ok((path, kind))
}

/// The kind of an operator's image, by its first bytes.
fn image_kind(path: &Path) -> io::Result<ImageKind> {
    let mut head = Vec::new();
    File::open(path)?.take(0x8006).read_to_end(&mut head)?;
    // ISO 9660: the first volume descriptor is the 17th sector.
    Ok(if head.starts_with(b"QFI\xfb") {
        ImageKind::Qcow2
    } else if head.get(0x8001..0x8006) == Some(b"CD001") {
        ImageKind::Iso
    } else {
        ImageKind::Raw
    })
}

/// A disk that reads from `below` and keeps what is written, and snapshots, to itself.
fn make_overlay(disk: &Path, below: &Path, kind: ImageKind) -> Result<(), Problem> {
    let format = if kind == ImageKind::Qcow2 { "qcow2" } else { "raw" };
    let line = ["create", "-q", "-f", "qcow2", "-F", format, "-b"];
    let output = Command::new("qemu-img").args(line).arg(below).arg(disk).output();
    check_output("qemu-img", output)
}

/// A sparse disk with a file system on which live-boot keeps what the system writes. Needs no root.
fn make_disk(run: &Path, disk: &Path, gigabytes: u32) -> Result<(), Problem> {
    let content = run.join("persistence");
    let settings = content.join("persistence.conf");
    fs::create_dir_all(&content)
        .and_then(|()| fs::write(&settings, "/ union\n"))
        .map_err(Problem::io(format!("write {}", settings.display())))?;
    File::create(disk)
        .and_then(|file| file.set_len(u64::from(gigabytes) << 30))
        .map_err(Problem::io(format!("make {}", disk.display())))?;
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("mke2fs")
        .env("PATH", path)
        .args(["-q", "-F", "-t", "ext4", "-L", "persistence", "-i", "65536"])
        // The guest has nothing left to initialize in the background; root owns the file system,
        // whoever runs this.
        .args(["-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0", "-d"])
        .arg(&content)
        .arg(disk)
        .output();
    check_output("mke2fs", output)
}

fn check_output(tool: &str, output: io::Result<Output>) -> Result<(), Problem> {
    let not_started =
        |error| Problem::io(format!("start {tool}"))(error).hint("run scripts/setup lab");
    let output = output.map_err(not_started)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Problem::new(format!("{tool} failed: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
