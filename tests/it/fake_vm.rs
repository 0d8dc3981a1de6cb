//! A VM that is only an sshd: russh's server, in this process, on loopback. It misbehaves on
//! demand.
//!
//! A [`Script`] says how it greets, who may log in and what it answers; [`Step`]s are data, and one
//! place performs them. [`ClientLog`] counts what the client did.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bootproof::assertion::command_output::SUDO_GRANTED;
use bootproof::assertion::port_listening::READ_SOCKET_TABLES;
use bootproof::health::shell::{READ_SHELL, SHELL_STATUS};
use bootproof::health::{READ_BOOT_STATE, READ_HEALTH};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::ssh_key::{HashAlg, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, Response, Session, VerifiedPublicKey,
};
use russh::{
    Channel, ChannelId, ChannelMsg, ChannelOpenFailure, Limits, MethodKind, MethodSet, Sig, SshId,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// All servers of all tests live here.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
});

pub const PASSWORD: &str = "ops-password";

/// What the VM does. The default is a healthy VM that lets `ops` in with [`PASSWORD`].
#[derive(Clone)]
pub struct Script {
    pub wire: Wire,
    pub login: Login,
    /// The seed of its host key.
    pub host_key: u8,
    pub server_id: &'static str,
    /// Sent before the login.
    pub auth_banner: Option<String>,
    /// As sshd's `MaxSessions`.
    pub max_sessions: usize,
    /// How many sessions are refused before the first is opened.
    pub refuse_first: usize,
    pub opening: Opening,
    pub forwarding: Forwarding,
    /// Where paths to a port really lead on this machine; a port that is not here is itself.
    pub paths: HashMap<u16, u16>,
    pub shell: LoginShell,
    pub sudo: Sudo,
    /// TCP ports that the kernel's tables show as listening on all addresses.
    pub listening: Vec<u16>,
    /// What the shell does for a command; a command that is not here is "not found".
    pub answers: HashMap<String, Vec<Step>>,
    /// The text of every item of evidence.
    pub evidence: String,
    /// New keys after so many bytes.
    pub rekey_after: Option<usize>,
}

/// How the bytes get to the client.
#[derive(Clone)]
pub enum Wire {
    /// At once.
    Good,
    /// The VM sends nothing and keeps the connection open.
    Silent,
    /// Another service sends this and closes the connection.
    Says(Vec<u8>),
    /// Another service sends this over and over.
    Babbles(Vec<u8>),
    /// The VM answers after this time.
    Late(Duration),
    /// The VM's bytes come one by one.
    Drips(Duration),
    /// The connection is cut after this many bytes from the VM.
    CutAfter(usize),
    /// The VM freezes after this many of its bytes.
    FrozenAfter(usize),
}

/// Who may log in, and how.
#[derive(Clone, Default)]
pub struct Login {
    /// `ops` by default.
    pub user: Option<String>,
    pub password: Option<String>,
    pub interactive: Option<String>,
    pub keys: Vec<PublicKey>,
    /// The connection ends at the first attempt.
    pub hangs_up: bool,
    /// No attempt is ever answered.
    pub hangs: bool,
    /// After this many refusals the next attempt ends the connection, with a reason.
    pub refusals_at_most: Option<usize>,
}

/// What happens when the client opens a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    Granted,
    /// It is never answered.
    Hangs,
    /// The connection is gone.
    Cut,
}

/// What happens when the client asks the VM to connect somewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    Allowed,
    Prohibited,
    /// Its target never answers; the VM lives.
    Hangs,
    /// The VM freezes at once.
    Freezes,
    /// The VM freezes at the first byte for the target.
    FreezesLater,
    /// The connection is cut at the first byte for the target.
    CutLater,
}

/// What the login shell does with every command.
#[derive(Clone)]
pub enum LoginShell {
    Runs,
    /// It prints the first on stdout and the second on stderr, and then runs the command.
    PrintsBefore(&'static str, &'static str),
    /// The same after the command.
    PrintsAfter(&'static str, &'static str),
    /// It runs nothing: it does this instead.
    RunsNothing(Vec<Step>),
    /// It runs the command and returns this exit status.
    Returns(u32),
    /// It runs this many commands, and after that it does something else instead.
    Breaks(usize, Vec<Step>),
}

