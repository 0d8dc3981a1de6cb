//! The health of a VM, read before and after its assertions: is it still the same boot, and do its services stay up?
//! Pure: what is printed, what it means, and what has changed.

pub mod evidence;
pub mod identity;

use std::collections::BTreeMap;

/// The remote command that prints it, and which machine it is: a few small files, because it is read twice in every
/// run. Everyone may read them, on any Linux; what a VM does not have stays empty. systemd keeps a link a running
/// service, with the id of its start.
pub const READ_HEALTH: &str = "sh -c 'echo \"machine-id $(cat /etc/machine-id)\"; \
    echo \"boot-id $(cat /proc/sys/kernel/random/boot_id)\"; echo \"kernel $(uname -r)\"; \
    . /etc/os-release; echo \"os-release $PRETTY_NAME\"; \
    echo \"oom-kills $(sed -n \"s/^oom_kill //p\" /proc/vmstat)\"; \
    echo \"system $(systemctl is-system-running)\"; echo \"now $(date +%s)\"; \
    find /run/systemd/units -name \"invocation:*.service\" -printf \"%f %l %T@\\n\"; echo @end' 2>/dev/null";

/// The remote command that prints what systemd says of the boot.
pub const READ_BOOT_STATE: &str = "systemctl is-system-running 2>/dev/null";

/// Whether a boot in this state still goes on.
pub fn is_booting(state: &str) -> bool {
    matches!(state, "initializing" | "starting")
}

/// A service that was started so few seconds ago is young.
const YOUNG: u64 = 60;

/// The remote command that describes the services at which an operator would look: those that are enabled, and those
/// that failed or are on their way.
pub fn read_candidates() -> String {
    format!(
        "systemctl show --all -p {PROPERTIES} -- $( {{ \
         systemctl list-units --all --type=service --state=failed,activating,deactivating --plain --no-legend; \
         systemctl list-unit-files --type=service --state=enabled --no-legend; }} | \
         awk '$1 !~ /@[.]service$/ {{ print $1 }}' | sort -u)"
    )
}

/// The remote command that describes the services of these names.
pub fn read_services<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    // Quoting fails for NUL only, which no name of a file has.
    let names: Vec<_> = names.into_iter().filter_map(|name| shlex::try_quote(name).ok()).collect();
    format!("systemctl show --all -p {PROPERTIES} -- {}", names.join(" "))
}

const PROPERTIES: &str =
    "Id,Type,ActiveState,SubState,UnitFileState,ConditionResult,Result,NRestarts";

/// The health of a VM at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// The kernel's id of this boot.
    boot_id: String,
    /// How many processes the kernel has killed for lack of memory since it booted.
    oom_kills: Option<u64>,
    /// What systemd says of the boot.
    system: String,
    /// The last start of each service that runs.
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

/// A service, as `systemctl show` describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// `redis-server.service`.
    pub name: String,
    kind: String,
    active: String,
    sub: String,
    file_state: String,
    skipped: bool,
    result: String,
    restarts: u64,
}

impl Service {
    /// systemd has given up on it.
    pub fn failed_for_good(&self) -> bool {
        self.active == "failed"
    }

    /// It ended, and systemd is about to start it again.
    pub fn is_restarting(&self) -> bool {
        self.sub.starts_with("auto-restart")
    }

    /// It stays until it is stopped; a `oneshot` comes and goes.
    fn is_daemon(&self) -> bool {
        !matches!(self.kind.as_str(), "" | "oneshot" | "idle")
    }

    /// It failed, goes round in circles, or is enabled and does not run.
    pub fn is_suspect(&self) -> bool {
        let idle = self.active == "inactive"
            && self.file_state == "enabled"
            && self.is_daemon()
            && !self.skipped;
        self.failed_for_good() || self.is_restarting() || idle
    }

