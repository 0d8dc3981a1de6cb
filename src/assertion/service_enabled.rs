//! `service_enabled`: systemd starts a service at boot.

use schemars::JsonSchema;
use serde::Deserialize;

use super::judgement::{Judgement, Unclear};
use super::mistake::Mistake;
use super::service::{Services, Unit, mistake, short_name, unit};
use super::slug::slug;

/// The service must be enabled, so that systemd starts it at each boot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceEnabled {
    /// The name of the unit; `.service` may be left out. Timers, sockets and other units need their
    /// suffix.
    #[schemars(length(min = 1))]
    pub service: String,
}

impl ServiceEnabled {
    /// The name of the unit.
    pub fn unit(&self) -> String {
        unit(&self.service)
    }

    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        format!("{} is enabled", self.unit())
    }

    /// `nginx-enabled`.
    pub fn slug(&self) -> String {
        format!("{}-enabled", slug(short_name(&self.service)))
    }

    /// Mistakes that show without looking at a VM.
    pub fn mistakes(&self) -> Vec<Mistake> {
        mistake(&self.service).into_iter().collect()
    }

    /// Whether it is enabled.
    pub fn judge(&self, seen: &Result<Services, Unclear>) -> Judgement {
        let name = self.unit();
        let unit = match seen.as_ref().map_err(Clone::clone).and_then(|seen| seen.get(&name)) {
            Ok(unit) => unit,
            Err(unclear) => return Judgement::Unclear(unclear),
        };
        match difference(unit) {
            None => Judgement::Holds,
            Some(state) => Judgement::differs(format!("{name} is {state}"), self.describe(), state),
        }
    }
}

/// The state of a unit that is not enabled.
fn difference(unit: &Unit) -> Option<String> {
    let words = match unit.file_state.as_str() {
        "enabled" => return None,
        // systemd made it from a script in /etc/init.d, or from /etc/fstab.
        "generated" if unit.is_wanted => return None,
        "static" => "static: it has no [Install] section, so only other units start it",
        "enabled-runtime" => "enabled only until the next boot",
        "" if unit.is_missing() => "not installed",
        "" => "not a unit that can be enabled",
        other => other,
    };
    Some(words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::service::parse_services;
    use super::super::service::tests::{SHOWN, shown};
    use super::*;

    fn judge(service: &str) -> Judgement {
        ServiceEnabled { service: service.to_owned() }.judge(&Ok(shown()))
    }

    #[test]
    fn only_what_starts_at_boot_is_enabled() {
        for service in ["ssh", "sshd", "postgresql", "old-script", "fstrim.timer"] {
            assert_eq!(judge(service), Judgement::Holds, "{service}");
        }
        for (service, message) in [
            ("nginx", "nginx.service is disabled"),
            ("bootproof-absent", "bootproof-absent.service is not installed"),
            ("telnet", "telnet.service is masked"),
            (
                "dbus",
                "dbus.service is static: it has no [Install] section, so only other units start it",
            ),
        ] {
            let Judgement::Differs(mismatch) = judge(service) else { panic!("{service}") };
            assert_eq!(mismatch.message, message);
        }
    }

    #[test]
    fn enabled_until_the_next_boot_is_not_enabled() {
        let shown = SHOWN.replace("UnitFileState=disabled", "UnitFileState=enabled-runtime");
        let enabled = ServiceEnabled { service: "nginx".to_owned() };
        let Judgement::Differs(mismatch) = enabled.judge(&parse_services(&shown, "")) else {
            panic!("it is not")
        };
        assert_eq!(mismatch.message, "nginx.service is enabled only until the next boot");
        assert_eq!(enabled.slug(), "nginx-enabled");
    }
}
