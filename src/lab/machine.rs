//! QEMU's command lines. Pure: what to run, not the running of it.

use std::path::{Path, PathBuf};

/// Names of the children that are no VMs; no recipe can have such a name.
pub(super) const SWITCH: &str = "@switch";
/// Joins the switch to this machine's loopback.
pub(super) const GATEWAY: &str = "@gateway";

/// How a guest's instructions are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accel {
    /// By the processor.
    Kvm,
    /// By emulation.
    Tcg,
}

impl Accel {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// The node name of a VM's disk: where its snapshot is kept.
pub(super) const DISK: &str = "disk";

/// What a VM boots from.
#[derive(Debug, Clone)]
pub(super) struct Boot {
    /// An ISO; it is never written.
    pub(super) iso: Option<Iso>,
    /// A qcow2 disk of the VM's own: all that it writes is there.
    pub(super) disk: Option<PathBuf>,
}

/// An ISO and how the VM sees it.
#[derive(Debug, Clone)]
pub(super) enum Iso {
    /// One of ours, which has virtio drivers.
    Live(PathBuf),
    /// Somebody's: a CD, as every installer and live system expects.
    Cd(PathBuf),
}

/// One VM.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) index: usize,
    pub(super) memory_gb: u32,
    pub(super) boot: Boot,
    pub(super) console: PathBuf,
    pub(super) sockets: PathBuf,
    pub(super) accel: Accel,
}

impl Spec {
    /// Locally administered, the same at every `up`, different for every VM.
    pub(super) fn mac(&self) -> String {
        format!("52:54:00:0a:47:{:02x}", (self.index + 1) & 0xff)
    }

    pub(super) fn command(&self) -> Vec<String> {
        let path = |path: &Path| path.display().to_string().replace(',', ",,");
        let mut line: Vec<String> = vec!["qemu-system-x86_64".to_owned()];
        let mut add = |words: &[&str]| line.extend(words.iter().map(|word| (*word).to_owned()));
        add(&[
            "-name",
            &self.name,
            "-machine",
            "q35",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
        ]);
        add(&[
            "-accel",
            self.accel.word(),
            "-cpu",
            if self.accel == Accel::Kvm { "host" } else { "max" },
        ]);
        add(&[
            "-smp",
            if self.accel == Accel::Kvm { "2" } else { "1" },
            "-m",
            &format!("{}G", self.memory_gb),
        ]);
        add(&["-serial", &format!("file:{}", path(&self.console))]);
        add(&[
            "-qmp",
            &format!(
                "unix:{},server=on,wait=off",
                path(&self.sockets.join(format!("{}.qmp", self.name)))
            ),
        ]);
        match &self.boot.iso {
            Some(Iso::Live(iso)) => {
                add(&["-drive", &format!("file={},if=virtio,format=raw,readonly=on", path(iso))]);
            }
            Some(Iso::Cd(iso)) => {
                add(&[
                    "-drive",
                    &format!("file={},if=none,id=cd,media=cdrom,format=raw,readonly=on", path(iso)),
                ]);
                add(&["-device", "ide-cd,drive=cd,bootindex=0"]);
            }
            None => {}
        }
        if let Some(disk) = &self.boot.disk {
            let options = "if=virtio,format=qcow2,cache=unsafe,discard=unmap";
            add(&["-drive", &format!("file={},node-name={DISK},{options}", path(disk))]);
        }
        // A VM that powers itself off stays here, so that it can be started or restored.
        add(&["-no-shutdown"]);
        add(&["-netdev", &format!("vde,id=lab,sock={}", path(&self.sockets.join("switch")))]);
        add(&[
            "-device",
            &format!("virtio-net-pci,netdev=lab,mac={}", self.mac()),
            "-device",
            "virtio-rng-pci",
        ]);
        line
    }
}

