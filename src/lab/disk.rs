//! What a VM boots from: an image, and the disk on which a live system keeps what it writes.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use super::LabError;
use super::machine::{Boot, Iso};
use super::up::{Source, Wanted};

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Iso,
    Raw,
    Qcow2,
}

/// What QEMU needs to know of the image of a VM; makes the disk on which it writes. An image is never written to.
pub(super) fn boot(run: &Path, wanted: &Wanted) -> Result<Boot, LabError> {
    let recipe = &wanted.recipe.recipe;
    let disk = run.join(format!("{}.qcow2", recipe.name));
    match &wanted.source {
        Source::Built(image) => {
            let raw = run.join(format!("{}.disk", recipe.name));
            make_disk(run, &raw, recipe.resources.disk_gb)?;
            overlay(&disk, &raw, Media::Raw)?;
            Ok(Boot { iso: Some(Iso::Live(image.iso.clone())), disk: Some(disk) })
        }
        Source::Given(path) => {
            let path =
                path.canonicalize().map_err(LabError::io(format!("open {}", path.display())))?;
            match media(&path).map_err(LabError::io(format!("read {}", path.display())))? {
                Media::Iso => Ok(Boot { iso: Some(Iso::Cd(path)), disk: None }),
                media => {
                    overlay(&disk, &path, media)?;
                    Ok(Boot { iso: None, disk: Some(disk) })
                }
            }
        }
    }
}

/// What an operator's image is, by its first bytes.
fn media(path: &Path) -> std::io::Result<Media> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(&mut file, 0x8006), &mut head)?;
    // ISO 9660: the first volume descriptor is the 17th sector.
    Ok(if head.starts_with(b"QFI\xfb") {
        Media::Qcow2
    } else if head.get(0x8001..0x8006) == Some(b"CD001") {
        Media::Iso
    } else {
        Media::Raw
    })
}

/// A disk that reads from `below` and keeps to itself what is written, and snapshots.
fn overlay(disk: &Path, below: &Path, media: Media) -> Result<(), LabError> {
    let format = if media == Media::Qcow2 { "qcow2" } else { "raw" };
    let line = ["create", "-q", "-f", "qcow2", "-F", format, "-b"];
    let made = Command::new("qemu-img").args(line).arg(below).arg(disk).output();
    ended_well("qemu-img", made)
}

/// A sparse disk with a file system that live-boot takes for what is written. No root is needed for it.
fn make_disk(run: &Path, disk: &Path, gigabytes: u32) -> Result<(), LabError> {
    let content = run.join("persistence");
    fs::create_dir_all(&content).map_err(LabError::io("make a folder"))?;
    fs::write(content.join("persistence.conf"), "/ union\n")
        .map_err(LabError::io("write persistence.conf"))?;
    let file = File::create(disk).map_err(LabError::io(format!("make {}", disk.display())))?;
    file.set_len(u64::from(gigabytes) << 30)
        .map_err(LabError::io(format!("make {}", disk.display())))?;
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let made = Command::new("mke2fs")
        .env("PATH", path)
        .args(["-q", "-F", "-t", "ext4", "-L", "persistence", "-i", "65536"])
        // Nothing is left for the guest to do in the background; root owns it whoever we are.
        .args(["-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0", "-d"])
        .arg(&content)
        .arg(disk)
        .output();
    ended_well("mke2fs", made)
}

fn ended_well(tool: &str, output: std::io::Result<std::process::Output>) -> Result<(), LabError> {
    let hint = |error| LabError::io(format!("start {tool}"))(error).hint("run scripts/setup lab");
    let output = output.map_err(hint)?;
    if output.status.success() {
        return Ok(());
    }
    Err(LabError::new(format!("{tool} failed: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
