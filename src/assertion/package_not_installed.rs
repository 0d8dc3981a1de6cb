//! `package_not_installed`: a package is not installed.

use schemars::JsonSchema;
use serde::Deserialize;

use super::judgement::{Judgement, Unclear};
use super::mistake::Mistake;
use super::name;
use super::package::{Packages, Presence};
use super::slug::slug;

/// The package must not be installed, with dpkg, rpm or apk. Configuration files that remain of it
/// do not matter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageNotInstalled {
    /// The exact name of the package.
    #[schemars(length(min = 1))]
    pub package: String,
    /// Other packages of which none may be installed either; only counter-examples have them.
    #[serde(skip)]
    #[schemars(skip)]
    pub others: Vec<&'static str>,
}

impl PackageNotInstalled {
    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        if self.others.is_empty() {
            return format!("package {} is not installed", self.package);
        }
        format!("none of the packages {}, {} is installed", self.package, self.others.join(", "))
    }

    /// `no-package-telnetd`.
    pub fn slug(&self) -> String {
        format!("no-package-{}", slug(&self.package))
    }

    /// Mistakes that show without looking at a VM.
    pub fn mistakes(&self) -> Vec<Mistake> {
        name::package(&self.package).into_iter().collect()
    }

    /// Whether it is not installed.
    pub fn judge(&self, seen: &Result<Packages, Unclear>) -> Judgement {
        let packages = match seen {
            Ok(packages) => packages,
            Err(unclear) => return Judgement::Unclear(unclear.clone()),
        };
        for name in std::iter::once(self.package.as_str()).chain(self.others.iter().copied()) {
            for package in packages.find(name) {
                let state = match package.presence() {
                    Presence::OnlyConfiguration => continue,
                    Presence::Installed => format!("{name} {} is installed", package.version),
                    Presence::Partly(state) => format!("{name} {} is {state}", package.version),
                };
                return Judgement::differs(&state, self.describe(), &state);
            }
        }
        packages.complete().map_or_else(Judgement::Unclear, |()| Judgement::Holds)
    }
}

#[cfg(test)]
mod tests {
    use super::super::package::parse_packages;
    use super::super::package::tests::{ALPINE, BROKEN, BROKEN_WHY, DEBIAN, FEDORA};
    use super::*;

    fn judge(printed: &str, package: &str, others: &[&'static str]) -> Judgement {
        let others = others.to_vec();
        let expected = PackageNotInstalled { package: package.to_owned(), others };
        expected.judge(&parse_packages(printed, BROKEN_WHY))
    }

    #[test]
    fn a_removed_package_is_not_installed() {
        for (printed, package) in
            [(DEBIAN, "telnetd"), (DEBIAN, "nginx"), (FEDORA, "nginx"), (ALPINE, "busybox")]
        {
            assert_eq!(judge(printed, package, &[]), Judgement::Holds, "{package}");
        }
        for (printed, package, message) in [
            (DEBIAN, "mysql-server", "mysql-server 8.0.36-1 is half-configured"),
            (FEDORA, "openssh-server", "openssh-server 9.6p1-1.fc40.2 is installed"),
            (ALPINE, "libcrypto3", "libcrypto3 3.1.4-r5 is installed"),
        ] {
            let Judgement::Differs(mismatch) = judge(printed, package, &[]) else { panic!() };
            assert_eq!(mismatch.message, message);
        }
    }

    #[test]
    fn a_list_that_was_not_read_does_not_pass() {
        assert!(matches!(judge(BROKEN, "telnetd", &[]), Judgement::Unclear(_)));
        let both = DEBIAN.replace("@rpm\n@end 0", "@rpm\n@end 1");
        assert!(matches!(judge(&both, "telnetd", &[]), Judgement::Unclear(_)));
        assert!(matches!(judge(&both, "man-db", &[]), Judgement::Differs(_)));
        let none = PackageNotInstalled { package: "x".to_owned(), others: Vec::new() };
        let judgement = none.judge(&parse_packages("@done\n", ""));
        assert_eq!(judgement, Judgement::Unclear(Unclear::NoPackageManager));
        assert_eq!(none.slug(), "no-package-x");
    }

    #[test]
    fn none_of_the_others_may_be_installed() {
        assert_eq!(judge(ALPINE, "dpkg", &["rpm"]), Judgement::Holds);
        assert!(matches!(judge(ALPINE, "dpkg", &["rpm", "libcrypto3"]), Judgement::Differs(_)));
    }
}
