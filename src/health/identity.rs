//! Which machine, and which boot of it, the report is about. Pure.

use schemars::JsonSchema;
use serde::Serialize;

/// How many characters of each value are kept.
const VALUE_LIMIT: usize = 200;

/// Which machine, and which boot of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SystemIdentity {
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// The kernel's id of this boot.
    pub boot_id: Option<String>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub os_release: Option<String>,
}

/// Parses the output of `READ_HEALTH`; a value that the VM does not have stays empty.
pub fn parse(text: &str) -> SystemIdentity {
    let value = |key: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(key)).map(str::trim);
        let value = values.find(|value| !value.is_empty())?;
        Some(value.chars().take(VALUE_LIMIT).collect())
    };
    SystemIdentity {
        machine_id: value("machine-id "),
        boot_id: value("boot-id "),
        kernel: value("kernel "),
        os_release: value("os-release "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_the_vm_does_not_have_stays_empty() {
        let seen = parse(
            "machine-id abc\nboot-id \nkernel 6.12\nos-release Debian GNU/Linux 13 (trixie)\n",
        );
        assert_eq!(seen.machine_id.as_deref(), Some("abc"));
        assert_eq!(seen.boot_id, None);
        assert_eq!(seen.os_release.as_deref(), Some("Debian GNU/Linux 13 (trixie)"));
    }
}