    /// How it is, in one line: `failed (exit-code), restarted 5 times`.
    pub fn describe(&self) -> String {
        let result = if self.result.is_empty() || self.result == "success" {
            &self.sub
        } else {
            &self.result
        };
        let state = format!("{} ({result})", self.active);
        if self.restarts == 0 {
            state
        } else {
            format!("{state}, restarted {}", times(self.restarts))
        }
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

impl Health {
    /// Reads what [`READ_HEALTH`] printed; `None` when it is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end().strip_suffix("@end")?;
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim()
        };
        let now: u64 = value("now ").parse().unwrap_or(0);
        let start = |line: &str| {
            let mut words = line.strip_prefix("invocation:")?.split(' ');
            let (service, id) = (words.next()?, words.next()?);
            let at: u64 = words.next()?.split('.').next()?.parse().ok()?;
            Some((service.to_owned(), Start { id: id.to_owned(), young: at + YOUNG > now }))
        };
        Some(Self {
            boot_id: value("boot-id ").to_owned(),
            oom_kills: value("oom-kills ").parse().ok(),
            system: value("system ").to_owned(),
            starts: text.lines().filter_map(start).collect(),
        })
    }

    /// What systemd says of the boot: `starting`, `running`, `degraded`, ...; `None` when there is no systemd.
    pub fn system(&self) -> Option<&str> {
        Some(self.system.as_str()).filter(|state| !state.is_empty())
    }

    /// Whether the VM has rebooted since `before`.
    pub fn is_another_boot_than(&self, before: &Self) -> bool {
        self.boot_id != before.boot_id
    }

    /// The services that were started or stopped between `before` and `self`.
    pub fn moved_since<'a>(&'a self, before: &'a Self) -> Vec<&'a str> {
        let names = before
            .starts
            .keys()
            .chain(self.starts.keys().filter(|name| !before.starts.contains_key(*name)));
        let id = |health: &'a Self, name: &String| {
            health.starts.get(name).map(|start| start.id.as_str())
        };
        names.filter(|name| id(before, name) != id(self, name)).map(String::as_str).collect()
    }

    /// The services that were started in the last minute: one that goes round in circles is among them.
    pub fn young(&self) -> Vec<&str> {
        self.starts.iter().filter(|(_, start)| start.young).map(|(name, _)| name.as_str()).collect()
    }

    /// Why answers that were had between `before` and `self` are not to be relied on, a line each. `services` describes
    /// those of [`Health::moved_since`], and those of [`Health::young`] where they count.
    pub fn unrest_since(&self, before: &Self, services: &[Service]) -> Vec<String> {
        if self.is_another_boot_than(before) {
            return vec!["it rebooted during the run".to_owned()];
        }
        let mut unrest: Vec<String> =
            services.iter().filter_map(|one| self.service_unrest(before, one)).collect();
        match (before.oom_kills, self.oom_kills) {
            (Some(then), Some(now)) if now > then => {
                unrest.push(format!(
                    "the kernel killed processes for lack of memory {}",
                    times(now - then)
                ));
            }
            _ => {}
        }
        unrest
    }

    /// A `oneshot` comes and goes, and a service that is started for the first time has not fallen.
    fn service_unrest(&self, before: &Self, now: &Service) -> Option<String> {
        let was_up = before.starts.get(&now.name).map(|start| &start.id);
        let is_up = self.starts.get(&now.name).map(|start| &start.id);
        let what = match (was_up, is_up) {
            _ if !now.is_daemon() => return None,
            (Some(then), Some(now)) if then != now => "was restarted during the run",
            (Some(_), None) => "went down during the run",
            _ if now.restarts > 0 => "was restarted by systemd less than a minute ago",
            _ => return None,
        };
        Some(format!("{} {what}: {}", now.name, now.describe()))
    }
}

/// Reads what [`read_services`] made systemd print.
pub fn parse_services(text: &str) -> Vec<Service> {
    text.split("\n\n").filter_map(parse_service).collect()
}

/// The services that an operator would look at first.
pub fn suspects(services: &[Service]) -> Vec<&Service> {
    services.iter().filter(|one| one.is_suspect()).collect()
}

