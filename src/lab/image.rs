//! Builds a bootable ISO from a recipe.
//!
//! mmdebstrap completes the base system, mksquashfs packs it, and grub-mkrescue makes it boot under
//! BIOS and UEFI. None of it needs root where user namespaces exist. The file name of an image
//! holds a hash of its recipe and of what the builder adds, but not of the package versions. An
//! image is there whole or not at all.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::base::{BASE_PACKAGES, BaseSystem, Packages};
use super::folder::LabFolder;
use super::progress::Progress;
use super::recipe::{Recipe, RecipeFolder, Script};
use super::workshop::{Workshop, debian_mirror, write_below};
use crate::problem::Problem;

/// Raise it when the builder changes in a way that the hash does not see.
const BUILDER_VERSION: u32 = 2;

/// A built image.
#[derive(Debug, Clone)]
pub struct Image {
    /// The bootable ISO.
    pub iso: PathBuf,
    /// Its kernel, which serves to find out whether KVM works.
    pub kernel: PathBuf,
}

/// Where the image of a recipe is, or will be once it is built.
pub fn location(folder: &LabFolder, recipe: &RecipeFolder) -> Image {
    let mut hasher = DefaultHasher::new();
    let files = system_files(recipe);
    (BUILDER_VERSION, &recipe.text, GRUB, BASE_PACKAGES).hash(&mut hasher);
    (setup_script(&recipe.recipe, &files), files).hash(&mut hasher);
    let name = format!("{}-{:016x}", recipe.recipe.name, hasher.finish());
    Image {
        iso: folder.images().join(format!("{name}.iso")),
        kernel: folder.images().join(format!("{name}.vmlinuz")),
    }
}

/// The image of a recipe; builds it if it does not exist yet. `common` are the packages of the base
/// system.
pub fn build(
    folder: &LabFolder,
    recipe: &RecipeFolder,
    common: &Packages,
    progress: Progress,
) -> Result<Image, Problem> {
    let image = location(folder, recipe);
    let name = &recipe.recipe.name;
    if image.iso.exists() && image.kernel.exists() {
        progress(name, "image exists");
        return Ok(image);
    }
    folder.create()?;
    let _lock = lock_build(folder, name)?;
    if image.iso.exists() && image.kernel.exists() {
        progress(name, "another process built the image");
        return Ok(image);
    }
    let work = tempfile::Builder::new()
        .prefix(&format!(".{name}-"))
        .tempdir_in(folder.images())
        .map_err(Problem::io(format!("make a folder in {}", folder.images().display())))?;
    let log = folder.logs().join(format!("build-{name}.log"));
    let base = BaseSystem::get(folder, common, &|text| progress(name, text))?;
    let build = Build {
        recipe,
        base: &base,
        shop: Workshop { product: name, work: work.path(), log: &log },
    };
    build.shop.begin_log()?;
    progress(name, "mmdebstrap and squashfs");
    build.make_root_file_system()?;
    progress(name, "grub-mkrescue");
    build.make_iso()?;
    for (from, to) in [("vmlinuz", &image.kernel), ("image.iso", &image.iso)] {
        fs::rename(work.path().join(from), to)
            .map_err(Problem::io(format!("move the image to {}", to.display())))?;
    }
    remove_older(folder, name, &image);
    let size = fs::metadata(&image.iso).map_or(0, |data| data.len()) / 1024 / 1024;
    progress(name, &format!("built, {size} MB"));
    Ok(image)
}

/// Only one process builds an image; removes what a killed one left behind.
fn lock_build(folder: &LabFolder, name: &str) -> Result<File, Problem> {
    let path = folder.logs().join(format!("build-{name}.lock"));
    let lock = File::options().create(true).append(true).open(&path);
    let lock = lock.map_err(Problem::io(format!("open {}", path.display())))?;
    lock.lock().map_err(Problem::io(format!("lock {}", path.display())))?;
    for entry in fs::read_dir(folder.images()).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|file| file.starts_with(&format!(".{name}-"))) {
            // A folder that cannot be removed only takes room.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(lock)
}

