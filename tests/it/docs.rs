//! The documents are true: their examples parse, their commands print what they show, and their
//! links lead somewhere.
//!
//! The console blocks of a page run from top to bottom in one folder, in which the files of this
//! repository lie. An HTML comment on the line before a block changes what happens with it:
//!
//! - `<!-- file: NAME -->`: the block is a file of this name for the commands of the page;
//! - `<!-- scene: NAME -->`: the commands run against the fake VMs of [`scene`];
//! - `<!-- lab: COMMAND -->`: real output of COMMAND on the lab, which the tests cannot run. They
//!   check that the commands in it exist, and the ids and the faults.
//!
//! A page can leave lines out: it writes `[...]` in their place.
//!
//! `BOOTPROOF_UPDATE_DOCS=1 cargo test --test it docs` writes what was printed into the pages;
//! what a block had left out must then be left out again by hand.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use bootproof::exit_code::ExitCode;
use bootproof::health::read_candidates;
use bootproof::spec::inventory::Inventory;
use bootproof::spec::plan::Plan;
use bootproof::spec::source::Source;
use bootproof::spec::suite::Suite;
use regex::Regex;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use serde_json::Value;
use tempfile::TempDir;

use crate::fake_vm::{FakeVm, Login, Script, http, serve_http};

/// If it is 1, the pages are rewritten instead of compared.
const UPDATE: &str = "BOOTPROOF_UPDATE_DOCS";

/// What a page writes in place of lines that it leaves out.
const FOLD: &str = "[...]";

const README_LINES: usize = 150;
const COLUMNS: usize = 100;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, by its path in the repository.
fn pages() -> Vec<String> {
    let fixed = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md", "CHANGELOG.md"];
    let rooms = ["recipes/README.md", "fuzz/README.md", "reports/README.md"];
    let mut pages: Vec<_> = fixed.iter().chain(&rooms).map(|&page| page.to_owned()).collect();
    let docs = fs::read_dir(root().join("docs")).expect("docs");
    let names =
        docs.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let mut names: Vec<_> =
        names.filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "md")).collect();
    names.sort();
    pages.extend(names.into_iter().map(|name| format!("docs/{name}")));
    pages
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// What the comment before a block says.
#[derive(Clone)]
enum Mark {
    File(String),
    Scene(String),
    Lab(String),
}

impl Mark {
    fn parse(line: &str) -> Option<Self> {
        let inner = line.trim().strip_prefix("<!-- ")?.strip_suffix(" -->")?;
        let (word, rest) = inner.split_once(": ")?;
        match word {
            "file" => Some(Self::File(rest.to_owned())),
            "scene" => Some(Self::Scene(rest.to_owned())),
            "lab" => Some(Self::Lab(rest.to_owned())),
            _ => None,
        }
    }
}

/// A fenced block of a page.
#[derive(Clone)]
struct Block {
    page: String,
    /// Index of the line with the opening fence.
    fence: usize,
    language: String,
    mark: Option<Mark>,
    lines: Vec<String>,
}

impl Block {
    fn place(&self) -> String {
        format!("{}:{}", self.page, self.fence + 1)
    }

    fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The commands after a `$`, each with the output below it.
    fn commands(&self) -> Vec<Shown> {
        let mut commands: Vec<Shown> = Vec::new();
        for line in &self.lines {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => {
                    commands.push(Shown { command: command.to_owned(), output: String::new() });
                }
                (None, Some(shown)) => shown.output += &format!("{line}\n"),
                (None, None) => panic!("{}: it does not begin with a command", self.place()),
            }
        }
        commands
    }
}

/// A command, and what it prints according to the page.
struct Shown {
    command: String,
    output: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = read(page);
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if let Some(language) = lines[at].strip_prefix("```") {
            let body = lines[at + 1..].iter().take_while(|line| **line != "```");
            let body: Vec<String> = body.map(|line| (*line).to_owned()).collect();
            let before = at.checked_sub(1).map_or("", |before| lines[before]);
            let mark = Mark::parse(before);
            let (page, language) = (page.to_owned(), language.to_owned());
            let end = at + body.len() + 1;
            blocks.push(Block { page, fence: at, language, mark, lines: body });
            at = end;
        }
        at += 1;
    }
    blocks
}

fn all_blocks(languages: &[&str]) -> Vec<Block> {
    let blocks = pages().into_iter().flat_map(|page| blocks(&page));
    blocks.filter(|block| languages.contains(&block.language.as_str())).collect()
}

