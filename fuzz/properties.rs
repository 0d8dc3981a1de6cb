//! What must hold for any bytes. Each fuzz target calls one of these functions; `cargo test` calls
//! them with the whole corpus (`tests/it/corpus.rs`).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bootproof::assertion::Mismatch;
use bootproof::assertion::port_listening::{Listener, Listeners, Protocol, parse_socket_tables};
use bootproof::lab::recipe::Recipe;
use bootproof::obstacle::Stage;
use bootproof::outcome::{Attempt, Cause, Outcome, Output, Stream, Verdict};
use bootproof::problem::Problems;
use bootproof::record::{RunRecord, Stop, Timeline, Trust, VmRecord};
use bootproof::report::redact::{MASK, Redactor};
use bootproof::report::terminal::Screen;
use bootproof::report::text::{harmless, harmless_line, shortened};
use bootproof::report::{self, Report, ResultRow, explain, junit, terminal};
use bootproof::secrets::Secret;
use bootproof::spec::inventory::{Inventory, Via};
use bootproof::spec::plan::Plan;
use bootproof::spec::source::Source;
use bootproof::spec::suite::Suite;
use bootproof::ssh::host_key::HostKeyPolicy;
use roxmltree::{Document, Node};
use russh::keys::ssh_key::{HashAlg, PublicKey};
use serde_json::Value;

const INVENTORY: &str = include_str!("../inventory/immich-photo-vault.json");
const SUITE: &str = include_str!("../suites/immich-photo-vault-validation.json");

/// Takes the place of each secret.
const CANARY: &str = "canary-that-must-not-sing";

static REFERENCE: LazyLock<Plan> = LazyLock::new(|| {
    let inventory = Inventory::parse("inventory.json", INVENTORY).unwrap();
    Plan::resolve(&[Suite::parse("suite.json", SUITE).unwrap()], inventory).unwrap()
});

/// Each input is tried as a file of each format.
const NAMES: [&str; 2] = ["file.json", "file.yaml"];

/// A valid inventory can be run and does not show its secrets.
pub fn inventory(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for name in NAMES {
        match Inventory::parse(name, text) {
            Err(errors) => have_places(&errors, text),
            Ok(inventory) => {
                can_be_run(&inventory);
                if let Some(text) = with_canaries(name, text) {
                    let inventory =
                        Inventory::parse("f.json", &text).expect("only the secrets differ");
                    assert!(!format!("{inventory:?}").contains(CANARY));
                }
            }
        }
        does_not_depend_on_layout(name, text, |name, text| Inventory::parse(name, text).is_ok());
    }
}

fn can_be_run(inventory: &Inventory) {
    assert!(!inventory.vms.is_empty());
    for (name, vm) in &inventory.vms {
        assert_eq!(*name, vm.name);
        assert!(
            vm.ssh.password.is_some() || vm.ssh.key.is_some() || vm.ssh.agent,
            "no way to log in"
        );
        let mut jumps = 0;
        let mut at = vm;
        while let Some(Via::Vm(next)) = &at.ssh.via {
            at = &inventory.vms[next];
            jumps += 1;
            assert!(jumps < inventory.vms.len(), "the jump hosts form a circle");
        }
    }
    for connection in &inventory.connections {
        assert!(
            inventory.vms.contains_key(&connection.from)
                && inventory.vms.contains_key(&connection.to)
        );
    }
}

/// The same file in JSON, with the canary in place of each secret.
fn with_canaries(name: &str, text: &str) -> Option<String> {
    fn replace(value: &mut Value) {
        match value {
            Value::Object(map) => map.iter_mut().for_each(|(key, value)| match value {
                Value::String(secret)
                    if ["password", "sudo_password", "key_passphrase"].contains(&key.as_str()) =>
                {
                    CANARY.clone_into(secret);
                }
                value => replace(value),
            }),
            Value::Array(list) => list.iter_mut().for_each(replace),
            _ => {}
        }
    }
    let mut value = Source::parse(name, text).ok()?.value.clone();
    if value.to_string().contains(CANARY) {
        return None;
    }
    replace(&mut value);
    Some(value.to_string())
}

fn have_places(errors: &Problems, text: &str) {
    assert!(!errors.0.is_empty());
    let lines = lines(text);
    for error in &errors.0 {
        let place = error.place.unwrap_or_default();
        assert!(
            (1..=lines).contains(&place.0) && place.1 > 0,
            "{place:?} of {lines} lines: {error}"
        );
        assert!(!error.message.is_empty());
    }
}

