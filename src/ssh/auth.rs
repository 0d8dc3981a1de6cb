//! The login: key file, agent, password, keyboard-interactive, in this order, each only if it was given.

use crate::obstacle::{Obstacle, Stage};
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{PrivateKeyWithHashAlg, load_secret_key};
use russh::{MethodKind, MethodSet};

use super::connect::{Client, Seen};
use crate::secrets::{Secret, VmSecrets};
use crate::spec::inventory::Ssh;

/// sshd ends a connection after six refusals by default (`MaxAuthTries`); the password must still get its turn.
const AGENT_KEYS_AT_MOST: usize = 4;

/// Each method that was tried, and what the server would accept.
#[derive(Default)]
struct Tried {
    methods: Vec<&'static str>,
    offered: Option<MethodSet>,
}

impl Tried {
    /// Notes an answer; `true` when it is a yes.
    fn note(&mut self, method: &'static str, answer: AuthResult) -> bool {
        self.methods.push(method);
        match answer {
            AuthResult::Success => true,
            AuthResult::Failure { remaining_methods, .. } => {
                self.offered = Some(remaining_methods);
                false
            }
        }
    }

    /// Whether the server would take this method; unknown counts as yes.
    fn offers(&self, method: MethodKind) -> bool {
        self.offered.as_ref().is_none_or(|offered| offered.contains(&method))
    }

    /// An end looks like a refusal that offers nothing; sshd's own names its methods.
    fn met_silence(&self) -> bool {
        self.offered.as_ref().is_some_and(|offered| offered.is_empty())
    }
}

/// Logs in as the inventory says.
pub(super) async fn login(
    handle: &mut Handle<Client>,
    ssh: &Ssh,
    secrets: &VmSecrets,
    seen: &Mutex<Seen>,
) -> Result<(), Obstacle> {
    let mut tried = Tried::default();
    let answer = try_all(handle, ssh, secrets, &mut tried).await;
    let ended = handle.is_closed() && (answer.is_err() || tried.met_silence());
    match answer {
        Ok(true) => Ok(()),
        _ if ended => Err(cut_off(handle, ssh, &tried, seen).await),
        Ok(false) => Err(refused(ssh, &tried)),
        Err(error) if error.stage == Stage::Auth => Err(error),
        Err(error) => Err(Obstacle::passing(
            Stage::Auth,
            format!("the connection broke during login: {}", error.message),
        )),
    }
}

async fn try_all(
    handle: &mut Handle<Client>,
    ssh: &Ssh,
    secrets: &VmSecrets,
    tried: &mut Tried,
) -> Result<bool, Obstacle> {
    if ssh.key.is_some() && with_key(handle, ssh, secrets, tried).await? {
        return Ok(true);
    }
    if ssh.agent
        && tried.offers(MethodKind::PublicKey)
        && with_agent(handle, &ssh.user, tried).await?
    {
        return Ok(true);
    }
    let Some(password) = &secrets.password else { return Ok(false) };
    if tried.offers(MethodKind::Password) {
        let answer = handle.authenticate_password(&ssh.user, password.expose()).await?;
        if tried.note("password", answer) {
            return Ok(true);
        }
    }
    // A server that takes passwords has just refused this one; asking again another way would count against us.
    if tried.offers(MethodKind::KeyboardInteractive) && !tried.offers(MethodKind::Password) {
        tried.methods.push("keyboard-interactive");
        return with_questions(handle, &ssh.user, password).await;
    }
    Ok(false)
}

/// The server ended the connection instead of answering. Its last words are a refusal, such as sshd's "Too many
/// authentication failures". Without a word it can also be a VM that still boots (`pam_nologin`).
async fn cut_off(
    handle: &mut Handle<Client>,
    ssh: &Ssh,
    tried: &Tried,
    seen: &Mutex<Seen>,
) -> Obstacle {
    // Its last words have come when its task has ended; how it ended is clear.
    let _ = handle.await;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let (user, methods) = (&ssh.user, tried.methods.join(", "));
    if let Some(words) = &seen.last_words {
        return Obstacle::lasting(
            Stage::Auth,
            format!("login as `{user}` refused: tried {methods}; it said {words:?}"),
        )
        .hint(
            "check user and password or key in the inventory against the VM; its sshd allows few tries \
             (MaxAuthTries); it is not tried again",
        );
    }
    let said = seen
        .notice
        .as_ref()
        .map(|notice| format!("; it said {:?}", notice.trim()))
        .unwrap_or_default();
    Obstacle::passing(
        Stage::Auth,
        format!("the server closed the connection during the login as `{user}` ({methods}){said}"),
    )
    .hint("the VM still boots (pam_nologin), or this address is penalized for earlier logins (PerSourcePenalties)")
}