/// What sudo does.
#[derive(Clone)]
pub enum Sudo {
    Password(String),
    /// It prints this and refuses.
    Refuses(String),
    Missing,
    /// It prints this and never runs the command.
    Hangs(String),
}

/// One thing that a command does. Afterwards its channel is closed.
#[derive(Clone)]
pub enum Step {
    Out(Vec<u8>),
    Err(Vec<u8>),
    Exit(u32),
    Killed(Sig),
    /// Prints these bytes on stdout this many times, with a pause after each.
    Repeat(Vec<u8>, usize, Duration),
    /// It runs until it gets a signal or its channel is closed.
    Hang,
    /// The connection is gone.
    Cut,
    /// The connection stays open, but nothing passes any more.
    Freeze,
    /// sshd refuses to run it.
    Refuse,
    /// From now on this is the answer to the command: a service that comes up, a VM that changes.
    Become(Vec<Step>),
}

impl Default for Script {
    fn default() -> Self {
        Self {
            wire: Wire::Good,
            login: Login::password(PASSWORD),
            host_key: 1,
            server_id: "SSH-2.0-OpenSSH_10.0p2 Debian-7",
            auth_banner: None,
            max_sessions: 10,
            refuse_first: 0,
            opening: Opening::Granted,
            forwarding: Forwarding::Allowed,
            paths: HashMap::new(),
            shell: LoginShell::Runs,
            sudo: Sudo::Password(PASSWORD.to_owned()),
            listening: vec![22],
            answers: HashMap::new(),
            evidence: String::new(),
            rekey_after: None,
        }
    }
}

impl Script {
    /// The same, with an answer for `command`.
    pub fn answer(mut self, command: &str, steps: impl Into<Vec<Step>>) -> Self {
        self.answers.insert(command.to_owned(), steps.into());
        self
    }

    /// The same, with a command that prints and exits 0.
    pub fn prints(self, command: &str, stdout: impl Into<Vec<u8>>) -> Self {
        self.answer(command, [Step::Out(stdout.into()), Step::Exit(0)])
    }

    pub fn start(self) -> FakeVm {
        FakeVm::start(self)
    }
}

impl Login {
    pub fn password(password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..Self::default() }
    }

    pub fn key(key: &PublicKey) -> Self {
        Self { keys: vec![key.clone()], ..Self::default() }
    }

    /// Accepts this user instead of `ops`.
    pub fn of(self, user: &str) -> Self {
        Self { user: Some(user.to_owned()), ..self }
    }

    fn is_user(&self, user: &str) -> bool {
        self.user.as_deref().unwrap_or("ops") == user
    }

    fn methods(&self) -> MethodSet {
        let mut methods = MethodSet::empty();
        for (given, method) in [
            (!self.keys.is_empty(), MethodKind::PublicKey),
            (self.password.is_some() || self.hangs_up || self.hangs, MethodKind::Password),
            (self.interactive.is_some(), MethodKind::KeyboardInteractive),
        ] {
            if given {
                methods.push(method);
            }
        }
        methods
    }
}

/// What the client did.
#[derive(Default)]
pub struct ClientLog {
    pub connections: AtomicUsize,
    /// Login attempts, by method.
    pub logins: Mutex<Vec<&'static str>>,
    pub commands: Mutex<Vec<String>>,
    /// How many connections there were at most at once that had not logged in.
    pub most_at_login: AtomicUsize,
    open_sessions: AtomicUsize,
    refused_sessions: AtomicUsize,
}

/// A server that runs until it is dropped.
pub struct FakeVm {
    pub port: u16,
    pub log: Arc<ClientLog>,
    host_key: PrivateKey,
    task: JoinHandle<()>,
}

