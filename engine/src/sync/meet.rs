//! Comparing this device's past with what others know of it.
//!
//! Whoever knows more of this device's chain than the device itself has met a copy of it, or the
//! device was set back to an older state. Then it goes on as a new incarnation behind what the other
//! knows, instead of signing a second history. It does so only behind a commit that it was shown with
//! its own signature: a commit that cites one which never was would be refused by everybody else. A
//! server that knows less has lost commits, and gets them again.

use super::local::Local;
use super::{Parts, SyncError, blocking};
use crate::history::ChainPlace;
use crate::{MetaKey, OutboxEntry};
use freehold_api::{Blob, ChainHead as WireHead};
use freehold_model::codec::{Reader, Writer};
use freehold_model::{CommitHash, DeviceId, VaultId};
use freehold_trust::PublicKey;
use freehold_trust::commit::{ChainHead, Commit, SignedHead};
use std::sync::Arc;

/// What somebody's word about this device's chain comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// This device knows of it itself.
    Known,
    /// This device's key signed it, in a life that this device does not remember.
    Other(ChainHead),
    /// Nobody has shown that this device's key signed it; the word, and what came with it.
    Unproven(Vec<u8>),
}

/// Whether the start of a commit shows that a device's key signed the commit that somebody claims.
pub(crate) fn proves(
    proof: &[u8],
    claim: &ChainHead,
    (vault, device): (&VaultId, &DeviceId),
    key: &PublicKey,
) -> bool {
    SignedHead::from_start(proof).is_ok_and(|signed| {
        let header = signed.header();
        (&header.vault, &header.device) == (vault, device)
            && signed.head() == *claim
            && signed.verify(key).is_ok()
    })
}

/// A claim about a device's own chain, as it is kept for evidence: the head claimed, then the proof.
pub(crate) fn claim_evidence(claim: &ChainHead, proof: &[u8]) -> Vec<u8> {
    [&encode_head(claim)[..], proof].concat()
}

impl Parts {
    /// Brings the account up to date and asks what the server knows of this device's chain.
    ///
    /// # Errors
    /// `Server`, `Members`; `Refused` when this device was removed.
    pub(crate) async fn meet_server(self: &Arc<Self>) -> Result<Past, SyncError> {
        let settled = self.settle_account().await;
        self.members_changed();
        settled?;
        let (vault, device) = (self.vault, self.device);
        let known = self.server.ask(|client| async move { client.chain(&vault, &device).await }).await?;
        let local = Arc::clone(&self.local);
        blocking(move || {
            let proof = known.signed.unwrap_or_default();
            local.server_knows(known.head.map(from_wire).as_ref(), &proof)
        })
        .await
    }

    /// Goes on as a new incarnation behind what somebody else knows.
    pub(crate) async fn be_reborn(&self, theirs: ChainHead) -> Result<(), SyncError> {
        let local = Arc::clone(&self.local);
        blocking(move || local.be_reborn(theirs)).await
    }
}

impl Local {
    /// Whether somebody's word about this device's chain is nothing this device signed itself.
    pub(crate) fn is_foreign_past(&self, theirs: &ChainHead) -> bool {
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

    /// The server says it knows this much of this device's chain. What it had numbered beyond that it
    /// has lost, as when it was set back to an older copy; it gets it again. Blocks.
    pub(crate) fn server_knows(&self, claim: Option<&ChainHead>, proof: &Blob) -> Result<Past, SyncError> {
        let past = claim.map_or(Past::Known, |claim| self.judge_past(claim, proof.as_slice()));
        if past == Past::Known {
            let (incarnation, seq) = claim.map_or((0, 0), |head| (head.incarnation, head.seq));
            self.history.lost_after(&self.device, incarnation, seq)?;
        }
        Ok(past)
    }

    fn judge_past(&self, claim: &ChainHead, proof: &[u8]) -> Past {
        if !self.is_foreign_past(claim) {
            return Past::Known;
        }
        if proves(proof, claim, (&self.vault, &self.device), &self.sign_key.public()) {
            Past::Other(*claim)
        } else {
            Past::Unproven(claim_evidence(claim, proof))
        }
    }

    fn is_on_its_way(&self, theirs: &ChainHead) -> bool {
        let outbox: Vec<OutboxEntry> = self.volume.outbox();
        let commits = outbox.iter().filter_map(|entry| Commit::from_bytes(&entry.commit).ok());
        commits.into_iter().any(|commit| commit.hash() == theirs.hash || commit.header().prev == theirs.hash)
    }

    /// As [`Parts::be_reborn`]. Blocks.
    pub(crate) fn be_reborn(&self, theirs: ChainHead) -> Result<(), SyncError> {
        let lives = [Some(theirs.incarnation), self.chain_head().map(|head| head.incarnation)];
        let (author, _) = self.volume.author();
        let newest = lives.into_iter().flatten().max().unwrap_or_default().max(author.incarnation);
        let next = newest.checked_add(1).ok_or(SyncError::Internal("a life after the last one"))?;
        tracing::warn!(
            incarnation = next,
            "somebody knows another past of this device; it goes on as a new incarnation"
        );
        self.history.forget_unnumbered(&self.device)?;
        Ok(self.volume.begin_incarnation(next, vec![(MetaKey::CHAIN, encode_head(&theirs))])?)
    }

    /// The newest commit of this device, or the one it goes on behind.
    pub(crate) fn chain_head(&self) -> Option<ChainHead> {
        self.volume.meta(MetaKey::CHAIN).and_then(|value| decode_head(&value))
    }
}

const fn from_wire(head: WireHead) -> ChainHead {
    ChainHead { incarnation: head.incarnation, seq: head.seq, hash: head.hash }
}

pub(crate) fn encode_head(head: &ChainHead) -> Vec<u8> {
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
