//! A service, as systemd describes it. Pure.

/// The remote command that describes the services an operator would look at: enabled services, and
/// services that failed or are starting or stopping.
pub fn read_candidates() -> String {
    let listed = "systemctl list-units --all --type=service \
         --state=failed,activating,deactivating --plain --no-legend";
    let enabled = "systemctl list-unit-files --type=service --state=enabled --no-legend";
    format!(
        "systemctl show --all -p {PROPERTIES} -- $( {{ {listed}; {enabled}; }} | \
         awk '$1 !~ /@[.]service$/ {{ print $1 }}' | sort -u)"
    )
}

/// The remote command that describes the services of these names.
pub fn read_services<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    // Quoting fails only for NUL, which no file name contains.
    let names: Vec<_> = names.into_iter().filter_map(|name| shlex::try_quote(name).ok()).collect();
    format!("systemctl show --all -p {PROPERTIES} -- {}", names.join(" "))
}

const PROPERTIES: &str =
    "Id,Type,ActiveState,SubState,UnitFileState,ConditionResult,Result,NRestarts";

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
    /// Whether systemd has given up on it.
    pub fn failed_for_good(&self) -> bool {
        self.active == "failed"
    }

    /// Whether it ended and systemd is about to start it again.
    pub fn is_restarting(&self) -> bool {
        self.sub.starts_with("auto-restart")
    }

    /// Whether it runs until it is stopped; a `oneshot` comes and goes.
    pub(super) fn is_daemon(&self) -> bool {
        !matches!(self.kind.as_str(), "" | "oneshot" | "idle")
    }

    /// How often systemd has restarted it.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Whether it failed, restarts again and again, or is enabled but does not run.
    pub fn is_suspect(&self) -> bool {
        let idle = self.active == "inactive"
            && self.file_state == "enabled"
            && self.is_daemon()
            && !self.skipped;
        self.failed_for_good() || self.is_restarting() || idle
    }

    /// Its state, in one line: `failed (exit-code), restarted 5 times`.
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

pub(super) fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Parses the output of [`read_services`] and [`read_candidates`].
pub fn parse_services(text: &str) -> Vec<Service> {
    text.split("\n\n").filter_map(parse_service).collect()
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
pub(super) mod tests {
    use super::*;

    /// What `systemctl show` prints for a service.
    pub(crate) fn printed(name: &str, active: &str, sub: &str, restarts: u64) -> String {
        format!(
            "Type=simple\nRestart=always\nNRestarts={restarts}\nResult=success\n\
             Id={name}.service\nActiveState={active}\nSubState={sub}\n\
             UnitFileState=enabled\nConditionResult=yes\n"
        )
    }

    #[test]
    fn an_enabled_service_that_does_not_run_is_suspect() {
        let services = parse_services(
            &[
                printed("ssh", "active", "running", 0),
                printed("redis-server", "inactive", "dead", 0),
                printed("immich", "failed", "failed", 5),
                printed("once", "inactive", "dead", 0).replace("simple", "oneshot"),
                printed("elsewhere", "inactive", "dead", 0)
                    .replace("ConditionResult=yes", "ConditionResult=no"),
            ]
            .join("\n"),
        );
        let suspects = services.iter().filter(|service| service.is_suspect());
        let names: Vec<_> = suspects.map(|service| service.name.as_str()).collect();
        assert_eq!(names, ["redis-server.service", "immich.service"]);
    }
}