impl Drop for FakeVm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeVm {
    pub fn start(script: Script) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        Self::listen(script, listener)
    }

    /// The same VM with another script at the same address.
    pub fn restart(self, script: Script) -> Self {
        let port = self.port;
        drop(self);
        // The old listener is closed by its runtime a moment after the task was told to end.
        let listener = std::iter::repeat_with(|| {
            std::thread::sleep(Duration::from_millis(5));
            std::net::TcpListener::bind(("127.0.0.1", port))
        });
        Self::listen(
            script,
            listener.take(1000).find_map(Result::ok).expect("the port is free again"),
        )
    }

    pub fn listen(script: Script, listener: std::net::TcpListener) -> Self {
        listener.set_nonblocking(true).expect("non-blocking");
        let port = listener.local_addr().expect("an address").port();
        let log = Arc::new(ClientLog::default());
        let host_key = PrivateKey::from(Ed25519Keypair::from_seed(&[script.host_key; 32]));
        let (answers, counted, key) =
            (Arc::new(Mutex::new(script.answers.clone())), log.clone(), host_key.clone());
        let config = Arc::new(config(&script, &host_key));
        let script = Arc::new(script);
        let task = RUNTIME.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let connections = counted.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let logins = counted.logins.lock().unwrap().len();
                let at_login = connections.saturating_sub(logins);
                counted.most_at_login.fetch_max(at_login, Ordering::SeqCst);
                let visit = Visit {
                    script: script.clone(),
                    log: counted.clone(),
                    answers: answers.clone(),
                    flow: Arc::new(watch::Sender::new(Flow::Open)),
                    channels: HashMap::new(),
                };
                tokio::spawn(visit.receive(config.clone(), stream));
            }
        });
        Self { port, log, host_key: key, task }
    }

    /// `SHA256:...`
    pub fn fingerprint(&self) -> String {
        self.host_key.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// Its line in a known_hosts file.
    pub fn known_hosts_line(&self) -> String {
        let key = self.host_key.public_key().to_openssh().expect("a key");
        format!("[127.0.0.1]:{} {key}\n", self.port)
    }

    pub fn logins(&self) -> Vec<&'static str> {
        self.log.logins.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// How often `command` was run.
    pub fn runs(&self, command: &str) -> usize {
        self.log.commands.lock().unwrap().iter().filter(|run| *run == command).count()
    }
}

fn config(script: &Script, host_key: &PrivateKey) -> Config {
    let mut config = Config {
        server_id: SshId::Standard(Cow::Borrowed(script.server_id)),
        methods: script.login.methods(),
        auth_rejection_time: Duration::from_millis(1),
        keys: vec![host_key.clone()],
        nodelay: true,
        ..Config::default()
    };
    if let Some(refusals) = script.login.refusals_at_most {
        config.max_auth_attempts = refusals;
    }
    if let Some(bytes) = script.rekey_after {
        config.limits = Limits::new(bytes, bytes, Duration::from_hours(1));
    }
    config
}

/// What the wire does at the moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    Frozen,
    Cut,
}

