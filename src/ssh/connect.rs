//! From an address to a logged-in [`Session`], stage by stage, each with its own limit and its own error.

use crate::obstacle::{Obstacle, Stage};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russh::client::{self, Config, DisconnectReason, Handle, Handler, connect_stream};
use russh::keys::PublicKeyOrCertificate;
use russh::keys::ssh_key::{Algorithm, HashAlg};
use russh::{Names, Preferred};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::banner::await_banner;
use super::host_key::{HostKeyPolicy, HostKeys};
use super::{Session, auth, tunnel};
use crate::record::Trust;
use crate::secrets::VmSecrets;
use crate::spec::inventory::Ssh;

/// Where to log in, and by what means.
#[derive(Debug, Clone)]
pub struct Target {
    /// Address and means.
    pub ssh: Ssh,
    /// The secrets that belong to it.
    pub secrets: VmSecrets,
    /// Whom to trust there.
    pub host_keys: HostKeyPolicy,
}

/// How long each stage may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Name resolution and TCP connection, each.
    pub dial: Duration,
    /// The SSH banner, and the key exchange, each.
    pub greet: Duration,
    /// The login.
    pub login: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        // A login on a VM without working DNS takes 20 s and more; it is slow, not dead.
        Self {
            dial: Duration::from_secs(10),
            greet: Duration::from_secs(15),
            login: Duration::from_mins(1),
        }
    }
}

/// A step on the way to a login that is behind us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// There is a TCP connection.
    Tcp,
    /// An SSH server speaks on it.
    Banner,
    /// It let us in.
    Login,
}

/// Connects and logs in, directly or through `jump`; tells `reached` what is behind it.
pub async fn connect(
    target: &Target,
    jump: Option<&Session>,
    limits: Limits,
    reached: &(dyn Fn(Milestone) + Sync),
) -> Result<Session, Obstacle> {
    let (host, port) = (target.ssh.host.as_str(), target.ssh.port);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let host_keys = target.host_keys.of(host, port);
    let config = Arc::new(config(&host_keys.types()));
    let client = Client { host_keys, seen: seen.clone() };
    let mut handle = match jump {
        None => greet(dial(host, port, limits).await?, config, client, limits, reached).await?,
        Some(jump) => {
            let stream = tunnel::open(jump, host, port, Instant::now() + limits.dial)
                .await
                .map_err(from_jump)?;
            greet(stream, config, client, limits, reached).await?
        }
    };
    let login = auth::login(&mut handle, &target.ssh, &target.secrets, &seen);
    timeout(limits.login, login).await.map_err(|_| slow_login(limits))??;
    reached(Milestone::Login);
    let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Session::new(handle, seen.banner, seen.fingerprint, seen.trust.unwrap_or(Trust::Known)))
}

fn from_jump(error: tunnel::TunnelError) -> Obstacle {
    match error {
        tunnel::TunnelError::Unreachable(why) => {
            Obstacle::passing(Stage::Tcp, format!("the jump host cannot connect to {why}"))
        }
        tunnel::TunnelError::Ssh(error) => {
            Obstacle { message: format!("jump host: {}", error.message), ..error }
        }
    }
}

fn slow_login(limits: Limits) -> Obstacle {
    Obstacle::passing(Stage::Auth, format!("the login did not finish within {:?}", limits.login))
        .hint("sshd answers, so the VM lives; does it wait for DNS (UseDNS, PAM), or is it out of memory?")
}

async fn dial(host: &str, port: u16, limits: Limits) -> Result<TcpStream, Obstacle> {
    let lookup = timeout(limits.dial, lookup_host((host, port))).await;
    let unresolved = |why: String| {
        Obstacle::passing(Stage::Resolve, format!("`{host}` has no address: {why}"))
            .hint("give `ssh.host` in the inventory an address, or mend the name")
    };
    let addresses: Vec<SocketAddr> = match lookup {
        Err(_) => return Err(unresolved("no answer in time".to_owned())),
        Ok(Err(error)) => return Err(unresolved(error.to_string())),
        Ok(Ok(addresses)) => addresses.collect(),
    };
    let mut last = unresolved("the answer was empty".to_owned());
    for address in addresses {
        match timeout(limits.dial, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Small packets that wait for each other are all that SSH sends here.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = no_tcp(&error.to_string()),
            Err(_) => last = no_tcp(&format!("no answer within {:?}", limits.dial)),
        }
    }
    Err(last)
}

