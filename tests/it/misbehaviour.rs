//! Servers that misbehave: the right verdict, at the right stage, in bounded time and memory.
//!
//! [`MISBEHAVIOURS`] is the list. In each test, one VM does one thing wrong beside a healthy VM.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fake_vm::{
    Forwarding, Http, Login, Opening, PASSWORD, Script, Step, Sudo, Wire, http, serve_http,
};
use crate::reports::{hostile, is_sound_junit, is_tame};
use crate::scene::{Run, Scene};

const MIB: u64 = 1024 * 1024;

/// Whatever a VM does, bootproof uses no more memory than this.
const MEMORY_AT_MOST: u64 = 100 * MIB;

/// One thing that goes wrong, and the expected result.
struct Case {
    script: Script,
    assertion: Value,
    verdict: &'static str,
    stage: Option<&'static str>,
    says: &'static str,
    further: Vec<fn(&Run)>,
}

/// A VM on which the assertion runs `work`.
fn vm(mut script: Script) -> Case {
    script.answers.entry("work".to_owned()).or_insert_with(|| vec![ok(), Step::Exit(0)]);
    Case {
        script,
        assertion: json!({"command": "work", "contains": "ok", "timeout": "60s"}),
        verdict: "passed",
        stage: None,
        says: "",
        further: Vec::new(),
    }
}

fn wire(wire: Wire) -> Case {
    vm(Script { wire, ..Script::default() })
}

fn login(login: Login) -> Case {
    vm(Script { login, ..Script::default() })
}

fn opening(opening: Opening) -> Case {
    vm(Script { opening, ..Script::default() })
}

/// A VM on which `work` does these steps.
fn command(steps: impl Into<Vec<Step>>) -> Case {
    vm(Script::default().answer("work", steps))
}

/// A VM on which `work` needs sudo.
fn sudo(sudo: Sudo) -> Case {
    vm(Script { sudo, ..Script::default() }).with("become", true)
}

/// A VM that serves only this at the URL of the assertion.
fn web(http: Http) -> Case {
    path(Forwarding::Allowed, http.serve())
}

/// A VM that is to connect to a port.
fn path(forwarding: Forwarding, port: u16) -> Case {
    let url = format!("http://localhost:{port}/ping");
    let assertion =
        json!({"type": "http_responds", "url": url, "contains": "ok", "timeout": "60s"});
    Case { assertion, ..vm(Script { forwarding, ..Script::default() }) }
}

impl Case {
    /// A short timeout, for cases that must reach it. All other cases have one that even a slow
    /// machine does not reach.
    fn limit(self) -> Self {
        self.with("timeout", "3s")
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.assertion[key] = value.into();
        self
    }

    fn failed(self, says: &'static str) -> Self {
        Self { verdict: "failed", says, ..self }
    }

    fn errored(self, stage: &'static str, says: &'static str) -> Self {
        Self { verdict: "errored", stage: Some(stage), says, ..self }
    }

    fn blocked(self, stage: &'static str, says: &'static str) -> Self {
        Self { verdict: "blocked", stage: Some(stage), says, ..self }
    }

    fn and(mut self, check: fn(&Run)) -> Self {
        self.further.push(check);
        self
    }

    #[track_caller]
    fn check(self) {
        let healthy = Script::default().prints("true", "").start();
        let misbehaving = self.script.start();
        let scene = Scene::with(&misbehaving)
            .assert(self.assertion)
            .vm("healthy", &healthy)
            .run("healthy", "true");
        let run = scene.check(&[]);
        println!("{} MiB at its peak, {:?}", run.peak_memory / MIB, run.took);
        is(&run, self.verdict, self.stage, self.says);
        assert_eq!(run.verdicts()[1], "passed", "the healthy VM beside it: {}", run.transcript());
        let code = match self.verdict {
            "passed" => 0,
            "failed" => 1,
            _ => 3,
        };
        assert_eq!(run.code, Some(code));
        assert!(run.peak_memory < MEMORY_AT_MOST, "{} MiB", run.peak_memory / MIB);
        is_tame(&run.stdout);
        is_tame(&run.stderr);
        is_sound_junit(&run.junit);
        self.further.iter().for_each(|check| check(&run));
    }
}

