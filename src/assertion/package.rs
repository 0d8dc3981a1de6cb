//! The packages of a VM, as dpkg, rpm or apk list them.

use super::judgement::Unclear;
use super::script::{self, last_line, set};

/// The script that lists all packages. A VM can have several package managers: the one that is
/// used, and others as tools.
pub fn read_packages() -> String {
    format!(
        "{}; PATH=$PATH:/usr/sbin:/sbin; has() {{ command -v \"$1\" >/dev/null 2>&1; }}; \
         if has dpkg-query; then echo @dpkg; dpkg-query -W \
         -f \"\\${{db:Status-Status}} \\${{Package}} \\${{Version}} \\${{Architecture}}\\n\"; \
         echo \"@end $?\"; fi; \
         if rpm --version 2>/dev/null | grep -q \"RPM version\"; then echo @rpm; \
         rpm -qa --qf \"installed %{{NAME}} %{{EPOCHNUM}}:%{{VERSION}}-%{{RELEASE}} %{{ARCH}}\\n\"; \
         echo \"@end $?\"; fi; \
         if has apk; then echo @apk; apk info -v; echo \"@end $?\"; fi; echo @done",
        set(&[])
    )
}

/// The remote command, in one line.
pub(super) fn how() -> String {
    script::how(&read_packages(), false)
}

/// The packages of a VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    packages: Vec<Package>,
    /// A package manager that did not list its packages, and why.
    failed: Option<(String, String)>,
}

/// A package, whether it is installed or only known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    name: String,
    pub(super) version: String,
    architecture: String,
    /// `installed`, or another word of dpkg.
    status: String,
}

/// How much of a package is on the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence<'a> {
    /// It is installed.
    Installed,
    /// It was removed, and its configuration files remain.
    OnlyConfiguration,
    /// Its installation or removal did not end, in this state.
    Partly(&'a str),
}

impl Package {
    pub(super) fn presence(&self) -> Presence<'_> {
        match self.status.as_str() {
            // A trigger is work that another package has left to do.
            "installed" | "triggers-awaited" | "triggers-pending" => Presence::Installed,
            "config-files" => Presence::OnlyConfiguration,
            other => Presence::Partly(other),
        }
    }

    fn is(&self, name: &str) -> bool {
        let of_architecture =
            || name.strip_prefix(&*self.name)?.strip_prefix([':', '.']).map(str::to_owned);
        self.name == name || of_architecture().is_some_and(|it| it == self.architecture)
    }
}

impl Packages {
    /// All that is known of a package; several versions of one can be installed.
    pub(super) fn find(&self, name: &str) -> Vec<&Package> {
        // What a package manager forgot does not count.
        let is_known = |package: &&Package| package.status != "not-installed";
        self.packages.iter().filter(|package| package.is(name)).filter(is_known).collect()
    }

    /// An error if a package that is not listed can be installed all the same.
    pub(super) fn complete(&self) -> Result<(), Unclear> {
        let Some((manager, why)) = &self.failed else { return Ok(()) };
        Err(Unclear::NotRead { what: format!("the packages of {manager}"), why: why.clone() })
    }
}

/// Reads what the script of [`read_packages`] printed.
pub fn parse_packages(stdout: &str, stderr: &str) -> Result<Packages, Unclear> {
    let not_read =
        |why: &str| Unclear::NotRead { what: "the packages".to_owned(), why: why.to_owned() };
    let mut packages = Packages::default();
    let mut manager: Option<&str> = None;
    let mut managers = 0;
    for line in stdout.lines() {
        match (line, manager) {
            ("@done", None) => return finish(packages, managers),
            ("@dpkg" | "@rpm" | "@apk", None) => {
                manager = Some(&line[1..]);
                managers += 1;
            }
            (_, Some(name)) if line.starts_with("@end ") => {
                if line != "@end 0" {
                    let why = last_line(stderr).unwrap_or("it gave no reason");
                    packages.failed = Some((name.to_owned(), why.to_owned()));
                }
                manager = None;
            }
            (line, Some(name)) => {
                let package = if name == "apk" { parse_apk(line) } else { parse_line(line) };
                let unlike = || not_read(&format!("{name} printed {line:?}"));
                packages.packages.push(package.ok_or_else(unlike)?);
            }
            (line, None) => return Err(not_read(&format!("unexpected line {line:?}"))),
        }
    }
    Err(not_read(last_line(stderr).unwrap_or("the answer is cut off")))
}

fn finish(packages: Packages, managers: usize) -> Result<Packages, Unclear> {
    if managers == 0 {
        return Err(Unclear::NoPackageManager);
    }
    if packages.packages.is_empty() {
        packages.complete()?;
        let why = "the list is empty".to_owned();
        return Err(Unclear::NotRead { what: "the packages".to_owned(), why });
    }
    Ok(packages)
}

/// `installed nginx 1.22.1-9 amd64`. A package that dpkg only knows has no version.
fn parse_line(line: &str) -> Option<Package> {
    let mut fields = line.split(' ');
    let mut field = || fields.next().map(str::to_owned);
    let (status, name, version, architecture) = (field()?, field()?, field()?, field()?);
    // rpm has an epoch of 0 where there is none.
    let version = version.strip_prefix("0:").map_or(version.clone(), str::to_owned);
    let is_right = !status.is_empty() && !name.is_empty() && fields.next().is_none();
    is_right.then_some(Package { name, version, architecture, status })
}

