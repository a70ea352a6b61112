//! What other devices say of this device's own chain.
//!
//! Who says that this device has signed more than it remembers may be right: the device was copied,
//! or set back to a backup. Then the other one can show the commit, with this device's signature under
//! it. Until that is shown nothing is believed, because the next commit would cite one that does not
//! exist.

use super::commits::{Stop, contradicts};
use super::{Context, Denied, Halt, Intake, Source};
use crate::sync::chains::Alarm;
use crate::sync::limits::{HIDING_MS, SOURCE_PAUSE_MS};
use crate::sync::meet::{claim_evidence, proves};
use freehold_api::device_peer::{CommitsResponse, HeadItem};
use freehold_model::DeviceId;
use freehold_trust::commit::ChainHead;

impl Intake {
    /// Takes in another device's answer to the question for the commit that it claims of this device.
    /// Comes back as a place to go on behind when this device's key signed it.
    ///
    /// # Errors
    /// [`Halt::Alarm`]: it is another commit, or was not shown in ten minutes. Nothing of it is used.
    pub(crate) fn own_past(
        &mut self,
        ctx: &Context<'_>,
        from: DeviceId,
        claim: &HeadItem,
        answer: &CommitsResponse,
    ) -> Result<Option<ChainHead>, Halt> {
        let source = Source::Device(from);
        let head = ChainHead { incarnation: claim.incarnation, seq: claim.seq, hash: claim.hash };
        let lane = self.lanes.entry(source).or_default();
        lane.is_reading = false;
        let proof = answer.commits.first().map(Vec::as_slice);
        let Some(proof) = proof else {
            // It may have followed the commit and not yet written it down: it is asked again.
            let denied = lane.own_denied.get_or_insert(Denied { since_ms: ctx.now_ms, times: 0 });
            denied.times += 1;
            if denied.times >= 2 && ctx.now_ms.saturating_sub(denied.since_ms) >= HIDING_MS {
                return Err(self.unproven(ctx, source, &head, &[]));
            }
            lane.wants_heads = true;
            lane.paused_until = ctx.now_ms + SOURCE_PAUSE_MS;
            return Ok(None);
        };
        lane.own_denied = None;
        let own = ctx.account.devices().get(&ctx.device);
        let is_signed =
            own.is_some_and(|own| proves(proof, &head, (&ctx.vault, &ctx.device), &own.cert.sign_pk));
        if is_signed { Ok(Some(head)) } else { Err(self.unproven(ctx, source, &head, proof)) }
    }

    fn unproven(&mut self, ctx: &Context<'_>, source: Source, claim: &ChainHead, proof: &[u8]) -> Halt {
        let evidence = claim_evidence(claim, proof);
        let stop = Stop::Halt(Halt::Alarm { alarm: Alarm::Unproven, commit: Vec::new() });
        self.halt(source, stop, &evidence, ctx.now_ms)
    }
}

/// Whether somebody knows more, or something else, of this device's chain than itself.
pub(super) fn is_more(ctx: &Context<'_>, own: &HeadItem) -> bool {
    let is_ahead = ctx.own_head.is_none_or(|ours| (own.incarnation, own.seq) > (ours.incarnation, ours.seq));
    is_ahead || contradicts(ctx, own)
}
