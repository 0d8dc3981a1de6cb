//! `bootproof lab`: the local lab.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::lab_ssh;
use super::live::LiveLines;
use super::output::show;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::lab::base::Packages;
use crate::lab::control::{self, VmAction};
use crate::lab::down::{self, Found};
use crate::lab::folder::LabFolder;
use crate::lab::image::{self, Image};
use crate::lab::kept::{self, KeptState};
use crate::lab::recipe::RecipeFolder;
use crate::lab::state::{self, LabState};
use crate::lab::up::{self, Start, Started};
use crate::lab::vm::{VmImage, VmToBoot};
use crate::lab::{parallel, serial, supervisor};
use crate::problem::{Problem, hint_for_unknown};
use crate::report::text::counted;
use crate::settings::LOCAL_INVENTORY;

/// Build, boot and control the local lab: VMs in QEMU
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  bootproof lab up
  bootproof check --wait 5m
  bootproof lab down")]
pub struct LabArgs {
    /// Folder for images, disks and logs
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        env = "BOOTPROOF_LAB_DIR",
        default_value = ".lab"
    )]
    lab_dir: PathBuf,

    /// Folder with the recipes
    #[arg(long, global = true, value_name = "FOLDER", default_value = "recipes")]
    recipes: PathBuf,

    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Build a bootable ISO for each recipe that has none yet
    #[command(after_help = "\
`build` rebuilds the image of a recipe that has changed. Its logs are in the folder `logs` of \
--lab-dir.

Example:
  bootproof lab build redis")]
    Build {
        /// Build only these VMs
        vms: Vec<String>,
    },
    /// Boot or resume the VMs on a private network and write inventory/local.json
    #[command(after_help = "\
`up` builds missing images first. The SSH ports of the VMs are on 127.0.0.1 only. If a VM does not \
boot, `up` stops all of them.

After `lab down --keep`, `up` resumes the VMs and sets their clocks. If the kept state does not fit \
the VMs, the recipes, the images or QEMU, `up` says why, deletes it, and boots the VMs.

Examples:
  bootproof lab up
  bootproof lab up --fresh
  bootproof lab up --image redis=/images/redis.qcow2")]
    Up {
        /// Boot only these VMs
        vms: Vec<String>,
        /// Boot this ISO, qcow2 or raw image instead of the recipe's, without writing to it
        #[arg(long = "image", value_name = "VM=FILE", value_parser = given_image)]
        images: Vec<GivenImage>,
        /// Boot with new disks, and delete the state that `down --keep` has kept
        #[arg(long)]
        fresh: bool,
    },
    /// Show the status of every VM
    #[command(after_help = "\
Example:
  bootproof lab status

Exit codes:
  0  every VM is running
  1  a VM is not running
  4  the lab is not up; `status` says whether it has a kept state")]
    Status,
    /// Log in to a VM, or run a command on it, with OpenSSH
    #[command(after_help = "\
Examples:
  bootproof lab ssh redis
  bootproof lab ssh redis -- redis-cli ping")]
    Ssh {
        /// Name of the VM
        vm: String,
        /// Command to run on the VM, after `--`
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Show the serial console of a VM
    #[command(after_help = "\
Example:
  bootproof lab logs -f immich-server")]
    Logs {
        /// Name of the VM
        vm: String,
        /// Keep showing new lines until interrupted
        #[arg(short, long)]
        follow: bool,
    },
    /// Save the memory and disks of VMs
    #[command(after_help = "\
A VM has one snapshot; a new one replaces it.

Example:
  bootproof lab snapshot
  bootproof lab ssh redis
  bootproof lab restore redis")]
    Snapshot {
        /// Save only these VMs
        vms: Vec<String>,
    },
    /// Return VMs to their snapshots, and set their clocks to now
    #[command(after_help = "\
This works in any state of a VM: paused, crashed or powered off.

Example:
  bootproof lab restore redis")]
    Restore {
        /// Restore only these VMs
        vms: Vec<String>,
        /// Leave the clocks at the time of the snapshot
        #[arg(long)]
        keep_clock: bool,
    },
    /// Stop the CPUs of VMs, as if their host had frozen
    #[command(after_help = "\
Example:
  bootproof lab pause redis")]
    Pause {
        /// Names of the VMs
        #[arg(required = true)]
        vms: Vec<String>,
    },
    /// Let paused VMs continue, and start VMs that powered off
    #[command(after_help = "\
Example:
  bootproof lab resume redis")]
    Resume {
        /// Names of the VMs
        #[arg(required = true)]
        vms: Vec<String>,
    },
    /// Shut VMs down cleanly and boot them again from their disks
    #[command(after_help = "\
Example:
  bootproof lab reboot redis && bootproof check --wait 5m")]
    Reboot {
        /// Names of the VMs
        #[arg(required = true)]
        vms: Vec<String>,
    },
    /// Power off the VMs and delete their disks, or keep their state
    #[command(after_help = "\
`down` keeps built images and removes inventory/local.json. Without --keep, it also deletes a kept \
state. With --keep, the VMs do not shut down: the next `up` resumes them in seconds.

Examples:
  bootproof lab down
  bootproof lab down --keep && bootproof lab up")]
    Down {
        /// Save the memory and disks of the VMs, so that `up` resumes them
        #[arg(long)]
        keep: bool,
    },
    /// Keep the VMs running; `up` starts this
    #[command(hide = true)]
    Supervise,
}

