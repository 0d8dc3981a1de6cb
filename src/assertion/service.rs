//! The services of a VM, as systemd describes them.

use super::judgement::Unclear;
use super::mistake::Mistake;
use super::script::{self, last_line, set};

/// The properties that are read, in any order.
const PROPERTIES: &str =
    "Names,LoadState,ActiveState,SubState,UnitFileState,Result,WantedBy,RequiredBy";

/// What units can end in; without any of these, `.service` is meant.
const SUFFIXES: [&str; 9] = [
    ".service",
    ".socket",
    ".timer",
    ".target",
    ".mount",
    ".automount",
    ".path",
    ".swap",
    ".slice",
];

/// The script that describes `units`. `/run/systemd/system` exists where systemd is in charge.
pub fn read_services(units: &[&str]) -> String {
    format!(
        "{}; if [ ! -d /run/systemd/system ]; then if [ -d /run/openrc ]; then \
         echo @init OpenRC; else echo \"@init $(cat /proc/1/comm)\"; fi; exit; fi; \
         systemctl show --all -p {PROPERTIES} -- \"$@\"; echo \"@end $?\"",
        set(units)
    )
}

/// The remote command that describes one unit, in one line.
pub(super) fn how(unit: &str) -> String {
    script::how(&read_services(&[unit]), false)
}

/// The name of the unit that `name` means.
pub fn unit(name: &str) -> String {
    if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

/// The first part of an id: the name, without `.service`.
pub(super) fn short_name(name: &str) -> &str {
    name.strip_suffix(".service").unwrap_or(name)
}

/// A mistake in the name of a service. systemd would answer nothing about the other services, too.
pub(super) fn mistake(name: &str) -> Option<Mistake> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let stem = short_name(name);
    if stem.is_empty() || stem.starts_with('@') || !name.chars().all(is_valid) || name.len() > 240 {
        let hint = "write the name of the unit, such as `nginx` or `nginx.service`";
        return Some(Mistake::new("service", format!("invalid service {name:?}")).hint(hint));
    }
    let unit = unit(name);
    let is_template = unit.rsplit_once('.').is_some_and(|(stem, _)| stem.ends_with('@'));
    is_template.then(|| {
        Mistake::new("service", format!("`{name}` is a template"))
            .hint("name an instance of it, such as `getty@tty1`")
    })
}

/// What systemd says of some units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Services {
    units: Vec<Unit>,
    /// What systemctl said on standard error.
    complaint: Option<String>,
}

/// What systemd says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unit {
    names: Vec<String>,
    load: String,
    active: String,
    sub: String,
    result: String,
    pub(super) file_state: String,
    /// Whether another unit, such as multi-user.target, starts it.
    pub(super) is_wanted: bool,
}

impl Unit {
    /// Whether systemd knows no such unit.
    pub(super) fn is_missing(&self) -> bool {
        self.load == "not-found"
    }

    /// Whether it is active.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    /// Whether it is active although its processes have ended.
    pub(super) fn has_exited(&self) -> bool {
        self.sub == "exited"
    }

    /// Its state, such as `failed (exit-code)`.
    pub(super) fn state(&self) -> String {
        if self.active == "inactive" && self.is_missing() {
            return "not installed".to_owned();
        }
        if self.active == "inactive" && self.load == "masked" {
            return "masked".to_owned();
        }
        let says_why = self.active == "failed" && !matches!(&*self.result, "" | "success");
        format!("{} ({})", self.active, if says_why { &self.result } else { &self.sub })
    }
}

impl Services {
    /// Whether systemd described this unit.
    pub fn know(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The unit with this name or alias.
    pub(super) fn get(&self, name: &str) -> Result<&Unit, Unclear> {
        self.find(name).ok_or_else(|| Unclear::NotRead {
            what: format!("the state of {name}"),
            why: self.complaint.clone().unwrap_or_else(|| "systemctl does not show it".to_owned()),
        })
    }

    fn find(&self, name: &str) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.names.iter().any(|known| known == name))
    }
}

/// Reads what the script of [`read_services`] printed.
pub fn parse_services(stdout: &str, stderr: &str) -> Result<Services, Unclear> {
    let complaint = last_line(stderr).map(str::to_owned);
    if let Some(init) = stdout.lines().find_map(|line| line.strip_prefix("@init ")) {
        return Err(Unclear::NoSystemd(init.trim().to_owned()));
    }
    let Some((shown, status)) = stdout.rsplit_once("@end ") else {
        let why = complaint.unwrap_or_else(|| "the answer is cut off".to_owned());
        return Err(Unclear::NotRead { what: "the state of services".to_owned(), why });
    };
    if status.trim() == "127" {
        return Err(Unclear::MissingTool("systemctl".to_owned()));
    }
    let units = shown.split("\n\n").filter_map(parse_unit).collect();
    Ok(Services { units, complaint })
}