/// The switch and the gateway. Every VM hears only what is meant for it; the gateway serves DHCP, gives the default
/// route, and carries 127.0.0.1's ports to the VMs' aliases.
pub(super) fn network(
    subnet: &Subnet,
    sockets: &Path,
    forwards: &[(u16, String)],
) -> Vec<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let switch = sockets.join("switch").display().to_string();
    let switch_line = words(&["vde_switch", "-sock", &switch, "-mode", "0600"]);
    let escaped = switch.replace(',', ",,");
    let forwards: String = forwards
        .iter()
        .map(|(port, alias)| format!(",hostfwd=tcp:127.0.0.1:{port}-{alias}:22"))
        .collect();
    let Subnet { prefix, own } = subnet;
    let user = format!(
        "user,id=user,ipv6=off,net={prefix}.0.0/16,host={prefix}.{own}.2,dns={prefix}.{own}.3,dhcpstart={prefix}.{own}.100{forwards}"
    );
    let gateway = words(&[
        "qemu-system-x86_64",
        "-M",
        "none",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
    ]);
    let gateway = [
        gateway,
        words(&["-netdev", &user, "-netdev", &format!("vde,id=lab,sock={escaped}")]),
        words(&[
            "-netdev",
            "hubport,id=one,hubid=0,netdev=user",
            "-netdev",
            "hubport,id=two,hubid=0,netdev=lab",
        ]),
    ];
    vec![switch_line, gateway.concat()]
}

/// The /16 around the aliases, and the third octet in it that belongs to the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subnet {
    prefix: String,
    own: u8,
}

impl Subnet {
    /// All aliases must be in one /16; the gateway takes a /24 of it in which there is none.
    pub(super) fn around(aliases: &[&str]) -> Option<Self> {
        let octets: Vec<[u8; 4]> = aliases
            .iter()
            .map(|alias| alias.parse::<std::net::Ipv4Addr>().ok().map(|ip| ip.octets()))
            .collect::<Option<_>>()?;
        let first = octets.first()?;
        if octets.iter().any(|one| one[..2] != first[..2]) {
            return None;
        }
        let own = (1..=254).find(|third| octets.iter().all(|one| one[2] != *third))?;
        Some(Self { prefix: format!("{}.{}", first[0], first[1]), own })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_takes_addresses_that_no_alias_has() {
        let subnet = Subnet::around(&["10.71.0.10", "10.71.0.40"]).unwrap();
        assert_eq!(subnet, Subnet { prefix: "10.71".to_owned(), own: 1 });
        assert_eq!(Subnet::around(&["10.71.1.10", "10.71.0.40"]).unwrap().own, 2);
        assert_eq!(Subnet::around(&["10.71.0.10", "10.72.0.10"]), None);
    }

    #[test]
    fn ports_are_forwarded_on_loopback_only() {
        let subnet = Subnet::around(&["10.71.0.10"]).unwrap();
        let lines = network(&subnet, Path::new("/tmp/x"), &[(2201, "10.71.0.10".to_owned())]);
        let gateway = lines[1].join(" ");
        assert!(gateway.contains("hostfwd=tcp:127.0.0.1:2201-10.71.0.10:22"), "{gateway}");
        assert!(gateway.contains("dhcpstart=10.71.1.100"), "{gateway}");
    }

    #[test]
    fn an_iso_is_never_written() {
        let spec = |iso| Spec {
            name: "redis".to_owned(),
            index: 3,
            memory_gb: 1,
            boot: Boot { iso: Some(iso), disk: Some("d.qcow2".into()) },
            console: "c".into(),
            sockets: "s".into(),
            accel: Accel::Tcg,
        };
        for iso in [Iso::Live("a,b.iso".into()), Iso::Cd("a,b.iso".into())] {
            let line = spec(iso).command().join(" ");
            let drive = line.split(' ').find(|word| word.contains("file=a,,b.iso")).unwrap();
            assert!(drive.contains("readonly=on"), "{line}");
            assert!(line.contains("file=d.qcow2,node-name=disk"), "{line}");
            assert!(line.contains("52:54:00:0a:47:04"), "{line}");
        }
    }
}
