//! From an address to a logged-in [`Session`], stage by stage, each with its own time limit and
//! its own error.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::Preferred;
use russh::client::{Config, Handle, connect_stream};
use russh::keys::ssh_key::Algorithm;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::auth::{self, Credentials};
use super::banner::await_banner;
use super::client::{Client, SharedFacts};
use super::host_key::HostKeyPolicy;
use super::key_file::KeyFile;
use super::session::Session;
use super::tunnel::{self, TunnelError};
use crate::obstacle::{Obstacle, Stage};
use crate::secrets::VmSecrets;
use crate::spec::inventory::Ssh;

/// Where to log in, and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// Address and login settings.
    pub ssh: Ssh,
    /// The secrets that belong to it.
    pub secrets: VmSecrets,
    /// Which host keys to trust.
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
        // A login on a VM without working DNS takes 20 s and more; it is slow, not down.
        Self {
            dial: Duration::from_secs(10),
            greet: Duration::from_secs(15),
            login: Duration::from_mins(1),
        }
    }
}

/// A step on the way to a login that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// There is a TCP connection.
    Tcp,
    /// An SSH server answered on it.
    Banner,
    /// The login worked.
    Login,
}

/// Connects and logs in, directly or through `jump`; calls `reached` at each milestone.
pub async fn connect(
    target: &Target,
    jump: Option<&Session>,
    limits: Limits,
    reached: &(dyn Fn(Milestone) + Sync),
) -> Result<Session, Obstacle> {
    let (host, port) = (target.ssh.host.as_str(), target.ssh.port);
    // An unusable key is reported even while the VM is down.
    let key_file = match &target.ssh.key {
        Some(path) => Some(KeyFile::read(path).await?),
        None => None,
    };
    let facts = SharedFacts::default();
    let host_keys = target.host_keys.of(host, port);
    let config = Arc::new(config(&host_keys.types()));
    let client = Client { host_keys, facts: facts.clone() };
    let mut handle = match jump {
        None => greet(dial(host, port, limits).await?, config, client, limits, reached).await?,
        Some(jump) => {
            let opening = tunnel::open(jump, host, port, Instant::now() + limits.dial);
            let stream = opening.await.map_err(from_jump)?;
            greet(stream, config, client, limits, reached).await?
        }
    };
    let credentials = Credentials { ssh: &target.ssh, secrets: &target.secrets, key_file };
    let login = auth::login(&mut handle, &credentials, &facts);
    timeout(limits.login, login).await.map_err(|_| slow_login(limits))??;
    reached(Milestone::Login);
    let facts = std::mem::take(&mut *facts.lock());
    Ok(Session::new(handle, facts))
}

fn from_jump(error: TunnelError) -> Obstacle {
    match error {
        TunnelError::Unreachable(why) => {
            Obstacle::passing(Stage::Tcp, format!("the jump host cannot connect to {why}"))
        }
        TunnelError::Ssh(obstacle) => {
            Obstacle { message: format!("jump host: {}", obstacle.message), ..obstacle }
        }
    }
}

fn slow_login(limits: Limits) -> Obstacle {
    Obstacle::passing(Stage::Auth, format!("the login did not finish within {:?}", limits.login))
        .hint(
            "sshd answers, so the VM is up; does it wait for DNS (UseDNS, PAM), \
             or is it out of memory?",
        )
}

async fn dial(host: &str, port: u16, limits: Limits) -> Result<TcpStream, Obstacle> {
    let unresolved = |why: &str| {
        Obstacle::passing(Stage::Resolve, format!("`{host}` has no address: {why}"))
            .hint("set `ssh.host` in the inventory to an address, or fix the name")
    };
    let lookup = timeout(limits.dial, lookup_host((host, port))).await;
    let addresses: Vec<SocketAddr> = match lookup {
        Err(_) => return Err(unresolved("no answer in time")),
        Ok(Err(error)) => return Err(unresolved(&error.to_string())),
        Ok(Ok(addresses)) => addresses.collect(),
    };
    let mut last = unresolved("the answer was empty");
    for address in addresses {
        match timeout(limits.dial, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // SSH sends small packets here, and waits for the answer to each.
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
        Ok(Err(obstacle)) if obstacle.stage == Stage::Channel => Err(Obstacle {
            stage: Stage::Handshake,
            message: format!("the key exchange failed: {}", obstacle.message),
            ..obstacle
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

/// An RSA key is one type, whatever hash it signs with.
fn same_type(left: &Algorithm, right: &Algorithm) -> bool {
    left == right
        || (matches!(left, Algorithm::Rsa { .. }) && matches!(right, Algorithm::Rsa { .. }))
}
