//! Which values no message may show.

/// Whether the value at a path, or of a key, is a secret, which no message may show.
pub(super) fn is_secret(path: &str) -> bool {
    let key = path.to_lowercase();
    key.ends_with("password") || key.ends_with("passphrase")
}
