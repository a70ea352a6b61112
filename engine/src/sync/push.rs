//! Own changes become commits: sealed, signed, written down, sent, numbered.
//!
//! A commit is durable here before its first byte leaves. What the server knows of this device's
//! chain is asked first on every contact: if that is more than this device knows itself, its state
//! was copied or set back, and it goes on as a new incarnation instead of forking its own chain.

use super::compose::{Composed, Frame, compose, next_place};
use super::limits::{
    BATCH_BYTES, BATCH_ENTRIES, CHECKPOINT_COMMITS, CHECKPOINT_SECONDS, CHUNKS_FIRST, PUSH_BYTES,
};
use super::placed::Awaiting;
use super::state::SyncState;
use super::{Parts, SyncError, blocking};
use crate::cut::refs::manifest_refs;
use crate::{MetaKey, OutboxEntry, SignedCommit};
use freehold_api::bulk::{PushCommit, PushRequest};
use freehold_api::limits::PUSH_COMMITS_MAX;
use freehold_api::{ChainHead as WireHead, ErrorCode, PushOutcome};
use freehold_model::codec::{Reader, Writer, from_slice, to_vec};
use freehold_model::{ChunkId, CommitHash, RecordId, VersionHash};
use freehold_trust::commit::{ChainHead, Commit, CommitPlace};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The problem raised while the server refuses this device's commits.
pub(crate) const COMMIT_REFUSED: &str = "commit_refused";

/// A commit that is durable here.
struct Written {
    /// The new chunks it names.
    chunks: Vec<ChunkId>,
    /// Whether more may be ready.
    is_full: bool,
}

impl Parts {
    /// Asks what the server knows of this device's chain, and starts a new life where it is more
    /// than, or other than, what this device knows.
    ///
    /// # Errors
    /// `Server`, `Local`.
    pub(crate) async fn meet(self: &Arc<Self>) -> Result<(), SyncError> {
        let (vault, device) = (self.vault, self.device);
        let known = self.server.ask(|client| async move { client.chain(&vault, &device).await }).await?;
        let theirs = known.head.map(from_wire);
        let ours = self.chain_head();
        let on_our_chain = match (&theirs, &ours) {
            (None, None) => true,
            (Some(theirs), _) if self.is_ours(theirs) => true,
            // Nothing there: fine when everything of ours is still in the outbox.
            (None, Some(ours)) => self.volume.outbox().first().is_some_and(is_first) || ours.seq == 0,
            _ => false,
        };
        if on_our_chain {
            return Ok(());
        }
        let lives = [theirs.map(|head| head.incarnation), ours.map(|head| head.incarnation)];
        let next = lives.into_iter().flatten().max().map_or(0, |newest| newest.saturating_add(1));
        tracing::warn!(
            incarnation = next,
            "the server knows another past of this device; it goes on as a new incarnation"
        );
        let parts = Arc::clone(self);
        blocking(move || {
            let meta = vec![(MetaKey::CHAIN, theirs.map(|head| encode_head(&head)).unwrap_or_default())];
            Ok(parts.volume.begin_incarnation(next, meta)?)
        })
        .await
    }

    /// Whether a commit of this device's chain is the newest here or one on its way, or the one
    /// right before those.
    fn is_ours(&self, theirs: &ChainHead) -> bool {
        if self.chain_head().is_some_and(|ours| ours == *theirs) {
            return true;
        }
        let outbox = self.volume.outbox();
        let commits = outbox.iter().filter_map(|entry| Commit::from_bytes(&entry.commit).ok());
        commits.into_iter().any(|commit| commit.hash() == theirs.hash || commit.header().prev == theirs.hash)
    }

    pub(crate) fn chain_head(&self) -> Option<ChainHead> {
        self.volume.meta(MetaKey::CHAIN).and_then(|value| decode_head(&value))
    }

    /// Commits and sends everything that may travel.
    ///
    /// # Errors
    /// [`SyncError`]; what was written down is sent by a later call.
    pub(crate) async fn push(
        self: &Arc<Self>,
        state: &mut SyncState,
        awaiting: &mut Awaiting,
    ) -> Result<(), SyncError> {
        self.send(awaiting).await?;
        loop {
            let (parts, mut next) = (Arc::clone(self), state.clone());
            let written = blocking(move || Ok((parts.write_commit(&mut next)?, next))).await?;
            let (Some(Written { chunks, is_full }), next) = written else { return Ok(()) };
            *state = next;
            self.uploads.settle(&chunks, CHUNKS_FIRST).await;
            self.send(awaiting).await?;
            // What is left is the beginning of the next commit; its time comes.
            if !is_full {
                return Ok(());
            }
        }
    }

