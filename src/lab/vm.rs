//! A VM that is to be booted.

use std::path::{Path, PathBuf};

use super::image::Image;
use super::recipe::RecipeFolder;

/// A VM that is to be booted.
#[derive(Debug, Clone)]
pub struct VmToBoot {
    /// Its recipe: name, memory, disk, alias and users.
    pub recipe: RecipeFolder,
    /// What it boots from.
    pub image: VmImage,
}

/// What a VM boots from.
#[derive(Debug, Clone)]
pub enum VmImage {
    /// An image that bootproof built from the recipe.
    Built(Image),
    /// An ISO, qcow2 or raw image that the operator gave with `--image`.
    Given(PathBuf),
}

impl VmImage {
    /// The kernel, if the image has one that QEMU can start directly.
    pub fn kernel(&self) -> Option<&Path> {
        match self {
            Self::Built(image) => Some(&image.kernel),
            Self::Given(_) => None,
        }
    }

    /// The image's file, as a path without symbolic links where that is possible.
    pub fn file(&self) -> PathBuf {
        match self {
            Self::Built(image) => image.iso.clone(),
            Self::Given(path) => path.canonicalize().unwrap_or_else(|_| path.clone()),
        }
    }

    /// Whether bootproof built it: only then does its console show the host key.
    pub fn is_built_here(&self) -> bool {
        matches!(self, Self::Built(_))
    }
}
