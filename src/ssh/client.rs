//! What russh asks us during a connection, and what the server told us by then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::Names;
use russh::client::{self, DisconnectReason, Handler};
use russh::keys::PublicKeyOrCertificate;
use russh::keys::ssh_key::HashAlg;

use super::host_key::HostKeys;
use crate::obstacle::{Obstacle, Stage};
use crate::record::Trust;

/// What the server told us about itself.
#[derive(Default)]
pub(super) struct ServerFacts {
    pub(super) banner: String,
    pub(super) fingerprint: String,
    pub(super) trust: Option<Trust>,
    /// Its last message during the login: a greeting for everyone, or why it refuses this user.
    pub(super) notice: Option<String>,
    /// Why it ended the connection.
    pub(super) last_words: Option<String>,
}

/// [`ServerFacts`] that the connection's task writes and the login reads.
#[derive(Clone, Default)]
pub(super) struct SharedFacts(Arc<Mutex<ServerFacts>>);

impl SharedFacts {
    pub(super) fn lock(&self) -> MutexGuard<'_, ServerFacts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Our side of a connection.
pub(super) struct Client {
    pub(super) host_keys: HostKeys,
    pub(super) facts: SharedFacts,
}

impl Handler for Client {
    type Error = Obstacle;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Obstacle> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Err(Obstacle::lasting(
                Stage::HostKey,
                "the server sent a host certificate, although bootproof asked for a plain key",
            ));
        };
        let trust = self.host_keys.check(key)?;
        let mut facts = self.facts.lock();
        facts.trust = Some(trust);
        facts.fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        Ok(true)
    }

    async fn kex_done(
        &mut self,
        _secret: Option<&[u8]>,
        _names: &Names,
        session: &mut client::Session,
    ) -> Result<(), Obstacle> {
        let banner = String::from_utf8_lossy(session.remote_sshid()).trim().to_owned();
        self.facts.lock().banner = banner;
        Ok(())
    }

    async fn auth_banner(
        &mut self,
        banner: &str,
        _session: &mut client::Session,
    ) -> Result<(), Obstacle> {
        self.facts.lock().notice = Some(banner.to_owned());
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Obstacle>) -> Result<(), Obstacle> {
        match reason {
            DisconnectReason::Error(error) => Err(error),
            DisconnectReason::ReceivedDisconnect(last) => {
                // russh reports a connection that ended without a message as an empty message.
                self.facts.lock().last_words = Some(last.message).filter(|text| !text.is_empty());
                Ok(())
            }
        }
    }
}