/// An image that the operator gave for a VM.
#[derive(Debug, Clone)]
struct GivenImage {
    vm: String,
    file: PathBuf,
}

fn given_image(text: &str) -> Result<GivenImage, Problem> {
    let (vm, file) = text
        .split_once('=')
        .ok_or_else(|| Problem::new("write VM=FILE, such as redis=/images/redis.qcow2"))?;
    let file = std::path::absolute(file).map_err(Problem::io(format!("resolve {file}")))?;
    if file.is_file() {
        Ok(GivenImage { vm: vm.to_owned(), file })
    } else {
        Err(Problem::new(format!("there is no file {}", file.display())))
    }
}

pub fn run(arguments: LabArgs) -> Result<ExitCode, Error> {
    let folder = LabFolder(std::path::absolute(&arguments.lab_dir).unwrap_or(arguments.lab_dir));
    let recipes = &arguments.recipes;
    match &arguments.command {
        LabCommand::Build { vms } => {
            let selected = RecipeFolder::read_all(recipes, vms)?;
            let common = common_packages(recipes, &selected);
            build(&folder, &selected, &common).map_err(Error::internal)?;
        }
        LabCommand::Up { vms, images, fresh } => {
            let selected = RecipeFolder::read_all(recipes, vms)?;
            let common = common_packages(recipes, &selected);
            boot(&folder, selected, &common, images, *fresh)?;
        }
        LabCommand::Status => return status(&folder).map_err(Error::internal),
        LabCommand::Ssh { vm, command } => lab_ssh::ssh(&folder, vm, command)?,
        LabCommand::Logs { vm, follow } => logs(&folder, vm, *follow)?,
        LabCommand::Snapshot { vms } => act(&folder, vms, VmAction::Snapshot)?,
        LabCommand::Restore { vms, keep_clock } => restore(&folder, vms, *keep_clock)?,
        LabCommand::Pause { vms } => act(&folder, vms, VmAction::Pause)?,
        LabCommand::Resume { vms } => act(&folder, vms, VmAction::Resume)?,
        LabCommand::Reboot { vms } => act(&folder, vms, VmAction::Reboot)?,
        LabCommand::Down { keep: false } => take_down(&folder).map_err(Error::internal)?,
        LabCommand::Down { keep: true } => keep(&folder).map_err(Error::internal)?,
        LabCommand::Supervise => supervisor::run(&folder).map_err(Error::internal)?,
    }
    Ok(ExitCode::Conforms)
}

/// While one build waits for the network, another one uses the processor.
const BUILDS_AT_ONCE: usize = 2;

/// The packages of the base system. If only some VMs are selected, the others count, too: the base
/// system is then the same.
fn common_packages(recipes: &Path, selected: &[RecipeFolder]) -> Packages {
    // A mistake in the recipe of a VM that is not selected is not in the way.
    match RecipeFolder::read_all(recipes, &[]) {
        Ok(all) => Packages::common_to(&all),
        Err(_) => Packages::common_to(selected),
    }
}

fn build(
    folder: &LabFolder,
    recipes: &[RecipeFolder],
    common: &Packages,
) -> Result<Vec<Image>, Problem> {
    let lines = LiveLines::with_clocks(recipes.iter().map(|folder| folder.recipe.name.as_str()));
    let queue = Mutex::new(recipes.iter());
    let next = || queue.lock().ok().and_then(|mut queue| queue.next());
    let built = parallel::for_each(0..BUILDS_AT_ONCE, |_| {
        while let Some(recipe) = next() {
            image::build(folder, recipe, common, &|vm, text| lines.set(vm, text))?;
        }
        Ok(())
    });
    lines.finish();
    built?;
    Ok(recipes.iter().map(|recipe| image::location(folder, recipe)).collect())
}

