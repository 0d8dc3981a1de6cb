//! The command lines of QEMU and the switch. Nothing here runs them.

use std::path::{Path, PathBuf};

/// Joins the VMs. No recipe can have such a name.
pub(super) const SWITCH: &str = "@switch";
/// Connects the switch to this machine's loopback.
pub(super) const GATEWAY: &str = "@gateway";

/// How QEMU runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accel {
    /// On the processor.
    Kvm,
    /// In software.
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

/// The node name of a VM's disk, which also holds its snapshots.
pub(super) const DISK: &str = "disk";

/// The snapshot that `lab down --keep` takes; that of `lab snapshot` has another name.
pub(super) const KEPT_SNAPSHOT: &str = "bootproof-kept";

/// What a VM boots from.
#[derive(Debug, Clone)]
pub(super) struct BootMedia {
    /// An ISO; it is read-only.
    pub(super) iso: Option<IsoDrive>,
    /// The VM's own qcow2 disk; everything that the VM writes goes there.
    pub(super) disk: Option<PathBuf>,
}

/// An ISO and the drive in which the VM sees it.
#[derive(Debug, Clone)]
pub(super) enum IsoDrive {
    /// A virtio disk, for the images that bootproof builds: they have the drivers.
    Virtio(PathBuf),
    /// A CD-ROM drive, for other ISOs: every installer and live system expects one.
    Cdrom(PathBuf),
}

/// What QEMU needs to know of a VM.
#[derive(Debug, Clone)]
pub(super) struct QemuVm {
    pub(super) name: String,
    pub(super) index: usize,
    pub(super) memory_gb: u32,
    pub(super) media: BootMedia,
    pub(super) console: PathBuf,
    pub(super) sockets: PathBuf,
    pub(super) accel: Accel,
}

impl QemuVm {
    /// A locally administered address: the same at every `lab up`, different for every VM.
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
        // A VM that is resumed goes on writing where it stopped.
        let console = format!("file,id=console,path={},append=on", path(&self.console));
        add(&["-chardev", &console, "-serial", "chardev:console"]);
        add(&[
            "-qmp",
            &format!(
                "unix:{},server=on,wait=off",
                path(&self.sockets.join(format!("{}.qmp", self.name)))
            ),
        ]);
        match &self.media.iso {
            Some(IsoDrive::Virtio(iso)) => {
                add(&["-drive", &format!("file={},if=virtio,format=raw,readonly=on", path(iso))]);
            }
            Some(IsoDrive::Cdrom(iso)) => {
                add(&[
                    "-drive",
                    &format!("file={},if=none,id=cd,media=cdrom,format=raw,readonly=on", path(iso)),
                ]);
                add(&["-device", "ide-cd,drive=cd,bootindex=0"]);
            }
            None => {}
        }
        if let Some(disk) = &self.media.disk {
            let options = "if=virtio,format=qcow2,cache=unsafe,discard=unmap";
            add(&["-drive", &format!("file={},node-name={DISK},{options}", path(disk))]);
        }
        // QEMU goes on after the guest powers off, so that the VM can be started or restored.
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

/// A port on 127.0.0.1 that leads to port 22 of a VM's alias.
#[derive(Debug, Clone)]
pub(super) struct Forward {
    pub(super) port: u16,
    pub(super) alias: String,
}

/// The command lines of the switch and the gateway.
///
/// The switch sends a VM only the frames that are addressed to it. The gateway serves DHCP, is the
/// default route, and forwards ports of 127.0.0.1 to the VMs' aliases.
pub(super) fn network(subnet: &Subnet, sockets: &Path, forwards: &[Forward]) -> Vec<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let switch = sockets.join("switch").display().to_string();
    let switch_line = words(&["vde_switch", "-sock", &switch, "-mode", "0600"]);
    let escaped = switch.replace(',', ",,");
    let forwards: String = forwards
        .iter()
        .map(|Forward { port, alias }| format!(",hostfwd=tcp:127.0.0.1:{port}-{alias}:22"))
        .collect();
    let Subnet { prefix, gateway_octet: own } = subnet;
    let user = format!(
        "user,id=user,ipv6=off,net={prefix}.0.0/16,host={prefix}.{own}.2,dns={prefix}.{own}.3,\
         dhcpstart={prefix}.{own}.100{forwards}"
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

/// The /16 around the aliases, and the third octet of the gateway's /24 in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subnet {
    prefix: String,
    gateway_octet: u8,
}

impl Subnet {
    /// `None` unless all aliases are in one /16. The gateway gets the first /24 without an alias.
    pub(super) fn around(aliases: &[&str]) -> Option<Self> {
        let octets: Vec<[u8; 4]> = aliases
            .iter()
            .map(|alias| alias.parse::<std::net::Ipv4Addr>().ok().map(|ip| ip.octets()))
            .collect::<Option<_>>()?;
        let first = octets.first()?;
        if octets.iter().any(|octets| octets[..2] != first[..2]) {
            return None;
        }
        let gateway_octet =
            (1..=254).find(|third| octets.iter().all(|octets| octets[2] != *third))?;
        Some(Self { prefix: format!("{}.{}", first[0], first[1]), gateway_octet })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_avoids_the_aliases() {
        let subnet = Subnet::around(&["10.71.0.10", "10.71.0.40"]).unwrap();
        assert_eq!(subnet, Subnet { prefix: "10.71".to_owned(), gateway_octet: 1 });
        assert_eq!(Subnet::around(&["10.71.1.10", "10.71.0.40"]).unwrap().gateway_octet, 2);
        assert_eq!(Subnet::around(&["10.71.0.10", "10.72.0.10"]), None);
    }

    #[test]
    fn ports_are_forwarded_on_loopback_only() {
        let subnet = Subnet::around(&["10.71.0.10"]).unwrap();
        let lines = network(
            &subnet,
            Path::new("/tmp/x"),
            &[Forward { port: 2201, alias: "10.71.0.10".to_owned() }],
        );
        let gateway = lines[1].join(" ");
        assert!(gateway.contains("hostfwd=tcp:127.0.0.1:2201-10.71.0.10:22"), "{gateway}");
        assert!(gateway.contains("dhcpstart=10.71.1.100"), "{gateway}");
    }

    #[test]
    fn isos_are_read_only() {
        let vm = |iso| QemuVm {
            name: "redis".to_owned(),
            index: 3,
            memory_gb: 1,
            media: BootMedia { iso: Some(iso), disk: Some("d.qcow2".into()) },
            console: "c".into(),
            sockets: "s".into(),
            accel: Accel::Tcg,
        };
        for iso in [IsoDrive::Virtio("a,b.iso".into()), IsoDrive::Cdrom("a,b.iso".into())] {
            let line = vm(iso).command().join(" ");
            let drive = line.split(' ').find(|word| word.contains("file=a,,b.iso")).unwrap();
            assert!(drive.contains("readonly=on"), "{line}");
            assert!(line.contains("file=d.qcow2,node-name=disk"), "{line}");
            assert!(line.contains("52:54:00:0a:47:04"), "{line}");
        }
    }
}
