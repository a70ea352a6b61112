//! The loop's side towards storage nodes as witnesses: when they are asked, and what follows.

use super::SyncTask;
use crate::sync::SyncError;
use crate::sync::intake::Source;
use crate::sync::limits::{WITNESS_EVERY, WITNESS_SOON};
use crate::sync::work::Done;
use freehold_model::DeviceId;
use freehold_trust::commit::{ChainHead, SignedHead};
use std::sync::Arc;
use std::time::Instant;

impl SyncTask {
    /// Asks the nodes, once the server was read to the end, so that there is something to compare with.
    pub(super) fn ask_witnesses(&mut self, now: Instant) {
        let contact = &mut self.contact;
        let is_due = contact.witness_at.is_none_or(|at| now >= at);
        if contact.is_witnessing || !is_due || !contact.has_met || !self.intake.server_was_read() {
            return;
        }
        contact.is_witnessing = true;
        contact.witness_at = Some(now + WITNESS_EVERY);
        let others = self.intake.state().chains.iter().filter(|(device, _)| **device != self.parts.device);
        let mut chains: Vec<(DeviceId, ChainHead)> =
            others.map(|(device, chain)| (*device, chain.head)).collect();
        chains.extend(self.parts.local.chain_head().map(|head| (self.parts.device, head)));
        let parts = Arc::clone(&self.parts);
        self.work.spawn(async move { Done::Witnessed(parts.ask_witnesses(chains).await) });
    }

    /// A chain has moved: what is known here is left at the nodes before long.
    pub(super) fn tell_witnesses_soon(&mut self) {
        let soon = Instant::now() + WITNESS_SOON;
        self.contact.witness_at = Some(self.contact.witness_at.map_or(soon, |at| at.min(soon)));
    }

    pub(super) fn witnessed(&mut self, heard: Result<Option<Vec<SignedHead>>, SyncError>) {
        self.contact.is_witnessing = false;
        let heard = heard.unwrap_or_else(|error| {
            self.parts.report_error(&error);
            None
        });
        if heard.is_none() {
            self.tell_witnesses_soon();
        }
        let heads = heard.unwrap_or_default();
        match self.with_intake(|intake, ctx| intake.witnessed(ctx, &heads)) {
            Ok(theirs) => {
                if let Some(theirs) = theirs.filter(|theirs| self.parts.local.is_foreign_past(theirs)) {
                    self.be_reborn(theirs);
                }
            }
            // Whoever signed it twice is the liar, or a thief of its key; the node only passed it on.
            Err(halt) => self.halted(Source::Server, Err(halt)),
        }
    }
}
