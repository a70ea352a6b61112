//! Signing up: a new account on a server, with this device and one vault.
//!
//! The device secret and the account file are on disk before the server hears of the account, so that a crash at
//! any point leaves either nothing, or an account this device can use.

use super::new_account::{Choice, NewAccount, new_account};
use super::password::{safe, stretch_new};
use super::secret::store_secret;
use super::server_key::meet;
use super::{Identity, StoredAccount, remove_secret};
use crate::engine_error::EngineError;
use freehold_api::{Blob, RegisterFinish, RegisterStart};
use freehold_crypto::{DeviceSecret, RecoveryKey};
use freehold_model::{AccountId, Entropy};
use freehold_net::coord::{CoordError, ServerClient};
use freehold_trust::opaque::Registration;
use freehold_trust::{DeviceName, PublicKey};
use std::path::Path;

/// How often the last step is asked for when the answer is lost.
const FINISH_TRIES: u32 = 3;

/// Who signs up where.
pub(crate) struct NewUser<'a> {
    pub(crate) server: &'a str,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) device_name: &'a str,
    pub(crate) now_s: u64,
}

/// Creates the account at the server and keeps what this device needs in `dir`.
///
/// # Errors
/// Nothing stays on this device when an error is returned, unless the server's answer was lost: then the account
/// may exist and `freehold login` works.
pub(crate) async fn signup(
    dir: &Path,
    new: &NewUser<'_>,
    entropy: &mut (dyn Entropy + Send),
) -> Result<(StoredAccount, DeviceSecret, RecoveryKey), EngineError> {
    let name = device_name(new.device_name)?;
    let (client, server_key) = meet(new.server).await?;
    let (registration, request) =
        Registration::start(new.password.as_bytes(), entropy).map_err(EngineError::opaque)?;
    let start = RegisterStart { user: new.user.to_owned(), request: Blob(request), invite: None };
    let started = client.register_start(&start).await.map_err(EngineError::coord)?;
    let kdf = safe(started.kdf)?;
    let stretched = stretch_new(registration, started.response.0, new.user, server_key, kdf).await?;

    let secret = DeviceSecret::generate(entropy);
    let choice = Choice {
        account: started.account_id,
        user: new.user,
        export_key: &stretched.export_key,
        kdf,
        device_name: name,
        now_s: new.now_s,
    };
    let made = new_account(choice, &secret, entropy)?;
    let finish = RegisterFinish {
        user: new.user.to_owned(),
        account_id: started.account_id,
        upload: Blob(stretched.upload),
        genesis: Blob(made.genesis.to_bytes()),
        boxes: made.boxes.clone(),
        account_keys: Vec::new(),
        vault: made.vault.clone(),
        user_box: Blob(made.user_box.clone()),
        invite: None,
    };
    let (stored, recovery) = stored_account(made, new, started.account_id, server_key);
    store_secret(dir, &secret)?;
    let outcome = match stored.save(dir, &secret.local_key(), entropy) {
        Ok(()) => finish_registration(&client, &finish).await,
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        StoredAccount::remove(dir)?;
        remove_secret(dir)?;
        return Err(error);
    }
    Ok((stored, secret, recovery))
}

/// The server answers a repeated request as it did the first, so a lost answer costs no account.
async fn finish_registration(client: &ServerClient, finish: &RegisterFinish) -> Result<(), EngineError> {
    let mut tries = 1;
    loop {
        match client.register_finish(finish).await {
            Ok(_) => return Ok(()),
            Err(CoordError::Unreachable | CoordError::Timeout) if tries < FINISH_TRIES => tries += 1,
            Err(error) => return Err(EngineError::coord(error)),
        }
    }
}

fn stored_account(
    made: NewAccount,
    new: &NewUser<'_>,
    account: AccountId,
    server_key: PublicKey,
) -> (StoredAccount, RecoveryKey) {
    let stored = StoredAccount {
        identity: Identity {
            user: new.user.to_owned(),
            server: new.server.to_owned(),
            account,
            device: made.device,
            device_name: new.device_name.to_owned(),
        },
        server_key,
        pin: made.state.pin(),
        root: made.root,
        log: vec![made.genesis],
        account_keys: Vec::new(),
        vault: made.vault.vault_id,
        vault_keys: made.vault.boxes.into_iter().map(|entry| entry.sealed.0).collect(),
        intents: Vec::new(),
    };
    (stored, made.recovery)
}

/// A name devices may have.
///
/// # Errors
/// `BadName` for any other.
pub(crate) fn device_name(name: &str) -> Result<DeviceName, EngineError> {
    DeviceName::new(name).map_err(|_| {
        EngineError::BadName("a device name has 1 to 64 bytes and no control characters; choose another")
    })
}