/// One connection.
struct Visit {
    script: Arc<Script>,
    log: Arc<ClientLog>,
    answers: Arc<Mutex<HashMap<String, Vec<Step>>>>,
    flow: Arc<watch::Sender<Flow>>,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Visit {
    async fn receive(self, config: Arc<Config>, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        match &self.script.wire {
            Wire::Silent => std::future::pending().await,
            Wire::Says(bytes) => drop(stream.write_all(bytes).await),
            Wire::Babbles(bytes) => {
                while stream.write_all(bytes).await.is_ok() {
                    sleep(Duration::from_millis(50)).await;
                }
            }
            wire => {
                let (near, far) = duplex(64 * 1024);
                let (wire, flow) = (wire.clone(), self.flow.clone());
                let server = tokio::spawn(async move {
                    if let Ok(session) = russh::server::run_stream(config, far, self).await {
                        // How the client leaves does not matter.
                        let _ = session.await;
                    }
                });
                carry(stream, near, wire, &flow).await;
                server.abort();
            }
        }
    }
}

/// Carries bytes both ways, as the wire lets them.
async fn carry(stream: TcpStream, near: DuplexStream, wire: Wire, flow: &watch::Sender<Flow>) {
    let (mut from_client, mut to_client) = stream.into_split();
    let (mut from_server, mut to_server) = split(near);
    let (step, pause) = match wire {
        Wire::Drips(pause) => (1, pause),
        _ => (16 * 1024, Duration::ZERO),
    };
    if let Wire::Late(pause) = wire {
        sleep(pause).await;
    }
    let up = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            passable(flow).await;
            if to_server.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    let down = async {
        let (mut buffer, mut passed) = (vec![0; step], 0);
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            if pause > Duration::ZERO {
                sleep(pause).await;
            }
            let (limit, then) = match wire {
                Wire::CutAfter(limit) => (limit, Flow::Cut),
                Wire::FrozenAfter(limit) => (limit, Flow::Frozen),
                _ => (usize::MAX, Flow::Open),
            };
            passable(flow).await;
            let fits = length.min(limit - passed);
            if to_client.write_all(&buffer[..fits]).await.is_err() {
                break;
            }
            passed += fits;
            if passed == limit {
                flow.send_replace(then);
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        () = state(flow, Flow::Cut) => {}
    }
}

async fn state(flow: &watch::Sender<Flow>, wanted: Flow) {
    let mut flow = flow.subscribe();
    let _ = flow.wait_for(|now| *now == wanted).await;
}

async fn passable(flow: &watch::Sender<Flow>) {
    state(flow, Flow::Open).await;
}

impl Visit {
    async fn note_login(&self, method: &'static str) -> Result<(), russh::Error> {
        self.log.logins.lock().unwrap().push(method);
        if self.script.login.hangs {
            std::future::pending::<()>().await;
        }
        if self.script.login.hangs_up { Err(russh::Error::Disconnect) } else { Ok(()) }
    }
}

impl Login {
    /// As sshd does, a refusal leaves all methods open.
    fn answer(&self, yes: bool) -> Auth {
        let methods = Some(self.methods());
        if yes {
            Auth::Accept
        } else {
            Auth::Reject { proceed_with_methods: methods, partial_success: false }
        }
    }
}

impl Handler for Visit {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(self.script.auth_banner.clone())
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        self.note_login("password").await?;
        Ok(self.script.login.answer(
            self.script.login.is_user(user)
                && self.script.login.password.as_deref() == Some(password),
        ))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        self.note_login("publickey").await?;
        let known = self
            .script
            .login
            .keys
            .iter()
            .any(|known| known.key_data() == key.public_key.key_data());
        Ok(self.script.login.answer(self.script.login.is_user(user) && known))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(mut response) = response else {
            let prompts: &[(Cow<'static, str>, bool)] = &[(Cow::Borrowed("Password: "), false)];
            return Ok(Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: prompts.to_vec().into(),
            });
        };
        self.note_login("keyboard-interactive").await?;
        let given = response.next().unwrap_or_default();
        let right = self.script.login.interactive.as_deref().map(str::as_bytes) == Some(&given[..]);
        Ok(self.script.login.answer(self.script.login.is_user(user) && right))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.script.opening {
            Opening::Granted => {}
            Opening::Cut => {
                self.flow.send_replace(Flow::Cut);
            }
            Opening::Hangs => {
                hold(reply);
                return Ok(());
            }
        }
        let log = &self.log;
        if log.refused_sessions.load(Ordering::SeqCst) < self.script.refuse_first
            || log.open_sessions.load(Ordering::SeqCst) >= self.script.max_sessions
        {
            log.refused_sessions.fetch_add(1, Ordering::SeqCst);
            // sshd's answer to one session too many.
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        }
        log.open_sessions.fetch_add(1, Ordering::SeqCst);
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let forwarding = self.script.forwarding;
        match forwarding {
            Forwarding::Prohibited => {
                reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
                return Ok(());
            }
            Forwarding::Hangs | Forwarding::Freezes => {
                if forwarding == Forwarding::Freezes {
                    self.flow.send_replace(Flow::Frozen);
                }
                hold(reply);
                return Ok(());
            }
            Forwarding::Allowed | Forwarding::FreezesLater | Forwarding::CutLater => {}
        }
        let port = u16::try_from(port_to_connect).unwrap_or(0);
        let known = self.script.paths.get(&port);
        let is_known = known.is_some();
        let port = known.copied().unwrap_or(port);
        // Whatever name the VM knows, it is this machine.
        match TcpStream::connect(("127.0.0.1", port)).await {
            Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            Ok(mut target) => {
                assert!(
                    is_known || ["localhost", "127.0.0.1"].contains(&host_to_connect),
                    "tests stay on loopback"
                );
                reply.accept().await;
                let flow = self.flow.clone();
                tokio::spawn(async move {
                    let mut path = channel.into_stream();
                    if forwarding != Forwarding::Allowed {
                        let _ = path.read_u8().await;
                        let ends = if forwarding == Forwarding::CutLater {
                            Flow::Cut
                        } else {
                            Flow::Frozen
                        };
                        flow.send_replace(ends);
                    }
                    let _ = copy_bidirectional(&mut path, &mut target).await;
                });
            }
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let envelope = Envelope::open(&String::from_utf8_lossy(data));
        let earlier = {
            let mut commands = self.log.commands.lock().unwrap();
            commands.push(envelope.command.clone());
            commands.len() - 1
        };
        let Some(channel) = self.channels.remove(&channel) else {
            return Err(russh::Error::WrongChannel);
        };
        let shell = Shell {
            script: self.script.clone(),
            log: self.log.clone(),
            answers: self.answers.clone(),
            flow: self.flow.clone(),
            handle: session.handle(),
            channel,
        };
        tokio::spawn(shell.run(envelope, earlier));
        Ok(())
    }
}

/// Never answers; a reply that is dropped would be a refusal.
fn hold(reply: ChannelOpenHandle) {
    tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop(reply);
    });
}

/// What the client sends: a command, and the mark to print before and after it.
struct Envelope {
    mark: String,
    command: String,
}

impl Envelope {
    fn open(sent: &str) -> Self {
        let words = shlex::split(sent).expect("words");
        let [exec, sh, option, script, name, command] = &words[..] else {
            panic!("not in an envelope: {sent}")
        };
        assert_eq!([exec, sh, option, name], ["exec", "/bin/sh", "-c", "bootproof"]);
        let mark = script.strip_prefix("echo ").and_then(|rest| rest.split(';').next());
        Self { mark: mark.expect("a mark").to_owned(), command: command.clone() }
    }

