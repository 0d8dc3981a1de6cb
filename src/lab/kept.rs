//! The kept state: the memory and the disks of a lab that `lab down --keep` took down.
//!
//! It is the folder of the lab that was up, under another name. So the kept state is there whole or
//! not at all. Its list of files says what belongs to it; `lab up` resumes from nothing else.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::folder::LabFolder;
use super::state::{LabState, LabVm, console};
use crate::atomic_file;
use crate::problem::Problem;

/// A lab that was taken down and can be resumed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptState {
    /// When the VMs were stopped.
    pub saved: SystemTime,
    /// The lab as it was.
    lab: LabState,
    /// Everything that the VMs had open; a changed file no longer matches their memory.
    files: Vec<KeptFile>,
}

/// A file as it was when the state was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptFile {
    /// Relative to the folder of the kept state, or absolute.
    path: PathBuf,
    length: u64,
    modified: SystemTime,
}

impl KeptFile {
    fn read(folder: &Path, path: &Path) -> io::Result<Self> {
        let data = fs::metadata(folder.join(path))?;
        Ok(Self { path: path.to_owned(), length: data.len(), modified: data.modified()? })
    }
}

impl KeptState {
    /// The kept state of a lab; `None` if there is none.
    pub fn read(folder: &LabFolder) -> Result<Option<Self>, Problem> {
        let path = list_of(&folder.kept());
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(_) if !folder.kept().exists() => return Ok(None),
            Err(error) => return Err(Problem::io(format!("read {}", path.display()))(error)),
        };
        let kept = serde_json::from_slice(&text);
        kept.map(Some)
            .map_err(|error| Problem::new(format!("cannot read {}: {error}", path.display())))
    }

    /// The names of its VMs.
    pub fn vms(&self) -> String {
        names(&self.lab)
    }

    /// Why the lab that is to be booted cannot be resumed from this; `None` if it can.
    pub(super) fn obstacle(&self, folder: &LabFolder, wanted: &LabState) -> Option<String> {
        self.difference(wanted).or_else(|| self.changed_file(&folder.kept()))
    }

    fn difference(&self, wanted: &LabState) -> Option<String> {
        if names(&self.lab) != names(wanted) {
            return Some(format!("it has other VMs ({})", self.vms()));
        }
        let pairs = || self.lab.vms.iter().zip(&wanted.vms);
        if let Some((_, vm)) = pairs().find(|(kept, vm)| kept.image != vm.image) {
            return Some(format!("the recipe or the image of {} has changed since", vm.name));
        }
        if self.lab.qemu != wanted.qemu {
            let (old, new) = (&self.lab.qemu, &wanted.qemu);
            return Some(format!("it was saved by {old}, and this is {new}"));
        }
        if self.lab.accel != wanted.accel {
            return Some(format!("its VMs ran on {}, not on {}", self.lab.accel, wanted.accel));
        }
        let machine = |lab: &LabState, vm: &LabVm| {
            let sockets = lab.sockets.display().to_string();
            vm.command.iter().map(|word| word.replace(&sockets, "")).collect::<Vec<_>>()
        };
        let same = |(kept, vm): (&LabVm, &LabVm)| machine(&self.lab, kept) == machine(wanted, vm);
        let changed = pairs().find(|pair| !same(*pair));
        changed.map(|(_, vm)| format!("the QEMU options of {} have changed since", vm.name))
    }

    fn changed_file(&self, kept: &Path) -> Option<String> {
        let same =
            |file: &&KeptFile| KeptFile::read(kept, &file.path).is_ok_and(|now| now == **file);
        let changed = self.files.iter().find(|file| !same(file))?;
        Some(format!("{} has changed since", kept.join(&changed.path).display()))
    }
}

/// The time at which a state was kept, and how long ago that is, for messages.
pub fn when(saved: SystemTime) -> String {
    let age = Duration::from_secs(saved.elapsed().unwrap_or_default().as_secs());
    let saved = humantime::format_rfc3339_seconds(saved);
    format!("{saved} ({} ago)", humantime::format_duration(age))
}

