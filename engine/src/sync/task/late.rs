//! When what removed devices signed late is looked for: after a start, and when the cuts change.

use super::SyncTask;
use crate::sync::SyncError;
use crate::sync::late::{Cuts, Judged, cuts};
use crate::sync::pace::Backoff;
use crate::sync::work::Done;
use freehold_trust::account_log::AccountState;
use std::sync::Arc;
use std::time::Instant;

/// How far the looking is.
#[derive(Debug, Default)]
pub(super) struct LateLook {
    /// The account that was looked at last; the same one needs no other look.
    account: Option<Arc<AccountState>>,
    /// The cuts to which everything followed is held; none before the first look.
    held_to: Option<Cuts>,
    /// The cuts of the look under way.
    under_way: Option<Cuts>,
    not_before: Option<Instant>,
    backoff: Backoff,
}

impl LateLook {
    /// The machine starts over: what it takes up was stored before the last look, perhaps.
    pub(super) fn look_again(&mut self) {
        *self = Self::default();
    }

    /// Whether a look is under way; nothing may be merged meanwhile.
    pub(super) const fn is_looking(&self) -> bool {
        self.under_way.is_some()
    }
}

impl SyncTask {
    /// Holds what was followed to the cuts once they have changed and everything followed is kept.
    pub(super) fn look_for_late(&mut self, now: Instant) {
        let account = self.parts.members.state();
        let is_same = self.late.account.as_ref().is_some_and(|known| Arc::ptr_eq(known, &account));
        let is_early = self.late.not_before.is_some_and(|at| now < at);
        if is_same || is_early || self.late.is_looking() || !self.intake.is_kept() {
            return;
        }
        let cuts = cuts(&account);
        if self.late.held_to.as_ref() == Some(&cuts) {
            self.late.account = Some(account);
            return;
        }
        self.late.under_way = Some(cuts);
        let (parts, state) = (Arc::clone(&self.parts), self.intake.state().clone());
        self.work.spawn(async move { Done::JudgedLate(parts.judge_late(account, state).await) });
    }

    pub(super) fn judged_late(&mut self, judged: Result<Judged, SyncError>) {
        let cuts = self.late.under_way.take();
        match judged {
            Ok(judged) => {
                judged.late.iter().for_each(|late| self.intake.disown(late));
                judged.readmitted.iter().for_each(|readmitted| self.intake.readmit(readmitted));
                self.late.held_to = cuts;
                self.late.backoff.reset();
                self.pace.changed(Instant::now());
                self.parts.report_held();
            }
            Err(error) => {
                self.late.not_before = Some(Instant::now() + self.late.backoff.next(crate::sync::random()));
                self.parts.report_error(&error);
            }
        }
    }
}