fn boot(
    folder: &LabFolder,
    recipes: Vec<RecipeFolder>,
    common: &Packages,
    images: &[GivenImage],
    fresh: bool,
) -> Result<(), Error> {
    check_image_names(&recipes, images)?;
    match state::up(folder).map_err(Error::internal)? {
        Some(_) if fresh => Err(Problem::new("the lab is already up, so it cannot boot fresh")
            .hint("take it down first: bootproof lab down")),
        Some(state) => already_up(folder, &state, &recipes, images),
        None => boot_all(folder, recipes, common, images, fresh),
    }
    .map_err(Error::internal)
}

fn check_image_names(recipes: &[RecipeFolder], images: &[GivenImage]) -> Result<(), Problem> {
    let names: Vec<_> = recipes.iter().map(|folder| folder.recipe.name.as_str()).collect();
    match images.iter().find(|image| !names.contains(&image.vm.as_str())) {
        Some(GivenImage { vm, .. }) => {
            Err(Problem::new(format!("unknown VM `{vm}` in --image"))
                .hint(hint_for_unknown(vm, names)))
        }
        None => Ok(()),
    }
}

fn boot_all(
    folder: &LabFolder,
    recipes: Vec<RecipeFolder>,
    common: &Packages,
    images: &[GivenImage],
    fresh: bool,
) -> Result<(), Problem> {
    let given = |folder: &RecipeFolder| {
        images.iter().find(|image| image.vm == folder.recipe.name).map(|image| image.file.clone())
    };
    let (with_given, to_build): (Vec<_>, Vec<_>) =
        recipes.into_iter().partition(|recipe| given(recipe).is_some());
    let built = build(folder, &to_build, common)?.into_iter().map(VmImage::Built);
    let given: Vec<_> = with_given.iter().filter_map(given).map(VmImage::Given).collect();
    let vms: Vec<_> = (to_build.into_iter().zip(built))
        .chain(with_given.into_iter().zip(given))
        .map(|(recipe, image)| VmToBoot { recipe, image })
        .collect();
    let lines = LiveLines::with_clocks(vms.iter().map(|vm| vm.recipe.recipe.name.as_str()));
    let inventory = Path::new(LOCAL_INVENTORY);
    let set_clocks = |state: &LabState| {
        lines.set("", "setting the clocks of the VMs");
        lab_ssh::set_clocks(folder, &state.vms.iter().collect::<Vec<_>>())
    };
    let start = if fresh { Start::Fresh } else { Start::Resume(&set_clocks) };
    let started = up::up(folder, &vms, inventory, start, &|vm, text| lines.set(vm, text));
    lines.finish();
    let how = match started? {
        Started::Cold => "up".to_owned(),
        Started::Resumed(saved) => {
            format!("resumed from the state kept at {}", kept::when(saved))
        }
    };
    let count = counted(vms.len(), "VM");
    show(&format!("{count} {how}; {LOCAL_INVENTORY} has their addresses and host keys\n"));
    Ok(())
}

/// Booting the same VMs again is not an error.
fn already_up(
    folder: &LabFolder,
    state: &LabState,
    recipes: &[RecipeFolder],
    images: &[GivenImage],
) -> Result<(), Problem> {
    if !state::ready_note(folder).exists() {
        return Err(
            Problem::new("another process is booting the lab").hint("wait for it, or interrupt it")
        );
    }
    let is_up = |name: &str| state.vms.iter().any(|vm| vm.name == name);
    let same_vms =
        state.vms.len() == recipes.len() && recipes.iter().all(|folder| is_up(&folder.recipe.name));
    let same_images = images.iter().all(|image| {
        let file = image.file.canonicalize().ok();
        state.vms.iter().any(|vm| vm.name == image.vm && Some(&vm.image) == file.as_ref())
    });
    if same_vms && same_images {
        show("the lab is already up; `bootproof lab status` shows its VMs\n");
        return Ok(());
    }
    Err(Problem::new("a lab with other VMs or images is up")
        .hint("take it down first: bootproof lab down"))
}

fn status(folder: &LabFolder) -> Result<ExitCode, Problem> {
    let Some(state) = state::up(folder)? else {
        show("the lab is not up\n");
        show(&kept_text(folder));
        return Ok(ExitCode::NothingSelected);
    };
    let vms = down::status(folder, &state);
    show(&status_text(folder, &state, &vms));
    let all_running = vms.iter().all(|vm| vm.status == "running");
    Ok(if all_running { ExitCode::Conforms } else { ExitCode::Failed })
}