fn refused(ssh: &Ssh, tried: &Tried) -> Obstacle {
    let user = &ssh.user;
    let methods = tried.methods.join(", ");
    let Some(offered) = &tried.offered else {
        return Obstacle::lasting(
            Stage::Auth,
            format!("there is nothing to log in with as `{user}`: tried {methods}"),
        )
        .hint("give the inventory a `password` or a `key`, or the agent a key with `ssh-add`");
    };
    let offered: Vec<&str> = offered.iter().map(Into::into).collect();
    Obstacle::lasting(
        Stage::Auth,
        format!(
            "login as `{user}` refused: tried {methods}; the server takes {}",
            offered.join(", ")
        ),
    )
    .hint("check user and password or key in the inventory against the VM; it is not tried again")
}

async fn with_key(
    handle: &mut Handle<Client>,
    ssh: &Ssh,
    secrets: &VmSecrets,
    tried: &mut Tried,
) -> Result<bool, Obstacle> {
    let Some(path) = &ssh.key else { return Ok(false) };
    let passphrase = secrets.key_passphrase.as_ref().map(Secret::expose);
    let key = load_secret_key(path, passphrase).map_err(|error| {
        Obstacle::lasting(Stage::Auth, format!("cannot read the key {}: {error}", path.display()))
            .hint("is it a private key, and is `key_passphrase` right?")
    })?;
    let hash = handle.best_supported_rsa_hash().await?.flatten();
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
    let answer = handle.authenticate_publickey(&ssh.user, key).await?;
    Ok(tried.note("publickey (key file)", answer))
}

async fn with_agent(
    handle: &mut Handle<Client>,
    user: &str,
    tried: &mut Tried,
) -> Result<bool, Obstacle> {
    let failed = |error: String| {
        Obstacle::lasting(Stage::Auth, format!("the SSH agent does not help: {error}"))
            .hint("start ssh-agent, `ssh-add` a key, and pass on SSH_AUTH_SOCK")
    };
    let mut agent = AgentClient::connect_env().await.map_err(|error| failed(error.to_string()))?;
    let identities = agent.request_identities().await.map_err(|error| failed(error.to_string()))?;
    if identities.is_empty() {
        tried.methods.push("publickey (the agent has no key)");
    }
    let hash = handle.best_supported_rsa_hash().await.ok().flatten().flatten();
    for identity in identities.into_iter().take(AGENT_KEYS_AT_MOST) {
        let AgentIdentity::PublicKey { key, .. } = identity else { continue };
        let hash = if key.algorithm().is_rsa() { hash } else { None };
        let answer = handle.authenticate_publickey_with(user, key, hash, &mut agent).await;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        if tried.note("publickey (agent)", answer) {
            return Ok(true);
        }
        if tried.met_silence() {
            break;
        }
    }
    Ok(false)
}

/// Answers every hidden prompt with the password. Questions that never end are a refusal.
async fn with_questions(
    handle: &mut Handle<Client>,
    user: &str,
    password: &Secret,
) -> Result<bool, Obstacle> {
    let mut response = handle.authenticate_keyboard_interactive_start(user, None).await?;
    for _ in 0..4 {
        match response {
            KeyboardInteractiveAuthResponse::Success => return Ok(true),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                let answer =
                    |echo: bool| if echo { String::new() } else { password.expose().to_owned() };
                let answers = prompts.iter().map(|prompt| answer(prompt.echo)).collect();
                response = handle.authenticate_keyboard_interactive_respond(answers).await?;
            }
        }
    }
    Ok(false)
}