/// A VM of a scene, and the address that the page shows for it.
struct Host {
    address: &'static str,
    port: u16,
    known_hosts_line: String,
    /// `None`: it is off.
    _vm: Option<FakeVm>,
}

impl Host {
    fn start(address: &'static str, script: Script) -> Self {
        let vm = script.start();
        Self { address, port: vm.port, known_hosts_line: vm.known_hosts_line(), _vm: Some(vm) }
    }

    fn off(self) -> Self {
        Self { _vm: None, ..self }
    }
}

/// The key with which everybody logs in to the fake VMs of a scene.
fn user_key() -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[42; 32]))
}

/// The VMs of the shop that README.md checks.
fn scene(name: &str) -> Vec<Host> {
    let postgresql_runs = name != "shop, but postgresql is stopped";
    let web = Host::start("10.0.0.10", web(postgresql_runs));
    let db = Host::start("10.0.0.20", db(postgresql_runs));
    match name {
        "shop" | "shop, but postgresql is stopped" => vec![web, db],
        "shop, but web is off" => vec![web.off(), db],
        "fleet, but four exporters are stopped" => fleet(),
        other => panic!("there is no scene `{other}`"),
    }
}

/// Five VMs, the last of which has a running exporter.
fn fleet() -> Vec<Host> {
    let vm = |address: &'static str, host_key, listening| {
        let login = Login::key(user_key().public_key());
        Host::start(address, Script { login, host_key, listening, ..Script::default() })
    };
    vec![
        vm("10.0.1.1", 3, vec![22]),
        vm("10.0.1.2", 4, vec![22]),
        vm("10.0.1.3", 5, vec![22]),
        vm("10.0.1.4", 6, vec![22]),
        vm("10.0.1.5", 7, vec![22, 9100]),
    ]
}

fn web(reaches_postgresql: bool) -> Script {
    let health = serve_http(http("200 OK", "{\"status\":\"ok\"}"));
    let script = Script {
        login: Login::key(user_key().public_key()),
        host_key: 1,
        listening: vec![22, 8080],
        paths: HashMap::from([(8080, health), (5432, far_end(reaches_postgresql))]),
        ..Script::default()
    };
    script.prints("findmnt -n -o SOURCE /srv/uploads", "/dev/vdb1\n")
}

fn db(postgresql_runs: bool) -> Script {
    let script = Script {
        login: Login::key(user_key().public_key()),
        host_key: 2,
        listening: if postgresql_runs { vec![22, 5432] } else { vec![22] },
        evidence: POSTGRESQL_JOURNAL.to_owned(),
        ..Script::default()
    };
    script.prints(&read_candidates(), POSTGRESQL)
}

const POSTGRESQL: &str = "Type=notify\nNRestarts=0\nResult=success\nId=postgresql@17-main.service\n\
    ActiveState=inactive\nSubState=dead\nUnitFileState=enabled\nConditionResult=yes\n";

const POSTGRESQL_JOURNAL: &str =
    "2026-11-24T03:11:43+00:00 db systemd[1]: Stopped postgresql@17-main.service.";

/// A port of this machine that is open until the tests end, or closed.
fn far_end(open: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    if open {
        std::mem::forget(listener);
    }
    port
}

/// The folder in which the commands of a page run, which is also their home.
struct Desk {
    folder: TempDir,
    /// The files of the page, as it shows them.
    files: Vec<(String, String)>,
}

impl Desk {
    fn with_files_of(page: &str) -> Self {
        let folder =
            tempfile::Builder::new().prefix("bootproof-docs-").tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["inventory", "bin", ".ssh"] {
            fs::create_dir(at(name)).expect("a folder");
        }
        // Not the whole of `inventory`: a local lab would change the defaults.
        for name in ["inventory/immich-photo-vault.json", "suites", "recipes", "tests"] {
            symlink(root().join(name), at(name)).expect("a link");
        }
        symlink(env!("CARGO_BIN_EXE_bootproof"), at("bin/bootproof")).expect("a link");
        let key = user_key().to_openssh(LineEnding::LF).expect("a key");
        fs::write(at(".ssh/id_ed25519"), key).expect("a file");
        fs::set_permissions(at(".ssh/id_ed25519"), fs::Permissions::from_mode(0o600))
            .expect("permissions");
        // Every page can use the files of the first one.
        let files =
            ["README.md", page].into_iter().flat_map(blocks).filter_map(|block| {
                match &block.mark {
                    Some(Mark::File(name)) => Some((name.clone(), block.text())),
                    _ => None,
                }
            });
        Self { folder, files: files.collect() }
    }