/// In YAML, a carriage return alone ends a line, too.
fn lines(text: &str) -> usize {
    text.matches(['\n', '\r']).count() + 1
}

/// Neither the format nor comments, spaces and line ends between values mean anything.
fn does_not_depend_on_layout(name: &str, text: &str, is_valid: impl Fn(&str, &str) -> bool) {
    // A duplicate key is an error that the parsed value no longer shows.
    if let Ok(source) = Source::parse(name, text) {
        let json = format!("{:#}", source.value);
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), source.value, "{text}");
        assert_eq!(is_valid(name, text), is_valid("file.json", &json), "{text}");
    }
}

/// A valid suite has an id for each assertion and each wire, and each is on a known VM.
pub fn suite(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for name in NAMES {
        match Suite::parse(name, text) {
            Err(errors) => have_places(&errors, text),
            Ok(suite) => {
                let inventory = REFERENCE.inventory.clone();
                match Plan::resolve(std::slice::from_ref(&suite), inventory) {
                    Err(errors) => have_places(&errors, text),
                    Ok(plan) => is_bound(&plan, &suite, text),
                }
            }
        }
        does_not_depend_on_layout(name, text, |name, text| Suite::parse(name, text).is_ok());
    }
}

fn is_bound(plan: &Plan, suite: &Suite, text: &str) {
    let ids: HashSet<_> = plan.assertions.iter().map(|one| one.id.as_str()).collect();
    // Each VM has its identity, and its clock if the inventory asks for that.
    let peers =
        plan.inventory.peers.map_or(0, |peers| 1 + usize::from(peers.clocks_within.is_some()));
    let derived = plan.inventory.connections.len() + peers * plan.inventory.vms.len();
    let all = plan.assertions.len();
    assert_eq!(ids.len(), all, "an id occurs twice");
    // Each assertion of the suite is on one VM or more, unless it may match nothing.
    let bound = suite.assertions.iter().filter(|one| !one.may_match_nothing).count();
    assert!(all >= bound + derived);
    assert!(!suite.assertions.is_empty(), "a suite that checks nothing is an error");
    assert_eq!(
        plan.by_vm().iter().map(|(_, assertions)| assertions.len()).sum::<usize>(),
        ids.len()
    );
    for one in &plan.assertions {
        let id = one.id.as_str();
        assert!(
            id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)),
            "{id:?}"
        );
        assert!(plan.inventory.vms.contains_key(&*one.vm));
        // A wire has its line in the inventory.
        let lines = if *one.file == *suite.file { lines(text) } else { usize::MAX };
        assert!((1..=lines).contains(&one.line));
        assert!(one.expectation.mistakes().is_empty());
        assert!(!one.expectation.how().is_empty() && !one.expectation.describe().is_empty());
    }
}

/// A valid recipe can be written into a system and does not show its passwords.
pub fn recipe(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for name in NAMES {
        match Recipe::parse(name, text) {
            Err(errors) => have_places(&errors, text),
            Ok(recipe) => {
                can_be_built(&recipe);
                if let Some(text) = with_canaries(name, text) {
                    let recipe = Recipe::parse("f.json", &text).expect("only the passwords differ");
                    assert!(!format!("{recipe:?}").contains(CANARY));
                }
            }
        }
        does_not_depend_on_layout(name, text, |name, text| Recipe::parse(name, text).is_ok());
    }
}

fn can_be_built(recipe: &Recipe) {
    let os = &recipe.os;
    let is_one_word = |text: &str| {
        !text.is_empty()
            && !text.contains(|one: char| one.is_whitespace() || "/;|&$`'\"\\:,\0".contains(one))
    };
    assert!(is_one_word(&recipe.name));
    assert!(os.packages.iter().all(|package| is_one_word(package)));
    assert!(os.startup_scripts.iter().all(|script| is_one_word(&script.file)));
    assert!(os.network.dhcp && !os.firewall.enabled && !recipe.test_config.enabled);
    assert!(os.network.alias_address().parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()));
    assert!(!os.users.is_empty());
    for user in &os.users {
        assert!(is_one_word(&user.name) && user.groups.iter().all(|group| is_one_word(group)));
        assert!(!user.password.contains(['\n', ':']), "it becomes a line of chpasswd");
    }
}

