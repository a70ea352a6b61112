//! How a password makes a device of an account: open the root, check the log, append the device. Pure.

use super::new_account::{certificate, random, seal_root};
use super::paths::find_box;
use crate::engine_error::EngineError;
use freehold_api::UnlockBoxEntry;
use freehold_crypto::{AccountRoot, DeviceSecret, UnlockKeys};
use freehold_model::{AccountId, DeviceId, Entropy};
use freehold_trust::DeviceName;
use freehold_trust::account_log::{AccountState, Action, LogEntry, PathId, SecondKey};

/// An account opened by its password.
pub(super) struct Opened {
    /// The verified log.
    pub(super) state: AccountState,
    /// The newest root.
    pub(super) root: AccountRoot,
    keys: UnlockKeys,
}

/// Verifies what the server shows and opens the newest root with the password's keys.
///
/// # Errors
/// `ServerUntrusted` when the log breaks a rule, is of another account, is not this password's, lacks the head
/// the root's box names, or when the box is not signed by a device of the log.
pub(super) fn open_account(
    account: AccountId,
    export_key: &[u8; 64],
    log: &[LogEntry],
    boxes: &[UnlockBoxEntry],
) -> Result<Opened, EngineError> {
    let state = AccountState::replay(log).map_err(EngineError::log)?;
    let keys = UnlockKeys::from_password(export_key, &account);
    // Whoever put this path into the log held its signing key: the replay checked that.
    if state.account() != account || state.password() != keys.public() {
        return Err(EngineError::ServerUntrusted("its account log is not the one of this password"));
    }
    let root = open_root(&state, keys.path_id(), keys.pair(), boxes)?;
    Ok(Opened { state, root, keys })
}

/// Opens the newest root from the box of one path and holds it against the log.
pub(super) fn open_root(
    state: &AccountState,
    path: PathId,
    pair: &freehold_crypto::XWingPair,
    boxes: &[UnlockBoxEntry],
) -> Result<AccountRoot, EngineError> {
    let sealed = find_box(boxes, path, state.generation())?;
    let signer = state.devices().get(&sealed.signer());
    let signer = signer.ok_or(EngineError::ServerUntrusted("its key box is signed by an unknown device"))?;
    let content = sealed
        .open(pair, &signer.cert.sign_pk)
        .map_err(|_| EngineError::ServerUntrusted("its key box does not open"))?;
    let known = content.account == state.account()
        && content.genesis == state.pin().genesis
        && state.position(&content.log_head).is_some();
    if known {
        Ok(content.root)
    } else {
        Err(EngineError::ServerUntrusted("its account log lacks what the key box was sealed with"))
    }
}

/// A device about to be appended.
pub(super) struct NewDevice {
    pub(super) device: DeviceId,
    pub(super) entry: LogEntry,
    /// The state after the entry.
    pub(super) state: AccountState,
    /// The root, sealed to the new device.
    pub(super) boxes: Vec<UnlockBoxEntry>,
}

/// Makes the log entry that adds this device, with the password's second signature, and its box.
///
/// # Errors
/// `ServerUntrusted` when the log takes no more devices.
pub(super) fn new_device(
    opened: &Opened,
    secret: &DeviceSecret,
    name: DeviceName,
    now_s: u64,
    entropy: &mut dyn Entropy,
) -> Result<NewDevice, EngineError> {
    let device = DeviceId::from_bytes(random(entropy));
    let account = opened.state.account();
    let cert = certificate(account, device, secret, name, now_s);
    let statement = opened.state.next_statement(device, now_s, Action::AddDevice(Box::new(cert)));
    let sign_key = secret.sign_key();
    let entry = LogEntry::sign_twice(statement, &sign_key, SecondKey::Password, opened.keys.sign_key());
    let mut state = opened.state.clone();
    state.append(&entry).map_err(EngineError::log)?;
    let own = PathId::Device(device);
    let all = seal_root(&state, &opened.root, (device, &sign_key), entropy)?;
    let boxes = all.into_iter().filter(|entry| entry.path_id.as_slice() == own.id()).collect();
    Ok(NewDevice { device, entry, state, boxes })
}
