//! The base system: what the images have in common, made once and not for each of them.
//!
//! It is a tar file with the package lists of its day, so that images that are built from it have
//! the same versions. It is there whole or not at all.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::folder::LabFolder;
use super::recipe::RecipeFolder;
use super::workshop::{Workshop, debian_mirror};
use crate::problem::Problem;

/// Raise it when the base system changes in a way that the hash does not see.
const BASE_VERSION: u32 = 1;

/// Packages that every image has besides its recipe's.
pub(super) const BASE_PACKAGES: [&str; 11] = [
    "systemd-sysv",
    "dbus",
    "udev",
    "kmod",
    "sudo",
    "procps",
    "live-boot",
    "initramfs-tools",
    "zstd",
    "e2fsprogs",
    "linux-image-cloud-amd64",
];

/// After this time the archive may have other versions than the package lists say.
const FRESH_FOR: Duration = Duration::from_hours(24);

/// The packages of the base system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Packages(BTreeSet<String>);

impl Packages {
    /// What every image has, and what all of these recipes ask for.
    pub fn common_to(recipes: &[RecipeFolder]) -> Self {
        let of_recipe =
            |recipe: &RecipeFolder| BTreeSet::from_iter(recipe.recipe.os.packages.clone());
        let common = recipes.iter().map(of_recipe).reduce(|one, other| &one & &other);
        let base = BASE_PACKAGES.map(str::to_owned);
        Self(base.into_iter().chain(common.unwrap_or_default()).collect())
    }
}

/// A base system that is in use: nobody replaces it meanwhile.
#[derive(Debug)]
pub(super) struct BaseSystem {
    tar: PathBuf,
    packages: Packages,
    /// Shared by all who use it, exclusive for who makes it.
    _lock: File,
}

impl BaseSystem {
    /// The base system with these packages; makes it if there is none that is fresh.
    pub(super) fn get(
        folder: &LabFolder,
        packages: &Packages,
        progress: &dyn Fn(&str),
    ) -> Result<Self, Problem> {
        let place = folder.base();
        fs::create_dir_all(&place).map_err(Problem::io(format!("make {}", place.display())))?;
        let tar = place.join(format!("{:016x}.tar", hash(packages)));
        let path = place.join("lock");
        let failed = || Problem::io(format!("lock {}", path.display()));
        let lock = File::options().create(true).append(true).open(&path).map_err(failed())?;
        loop {
            progress("waiting for the base system");
            lock.lock_shared().map_err(failed())?;
            if is_fresh(&tar) {
                return Ok(Self { tar, packages: packages.clone(), _lock: lock });
            }
            lock.unlock().map_err(failed())?;
            lock.lock().map_err(failed())?;
            // Another process may have made it in between.
            if !is_fresh(&tar) {
                progress("mmdebstrap makes the base system");
                make(folder, &place, &tar, packages)?;
            }
            lock.unlock().map_err(failed())?;
        }
    }

    /// Its path for a hook of mmdebstrap, which takes words apart as a shell does.
    pub(super) fn quoted_path(&self) -> Result<String, Problem> {
        let path = self.tar.display();
        let quoted = self.tar.to_str().and_then(|path| shlex::try_quote(path).ok());
        let quoted = quoted.ok_or_else(|| {
            Problem::new(format!("mmdebstrap cannot read {path}"))
                .hint("run bootproof in a folder whose path is valid UTF-8")
        });
        Ok(quoted?.into_owned())
    }

    /// Those of `wanted` that it does not have.
    pub(super) fn missing<'a>(&'a self, wanted: &'a [String]) -> impl Iterator<Item = &'a str> {
        let wanted = wanted.iter().filter(|package| !self.packages.0.contains(*package));
        wanted.map(String::as_str)
    }

    /// The next build makes it again.
    pub(super) fn distrust(&self) {
        // If this fails, it is distrusted a day later.
        let _ = File::open(&self.tar).and_then(|tar| tar.set_modified(SystemTime::UNIX_EPOCH));
    }
}

fn hash(packages: &Packages) -> u64 {
    let mut hasher = DefaultHasher::new();
    (BASE_VERSION, packages, debian_mirror()).hash(&mut hasher);
    hasher.finish()
}

fn is_fresh(tar: &Path) -> bool {
    let modified = fs::metadata(tar).and_then(|data| data.modified());
    modified.is_ok_and(|then| then.elapsed().is_ok_and(|age| age < FRESH_FOR))
}

fn make(folder: &LabFolder, place: &Path, tar: &Path, packages: &Packages) -> Result<(), Problem> {
    remove_others(place);
    let work = tempfile::Builder::new().prefix("making-").tempdir_in(place);
    let work = work.map_err(Problem::io(format!("make a folder in {}", place.display())))?;
    let log = folder.logs().join("build-base.log");
    let shop = Workshop { product: "the base system", work: work.path(), log: &log };
    shop.begin_log()?;
    let packages: Vec<&str> = packages.0.iter().map(String::as_str).collect();
    let mut mmdebstrap = shop.mmdebstrap()?;
    mmdebstrap
        .args(["--variant=minbase", "--skip=cleanup/apt/lists"])
        // Without root, nobody could unpack device nodes; mmdebstrap adds them to each image.
        .arg("--skip=output/dev")
        .arg(format!("--include={}", packages.join(",")))
        .args(["trixie", "base.tar"])
        .args(debian_mirror());
    let made = mmdebstrap.status().map_err(Problem::io("start mmdebstrap"))?;
    if !made.success() {
        return Err(shop.failed("mmdebstrap"));
    }
    fs::rename(work.path().join("base.tar"), tar)
        .map_err(Problem::io(format!("move the base system to {}", tar.display())))
}

/// Removes older base systems, and what a killed process left behind.
fn remove_others(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let path = entry.path();
        // What cannot be removed only takes room.
        let _ = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else if path.extension().is_some_and(|extension| extension == "tar") {
            fs::remove_file(&path)
        } else {
            continue;
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(name: &str) -> RecipeFolder {
        let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        RecipeFolder::read(&recipes.join(name)).unwrap()
    }

    #[test]
    fn the_base_system_has_what_all_recipes_ask_for_and_no_more() {
        let (redis, postgres) = (recipe("redis"), recipe("postgres-pgvector"));
        let packages = Packages::common_to(&[redis.clone(), postgres]);
        assert!(packages.0.contains("openssh-server"), "{packages:?}");
        assert!(packages.0.contains("live-boot"), "{packages:?}");
        assert!(!packages.0.contains("redis-server"), "{packages:?}");
        assert!(!packages.0.contains("postgresql"), "{packages:?}");
        let alone = Packages::common_to(&[redis]);
        assert!(alone.0.contains("redis-server"), "{alone:?}");
        assert_eq!(Packages::common_to(&[]).0.len(), BASE_PACKAGES.len());
    }

    #[test]
    fn a_distrusted_base_system_is_not_fresh() {
        let folder = tempfile::tempdir().unwrap();
        let tar = folder.path().join("0.tar");
        assert!(!is_fresh(&tar));
        fs::write(&tar, "").unwrap();
        assert!(is_fresh(&tar));
        let lock = File::create(folder.path().join("lock")).unwrap();
        let packages = Packages::common_to(&[]);
        BaseSystem { tar: tar.clone(), packages, _lock: lock }.distrust();
        assert!(!is_fresh(&tar));
    }

    #[test]
    fn older_base_systems_and_leftovers_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("making-x")).unwrap();
        for file in ["0.tar", "lock", "making-x/base.tar"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        remove_others(folder.path());
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0].file_name(), "lock");
    }
}