    fn print(&self, end: &str) -> [Step; 2] {
        let line = format!("{}{end}\n", self.mark).into_bytes();
        [Step::Err(line.clone()), Step::Out(line)]
    }
}

/// One command in its channel.
struct Shell {
    script: Arc<Script>,
    log: Arc<ClientLog>,
    answers: Arc<Mutex<HashMap<String, Vec<Step>>>>,
    flow: Arc<watch::Sender<Flow>>,
    handle: Handle,
    channel: Channel<Msg>,
}

impl Shell {
    async fn run(mut self, envelope: Envelope, earlier: usize) {
        let command = &envelope.command;
        let words = shlex::split(command).unwrap_or_default();
        let steps = match words.split_last() {
            Some((inner, rest)) if rest == ["sudo", "-S", "-p", "", "--", "sh", "-c"] => {
                let given = self.first_line().await;
                self.sudo(inner, given.trim_end())
            }
            _ => self.look_up(command),
        };
        let steps = self.script.shell.run(steps, &envelope, earlier);
        let refused = matches!(steps.first(), Some(Step::Refuse));
        let id = self.channel.id();
        // These fail if the client is gone.
        let _ = if refused {
            self.handle.channel_failure(id).await
        } else {
            self.handle.channel_success(id).await
        };
        for step in steps {
            self.perform(command, step).await;
        }
        self.log.open_sessions.fetch_sub(1, Ordering::SeqCst);
        let _ = self.channel.eof().await;
        let _ = self.channel.close().await;
    }

    async fn first_line(&mut self) -> String {
        let mut given = Vec::new();
        while let Some(message) = self.channel.wait().await {
            match message {
                ChannelMsg::Data { data } => given.extend_from_slice(&data),
                ChannelMsg::Eof | ChannelMsg::Close => break,
                _ => {}
            }
        }
        String::from_utf8_lossy(&given).lines().next().unwrap_or_default().to_owned()
    }

