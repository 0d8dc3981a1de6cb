//! Wrong files, flags and VMs: messages and exit codes. The snapshots are the messages.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fake_vm::{Login, PASSWORD, Script};
use crate::scene::{Run, Scene, redact};

const INVENTORY: &str = r#"{
  "lab": "fake",
  "defaults": { "user": "ops", "password": "x" },
  "vms": {
    "app-server": { "address": "127.0.0.1", "ssh": { "port": 1 } },
    "redis": { "address": "127.0.0.1", "ssh": { "port": 1 } }
  },
  "connections": [{ "from": "app-server", "to": "redis", "port": 6379 }]
}
"#;

const SUITE: &str = r#"{
  "scenarios": [
    {
      "name": "scenario",
      "type": "group",
      "tests": [],
      "custom_tests": [
        {
          "name": "Ports",
          "assertions": [
            { "type": "port_listening", "on_vm": "redis", "port": 6379 },
            { "type": "command_output", "on_vm": "app-server", "command": "true", "contains": "ok" }
          ]
        }
      ]
    }
  ]
}
"#;

/// What is wrong; a part of the right file; and what to write instead of it.
type Case = (&'static str, &'static str, &'static str);

const PORT: &str = r#"{ "type": "port_listening", "on_vm": "redis", "port": 6379 }"#;
const CONTAINS: &str = r#""contains": "ok""#;

const WRONG_SUITES: &[Case] = &[
    ("unknown VM", r#""on_vm": "redis""#, r#""on_vm": "rediss""#),
    ("unknown key", r#""port": 6379"#, r#""prot": 6379"#),
    ("unknown key in a scenario", r#""type": "group""#, r#""typ": "group""#),
    ("duplicate key", r#""port": 6379"#, r#""port": 6379, "port": 6380"#),
    ("misspelt type", "port_listening", "port_listenning"),
    ("unknown type", "port_listening", "kernel_module_loaded"),
    ("missing type", r#""type": "port_listening", "#, ""),
    ("broken jq program", CONTAINS, r#""jq": ".a ==""#),
    ("broken regular expression", CONTAINS, r#""matches": "(""#),
    ("regular expression that matches everything", CONTAINS, r#""matches": ".*""#),
    ("empty contains", CONTAINS, r#""contains": """#),
    ("empty command", r#""command": "true""#, r#""command": " ""#),
    ("missing on_vm", r#""on_vm": "redis", "#, ""),
    ("missing port", r#", "port": 6379"#, ""),
    ("port out of range", "6379", "66379"),
    ("port as a string", "6379", r#""6379""#),
    ("misspelt common key", r#""port": 6379"#, r#""port": 6379, "timeoutt": "5s""#),
    (
        "misspelt common key in params",
        r#""port": 6379"#,
        r#""params": { "port": 6379, "timeoutt": 5 }"#,
    ),
    (
        "misspelt key beside params",
        r#""port": 6379"#,
        r#""params": { "port": 6379 }, "timeoutt": 5"#,
    ),
    ("port 0", "6379", "0"),
    ("invalid address", r#""port": 6379"#, r#""port": 6379, "address": "localhost""#),
    ("non-empty tests", r#""tests": []"#, r#""tests": ["old"]"#),
    ("invalid duration", CONTAINS, r#""contains": "ok", "timeout": "soon""#),
    ("exit status out of range", CONTAINS, r#""exit_code": 256"#),
    ("list as params", r#""port": 6379"#, r#""params": []"#),
    (
        "list as a scenario",
        r#"{
      "name": "scenario","#,
        r#"["scenario"], {
      "name": "scenario","#,
    ),
    ("lint_allow without a reason", r#""port": 6379"#, r#""port": 6379, "lint_allow": " ""#),
    ("waive, the old name of lint_allow", r#""port": 6379"#, r#""port": 6379, "waive": "why""#),
    (
        "counter-example that equals the assertion",
        r#""port": 6379"#,
        r#""port": 6379, "counter_example": { "port": 6379 }"#,
    ),
    (
        "counter-example with an unknown key",
        r#""port": 6379"#,
        r#""port": 6379, "counter_example": { "prot": 1 }"#,
    ),
    ("key beside params", r#""port": 6379"#, r#""port": 6379, "params": {}"#),
    (
        "duplicate assertion",
        PORT,
        r#"{ "type": "port_listening", "on_vm": "redis", "port": 6379 },
            { "type": "port_listening", "on_vm": "redis", "port": 6379 }"#,
    ),
    ("no custom tests", r#""custom_tests": ["#, r#""custom_tests": [], "description": ["#),
    (
        "URL without a scheme",
        PORT,
        r#"{ "type": "http_responds", "on_vm": "redis", "url": "localhost:2283" }"#,
    ),
    ("incomplete URL", PORT, r#"{ "type": "http_responds", "on_vm": "redis", "url": "2283" }"#),
    (
        "method in lower case",
        PORT,
        r#"{ "type": "http_responds", "on_vm": "redis", "url": "http://h", "method": "get" }"#,
    ),
];

/// Instead of [`PORT`]: mistakes in selectors, templates and `for_each`.
const WRONG_TARGETS: &[(&str, &str)] = &[
    ("no VM at all", r#"{ "type": "port_listening", "on_vm": [], "port": 1 }"#),
    ("a number as selector", r#"{ "type": "port_listening", "on_vm": 5, "port": 1 }"#),
    ("a number in the list", r#"{ "type": "port_listening", "on_vm": ["redis", 5], "port": 1 }"#),
    ("misspelt role", r#"{ "type": "port_listening", "on_vm": "role:cashe", "port": 1 }"#),
    ("unknown group", r#"{ "type": "port_listening", "on_vm": ["*", "!group:eu"], "port": 1 }"#),
    ("a role without its prefix", r#"{ "type": "port_listening", "on_vm": "cache", "port": 1 }"#),
    (
        "unknown kind of selector",
        r#"{ "type": "port_listening", "on_vm": "rol:cache", "port": 1 }"#,
    ),
    ("only left out", r#"{ "type": "port_listening", "on_vm": "!redis", "port": 1 }"#),
    ("all left out", r#"{ "type": "port_listening", "on_vm": ["redis", "!*"], "port": 1 }"#),
    ("a pattern", r#"{ "type": "port_listening", "on_vm": "app-*", "port": 1 }"#),
    (
        "VMs in one string",
        r#"{ "type": "port_listening", "on_vm": "redis,app-server", "port": 1 }"#,
    ),
    (
        "a template as selector",
        r#"{ "type": "port_listening", "on_vm": "${{ vm.name }}", "port": 1 }"#,
    ),
    (
        "misspelt name",
        r#"{ "type": "command_output", "on_vm": "*", "command": "ls ${{ vm.nmae }}" }"#,
    ),
    (
        "unknown root",
        r#"{ "type": "command_output", "on_vm": "*", "command": "ls ${{ host.name }}" }"#,
    ),
    (
        "a key that the VM does not have",
        r#"{ "type": "command_output", "on_vm": "*", "command": "ls ${{ vm.memory_gb }}" }"#,
    ),
    (
        "unknown value of the VM",
        r#"{ "type": "command_output", "on_vm": "*", "command": "ls ${{ vm.vars.flder }}" }"#,
    ),
    (
        "unknown value of the suite",
        r#"{ "type": "command_output", "on_vm": "*", "command": "ls ${{ vars.folder }}" }"#,
    ),
    (
        "a name with a hyphen",
        r#"{ "type": "command_output", "on_vm": "redis", "name": "n",
              "command": "nc ${{ vms.app-server.address }} 1" }"#,
    ),
    (
        "template cut off",
        r#"{ "type": "command_output", "on_vm": "*", "command": "ls ${{ vm.name" }"#,
    ),
    (
        "unknown filter",
        r#"{ "type": "command_output", "on_vm": "*", "command": "ls ${{ vm.name | uper }}" }"#,
    ),
    (
        "template inside quotes",
        r#"{ "type": "command_output", "on_vm": "*", "command": "echo '${{ vm.name }}'" }"#,
    ),
    (
        "a list in a text",
        r#"{ "type": "command_output", "on_vm": "redis", "command": "true",
              "equals": "on ${{ vm.ports }}" }"#,
    ),
    (
        "a word as port",
        r#"{ "type": "port_listening", "on_vm": "redis", "port": "${{ vm.name }}" }"#,
    ),
    (
        "a word as duration",
        r#"{ "type": "port_listening", "on_vm": "redis", "port": 1, "wait": "${{ vm.name }}" }"#,
    ),
    (
        "empty for_each",
        r#"{ "type": "port_listening", "on_vm": "redis", "port": 1, "for_each": {} }"#,
    ),
    (
        "for_each with a list",
        r#"{ "type": "port_listening", "on_vm": "redis", "port": 1, "for_each": [1, 2] }"#,
    ),
    (
        "for_each without values",
        r#"{ "type": "port_listening", "on_vm": "redis", "port": 1, "for_each": { "port": [] } }"#,
    ),
    (
        "for_each with a duplicate",
        r#"{ "type": "port_listening", "on_vm": "redis", "port": "${{ each.port }}",
              "for_each": { "port": [1, 2, 1] } }"#,
    ),
    (
        "for_each with a name for no template",
        r#"{ "type": "port_listening", "on_vm": "redis", "port": 1, "for_each": { "a-b": [1] } }"#,
    ),
    (
        "for_each with a text",
        r#"{ "type": "port_listening", "on_vm": "redis", "port": "${{ each.port }}",
              "for_each": { "port": "${{ vm.name }}" } }"#,
    ),
    (
        "misspelt value of for_each",
        r#"{ "type": "port_listening", "on_vm": "redis", "port": "${{ each.prot }}",
              "for_each": { "port": [1, 2] } }"#,
    ),
    (
        "the same id for each value",
        r#"{ "type": "port_listening", "on_vm": "redis", "port": 1, "name": "${{ vm.name }}",
              "for_each": { "x": [1, 2] } }"#,
    ),
];

const WRONG_INVENTORIES: &[Case] = &[
    ("unknown key", r#""address": "127.0.0.1", "#, r#""adress": "127.0.0.1", "#),
    ("unknown key in ssh", r#""port": 1"#, r#""prot": 1"#),
    ("a list for a VM's ssh", r#""ssh": { "port": 1 }"#, r#""ssh": []"#),
    ("a list for the defaults", r#"{ "user": "ops", "password": "x" }"#, "[]"),
    (
        "a list for a connection",
        r#"{ "from": "app-server", "to": "redis", "port": 6379 }"#,
        r#"["app-server", "redis", 1]"#,
    ),
    ("duplicate VM", r#""redis": {"#, r#""app-server": {"#),
    ("no user", r#""user": "ops", "#, ""),
    ("no way to log in", r#", "password": "x""#, ""),
    ("no address", r#""address": "127.0.0.1", "#, ""),
    ("invalid secret", r#""password": "x""#, r#""password": { "vault": "x" }"#),
    ("invalid host key", r#""port": 1"#, r#""host_key": "MD5:00""#),
    ("unknown jump host", r#""port": 1"#, r#""via": "bastion""#),
    (
        "jump hosts in a circle",
        r#""ssh": { "port": 1 } },
    "redis": { "address": "127.0.0.1", "ssh": { "port": 1 } }"#,
        r#""ssh": { "via": "redis" } },
    "redis": { "address": "127.0.0.1", "ssh": { "via": "app-server" } }"#,
    ),
    ("connection to an unknown VM", r#""to": "redis""#, r#""to": "redsi""#),
    ("invalid VM name", r#""redis": {"#, r#""red is": {"#),
    ("missing lab", r#""lab": "fake","#, ""),
    ("login port as a string", r#""port": 1"#, r#""port": "22""#),
    ("invalid role", r#""redis": {"#, r#""redis": { "role": "my cache","#),
    ("invalid group", r#""redis": {"#, r#""redis": { "groups": ["eu", "group:us"],"#),
    ("duplicate group", r#""redis": {"#, r#""redis": { "groups": ["eu", "eu"],"#),
    (
        "a group without VMs",
        r#""lab": "fake","#,
        r#""lab": "fake", "groups": { "eu": { "vars": { "x": 1 } } },"#,
    ),
    ("empty list of suites", r#""lab": "fake","#, r#""lab": "fake", "suites": [],"#),
];

fn exit_and_message(scene: &Scene, run: &Run) -> String {
    // libjq itself explains first what it cannot compile, in other words in each of its versions.
    let message: Vec<&str> =
        run.stderr.lines().skip_while(|line| !line.starts_with("error: ")).collect();
    let code = run.code.map_or("killed".to_owned(), |code| code.to_string());
    redact(&format!("exit {code}\n{}\n", message.join("\n")), scene)
}

/// `bootproof check` with an inventory and a suite; nothing may be connected to.
fn check_files(inventory: &str, suite: &str) -> String {
    check_suite(inventory, "suite.json", suite)
}

fn check_suite(inventory: &str, name: &str, suite: &str) -> String {
    let scene = Scene::new();
    scene.write("inventory.json", inventory);
    scene.write(name, suite);
    let run = scene.bootproof(&["check", "-i", "inventory.json", "-s", name, "--once"]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    assert!(!scene.path("reports").exists(), "a file that is wrong leaves no report");
    exit_and_message(&scene, &run)
}

fn changed(text: &str, (title, from, to): &Case) -> String {
    assert!(text.contains(from), "{title}: {from}");
    text.replace(from, to)
}

fn chapter(title: &str, text: &str) -> String {
    format!("# {title}\n{text}\n")
}

#[test]
fn problems_in_a_suite_have_file_line_and_hint() {
    let mut messages: String = WRONG_SUITES
        .iter()
        .map(|case| chapter(case.0, &check_files(INVENTORY, &changed(SUITE, case))))
        .collect();
    let cut = &SUITE[..SUITE.len() / 2];
    for (title, text) in [
        ("truncated", cut),
        ("empty", ""),
        ("byte order mark", "\u{feff}{}"),
        ("a list", "[]"),
        ("no scenario, in spite of a comment", "{\n  // none yet\n  \"scenarios\": [],\n}"),
        (
            "no assertion",
            r#"{ "scenarios": [{ "name": "s", "custom_tests": [{ "name": "t", "assertions": [] }] }] }"#,
        ),
    ] {
        messages += &chapter(title, &check_files(INVENTORY, text));
    }
    insta::assert_snapshot!("wrong_suites", messages);
}

#[test]
fn problems_with_selectors_and_templates_have_file_line_and_hint() {
    let inventory = INVENTORY.replace(
        r#""redis": {"#,
        r#""redis": { "role": "cache", "ports": [6379, 9121], "vars": { "folder": "/srv" },"#,
    );
    let messages: String = WRONG_TARGETS
        .iter()
        .map(|(title, wrong)| chapter(title, &check_files(&inventory, &SUITE.replace(PORT, wrong))))
        .collect();
    insta::assert_snapshot!("wrong_targets", messages);
}

#[test]
fn problems_in_an_inventory_have_file_line_and_hint() {
    let mut messages: String = WRONG_INVENTORIES
        .iter()
        .map(|case| chapter(case.0, &check_files(&changed(INVENTORY, case), SUITE)))
        .collect();
    for (title, text) in [
        ("truncated", &INVENTORY[..INVENTORY.len() - 20]),
        ("empty", ""),
        ("INI", "[fake]\nredis ansible_host=127.0.0.1\n"),
        ("no VM", r#"{ "lab": "fake", "vms": {} }"#),
    ] {
        messages += &chapter(title, &check_files(text, SUITE));
    }
    insta::assert_snapshot!("wrong_inventories", messages);
}

/// Mistakes that make a text something else than JSON.
const NO_JSON: &[Case] = &[
    ("YAML", SUITE, "# my suite\nscenarios:\n  - name: x\n"),
    ("comment with #", r#""type": "group","#, r#""type": "group", # of tests"#),
    ("comment that is not closed", r#""type": "group","#, r#""type": "group", /* of tests"#),
    ("half a comment", r#""type": "group","#, r#""type": "group", / of tests"#),
    ("single quotes", r#""group""#, "'group'"),
    ("key without quotes", r#""type": "group""#, r#"type: "group""#),
    ("word without quotes", r#""group""#, "group"),
    ("quote that is not closed", r#""group""#, r#""group"#),
    ("missing comma", r#""type": "group","#, r#""type": "group""#),
    ("two commas", r#""type": "group","#, r#""type": "group",,"#),
    ("missing colon", r#""type": "group""#, r#""type" "group""#),
    ("number with a leading zero", "6379", "06379"),
    ("hexadecimal number", "6379", "0x18eb"),
    ("invalid escape", r#""ok""#, r#""\d""#),
    ("tab in a string", r#""ok""#, "\"o\tk\""),
    ("bracket too many", r#""port": 6379 }"#, r#""port": 6379 }}"#),
    ("duplicate key below a comment", r#""port": 6379"#, "\"port\": 1, // ssh\n\"port\": 6379"),
    ("unknown key below a comment", r#""port": 6379"#, "/* the\n port */ \"prot\": 6379,"),
    ("text in YAML", r#""port": 6379"#, "\"port\": yes"),
];

#[test]
fn mistakes_in_json_say_what_to_write() {
    let nested = SUITE.replace("6379", &("[".repeat(200) + &"]".repeat(200)));
    let mut messages: String = NO_JSON
        .iter()
        .map(|case| chapter(case.0, &check_files(INVENTORY, &changed(SUITE, case))))
        .collect();
    messages += &chapter("nested too deep", &check_files(INVENTORY, &nested));
    insta::assert_snapshot!("wrong_json", messages);
}

const YAML: &str = "\
# Both are behind the firewall.
scenarios:
  - name: scenario
    custom_tests:
      - name: Ports
        assertions:
          - type: port_listening
            on_vm: redis
            port: 6379
          - { type: command_output, on_vm: app-server, command: 'true', contains: ok }
";

const ON_REDIS: &str = "            on_vm: redis\n";
const PORT_LINE: &str = "            port: 6379\n";

const WRONG_YAML: &[Case] = &[
    ("tab in the indentation", PORT_LINE, "\t    port: 6379\n"),
    ("tab between spaces", PORT_LINE, "    \t   port: 6379\n"),
    ("too far to the left", PORT_LINE, "          port: 6379\n"),
    ("too far to the right", PORT_LINE, "              port: 6379\n"),
    ("list too far to the left", "      - name: Ports", "   - name: Ports"),
    ("quote that is not closed", "'true'", "'true"),
    ("double quote that is not closed", "on_vm: redis", "on_vm: \"redis"),
    ("text after a quote", "on_vm: redis", "on_vm: \"redis\" or db"),
    ("bracket that is not closed", "contains: ok }", "contains: ok"),
    ("missing comma", "'true', contains", "'true' contains"),
    ("missing space after the colon", "on_vm: redis", "on_vm:redis"),
    ("missing colon", "on_vm: redis", "on_vm redis"),
    ("missing space after the dash", "- name: Ports", "-name: Ports"),
    ("text with a colon", PORT_LINE, "            port: 6379\n            description: a: b\n"),
    ("template without quotes", "on_vm: redis", "on_vm: {{ vm }}"),
    ("text that begins with @", "on_vm: redis", "on_vm: @redis"),
    ("text that begins with %", "on_vm: redis", "on_vm: %redis"),
    ("escape in double quotes", "contains: ok", "matches: \"\\d+\""),
    ("duplicate key", PORT_LINE, "            port: 6379\n            port: 6380\n"),
    ("unknown key", "port: 6379", "prot: 6379"),
    ("misspelt type", "port_listening", "port_listenning"),
    ("unknown VM", "on_vm: redis", "on_vm: rediss # the cache"),
    ("key without a value", "on_vm: redis", "on_vm:"),
    ("number for a text", "contains: ok", "contains: 17"),
    ("text for a boolean", "contains: ok", "contains: ok, become: yes"),
    ("number in quotes", "port: 6379", "port: '6379'"),
    ("leading zero", "contains: ok", "contains: 0750"),
    ("version", "contains: ok", "contains: 1.10"),
    ("octal number", "port: 6379", "port: 0o14353"),
    ("infinity", "port: 6379", "port: .inf"),
    ("large number", "port: 6379", "port: 18446744073709551616"),
    ("key that is a number", "port: 6379", "6379: port"),
    ("key that is a list", "port: 6379", "[port]: 6379"),
    ("no key", "port: 6379", ": 6379"),
    ("merge key", PORT_LINE, "            <<: { port: 6379 }\n"),
    ("every VM without quotes", "on_vm: redis", "on_vm: *"),
    ("all VMs but one without quotes", "on_vm: redis", "on_vm: [redis, !app-server]"),
    ("template without quotes in braces", "contains: ok", "contains: ${{ vm.name }}"),
    ("unknown alias", "on_vm: redis", "on_vm: *cache"),
    ("alias of itself", "on_vm: redis", "on_vm: &cache [*cache]"),
    ("tag of Ansible", "on_vm: redis", "on_vm: !vault redis"),
    ("tag of YAML", "on_vm: redis", "on_vm: !!binary cmVkaXM="),
    ("tag that is not declared", "on_vm: redis", "on_vm: !a!b redis"),
    ("two documents", "contains: ok }\n", "contains: ok }\n---\nscenarios: []\n"),
    ("comment with //", "# Both", "// Both"),
    ("comment in a text", ON_REDIS, "            on_vm: redis # the\n              cache\n"),
    ("list at the top", "scenarios:\n", "- scenarios:\n"),
    ("control character", "on_vm: redis", "on_vm: re\0dis"),
    ("empty", YAML, ""),
    ("only a comment", YAML, "# nothing\n"),
    ("only a text", YAML, "nothing\n"),
    ("byte order mark", YAML, "\u{feff}scenarios: []\n"),
    ("INI", YAML, "[scenarios]\nname = x\n"),
    ("JSON that is cut off", YAML, "{\"scenarios\": [{"),
];

#[test]
fn mistakes_in_yaml_say_what_to_write() {
    let check = |text: &str| check_suite(INVENTORY, "suite.yaml", text);
    let mut messages: String =
        WRONG_YAML.iter().map(|case| chapter(case.0, &check(&changed(YAML, case)))).collect();
    let mut laughs = "x: &a0 [l, o, l]\n".to_owned();
    for level in 1..30 {
        let below = format!("*a{}", level - 1);
        laughs += &format!("x{level}: &a{level} [{below}, {below}, {below}]\n");
    }
    let nested = YAML.replace("6379", &("[".repeat(200) + &"]".repeat(200)));
    for (title, text) in [
        ("aliases without end", laughs),
        ("nested too deep", nested),
        ("cut off", YAML[..YAML.len() - 10].to_owned()),
    ] {
        messages += &chapter(title, &check(&text));
    }
    insta::assert_snapshot!("wrong_yaml", messages);
}

#[test]
fn a_secret_is_not_in_a_message_about_yaml() {
    let inventory = "lab: l\nvms:\n  a:\n    address: h\n    ssh: { user: u, password: 0123450 }\n";
    let scene = Scene::new();
    scene.write("lab.yaml", inventory);
    let run = scene.bootproof(&["lint", "lab.yaml"]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    assert!(run.stderr.contains("lab.yaml:5:31: a secret must be text"), "{}", run.stderr);
    assert!(!run.transcript().contains("123450"), "{}", run.transcript());
}

#[test]
fn lint_finds_what_check_finds() {
    let scene = Scene::new();
    scene.write("inventory.json", INVENTORY);
    scene.write("suite.json", SUITE);
    scene.write("wrong.json", changed(SUITE, &WRONG_SUITES[4]));
    scene.write("else.json", "{\"a\": 1}");
    let right = scene.bootproof(&["lint", "inventory.json", "suite.json"]);
    let wrong =
        scene.bootproof(&["lint", "inventory.json", "wrong.json", "else.json", "absent.json"]);
    assert_eq!((right.code, wrong.code), (Some(0), Some(2)));
    insta::assert_snapshot!(
        "lint",
        format!("{}{}---\n{}{}", right.stdout, right.stderr, wrong.stdout, wrong.stderr)
    );
}

const DOUBTFUL: &[&str] = &[
    r#"{ "type": "command_output", "on_vm": "redis", "command": "nc -z h 1 || true" }"#,
    r#"{ "type": "command_output", "on_vm": "redis", "command": "nc -z h 1; echo server-ok", "contains": "server-ok" }"#,
    r#"{ "type": "command_output", "on_vm": "redis", "command": "nc -z h 1 || echo ok", "contains": "ok" }"#,
    r#"{ "type": "command_output", "on_vm": "redis", "params": { "command": "cat /x | sort" } }"#,
    r#"{ "type": "command_output", "on_vm": "redis", "command": "curl h | jq -e .ok && echo y", "contains": "y" }"#,
    r#"{ "type": "command_output", "on_vm": "redis", "command": "a | tail -1", "lint_allow": "tail is enough here" }"#,
    r#"{ "type": "command_output", "on_vm": "redis", "name": "right", "command": "a", "lint_allow": "for nothing" }"#,
    r#"{ "type": "port_listening", "on_vm": "redis", "port": 1 }"#,
    r#"{ "type": "port_listening", "on_vm": "redis", "port": 6379 }"#,
];

#[test]
fn lint_warns_about_checks_that_cannot_fail_or_hide_a_failure() {
    let scene = Scene::new();
    scene.write("inventory.json", INVENTORY);
    scene.write("suite.json", SUITE);
    scene.write(
        "doubtful.json",
        SUITE.replace("Ports", "Doubtful").replace(PORT, &DOUBTFUL.join(",\n            ")),
    );
    scene.write("warned.json", SUITE.replace(PORT, DOUBTFUL[3]));
    scene.write("allowed.json", SUITE.replace(PORT, DOUBTFUL[5]));
    let code = |arguments: &[&str]| scene.bootproof(&[&["lint"], arguments].concat()).code;
    assert_eq!(code(&["warned.json"]), Some(0));
    assert_eq!(code(&["warned.json", "--deny-warnings"]), Some(2));
    assert_eq!(code(&["allowed.json", "--deny-warnings"]), Some(0));
    let lint = scene.bootproof(&["lint", "inventory.json", "suite.json", "doubtful.json"]);
    assert_eq!(lint.code, Some(2), "a check that cannot fail is an error");
    insta::assert_snapshot!("doubtful_checks", format!("{}{}", lint.stdout, lint.stderr));
}

/// Every warning about our own suites is listed here, and is right.
#[test]
fn lint_warns_about_our_own_suites_only_where_they_hide_a_failure() {
    let root = env!("CARGO_MANIFEST_DIR");
    let lint = |suite: &str| {
        let printed = Scene::new()
            .bootproof(&["lint", &format!("{root}/suites/immich-photo-vault-{suite}.json")]);
        assert_eq!(printed.code, Some(0), "{}", printed.transcript());
        printed
            .stderr
            .lines()
            .filter(|line| line.contains("warning: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    // The commands of the seed: the pipe loses the exit status of curl, but jq 1.7, as on trixie,
    // notices that it has nothing to read.
    let validation = lint("validation");
    assert_eq!(validation.len(), 2, "{validation:#?}");
    assert!(validation.iter().all(|line| line.contains("jq 1.7")), "{validation:#?}");
    assert_eq!(lint("contract"), [""; 0]);
}

/// `bootproof check` on the right files, with these flags.
fn check_flags(title: &str, flags: &[&str], prepare: impl FnOnce(&Scene)) -> String {
    let scene = Scene::new();
    scene.write("inventory.json", INVENTORY);
    scene.write("suite.json", SUITE);
    prepare(&scene);
    let files = ["check", "-i", "inventory.json", "-s", "suite.json"];
    let run = scene.bootproof(&[&files[..], flags].concat());
    assert_ne!(run.code, Some(0), "{}", run.transcript());
    chapter(title, &exit_and_message(&scene, &run))
}

#[test]
fn problems_with_files_flags_and_secrets_have_hints() {
    let secret = |place: &'static str| {
        move |scene: &Scene| scene.write("inventory.json", INVENTORY.replace(r#""x""#, place))
    };
    let empty = Scene::new();
    let printed = [
        chapter("no files at all", &exit_and_message(&empty, &empty.bootproof(&["check"]))),
        check_flags(
            "nothing is selected",
            &["--limit", "redis", "--filter", "zzz", "--filter", "yyy"],
            |_| {},
        ),
        check_flags("unknown --limit VM", &["--limit", "redis,rediss"], |_| {}),
        check_flags("unknown role in --exclude", &["--exclude", "role:app"], |_| {}),
        check_flags("everything is excluded", &["--exclude", "*", "--skip", "zzz"], |_| {}),
        check_flags("unknown value", &["--var", "colour=red"], |_| {}),
        check_flags("a value without its name", &["--var", "red"], |_| {}),
        check_flags(
            "missing environment variable",
            &[],
            secret(r#"{ "env": "BOOTPROOF_TEST_ABSENT" }"#),
        ),
        check_flags("missing secret file", &[], secret(r#"{ "file": "secrets/absent" }"#)),
        check_flags("missing inventory", &[], |scene| {
            fs::remove_file(scene.path("inventory.json")).unwrap();
        }),
        check_flags("a folder as suite", &["-s", "."], |_| {}),
        check_flags("a suite that is not UTF-8", &[], |scene| scene.write("suite.json", b"{\xff}")),
        check_flags("a report below a file", &["--report-json", "suite.json/report.json"], |_| {}),
        check_flags("a report that is a folder", &["--report-junit", "folder"], |scene| {
            fs::create_dir(scene.path("folder")).unwrap();
        }),
    ];
    insta::assert_snapshot!("unreadable_and_unknown", printed.concat());
}

#[test]
fn swapped_files_are_named() {
    let scene = Scene::new();
    scene.write("inventory.json", INVENTORY);
    scene.write("suite.json", SUITE);
    let run = scene.bootproof(&["check", "-i", "suite.json", "-s", "suite.json"]);
    assert_eq!(run.code, Some(2));
    let message =
        "error: suite.json:1:1: this is a suite, not an inventory\n  hint: name it with -s";
    assert!(run.stderr.starts_with(message), "{}", run.stderr);
    let run = scene.bootproof(&["check", "-i", "inventory.json", "-s", "inventory.json"]);
    assert_eq!(run.code, Some(2));
    let message = "error: inventory.json:1:1: this is an inventory, not a suite";
    assert!(run.stderr.starts_with(message), "{}", run.stderr);
}

#[test]
fn lint_and_check_read_the_suites_that_the_inventory_names() {
    let scene = Scene::new();
    let naming = |suite: &str| {
        let lab = format!(r#""lab": "fake", "suites": ["{suite}"],"#);
        INVENTORY.replace(r#""lab": "fake","#, &lab)
    };
    scene.write("inventory.json", naming("suite.json"));
    scene.write("suite.json", SUITE.replace("6379 }", r#"6379, "timeout": "soon" }"#));
    let run = scene.bootproof(&["lint", "inventory.json"]);
    assert_eq!(run.code, Some(2), "{}", run.transcript());
    assert!(run.stderr.contains("suite.json:11:"), "{}", run.transcript());
    scene.write("inventory.json", naming("absent.json"));
    for command in [&["lint", "inventory.json"][..], &["check", "-i", "inventory.json"]] {
        let run = scene.bootproof(command);
        assert_eq!(run.code, Some(2), "{}", run.transcript());
        let message = "error: inventory.json: cannot read the suite absent.json";
        assert!(run.stderr.contains(message), "{}", run.transcript());
        assert!(run.stderr.contains("at suites[0]"), "{}", run.transcript());
    }
}

#[test]
fn an_unreadable_file_is_an_error() {
    let scene = Scene::new();
    scene.write("inventory.json", INVENTORY);
    fs::set_permissions(scene.path("inventory.json"), fs::Permissions::from_mode(0o000)).unwrap();
    let run = scene.bootproof(&["check", "-i", "inventory.json", "-s", "absent.json"]);
    // Root reads everything; then the suite is what is missing.
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.starts_with("error: cannot read "), "{}", run.stderr);
}

/// The cause on the screen when one VM cannot be used.
fn cause_of(title: &str, scene: &Scene) -> String {
    let run = scene.check(&["--once"]);
    assert_eq!((run.code, run.verdicts()), (Some(3), vec!["blocked"]), "{}", run.transcript());
    let text = redact(&run.stdout, scene);
    let cause = text
        .lines()
        .skip_while(|line| !line.starts_with("cause"))
        .take_while(|line| !line.is_empty());
    chapter(title, &format!("exit 3\n{}\n", cause.collect::<Vec<_>>().join("\n")))
}

#[test]
fn the_cause_of_an_unusable_vm_has_stage_and_address() {
    let vm = Script::default().start();
    let strict = Script { login: Login::password("another"), ..Script::default() }.start();
    let scene = |vm| Scene::with(vm).run("vm", "true");
    let mut unknown = scene(&vm);
    unknown.inventory.as_object_mut().unwrap().shift_remove("known_hosts");
    let rebuilt = scene(&vm);
    let old = Script { host_key: 2, ..Script::default() }.start();
    rebuilt.write(
        "known_hosts",
        old.known_hosts_line().replace(&old.port.to_string(), &vm.port.to_string()),
    );
    let printed = [
        cause_of("wrong password", &scene(&strict)),
        cause_of("wrong user", &scene(&vm).ssh("vm", "user", "nobody")),
        cause_of("closed port", &Scene::new().vm_at("vm", 1).run("vm", "true")),
        // No name server is asked for a name with an empty part.
        cause_of("no such name", &scene(&vm).ssh("vm", "host", "no..name")),
        cause_of("changed host key, pinned", &scene(&vm).ssh("vm", "host_key", old.fingerprint())),
        cause_of("changed host key, known_hosts", &rebuilt),
        cause_of("unknown host key", &unknown),
        cause_of(
            "no key file",
            &scene(&vm).ssh("vm", "password", PASSWORD).ssh("vm", "key", "absent"),
        ),
    ];
    insta::assert_snapshot!("unusable_vms", printed.concat());
}

#[test]
fn a_closed_pipe_does_not_change_the_exit_code() {
    let vm = Script::default().prints("true", "").start();
    let scene = Scene::with(&vm).run("vm", "true");
    scene.write_files();
    for (arguments, code) in [
        (&["check", "-i", "inventory.json", "-s", "suite.json"][..], 0),
        (&["plan", "-i", "inventory.json", "-s", "suite.json"], 0),
        (&["schema", "report"], 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = scene
            .command(env!("CARGO_BIN_EXE_bootproof").as_ref())
            .args(arguments)
            .stdout(writer)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}