fn no_tcp(why: &str) -> Obstacle {
    Obstacle::passing(Stage::Tcp, format!("no TCP connection: {why}")).hint(
        "is the VM powered on, does sshd run, and are address and port right in the inventory?",
    )
}

/// Banner and key exchange, with the host key checked inside.
async fn greet<S>(
    stream: S,
    config: Arc<Config>,
    client: Client,
    limits: Limits,
    reached: &(dyn Fn(Milestone) + Sync),
) -> Result<Handle<Client>, Obstacle>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    reached(Milestone::Tcp);
    let stream = await_banner(stream, limits.greet).await?;
    reached(Milestone::Banner);
    match timeout(limits.greet, connect_stream(config, stream, client)).await {
        Err(_) => Err(Obstacle::passing(
            Stage::Handshake,
            format!("no key exchange within {:?}", limits.greet),
        )),
        Ok(Err(error)) if error.stage == Stage::Channel => Err(Obstacle {
            stage: Stage::Handshake,
            message: format!("the key exchange failed: {}", error.message),
            ..error
        }),
        Ok(result) => result,
    }
}

fn config(known_types: &[Algorithm]) -> Config {
    let mut preferred = Preferred::default();
    if !known_types.is_empty() {
        let mut keys = preferred.key.to_vec();
        keys.sort_by_key(|algorithm| !known_types.iter().any(|known| same_type(known, algorithm)));
        preferred.key = keys.into();
    }
    Config {
        preferred,
        nodelay: true,
        keepalive_interval: Some(Duration::from_secs(10)),
        keepalive_max: 3,
        ..Config::default()
    }
}

/// An RSA key is one type, however it signs.
fn same_type(left: &Algorithm, right: &Algorithm) -> bool {
    left == right
        || (matches!(left, Algorithm::Rsa { .. }) && matches!(right, Algorithm::Rsa { .. }))
}

/// What the server told of itself.
#[derive(Default)]
pub(super) struct Seen {
    banner: String,
    fingerprint: String,
    trust: Option<Trust>,
    /// What it said last to who logs in: first to everyone, then why it will not have him.
    pub(super) notice: Option<String>,
    /// Why it ended the connection.
    pub(super) last_words: Option<String>,
}

/// What russh asks us during a connection.
pub(super) struct Client {
    host_keys: HostKeys,
    seen: Arc<Mutex<Seen>>,
}

impl Client {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for Client {
    type Error = Obstacle;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Obstacle> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Err(Obstacle::lasting(
                Stage::HostKey,
                "the server shows a certificate, which was not asked for",
            ));
        };
        let trust = self.host_keys.check(key)?;
        let mut seen = self.seen();
        seen.trust = Some(trust);
        seen.fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        Ok(true)
    }

    async fn kex_done(
        &mut self,
        _secret: Option<&[u8]>,
        _names: &Names,
        session: &mut client::Session,
    ) -> Result<(), Obstacle> {
        let banner = String::from_utf8_lossy(session.remote_sshid()).trim().to_owned();
        self.seen().banner = banner;
        Ok(())
    }

    async fn auth_banner(
        &mut self,
        banner: &str,
        _session: &mut client::Session,
    ) -> Result<(), Obstacle> {
        self.seen().notice = Some(banner.to_owned());
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Obstacle>) -> Result<(), Obstacle> {
        match reason {
            DisconnectReason::Error(error) => Err(error),
            DisconnectReason::ReceivedDisconnect(last) => {
                // russh tells an end without a word as one with an empty word.
                self.seen().last_words = Some(last.message).filter(|words| !words.is_empty());
                Ok(())
            }
        }
    }
}
