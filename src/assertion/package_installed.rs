//! `package_installed`: a package is installed.

use schemars::JsonSchema;
use serde::Deserialize;

use super::judgement::{Judgement, Unclear};
use super::mistake::Mistake;
use super::name;
use super::package::{Package, Packages, Presence, begins_with};
use super::slug::slug;

/// The package must be installed, with dpkg, rpm or apk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageInstalled {
    /// The exact name of the package.
    #[schemars(length(min = 1))]
    pub package: String,
    /// How its version begins: `15` is the beginning of 15.3, and not of 150.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub version: Option<String>,
}

impl PackageInstalled {
    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        match &self.version {
            Some(version) => format!("package {} {version} is installed", self.package),
            None => format!("package {} is installed", self.package),
        }
    }

    /// `package-nginx`.
    pub fn slug(&self) -> String {
        format!("package-{}", slug(&self.package))
    }

    /// Mistakes that show without looking at a VM.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes: Vec<_> = name::package(&self.package).into_iter().collect();
        let is_version = |version: &str| {
            !version.is_empty() && !version.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        if let Some(version) = self.version.as_deref().filter(|version| !is_version(version)) {
            let message = format!("invalid version {version:?}");
            let hint = "write how the version begins, such as `15` or `1:9.2`";
            mistakes.push(Mistake::new("version", message).hint(hint));
        }
        mistakes
    }

    /// Whether it is installed.
    pub fn judge(&self, seen: &Result<Packages, Unclear>) -> Judgement {
        let packages = match seen {
            Ok(packages) => packages,
            Err(unclear) => return Judgement::Unclear(unclear.clone()),
        };
        let found = packages.find(&self.package);
        let installed: Vec<&str> = found
            .iter()
            .filter(|package| package.presence() == Presence::Installed)
            .map(|package| package.version.as_str())
            .collect();
        if !installed.is_empty() {
            return self.judge_versions(&installed);
        }
        if let Err(unclear) = packages.complete() {
            return Judgement::Unclear(unclear);
        }
        let state = absence(found.first().copied());
        Judgement::differs(format!("{} {state}", self.package), self.describe(), state)
    }

    fn judge_versions(&self, installed: &[&str]) -> Judgement {
        let Some(wanted) = &self.version else { return Judgement::Holds };
        if installed.iter().any(|version| begins_with(version, wanted)) {
            return Judgement::Holds;
        }
        let versions = installed.join(", ");
        let message = format!("{} is {versions}, expected {wanted}", self.package);
        Judgement::differs(message, self.describe(), versions)
    }
}

fn absence(package: Option<&Package>) -> String {
    match package.map(Package::presence) {
        None | Some(Presence::Installed) => "is not installed".to_owned(),
        Some(Presence::OnlyConfiguration) => {
            "is not installed: it was removed, and its configuration files remain".to_owned()
        }
        Some(Presence::Partly(state)) => format!("is not installed completely: it is {state}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::package::parse_packages;
    use super::super::package::tests::{ALPINE, BROKEN, BROKEN_WHY, DEBIAN, FEDORA};
    use super::*;

    fn judge(printed: &str, package: &str, version: Option<&str>) -> Judgement {
        let version = version.map(str::to_owned);
        let expected = PackageInstalled { package: package.to_owned(), version };
        expected.judge(&parse_packages(printed, BROKEN_WHY))
    }

    #[test]
    fn the_exact_package_must_be_installed() {
        for (printed, package, version) in [
            (DEBIAN, "openssh-server", None),
            (DEBIAN, "openssh-server", Some("9.2")),
            (DEBIAN, "man-db", Some("2.11")),
            (FEDORA, "kernel-core", Some("6.8.5")),
            (FEDORA, "kernel-core", Some("6.9")),
            (ALPINE, "openssh-server", Some("9.6")),
        ] {
            assert_eq!(judge(printed, package, version), Judgement::Holds, "{package} {version:?}");
        }
        for (printed, package, version, message) in [
            (DEBIAN, "openssh", None, "openssh is not installed"),
            (
                DEBIAN,
                "telnetd",
                None,
                "telnetd is not installed: it was removed, and its configuration files remain",
            ),
            (
                DEBIAN,
                "mysql-server",
                None,
                "mysql-server is not installed completely: it is half-configured",
            ),
            (
                DEBIAN,
                "openssh-server",
                Some("9.20"),
                "openssh-server is 1:9.2p1-2+deb12u3, expected 9.20",
            ),
            (
                FEDORA,
                "kernel-core",
                Some("6.1"),
                "kernel-core is 6.8.5-301.fc40, 6.9.4-200.fc40, expected 6.1",
            ),
            (ALPINE, "busybox", None, "busybox is not installed"),
        ] {
            let Judgement::Differs(mismatch) = judge(printed, package, version) else {
                panic!("{package}")
            };
            assert_eq!(mismatch.message, message);
        }
    }

    #[test]
    fn a_package_manager_that_fails_does_not_tell() {
        assert!(matches!(judge(BROKEN, "nginx", None), Judgement::Unclear(_)));
        let both = DEBIAN.replace("@rpm\n@end 0", "@rpm\n@end 1");
        assert_eq!(judge(&both, "openssh-server", None), Judgement::Holds);
        assert!(matches!(judge(&both, "nginx", None), Judgement::Unclear(_)));
    }

    #[test]
    fn an_empty_version_is_a_mistake() {
        let expected =
            PackageInstalled { package: "nginx".to_owned(), version: Some(String::new()) };
        assert_eq!(expected.mistakes().len(), 1);
        assert_eq!(expected.slug(), "package-nginx");
    }
}
