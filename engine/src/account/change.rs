//! A change of the account, built entry by entry: what is signed, and every box that belongs to it. Pure.
//!
//! It starts from a verified log and appends to it as a reader would, so a change that breaks a rule never
//! leaves this device. What shuts somebody out ends with [`Change::rotate`]; the server stores all of it or
//! nothing.

use super::new_account::{key_box, seal_root};
use super::paths::box_entry;
use crate::engine_error::EngineError;
use freehold_api::{AppendEntries, Blob, NewLogin, VaultBoxes};
use freehold_crypto::{AccountKeyring, AccountRoot, UnlockBox, UnlockKeys};
use freehold_model::{DeviceId, Entropy};
use freehold_trust::account_log::{
    AccountState, Action, BoxRef, LogEntry, NameDevice, PathId, RevokeIntent, Rotate, SecondKey, SetKdf,
};
use freehold_trust::{DeviceName, KdfParams, SignKey, SignedDeviceCert};

/// A secret in force and which it is: makes second signatures.
pub(crate) type Second<'a> = (SecondKey, &'a SignKey);

/// A change under way.
pub(crate) struct Change<'a> {
    state: AccountState,
    signer: DeviceId,
    sign_key: &'a SignKey,
    now_s: u64,
    entries: Vec<LogEntry>,
    message: AppendEntries,
    root: Option<AccountRoot>,
}

/// A change that is ready to be sent.
pub(crate) struct Made {
    /// For the server.
    pub(crate) message: AppendEntries,
    /// The new entries.
    pub(crate) entries: Vec<LogEntry>,
    /// The log's state after them.
    pub(crate) state: AccountState,
    /// The new root, after a rotation.
    pub(crate) root: Option<AccountRoot>,
}

impl<'a> Change<'a> {
    /// Starts from a verified log; every entry is signed by this device.
    pub(crate) fn new(state: AccountState, signer: DeviceId, sign_key: &'a SignKey, now_s: u64) -> Self {
        let (entries, message) = (Vec::new(), AppendEntries::default());
        Self { state, signer, sign_key, now_s, entries, message, root: None }
    }

    /// Adds the signing device itself.
    ///
    /// # Errors
    /// `ServerRefused` when the account takes no more devices.
    pub(super) fn add_device(
        &mut self,
        cert: SignedDeviceCert,
        second: Second<'_>,
    ) -> Result<(), EngineError> {
        let statement = self.next(Action::AddDevice(Box::new(cert)));
        self.append(LogEntry::sign_twice(statement, self.sign_key, second.0, second.1))
    }

    /// Seals the root in force to the signing device: for a device that comes without a rotation.
    ///
    /// # Errors
    /// `ServerUntrusted` when a key in the log is malformed.
    pub(super) fn seal_to_self(
        &mut self,
        root: &AccountRoot,
        entropy: &mut dyn Entropy,
    ) -> Result<(), EngineError> {
        let own = PathId::Device(self.signer);
        let sealed = self.seal(root, entropy)?;
        self.message.boxes.extend(sealed.iter().filter(|sealed| sealed.path() == own).map(box_entry));
        Ok(())
    }

    /// Enters a revocation that some device wanted.
    ///
    /// # Errors
    /// `Internal` when it does not count in this log; the caller has checked.
    pub(crate) fn revoke(&mut self, intent: &RevokeIntent) -> Result<(), EngineError> {
        self.sign(Action::RevokeDevice(Box::new(intent.clone())))
    }

    /// Gives a device another name.
    ///
    /// # Errors
    /// `Internal` when the device is not live; the caller has checked.
    pub(crate) fn name_device(&mut self, device: DeviceId, name: DeviceName) -> Result<(), EngineError> {
        self.sign(Action::NameDevice(NameDevice { device, name }))
    }

    /// Puts another recovery key in force; `user_box` is the user name sealed to it.
    ///
    /// # Errors
    /// `Internal` when the second signature is not of a secret in force; the caller has checked.
    pub(crate) fn set_recovery(
        &mut self,
        new: &UnlockKeys,
        user_box: Vec<u8>,
        second: Second<'_>,
    ) -> Result<(), EngineError> {
        self.message.user_box = Some(Blob(user_box));
        self.install(Action::SetRecovery(Box::new(new.public().clone())), second, new)
    }

