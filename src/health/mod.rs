//! The health of a VM, read before and after its assertions: is it still the same boot, and do its
//! services stay up? Pure: what to ask, how to read the answer, and what has changed.

pub mod evidence;
pub mod identity;
mod service;
pub mod shell;

pub use service::{Service, parse_services, read_candidates, read_services};

use std::collections::BTreeMap;

use service::times;

/// The state of a VM that runs without systemd.
pub const NO_SYSTEMD: &str = "no systemd";

/// The remote command that prints the health and which machine it is: a few small files, because it
/// runs twice in every run. Every user may read them, on any Linux; what a VM does not have stays
/// empty. systemd keeps a link for each running service, with the id of its start.
pub const READ_HEALTH: &str = "sh -c 'echo \"machine-id $(cat /etc/machine-id)\"; \
    echo \"boot-id $(cat /proc/sys/kernel/random/boot_id)\"; echo \"kernel $(uname -r)\"; \
    . /etc/os-release; echo \"os-release $PRETTY_NAME\"; \
    echo \"oom-kills $(sed -n \"s/^oom_kill //p\" /proc/vmstat)\"; \
    if [ -d /run/systemd/system ]; then state=$(systemctl is-system-running); \
    else state=\"no systemd\"; fi; echo \"system $state\"; echo \"now $(date +%s)\"; \
    find /run/systemd/units -name \"invocation:*.service\" -printf \"%f %l %T@\\n\"; \
    echo @end' 2>/dev/null";

/// The remote command that prints what systemd says about the boot.
pub const READ_BOOT_STATE: &str = "systemctl is-system-running 2>/dev/null";

/// Whether a boot in this state is still under way.
pub fn is_booting(state: &str) -> bool {
    matches!(state, "initializing" | "starting")
}

/// A service that started less than this many seconds ago is young.
const YOUNG: u64 = 60;

/// The health of a VM at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// The kernel's id of this boot.
    boot_id: String,
    /// How many processes the kernel has killed for lack of memory since the boot.
    oom_kills: Option<u64>,
    /// What systemd says about the boot.
    system: String,
    /// The last start of each running service.
    starts: BTreeMap<String, Start>,
}

/// A start of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Start {
    /// systemd's id for it.
    id: String,
    /// Whether it was in the last minute.
    young: bool,
}

impl Health {
    /// Parses the output of [`READ_HEALTH`]; `None` if it is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end().strip_suffix("@end")?;
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_default().trim()
        };
        let now: u64 = value("now ").parse().unwrap_or(0);
        Some(Self {
            boot_id: value("boot-id ").to_owned(),
            oom_kills: value("oom-kills ").parse().ok(),
            system: value("system ").to_owned(),
            starts: text.lines().filter_map(|line| parse_start(line, now)).collect(),
        })
    }

    /// What systemd says about the boot: `starting`, `running`, `degraded`, ...; [`NO_SYSTEMD`];
    /// `None` if the VM does not say.
    pub fn system(&self) -> Option<&str> {
        Some(self.system.as_str()).filter(|state| !state.is_empty())
    }

    /// Whether the VM has rebooted since `before`.
    pub fn is_another_boot_than(&self, before: &Self) -> bool {
        self.boot_id != before.boot_id
    }

    /// The services that started or stopped between `before` and `self`.
    pub fn moved_since<'a>(&'a self, before: &'a Self) -> Vec<&'a str> {
        let new = self.starts.keys().filter(|name| !before.starts.contains_key(*name));
        let names = before.starts.keys().chain(new);
        let moved = names.filter(|name| before.start_id(name) != self.start_id(name));
        moved.map(String::as_str).collect()
    }

    fn start_id(&self, service: &str) -> Option<&str> {
        self.starts.get(service).map(|start| start.id.as_str())
    }

    /// The services that started in the last minute, among them any that restarts again and again.
    pub fn young(&self) -> Vec<&str> {
        let young = self.starts.iter().filter(|(_, start)| start.young);
        young.map(|(name, _)| name.as_str()).collect()
    }

    /// Why answers between `before` and `self` are unreliable, one line each. `services` describes
    /// the services of [`Health::moved_since`], and of [`Health::young`] where they count.
    pub fn instability_since(&self, before: &Self, services: &[Service]) -> Vec<String> {
        if self.is_another_boot_than(before) {
            return vec!["it rebooted during the run".to_owned()];
        }
        let unstable = services.iter().filter_map(|service| self.why_unstable(before, service));
        let mut reasons: Vec<String> = unstable.collect();
        reasons.extend(self.oom_kills_since(before));
        reasons
    }

    /// A `oneshot` comes and goes, and a service that starts for the first time is fine.
    fn why_unstable(&self, before: &Self, service: &Service) -> Option<String> {
        let what = match (before.start_id(&service.name), self.start_id(&service.name)) {
            _ if !service.is_daemon() => return None,
            (Some(then), Some(now)) if then != now => "was restarted during the run",
            (Some(_), None) => "went down during the run",
            _ if service.restarts() > 0 => "was restarted by systemd less than a minute ago",
            _ => return None,
        };
        Some(format!("{} {what}: {}", service.name, service.describe()))
    }

    fn oom_kills_since(&self, before: &Self) -> Option<String> {
        let kills = self.oom_kills?.checked_sub(before.oom_kills?).filter(|kills| *kills > 0)?;
        Some(format!("the kernel killed processes for lack of memory {}", times(kills)))
    }
}

