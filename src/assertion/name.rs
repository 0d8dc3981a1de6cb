//! What the names of services, packages, users and files can be.

use super::mistake::Mistake;

/// A mistake in the name of a user or group.
pub(super) fn account(key: &'static str, name: &str) -> Option<Mistake> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || ":/,\\\"'*?[]$".contains(c);
    // Active Directory gives machine accounts a `$` at the end.
    let body = name.strip_suffix('$').unwrap_or(name);
    let hint = "write the name as in /etc/passwd or /etc/group";
    if name.is_empty() {
        return Some(Mistake::new(key, format!("`{key}` is empty")).hint(hint));
    }
    // getent takes a number for an id.
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    let invalid = is_number || body.is_empty() || body.contains(is_odd) || name.starts_with('-');
    invalid.then(|| Mistake::new(key, format!("invalid name {name:?}")).hint(hint))
}

/// A mistake in a path.
pub(super) fn path(key: &'static str, path: &str) -> Option<Mistake> {
    if !path.starts_with('/') {
        let hint = "begin it with `/`; `~` and variables are not expanded";
        return Some(Mistake::new(key, format!("{path:?} is not an absolute path")).hint(hint));
    }
    let message = if path.contains(char::is_control) {
        "a path with control characters"
    } else if path.len() > 4095 {
        "a path of more than 4095 bytes"
    } else {
        return None;
    };
    Some(Mistake::new(key, message))
}

/// A mistake in the name of a package.
pub(super) fn package(name: &str) -> Option<Mistake> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || "+-._:~^".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric() || ".~_".contains(c));
    let hint = "write the exact name, and the version, if it matters, under `version`";
    (!begins || !name.chars().all(is_valid))
        .then(|| Mistake::new("package", format!("invalid package name {name:?}")).hint(hint))
}

/// A mistake in the name of a process.
pub(super) fn process(name: &str) -> Option<Mistake> {
    let hint = "write the name of its command without folder and arguments, such as `nginx`";
    let invalid = name.trim().is_empty() || name.contains(|c: char| c == '/' || c.is_control());
    invalid.then(|| Mistake::new("process", format!("invalid process name {name:?}")).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_valid() {
        for name in ["root", "www-data", "_apt", "systemd-network", "first.last", "HOST$", "ä"] {
            assert_eq!(account("user", name), None, "{name}");
        }
        for name in ["libstdc++6", "linux-image-6.1.0-18-amd64", "libc6:amd64", "python3.11"] {
            assert_eq!(package(name), None, "{name}");
        }
        for name in ["/", "/etc/shadow", "/srv/a b/ü; $(x)"] {
            assert_eq!(path("path", name), None, "{name}");
        }
        for name in ["nginx", "tmux: server", "kworker"] {
            assert_eq!(process(name), None, "{name}");
        }
    }

    #[test]
    fn other_names_are_mistakes() {
        for name in ["", "0", "-x", "a b", "a\nb", "a:b", "a/b", "$", "$(x)", "a*", "a\0"] {
            assert!(account("user", name).is_some(), "{name:?}");
        }
        for name in ["", "nginx=1.2", "a b", "-x", "a\n", "a\0", "a/b", "a;b"] {
            assert!(package(name).is_some(), "{name:?}");
        }
        for name in
            ["", "etc", "~/x", "$HOME/x", "/a\nb", "/a\0", &format!("/{}", "x".repeat(4095))]
        {
            assert!(path("path", name).is_some(), "{name:?}");
        }
        for name in ["", " ", "/usr/sbin/nginx", "a\nb", "a\0"] {
            assert!(process(name).is_some(), "{name:?}");
        }
    }
}
