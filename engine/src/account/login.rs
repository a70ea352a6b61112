//! Signing in on a new device: the password opens the account root, the log gets this device.

use super::change::Change;
use super::new_account::{certificate, random};
use super::open::open_account;
use super::password::password_login;
use super::secret::store_secret;
use super::server_key::meet;
use super::shown::Shown;
use super::signup::{NewUser, device_name};
use super::{Identity, Sessions, StoredAccount, remove_secret};
use crate::engine_error::EngineError;
use freehold_api::ErrorCode;
use freehold_crypto::{DeviceSecret, UnlockKeys};
use freehold_model::{AccountId, DeviceId, Entropy};
use freehold_net::coord::ServerClient;
use freehold_trust::PublicKey;
use std::path::Path;

/// Another device may append to the log between our reading and our appending; then we read again.
const APPEND_TRIES: usize = 5;

/// Signs this device in and keeps what it needs in `dir`.
///
/// # Errors
/// Nothing stays on this device when an error is returned. When the server's answer to the last step was lost, the
/// log may name a device that nobody holds the key of; it can do nothing.
pub(crate) async fn login(
    dir: &Path,
    new: &NewUser<'_>,
    entropy: &mut (dyn Entropy + Send),
) -> Result<(StoredAccount, DeviceSecret), EngineError> {
    device_name(new.device_name)?;
    let (client, server_key) = meet(new.server).await?;
    let (account, export_key) = password_login(&client, (new.user, new.password), server_key).await?;
    let secret = DeviceSecret::generate(entropy);
    store_secret(dir, &secret)?;
    let outcome = match join(&client, new, (account, &export_key), server_key, &secret, entropy).await {
        Ok(stored) => stored.save(dir, &secret.local_key(), entropy).map(|()| stored),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(stored) => Ok((stored, secret)),
        Err(error) => {
            StoredAccount::remove(dir)?;
            remove_secret(dir)?;
            Err(error)
        }
    }
}

/// Appends this device to the account as it is, again when the account changed meanwhile.
async fn join(
    client: &ServerClient,
    new: &NewUser<'_>,
    (account, export_key): (AccountId, &[u8; 64]),
    server_key: PublicKey,
    secret: &DeviceSecret,
    entropy: &mut (dyn Entropy + Send),
) -> Result<StoredAccount, EngineError> {
    let device = DeviceId::from_bytes(random(entropy));
    let mut tries = 0;
    loop {
        tries += 1;
        let shown = Shown::read(client).await?;
        let keys = UnlockKeys::from_password(export_key, &account);
        let opened = match open_account(account, keys, &shown.log, &shown.boxes) {
            // A rotation between two of the answers: the next ones fit, or the server is broken.
            Err(EngineError::ServerUntrusted(_)) if tries == 1 => continue,
            opened => opened?,
        };
        let sign_key = secret.sign_key();
        let cert = certificate(account, device, secret, device_name(new.device_name)?, new.now_s);
        let mut change = Change::new(opened.state.clone(), device, &sign_key, new.now_s);
        change.add_device(cert, opened.second())?;
        change.seal_to_self(opened.roots.newest(), entropy)?;
        let made = change.finish();
        match client.append_entries(&made.message).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(ErrorCode::LogConflict) && tries < APPEND_TRIES => continue,
            Err(error) => return Err(EngineError::coord(error)),
        }
        let sessions = Sessions::new(server_key, device, sign_key);
        let session = sessions.renew(client).await.map_err(EngineError::coord)?;
        client.set_session(&session).map_err(EngineError::coord)?;
        let identity = Identity {
            user: new.user.to_owned(),
            server: new.server.to_owned(),
            account,
            device,
            device_name: new.device_name.to_owned(),
        };
        let stored = StoredAccount::of(identity, server_key, shown, made, opened.roots.newest())?;
        // Opens every key once, so that a server with the wrong boxes is found out now and not at the next start.
        stored.vault_keyring()?;
        return Ok(stored);
    }
}
