//! Checkpoints: a signed root over the heads of every record, and holding it to the commits it covers.
//!
//! Which versions are heads follows from commits alone: those that one of them names and none replaces.
//! A device signs the root now and then, when its own tables hold exactly what the commits it has
//! followed come to. Whoever has followed the same commits computes the same root from them, however
//! much more it knows by now; another root means that its author has lost a change, or hides one.
//!
//! What a removed device signed after its cut is in no root of a device that cites a log with that removal.
//!
//! Both sides read the kept commits from the first one on. Where some are no longer kept, or there are
//! more than memory should hold, nothing is signed and nothing is compared.

use super::local::Local;
use super::{Parts, SyncError, blocking};
use crate::history::ChainPlace;
use crate::sync::chains::Chains;
use crate::sync::limits::{ANSWER_COMMIT_BYTES, CHECKPOINT_CHANGES_MAX};
use crate::sync::state::SyncState;
use freehold_api::device_peer::After;
use freehold_api::limits::PAGE_COMMITS_MAX;
use freehold_model::{DeviceId, LogHash, RecordId, RootHash, VersionHash};
use freehold_trust::account_log::AccountState;
use freehold_trust::commit::{ChainHead, Commit};
use freehold_vault::{CommitBody, heads};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The heads of every record.
pub(crate) type Heads = BTreeMap<RecordId, Vec<VersionHash>>;

/// The newest commit of every chain that is covered.
type Coverage = BTreeMap<DeviceId, ChainHead>;

/// A root that a device signed, and the commits that it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Who signed it.
    pub(crate) author: DeviceId,
    /// The device that compares it: its own chain is not followed but written.
    reader: DeviceId,
    /// The account log as its author knew it.
    log_head: LogHash,
    covers: Coverage,
    root: RootHash,
    /// The commit that carries it.
    pub(crate) commit: Vec<u8>,
}

/// How a checkpoint stands to the commits it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// They come to what was signed.
    Same,
    /// They come to something else.
    Differs,
    /// Not every one of them is kept here.
    Unknown,
}

impl Checkpoint {
    /// The checkpoint in a commit that a device reads, if it carries one.
    pub(crate) fn of(commit: &Commit, body: &CommitBody, reader: DeviceId) -> Option<Self> {
        let root = body.heads_root?;
        let author = commit.header().device;
        let mut covers = Coverage::new();
        for seen in &body.seen {
            let head = ChainHead { incarnation: seen.incarnation, seq: seen.seq, hash: seen.hash };
            covers.insert(seen.device, head);
        }
        covers.insert(author, ChainHead::of(commit.header()));
        let log_head = commit.header().log_head;
        Some(Self { author, reader, log_head, covers, root, commit: commit.to_bytes() })
    }

    /// Whether every chain but the reader's own was followed as far as it covers.
    pub(crate) fn is_followed(&self, chains: &Chains) -> bool {
        self.covers.iter().filter(|(device, _)| **device != self.reader).all(|(device, head)| {
            let ours = chains.of(device).map(|chain| (chain.head.incarnation, chain.head.seq));
            ours.is_some_and(|ours| ours >= (head.incarnation, head.seq))
        })
    }
}

impl Parts {
    /// Holds a checkpoint to the commits it covers, beside the runtime.
    pub(crate) async fn compare(&self, checkpoint: Checkpoint) -> (Checkpoint, Result<Compared, SyncError>) {
        let local = Arc::clone(&self.local);
        let (compared, account) = (checkpoint.clone(), self.members.state());
        (checkpoint, blocking(move || local.compare(&compared, &account)).await)
    }
}

impl Local {
    /// Holds a checkpoint to the commits it covers. Blocks.
    ///
    /// # Errors
    /// `History`.
    pub(crate) fn compare(
        &self,
        checkpoint: &Checkpoint,
        account: &AccountState,
    ) -> Result<Compared, SyncError> {
        let Some(judge) = Judge::at(account, &checkpoint.log_head) else { return Ok(Compared::Unknown) };
        let Some(changes) = self.changes(&checkpoint.covers, judge)? else { return Ok(Compared::Unknown) };
        let heads = changes.heads();
        let root = heads::root(heads.iter().map(|(record, versions)| (*record, versions.as_slice())));
        Ok(if root == checkpoint.root { Compared::Same } else { Compared::Differs })
    }

