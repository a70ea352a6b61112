//! Own changes become a commit: sealed, signed, and durable here before its first byte leaves.

use super::SyncError;
use super::checkpoint::Heads;
use super::compose::{Composed, Frame, compose, next_place};
use super::limits::{BATCH_BYTES, BATCH_ENTRIES, CHECKPOINT_SECONDS};
use super::local::Local;
use super::meet::encode_head;
use super::state::SyncState;
use crate::history::{ChainPlace, Keep, KeptCommit, ManifestList};
use crate::{MetaKey, SignedCommit};
use freehold_api::bulk::{ManifestRefs, PushCommit};
use freehold_model::codec::{from_slice, to_vec};
use freehold_model::{ChunkId, CommitHash, LogHash};
use freehold_trust::account_log::AccountState;
use freehold_trust::commit::{ChainHead, Commit, CommitPlace};
use freehold_vault::Chunked;
use std::sync::Arc;

/// A commit that is durable here.
#[derive(Debug)]
pub(crate) struct Written {
    /// With everything that travels with it.
    pub(crate) push: PushCommit,
    /// The new chunks it names.
    pub(crate) chunks: Vec<ChunkId>,
    /// Whether more may be ready.
    pub(crate) is_full: bool,
    /// Whether a root over all heads was due and looked for: it is carried, unless the commits it would
    /// have to cover are not all kept or the tables are not what they come to.
    pub(crate) is_checkpoint: bool,
    /// When, seconds since 1970.
    pub(crate) now_s: u64,
}

/// The reference lists of a content that the server does not have yet.
pub(crate) type RefsOf<'a> = &'a dyn Fn(&Chunked) -> Vec<ManifestRefs>;

/// What a commit says of others, as it was when it was begun.
pub(crate) struct Frozen {
    pub(crate) state: SyncState,
    pub(crate) account: Arc<AccountState>,
    /// The newest entry of the account log.
    pub(crate) log_head: LogHash,
    /// Whether the state may be stored: it speaks of nothing that is under way.
    pub(crate) is_storable: bool,
    /// Whether the tables hold everything that was followed. Until then no root over all heads is due.
    pub(crate) is_whole: bool,
}

impl Local {
    /// Writes one commit of what is ready; `None` when nothing is. Blocks.
    ///
    /// # Errors
    /// `Local`, `History`: what was taken is due again.
    pub(crate) fn write_commit(
        &self,
        frozen: Frozen,
        refs: RefsOf<'_>,
    ) -> Result<Option<Written>, SyncError> {
        let Some(batch) = self.volume.take_batch(BATCH_ENTRIES, BATCH_BYTES) else { return Ok(None) };
        let Frozen { mut state, account, log_head, is_storable, is_whole } = frozen;
        let now_ms = u64::try_from(self.volume.now().secs).unwrap_or_default().saturating_mul(1_000);
        let now_s = now_ms / 1_000;
        let is_due = state.since_checkpoint + 1 >= self.checkpoint_commits
            || now_s >= state.checkpoint_time.saturating_add(CHECKPOINT_SECONDS);
        let is_checkpoint = is_due && is_whole;
        let heads = is_checkpoint.then(|| self.checkpoint_heads(&state, &account, &log_head));
        let heads = match heads.transpose() {
            Ok(heads) => heads.flatten(),
            Err(error) => {
                self.volume.return_batch(&batch);
                return Err(error);
            }
        };
        let Composed { commit, mut push, versions } =
            match compose(self.frame(&state, log_head, now_ms, heads, refs), &batch) {
                Ok(composed) => composed,
                Err(error) => {
                    self.volume.return_batch(&batch);
                    tracing::error!(%error, "a commit could not be made");
                    return Err(SyncError::Internal("a commit over its limits"));
                }
            };
        (state.since_checkpoint, state.checkpoint_time) =
            if is_checkpoint { (0, now_s) } else { (state.since_checkpoint + 1, state.checkpoint_time) };
        let mut meta = vec![(MetaKey::CHAIN, encode_head(&ChainHead::of(commit.header())))];
        if is_storable {
            meta.push(state.meta());
        }
        let signed =
            SignedCommit { hash: commit.hash(), commit: commit.to_bytes(), payload: to_vec(&push), versions };
        self.volume.commit_written(&batch, signed, meta)?;
        push.commit = commit.to_bytes();
        let header = commit.header();
        let place = ChainPlace { device: header.device, incarnation: header.incarnation, seq: header.seq };
        self.keep_own(place, commit.hash(), &push)?;
        let bytes: usize = push.versions.iter().map(|version| version.ciphertext.len()).sum();
        tracing::debug!(seq = header.seq, records = batch.records.len(), "a commit is written");
        let chunks =
            push.manifests.iter().flat_map(|list| list.ids.iter().copied().chain([list.node])).collect();
        let is_full = batch.records.len() >= BATCH_ENTRIES || bytes >= BATCH_BYTES / 2;
        Ok(Some(Written { push, chunks, is_full, is_checkpoint, now_s }))
    }

    /// Commits that were written down and perhaps not kept before the last stop. Blocks.
    pub(crate) fn keep_what_is_on_its_way(&self) {
        for entry in self.volume.outbox() {
            let (Ok(commit), Ok(push)) =
                (Commit::from_bytes(&entry.commit), from_slice::<PushCommit>(&entry.payload))
            else {
                continue;
            };
            let header = commit.header();
            let place =
                ChainPlace { device: header.device, incarnation: header.incarnation, seq: header.seq };
            let push = PushCommit { commit: entry.commit, ..push };
            if let Err(error) = self.keep_own(place, commit.hash(), &push) {
                tracing::warn!(%error, "a commit on its way could not be kept for other devices");
            }
        }
    }

    /// Keeps an own commit for other devices and for a server that loses it.
    pub(crate) fn keep_own(
        &self,
        place: ChainPlace,
        hash: CommitHash,
        push: &PushCommit,
    ) -> Result<(), SyncError> {
        let commit = KeptCommit { place, hash, bytes: push.commit.clone(), numbered: false };
        let keep = Keep { commits: vec![commit], versions: push.versions.clone(), ..Keep::default() };
        let lists: Vec<ManifestList> =
            push.manifests.iter().map(|list| (list.node, list.ids.clone())).collect();
        Ok(self.history.keep(&keep, &lists)?)
    }

    fn frame<'a>(
        &'a self,
        state: &SyncState,
        log_head: LogHash,
        now_ms: u64,
        heads: Option<Heads>,
        refs: RefsOf<'a>,
    ) -> Frame<'a> {
        let (author, _) = self.volume.author();
        let place = CommitPlace {
            vault: self.vault,
            device: self.device,
            incarnation: 0,
            seq: 0,
            prev: CommitHash::default(),
            log_head,
            member_epoch: 0,
            generation: self.keyring.current_generation(),
        };
        Frame {
            keyring: &self.keyring,
            sign_key: &self.sign_key,
            place: next_place(self.chain_head().as_ref(), author.incarnation, place),
            now_ms,
            seen: state.chains.seen(&self.device),
            heads,
            refs,
        }
    }
}
