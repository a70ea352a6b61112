//! How a commit is judged by its author's account log.
//!
//! A device may commit from the entry that added it until the one that revoked it. What a revoked
//! device signed up to its cut stays; anything later is quarantined, not lost. The cut is the
//! higher of what the revoker saw and what any live device cited before it knew (DESIGN §4).

use super::AccountState;
use crate::commit::{Commit, CommitHeader};
use freehold_model::{DeviceId, VaultId};
use std::collections::BTreeMap;

/// The membership of a vault that nobody but its owner's account belongs to.
const OWNER_EPOCH: u32 = 0;

/// Why a commit cannot be judged or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// The commit cites a log entry this log does not have: fetch the log, then judge again.
    #[error("the commit cites an account log entry that is not known yet; fetch the log")]
    UnknownLogHead,
    /// The author is no device of the account.
    #[error("the commit is by a device that was never part of the account")]
    UnknownDevice,
    /// The author cites a log in which it is not a device, or no longer one.
    #[error("the commit's author was not a live device of the account it cites")]
    NotLiveAtHead,
    /// The signature does not verify.
    #[error("the commit has a bad signature")]
    BadSignature,
    /// The author cites a membership that its vault does not have.
    #[error("the commit cites a membership of the vault that there is not")]
    UnknownEpoch,
}

/// Where a device stands for one of its chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Never part of the account.
    Unknown,
    /// May act.
    Live,
    /// Revoked; commits after this position (0: all) do not count.
    Revoked {
        /// The last position that counts; everything of a life before the one that was cut.
        cut_seq: u64,
    },
}

/// What to do with a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Apply it.
    Accept,
    /// Keep it apart and show it as from a revoked device.
    Quarantine,
}

impl AccountState {
    /// Where a device stands for its chain in a vault.
    #[must_use]
    pub fn standing(&self, device: &DeviceId, vault: VaultId, incarnation: u32) -> Standing {
        let Some(found) = self.devices().get(device) else { return Standing::Unknown };
        match &found.revoked {
            None => Standing::Live,
            Some(revocation) => Standing::Revoked { cut_seq: cut_seq(&revocation.cuts, vault, incarnation) },
        }
    }

    /// Whether a place in a device's chain lies after the cut of its revocation.
    #[must_use]
    pub fn is_late(&self, device: &DeviceId, vault: VaultId, incarnation: u32, seq: u64) -> bool {
        matches!(self.standing(device, vault, incarnation), Standing::Revoked { cut_seq } if seq > cut_seq)
    }

    /// As [`Self::is_late`], for who knows the log only up to a position.
    #[must_use]
    pub fn was_late_at(&self, position: u64, header: &CommitHeader) -> bool {
        let revoked = self.devices().get(&header.device).and_then(|device| device.revoked.as_ref());
        revoked.is_some_and(|revocation| revocation.seq <= position)
            && self.is_late(&header.device, header.vault, header.incarnation, header.seq)
    }

    /// Judges a commit.
    ///
    /// # Errors
    /// [`JudgeError`] says whether to fetch the log first or to refuse the commit.
    pub fn judge(&self, commit: &Commit) -> Result<Verdict, JudgeError> {
        let header = commit.header();
        let device = self.devices().get(&header.device).ok_or(JudgeError::UnknownDevice)?;
        commit.verify(&device.cert.sign_pk).map_err(|_| JudgeError::BadSignature)?;
        if header.member_epoch != OWNER_EPOCH {
            return Err(JudgeError::UnknownEpoch);
        }
        let known = self.position(&header.log_head).ok_or(JudgeError::UnknownLogHead)?;
        let revoked = device.revoked.as_ref().map(|revocation| revocation.seq);
        if known < device.added_seq || revoked.is_some_and(|revoked| known >= revoked) {
            return Err(JudgeError::NotLiveAtHead);
        }
        Ok(self.verdict(header))
    }

    fn verdict(&self, header: &CommitHeader) -> Verdict {
        match self.standing(&header.device, header.vault, header.incarnation) {
            Standing::Live => Verdict::Accept,
            Standing::Revoked { cut_seq } if header.seq <= cut_seq => Verdict::Accept,
            Standing::Revoked { .. } | Standing::Unknown => Verdict::Quarantine,
        }
    }
}

/// The last position of a life that counts. The first commit of a life names the last one of the life
/// before, so whoever saw one commit of a life has seen the lives before it whole.
fn cut_seq(cuts: &BTreeMap<(VaultId, u32), u64>, vault: VaultId, incarnation: u32) -> u64 {
    let from_here = cuts.range((vault, incarnation)..=(vault, u32::MAX)).next();
    match from_here {
        Some(((_, life), seq)) if *life == incarnation => *seq,
        Some(_) => u64::MAX,
        None => 0,
    }
}