    fn sudo(&self, inner: &str, given: &str) -> Vec<Step> {
        let says = |text: String, code| vec![Step::Err(text.into_bytes()), Step::Exit(code)];
        match &self.script.sudo {
            Sudo::Missing => says("sh: 1: sudo: not found\n".to_owned(), 127),
            Sudo::Refuses(text) => says(text.clone(), 1),
            Sudo::Hangs(text) => vec![Step::Err(text.clone().into_bytes()), Step::Hang],
            Sudo::Password(right) if right != given => says(
                "Sorry, try again.\nsudo: no password was provided\n\
                 sudo: 1 incorrect password attempt\n"
                    .into(),
                1,
            ),
            Sudo::Password(_) => {
                let start =
                    format!("exec </dev/null; echo '{SUDO_GRANTED}'; echo '{SUDO_GRANTED}' >&2; ");
                let command = inner.strip_prefix(&start).expect("it asks whether it is let in");
                let line = format!("{SUDO_GRANTED}\n").into_bytes();
                let mut steps = vec![Step::Out(line.clone()), Step::Err(line)];
                steps.extend(self.look_up(command));
                steps
            }
        }
    }

    fn look_up(&self, command: &str) -> Vec<Step> {
        if let Some(steps) = self.answers.lock().unwrap().get(command) {
            return steps.clone();
        }
        let print = |text: String| vec![Step::Out(text.into_bytes()), Step::Exit(0)];
        match command {
            READ_SOCKET_TABLES => print(socket_tables(&self.script.listening)),
            READ_HEALTH => print(format!("{IDENTITY}{HEALTH}")),
            READ_BOOT_STATE => print("running\n".to_owned()),
            READ_SHELL => vec![Step::Out(b"4\n".to_vec()), Step::Exit(SHELL_STATUS)],
            evidence if evidence.starts_with("export LC_ALL=C SYSTEMD_COLORS=0;") => {
                print(self.evidence(evidence))
            }
            other => {
                let word = other.split_whitespace().next().unwrap_or_default();
                vec![
                    Step::Err(format!("bash: line 1: {word}: command not found\n").into_bytes()),
                    Step::Exit(127),
                ]
            }
        }
    }

    /// Each requested item, all with the script's text.
    fn evidence(&self, command: &str) -> String {
        let pieces = command.split("echo 'bootproof-").skip(1);
        let pieces = pieces.filter_map(|piece| piece.split_once('\'')).map(|(about, _)| about);
        pieces.map(|about| format!("bootproof-{about}\n{}\n", self.script.evidence)).collect()
    }