/// Removes images of the same VM from earlier versions of its recipe.
fn remove_older(folder: &LabFolder, name: &str, image: &Image) {
    let prefix = format!("{name}-");
    for entry in fs::read_dir(folder.images()).into_iter().flatten().flatten() {
        let path = entry.path();
        let file = entry.file_name();
        // `redis-` must not match `redis-replica-...`: only a hash and a suffix follow the name.
        let rest = file.to_str().and_then(|file| file.strip_prefix(&prefix));
        let own = rest.is_some_and(|rest| {
            rest.split('.').next().is_some_and(|hash| hash.len() == 16 && !hash.contains('-'))
        });
        if own && path != image.iso && path != image.kernel {
            // A folder that cannot be removed only takes room.
            let _ = fs::remove_file(path);
        }
    }
}

struct Build<'a> {
    recipe: &'a RecipeFolder,
    base: &'a BaseSystem,
    shop: Workshop<'a>,
}

impl Build<'_> {
    /// Makes `filesystem.squashfs`, `vmlinuz` and `initrd.img` in the work folder.
    fn make_root_file_system(&self) -> Result<(), Problem> {
        let work = self.shop.work;
        let files = system_files(self.recipe);
        for SystemFile { path, text, .. } in &files {
            write_below(&work.join("files"), path, text)?;
        }
        // Passwords go through a file, never through an argument list.
        let users = &self.recipe.recipe.os.users;
        let passwords: String =
            users.iter().map(|user| format!("{}:{}\n", user.name, user.password)).collect();
        write_below(work, "passwords", &passwords)?;
        write_below(work, "setup", &setup_script(&self.recipe.recipe, &files))?;
        let mut make = self.shop.mmdebstrap()?;
        make.args(["--variant=custom", "--skip=update"])
            .arg(format!("--setup-hook=tar-in {} /", self.base.quoted_path()?))
            // The base system has no /dev; mmdebstrap makes the devices in it, but not the folder.
            .arg("--setup-hook=mkdir -p \"$1/dev\"")
            .args(self.install_hook().map(|hook| format!("--customize-hook={hook}")))
            .args(hooks(&files).iter().map(|hook| format!("--customize-hook={hook}")))
            .args(["trixie", "-"])
            .args(debian_mirror())
            .stdout(Stdio::piped());
        let mut making = make.spawn().map_err(Problem::io("start mmdebstrap"))?;
        let tar = making.stdout.take().ok_or_else(|| Problem::new("mmdebstrap has no output"))?;
        let mut pack = self.shop.tool("mksquashfs")?;
        pack.args(["-", "filesystem.squashfs", "-tar", "-comp", "zstd"])
            .args(["-Xcompression-level", "6", "-no-progress", "-quiet"])
            .stdin(tar);
        let packed = pack.status().map_err(Problem::io("start mksquashfs"))?;
        // `pack` holds the reading end of the pipe. Without it, mmdebstrap ends if mksquashfs has
        // died.
        drop(pack);
        let made = making.wait().map_err(Problem::io("wait for mmdebstrap"))?;
        if !made.success() {
            // The mirror may no longer have what the package lists of the base system name.
            self.base.distrust();
            return Err(self.shop.failed("mmdebstrap"));
        }
        if packed.success() { Ok(()) } else { Err(self.shop.failed("mksquashfs")) }
    }

    /// Installs the packages that the base system does not have, as mmdebstrap installs packages:
    /// with the apt of this machine and the dpkg of the system.
    fn install_hook(&self) -> Option<String> {
        let missing: Vec<&str> = self.base.missing(&self.recipe.recipe.os.packages).collect();
        (!missing.is_empty()).then(|| {
            format!(
                "APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" apt-get -o Dir::Bin::dpkg=env \
                 -o DPkg::Options::=--unset=TMPDIR -o DPkg::Options::=dpkg \
                 -o DPkg::Chroot-Directory=\"$1\" --yes install {}",
                missing.join(" ")
            )
        })
    }

    /// Makes `image.iso` in the work folder.
    fn make_iso(&self) -> Result<(), Problem> {
        let work = self.shop.work;
        let tree = work.join("iso");
        write_below(&tree, "boot/grub/grub.cfg", GRUB)?;
        fs::create_dir_all(tree.join("live"))
            .map_err(Problem::io(format!("make {}/live", tree.display())))?;
        for file in ["filesystem.squashfs", "initrd.img"] {
            fs::rename(work.join(file), tree.join("live").join(file))
                .map_err(Problem::io(format!("move {file}")))?;
        }
        fs::copy(work.join("vmlinuz"), tree.join("live/vmlinuz"))
            .map_err(Problem::io("copy the kernel"))?;
        let mut make = self.shop.tool("grub-mkrescue")?;
        make.args(["-o", "image.iso", "iso", "--", "-volid", "BOOTPROOF"]);
        let done = make.status().map_err(Problem::io("start grub-mkrescue"))?;
        if done.success() { Ok(()) } else { Err(self.shop.failed("grub-mkrescue")) }
    }
}

