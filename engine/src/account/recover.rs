//! Getting the account back with the 24 words alone.
//!
//! The words lead to the account, open its root and the user name sealed to them. In one step the log gets
//! this device, a new password, a new recovery key and a rotation; from then on the old words are nobody's.
//! The device secret and the account file are on disk before that step, so that a crash leaves either the
//! account as it was, or one this device can use.

use super::change::{Change, Made};
use super::new_account::{certificate, random};
use super::open::{Opened, open_account};
use super::password::{NewPassword, Stretched};
use super::secret::store_secret;
use super::server_key::meet;
use super::session::recovery_session;
use super::shown::Shown;
use super::signup::device_name;
use super::{Identity, Sessions, StoredAccount, remove_secret};
use crate::engine_error::EngineError;
use crate::entropy::OsEntropy;
use freehold_api::{AppendEntries, ErrorCode};
use freehold_crypto::{DeviceSecret, RecoveryKey, UnlockKeys, open_user, seal_user};
use freehold_model::{AccountId, DeviceId};
use freehold_net::coord::{CoordError, ServerClient};
use freehold_trust::PublicKey;
use std::path::Path;

/// How often the account is read again because it changed meanwhile.
const TRIES: usize = 5;

/// How often the last step is asked for when the answer is lost.
const FINISH_TRIES: usize = 3;

/// Who comes back, and with what.
pub(crate) struct Lost<'a> {
    pub(crate) server: &'a str,
    /// The recovery key as it was typed.
    pub(crate) words: &'a str,
    /// The password from now on.
    pub(crate) password: &'a str,
    pub(crate) device_name: &'a str,
    pub(crate) now_s: u64,
}

/// What the server is told this device and its secrets are.
struct Attempt<'a> {
    client: &'a ServerClient,
    server_key: PublicKey,
    account: AccountId,
    lost: &'a Lost<'a>,
    user: &'a str,
    old: &'a RecoveryKey,
    new: &'a RecoveryKey,
    secret: &'a DeviceSecret,
    device: DeviceId,
}

/// Takes the account back on this device. Gives the new recovery key, which nobody has yet.
///
/// # Errors
/// `BadWords` before anything is asked of the server, `WrongWords` when no account has them. Nothing stays on
/// this device when an error is returned, and nothing has changed at the server unless its answer was lost.
pub(crate) async fn recover(
    dir: &Path,
    lost: &Lost<'_>,
) -> Result<(StoredAccount, DeviceSecret, RecoveryKey), EngineError> {
    let old = RecoveryKey::from_words(lost.words).map_err(EngineError::words)?;
    device_name(lost.device_name)?;
    let (client, server_key) = meet(lost.server).await?;
    let account = recovery_session(&client, &UnlockKeys::from_recovery(&old), server_key).await?;
    let (user, password) = choose_password(&client, (account, server_key), lost, &old).await?;
    let (new, secret) = (RecoveryKey::generate(&mut OsEntropy), DeviceSecret::generate(&mut OsEntropy));
    store_secret(dir, &secret)?;
    let device = DeviceId::from_bytes(random(&mut OsEntropy));
    let attempt = Attempt {
        client: &client,
        server_key,
        account,
        lost,
        user: &user,
        old: &old,
        new: &new,
        secret: &secret,
        device,
    };
    match attempt.run(dir, &password).await {
        Ok(stored) => Ok((stored, secret, new)),
        Err(error) => {
            StoredAccount::remove(dir)?;
            remove_secret(dir)?;
            Err(error)
        }
    }
}

/// Learns the user name from the words and stretches the new password for it.
async fn choose_password(
    client: &ServerClient,
    (account, server_key): (AccountId, PublicKey),
    lost: &Lost<'_>,
    old: &RecoveryKey,
) -> Result<(String, Stretched), EngineError> {
    let boxes = client.account_boxes().await.map_err(EngineError::coord)?;
    let sealed = boxes.user_box.unwrap_or_default();
    let user = open_user(&UnlockKeys::from_recovery(old), &account, sealed.as_slice())
        .map_err(|_| EngineError::ServerUntrusted("it does not have the user name sealed to these words"))?;
    let password = NewPassword::start(&user, lost.password)?;
    let started = client.password_start(&password.start).await.map_err(EngineError::coord)?;
    Ok((user, password.finish(started, account, server_key).await?))
}

impl Attempt<'_> {
    /// Changes the account as it is, again when it changed meanwhile.
    async fn run(&self, dir: &Path, password: &Stretched) -> Result<StoredAccount, EngineError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let shown = Shown::read(self.client).await?;
            let keys = UnlockKeys::from_recovery(self.old);
            let opened = match open_account(self.account, keys, &shown.log, &shown.boxes) {
                // A rotation between two of the answers: the next ones fit, or the server is broken.
                Err(EngineError::ServerUntrusted(_)) if tries == 1 => continue,
                opened => opened?,
            };
            let made = self.change(&opened, password, &shown)?;
            let message = made.message.clone();
            let identity = Identity {
                user: self.user.to_owned(),
                server: self.lost.server.to_owned(),
                account: self.account,
                device: self.device,
                device_name: self.lost.device_name.to_owned(),
            };
            let stored = StoredAccount::of(identity, self.server_key, shown, made, opened.roots.newest())?;
            stored.vault_keyring()?;
            stored.save(dir, &self.secret.local_key(), &mut OsEntropy)?;
            match self.append(&message).await {
                Ok(()) => return Ok(stored),
                Err(error) if error.code() == Some(ErrorCode::LogConflict) && tries < TRIES => {}
                Err(CoordError::Unreachable | CoordError::Timeout) => return Err(self.unanswered()),
                Err(error) => return Err(EngineError::coord(error)),
            }
        }
    }

    fn change(&self, opened: &Opened, password: &Stretched, shown: &Shown) -> Result<Made, EngineError> {
        let (sign_key, now_s) = (self.secret.sign_key(), self.lost.now_s);
        let name = device_name(self.lost.device_name)?;
        let cert = certificate(self.account, self.device, self.secret, name, now_s);
        let words = UnlockKeys::from_recovery(self.new);
        let user_box = seal_user(&words, &self.account, self.user, &mut OsEntropy);
        let user_box = user_box.ok_or(EngineError::Internal("a user name that does not fit its box"))?;
        let mut change = Change::new(opened.state.clone(), self.device, &sign_key, now_s);
        change.add_device(cert, opened.second())?;
        change.set_password(&password.keys, password.kdf, password.login.clone(), opened.second())?;
        change.set_recovery(&words, user_box, opened.second())?;
        change.rotate(&opened.roots, &shown.vaults, &mut OsEntropy)?;
        Ok(change.finish())
    }

    /// Sends the change. A lost answer is asked for again; the session may have ended with the old
    /// password, but a device that gets one of its own is in the log.
    async fn append(&self, message: &AppendEntries) -> Result<(), CoordError> {
        let mut tries = 1;
        loop {
            match self.client.append_entries(message).await {
                Ok(_) => return Ok(()),
                Err(CoordError::Unreachable | CoordError::Timeout) if tries < FINISH_TRIES => tries += 1,
                Err(error) if tries > 1 => {
                    let sessions = Sessions::new(self.server_key, self.device, self.secret.sign_key());
                    return sessions.renew(self.client).await.map(drop).map_err(|_| error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn unanswered(&self) -> EngineError {
        EngineError::ServerUnreachable(format!(
            "it broke off at the last step; if these words are refused now, the account of {} has the new \
             password: log in with it and make new words",
            self.user
        ))
    }
}