fn parse_service(block: &str) -> Option<Service> {
    let mut service = Service::default();
    for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
        let value = value.trim().to_owned();
        match key {
            "Id" => service.name = value,
            "Type" => service.kind = value,
            "ActiveState" => service.active = value,
            "SubState" => service.sub = value,
            "UnitFileState" => service.file_state = value,
            "ConditionResult" => service.skipped = value == "no",
            "Result" => service.result = value,
            "NRestarts" => service.restarts = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    (!service.name.is_empty()).then_some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, active: &str, sub: &str, restarts: u64) -> String {
        format!(
            "Type=simple\nRestart=always\nNRestarts={restarts}\nResult=success\nId={name}.service\nActiveState={active}\n\
             SubState={sub}\nUnitFileState=enabled\nConditionResult=yes\n"
        )
    }

    fn health(boot: &str, oom: u64, starts: &str) -> Health {
        Health::parse(&format!("boot-id {boot}\noom-kills {oom}\nnow 1000\n{starts}@end\n"))
            .unwrap()
    }

    #[test]
    fn what_stays_the_same_is_no_unrest() {
        let calm = health("a", 0, "invocation:redis-server.service 1 100.5\n");
        assert!(calm.moved_since(&calm).is_empty());
        assert!(calm.unrest_since(&calm, &[]).is_empty());
    }

    #[test]
    fn a_reboot_a_restart_and_a_kill_are_told() {
        let before = health(
            "a",
            1,
            "invocation:redis-server.service 1 100.5\ninvocation:ssh.service 2 100.0\n",
        );
        assert_eq!(health("b", 0, "").unrest_since(&before, &[]), ["it rebooted during the run"]);
        let after = health(
            "a",
            3,
            "invocation:redis-server.service 9 999.9\ninvocation:ssh.service 2 100.0\n",
        );
        assert_eq!(after.moved_since(&before), ["redis-server.service"]);
        let moved = parse_services(&service("redis-server", "active", "running", 2));
        assert_eq!(
            after.unrest_since(&before, &moved),
            [
                "redis-server.service was restarted during the run: active (running), restarted 2 times",
                "the kernel killed processes for lack of memory 2 times"
            ]
        );
        let down = parse_services(&service("redis-server", "failed", "failed", 5));
        let gone = health("a", 1, "invocation:ssh.service 2 100.0\n");
        assert_eq!(
            gone.unrest_since(&before, &down),
            ["redis-server.service went down during the run: failed (failed), restarted 5 times"]
        );
    }

    #[test]
    fn what_comes_and_goes_or_comes_up_is_no_unrest() {
        let before = health("a", 0, "invocation:tidy.service 1 900.0\n");
        let after = health("a", 0, "invocation:new.service 1 990.0\n");
        assert_eq!(after.moved_since(&before), ["tidy.service", "new.service"]);
        let oneshot = service("tidy", "inactive", "dead", 0).replace("simple", "oneshot");
        let moved =
            parse_services(&format!("{oneshot}\n{}", service("new", "active", "running", 0)));
        assert_eq!(moved.len(), 2);
        assert_eq!(after.unrest_since(&before, &moved), Vec::<String>::new());
    }

    #[test]
    fn what_was_restarted_in_the_last_minute_is_unrest_even_if_not_while_it_was_looked_at() {
        let seen = health(
            "a",
            0,
            "invocation:redis-server.service 1 941.0\ninvocation:ssh.service 1 100.0\n",
        );
        assert_eq!(seen.young(), ["redis-server.service"]);
        let circles = parse_services(&service("redis-server", "active", "running", 7));
        assert!(
            seen.unrest_since(&seen, &circles)[0].contains("by systemd less than a minute ago")
        );
        let once = parse_services(&service("redis-server", "active", "running", 0));
        assert_eq!(seen.unrest_since(&seen, &once), Vec::<String>::new());
    }

    #[test]
    fn what_is_enabled_and_does_not_run_is_suspect() {
        let seen = parse_services(
            &[
                service("ssh", "active", "running", 0),
                service("redis-server", "inactive", "dead", 0),
                service("immich", "failed", "failed", 5),
                service("once", "inactive", "dead", 0).replace("simple", "oneshot"),
                service("elsewhere", "inactive", "dead", 0)
                    .replace("ConditionResult=yes", "ConditionResult=no"),
            ]
            .join("\n"),
        );
        let names: Vec<_> = suspects(&seen).iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["redis-server.service", "immich.service"]);
    }

    #[test]
    fn what_is_cut_off_is_no_health() {
        assert_eq!(Health::parse(""), None);
        assert_eq!(Health::parse("boot-id a\noom-kills 0\n"), None);
        // A machine without systemd.
        assert!(Health::parse("boot-id a\noom-kills 0\n@end\n").is_some());
    }
}