    /// Puts another password in force; `login` is its record for the server.
    ///
    /// # Errors
    /// As for [`Self::set_recovery`].
    pub(crate) fn set_password(
        &mut self,
        new: &UnlockKeys,
        kdf: KdfParams,
        login: NewLogin,
        second: Second<'_>,
    ) -> Result<(), EngineError> {
        self.message.login = Some(login);
        let set = SetKdf { kdf, password: new.public().clone() };
        self.install(Action::SetKdf(Box::new(set)), second, new)
    }

    /// Starts the next generation: a new root sealed to every live path, and every vault's next key.
    ///
    /// # Errors
    /// `ServerUntrusted` when the newest root is not here, a key in the log is malformed or a vault's key
    /// does not open.
    pub(crate) fn rotate(
        &mut self,
        roots: &AccountKeyring,
        vaults: &[VaultBoxes],
        entropy: &mut dyn Entropy,
    ) -> Result<(), EngineError> {
        let (account, root) = (self.state.account(), roots.newest());
        if root.generation() != self.state.generation() {
            return Err(EngineError::ServerUntrusted("its account log is ahead of its key boxes"));
        }
        let next = root.rotate(entropy);
        let boxes = self.seal(&next, entropy)?;
        let refs = boxes.iter().map(|sealed| BoxRef { path: sealed.path(), hash: sealed.hash() }).collect();
        self.message.boxes = boxes.iter().map(box_entry).collect();
        let previous = next.seal_previous(&account, root, entropy);
        self.message.account_keys = vec![key_box(previous, next.generation())?];
        self.message.vault_keys = vaults
            .iter()
            .map(|vault| next_vault_key(roots, &next, vault, entropy))
            .collect::<Result<_, _>>()?;
        let rotate = Rotate::new(next.generation(), refs);
        let rotate = rotate.map_err(|_| EngineError::Internal("a rotation over its limits"))?;
        self.root = Some(next);
        self.sign(Action::Rotate(rotate))
    }

    /// The finished change.
    pub(crate) fn finish(mut self) -> Made {
        self.message.entries = self.entries.iter().map(|entry| Blob(entry.to_bytes())).collect();
        Made { message: self.message, entries: self.entries, state: self.state, root: self.root }
    }

    fn install(&mut self, action: Action, second: Second<'_>, new: &UnlockKeys) -> Result<(), EngineError> {
        let statement = self.next(action);
        let entry = LogEntry::sign_installing(statement, self.sign_key, second.0, second.1, new.sign_key());
        self.append(entry)
    }

    fn sign(&mut self, action: Action) -> Result<(), EngineError> {
        self.append(LogEntry::sign(self.next(action), self.sign_key))
    }

    fn next(&self, action: Action) -> freehold_trust::account_log::LogStatement {
        self.state.next_statement(self.signer, self.now_s, action)
    }

    fn append(&mut self, entry: LogEntry) -> Result<(), EngineError> {
        self.state.append(&entry).map_err(EngineError::own_log)?;
        self.entries.push(entry);
        Ok(())
    }

    fn seal(&self, root: &AccountRoot, entropy: &mut dyn Entropy) -> Result<Vec<UnlockBox>, EngineError> {
        seal_root(&self.state, root, (self.signer, self.sign_key), entropy)
    }
}

/// The next key of a vault under the next root, and the key before under it.
fn next_vault_key(
    roots: &AccountKeyring,
    next_root: &AccountRoot,
    vault: &VaultBoxes,
    entropy: &mut dyn Entropy,
) -> Result<VaultBoxes, EngineError> {
    let id = vault.vault_id;
    let boxes = vault.boxes.iter().map(|entry| entry.sealed.as_slice());
    let key = roots.newest_vault_key(&id, boxes).map_err(EngineError::keyring)?;
    let next = key.rotate(entropy);
    let boxes = vec![
        key_box(next_root.seal_vault_key(&roots.account(), &id, &next, entropy), next_root.generation())?,
        key_box(next.seal_previous(&id, &key, entropy), next.generation())?,
    ];
    Ok(VaultBoxes { vault_id: id, boxes })
}

#[cfg(test)]
mod tests;
