//! Unlock paths in their three spellings: account log, crypto and wire.

use crate::engine_error::EngineError;
use freehold_api::{Blob, UnlockBoxEntry, UnlockPath as WirePath};
use freehold_crypto::UnlockBox;
use freehold_trust::account_log::PathId;

/// A sealed box as it travels.
pub(super) fn box_entry(sealed: &UnlockBox) -> UnlockBoxEntry {
    let path = match sealed.path() {
        PathId::Password(_) => WirePath::Password,
        PathId::Recovery(_) => WirePath::Recovery,
        PathId::Device(_) => WirePath::Device,
    };
    UnlockBoxEntry {
        path,
        path_id: Blob(sealed.path().id().to_vec()),
        generation: sealed.generation(),
        sealed: Blob(sealed.as_bytes().to_vec()),
    }
}

/// The box for one path and generation among those the server shows.
///
/// The label beside a box is the server's; only what the box itself says counts.
///
/// # Errors
/// `ServerUntrusted` when it is not there.
pub(super) fn find_box(
    boxes: &[UnlockBoxEntry],
    path: PathId,
    generation: u32,
) -> Result<UnlockBox, EngineError> {
    boxes
        .iter()
        .filter_map(|entry| UnlockBox::from_bytes(entry.sealed.as_slice()).ok())
        .find(|sealed| sealed.path() == path && sealed.generation() == generation)
        .ok_or(EngineError::ServerUntrusted("it does not have the key box of this account"))
}
