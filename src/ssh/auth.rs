//! The login: key file, agent, password, keyboard-interactive, in this order. A method is used only
//! if the inventory configures it.

use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::PrivateKeyWithHashAlg;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::{MethodKind, MethodSet};

use super::client::{Client, SharedFacts};
use super::key_file::KeyFile;
use crate::obstacle::{Obstacle, Stage};
use crate::secrets::{Secret, VmSecrets};
use crate::spec::inventory::Ssh;

/// sshd ends a connection after six refusals by default (`MaxAuthTries`); the password must still
/// get its turn.
const MAX_AGENT_KEYS: usize = 4;

/// After this many rounds of questions the server counts as refusing the login.
const MAX_QUESTION_ROUNDS: usize = 4;

/// The means of one login.
pub(super) struct Credentials<'a> {
    pub(super) ssh: &'a Ssh,
    pub(super) secrets: &'a VmSecrets,
    /// Read from `ssh.key`.
    pub(super) key_file: Option<KeyFile>,
}

/// The methods tried so far, and which ones the server accepts.
#[derive(Default)]
struct Tried {
    methods: Vec<&'static str>,
    offered: Option<MethodSet>,
}

impl Tried {
    /// Notes the answer to one method; `true` if it logged us in.
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

    /// Whether the server accepts this method; before its first answer, any method is worth a try.
    fn offers(&self, method: MethodKind) -> bool {
        self.offered.as_ref().is_none_or(|offered| offered.contains(&method))
    }

    /// russh reports a closed connection as a refusal that offers no method; a refusal by sshd
    /// names its methods.
    fn looks_closed(&self) -> bool {
        self.offered.as_ref().is_some_and(|offered| offered.is_empty())
    }
}

/// Logs in.
pub(super) async fn login(
    handle: &mut Handle<Client>,
    with: &Credentials<'_>,
    facts: &SharedFacts,
) -> Result<(), Obstacle> {
    let mut tried = Tried::default();
    let answer = try_all(handle, with, &mut tried).await;
    let ended = handle.is_closed() && (answer.is_err() || tried.looks_closed());
    match answer {
        Ok(true) => Ok(()),
        _ if ended => Err(cut_off(handle, with.ssh, &tried, facts).await),
        Ok(false) => Err(refused(with.ssh, &tried)),
        Err(obstacle) if obstacle.stage == Stage::Auth => Err(obstacle),
        Err(obstacle) => Err(Obstacle::passing(
            Stage::Auth,
            format!("the connection broke during login: {}", obstacle.message),
        )),
    }
}

async fn try_all(
    handle: &mut Handle<Client>,
    with: &Credentials<'_>,
    tried: &mut Tried,
) -> Result<bool, Obstacle> {
    let user = &with.ssh.user;
    if let Some(key_file) = &with.key_file
        && with_key(handle, user, key_file, with.secrets, tried).await?
    {
        return Ok(true);
    }
    let may_use_agent = with.ssh.agent && tried.offers(MethodKind::PublicKey);
    if may_use_agent && with_agent(handle, user, tried).await? {
        return Ok(true);
    }
    let Some(password) = &with.secrets.password else { return Ok(false) };
    if tried.offers(MethodKind::Password) {
        let answer = handle.authenticate_password(user, password.expose()).await?;
        if tried.note("password", answer) {
            return Ok(true);
        }
    }
    // A server that accepts passwords has just refused this one; sending it again by another method
    // would count as another failed login.
    if tried.offers(MethodKind::KeyboardInteractive) && !tried.offers(MethodKind::Password) {
        tried.methods.push("keyboard-interactive");
        return answer_questions(handle, user, password).await;
    }
    Ok(false)
}

