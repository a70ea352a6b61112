//! The sealed account file: what a start without the server needs.
//!
//! ```text
//! plaintext  version u8 = 2 | server var | server key 32 | user var | account 16 | device 16 | device name var
//!            genesis 32 | head 32 | root generation u32 | root key 32
//!            log entries: count u32, each var | previous roots: count u32, each var
//!            vault 16 | key boxes: count u32, each var
//!            revocations not in the log yet: count u32, each var (absent in version 1)
//! file       LocalKey, purpose state file, AAD "account"
//! ```
//!
//! It is replaced by writing beside it, syncing and renaming, so there is always a whole one.

use super::Identity;
use super::change::Made;
use super::new_account::duplicate;
use super::shown::Shown;
use crate::engine_error::EngineError;
use freehold_crypto::{
    AccountKeyring, AccountRoot, DeviceSecret, LocalKey, LocalPurpose, Secret32, VaultKeyring,
};
use freehold_model::codec::{DecodeError, Reader, Writer};
use freehold_model::{Entropy, LogHash, VaultId};
use freehold_trust::PublicKey;
use freehold_trust::account_log::{AccountState, LogEntry, LogPin, RevokeIntent};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, Zeroizing};

const VERSION: u8 = 2;
const AAD: &[u8] = b"account";

/// Bytes of one text field; a server address or a name.
const TEXT_BYTES_MAX: usize = 4_096;
/// Entries or boxes in one list: the account log's own limit is lower.
const LIST_MAX: usize = 100_000;
/// Bytes of one entry or box.
const ITEM_BYTES_MAX: usize = 1 << 20;
/// Bytes of the whole file.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// An account on this device.
#[derive(Debug)]
pub(crate) struct StoredAccount {
    /// Who this device is.
    pub(crate) identity: Identity,
    /// The server's signing key, pinned at sign-in.
    pub(crate) server_key: PublicKey,
    /// Genesis and the newest log entry seen.
    pub(crate) pin: LogPin,
    /// The account root this device opened.
    pub(crate) root: AccountRoot,
    /// The account log, as verified.
    pub(crate) log: Vec<LogEntry>,
    /// Earlier roots, boxed under later ones.
    pub(crate) account_keys: Vec<Vec<u8>>,
    /// The vault.
    pub(crate) vault: VaultId,
    /// The vault's key boxes.
    pub(crate) vault_keys: Vec<Vec<u8>>,
    /// Revocations that are obeyed here and not in the log yet.
    pub(crate) intents: Vec<RevokeIntent>,
}

impl StoredAccount {
    /// What a device that has just come into the account keeps: the account as it was shown, and the change
    /// that brought it in. `root` is the newest one before that change.
    ///
    /// # Errors
    /// `ServerUntrusted` when no vault was shown.
    pub(super) fn of(
        identity: Identity,
        server_key: PublicKey,
        shown: Shown,
        made: Made,
        root: &AccountRoot,
    ) -> Result<Self, EngineError> {
        let first = shown.vaults.into_iter().next();
        let first = first.ok_or(EngineError::ServerUntrusted("it shows no vault for this account"))?;
        let made_keys = made.message.vault_keys.into_iter().filter(|keys| keys.vault_id == first.vault_id);
        let vault_keys = first.boxes.into_iter().chain(made_keys.flat_map(|keys| keys.boxes));
        let account_keys = shown.boxes.account_keys.into_iter().chain(made.message.account_keys);
        Ok(Self {
            identity,
            server_key,
            pin: made.state.pin(),
            root: made.root.unwrap_or_else(|| duplicate(root)),
            log: shown.log.into_iter().chain(made.entries).collect(),
            account_keys: account_keys.map(|entry| entry.sealed.0).collect(),
            vault: first.vault_id,
            vault_keys: vault_keys.map(|entry| entry.sealed.0).collect(),
            intents: Vec::new(),
        })
    }