    /// Writes the files of the page; the VMs of the scene are where the fake ones listen.
    fn write_files(&self, hosts: &[Host]) {
        for (name, text) in &self.files {
            let moved = hosts.iter().fold(text.clone(), |text, host| {
                // On the same line: messages name lines.
                let address = format!("\"address\": \"{}\"", host.address);
                let ssh =
                    format!("\"ssh\": {{ \"host\": \"127.0.0.1\", \"port\": {} }}", host.port);
                text.replace(&address, &format!("{address}, {ssh}"))
            });
            fs::write(self.folder.path().join(name), moved).expect("a file");
        }
        let known: String = hosts.iter().map(|host| host.known_hosts_line.as_str()).collect();
        fs::write(self.folder.path().join(".ssh/known_hosts"), known).expect("a file");
    }

    fn run(&self, command: &str, hosts: &[Host]) -> String {
        self.write_files(hosts);
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("PATH", format!("{}/bin:{path}", self.folder.path().display()))
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null());
        for name in
            ["INVENTORY", "SUITE", "REPORTS", "WAIT", "DEADLINE", "LAB_DIR", "SHARD", "RUN_ID"]
        {
            shell.env_remove(format!("BOOTPROOF_{name}"));
        }
        let printed = String::from_utf8(shell.output().expect("sh").stdout).expect("UTF-8");
        hosts.iter().fold(without_progress(&printed), |text, host| {
            text.replace(&format!("127.0.0.1:{}", host.port), &format!("{}:22", host.address))
        })
    }

    /// The text that the block should have, and what is wrong with the one that it has.
    fn perform(&self, block: &Block) -> (String, Vec<String>) {
        let hosts = match &block.mark {
            Some(Mark::Scene(name)) => scene(name),
            _ => Vec::new(),
        };
        let (mut text, mut wrong) = (String::new(), Vec::new());
        for Shown { command, output } in block.commands() {
            let printed = self.run(&command, &hosts);
            let same = shows(&output, &printed);
            text += &format!("$ {command}\n{}", if same { &output } else { &printed });
            if !same {
                let place = block.place();
                wrong.push(format!(
                    "{place}: $ {command}\n--- shown\n{output}--- printed\n{printed}"
                ));
            }
        }
        (text, wrong)
    }
}

/// What a terminal shows at the end: there, the progress of the VMs is erased.
fn without_progress(printed: &str) -> String {
    static PROGRESS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^[\w.-]+: (logged in|gave up: .*)\n").expect("a pattern")
    });
    PROGRESS.replace_all(printed, "").into_owned()
}

/// Whether `shown` is what was `printed`; a line `[...]` matches any number of lines.
fn shows(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (without_times(shown), without_times(printed));
    let pattern = shown.lines().map(|line| match line.trim() {
        FOLD => "(?:.*\n)*?".to_owned(),
        _ => regex::escape(line) + "\n",
    });
    let pattern: String = pattern.collect();
    Regex::new(&format!("^(?:{pattern})$")).expect("a pattern").is_match(&printed)
}

/// Times differ from run to run.
fn without_times(text: &str) -> String {
    static TIMES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(?:\d+ to )?\d+ ms\b|\b\d+\.\d{3} s\b").expect("a pattern")
    });
    TIMES.replace_all(text, "[time]").into_owned()
}

/// Runs the console blocks of a page; its text as it should be, and what is wrong with it.
fn perform(page: &str) -> (String, Vec<String>) {
    let desk = Desk::with_files_of(page);
    let mut wrong = Vec::new();
    let mut texts = Vec::new();
    for block in blocks(page) {
        if block.language == "console" && !matches!(block.mark, Some(Mark::Lab(_))) {
            let (text, problems) = desk.perform(&block);
            wrong.extend(problems);
            texts.push((block, text));
        }
    }
    let mut lines: Vec<String> = read(page).lines().map(str::to_owned).collect();
    // From the end, because a block may get more lines or fewer.
    for (block, text) in texts.into_iter().rev() {
        let body = block.fence + 1..block.fence + 1 + block.lines.len();
        lines.splice(body, text.lines().map(str::to_owned));
    }
    (lines.join("\n") + "\n", wrong)
}

#[test]
fn console_blocks_show_what_the_commands_print() {
    let update = std::env::var_os(UPDATE).is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for page in pages() {
        let (text, problems) = perform(&page);
        if update && !problems.is_empty() {
            fs::write(root().join(&page), text).expect("the page");
        } else {
            wrong.extend(problems);
        }
    }
    assert!(wrong.is_empty(), "{}\n{UPDATE}=1 rewrites the pages", wrong.join("\n\n"));
}

