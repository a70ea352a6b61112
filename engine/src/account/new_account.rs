//! What a new account is made of: secrets, genesis entry, boxes. Pure but for the entropy it is given.

use super::paths::box_entry;
use crate::engine_error::EngineError;
use freehold_api::{Blob, KeyBoxEntry, UnlockBoxEntry, VaultBoxes};
use freehold_crypto::{
    AccountRoot, DeviceSecret, KeyBoxHeader, RecoveryKey, SecretBytes, UnlockBox, UnlockContent, UnlockKeys,
    VaultKey, seal_user,
};
use freehold_model::{AccountId, DeviceId, Entropy, VaultId};
use freehold_trust::account_log::{AccountState, Genesis, LogEntry, LogStatement};
use freehold_trust::{DeviceCert, DeviceName, KdfParams, PublicKey, SignKey, SignedDeviceCert};

/// A new account, complete, before any server knows it.
pub(crate) struct NewAccount {
    /// First entry of the account log.
    pub(crate) genesis: LogEntry,
    /// The log's state after it.
    pub(crate) state: AccountState,
    /// The first account root.
    pub(crate) root: AccountRoot,
    /// The root, sealed to password, recovery key and device.
    pub(crate) boxes: Vec<UnlockBoxEntry>,
    /// The first vault and its key under the root.
    pub(crate) vault: VaultBoxes,
    /// For the user's paper.
    pub(crate) recovery: RecoveryKey,
    /// The user name, sealed to the recovery key.
    pub(crate) user_box: Vec<u8>,
    /// This device.
    pub(crate) device: DeviceId,
}

/// What the caller chose.
pub(crate) struct Choice<'a> {
    pub(crate) account: AccountId,
    pub(crate) user: &'a str,
    pub(crate) export_key: &'a [u8; 64],
    pub(crate) kdf: KdfParams,
    pub(crate) device_name: DeviceName,
    pub(crate) now_s: u64,
}

/// Makes the account.
///
/// # Errors
/// `BadName` for a user name that does not fit; `Internal` when our own genesis breaks a rule of the log.
pub(crate) fn new_account(
    choice: Choice<'_>,
    secret: &DeviceSecret,
    entropy: &mut dyn Entropy,
) -> Result<NewAccount, EngineError> {
    let account = choice.account;
    let password = UnlockKeys::from_password(choice.export_key, &account);
    let recovery = RecoveryKey::generate(entropy);
    let recovery_keys = UnlockKeys::from_recovery(&recovery);
    let device = DeviceId::from_bytes(random(entropy));
    let sign_key = secret.sign_key();
    let genesis = Genesis {
        password: password.public().clone(),
        recovery: recovery_keys.public().clone(),
        device: certificate(account, device, secret, choice.device_name, choice.now_s),
        kdf: choice.kdf,
    };
    let statement = LogStatement::genesis(account, choice.now_s, device, Box::new(genesis));
    let genesis = LogEntry::sign_genesis(statement, &sign_key, password.sign_key(), recovery_keys.sign_key());
    let state = AccountState::replay(std::slice::from_ref(&genesis)).map_err(EngineError::own_log)?;
    let root = AccountRoot::generate(entropy);
    let boxes = seal_root(&state, &root, (device, &sign_key), entropy)?.iter().map(box_entry).collect();
    let vault = VaultId::from_bytes(random(entropy));
    let key = VaultKey::generate(entropy);
    let sealed = root.seal_vault_key(&account, &vault, &key, entropy);
    let vault = VaultBoxes { vault_id: vault, boxes: vec![key_box(sealed, root.generation())?] };
    let user_box = seal_user(&recovery_keys, &account, choice.user, entropy);
    let user_box = user_box.ok_or(EngineError::BadName("a user name has 1 to 128 bytes; choose another"))?;
    Ok(NewAccount { genesis, state, root, boxes, vault, recovery, user_box, device })
}

/// The signed certificate of this device.
pub(super) fn certificate(
    account: AccountId,
    device: DeviceId,
    secret: &DeviceSecret,
    name: DeviceName,
    created: u64,
) -> SignedDeviceCert {
    let sign_key = secret.sign_key();
    let tls_pk: PublicKey = SignKey::from_seed(secret.tls_seed().expose()).public();
    let xwing_pk = secret.xwing_pair().public();
    let cert = DeviceCert { account, device, sign_pk: sign_key.public(), tls_pk, xwing_pk, created, name };
    SignedDeviceCert::sign(cert, &sign_key)
}

/// Seals a root to every live path of the log.
///
/// # Errors
/// `ServerUntrusted` when a key in the log is malformed.
pub(super) fn seal_root(
    state: &AccountState,
    root: &AccountRoot,
    signer: (DeviceId, &SignKey),
    entropy: &mut dyn Entropy,
) -> Result<Vec<UnlockBox>, EngineError> {
    let pin = state.pin();
    let content = UnlockContent {
        account: state.account(),
        genesis: pin.genesis,
        log_head: pin.head,
        root: duplicate(root),
    };
    let sealed = state.live_paths().into_iter().map(|(path, public)| {
        UnlockBox::seal(&content, path, public, signer, entropy)
            .map_err(|_| EngineError::ServerUntrusted("a key in the account log is malformed"))
    });
    sealed.collect()
}

/// A second copy of a root, zeroed on its own drop.
pub(super) fn duplicate(root: &AccountRoot) -> AccountRoot {
    AccountRoot::from_parts(root.generation(), SecretBytes::from_bytes(*root.expose()))
}

/// A sealed key box as it travels, its labels read from its own header.
pub(super) fn key_box(sealed: Vec<u8>, wrapper_generation: u32) -> Result<KeyBoxEntry, EngineError> {
    let header = KeyBoxHeader::read(&sealed);
    let header = header.map_err(|_| EngineError::Internal("our own key box does not parse"))?;
    Ok(KeyBoxEntry {
        kind: header.kind.code(),
        generation: header.generation,
        wrapper_generation,
        sealed: Blob(sealed),
    })
}

/// Fresh random bytes for an id.
pub(super) fn random<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}
