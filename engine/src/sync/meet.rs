//! Comparing this device's past with what others know of it.
//!
//! Whoever knows more of this device's chain than the device itself has met a copy of it, or the
//! device was set back to an older state. Then it goes on as a new incarnation behind what the other
//! knows, instead of signing a second history. A server that knows less has lost commits, and gets
//! them again.

use super::{Parts, SyncError, blocking};
use crate::history::ChainPlace;
use crate::{MetaKey, OutboxEntry};
use freehold_api::ChainHead as WireHead;
use freehold_model::CommitHash;
use freehold_model::codec::{Reader, Writer};
use freehold_trust::commit::{ChainHead, Commit};
use std::sync::Arc;

impl Parts {
    /// Brings the account up to date and asks what the server knows of this device's chain.
    ///
    /// # Errors
    /// `Server`, `Members`; `Refused` when this device was removed.
    pub(super) async fn meet_server(self: &Arc<Self>) -> Result<Option<ChainHead>, SyncError> {
        let settled = self.settle_account().await;
        self.members_changed();
        settled?;
        let (vault, device) = (self.vault, self.device);
        let known = self.server.ask(|client| async move { client.chain(&vault, &device).await }).await?;
        Ok(known.head.map(from_wire))
    }

    /// Whether somebody's word about this device's chain is nothing this device signed itself.
    pub(super) fn is_foreign_past(&self, theirs: &ChainHead) -> bool {
        let Some(ours) = self.chain_head() else { return true };
        if (theirs.incarnation, theirs.seq) > (ours.incarnation, ours.seq) {
            return true;
        }
        let place = ChainPlace { device: self.device, incarnation: theirs.incarnation, seq: theirs.seq };
        match self.history.hash_at(&place) {
            Ok(Some(hash)) => hash != theirs.hash,
            // Without the kept commits only the head and what is on its way can be compared.
            Ok(None) | Err(_) => ours != *theirs && !self.is_on_its_way(theirs),
        }
    }

    fn is_on_its_way(&self, theirs: &ChainHead) -> bool {
        let outbox: Vec<OutboxEntry> = self.volume.outbox();
        let commits = outbox.iter().filter_map(|entry| Commit::from_bytes(&entry.commit).ok());
        commits.into_iter().any(|commit| commit.hash() == theirs.hash || commit.header().prev == theirs.hash)
    }

    /// Goes on as a new incarnation behind what somebody else knows.
    pub(super) async fn be_reborn(self: &Arc<Self>, theirs: ChainHead) -> Result<(), SyncError> {
        let lives = [Some(theirs.incarnation), self.chain_head().map(|head| head.incarnation)];
        let (author, _) = self.volume.author();
        let newest = lives.into_iter().flatten().max().unwrap_or_default().max(author.incarnation);
        let next = newest.saturating_add(1);
        tracing::warn!(
            incarnation = next,
            "somebody knows another past of this device; it goes on as a new incarnation"
        );
        let parts = Arc::clone(self);
        blocking(move || {
            let meta = vec![(MetaKey::CHAIN, encode_head(&theirs))];
            Ok(parts.volume.begin_incarnation(next, meta)?)
        })
        .await
    }

    /// The newest commit of this device, or the one it goes on behind.
    pub(crate) fn chain_head(&self) -> Option<ChainHead> {
        self.volume.meta(MetaKey::CHAIN).and_then(|value| decode_head(&value))
    }
}

const fn from_wire(head: WireHead) -> ChainHead {
    ChainHead { incarnation: head.incarnation, seq: head.seq, hash: head.hash }
}

pub(super) fn encode_head(head: &ChainHead) -> Vec<u8> {
    let mut out = Writer::with_capacity(44);
    out.u32(head.incarnation).u64(head.seq).put(&head.hash);
    out.into_vec()
}

fn decode_head(bytes: &[u8]) -> Option<ChainHead> {
    let mut input = Reader::new(bytes);
    let (incarnation, seq, hash): (u32, u64, CommitHash) =
        (input.u32().ok()?, input.u64().ok()?, input.get().ok()?);
    input.finish().ok()?;
    Some(ChainHead { incarnation, seq, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_head_comes_back_and_other_bytes_are_none() {
        let head = ChainHead { incarnation: 3, seq: 9, hash: CommitHash::from_bytes([7; 32]) };
        let bytes = encode_head(&head);
        assert_eq!(decode_head(&bytes), Some(head));
        assert_eq!(decode_head(&bytes[1..]), None);
        assert_eq!(decode_head(&[&bytes[..], &[0]].concat()), None);
    }
}