#[test]
fn json_and_yaml_blocks_are_files_that_bootproof_reads() {
    for block in all_blocks(&["json", "yaml"]) {
        let (mut place, text) = (block.place(), block.text());
        match &block.mark {
            Some(Mark::File(name)) => place += &format!("/{name}"),
            // The configuration of a CI system.
            _ if block.language == "yaml" => continue,
            _ => {}
        }
        let is_yaml = Path::new(&place).extension().is_some_and(|extension| extension == "yaml");
        assert_eq!(block.language == "yaml", is_yaml, "{place}");
        let source = Source::parse(&place, &text).unwrap_or_else(|error| panic!("{error}"));
        let mistakes = if source.value.get("vms").is_some() {
            Inventory::parse(&place, &text).err().map(|problems| problems.to_string())
        } else if source.value.get("scenarios").is_some() {
            Suite::parse(&place, &text).err().map(|problems| problems.to_string())
        } else {
            Some(format!("{place}: it is neither an inventory nor a suite"))
        };
        assert_eq!(mistakes, None);
    }
}

#[test]
fn the_suite_in_yaml_is_the_suite_in_json() {
    let values = ["shop-suite.json", "shop-suite.yaml"].map(|file| {
        let mut blocks = blocks("docs/suite.md").into_iter();
        let block = blocks.find(|one| matches!(&one.mark, Some(Mark::File(name)) if name == file));
        Source::parse(file, &block.expect(file).text()).expect(file).value.clone()
    });
    assert_eq!(values[0], values[1]);
}

/// The arguments of every `bootproof` command in shell text; `\` continues a line.
fn bootproof_commands(text: &str) -> Vec<Vec<String>> {
    static COMMAND: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?:^|[\s;&|])bootproof ([^;&|#>\n]*)").expect("a pattern"));
    let text = text.replace("\\\n", " ");
    let found = COMMAND.captures_iter(&text).map(|captures| captures[1].to_owned());
    let words = found.map(|arguments| shlex::split(&arguments).expect("words"));
    // What comes after `--` is a command for a VM.
    words.map(|words| words.into_iter().take_while(|word| word != "--").collect()).collect()
}

/// A folder with the image that docs/lab.md boots: `--image` is an error if there is no such file.
static IMAGES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("my.qcow2"), "").expect("a file");
    folder
});

#[track_caller]
fn assert_can_be_run(place: &str, text: &str) {
    for arguments in bootproof_commands(text) {
        // Arguments before --help are parsed, and nothing is run.
        let mut command = Command::new(env!("CARGO_BIN_EXE_bootproof"));
        command.args(&arguments).arg("--help").current_dir(IMAGES.path());
        let output = command.output().expect("bootproof");
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{place}: bootproof {}: {why}", arguments.join(" "));
    }
    let makefile = read("Makefile");
    let targets =
        text.lines().filter_map(|line| line.trim_start_matches("$ ").strip_prefix("make "));
    for target in targets.filter_map(|rest| rest.split_whitespace().next()) {
        assert!(makefile.contains(&format!("\n{target}:")), "{place}: make {target}");
    }
}

#[test]
fn the_commands_in_scripts_exist() {
    for block in all_blocks(&["sh", "yaml"]) {
        assert_can_be_run(&block.place(), &block.text());
    }
}

/// The ids of both suites on the inventory of this repository.
fn ids_of_the_lab() -> BTreeSet<String> {
    let inventory = "inventory/immich-photo-vault.json";
    let inventory = Inventory::parse(inventory, &read(inventory)).expect("the inventory");
    let suites = ["validation", "contract"].map(|name| {
        let file = format!("suites/immich-photo-vault-{name}.json");
        Suite::parse(&file, &read(&file)).expect("a suite")
    });
    let plan = Plan::resolve(&suites, inventory).expect("a plan");
    plan.assertions.iter().map(|assertion| assertion.id.to_string()).collect()
}

#[test]
fn what_was_recorded_on_the_lab_names_what_exists() {
    let ids = ids_of_the_lab();
    let id =
        Regex::new(r"\b[a-z0-9.-]+::[a-z0-9-]+::[A-Za-z0-9._-]*[A-Za-z0-9_-]").expect("a pattern");
    let faults = read("tests/faults/immich-photo-vault.json");
    for block in all_blocks(&["console"]) {
        let Some(Mark::Lab(command)) = &block.mark else { continue };
        let (place, text) = (block.place(), block.text());
        assert_can_be_run(&place, command);
        for shown in block.commands() {
            assert_can_be_run(&place, &shown.command);
        }
        for found in id.find_iter(&text) {
            assert!(ids.contains(found.as_str()), "{place}: no assertion is {}", found.as_str());
        }
        if command == "make faults" {
            let rows = text.lines().filter(|line| line.contains(" s  "));
            for name in rows.filter_map(|row| row.split("  ").next()) {
                assert!(faults.contains(&format!("\"{name}\"")), "{place}: no fault is \"{name}\"");
            }
        }
    }
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The lines of a page that are not in a fenced block.
fn prose(page: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut prose = Vec::new();
    for (index, line) in read(page).lines().enumerate() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            prose.push((index + 1, line.to_owned()));
        }
    }
    prose
}