fn parse_unit(block: &str) -> Option<Unit> {
    let mut unit = Unit::default();
    for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
        let text = value.trim().to_owned();
        match key {
            "Names" => unit.names = text.split_whitespace().map(str::to_owned).collect(),
            "LoadState" => unit.load = text,
            "ActiveState" => unit.active = text,
            "SubState" => unit.sub = text,
            "UnitFileState" => unit.file_state = text,
            "Result" => unit.result = text,
            "WantedBy" | "RequiredBy" => unit.is_wanted |= !text.is_empty(),
            _ => {}
        }
    }
    (!unit.names.is_empty() && !unit.active.is_empty()).then_some(unit)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As `systemctl show` of systemd 252 prints it.
    pub(crate) const SHOWN: &str = "\
Result=success
Names=ssh.service sshd.service
RequiredBy=
WantedBy=multi-user.target
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled

Result=exit-code
Names=nginx.service
RequiredBy=
WantedBy=
LoadState=loaded
ActiveState=failed
SubState=failed
UnitFileState=disabled

Result=success
Names=postgresql.service
RequiredBy=
WantedBy=multi-user.target
LoadState=loaded
ActiveState=active
SubState=exited
UnitFileState=enabled

Names=bootproof-absent.service
Result=success
RequiredBy=
WantedBy=
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=

Result=success
Names=telnet.service
RequiredBy=
WantedBy=
LoadState=masked
ActiveState=inactive
SubState=dead
UnitFileState=masked

Result=success
Names=dbus.service
RequiredBy=
WantedBy=
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=static

Result=success
Names=old-script.service
RequiredBy=
WantedBy=multi-user.target graphical.target
LoadState=loaded
ActiveState=activating
SubState=auto-restart
UnitFileState=generated

Result=success
Names=fstrim.timer
RequiredBy=
WantedBy=timers.target
LoadState=loaded
ActiveState=active
SubState=waiting
UnitFileState=enabled
@end 0
";

    pub(crate) fn shown() -> Services {
        parse_services(SHOWN, "").unwrap()
    }

    #[test]
    fn a_unit_is_found_by_each_of_its_names() {
        let services = shown();
        assert_eq!(services.get("sshd.service"), services.get("ssh.service"));
        for (unit, state) in [
            ("ssh.service", "active (running)"),
            ("nginx.service", "failed (exit-code)"),
            ("bootproof-absent.service", "not installed"),
            ("telnet.service", "masked"),
            ("old-script.service", "activating (auto-restart)"),
            ("fstrim.timer", "active (waiting)"),
        ] {
            assert_eq!(services.get(unit).unwrap().state(), state);
        }
    }

    #[test]
    fn without_an_answer_nothing_is_known() {
        let openrc = parse_services("@init OpenRC\n", "");
        assert_eq!(openrc, Err(Unclear::NoSystemd("OpenRC".to_owned())));
        let missing = parse_services("@end 127\n", "sh: 1: systemctl: not found\n");
        assert_eq!(missing, Err(Unclear::MissingTool("systemctl".to_owned())));
        assert!(matches!(parse_services("", ""), Err(Unclear::NotRead { .. })));
        let refused = "Failed to connect to bus: Host is down\n";
        let Ok(none) = parse_services("@end 1\n", refused) else { panic!("it ended") };
        let Err(Unclear::NotRead { why, .. }) = none.get("ssh.service") else { panic!("known") };
        assert_eq!(why, "Failed to connect to bus: Host is down");
    }

    #[test]
    fn names_of_units_are_checked() {
        for name in ["nginx", "nginx.service", "getty@tty1", "fstrim.timer", "a-b:c.d", "x@a\\x2db"]
        {
            assert_eq!(mistake(name), None, "{name}");
        }
        for name in
            ["", ".service", "a b", "a;b", "a\nb", "a\0", "@x", "getty@", "getty@.service", "ä"]
        {
            assert!(mistake(name).is_some(), "{name:?}");
        }
        assert_eq!(unit("python3.11"), "python3.11.service");
    }
}