    async fn perform(&mut self, command: &str, step: Step) {
        let id = self.channel.id();
        match step {
            Step::Out(bytes) => {
                let _ = self.channel.make_writer().write_all(&bytes).await;
            }
            Step::Err(bytes) => {
                let _ = self.channel.make_writer_ext(Some(1)).write_all(&bytes).await;
            }
            Step::Repeat(bytes, times, pause) => {
                let mut writer = self.channel.make_writer();
                for _ in 0..times {
                    if writer.write_all(&bytes).await.is_err() {
                        return;
                    }
                    if pause > Duration::ZERO {
                        sleep(pause).await;
                    }
                }
            }
            Step::Exit(code) => {
                let _ = self.handle.exit_status_request(id, code).await;
            }
            Step::Killed(signal) => {
                let _ = self
                    .handle
                    .exit_signal_request(id, signal, false, String::new(), String::new())
                    .await;
            }
            Step::Hang => {
                let mut ended = false;
                while !ended {
                    let message = self.channel.wait().await;
                    ended = matches!(
                        message,
                        None | Some(ChannelMsg::Close | ChannelMsg::Signal { .. })
                    );
                }
            }
            Step::Cut => {
                self.flow.send_replace(Flow::Cut);
            }
            Step::Freeze => {
                self.flow.send_replace(Flow::Frozen);
                std::future::pending::<()>().await;
            }
            Step::Refuse => {}
            Step::Become(steps) => {
                self.answers.lock().unwrap().insert(command.to_owned(), steps);
            }
        }
    }
}

impl LoginShell {
    /// What a shell that does `steps` for a command sends.
    fn run(&self, steps: Vec<Step>, envelope: &Envelope, earlier: usize) -> Vec<Step> {
        let print = |out: &str, err: &str| vec![Step::Out(out.into()), Step::Err(err.into())];
        let status = steps.iter().rev().find_map(|step| match step {
            Step::Exit(code) => Some(*code),
            _ => None,
        });
        // sshd refuses before any shell starts.
        let refused = matches!(steps.first(), Some(Step::Refuse));
        let run = |steps: Vec<Step>, before, after| {
            let end = status.map(|code| envelope.print(&format!(" {code}")));
            [before, envelope.print("").to_vec(), steps, end.into_iter().flatten().collect(), after]
                .concat()
        };
        match self {
            _ if refused => steps,
            Self::RunsNothing(instead) => instead.clone(),
            Self::Breaks(after, instead) if earlier >= *after => instead.clone(),
            Self::Runs | Self::Breaks(..) => run(steps, vec![], vec![]),
            Self::PrintsBefore(out, err) => run(steps, print(out, err), vec![]),
            Self::PrintsAfter(out, err) => run(steps, vec![], print(out, err)),
            Self::Returns(code) => {
                let mut steps = run(steps, vec![], vec![]);
                for step in &mut steps {
                    if let Step::Exit(status) = step {
                        *status = *code;
                    }
                }
                steps
            }
        }
    }
}

/// A stable VM.
pub const HEALTH: &str = "boot-id a\noom-kills 0\nsystem running\nnow 1000\n\
    invocation:redis-server.service 1 100.0\n@end\n";

const IDENTITY: &str = "machine-id 0123456789abcdef0123456789abcdef\n\
    boot-id 01234567-89ab-cdef-0123-456789abcdef\n\
    kernel 6.12.48+deb13-cloud-amd64\nos-release Debian GNU/Linux 13 (trixie)\n";

fn socket_tables(ports: &[u16]) -> String {
    let line = |(index, port): (usize, &u16)| {
        format!("   {index}: 00000000:{port:04X} 00000000:0000 0A 0:0 0 0 0 0 1\n")
    };
    let lines: String = ports.iter().enumerate().map(line).collect();
    format!("@tcp\n  sl  local_address rem_address   st\n{lines}@tcp6\n@udp\n@udp6\n@end\n")
}

/// What an HTTP server does with every request.
#[derive(Clone)]
pub enum Http {
    /// It sends this and closes.
    Says(Vec<u8>),
    /// It sends this, and then nothing more.
    Hangs(Vec<u8>),
    /// It sends the first, then the second over and over, with a pause after each.
    Repeats(Vec<u8>, Vec<u8>, Duration),
    /// It sends this and resets the connection.
    Resets(Vec<u8>),
    /// It sends this as soon as anything comes, even TLS, and closes.
    Interrupts(Vec<u8>),
}

/// Starts an HTTP server that sends everyone the same bytes; returns its port.
pub fn serve_http(answer: impl Into<Vec<u8>>) -> u16 {
    Http::Says(answer.into()).serve()
}

impl Http {
    /// Starts it; returns its port.
    pub fn serve(self) -> u16 {
        RUNTIME.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
            let port = listener.local_addr().expect("an address").port();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let http = self.clone();
                    // A client may leave before the end.
                    tokio::spawn(async move { http.answer(stream).await });
                }
            });
            port
        })
    }

    async fn answer(self, mut stream: TcpStream) -> std::io::Result<()> {
        let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                length => request.extend_from_slice(&buffer[..length]),
            }
            if matches!(self, Self::Interrupts(_)) {
                break;
            }
        }
        match self {
            Self::Says(bytes) | Self::Interrupts(bytes) => stream.write_all(&bytes).await,
            Self::Hangs(bytes) => {
                stream.write_all(&bytes).await?;
                // Until the client goes.
                stream.read(&mut buffer).await.map(|_| ())
            }
            Self::Repeats(first, then, pause) => {
                stream.write_all(&first).await?;
                loop {
                    stream.write_all(&then).await?;
                    sleep(pause).await;
                }
            }
            Self::Resets(bytes) => {
                stream.write_all(&bytes).await?;
                stream.set_zero_linger()
            }
        }
    }
}

/// An HTTP answer with `body`.
pub fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