    /// The heads before the next own commit, when a root over them may be signed: the tables hold what
    /// every followed commit comes to, nothing less and nothing else. Blocks.
    ///
    /// # Errors
    /// `History`.
    pub(crate) fn checkpoint_heads(
        &self,
        state: &SyncState,
        account: &AccountState,
        log_head: &LogHash,
    ) -> Result<Option<Heads>, SyncError> {
        let Some(judge) = Judge::at(account, log_head) else { return Ok(None) };
        let others = state.chains.iter().filter(|(device, _)| **device != self.device);
        let mut covers: Coverage = others.map(|(device, chain)| (*device, chain.head)).collect();
        covers.extend(self.chain_head().map(|head| (self.device, head)));
        let Some(changes) = self.changes(&covers, judge)? else { return Ok(None) };
        let expected = changes.heads();
        let mut held = Heads::new();
        for (record, versions) in self.all_heads() {
            // A version that came after the one that replaces it stays beside it until the next write.
            let left: BTreeSet<VersionHash> =
                versions.into_iter().filter(|version| !changes.is_replaced(version)).collect();
            if !left.is_empty() {
                held.insert(record, left.into_iter().collect());
            }
        }
        if held != expected {
            tracing::debug!("no checkpoint: the tables are not what the followed commits come to");
            return Ok(None);
        }
        Ok(Some(expected))
    }

    /// What the commits of these chains change, from the first on; `None` when not all are kept.
    fn changes(&self, covers: &Coverage, judge: Judge<'_>) -> Result<Option<Changes>, SyncError> {
        let mut changes = Changes::default();
        for (device, last) in covers {
            if !self.read_chain(*device, last, judge, &mut changes)? {
                return Ok(None);
            }
        }
        changes.named.sort_unstable();
        changes.named.dedup();
        changes.replaced.sort_unstable();
        Ok(Some(changes))
    }

    /// Reads one chain up to a commit; whether all of it is kept, and few enough.
    fn read_chain(
        &self,
        device: DeviceId,
        last: &ChainHead,
        judge: Judge<'_>,
        changes: &mut Changes,
    ) -> Result<bool, SyncError> {
        let place = ChainPlace { device, incarnation: last.incarnation, seq: last.seq };
        if self.history.hash_at(&place)? != Some(last.hash) {
            return Ok(false);
        }
        let mut head: Option<ChainHead> = None;
        while head.as_ref() != Some(last) {
            let (incarnation, seq) = head.map_or((0, 0), |head| (head.incarnation, head.seq));
            let after = After { device, incarnation, seq };
            let (page, _) = self.history.commits_after(&[after], PAGE_COMMITS_MAX, ANSWER_COMMIT_BYTES)?;
            let before = head;
            for bytes in page {
                let Ok(commit) = Commit::from_bytes(&bytes) else { return Ok(false) };
                let Ok(next) = ChainHead::follow(head.as_ref(), commit.header()) else { return Ok(false) };
                head = Some(next);
                if judge.counts(&commit) {
                    changes.take(&commit);
                }
                if next == *last || changes.named.len() > CHECKPOINT_CHANGES_MAX {
                    break;
                }
            }
            if head == before || changes.named.len() > CHECKPOINT_CHANGES_MAX {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn all_heads(&self) -> Heads {
        let heads: Vec<_> = self.volume.lock().all_heads().collect();
        heads.into_iter().map(|(file, heads)| (self.keyring.record_id(&file), heads)).collect()
    }
}

/// Which commits count for who knew the account log up to an entry.
#[derive(Clone, Copy)]
struct Judge<'a> {
    account: &'a AccountState,
    position: u64,
}

impl<'a> Judge<'a> {
    fn at(account: &'a AccountState, log_head: &LogHash) -> Option<Self> {
        Some(Self { account, position: account.position(log_head)? })
    }

    fn counts(&self, commit: &Commit) -> bool {
        !self.account.was_late_at(self.position, commit.header())
    }
}

/// What a set of commits names and replaces. Sorted once complete.
#[derive(Debug, Default)]
struct Changes {
    named: Vec<(RecordId, VersionHash)>,
    replaced: Vec<VersionHash>,
}

impl Changes {
    fn take(&mut self, commit: &Commit) {
        for entry in commit.entries() {
            self.named.push((entry.record, entry.version));
            self.replaced.extend(&entry.supersedes);
        }
    }

    fn is_replaced(&self, version: &VersionHash) -> bool {
        self.replaced.binary_search(version).is_ok()
    }

    fn heads(&self) -> Heads {
        let mut heads = Heads::new();
        for (record, version) in self.named.iter().filter(|(_, version)| !self.is_replaced(version)) {
            heads.entry(*record).or_default().push(*version);
        }
        heads
    }
}
