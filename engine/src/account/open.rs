//! Opening an account: by the password's, the recovery key's or a device's path. Pure.
//!
//! Nothing the server shows is believed before it fits: the log replays and names this very path, the
//! box is the one the newest rotation named or is signed by a device of the log, and the log holds the
//! head that was sealed inside.

use super::paths::find_box;
use crate::engine_error::EngineError;
use freehold_api::{AccountBoxes, UnlockBoxEntry};
use freehold_crypto::{AccountKeyring, AccountRoot, UnlockKeys, XWingPair};
use freehold_model::AccountId;
use freehold_trust::SignKey;
use freehold_trust::account_log::{AccountState, LogEntry, PathId, SecondKey};

/// An account opened by one of its secrets.
pub(super) struct Opened {
    /// The verified log.
    pub(super) state: AccountState,
    /// Every root.
    pub(super) roots: AccountKeyring,
    /// The keys it was opened with.
    pub(super) keys: UnlockKeys,
}

impl Opened {
    /// What makes second signatures.
    pub(super) const fn second(&self) -> (SecondKey, &SignKey) {
        second_key(&self.keys)
    }
}

/// Which secret a path's keys are of, and its signing key.
pub(crate) const fn second_key(keys: &UnlockKeys) -> (SecondKey, &SignKey) {
    let which = match keys.path_id() {
        PathId::Recovery(_) => SecondKey::Recovery,
        PathId::Password(_) | PathId::Device(_) => SecondKey::Password,
    };
    (which, keys.sign_key())
}

/// Whether these keys are of a secret that is in force.
pub(crate) fn is_in_force(state: &AccountState, keys: &UnlockKeys) -> bool {
    match second_key(keys).0 {
        SecondKey::Password => state.password() == keys.public(),
        SecondKey::Recovery => state.recovery() == keys.public(),
    }
}

/// Verifies what the server shows and opens every root with a secret's keys.
///
/// # Errors
/// `ServerUntrusted` when the log breaks a rule, is of another account, is not this secret's, lacks the head
/// the root's box names, or when a box is not the account's.
pub(super) fn open_account(
    account: AccountId,
    keys: UnlockKeys,
    log: &[LogEntry],
    boxes: &AccountBoxes,
) -> Result<Opened, EngineError> {
    let state = AccountState::replay(log).map_err(EngineError::log)?;
    // Whoever put this path into the log held its signing key: the replay checked that.
    if state.account() != account || !is_in_force(&state, &keys) {
        return Err(EngineError::ServerUntrusted("its account log is not the one of this secret"));
    }
    let root = open_root(&state, keys.path_id(), keys.pair(), &boxes.boxes)?;
    let previous = boxes.account_keys.iter().map(|entry| entry.sealed.as_slice());
    let roots = AccountKeyring::unfold(account, root, previous).map_err(EngineError::keyring)?;
    Ok(Opened { state, roots, keys })
}

/// Opens the newest root from the box of one path and holds it against the log.
///
/// # Errors
/// `ServerUntrusted` as for [`open_account`].
pub(crate) fn open_root(
    state: &AccountState,
    path: PathId,
    pair: &XWingPair,
    boxes: &[UnlockBoxEntry],
) -> Result<AccountRoot, EngineError> {
    let sealed = find_box(boxes, path, state.generation())?;
    if state.rotation_box(&path).is_some_and(|named| *named != sealed.hash()) {
        return Err(EngineError::ServerUntrusted("its key box is not the one the rotation named"));
    }
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