/// Socket tables are read as the kernel prints them, and a cut table never means "nothing listens".
pub fn socket_tables(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse_socket_tables(&text) {
        Ok(seen) => {
            assert!(seen.0.len() <= text.lines().count());
            assert_eq!(parse_socket_tables(&as_the_kernel_prints(&seen.0)), Ok(seen));
            let cut: Vec<&str> = text.lines().take_while(|line| line.trim() != "@end").collect();
            assert!(parse_socket_tables(&cut.join("\n")).is_err());
        }
        Err(error) => assert!(is_tame(&error.to_string()), "{error:?}"),
    }
    let sockets: Vec<Listener> = data.chunks_exact(19).map(socket).collect();
    assert_eq!(parse_socket_tables(&as_the_kernel_prints(&sockets)), Ok(Listeners(sockets)));
}

fn socket(bytes: &[u8]) -> Listener {
    let address: [u8; 16] = bytes[3..19].try_into().expect("16 of 19 bytes");
    let [a, b, c, d, ..] = address;
    Listener {
        protocol: if bytes[0] & 1 == 0 { Protocol::Tcp } else { Protocol::Udp },
        address: if bytes[0] & 2 == 0 { IpAddr::from([a, b, c, d]) } else { IpAddr::from(address) },
        port: u16::from_be_bytes([bytes[1], bytes[2]]),
    }
}

/// Each socket in a table of its own, next to a connection that must not count.
fn as_the_kernel_prints(sockets: &[Listener]) -> String {
    let mut text = String::new();
    for (index, Listener { protocol, address, port }) in sockets.iter().enumerate() {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let hex: String = bytes
            .chunks_exact(4)
            .flat_map(|word| word.iter().rev())
            .map(|byte| format!("{byte:02X}"))
            .collect();
        let (state, connected) =
            if *protocol == Protocol::Tcp { ("0A", "01") } else { ("07", "01") };
        text += &format!("@{}\n  sl  local_address rem_address   st tx_queue\n", protocol.word());
        text += &format!(
            "   {index}: {hex}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000\n"
        );
        text += &format!(
            "   {index}: {hex}:0001 00000000:0001 {connected} 00000000:00000000 00:00000000\n"
        );
    }
    text + "@end\n"
}

const OURS: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const ANOTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";
const HOST: &str = "vm.example";

/// A host key is trusted only if a file names it; a changed or revoked key never is; an unknown
/// host's key is accepted once.
pub fn known_hosts(data: &[u8]) {
    let Some((port, content)) = data.split_first() else { return };
    let port = if port & 1 == 0 { 22 } else { 2222 };
    let [ours, another] = [OURS, ANOTHER].map(|key| PublicKey::from_openssh(key).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let path = file("known_hosts", content);
    let reads = HostKeyPolicy { pin: None, known_hosts: vec![path], lab_known_hosts: None };

    let before = reads.of(HOST, port).check(&ours);
    if let Ok(trust) = &before {
        assert_eq!(*trust, Trust::Known);
        assert!(names(content, &ours), "trusted, but no file names it");
    }
    for (key, shown) in [(&ours, &ours), (&ours, &another)] {
        let pin = Some(key.fingerprint(HashAlg::Sha256).to_string());
        let pinned = HostKeyPolicy { pin, ..reads.clone() }.of(HOST, port).check(shown);
        assert_eq!(
            pinned.ok(),
            (key == shown).then_some(Trust::Pinned),
            "a pin overrides every file"
        );
    }
    let revoked = file("revoked", &[format!("@revoked * {OURS}\n").as_bytes(), content].concat());
    assert!(policy_that_learns(revoked).of(HOST, port).check(&ours).is_err());

    let learning = policy_that_learns(file("learning", content));
    let knew_another = reads.of(HOST, port).check(&another).is_ok();
    match learning.of(HOST, port).check(&ours) {
        Ok(Trust::AcceptedOnce) => {
            assert!(
                before.is_err() && !knew_another,
                "only the key of an unknown host is accepted"
            );
            assert_eq!(learning.of(HOST, port).check(&ours).unwrap(), Trust::Known);
            assert!(learning.of(HOST, port).check(&another).is_err(), "once");
            assert!(std::fs::read(folder.path().join("learning")).unwrap().starts_with(content));
        }
        Ok(trust) => assert_eq!((trust, before.is_ok()), (Trust::Known, true)),
        Err(_) => assert!(before.is_err()),
    }
}

fn policy_that_learns(path: PathBuf) -> HostKeyPolicy {
    HostKeyPolicy { pin: None, known_hosts: Vec::new(), lab_known_hosts: Some(path) }
}

fn names(content: &[u8], key: &PublicKey) -> bool {
    let key = key.to_openssh().unwrap();
    let base64 = key.split(' ').nth(1).unwrap();
    String::from_utf8_lossy(content).contains(base64)
}

/// Whatever VMs print, a report is well-formed in every format, the formats agree, and the report
/// can be read back.
pub fn reports(data: &[u8]) {
    let _ = report::read::parse("file.json", data);
    let report = report(&mut Bytes(data));
    let xml = junit::render(&report);
    let document = Document::parse(&xml).unwrap_or_else(|error| panic!("{error} in {xml}"));
    let named = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    let totals = report.totals;
    assert_eq!(named("failure"), totals.failed);
    assert_eq!(named("error"), totals.errored + totals.blocked + totals.not_run);
    assert_eq!(named("skipped"), totals.not_selected);
    let cases: Vec<_> =
        document.descendants().filter(|node| node.has_tag_name("testcase")).collect();
    assert_eq!(cases.len(), totals.assertions);
    for row in &report.results {
        let case = cases.iter().find(|case| case.attribute("name") == Some(&row.id));
        says_what_the_row_says(case.expect("a case for each row"), row);
    }

    let text = report::json::render(&report);
    assert!(is_tame(&text));
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value, serde_json::to_value(&report).unwrap());
    let again = report::read::parse("file.json", text.as_bytes()).expect("it can be read back");
    assert_eq!(report::json::render(&again), text);
    let half = &text.as_bytes()[..text.len() / 2];
    assert!(report::read::parse("file.json", half).expect_err("half a report").may_come());
    for width in [None, Some(80)] {
        let screen = Screen { width, ..Screen::default() };
        assert!(is_tame(&terminal::render(&report, screen)));
    }
}

