//! What devices left at the storage nodes: signed heads of chains, newer perhaps than anything shown.

use super::commits::contradicts;
use super::own::is_more;
use super::{Context, Halt, Intake};
use crate::sync::chains::Alarm;
use crate::sync::limits::MISSING_MS;
use freehold_api::device_peer::HeadItem;
use freehold_model::DeviceId;
use freehold_trust::commit::{ChainHead, SignedHead};

impl Intake {
    /// Takes in heads that count (see [`crate::sync::witness::verified`]). What they show beyond the
    /// chains followed here is held against the server like a commit that a device cites. A head of this
    /// device that it does not know comes back: then its state was copied or set back.
    ///
    /// # Errors
    /// [`Halt::Alarm`]: one contradicts a commit followed before; the others were taken in.
    pub(crate) fn witnessed(
        &mut self,
        ctx: &Context<'_>,
        heads: &[SignedHead],
    ) -> Result<Option<ChainHead>, Halt> {
        let (mut own, mut fork): (Option<ChainHead>, Option<Halt>) = (None, None);
        for signed in heads {
            let (device, head) = (signed.header().device, signed.head());
            let item = HeadItem { device, incarnation: head.incarnation, seq: head.seq, hash: head.hash };
            if device == ctx.device {
                let is_newest =
                    own.is_none_or(|own| (own.incarnation, own.seq) < (head.incarnation, head.seq));
                if is_newest && is_more(ctx, &item) {
                    own = Some(head);
                }
            } else if contradicts(ctx, &item) {
                fork = Some(Halt::Alarm { alarm: Alarm::Fork, commit: signed.to_bytes() });
            } else {
                self.claim_of_witness(item, signed);
            }
        }
        fork.map_or(Ok(own), Err)
    }

    fn claim_of_witness(&mut self, claim: HeadItem, signed: &SignedHead) {
        let place = (claim.incarnation, claim.seq);
        let ours = self.state.chains.of(&claim.device).map(|chain| (chain.head.incarnation, chain.head.seq));
        if ours.is_some_and(|ours| ours >= place) {
            return;
        }
        self.witnessed.insert(claim.device);
        let before = self.claims.get(&claim.device).map(|(claim, _)| (claim.incarnation, claim.seq));
        if before.is_none_or(|before| before < place) {
            self.claims.insert(claim.device, (claim, signed.to_bytes()));
            self.server_may_have_more(false);
        }
    }

    /// Devices of which a storage node has seen more than the server has shown, asked twice and again
    /// after a while.
    pub(crate) fn missing(&self, now_ms: u64) -> Vec<DeviceId> {
        let is_missing = |device: &&DeviceId| {
            let claim = self.claims.get(device).map(|(claim, _)| (**device, claim.incarnation, claim.seq));
            claim.and_then(|place| self.denied.get(&place)).is_some_and(|denied| {
                denied.times >= 2 && now_ms.saturating_sub(denied.since_ms) >= MISSING_MS
            })
        };
        self.witnessed.iter().filter(is_missing).copied().collect()
    }
}
