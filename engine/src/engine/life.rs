//! What happens to an account after sign-up: recovery, another password, devices that come and go.
//!
//! Each operation asks for the secret it needs at the time and forgets it. What shuts somebody out is one
//! change at the server, the rotation included.

use super::{Engine, SignUp, SignedIn, now_s};
use crate::account::{
    self, Lost, NewPassword, device_name, is_in_force, open_root, password_keys, second_key,
};
use crate::engine_error::EngineError;
use crate::entropy::OsEntropy;
use crate::sync::members::Members;
use crate::vault::OpenVault;
use freehold_api::control::{DeviceEntry, DeviceState};
use freehold_api::device_peer::HeadItem;
use freehold_crypto::{RecoveryKey, UnlockKeys, seal_user};
use freehold_model::DeviceId;
use freehold_trust::account_log::{AccountState, Cut, RevokeDevice, RevokeIntent};
use std::sync::Arc;
use zeroize::Zeroizing;

/// What stands behind a revocation.
#[derive(Clone, Copy)]
pub enum Secret<'a> {
    /// The password; it can be proved only while the server answers.
    Password(&'a str),
    /// The recovery words; they work at any time.
    Words(&'a str),
}

impl std::fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Engine {
    /// Takes an account back with its recovery words, on this device and with a new password.
    ///
    /// # Errors
    /// `AlreadySignedIn`, `BadWords`, `WrongWords`, `BadName`, `BadServerUrl`, the server's, `Disk`.
    pub async fn recover(
        &self,
        server: &str,
        words: &str,
        password: &str,
        device_name: &str,
    ) -> Result<SignUp, EngineError> {
        let _one = self.0.changing.lock().await;
        self.be_signed_out()?;
        let lost = Lost { server, words, password, device_name, now_s: now_s() };
        let (stored, secret, recovery) = account::recover(&self.0.dirs.data, &lost).await?;
        let identity = stored.identity.clone();
        self.enter(stored, secret).await?;
        Ok(SignUp { identity, recovery_words: recovery.words() })
    }

    /// Puts another password in force. Whoever knew the old one is shut out.
    ///
    /// # Errors
    /// `SignedOut`, `WrongPassword`, `BadName`, the server's, `Disk`.
    pub async fn change_password(&self, old: &str, new: &str) -> Result<(), EngineError> {
        let _one = self.0.changing.lock().await;
        let SignedIn { vault, .. } = self.signed_in()?;
        let members = &vault.parts().members;
        let keys = self.confirm(members, Secret::Password(old)).await?;
        let identity = members.identity();
        let password = NewPassword::start(&identity.user, new)?;
        let start = &password.start;
        let server = &vault.parts().server;
        let started = server.ask(|client| async move { client.password_start(start).await }).await;
        let started = started.map_err(EngineError::coord)?;
        let fresh = password.finish(started, identity.account, members.server_key()).await?;
        let change = members.perform(now_s(), |ground, mut change| {
            if ground.state.password() == fresh.keys.public() {
                return Ok(None);
            }
            in_force(&ground.state, &keys)?;
            change.set_password(&fresh.keys, fresh.kdf, fresh.login.clone(), second_key(&keys))?;
            change.rotate(&ground.roots, &ground.vaults, &mut OsEntropy)?;
            Ok(Some(change.finish()))
        });
        change.await?;
        vault.meet();
        Ok(())
    }

    /// Replaces the recovery key; the words before are dead from then on.
    ///
    /// # Errors
    /// `SignedOut`, `WrongPassword`, the server's, `Disk`.
    pub async fn create_recovery(&self, password: &str) -> Result<Zeroizing<String>, EngineError> {
        let _one = self.0.changing.lock().await;
        let SignedIn { vault, .. } = self.signed_in()?;
        let members = &vault.parts().members;
        let keys = self.confirm(members, Secret::Password(password)).await?;
        let identity = members.identity();
        let key = RecoveryKey::generate(&mut OsEntropy);
        let words = UnlockKeys::from_recovery(&key);
        let user_box = seal_user(&words, &identity.account, &identity.user, &mut OsEntropy);
        let user_box = user_box.ok_or(EngineError::Internal("a user name that does not fit its box"))?;
        let change = members.perform(now_s(), |ground, mut change| {
            if ground.state.recovery() == words.public() {
                return Ok(None);
            }
            in_force(&ground.state, &keys)?;
            change.set_recovery(&words, user_box.clone(), second_key(&keys))?;
            change.rotate(&ground.roots, &ground.vaults, &mut OsEntropy)?;
            Ok(Some(change.finish()))
        });
        change.await?;
        vault.meet();
        Ok(key.words())
    }

    /// Tries recovery words without using them up: whether the server was asked. Where it answers, the
    /// box that the words must open is opened.
    ///
    /// # Errors
    /// `SignedOut`, `BadWords`, `WrongWords`; `ServerUntrusted` when the words fit and the box does not open.
    pub async fn test_recovery(&self, words: &str) -> Result<bool, EngineError> {
        let SignedIn { vault, .. } = self.signed_in()?;
        let keys = words_keys(words)?;
        let members = &vault.parts().members;
        let fresh = is_fresh(members).await?;
        let state = members.state();
        in_force(&state, &keys)?;
        if fresh {
            let server = &vault.parts().server;
            let boxes = server.ask(|client| async move { client.account_boxes().await }).await;
            let boxes = boxes.map_err(EngineError::coord)?;
            open_root(&state, keys.path_id(), keys.pair(), &boxes.boxes)?;
        }
        Ok(fresh)
    }

    /// The devices of the account, by the time they came, as far as this device knows.
    ///
    /// # Errors
    /// `SignedOut`; `ServerUntrusted` when the server shows another log.
    pub async fn devices(&self) -> Result<Vec<DeviceEntry>, EngineError> {
        let SignedIn { identity, vault, .. } = self.signed_in()?;
        let members = &vault.parts().members;
        match is_fresh(members).await {
            // What is known is shown to a device that was removed, too.
            Ok(_) | Err(EngineError::Removed) => {}
            Err(error) => return Err(error),
        }
        let state = members.state();
        let mut ids: Vec<(u64, DeviceId)> =
            state.devices().iter().map(|(device, entry)| (entry.added_seq, *device)).collect();
        ids.sort_unstable();
        Ok(ids.into_iter().filter_map(|(_, device)| entry(members, &device, &identity.device)).collect())
    }

    /// Ends a device: obeyed here at once, entered into the account's log now or when the server is back.
    /// Gives the device, and whether the server still has to hear of it.
    ///
    /// # Errors
    /// `SignedOut`, `NoSuchDevice`, `WrongPassword`, `BadWords`, `WrongWords`, the server's, `Disk`.
    pub async fn revoke_device(
        &self,
        which: &str,
        secret: Secret<'_>,
    ) -> Result<(DeviceEntry, bool), EngineError> {
        let _one = self.0.changing.lock().await;
        let SignedIn { identity, vault, .. } = self.signed_in()?;
        let parts = vault.parts();
        let members = &parts.members;
        let keys = self.confirm(members, secret).await?;
        let device = find(&members.state(), which)?;
        if device == identity.device {
            return Err(EngineError::NoSuchDevice("this device does not revoke itself; sign it out instead"));
        }
        // What the device has sent and this one has not seen would be cut off.
        if parts.server.is_reachable() && !vault.catch_up().await {
            tracing::warn!("the server is slow; the revocation cuts at what is here");
        }
        let cuts = cuts(&vault, &device);
        let revoke = RevokeDevice::new(identity.account, device, identity.device, now_s(), cuts);
        let revoke = revoke.map_err(|_| EngineError::Internal("a revocation over its limits"))?;
        let (which_key, second) = second_key(&keys);
        members.want(&RevokeIntent::sign(revoke, members.sign_key(), which_key, second))?;
        let pending = match parts.shut_out().await.map_err(EngineError::from) {
            Ok(()) => false,
            Err(EngineError::ServerUnreachable(_)) => true,
            Err(error) => return Err(error),
        };
        vault.meet();
        let ended = entry(members, &device, &identity.device);
        Ok((ended.ok_or(EngineError::Internal("a device that left the log"))?, pending))
    }

    /// Gives a device another name.
    ///
    /// # Errors
    /// `SignedOut`, `NoSuchDevice`, `BadName`, the server's, `Disk`.
    pub async fn rename_device(&self, which: &str, name: &str) -> Result<DeviceEntry, EngineError> {
        let _one = self.0.changing.lock().await;
        let SignedIn { identity, vault, .. } = self.signed_in()?;
        let members = &vault.parts().members;
        let name = device_name(name)?;
        let device = find(&members.state(), which)?;
        let change = members.perform(now_s(), |ground, mut change| {
            let live = ground.state.live_device(&device).map(|_| ());
            live.ok_or(EngineError::NoSuchDevice("that device was removed from the account"))?;
            change.name_device(device, name.clone())?;
            Ok(Some(change.finish()))
        });
        change.await?;
        vault.meet();
        let named = entry(members, &device, &identity.device);
        named.ok_or(EngineError::Internal("a device that left the log"))
    }

    fn signed_in(&self) -> Result<SignedIn, EngineError> {
        self.0.current.lock().clone().ok_or(EngineError::SignedOut)
    }

    /// The keys of a secret that is in force.
    async fn confirm(&self, members: &Members, secret: Secret<'_>) -> Result<UnlockKeys, EngineError> {
        let keys = match secret {
            Secret::Password(password) => {
                let identity = members.identity();
                password_keys(&identity, members.server_key(), password).await?
            }
            Secret::Words(words) => words_keys(words)?,
        };
        is_fresh(members).await?;
        in_force(&members.state(), &keys)?;
        Ok(keys)
    }
}

fn words_keys(words: &str) -> Result<UnlockKeys, EngineError> {
    let key = RecoveryKey::from_words(words).map_err(EngineError::words)?;
    Ok(UnlockKeys::from_recovery(&key))
}

fn in_force(state: &AccountState, keys: &UnlockKeys) -> Result<(), EngineError> {
    match second_key(keys).0 {
        _ if is_in_force(state, keys) => Ok(()),
        freehold_trust::account_log::SecondKey::Password => Err(EngineError::WrongPassword),
        freehold_trust::account_log::SecondKey::Recovery => Err(EngineError::WrongWords),
    }
}

/// Brings the log up to date where the server answers; whether it did.
async fn is_fresh(members: &Members) -> Result<bool, EngineError> {
    match members.refresh().await.map_err(EngineError::from) {
        Ok(_) => Ok(true),
        Err(EngineError::ServerUnreachable(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What this device has seen of another one's chain.
fn cuts(vault: &Arc<OpenVault>, device: &DeviceId) -> Vec<Cut> {
    let parts = vault.parts();
    let seen = parts.devices.followed(device);
    let cut = |head: HeadItem| Cut { vault: parts.vault, incarnation: head.incarnation, seq: head.seq };
    seen.map(cut).into_iter().collect()
}

/// The one live device that is called so, has this id, or the only one whose id begins so.
fn find(state: &AccountState, which: &str) -> Result<DeviceId, EngineError> {
    let live = || state.devices().values().filter(|device| device.revoked.is_none());
    let named: Vec<DeviceId> =
        live().filter(|device| device.name.as_str() == which).map(|device| device.cert.device).collect();
    let begins = |device: &DeviceId| which.len() >= ID_DIGITS_MIN && device.to_string().starts_with(which);
    let by_id = || live().map(|device| device.cert.device).filter(begins).collect::<Vec<_>>();
    let found = if named.is_empty() { by_id() } else { named };
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(EngineError::NoSuchDevice("no live device of the account has that name or id")),
        _ => Err(EngineError::NoSuchDevice("several devices are called that; name one by its id")),
    }
}

/// Digits of an id that a person must type at least.
const ID_DIGITS_MIN: usize = 6;

fn entry(members: &Members, device: &DeviceId, this: &DeviceId) -> Option<DeviceEntry> {
    let state = members.state();
    let found = state.devices().get(device)?;
    let wanted = members.intents().iter().any(|intent| intent.unverified().device() == *device);
    let standing = match (&found.revoked, wanted) {
        (None, _) => DeviceState::Live,
        (Some(_), true) => DeviceState::Revoking,
        (Some(_), false) => DeviceState::Revoked,
    };
    Some(DeviceEntry {
        id: device.to_string(),
        name: found.name.as_str().to_owned(),
        created: found.cert.created,
        this: device == this,
        state: standing,
    })
}