fn names(lab: &LabState) -> String {
    lab.vms.iter().map(|vm| vm.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn list_of(kept: &Path) -> PathBuf {
    kept.join("kept.json")
}

/// Turns the folder of a lab whose VMs have saved themselves and ended into the kept state.
pub(super) fn keep(
    folder: &LabFolder,
    lab: LabState,
    saved: SystemTime,
) -> Result<KeptState, Problem> {
    let run = folder.run();
    let files = files_of(folder, &lab);
    remove_all_but(&run, &files).map_err(Problem::io(format!("tidy {}", run.display())))?;
    let described = |path: &PathBuf| {
        // A crash of this machine must not leave a list of files whose content is lost.
        File::open(run.join(path))?.sync_all()?;
        KeptFile::read(&run, path)
    };
    let files: io::Result<_> = files.iter().map(described).collect();
    let files = files.map_err(Problem::io(format!("save the files in {}", run.display())))?;
    let kept = KeptState { saved, lab, files };
    let text =
        serde_json::to_string_pretty(&kept).map_err(|error| Problem::new(error.to_string()))?;
    // It names sockets and images, no secrets; but nobody else needs it.
    atomic_file::write(&list_of(&run), &text, atomic_file::PRIVATE)
        .map_err(Problem::io(format!("write {}", list_of(&run).display())))?;
    discard(folder)?;
    fs::rename(&run, folder.kept()).map_err(Problem::io(format!(
        "rename {} to {}",
        run.display(),
        folder.kept().display()
    )))?;
    Ok(kept)
}

/// Disks, consoles and images, relative to the lab's folder where they are in it.
fn files_of(folder: &LabFolder, lab: &LabState) -> Vec<PathBuf> {
    let run = folder.run();
    let own = |path: PathBuf| path.strip_prefix(&run).map(Path::to_owned).unwrap_or(path);
    let of_vm = |vm: &LabVm| {
        let disks = ["qcow2", "disk"].map(|suffix| PathBuf::from(format!("{}.{suffix}", vm.name)));
        disks.into_iter().chain([own(console(folder, &vm.name)), vm.image.clone()])
    };
    lab.vms.iter().flat_map(of_vm).collect()
}

/// Removes what told of processes that have ended: exit notes, process ids, logs.
fn remove_all_but(run: &Path, files: &[PathBuf]) -> io::Result<()> {
    let stay: BTreeSet<PathBuf> = files.iter().map(|file| run.join(file)).collect();
    for entry in fs::read_dir(run)? {
        let path = entry?.path();
        if stay.contains(&path) {
            continue;
        }
        if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
    }
    Ok(())
}

/// Makes the kept state the folder of the lab that is being brought up. It is used up by this: the
/// VMs write on its disks.
pub(super) fn take_out(folder: &LabFolder) -> Result<(), Problem> {
    let (kept, run) = (folder.kept(), folder.run());
    let list = list_of(&kept);
    fs::remove_file(&list).map_err(Problem::io(format!("remove {}", list.display())))?;
    fs::rename(&kept, &run).map_err(Problem::io(format!(
        "rename {} to {}",
        kept.display(),
        run.display()
    )))
}

/// Deletes the kept state; says whether there was one.
pub(super) fn discard(folder: &LabFolder) -> Result<bool, Problem> {
    let kept = folder.kept();
    // Without its list, what a killed process leaves of it is not a kept state.
    let _ = fs::remove_file(list_of(&kept));
    match fs::remove_dir_all(&kept) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Problem::io(format!("remove {}", kept.display()))(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab(folder: &LabFolder, sockets: &str) -> LabState {
        let vm = |name: &str| LabVm {
            name: name.to_owned(),
            command: vec!["qemu".to_owned(), format!("unix:{sockets}/{name}.qmp")],
            ssh_port: 2201,
            image: folder.images().join(format!("{name}-0123.iso")),
            built_here: true,
            memory_gb: 1,
        };
        LabState {
            started: SystemTime::UNIX_EPOCH,
            accel: "tcg".to_owned(),
            qemu: "QEMU 10".to_owned(),
            sockets: sockets.into(),
            inventory: "local.json".into(),
            network: Vec::new(),
            resumed_from: None,
            vms: vec![vm("db"), vm("web")],
        }
    }

    /// A lab folder with a kept state of two VMs.
    fn kept() -> (tempfile::TempDir, LabFolder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = LabFolder(temporary.path().to_owned());
        folder.create().unwrap();
        fs::create_dir(folder.run()).unwrap();
        for vm in ["db", "web"] {
            fs::write(folder.images().join(format!("{vm}-0123.iso")), "iso").unwrap();
            for suffix in ["qcow2", "disk", "console", "exit", "stderr"] {
                fs::write(folder.run().join(format!("{vm}.{suffix}")), suffix).unwrap();
            }
        }
        keep(&folder, lab(&folder, "/tmp/old"), SystemTime::now()).unwrap();
        (temporary, folder)
    }

    fn obstacle(folder: &LabFolder, wanted: &LabState) -> String {
        let kept = KeptState::read(folder).unwrap().unwrap();
        kept.obstacle(folder, wanted).unwrap_or_default()
    }

    #[test]
    fn the_same_lab_can_be_resumed_on_other_sockets() {
        let (_temporary, folder) = kept();
        assert!(!folder.run().exists());
        assert_eq!(obstacle(&folder, &lab(&folder, "/tmp/new")), "");
        take_out(&folder).unwrap();
        assert!(KeptState::read(&folder).unwrap().is_none());
        assert!(folder.run().join("db.qcow2").exists());
        assert!(!folder.run().join("db.exit").exists());
    }

    #[test]
    fn another_lab_is_not_resumed_and_the_reason_is_said() {
        let (_temporary, folder) = kept();
        let changed = |change: &dyn Fn(&mut LabState)| {
            let mut wanted = lab(&folder, "/tmp/new");
            change(&mut wanted);
            obstacle(&folder, &wanted)
        };
        assert_eq!(changed(&|lab| drop(lab.vms.pop())), "it has other VMs (db, web)");
        let image = |lab: &mut LabState| lab.vms[1].image = "web-4567.iso".into();
        assert_eq!(changed(&image), "the recipe or the image of web has changed since");
        assert_eq!(changed(&|lab| lab.accel = "kvm".to_owned()), "its VMs ran on tcg, not on kvm");
        let option = |lab: &mut LabState| lab.vms[0].command.push("-S".to_owned());
        assert_eq!(changed(&option), "the QEMU options of db have changed since");
        let other = changed(&|lab| lab.qemu = "QEMU 11".to_owned());
        assert_eq!(other, "it was saved by QEMU 10, and this is QEMU 11");
    }

    #[test]
    fn a_file_that_has_changed_or_is_missing_is_named() {
        for damage in [&|path: &Path| fs::write(path, "new").unwrap(), &|path: &Path| {
            fs::remove_file(path).unwrap();
        }] as [&dyn Fn(&Path); 2]
        {
            for file in ["kept/web.qcow2", "kept/db.disk", "images/db-0123.iso"] {
                let (_temporary, folder) = kept();
                damage(&folder.0.join(file));
                let why = obstacle(&folder, &lab(&folder, "/tmp/new"));
                assert_eq!(why, format!("{} has changed since", folder.0.join(file).display()));
            }
        }
    }

    #[test]
    fn a_kept_state_without_a_readable_list_is_an_error_until_it_is_deleted() {
        let (_temporary, folder) = kept();
        fs::write(folder.kept().join("kept.json"), "{").unwrap();
        let error = KeptState::read(&folder).unwrap_err().to_string();
        assert!(error.contains("kept.json: EOF while parsing"), "{error}");
        assert!(discard(&folder).unwrap());
        assert!(KeptState::read(&folder).unwrap().is_none());
        assert!(!discard(&folder).unwrap());
    }
}