/// Checks the verdict, stage and message of the first assertion.
#[track_caller]
fn is(run: &Run, verdict: &str, stage: Option<&str>, says: &str) {
    let row = &run.rows().first().unwrap_or_else(|| panic!("{}", run.transcript()));
    let message = row["message"].as_str().unwrap_or_default();
    assert_eq!(row["verdict"], verdict, "{message}\n{}", run.transcript());
    assert_eq!(row["cause"]["stage"].as_str(), stage, "{message}");
    assert!(message.contains(says), "{message:?} does not say {says:?}");
}

#[track_caller]
fn hints(run: &Run, words: &str) {
    let hint = run.rows()[0]["cause"]["hint"].as_str().unwrap_or_default();
    assert!(hint.contains(words), "{hint:?}");
}

fn stdout(run: &Run) -> &str {
    run.rows()[0]["output"]["stdout"]["text"].as_str().unwrap_or_default()
}

fn ok() -> Step {
    Step::Out(b"ok\n".to_vec())
}

fn says(text: &str) -> Wire {
    Wire::Says(text.as_bytes().to_vec())
}

fn answers(text: &str) -> Http {
    Http::Says(text.into())
}

/// `then` comes over and over, with a pause in milliseconds.
fn slowly(first: &str, then: &str, pause: u64) -> Http {
    Http::Repeats(first.into(), then.into(), Duration::from_millis(pause))
}

fn over_and_over(first: &str, then: Vec<u8>) -> Http {
    Http::Repeats(first.into(), then, Duration::ZERO)
}

/// Endless zeros, 158 in a byte: a gzip header, and deflate's "the same 258 times more" repeated.
fn gzip_bomb() -> Http {
    let bytes = |bits: String| -> Vec<u8> {
        let byte = |bits: &[u8]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | (bit - b'0'));
        bits.as_bytes().chunks(8).map(byte).collect()
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
    // RFC 1951, 3.2.6: the last block, fixed codes; a zero; the first bits of a repetition.
    let start = [
        head.as_bytes(),
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
        &bytes("110_00110000_11000".replace('_', "")),
    ];
    Http::Repeats(start.concat(), bytes("1010000011000".repeat(8 * 5000)), Duration::ZERO)
}

/// A port on which nothing listens.
fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

macro_rules! misbehaviours {
    ($($name:ident => $case:expr;)*) => {
        /// The README says how many there are.
        const MISBEHAVIOURS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                $case.check();
            }
        )*
    };
}