/// What the kept state of a lab that is not up is; nothing if there is none.
fn kept_text(folder: &LabFolder) -> String {
    match KeptState::read(folder) {
        Ok(None) => String::new(),
        Ok(Some(kept)) => format!(
            "the state of {} was kept at {}; `bootproof lab up` resumes it\n",
            kept.vms(),
            kept::when(kept.saved)
        ),
        Err(error) => format!(
            "the kept state cannot be used: {error}; `bootproof lab up` deletes it and boots\n"
        ),
    }
}

fn status_text(folder: &LabFolder, state: &LabState, vms: &[down::VmStatus]) -> String {
    let age = Duration::from_secs(state.started.elapsed().unwrap_or_default().as_secs());
    let age = humantime::format_duration(age);
    let how = if state::ready_note(folder).exists() { "up" } else { "booting" };
    let mut text = format!("{how} for {age} ({})\n", state.accel);
    if let Some(saved) = state.resumed_from {
        let saved = humantime::format_rfc3339_seconds(saved);
        text += &format!("resumed from the state kept at {saved}\n");
    }
    for part in down::lost_network(folder) {
        let advice = "run `bootproof lab down`, then `bootproof lab up`";
        text += &format!("the network process {part} has ended; {advice}\n");
    }
    for (vm, status) in state.vms.iter().zip(vms) {
        let image = vm.image.file_name().unwrap_or_default().display();
        text += &format!(
            "{:20} {:10} 127.0.0.1:{:<6} {} GiB  {image}\n",
            vm.name, status.status, vm.ssh_port, vm.memory_gb
        );
    }
    text
}

fn logs(folder: &LabFolder, vm: &str, follow: bool) -> Result<(), Error> {
    // After a failed `lab up` the consoles are still there.
    let state = LabState::read(folder).ok_or_else(state::not_up).map_err(Error::internal)?;
    state.select(&[vm.to_owned()])?;
    print_console(&state::console(folder, vm), follow).map_err(Error::internal)
}

fn print_console(path: &Path, follow: bool) -> Result<(), Problem> {
    let mut file = File::open(path).map_err(Problem::io(format!("open {}", path.display())))?;
    loop {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Problem::io(format!("read {}", path.display())))?;
        let text = serial::plain(&String::from_utf8_lossy(&bytes));
        let mut stdout = std::io::stdout();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        // The reader may have gone, as with `bootproof lab logs redis | head`.
        if written.is_err() || !follow {
            return Ok(());
        }
        sleep(Duration::from_millis(200));
    }
}

fn act(folder: &LabFolder, vms: &[String], action: VmAction) -> Result<(), Error> {
    let state = state_of_up(folder).map_err(Error::internal)?;
    let vms = state.select(vms)?;
    let lines = LiveLines::with_clocks(vms.iter().map(|vm| vm.name.as_str()));
    let done = control::perform(folder, &state, &vms, action, &|vm, text| lines.set(vm, text));
    lines.finish();
    done.map_err(Error::internal)
}

fn restore(folder: &LabFolder, vms: &[String], keep_clock: bool) -> Result<(), Error> {
    act(folder, vms, VmAction::Restore)?;
    if keep_clock {
        return Ok(());
    }
    let state = state_of_up(folder).map_err(Error::internal)?;
    lab_ssh::set_clocks(folder, &state.select(vms)?).map_err(Error::internal)
}

fn state_of_up(folder: &LabFolder) -> Result<LabState, Problem> {
    state::up(folder)?.ok_or_else(state::not_up)
}

fn take_down(folder: &LabFolder) -> Result<(), Problem> {
    let state = state::up(folder)?;
    let vms = state.iter().flat_map(|state| &state.vms);
    let lines = LiveLines::with_clocks(vms.map(|vm| vm.name.as_str()));
    let found = down::down(folder, Path::new(LOCAL_INVENTORY), &|vm, text| lines.set(vm, text));
    lines.finish();
    show(match found? {
        Found { up: true, .. } => "the lab is down\n",
        Found { kept: true, .. } => "the lab was not up; its kept state is deleted\n",
        _ => "the lab was not up\n",
    });
    Ok(())
}

fn keep(folder: &LabFolder) -> Result<(), Problem> {
    let state = state::up(folder)?;
    let vms = state.iter().flat_map(|state| &state.vms);
    let lines = LiveLines::with_clocks(vms.map(|vm| vm.name.as_str()));
    let inventory = Path::new(LOCAL_INVENTORY);
    let kept = down::down_and_keep(folder, inventory, &|vm, text| lines.set(vm, text));
    lines.finish();
    show(&match kept? {
        Some(_) => "the lab is down; `bootproof lab up` resumes its VMs\n".to_owned(),
        None => format!("the lab was not up\n{}", kept_text(folder)),
    });
    Ok(())
}