#[test]
fn links_lead_to_files_and_headings() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("a pattern");
    for page in pages() {
        for (number, line) in prose(&page) {
            for target in link.captures_iter(&line).map(|captures| captures[1].to_owned()) {
                if !target.starts_with("http") {
                    assert_leads_somewhere(&page, number, &target);
                }
            }
        }
        assert_references_are_defined(&page);
    }
}

/// `[text][name]` and `[name][]` are links only if `[name]: TARGET` has a line of its own.
fn assert_references_are_defined(page: &str) {
    let reference = Regex::new(r"\[([^\[\]]+)\]\[([^\[\]]*)\]").expect("a pattern");
    let definition = Regex::new(r"^\[([^\[\]]+)\]: \S+$").expect("a pattern");
    let lines = prose(page);
    let named = |line: &str| definition.captures(line).map(|captures| captures[1].to_owned());
    let defined: BTreeSet<String> = lines.iter().filter_map(|(_, line)| named(line)).collect();
    for (number, line) in &lines {
        for captures in reference.captures_iter(line) {
            let name = if captures[2].is_empty() { &captures[1] } else { &captures[2] };
            assert!(defined.contains(name), "{page}:{number}: no line defines [{name}]");
        }
    }
}

#[test]
fn the_readme_links_to_every_page() {
    let readme = read("README.md");
    for page in pages().into_iter().filter(|page| page.starts_with("docs/")) {
        assert!(readme.contains(&format!("]({page})")), "{page}");
    }
}

fn assert_leads_somewhere(page: &str, number: usize, target: &str) {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(page).parent().expect("a folder");
    let file: PathBuf = if file.is_empty() { page.into() } else { folder.join(file) };
    assert!(root().join(&file).exists(), "{page}:{number}: there is no {}", file.display());
    if !heading.is_empty() {
        let lines = prose(file.to_str().expect("UTF-8"));
        let mut headings = lines.iter().filter(|(_, line)| line.starts_with('#'));
        let found = headings.any(|(_, line)| anchor(line) == heading);
        assert!(found, "{page}:{number}: {} has no heading {heading}", file.display());
    }
}

#[test]
fn the_number_of_faults_is_right() {
    let faults: Value =
        serde_json::from_str(&read("tests/faults/immich-photo-vault.json")).expect("JSON");
    let count = format!("| {} |", faults.as_array().expect("a list").len());
    let page = read("docs/proof.md");
    let mut rows = page.lines().filter(|line| line.starts_with("| faults"));
    assert!(rows.any(|row| row.contains(&count)), "{count}");
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= README_LINES, "{lines} lines");
}

#[test]
fn the_prose_has_short_lines() {
    for page in pages().into_iter().filter(|page| !page.ends_with("/README.md")) {
        for (number, line) in prose(&page) {
            let length = line.chars().count();
            assert!(length <= COLUMNS, "{page}:{number}: {length} columns");
        }
    }
}

#[test]
fn the_table_of_exit_codes_is_that_of_the_help() {
    let readme = read("README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    let shown = rows.flat_map(|(codes, _)| codes.split(", ")).filter_map(|code| code.parse().ok());
    let shown: BTreeSet<u8> = shown.collect();
    let help = ExitCode::TABLE.lines().filter_map(|line| line.split_whitespace().next());
    // The help has 143 in the row of 130.
    let help: BTreeSet<u8> = help.filter_map(|code| code.parse().ok()).chain([143]).collect();
    assert_eq!(shown, help);
}

#[test]
fn the_table_of_commands_is_that_of_the_help() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootproof"));
    let help = String::from_utf8(command.arg("--help").output().expect("it runs").stdout);
    let help = help.expect("UTF-8");
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let names = commands.lines().take_while(|line| !line.is_empty());
    let readme = read("README.md");
    for name in names.filter_map(|line| line.split_whitespace().next()) {
        let row = format!("\n| `bootproof {name}");
        assert!(name == "help" || readme.contains(&row), "{name}");
    }
}
