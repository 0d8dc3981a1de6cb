//! How the lab reports what it is doing.

/// Called with the name of a VM (empty: the lab) and one line of text.
pub type Progress<'a> = &'a (dyn Fn(&str, &str) + Sync);