    /// Writes one commit of what is ready; `None` when nothing is.
    fn write_commit(&self, state: &mut SyncState) -> Result<Option<Written>, SyncError> {
        let Some(batch) = self.volume.take_batch(BATCH_ENTRIES, BATCH_BYTES) else { return Ok(None) };
        let head = self.chain_head();
        let (author, _) = self.volume.author();
        let place = CommitPlace {
            vault: self.vault,
            device: self.device,
            incarnation: 0,
            seq: 0,
            prev: CommitHash::default(),
            log_head: self.members.log_head(),
            member_epoch: 0,
            generation: self.keyring.current_generation(),
        };
        let now_ms = u64::try_from(self.volume.now().secs).unwrap_or_default().saturating_mul(1_000);
        let is_checkpoint = state.since_checkpoint + 1 >= CHECKPOINT_COMMITS
            || now_ms / 1_000 >= state.checkpoint_time.saturating_add(CHECKPOINT_SECONDS);
        let frame = Frame {
            keyring: &self.keyring,
            sign_key: &self.sign_key,
            place: next_place(head.as_ref(), author.incarnation, place),
            now_ms,
            seen: state.chains.seen(&self.device),
            heads: is_checkpoint.then(|| self.all_heads()),
            refs: &|content| {
                if self.uploads.holds(&content.root) {
                    manifest_refs(&self.cache, content)
                } else {
                    Vec::new()
                }
            },
        };
        let Composed { commit, push, versions } = match compose(frame, &batch) {
            Ok(composed) => composed,
            Err(error) => {
                self.volume.return_batch(&batch);
                tracing::error!(%error, "a commit could not be made");
                return Err(SyncError::Internal("a commit over its limits"));
            }
        };
        (state.since_checkpoint, state.checkpoint_time) = if is_checkpoint {
            (0, now_ms / 1_000)
        } else {
            (state.since_checkpoint + 1, state.checkpoint_time)
        };
        let chunks =
            push.manifests.iter().flat_map(|list| list.ids.iter().copied().chain([list.node])).collect();
        let meta = vec![(MetaKey::CHAIN, encode_head(&ChainHead::of(commit.header()))), state.meta()];
        let signed =
            SignedCommit { hash: commit.hash(), commit: commit.to_bytes(), payload: to_vec(&push), versions };
        self.volume.commit_written(&batch, signed, meta)?;
        let bytes: usize = push.versions.iter().map(|version| version.ciphertext.len()).sum();
        Ok(Some(Written {
            chunks,
            is_full: batch.records.len() >= BATCH_ENTRIES || bytes >= BATCH_BYTES / 2,
        }))
    }

    fn all_heads(&self) -> BTreeMap<RecordId, Vec<VersionHash>> {
        let heads: Vec<_> =
            self.volume.lock().all_heads().map(|(file, heads)| (file, heads.to_vec())).collect();
        heads.into_iter().map(|(file, heads)| (self.keyring.record_id(&file), heads)).collect()
    }

    /// Sends what is on its way, in order.
    async fn send(self: &Arc<Self>, awaiting: &mut Awaiting) -> Result<(), SyncError> {
        loop {
            let parts = Arc::clone(self);
            let outbox = blocking(move || {
                let outbox = parts.volume.outbox();
                // A commit whose flush failed is written again by the next; none leaves before.
                if !outbox.is_empty() {
                    parts.volume.fsync(None)?;
                }
                Ok(outbox)
            })
            .await?;
            let entries = take_prefix(outbox);
            if entries.is_empty() {
                self.problems.clear(COMMIT_REFUSED);
                return Ok(());
            }
            self.send_some(&entries, awaiting).await?;
        }
    }

    async fn send_some(&self, entries: &[OutboxEntry], awaiting: &mut Awaiting) -> Result<(), SyncError> {
        let mut commits = Vec::with_capacity(entries.len());
        for entry in entries {
            let push: PushCommit = from_slice(&entry.payload)
                .map_err(|_| SyncError::Internal("an outbox entry that cannot be read"))?;
            commits.push(PushCommit { commit: entry.commit.clone(), ..push });
        }
        let (vault, request) = (self.vault, &PushRequest { commits });
        let answer = self.server.ask(|client| async move { client.push(&vault, request).await }).await?;
        for ((entry, sent), outcome) in entries.iter().zip(&request.commits).zip(answer.results) {
            match outcome {
                PushOutcome::Numbered { .. } => {
                    self.volume.commit_numbered(entry.hash);
                    awaiting.numbered(sent);
                }
                PushOutcome::Refused { code, .. } => {
                    self.settle_placed(awaiting);
                    return Err(self.refused(code));
                }
            }
        }
        self.settle_placed(awaiting);
        Ok(())
    }

    fn refused(&self, code: ErrorCode) -> SyncError {
        let hint = match code {
            ErrorCode::UnknownDevice | ErrorCode::BeyondRevocation => {
                "this device was removed from the account; sign out and in again"
            }
            _ => "nothing is lost; see the log of the server",
        };
        // A gap, a fork and an unknown log entry mend themselves at the next contact.
        if !matches!(code, ErrorCode::ChainGap | ErrorCode::CommitFork | ErrorCode::UnknownLogHead) {
            self.problems.raise(
                COMMIT_REFUSED,
                format!("the server refuses this device's changes: {}", code.title()),
                hint,
            );
        }
        SyncError::Refused(code)
    }
}

/// The first commits of the outbox that fit one request.
fn take_prefix(outbox: Vec<OutboxEntry>) -> Vec<OutboxEntry> {
    let mut total = 0;
    let fits = |entry: &OutboxEntry| {
        let is_first = total == 0;
        total += entry.commit.len() + entry.payload.len();
        is_first || total <= PUSH_BYTES
    };
    outbox.into_iter().take(PUSH_COMMITS_MAX).take_while(fits).collect()
}

/// Whether a commit on its way is the first of all of its device.
fn is_first(entry: &OutboxEntry) -> bool {
    Commit::from_bytes(&entry.commit).is_ok_and(|commit| commit.header().prev == CommitHash::default())
}

const fn from_wire(head: WireHead) -> ChainHead {
    ChainHead { incarnation: head.incarnation, seq: head.seq, hash: head.hash }
}

fn encode_head(head: &ChainHead) -> Vec<u8> {
    let mut out = Writer::with_capacity(44);
    out.u32(head.incarnation).u64(head.seq).put(&head.hash);
    out.into_vec()
}

fn decode_head(bytes: &[u8]) -> Option<ChainHead> {
    let mut input = Reader::new(bytes);
    let head = ChainHead { incarnation: input.u32().ok()?, seq: input.u64().ok()?, hash: input.get().ok()? };
    input.finish().ok()?;
    Some(head)
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
