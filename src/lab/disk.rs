//! What a VM boots from: an image, and the disk on which a live system keeps what it writes.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use super::LabError;
use super::machine::{Boot, Media};
use super::up::{Source, Wanted};

/// What QEMU needs to know of the image of a VM; makes the disk that an image of ours wants.
pub(super) fn boot(run: &Path, wanted: &Wanted) -> Result<Boot, LabError> {
    match &wanted.source {
        Source::Built(image) => {
            let recipe = &wanted.recipe.recipe;
            let disk = run.join(format!("{}.disk", recipe.name));
            make_disk(run, &disk, recipe.resources.disk_gb)?;
            Ok(Boot { image: image.iso.clone(), media: Media::Live, disk: Some(disk) })
        }
        Source::Given(path) => {
            let path = path.canonicalize().map_err(LabError::io(format!("open {}", path.display())))?;
            let media = media(&path).map_err(LabError::io(format!("read {}", path.display())))?;
            Ok(Boot { image: path, media, disk: None })
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
        Media::Cd
    } else {
        Media::Raw
    })
}

/// A sparse disk with a file system that live-boot takes for what is written. No root is needed for it.
fn make_disk(run: &Path, disk: &Path, gigabytes: u32) -> Result<(), LabError> {
    let content = run.join("persistence");
    fs::create_dir_all(&content).map_err(LabError::io("make a folder"))?;
    fs::write(content.join("persistence.conf"), "/ union\n").map_err(LabError::io("write persistence.conf"))?;
    let file = File::create(disk).map_err(LabError::io(format!("make {}", disk.display())))?;
    file.set_len(u64::from(gigabytes) << 30).map_err(LabError::io(format!("make {}", disk.display())))?;
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let made = Command::new("mke2fs")
        .env("PATH", path)
        .args(["-q", "-F", "-t", "ext4", "-L", "persistence", "-i", "65536"])
        // Nothing is left for the guest to do in the background; root owns it whoever we are.
        .args(["-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0", "-d"])
        .arg(&content)
        .arg(disk)
        .output();
    let made = made.map_err(|error| LabError::io("start mke2fs")(error).hint("run scripts/setup lab"))?;
    if made.status.success() {
        return Ok(());
    }
    Err(LabError::new(format!("mke2fs failed: {}", String::from_utf8_lossy(&made.stderr).trim())))
}