fn says_what_the_row_says(case: &Node, row: &ResultRow) {
    let verdict = case
        .children()
        .find(|node| ["failure", "error", "skipped"].contains(&node.tag_name().name()));
    let Some(verdict) = verdict else { return assert_eq!(row.message, None) };
    let message = row.message.as_deref().unwrap_or_default();
    assert_eq!(verdict.attribute("message").unwrap_or_default(), harmless_line(message));
    assert_eq!(verdict.text().unwrap_or_default(), harmless(&explain::explain(row)));
}

/// A report of the reference suite, with text from the bytes wherever a VM supplies text.
fn report(bytes: &mut Bytes) -> Report {
    let plan = &*REFERENCE;
    let outcomes = plan.assertions.iter().map(|one| (one.id.clone(), outcome(bytes))).collect();
    let mut record = VmRecord {
        banner: Some(bytes.text()),
        timeline: Timeline {
            login: Some(Duration::from_millis(bytes.number())),
            ..Timeline::default()
        },
        cause: Some(cause(bytes)),
        ..VmRecord::default()
    };
    record.identity.os_release = Some(bytes.text());
    record.identity.kernel = Some(bytes.text());
    let finished = RunRecord {
        outcomes,
        vms: HashMap::from([("redis".to_owned(), record)]),
        started: chrono::DateTime::UNIX_EPOCH,
        ended: chrono::DateTime::UNIX_EPOCH,
        stop: (bytes.byte() == 1).then_some(Stop::Interrupt),
    };
    Report::new(plan, &finished, &Redactor::default())
}

fn outcome(bytes: &mut Bytes) -> Outcome {
    let verdict = verdict(bytes);
    let attempt = |bytes: &mut Bytes| Attempt {
        started_ms: bytes.number(),
        duration_ms: bytes.number(),
        verdict: self::verdict(bytes).kind(),
        message: (bytes.byte() & 1 == 1).then(|| bytes.text()),
    };
    let attempts = (0..bytes.byte() % 4).map(|_| attempt(bytes)).collect();
    let stream = |bytes: &mut Bytes| Stream::bounded(&bytes.text(), usize::from(bytes.byte()));
    let output =
        (bytes.byte() & 1 == 1).then(|| Output { stdout: stream(bytes), stderr: stream(bytes) });
    Outcome {
        attempts,
        verdict,
        duration: Duration::from_millis(bytes.number()),
        output,
        observation: None,
    }
}

fn verdict(bytes: &mut Bytes) -> Verdict {
    match bytes.byte() % 6 {
        0 => Verdict::Passed,
        1 => Verdict::Failed(Mismatch {
            message: bytes.text(),
            expected: bytes.text(),
            actual: bytes.text(),
        }),
        2 => Verdict::Errored(cause(bytes)),
        3 => Verdict::Blocked(cause(bytes)),
        4 => Verdict::NotRun(bytes.text()),
        _ => Verdict::NotSelected,
    }
}

