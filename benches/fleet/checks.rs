//! The ten checks of each host, in the words of bootproof, of a shell and of testinfra.

use serde_json::{Value, json};

use crate::hosts::Host;

/// How many checks a host has.
pub const CHECKS: usize = 10;

/// The suite. The answers to the first three differ from host to host.
pub fn suite() -> Value {
    let assertions: [Value; CHECKS] = [
        json!({ "type": "command_output", "name": "host-name",
                "command": "uname -n", "equals": "${{ vm.name }}" }),
        json!({ "type": "command_output", "name": "machine-id",
                "command": "cat /etc/machine-id", "equals": "${{ vm.vars.machine_id }}" }),
        json!({ "type": "port_listening", "port": 22, "address": "${{ vm.address }}" }),
        json!({ "type": "command_output", "name": "tmp-is-sticky",
                "command": "stat -c %a /tmp", "equals": "1777" }),
        json!({ "type": "file_exists", "path": "/etc/passwd", "mode": "0644", "owner": "root" }),
        json!({ "type": "file_contains", "path": "/etc/os-release", "matches": "^ID=" }),
        json!({ "type": "user_exists", "user": "root", "uid": 0 }),
        json!({ "type": "group_exists", "group": "root", "gid": 0 }),
        json!({ "type": "process_running", "process": "sshd", "user": "root", "at_least": 1 }),
        json!({ "type": "package_installed", "package": "openssh-server" }),
    ];
    let everywhere = assertions.map(|mut assertion| {
        assertion["on_vm"] = "*".into();
        assertion
    });
    let test = json!({ "name": "Every host", "assertions": everywhere });
    json!({ "scenarios": [{ "name": "fleet", "custom_tests": [test] }] })
}

/// The same in one command for a shell; `{}` are the digits of the host.
pub fn script() -> String {
    let checks: [String; CHECKS] = [
        "[ \"$(uname -n)\" = web{} ]".to_owned(),
        format!("[ \"$(cat /etc/machine-id)\" = {}{{}} ]", Host::MACHINE_ID),
        "grep -q ': 00000000:0016 00000000:0000 0A' /proc/net/tcp".to_owned(),
        "[ \"$(stat -c %a /tmp)\" = 1777 ]".to_owned(),
        "[ \"$(stat -c '%a %U' /etc/passwd)\" = '644 root' ]".to_owned(),
        "grep -q ^ID= /etc/os-release".to_owned(),
        "[ \"$(id -u root)\" = 0 ]".to_owned(),
        "getent group root | grep -q ^root:[^:]*:0:".to_owned(),
        "ps -u root -o comm= | grep -qx sshd".to_owned(),
        "dpkg-query -W -f '${db:Status-Status}' openssh-server | grep -qx installed".to_owned(),
    ];
    checks.map(|check| format!("{check} || exit 1\n")).concat()
}

/// The same as a file of tests for testinfra.
pub const TESTINFRA: &str = r#"
import re


def number(host):
    return host.backend.get_hostname().removeprefix("web")


def test_host_name(host):
    assert host.check_output("uname -n") == "web" + number(host)


def test_machine_id(host):
    assert host.check_output("cat /etc/machine-id") == "MACHINE_ID" + number(host)


def test_port(host):
    assert host.socket("tcp://0.0.0.0:22").is_listening


def test_tmp_is_sticky(host):
    assert host.check_output("stat -c %a /tmp") == "1777"


def test_file(host):
    file = host.file("/etc/passwd")
    assert file.mode == 0o644 and file.user == "root"


def test_contents(host):
    assert re.search("^ID=", host.file("/etc/os-release").content_string, re.MULTILINE)


def test_user(host):
    assert host.user("root").uid == 0


def test_group(host):
    assert host.group("root").gid == 0


def test_process(host):
    assert host.process.filter(user="root", comm="sshd")


def test_package(host):
    assert host.package("openssh-server").is_installed
"#;
