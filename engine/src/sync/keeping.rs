//! Keeping the account safe on every contact: revocations that were wanted are entered, a rotation that is
//! due is made, and nothing is committed before.
//!
//! Whichever capable device comes first does it. A server that withholds a rotation stops content commits
//! and gains nothing: the device that knows of the revocation rotates itself, and until that is in the log
//! it keeps its changes to itself.

use super::members::{Ground, MembersError};
use super::{Parts, SyncError};
use crate::account::{Change, Made};
use crate::engine_error::EngineError;
use crate::entropy::OsEntropy;
use freehold_api::ErrorCode;
use freehold_api::limits::APPEND_ENTRIES_MAX;
use freehold_trust::account_log::RevokeIntent;

/// Problem: this device is no longer part of the account.
pub(crate) const REMOVED: &str = "device_removed";
/// Problem: a revocation is obeyed and could not be written down.
pub(crate) const REVOCATION_UNKEPT: &str = "revocation_unkept";
/// Problem: a revocation made offline counts no longer.
pub(crate) const REVOCATION_LOST: &str = "revocation_lost";

impl Parts {
    /// Brings the account up to date, and does what is due.
    ///
    /// # Errors
    /// `Members`; `Refused` when this device was removed.
    pub(crate) async fn settle_account(&self) -> Result<(), SyncError> {
        let lost = self.members.refresh().await?;
        self.report_lost(&lost);
        if self.members.is_removed() {
            self.report_removed();
            return Err(SyncError::Refused(ErrorCode::DeviceRevoked));
        }
        self.problems.clear(REMOVED);
        if self.members.state().rotation_due() {
            self.shut_out().await?;
        }
        Ok(())
    }

    /// Enters every revocation that is only obeyed, and rotates.
    ///
    /// # Errors
    /// `Members`.
    pub(crate) async fn shut_out(&self) -> Result<(), MembersError> {
        let intents = self.members.intents();
        self.members.perform(self.now_s(), |ground, change| shutting_out(ground, change, &intents)).await
    }

    /// Seconds since 1970 by this device's clock.
    pub(crate) fn now_s(&self) -> u64 {
        u64::try_from(self.volume.now().secs).unwrap_or_default()
    }

    /// Tells of an error when it is the removal of this device; whether it is.
    pub(crate) fn is_removal(&self, error: &SyncError) -> bool {
        let code = match error {
            SyncError::Server(error) | SyncError::Members(MembersError::Server(error)) => error.code(),
            SyncError::Refused(code) => Some(*code),
            _ => None,
        };
        let is_removal = code == Some(ErrorCode::DeviceRevoked);
        if is_removal {
            self.report_removed();
        }
        is_removal
    }

    fn report_removed(&self) {
        self.problems.raise(
            REMOVED,
            "this device was removed from the account; it does not sync any more",
            "what is on this disk stays readable; copy what you need, then sign out and in again",
        );
    }

    pub(super) fn report_lost(&self, lost: &[RevokeIntent]) {
        if !lost.is_empty() {
            self.problems.raise(
                REVOCATION_LOST,
                "the removal of a device, made while the server was away, counts no longer: the recovery words \
                 or the removing device were replaced since",
                "look at `freehold device list` and revoke the device again",
            );
        }
    }
}

/// The revocations still open, as many as one message takes, and the rotation behind them.
fn shutting_out(
    ground: &Ground,
    mut change: Change<'_>,
    intents: &[RevokeIntent],
) -> Result<Option<Made>, EngineError> {
    let open = intents.iter().filter(|intent| ground.state.check_intent(intent).is_ok());
    let open: Vec<&RevokeIntent> = open.take(APPEND_ENTRIES_MAX - 1).collect();
    if open.is_empty() && !ground.state.rotation_due() {
        return Ok(None);
    }
    open.iter().try_for_each(|intent| change.revoke(intent))?;
    change.rotate(&ground.roots, &ground.vaults, &mut OsEntropy)?;
    Ok(Some(change.finish()))
}

#[cfg(test)]
mod tests;
