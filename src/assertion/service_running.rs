//! `service_running`: a service of systemd runs.

use schemars::JsonSchema;
use serde::Deserialize;

use super::judgement::{Judgement, Unclear};
use super::mistake::Mistake;
use super::service::{Services, mistake, short_name, unit};
use super::slug::slug;

/// systemd must say that the service is active, and its processes must not have ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceRunning {
    /// The name of the unit; `.service` may be left out. Timers, sockets and other units need their
    /// suffix.
    #[schemars(length(min = 1))]
    pub service: String,
}

impl ServiceRunning {
    /// The name of the unit.
    pub fn unit(&self) -> String {
        unit(&self.service)
    }

    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        format!("{} runs", self.unit())
    }

    /// `nginx-running`.
    pub fn slug(&self) -> String {
        format!("{}-running", slug(short_name(&self.service)))
    }

    /// Mistakes that show without looking at a VM.
    pub fn mistakes(&self) -> Vec<Mistake> {
        mistake(&self.service).into_iter().collect()
    }

    /// Whether it runs.
    pub fn judge(&self, seen: &Result<Services, Unclear>) -> Judgement {
        let name = self.unit();
        let unit = match seen.as_ref().map_err(Clone::clone).and_then(|seen| seen.get(&name)) {
            Ok(unit) => unit,
            Err(unclear) => return Judgement::Unclear(unclear),
        };
        let state = unit.state();
        if !unit.is_active() {
            return Judgement::differs(format!("{name} is {state}"), self.describe(), state);
        }
        if unit.has_exited() {
            // A unit such as postgresql.service stays active after it has started others.
            let message = format!("{name} is {state}: it has no process");
            return Judgement::differs(message, self.describe(), state);
        }
        Judgement::Holds
    }
}

#[cfg(test)]
mod tests {
    use super::super::service::tests::shown;
    use super::*;

    fn judge(service: &str) -> Judgement {
        ServiceRunning { service: service.to_owned() }.judge(&Ok(shown()))
    }

    #[test]
    fn only_an_active_unit_with_processes_runs() {
        for service in ["ssh", "sshd.service", "dbus", "fstrim.timer"] {
            assert_eq!(judge(service), Judgement::Holds, "{service}");
        }
        for (service, message) in [
            ("nginx", "nginx.service is failed (exit-code)"),
            ("postgresql", "postgresql.service is active (exited): it has no process"),
            ("bootproof-absent", "bootproof-absent.service is not installed"),
            ("telnet", "telnet.service is masked"),
            ("old-script", "old-script.service is activating (auto-restart)"),
        ] {
            let Judgement::Differs(mismatch) = judge(service) else { panic!("{service}") };
            assert_eq!(mismatch.message, message);
        }
    }

    #[test]
    fn a_vm_without_systemd_does_not_tell() {
        let running = ServiceRunning { service: "nginx".to_owned() };
        let no_systemd = Unclear::NoSystemd("OpenRC".to_owned());
        assert_eq!(running.judge(&Err(no_systemd.clone())), Judgement::Unclear(no_systemd));
        assert!(matches!(judge("never-asked"), Judgement::Unclear(Unclear::NotRead { .. })));
        assert_eq!(running.slug(), "nginx-running");
    }
}
