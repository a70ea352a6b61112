//! Signing in on a new device: the password opens the account root, the log gets this device.

use super::new_device::{Opened, new_device, open_account};
use super::secret::store_secret;
use super::server_key::meet;
use super::signup::{NewUser, device_name};
use super::{Identity, Sessions, StoredAccount, remove_secret};
use crate::engine_error::EngineError;
use freehold_api::{AppendEntry, Blob, ErrorCode, LoginFinish, LoginStart, VaultBoxes};
use freehold_crypto::DeviceSecret;
use freehold_model::{AccountId, Entropy};
use freehold_net::coord::ServerClient;
use freehold_trust::account_log::LogEntry;
use freehold_trust::opaque::{Login, LoginResult, Parties};
use freehold_trust::{KdfParams, PublicKey};
use std::path::Path;
use zeroize::Zeroizing;

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
    let (account, export_key) = password_login(&client, new, server_key, entropy).await?;
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

async fn password_login(
    client: &ServerClient,
    new: &NewUser<'_>,
    server_key: PublicKey,
    entropy: &mut (dyn Entropy + Send),
) -> Result<(AccountId, Zeroizing<[u8; 64]>), EngineError> {
    let (login, ke1) = Login::start(new.password.as_bytes(), entropy).map_err(EngineError::opaque)?;
    let start = LoginStart { user: new.user.to_owned(), ke1: Blob(ke1) };
    let started = client.login_start(&start).await.map_err(EngineError::coord)?;
    let kdf = KdfParams::new(started.kdf.m_kib, started.kdf.t, started.kdf.p)
        .map_err(|_| EngineError::ServerUntrusted("it asks for a password hash outside the safe bounds"))?;
    let done = stretch(login, started.ke2.0, new.user, server_key, kdf).await?;
    let finish = LoginFinish { login_id: started.login_id, ke3: Blob(done.ke3) };
    let session = client.login_finish(&finish).await.map_err(EngineError::coord)?;
    client.set_session(&session).map_err(EngineError::coord)?;
    Ok((session.account_id, done.export_key))
}

/// Opens the account, appends this device, and fetches the vault's keys with a session of its own.
async fn join(
    client: &ServerClient,
    new: &NewUser<'_>,
    (account, export_key): (AccountId, &[u8; 64]),
    server_key: PublicKey,
    secret: &DeviceSecret,
    entropy: &mut (dyn Entropy + Send),
) -> Result<StoredAccount, EngineError> {
    let boxes = client.account_boxes().await.map_err(EngineError::coord)?;
    let mut tries = 0;
    let (opened, made, log) = loop {
        let mut log = fetch_log(client).await?;
        let opened = open_account(account, export_key, &log, &boxes.boxes)?;
        let made = new_device(&opened, secret, device_name(new.device_name)?, new.now_s, entropy)?;
        let append = AppendEntry {
            entry: Blob(made.entry.to_bytes()),
            boxes: made.boxes.clone(),
            account_keys: Vec::new(),
            vault_keys: Vec::new(),
        };
        match client.append_entry(&append).await {
            Ok(_) => {
                log.push(made.entry.clone());
                break (opened, made, log);
            }
            Err(error) if error.code() == Some(ErrorCode::LogConflict) && tries < APPEND_TRIES => tries += 1,
            Err(error) => return Err(EngineError::coord(error)),
        }
    };
    let sessions = Sessions::new(server_key, made.device, secret.sign_key());
    let session = sessions.renew(client).await.map_err(EngineError::coord)?;
    client.set_session(&session).map_err(EngineError::coord)?;
    let vault = first_vault(client).await?;
    let identity = Identity {
        user: new.user.to_owned(),
        server: new.server.to_owned(),
        account,
        device: made.device,
        device_name: new.device_name.to_owned(),
    };
    let Opened { root, .. } = opened;
    let stored = StoredAccount {
        identity,
        server_key,
        pin: made.state.pin(),
        root,
        log,
        account_keys: boxes.account_keys.into_iter().map(|entry| entry.sealed.0).collect(),
        vault: vault.vault_id,
        vault_keys: vault.boxes.into_iter().map(|entry| entry.sealed.0).collect(),
    };
    // Opens every key once, so that a server with the wrong boxes is found out now and not at the next start.
    stored.vault_keyring()?;
    Ok(stored)
}

/// The account log as the server has it; the caller replays it.
///
/// # Errors
/// `ServerUntrusted` when an entry does not parse.
async fn fetch_log(client: &ServerClient) -> Result<Vec<LogEntry>, EngineError> {
    let log = client.account_log().await.map_err(EngineError::coord)?;
    let entries = log.entries.iter().map(|entry| LogEntry::from_bytes(entry.as_slice()));
    entries
        .collect::<Result<_, _>>()
        .map_err(|_| EngineError::ServerUntrusted("its account log does not parse"))
}

async fn first_vault(client: &ServerClient) -> Result<VaultBoxes, EngineError> {
    let list = client.vaults().await.map_err(EngineError::coord)?;
    let vault = list.vaults.into_iter().next();
    vault.map(|vault| vault.keys).ok_or(EngineError::ServerUntrusted("it shows no vault for this account"))
}

async fn stretch(
    login: Login,
    ke2: Vec<u8>,
    user: &str,
    server: PublicKey,
    kdf: KdfParams,
) -> Result<LoginResult, EngineError> {
    let user = user.as_bytes().to_vec();
    let work = move || {
        let parties = Parties { user: &user, server: &server };
        login.finish(&ke2, &parties, &kdf, &mut crate::entropy::OsEntropy)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| EngineError::Internal("hashing the password was interrupted"))?
        .map_err(EngineError::opaque)
}