/// `invocation:NAME ID SECONDS`, one link of systemd's.
fn parse_start(line: &str, now: u64) -> Option<(String, Start)> {
    let mut words = line.strip_prefix("invocation:")?.split(' ');
    let (service, id) = (words.next()?, words.next()?);
    let at: u64 = words.next()?.split('.').next()?.parse().ok()?;
    Some((service.to_owned(), Start { id: id.to_owned(), young: at + YOUNG > now }))
}

#[cfg(test)]
mod tests {
    use super::service::tests::printed;
    use super::*;

    fn health(boot: &str, oom: u64, starts: &str) -> Health {
        Health::parse(&format!("boot-id {boot}\noom-kills {oom}\nnow 1000\n{starts}@end\n"))
            .unwrap()
    }

    #[test]
    fn a_vm_that_stays_the_same_is_stable() {
        let calm = health("a", 0, "invocation:redis-server.service 1 100.5\n");
        assert!(calm.moved_since(&calm).is_empty());
        assert!(calm.instability_since(&calm, &[]).is_empty());
    }

    #[test]
    fn reports_reboots_restarts_and_oom_kills() {
        let before = health(
            "a",
            1,
            "invocation:redis-server.service 1 100.5\ninvocation:ssh.service 2 100.0\n",
        );
        assert_eq!(
            health("b", 0, "").instability_since(&before, &[]),
            ["it rebooted during the run"]
        );
        let after = health(
            "a",
            3,
            "invocation:redis-server.service 9 999.9\ninvocation:ssh.service 2 100.0\n",
        );
        assert_eq!(after.moved_since(&before), ["redis-server.service"]);
        let moved = parse_services(&printed("redis-server", "active", "running", 2));
        assert_eq!(
            after.instability_since(&before, &moved),
            [
                "redis-server.service was restarted during the run: \
                 active (running), restarted 2 times",
                "the kernel killed processes for lack of memory 2 times"
            ]
        );
        let down = parse_services(&printed("redis-server", "failed", "failed", 5));
        let gone = health("a", 1, "invocation:ssh.service 2 100.0\n");
        assert_eq!(
            gone.instability_since(&before, &down),
            ["redis-server.service went down during the run: failed (failed), restarted 5 times"]
        );
    }

    #[test]
    fn a_oneshot_that_ends_and_a_first_start_are_fine() {
        let before = health("a", 0, "invocation:tidy.service 1 900.0\n");
        let after = health("a", 0, "invocation:new.service 1 990.0\n");
        assert_eq!(after.moved_since(&before), ["tidy.service", "new.service"]);
        let oneshot = printed("tidy", "inactive", "dead", 0).replace("simple", "oneshot");
        let moved =
            parse_services(&format!("{oneshot}\n{}", printed("new", "active", "running", 0)));
        assert_eq!(moved.len(), 2);
        assert_eq!(after.instability_since(&before, &moved), Vec::<String>::new());
    }

    #[test]
    fn a_restart_in_the_last_minute_counts_even_before_the_first_reading() {
        let seen = health(
            "a",
            0,
            "invocation:redis-server.service 1 941.0\ninvocation:ssh.service 1 100.0\n",
        );
        assert_eq!(seen.young(), ["redis-server.service"]);
        let looping = parse_services(&printed("redis-server", "active", "running", 7));
        assert!(
            seen.instability_since(&seen, &looping)[0]
                .contains("by systemd less than a minute ago")
        );
        let once = parse_services(&printed("redis-server", "active", "running", 0));
        assert_eq!(seen.instability_since(&seen, &once), Vec::<String>::new());
    }

    #[test]
    fn a_cut_off_answer_is_no_health() {
        assert_eq!(Health::parse(""), None);
        assert_eq!(Health::parse("boot-id a\noom-kills 0\n"), None);
        // A machine without systemd.
        assert!(Health::parse("boot-id a\noom-kills 0\n@end\n").is_some());
    }
}