/// The server closed the connection instead of answering. If it gave a reason, such as sshd's "Too
/// many authentication failures", that is a refusal. If not, the VM may still be booting
/// (`pam_nologin`).
async fn cut_off(
    handle: &mut Handle<Client>,
    ssh: &Ssh,
    tried: &Tried,
    facts: &SharedFacts,
) -> Obstacle {
    // The reason is complete once the connection's task has ended; how the task ended is known.
    let _ = handle.await;
    let facts = facts.lock();
    let (user, methods) = (&ssh.user, tried.methods.join(", "));
    if let Some(reason) = &facts.last_words {
        return Obstacle::lasting(
            Stage::Auth,
            format!("login as `{user}` refused: tried {methods}; the server said {reason:?}"),
        )
        .hint(
            "check user and password or key in the inventory against the VM; \
             its sshd allows few attempts (MaxAuthTries); bootproof does not try again",
        );
    }
    let notice = match &facts.notice {
        Some(notice) => format!("; it said {:?}", notice.trim()),
        None => String::new(),
    };
    Obstacle::passing(
        Stage::Auth,
        format!(
            "the server closed the connection during the login as `{user}` ({methods}){notice}"
        ),
    )
    .hint(
        "either the VM is still booting (pam_nologin), or its sshd penalizes this address for \
         failed logins (PerSourcePenalties)",
    )
}

fn refused(ssh: &Ssh, tried: &Tried) -> Obstacle {
    let user = &ssh.user;
    let methods = tried.methods.join(", ");
    let Some(offered) = &tried.offered else {
        return Obstacle::lasting(
            Stage::Auth,
            format!("there is nothing to log in with as `{user}`: tried {methods}"),
        )
        .hint(
            "add a `password` or a `key` to the inventory, or a key to the agent with `ssh-add`",
        );
    };
    let offered: Vec<&str> = offered.iter().map(Into::into).collect();
    let accepted = offered.join(", ");
    Obstacle::lasting(
        Stage::Auth,
        format!("login as `{user}` refused: tried {methods}; the server offers {accepted}"),
    )
    .hint(
        "check user and password or key in the inventory against the VM; \
         bootproof does not try again",
    )
}

async fn with_key(
    handle: &mut Handle<Client>,
    user: &str,
    key_file: &KeyFile,
    secrets: &VmSecrets,
    tried: &mut Tried,
) -> Result<bool, Obstacle> {
    let key = key_file.decode(secrets.key_passphrase.as_ref())?;
    let hash = handle.best_supported_rsa_hash().await?.flatten();
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
    let answer = handle.authenticate_publickey(user, key).await?;
    Ok(tried.note("publickey (key file)", answer))
}

async fn with_agent(
    handle: &mut Handle<Client>,
    user: &str,
    tried: &mut Tried,
) -> Result<bool, Obstacle> {
    let mut agent = AgentClient::connect_env().await.map_err(agent_failed)?;
    let identities = agent.request_identities().await.map_err(agent_failed)?;
    if identities.is_empty() {
        tried.methods.push("publickey (the agent has no key)");
    }
    let rsa_hash = handle.best_supported_rsa_hash().await.ok().flatten().flatten();
    for identity in identities.into_iter().take(MAX_AGENT_KEYS) {
        let AgentIdentity::PublicKey { key, .. } = identity else { continue };
        let hash = if key.algorithm().is_rsa() { rsa_hash } else { None };
        let answer = handle.authenticate_publickey_with(user, key, hash, &mut agent).await;
        if tried.note("publickey (agent)", answer.map_err(agent_failed)?) {
            return Ok(true);
        }
        if tried.looks_closed() {
            break;
        }
    }
    Ok(false)
}

fn agent_failed(error: impl std::fmt::Display) -> Obstacle {
    Obstacle::lasting(Stage::Auth, format!("cannot use the SSH agent: {error}"))
        .hint("start ssh-agent, add a key with `ssh-add`, and export SSH_AUTH_SOCK")
}

/// Answers every hidden prompt with the password.
async fn answer_questions(
    handle: &mut Handle<Client>,
    user: &str,
    password: &Secret,
) -> Result<bool, Obstacle> {
    let mut response = handle.authenticate_keyboard_interactive_start(user, None).await?;
    for _ in 0..MAX_QUESTION_ROUNDS {
        match response {
            KeyboardInteractiveAuthResponse::Success => return Ok(true),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                let hidden = prompts.iter().map(|prompt| !prompt.echo);
                let answers = hidden.map(|hidden| answer(hidden, password)).collect();
                response = handle.authenticate_keyboard_interactive_respond(answers).await?;
            }
        }
    }
    Ok(false)
}

fn answer(hidden: bool, password: &Secret) -> String {
    if hidden { password.expose().to_owned() } else { String::new() }
}