misbehaviours! {
    // On the way to a login.
    it_says_nothing => wire(Wire::Silent).blocked("banner", "no SSH banner within 15s");
    it_closes_at_once => wire(says("")).blocked("banner", "sent no SSH banner");
    it_penalizes_this_address => wire(says("Not allowed at this time\r\n"))
        .blocked("banner", "sent no SSH banner; received \"Not allowed at this time\"")
        .and(|run| hints(run, "PerSourcePenalties"));
    it_has_too_many_logins_under_way => wire(says("Exceeded MaxStartups\r\n"))
        .blocked("banner", "received \"Exceeded MaxStartups\"")
        .and(|run| hints(run, "MaxStartups"));
    it_is_another_service => wire(says("220 mail ESMTP\r\n"))
        .blocked("banner", "received \"220 mail ESMTP\"")
        .and(|run| hints(run, "something other than sshd"));
    it_talks_without_end => wire(Wire::Babbles(b"hello? ".repeat(40)))
        .blocked("banner", "the server talks, but not SSH; received \"hello? hello?")
        .and(|run| assert!(run.rows()[0]["message"].as_str().unwrap().len() < 400));
    it_greets_with_escapes => wire(Wire::Says(hostile().into_bytes())).blocked("banner", "received");
    it_speaks_an_old_protocol =>
        wire(says("SSH-1.5-old\r\n")).blocked("banner", "received \"SSH-1.5-old\"");
    its_banner_is_slow => wire(Wire::Late(Duration::from_secs(2)));
    its_bytes_drip => wire(Wire::Drips(Duration::from_millis(1)));
    its_banner_drips_for_ever => wire(Wire::Drips(Duration::from_secs(1)))
        .blocked("banner", "no SSH banner within 15s; received \"SSH-2.0-");
    it_closes_after_its_banner =>
        wire(Wire::CutAfter(33)).blocked("handshake", "key exchange failed");
    it_freezes_after_its_banner =>
        wire(Wire::FrozenAfter(40)).blocked("handshake", "no key exchange within 15s");
    it_closes_in_the_key_exchange =>
        wire(Wire::CutAfter(500)).blocked("handshake", "key exchange failed");
    it_says_garbage_after_its_banner => wire(says("SSH-2.0-x\r\n\0\0\0\u{1}garbage"))
        .blocked("handshake", "key exchange failed");
    it_closes_at_the_login => login(Login { hangs_up: true, ..Login::default() })
        .blocked("auth", "the server closed the connection during the login as `ops`");
    it_closes_at_the_login_and_says_why => vm(Script {
            login: Login { hangs_up: true, ..Login::default() },
            auth_banner: Some(format!("System is booting up. {}\n", hostile())),
            ..Script::default()
        })
        .blocked("auth", "it said \"System is booting up. ");
    it_never_answers_the_login => login(Login { hangs: true, ..Login::default() })
        .blocked("auth", "the login did not finish within 60s");

    // Channels.
    it_refuses_every_session => vm(Script { max_sessions: 0, ..Script::default() })
        .blocked("channel", "refuses to open a session");
    it_refuses_the_first_sessions => vm(Script { refuse_first: 2, ..Script::default() });
    it_closes_when_a_session_is_opened =>
        opening(Opening::Cut).blocked("channel", "connection was lost");
    it_never_opens_a_session =>
        opening(Opening::Hangs).blocked("timeout", "did not open a channel in time");
    it_runs_no_commands =>
        command([Step::Refuse, Step::Hang]).errored("channel", "refuses to run commands");
    it_closes_before_the_output =>
        command([Step::Cut, Step::Hang]).errored("channel", "connection was lost");
    it_closes_in_the_output =>
        command([ok(), Step::Cut, Step::Hang]).errored("channel", "connection was lost");
    it_closes_after_the_exit_status => command([Step::Exit(0), Step::Cut, Step::Hang])
        .errored("channel", "connection was lost");
    it_freezes_in_the_output =>
        command([ok(), Step::Freeze]).limit().blocked("timeout", "it stopped answering");
    it_answers_no_keepalive => command([Step::Freeze])
        .with("timeout", "80s")
        .errored("channel", "connection was lost");

    // Commands.
    it_never_ends => command([ok(), Step::Hang])
        .limit()
        .errored("timeout", "the command did not end in time (timeout 3s)")
        .and(|run| assert_eq!(stdout(run), "ok\n"));
    it_ends_without_an_exit_status => command([ok()]).errored("channel", "without an exit status");
    it_is_killed_by_a_signal =>
        command([ok(), Step::Killed(russh::Sig::KILL)]).failed("signal KILL");
    its_data_comes_after_the_exit_status => command([Step::Exit(0), ok()]);
    it_prints_on_stderr_only => command([Step::Err(b"ok\n".to_vec()), Step::Exit(0)])
        .failed("does not contain \"ok\"")
        .and(|run| assert_eq!(run.rows()[0]["output"]["stderr"]["text"], "ok\n"));
    it_prints_a_gibibyte =>
        command([Step::Repeat(vec![b'x'; 1024 * 1024], 1024, Duration::ZERO), ok(), Step::Exit(0)])
        .errored("answer", "more than 9 MiB")
        .and(|run| assert!(stdout(run).len() < 70_000 && stdout(run).contains("bytes cut")));
    it_prints_megabytes_on_stderr => command([Step::Err(vec![b'x'; 16 * 1024 * 1024])])
        .errored("answer", "more than 9 MiB");
    it_prints_ten_thousand_lines_a_second => command([Step::Repeat(
            b"another line of an endless log\n".repeat(100),
            usize::MAX,
            Duration::from_millis(10),
        )])
        .limit()
        .errored("timeout", "(timeout 3s)");
    it_prints_no_utf_8 => command([Step::Out(b"\xff\xfe ok \xc3\x28\n".to_vec()), Step::Exit(0)])
        .and(|run| assert_eq!(stdout(run), "\u{fffd}\u{fffd} ok \u{fffd}(\n"));
    it_prints_terminal_escapes => command([
            Step::Out(b"\x1b[2J\x1b]0;owned\x07\x1b]8;;http://x\x1b\\ok\x1b[0m \x9b31m\n".to_vec()),
            Step::Exit(1),
        ])
        .failed("exit status 1");
    it_prints_what_breaks_xml =>
        command([
            Step::Out(b"]]></system-out>\0\x0b<!-- &bogus; \xef\xbf\xbe ok".to_vec()),
            Step::Exit(1),
        ])
        .failed("exit status 1");
    it_changes_keys_in_the_output =>
        vm(Script { rekey_after: Some(100_000), ..Script::default() }.answer(
            "work",
            [
                Step::Repeat(vec![b'x'; 64 * 1024], 12, Duration::from_millis(1)),
                ok(),
                Step::Exit(0),
            ],
        ));

    // sudo.
    its_sudo_takes_another_password => sudo(Sudo::Password("another".to_owned()))
        .errored("sudo", "1 incorrect password attempt");
    its_sudo_refuses => sudo(Sudo::Refuses("ops is not in the sudoers file.\n".to_owned()))
        .errored("sudo", "ops is not in the sudoers file.");
    it_has_no_sudo => sudo(Sudo::Missing).errored("missing-tool", "`sudo` is not installed");
    its_sudo_hangs =>
        sudo(Sudo::Hangs("sudo: unable to resolve host vm: Name or service not known\n".to_owned()))
        .limit()
        .errored("timeout", "sudo did not start the command in time")
        .and(|run| hints(run, "/etc/hosts"));

    // The way from the VM to a URL.
    it_forbids_forwarding =>
        path(Forwarding::Prohibited, closed_port()).errored("channel", "sshd refuses to connect");
    it_cannot_connect =>
        path(Forwarding::Allowed, closed_port()).failed("the VM cannot connect to");
    it_connects_without_end =>
        path(Forwarding::Hangs, closed_port()).limit().failed("no answer in time");
    it_freezes_when_it_is_to_connect => path(Forwarding::Freezes, closed_port())
        .limit()
        .blocked("timeout", "it stopped answering");
    it_freezes_while_the_url_is_asked =>
        path(Forwarding::FreezesLater, serve_http(http("200 OK", "ok")))
        .limit()
        .blocked("timeout", "it stopped answering");
    it_closes_while_the_url_is_asked => path(Forwarding::CutLater, serve_http(http("200 OK", "ok")))
        .errored("channel", "connection was lost");

    // Web servers.
    its_web_server_says_nothing =>
        web(Http::Hangs(Vec::new())).limit().failed("no complete answer within");
    its_web_server_closes => web(Http::Says(Vec::new())).failed("no HTTP answer");
    its_web_server_resets => web(Http::Resets(Vec::new())).failed("no HTTP answer");
    its_web_server_speaks_no_http =>
        web(Http::Says(b"SSH-2.0-x\r\n".to_vec())).failed("no HTTP answer");
    its_body_has_no_end => web(over_and_over("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 64 * 1024]))
        .errored("answer", "more than 1048576 bytes came");
    its_body_drips_for_ever =>
        web(slowly("HTTP/1.1 200 OK\r\n\r\n", "x", 50))
            .limit()
            .failed("no complete answer within");
    its_body_stops_halfway =>
        web(Http::Hangs(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok".to_vec()))
        .limit()
        .failed("no complete answer within");
    its_body_is_shorter_than_it_says =>
        web(Http::Says(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok".to_vec()))
            .failed("no HTTP answer");
    its_body_is_longer_than_it_says =>
        web(Http::Says(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnot ok".to_vec()))
            .failed("does not contain \"ok\"");
    its_body_is_reset =>
        web(Http::Resets(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok".to_vec()))
        .failed("no HTTP answer");
    its_body_is_empty =>
        web(Http::Says(http("200 OK", "").into())).failed("does not contain \"ok\"");
    its_body_is_a_gzip_bomb => web(gzip_bomb()).errored("answer", "decide from the first ones");
    its_chunks_are_garbage =>
        web(answers("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n"))
            .failed("no HTTP answer");
    its_json_is_html => web(Http::Says(http("200 OK", "<html>ok</html>").into()))
        .with("jq", ".status == \"ok\"")
        .failed("the text is not JSON");
    it_redirects_in_circles =>
        web(answers("HTTP/1.1 302 Found\r\nlocation: /ping\r\ncontent-length: 0\r\n\r\n"))
            .failed("answered 302, expected 200");
    its_header_has_no_end =>
        web(over_and_over("HTTP/1.1 200 OK\r\nx: ", vec![b'h'; 64 * 1024]))
            .failed("no HTTP answer");
    its_headers_have_no_end => web(over_and_over("HTTP/1.1 200 OK\r\n", b"x: y\r\n".repeat(1000)))
        .failed("no HTTP answer");
    it_says_continue_for_ever =>
        web(slowly("", "HTTP/1.1 100 Continue\r\n\r\n", 1))
            .limit()
            .failed("no complete answer within");
}

// Adding one changes the number here and in the README.
const _: () = assert!(MISBEHAVIOURS.len() == 68);

#[test]
fn a_login_that_is_cut_off_is_retried_while_there_is_time() {
    let vm =
        Script { login: Login { hangs_up: true, ..Login::default() }, ..Script::default() }.start();
    let run = Scene::with(&vm).run("vm", "true").check(&["--wait", "1s"]);
    is(&run, "blocked", Some("auth"), "closed the connection");
    assert!(vm.logins().len() > 1);
}

#[test]
fn a_cut_connection_never_makes_an_assertion_pass() {
    // A whole run is about 3,500 bytes of the VM's.
    for limit in (0..4000).step_by(157) {
        let vm = Script { wire: Wire::CutAfter(limit), ..Script::default() }
            .answer("work", [ok(), Step::Exit(0)])
            .start();
        let scene = Scene::with(&vm).assert(json!({"command": "work", "contains": "ok"}));
        let run = scene.check(&[]);
        let row = &run.rows()[0];
        let output = row["output"]["stdout"]["text"].as_str();
        match row["verdict"].as_str() {
            Some("passed") => {
                assert_eq!((run.code, output), (Some(0), Some("ok\n")), "cut after {limit}");
            }
            Some("blocked" | "errored") => assert_eq!(run.code, Some(3), "cut after {limit}"),
            other => panic!("cut after {limit}: {other:?} {}", run.transcript()),
        }
    }
}

#[test]
fn a_command_is_retried_after_a_reboot() {
    let after = vec![ok(), Step::Exit(0)];
    let vm = Script::default().answer("work", [Step::Become(after), Step::Cut, Step::Hang]).start();
    let run = Scene::with(&vm)
        .assert(json!({"command": "work", "contains": "ok"}))
        .check(&["--wait", "60s"]);
    run.expect(0, &["passed"]);
    assert_eq!(run.rows()[0]["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(vm.logins().len(), 2);
}

#[test]
fn sudo_gets_the_password_and_leaves_no_trace_in_the_output() {
    sudo(Sudo::Password(PASSWORD.to_owned()))
        .and(|run| assert_eq!(run.rows()[0]["output"]["stderr"]["text"], ""))
        .check();
}

#[test]
fn https_to_a_plain_http_port_says_so() {
    for from in ["vm", "runner"] {
        let port = Http::Interrupts(http("400 Bad Request", "TLS?").into()).serve();
        let url = format!("https://localhost:{port}/ping");
        path(Forwarding::Allowed, port)
            .with("url", url)
            .with("from", from)
            .failed("the server answered with plain HTTP, not TLS; should the scheme be http?")
            .check();
    }
}

#[test]
fn a_url_is_requested_through_the_vm() {
    let ping = |status: &str| {
        web(Http::Says(http(status, r#"{"res":"pong"}"#).into())).with("contains", "res")
    };
    ping("200 OK").with("jq", r#".res == "pong""#).check();
    ping("200 OK").with("jq", r#".res == "ping""#).failed("returned false").check();
    ping("200 OK").with("status", 204).failed("answered 200, expected 204").check();
    ping("500 No").failed("answered 500, expected 200").check();
    ping("200 OK").with("from", "runner").check();
}

#[test]
fn endless_jq_programs_delay_nothing_else() {
    let vm = Script::default().prints("echo {}", "{}").prints("yes", "").start();
    let mut scene = Scene::with(&vm);
    // More of them than the runtime has threads.
    for n in 0..4 {
        let name = format!("endless-{n}");
        let jq = "until(false; .)";
        let endless = json!({"command": "echo {}", "name": name, "jq": jq, "timeout": "1s"});
        scene = scene.assert(endless);
    }
    let run = scene.run("vm", "yes").check(&[]);
    run.expect(3, &["errored", "errored", "errored", "errored", "passed"]);
    for row in &run.rows()[..4] {
        assert_eq!(row["cause"]["stage"], "timeout");
    }
}