fn cause(bytes: &mut Bytes) -> Cause {
    let stages =
        [Stage::Resolve, Stage::Banner, Stage::Auth, Stage::Sudo, Stage::Timeout, Stage::Answer];
    Cause {
        vm: "redis".to_owned(),
        stage: stages[usize::from(bytes.byte()) % stages.len()],
        address: "127.0.0.1:22".to_owned(),
        message: bytes.text(),
        hint: (bytes.byte() & 1 == 1).then(|| bytes.text()),
    }
}

/// Harmless text does nothing to a screen, and making it harmless again changes nothing.
pub fn harmless_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let safe = harmless(&text);
    assert!(is_tame(&safe), "{safe:?}");
    assert_eq!(harmless(&safe), safe);
    if is_tame(&text) {
        assert_eq!(safe, text, "harmless text must not change");
    }
    let line = harmless_line(&text);
    assert!(is_tame(&line) && !line.contains(['\n', '\t']));
    let limit = data.len() / 2;
    assert!(shortened(&text, limit).chars().count() <= limit + " [...]".len());
    let bounded =
        Stream::bounded(&text.repeat(1 + 2 * Stream::LIMIT / (1 + text.len())), data.len() % 3);
    assert!(bounded.text.len() <= Stream::LIMIT + 100);
    assert_eq!(
        bounded.cut().is_some_and(|cut| bounded.text.contains(&cut)),
        bounded.truncated_bytes > 0
    );
}

/// A secret is masked wherever it is in a text and however it is written.
pub fn redactor(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (secret, before, after) = (bytes.text(), bytes.text(), bytes.text());
    let way = bytes.byte();
    // The mask consists of stars, and a shorter secret can appear next to it by chance.
    if secret.contains('*') || secret.len() < 4 {
        return;
    }
    let written = written(&secret, &before, &after, way);
    let told = format!("{before}{written}{after}");
    let redactor = Redactor::new(&[Secret::from(secret.as_str())]);
    let clean = redactor.text(&told);
    // A terminal escape that contains the secret is removed as a whole.
    assert!(clean.contains(MASK) || told.contains('\u{1b}'), "{told:?}");
    for clean in [&clean, &redactor.line(&told)] {
        assert!(!clean.contains(&secret), "{clean:?}");
    }
    // The replacement of a control character can look like a secret by chance.
    if !harmless(&told).contains("\\u{") {
        assert!(!harmless(&clean).contains(&secret), "{clean:?}");
    }
    assert!(!clean.contains(&written), "{written:?} in {clean:?}");
    assert_eq!(redactor.text(&clean), clean, "masking again must not change it");
    let at = told.floor_char_boundary(usize::from(way) % told.len());
    let cut = Stream { text: String::new(), truncated_bytes: 9 };
    let stream = Stream { text: [&told[..at], &told[at..]].join(&cut.cut().unwrap()), ..cut };
    let stream = redactor.stream(&stream);
    let cut = stream.cut().unwrap();
    assert!(stream.text.contains(&cut));
    // The cut mark is on its own lines and contains no secret.
    if !secret.contains('\n') && !cut.contains(&secret) {
        assert!(!stream.text.contains(&secret), "{:?}", stream.text);
    }
}

fn written(secret: &str, before: &str, after: &str, way: u8) -> String {
    let percent = |is_plain: fn(char) -> bool| -> String {
        let escaped =
            |one: char| one.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        secret
            .chars()
            .map(|one| if is_plain(one) { one.to_string() } else { escaped(one) })
            .collect()
    };
    let among = || [before, secret, after].concat();
    match way % 8 {
        0 => format!("{secret:?}"),
        1 => serde_json::to_string(secret).unwrap(),
        2 => secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
        3 => percent(|one| one.is_ascii_alphanumeric()),
        4 => percent(|_| false),
        5 if secret.len() > 4 => STANDARD.encode(among()),
        6 if secret.len() > 4 => URL_SAFE_NO_PAD.encode(among()),
        _ => secret.to_owned(),
    }
}

/// Nothing that moves a cursor, changes a colour or turns text around.
fn is_tame(text: &str) -> bool {
    text.chars().all(|one| match one {
        '\n' | '\t' => true,
        '\u{fffe}'
        | '\u{ffff}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => false,
        other => !other.is_control(),
    })
}

/// Reads numbers and texts from the bytes, and zeros and empty texts after their end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// Up to the next 0xff, which never occurs in UTF-8.
    fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0xff);
        let (text, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest.get(1..).unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
}