/// What mmdebstrap does with the finished system, whose folder is `$1`. Its own `upload` and
/// `download` also work where the system belongs to another user (namespaces). They take files from
/// the work folder and put files there.
fn hooks(files: &[SystemFile]) -> Vec<String> {
    let parents: Vec<_> =
        files.iter().filter_map(|file| Path::new(&file.path).parent()?.to_str()).collect();
    let mut hooks: Vec<_> =
        parents.iter().map(|parent| format!("mkdir -p \"$1{parent}\"")).collect();
    hooks.extend(files.iter().map(|SystemFile { path, .. }| format!("upload files{path} {path}")));
    hooks.extend(["passwords", "setup"].map(|file| format!("upload {file} /{file}")));
    hooks.push("chroot \"$1\" sh -eu /setup".to_owned());
    hooks.extend(["vmlinuz", "initrd.img"].map(|file| format!("download /{file} {file}")));
    hooks.push("rm \"$1/vmlinuz\" \"$1/initrd.img\"".to_owned());
    hooks
}

/// A script that runs as root in the finished system and removes itself.
fn setup_script(recipe: &Recipe, files: &[SystemFile]) -> String {
    let mut script = String::from(
        "rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id\n\
         : > /etc/machine-id\n\
         rm -f /vmlinuz* /initrd.img*\n\
         mv /boot/vmlinuz-* /vmlinuz\n\
         mv /boot/initrd.img-* /initrd.img\n\
         chmod 644 /vmlinuz /initrd.img\n",
    );
    for SystemFile { path, mode, .. } in files {
        script += &format!("chmod {mode:o} {path}\n");
    }
    for user in &recipe.os.users {
        let groups = if user.groups.is_empty() {
            String::new()
        } else {
            format!("-G {} ", user.groups.join(","))
        };
        script += &format!("useradd -m -s /bin/bash {groups}{}\n", user.name);
    }
    // live-boot writes into the first folder. The link stops a generator that complains about
    // every daemon-reload.
    script += "mkdir -p /etc/network /etc/systemd/system-generators\n\
               ln -s /dev/null /etc/systemd/system-generators/systemd-ssh-generator\n";
    script += "chpasswd < /passwords\nrm /passwords /setup\n";
    script += "systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
               e2scrub_all.timer e2scrub_reap.service fstrim.timer logrotate.timer man-db.timer getty@tty1.service\n\
               systemctl enable systemd-networkd.service systemd-networkd-wait-online.service \
               ssh.service image-host-key.service image-console.service\n";
    for index in 0..recipe.os.startup_scripts.len() {
        script += &format!("systemctl enable image-startup-{index}.service\n");
    }
    // systemd would rebuild caches at the first boot, but a new image has fresh ones.
    script += "touch /etc/.updated /var/.updated\n";
    script
}

/// A file that the builder itself puts into a system. Its fields go into the image's hash.
#[derive(Debug, Hash)]
struct SystemFile {
    path: String,
    mode: u32,
    text: String,
}

impl SystemFile {
    fn new(path: impl Into<String>, mode: u32, text: impl Into<String>) -> Self {
        Self { path: path.into(), mode, text: text.into() }
    }
}