    /// A second copy, to change and store before it counts.
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            identity: self.identity.clone(),
            server_key: self.server_key,
            pin: self.pin,
            root: duplicate(&self.root),
            log: self.log.clone(),
            account_keys: self.account_keys.clone(),
            vault: self.vault,
            vault_keys: self.vault_keys.clone(),
            intents: self.intents.clone(),
        }
    }

    /// Reads and opens the file; nothing when there is none.
    ///
    /// # Errors
    /// `Disk` when it cannot be read, `WrongDeviceKey` when it does not open under this device's secret.
    pub(crate) fn load(dir: &Path, secret: &DeviceSecret) -> Result<Option<Self>, EngineError> {
        let what = "read the account file (account.sealed)";
        let path = path(dir);
        match fs::metadata(&path) {
            Ok(found) if found.len() <= FILE_BYTES_MAX => {}
            Ok(_) => return Err(EngineError::WrongDeviceKey),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(EngineError::disk(what, error)),
        }
        let sealed = fs::read(&path).map_err(|error| EngineError::disk(what, error))?;
        let key = secret.local_key();
        let plain =
            key.open(LocalPurpose::StateFile, AAD, &sealed).map_err(|_| EngineError::WrongDeviceKey)?;
        Self::decode(&Zeroizing::new(plain)).map(Some).map_err(|_| EngineError::WrongDeviceKey)
    }

    /// Seals and replaces the file durably.
    ///
    /// # Errors
    /// `Disk` when it cannot be written; the old file is then still whole.
    pub(crate) fn save(
        &self,
        dir: &Path,
        key: &LocalKey,
        entropy: &mut dyn Entropy,
    ) -> Result<(), EngineError> {
        let sealed = key.seal(LocalPurpose::StateFile, AAD, &self.encode(), entropy);
        let write = || {
            let new = dir.join("account.sealed.new");
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&sealed)?;
            file.sync_all()?;
            fs::rename(&new, path(dir))?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|error| EngineError::disk("write the account file (account.sealed)", error))
    }

    /// Removes the file.
    ///
    /// # Errors
    /// `Disk` when it cannot be removed.
    pub(crate) fn remove(dir: &Path) -> Result<(), EngineError> {
        match fs::remove_file(path(dir)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(EngineError::disk("remove the account file (account.sealed)", error))
            }
            _ => Ok(()),
        }
    }

    /// The account as its verified log says.
    ///
    /// # Errors
    /// `ServerUntrusted` when the log breaks a rule; it was verified when it was stored.
    pub(crate) fn state(&self) -> Result<AccountState, EngineError> {
        AccountState::replay_pinned(&self.log, &self.pin).map_err(EngineError::log)
    }

    /// Every root of the account.
    ///
    /// # Errors
    /// `ServerUntrusted` when a box does not open under the root after it.
    pub(crate) fn roots(&self) -> Result<AccountKeyring, EngineError> {
        let previous = self.account_keys.iter().map(Vec::as_slice);
        AccountKeyring::unfold(self.identity.account, duplicate(&self.root), previous)
            .map_err(EngineError::keyring)
    }

    /// The vault's keys.
    ///
    /// # Errors
    /// `ServerUntrusted` when a box does not open under the account's roots.
    pub(crate) fn vault_keyring(&self) -> Result<VaultKeyring, EngineError> {
        let boxes = self.vault_keys.iter().map(Vec::as_slice);
        self.roots()?.open_vault(self.vault, boxes).map_err(EngineError::keyring)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Writer::new();
        let identity = &self.identity;
        out.u8(VERSION).var_bytes(identity.server.as_bytes()).put(&self.server_key);
        out.var_bytes(identity.user.as_bytes()).put(&identity.account).put(&identity.device);
        out.var_bytes(identity.device_name.as_bytes()).put(&self.pin.genesis).put(&self.pin.head);
        out.u32(self.root.generation()).raw(self.root.expose());
        let entries: Vec<Vec<u8>> = self.log.iter().map(LogEntry::to_bytes).collect();
        list(&mut out, &entries);
        list(&mut out, &self.account_keys);
        out.put(&self.vault);
        list(&mut out, &self.vault_keys);
        let intents: Vec<Vec<u8>> = self.intents.iter().map(RevokeIntent::to_bytes).collect();
        list(&mut out, &intents);
        Zeroizing::new(out.into_vec())
    }

    fn decode(plain: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(plain);
        let version = input.u8()?;
        if !(1..=VERSION).contains(&version) {
            return Err(DecodeError::Unknown("account file version"));
        }
        let server = text(&mut input)?;
        let server_key = input.get()?;
        let user = text(&mut input)?;
        let (account, device) = (input.get()?, input.get()?);
        let device_name = text(&mut input)?;
        let (genesis, head): (LogHash, LogHash) = (input.get()?, input.get()?);
        let generation = input.u32()?;
        let mut key: [u8; 32] = input.array()?;
        let root = AccountRoot::from_parts(generation, Secret32::from_bytes(key));
        key.zeroize();
        let log =
            items(&mut input)?.iter().map(|bytes| LogEntry::from_bytes(bytes)).collect::<Result<_, _>>()?;
        let account_keys = items(&mut input)?;
        let vault = input.get()?;
        let vault_keys = items(&mut input)?;
        let intents = if version == 1 { Vec::new() } else { items(&mut input)? };
        let intents =
            intents.iter().map(|bytes| RevokeIntent::from_bytes(bytes)).collect::<Result<_, _>>()?;
        input.finish()?;
        let identity = Identity { user, server, account, device, device_name };
        let pin = LogPin { genesis, head };
        Ok(Self { identity, server_key, pin, root, log, account_keys, vault, vault_keys, intents })
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("account.sealed")
}

fn list(out: &mut Writer, items: &[Vec<u8>]) {
    out.u32(u32::try_from(items.len()).expect("lists are far below four billion"));
    for item in items {
        out.var_bytes(item);
    }
}

fn items(input: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
    let count = input.count(LIST_MAX, 4)?;
    (0..count).map(|_| input.var_bytes(ITEM_BYTES_MAX).map(<[u8]>::to_vec)).collect()
}

fn text(input: &mut Reader<'_>) -> Result<String, DecodeError> {
    let bytes = input.var_bytes(TEXT_BYTES_MAX)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Invalid("text"))
}

#[cfg(test)]
mod tests;
