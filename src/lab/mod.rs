//! Builds, boots and takes down the reference lab.