fn system_files(folder: &RecipeFolder) -> Vec<SystemFile> {
    let recipe = &folder.recipe;
    let name = &recipe.name;
    let dns: String =
        recipe.os.network.dns.iter().map(|server| format!("nameserver {server}\n")).collect();
    let mut files = vec![
        SystemFile::new("/etc/hostname", 0o644, format!("{name}\n")),
        SystemFile::new(
            "/etc/hosts",
            0o644,
            format!("127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n"),
        ),
        SystemFile::new("/etc/resolv.conf", 0o644, dns),
        SystemFile::new("/etc/systemd/network/80-lab.network", 0o644, NETWORK),
        SystemFile::new("/etc/systemd/system/image-host-key.service", 0o644, HOST_KEY_UNIT),
        SystemFile::new(
            "/etc/systemd/system/image-console.service",
            0o644,
            console_unit(folder.scripts.len()),
        ),
    ];
    for (index, Script { file, text, after }) in folder.scripts.iter().enumerate() {
        let path = format!("/usr/local/lib/image/{file}");
        let after = after.as_deref().unwrap_or("basic.target");
        files.push(SystemFile::new(
            format!("/etc/systemd/system/image-startup-{index}.service"),
            0o644,
            startup_unit(&path, after),
        ));
        files.push(SystemFile::new(path, 0o755, text));
    }
    files
}

/// The VM uses the recipe's name servers, not those that DHCP offers.
const NETWORK: &str = "\
[Match]
Type=ether

[Network]
DHCP=ipv4
KeepConfiguration=static
LinkLocalAddressing=no
IPv6AcceptRA=no

[DHCPv4]
UseDNS=no
UseHostname=no
";

/// No image holds a host key: a VM makes its own at its first boot.
const HOST_KEY_UNIT: &str = "\
[Unit]
Description=Make this machine's SSH host key
Before=ssh.service ssh.socket
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N \"\" -f /etc/ssh/ssh_host_ed25519_key
RemainAfterExit=yes

[Install]
WantedBy=multi-user.target
";

/// Shows the host key on the serial console, so that `lab up` can pin it without trusting the
/// network.
fn console_unit(scripts: usize) -> String {
    let startup: String =
        (0..scripts).map(|index| format!(" image-startup-{index}.service")).collect();
    format!(
        "[Unit]\n\
         Description=Tell the SSH host key on the console\n\
         After=ssh.service image-host-key.service{startup}\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart=/bin/sh -c 'echo; k=/etc/ssh/ssh_host_ed25519_key.pub; \
         echo \"bootproof: host key $(ssh-keygen -lf $k | cut -d\" \" -f2) \
         $(cut -d\" \" -f1,2 $k)\"'\n\
         StandardOutput=tty\nTTYPath=/dev/console\n\n[Install]\nWantedBy=multi-user.target\n"
    )
}

fn startup_unit(path: &str, after: &str) -> String {
    format!(
        "\
[Unit]
Description=Startup script of the recipe
Wants={after}
After={after}

[Service]
Type=oneshot
ExecStart={path}
RemainAfterExit=yes

[Install]
WantedBy=multi-user.target
"
    )
}

/// `persistence`: a disk with this label keeps what the system writes; without one, memory does.
/// `tsc=unstable`: when a snapshot is restored, QEMU's emulated TSC does not go back as other
/// clocks do.
const GRUB: &str = "\
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=0
menuentry \"Debian trixie\" {
  linux /live/vmlinuz boot=live persistence quiet nocomponents tsc=unstable \
    console=tty0 console=ttyS0,115200
  initrd /live/initrd.img
}
";

#[cfg(test)]
mod tests {
    use super::*;

    fn redis() -> RecipeFolder {
        RecipeFolder::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/redis")))
            .unwrap()
    }

    #[test]
    fn a_changed_script_changes_the_image_name() {
        let folder = LabFolder("lab".into());
        let one = redis();
        let mut other = redis();
        other.scripts[0].text.push_str("true\n");
        assert_eq!(location(&folder, &one).iso, location(&folder, &redis()).iso);
        assert_ne!(location(&folder, &one).iso, location(&folder, &other).iso);
    }

    #[test]
    fn passwords_are_in_no_hook_and_no_script() {
        let files = system_files(&redis());
        let script = setup_script(&redis().recipe, &files);
        assert!(script.contains("useradd -m -s /bin/bash -G sudo ops"), "{script}");
        let everything = format!("{script}{:?}{files:?}", hooks(&files));
        assert!(!everything.contains("immich-ops"), "{everything}");
    }

    #[test]
    fn the_startup_unit_has_the_order_of_the_recipe() {
        let files = system_files(&redis());
        let unit =
            files.iter().find(|file| file.path.ends_with("image-startup-0.service")).unwrap();
        assert!(unit.text.contains("After=network-online.target\n"), "{}", unit.text);
    }
}
