//! Many real hosts on one machine. Each has a network, processes, a host name, a machine-id, a host
//! key and an sshd of its own; they share the machine's files.

use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::common::{Fallible, await_port, find, keygen};

/// The machine that asks. The network is the one that is reserved for benchmarks.
pub const RUNNER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// Where nobody answers, and nobody says so: packets to this network are lost.
pub const VOID: [u8; 2] = [198, 19];

/// An sshd that runs each command a second later.
pub const SLOW_PORT: u16 = 2222;

/// An sshd that lets nobody in.
pub const LOCKED_PORT: u16 = 2223;

/// How many hosts start at once.
const AT_ONCE: usize = 25;

const HOST_SCRIPT: &str = include_str!("host.sh");

/// The names of the hosts are in /etc/hosts, as their DNS would have them.
const RUNNER_SCRIPT: &str = "set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
touch /run/netns/fleet
mount --bind /proc/self/ns/net /run/netns/fleet
mount --bind $2/hosts /etc/hosts
# No host needs IPv6, and a thousand routers that look for each other take time.
if [ -d /proc/sys/net/ipv6 ]; then echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; fi
ip -batch - <<END
link set lo up
addr add $1/32 dev lo
link add void type veth peer name nowhere
link set void arp off up
link set nowhere arp off up
route add $3 dev void src $1
END
";

/// One host; its number is all there is to know.
#[derive(Clone, Copy)]
pub struct Host(usize);

impl Host {
    pub fn number(self) -> usize {
        self.0
    }

    /// The number, as it is in the name and in the machine-id.
    pub fn digits(self) -> String {
        format!("{:04}", self.0)
    }

    pub fn name(self) -> String {
        format!("web{}", self.digits())
    }

    pub fn machine_id(self) -> String {
        format!("{}{}", Self::MACHINE_ID, self.digits())
    }

    /// How each machine-id begins.
    pub const MACHINE_ID: &str = "b007b007b007b007b007b007b007";

    fn mac(self) -> String {
        let [first, second, third, fourth] = self.address().octets();
        format!("02:77:{first:02x}:{second:02x}:{third:02x}:{fourth:02x}")
    }

    pub fn address(self) -> Ipv4Addr {
        self.address_in([198, 18])
    }

    /// An address that is as long, in another network.
    pub fn address_in(self, [first, second]: [u8; 2]) -> Ipv4Addr {
        let [.., high, low] = u32::try_from(self.0).unwrap_or(u32::MAX).to_be_bytes();
        // The first one is the runner.
        Ipv4Addr::new(first, second, high + 1, low)
    }
}

/// The hosts, and the folder with the files that they need.
pub struct Fleet {
    pub folder: PathBuf,
    pub hosts: Vec<Host>,
    /// Each is the parent of the first process of a host.
    parents: HashSet<u32>,
}

impl Fleet {
    /// Starts `size` hosts.
    pub fn start(folder: &Path, size: usize) -> Fallible<Self> {
        if size > 9999 {
            return Err("there are names for 9999 hosts only".into());
        }
        for tool in ["sshd", "ssh", "ssh-keygen", "ip", "unshare", "hostname", "xargs"] {
            find(tool)?;
        }
        let hosts: Vec<Host> = (1..=size).map(Host).collect();
        let mut fleet =
            Self { folder: folder.to_owned(), hosts: hosts.clone(), parents: HashSet::new() };
        fleet.write_files()?;
        fleet.prepare_runner()?;
        for hosts in hosts.chunks(AT_ONCE) {
            fleet.start_hosts(hosts)?;
        }
        fleet.write_known_hosts()?;
        Ok(fleet)
    }

    fn write_files(&self) -> Fallible<()> {
        fs::create_dir(self.folder.join("keys"))?;
        fs::create_dir(self.folder.join("home"))?;
        keygen(&self.folder.join("user"))?;
        fs::copy(self.folder.join("user.pub"), self.folder.join("authorized"))?;
        fs::set_permissions(self.folder.join("authorized"), fs::Permissions::from_mode(0o600))?;
        fs::write(self.folder.join("host.sh"), HOST_SCRIPT)?;
        fs::write(self.folder.join("sshd.conf"), self.sshd_config())?;
        let names = self.hosts.iter().map(|host| format!("{} {}\n", host.address(), host.name()));
        Ok(fs::write(self.folder.join("hosts"), names.collect::<String>())?)
    }

    /// Another home: what the start-up files of this user do is not what is measured.
    fn sshd_config(&self) -> String {
        let folder = self.folder.display();
        format!(
            "ListenAddress 0.0.0.0\nPort 22\nPort {SLOW_PORT}\nPort {LOCKED_PORT}\n\
             AuthorizedKeysFile {folder}/authorized\nSetEnv HOME={folder}/home\n\
             StrictModes no\nUsePAM no\nUseDNS no\nPidFile none\n\
             Match LocalPort {SLOW_PORT}\n  \
             ForceCommand sleep 1; exec \"$SHELL\" -c \"$SSH_ORIGINAL_COMMAND\"\n\
             Match LocalPort {LOCKED_PORT}\n  AuthorizedKeysFile none\n"
        )
    }

    fn prepare_runner(&self) -> Fallible<()> {
        let [first, second] = VOID;
        let status = Command::new("sh")
            .args(["-c", RUNNER_SCRIPT, "sh", &RUNNER.to_string()])
            .arg(&self.folder)
            .arg(format!("{first}.{second}.0.0/16"))
            .status()?;
        if status.success() { Ok(()) } else { Err("cannot prepare a network of its own".into()) }
    }

    fn start_hosts(&mut self, hosts: &[Host]) -> Fallible<()> {
        // `ip` complains that others make devices, too.
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log"))?;
        for host in hosts {
            let parent = Command::new("unshare")
                .args(["--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "sh"])
                .arg(self.folder.join("host.sh"))
                .args([host.name(), host.address().to_string(), host.mac(), host.machine_id()])
                .arg(RUNNER.to_string())
                .arg(&self.folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log.try_clone()?)
                .spawn()?;
            self.parents.insert(parent.id());
        }
        for host in hosts {
            let address = SocketAddr::from((host.address(), 22));
            await_port(address, Duration::from_mins(1)).map_err(|error| {
                let said = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                format!("{error}; {}", said.lines().last().unwrap_or_default())
            })?;
        }
        Ok(())
    }

    fn write_known_hosts(&self) -> Fallible<()> {
        let mut known = String::new();
        for host in &self.hosts {
            let names = format!("{},{}", host.name(), host.address());
            known += &self.known_host(&names, *host)?;
        }
        Ok(fs::write(self.folder.join("known_hosts"), known)?)
    }

    /// The CPU that connections to the hosts have used until now, in seconds. A connection counts
    /// when it has ended.
    pub fn cpu(&self) -> Fallible<f64> {
        sleep(Duration::from_secs(1));
        let mut ticks = 0;
        for process in fs::read_dir("/proc")? {
            // Processes come and go.
            let stat = fs::read_to_string(process?.path().join("stat")).unwrap_or_default();
            let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
            let fields: Vec<u32> =
                fields.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
            if self.parents.contains(&fields[1]) {
                // User and system time of the children that it waited for.
                ticks += fields[13] + fields[14];
            }
        }
        Ok(f64::from(ticks) / 100.0)
    }

    /// A line of known_hosts: the host is known by these names.
    pub fn known_host(&self, names: &str, host: Host) -> Fallible<String> {
        let path = self.folder.join("keys").join(host.name() + ".pub");
        Ok(format!("{names} {}", fs::read_to_string(path)?))
    }
}
