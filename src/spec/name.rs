//! What VMs, roles and groups can be called.

/// What to say about a name that is not valid.
pub(super) const NAME_HINT: &str = "use letters, digits, `-`, `_` and `.`";

/// Whether a VM, a role or a group can have this name. No name can be read as a selector, and each
/// can be part of an id.
pub(super) fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}