/// `busybox-extras-1.36.1-r5`; a virtual package has no `-r5`.
fn parse_apk(line: &str) -> Option<Package> {
    let line = line.trim();
    let (rest, last) = line.rsplit_once('-')?;
    let release = last.strip_prefix('r').filter(|number| number.parse::<u32>().is_ok());
    let at = if release.is_some() { rest.rfind('-')? } else { rest.len() };
    let (name, version) = (&line[..at], &line[at + 1..]);
    (!name.is_empty() && !name.contains(' ') && version.starts_with(|c: char| c.is_ascii_digit()))
        .then(|| Package {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: String::new(),
            status: "installed".to_owned(),
        })
}

/// Whether a version begins with `prefix`: `1.2` is the beginning of `1:1.2-3`, and not of `1.20`.
/// The epoch before the colon is not a part of the version, unless `prefix` has one, too.
pub(super) fn begins_with(version: &str, prefix: &str) -> bool {
    let without_epoch = version.split_once(':').map_or(version, |(_, version)| version);
    let version = if prefix.contains(':') { version } else { without_epoch };
    let ends_in_digit = prefix.ends_with(|c: char| c.is_ascii_digit());
    let goes_on = |rest: &str| ends_in_digit && rest.starts_with(|c: char| c.is_ascii_digit());
    version.strip_prefix(prefix).is_some_and(|rest| !goes_on(rest))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const DEBIAN: &str = "@dpkg
installed openssh-server 1:9.2p1-2+deb12u3 amd64
installed libc6 2.36-9+deb12u10 amd64
installed libc6 2.36-9+deb12u10 i386
config-files telnetd 0.17+2.4-2 amd64
half-configured mysql-server 8.0.36-1 amd64
triggers-pending man-db 2.11.2-2 amd64
not-installed forgotten  amd64
@end 0
@rpm
@end 0
@done
";

    pub(crate) const FEDORA: &str = "@rpm
installed kernel-core 0:6.8.5-301.fc40 x86_64
installed kernel-core 0:6.9.4-200.fc40 x86_64
installed openssh-server 0:9.6p1-1.fc40.2 x86_64
installed vim-minimal 2:9.1.309-1.fc40 x86_64
installed gpg-pubkey 0:a15b79cc-63d04c2c (none)
@end 0
@done
";

    pub(crate) const ALPINE: &str = "@apk
alpine-baselayout-3.4.3-r2
busybox-extras-1.36.1-r15
openssh-server-9.6_p1-r0
libcrypto3-3.1.4-r5
.build-deps-20240401.101010
@end 0
@done
";

    pub(crate) const BROKEN: &str = "@rpm\n@end 1\n@done\n";

    pub(crate) const BROKEN_WHY: &str = "error: cannot open Packages database in /var/lib/rpm\n";

    #[test]
    fn every_package_manager_is_understood() {
        for (printed, name, version) in [
            (DEBIAN, "openssh-server", "1:9.2p1-2+deb12u3"),
            (DEBIAN, "libc6:i386", "2.36-9+deb12u10"),
            (DEBIAN, "man-db", "2.11.2-2"),
            (FEDORA, "openssh-server", "9.6p1-1.fc40.2"),
            (FEDORA, "openssh-server.x86_64", "9.6p1-1.fc40.2"),
            (FEDORA, "vim-minimal", "2:9.1.309-1.fc40"),
            (ALPINE, "openssh-server", "9.6_p1-r0"),
            (ALPINE, "busybox-extras", "1.36.1-r15"),
            (ALPINE, ".build-deps", "20240401.101010"),
        ] {
            let packages = parse_packages(printed, "").unwrap();
            let found = packages.find(name);
            let [package] = &found[..] else { panic!("{name}: {found:?}") };
            assert_eq!((&*package.version, package.presence()), (version, Presence::Installed));
        }
        let fedora = parse_packages(FEDORA, "").unwrap();
        assert_eq!(fedora.find("kernel-core").len(), 2);
        let debian = parse_packages(DEBIAN, "").unwrap();
        for absent in ["forgotten", "libc", "libc6:arm64", "openssh-server.amd", "openssh"] {
            assert_eq!(debian.find(absent), Vec::<&Package>::new(), "{absent}");
        }
    }

    #[test]
    fn without_a_list_nothing_is_known() {
        assert_eq!(parse_packages("@done\n", ""), Err(Unclear::NoPackageManager));
        for printed in ["", "@dpkg\n@end 0\n@done\n", "@dpkg\nx\n@end 0\n@done\n", &DEBIAN[..60]] {
            let read = parse_packages(printed, "");
            assert!(matches!(read, Err(Unclear::NotRead { .. })), "{printed}: {read:?}");
        }
        let Err(Unclear::NotRead { what, why }) = parse_packages(BROKEN, BROKEN_WHY) else {
            panic!("rpm failed")
        };
        assert_eq!(what, "the packages of rpm");
        assert_eq!(why, BROKEN_WHY.trim());
    }

    #[test]
    fn a_version_begins_with_whole_numbers() {
        for (version, prefix) in [
            ("1:9.2p1-2", "9.2"),
            ("1:9.2p1-2", "1:9.2p"),
            ("15.3-1", "15"),
            ("1.2", "1.2"),
            ("1.2-3", "1."),
        ] {
            assert!(begins_with(version, prefix), "{version} {prefix}");
        }
        for (version, prefix) in [
            ("1.20", "1.2"),
            ("150", "15"),
            ("2.1", "1"),
            ("1.2", "1.2.3"),
            ("1:9.2p1-2", "1"),
            ("1:9.2p1-2", "2:9.2"),
        ] {
            assert!(!begins_with(version, prefix), "{version} {prefix}");
        }
    }
}
