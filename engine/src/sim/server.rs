//! The coordination server by its rules alone: numbers what is signed and chained, keeps what it got.
//!
//! The rules are the server's own (the chain rule and the account's judgement from `freehold-trust`);
//! its database is a few maps. It can be copied and set back.

use freehold_api::bulk::{CommitPage, NumberedCommit, PushCommit, PushVersion, VersionItem, VersionState};
use freehold_api::{Blob, ErrorCode, PushOutcome};
use freehold_model::{ChunkId, DeviceId, VersionHash};
use freehold_trust::account_log::{AccountState, JudgeError, Verdict};
use freehold_trust::commit::{ChainError, ChainHead, Commit, SignedHead};
use std::collections::{BTreeMap, BTreeSet};

/// What the server keeps.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) incarnation: u64,
    /// Commits by number, from 1.
    pub(super) commits: Vec<Vec<u8>>,
    pub(super) versions: BTreeMap<VersionHash, Vec<u8>>,
    chains: BTreeMap<DeviceId, Vec<(ChainHead, u64)>>,
    /// What it says of chains instead of the truth.
    pub(super) lies: BTreeMap<DeviceId, (ChainHead, Blob)>,
    /// Versions of which chunks are not on a node yet, and which.
    waiting: BTreeMap<VersionHash, BTreeSet<ChunkId>>,
    /// Chunks that a node gave a receipt for.
    placed: BTreeSet<ChunkId>,
}

impl Server {
    pub(super) const fn new() -> Self {
        Self {
            incarnation: 7,
            commits: Vec::new(),
            versions: BTreeMap::new(),
            chains: BTreeMap::new(),
            lies: BTreeMap::new(),
            waiting: BTreeMap::new(),
            placed: BTreeSet::new(),
        }
    }

    /// Takes one commit with what travels with it.
    pub(super) fn push(&mut self, push: &PushCommit, account: &AccountState) -> PushOutcome {
        let refused = |code| PushOutcome::Refused { code, head: None };
        let Ok(commit) = Commit::from_bytes(&push.commit) else { return refused(ErrorCode::CommitInvalid) };
        match account.judge(&commit) {
            Ok(Verdict::Accept) => {}
            Ok(Verdict::Quarantine) => return refused(ErrorCode::BeyondRevocation),
            Err(JudgeError::UnknownLogHead) => return refused(ErrorCode::UnknownLogHead),
            Err(_) => return refused(ErrorCode::UnknownDevice),
        }
        let header = commit.header();
        let chain = self.chains.entry(header.device).or_default();
        let at = |entry: &&(ChainHead, u64)| {
            (entry.0.incarnation, entry.0.seq) == (header.incarnation, header.seq)
        };
        if let Some((known, vault_seq)) = chain.iter().find(at) {
            return if known.hash == commit.hash() {
                PushOutcome::Numbered { vault_seq: *vault_seq }
            } else {
                refused(ErrorCode::CommitFork)
            };
        }
        match ChainHead::follow(chain.last().map(|(head, _)| head), header) {
            Ok(head) => {
                let vault_seq = self.commits.len() as u64 + 1;
                chain.push((head, vault_seq));
                self.commits.push(push.commit.clone());
                self.versions.extend(push.versions.iter().map(|v| (v.hash, v.ciphertext.clone())));
                self.await_chunks(push);
                PushOutcome::Numbered { vault_seq }
            }
            Err(ChainError::Gap { .. }) => refused(ErrorCode::ChainGap),
            Err(_) => refused(ErrorCode::CommitFork),
        }
    }

    /// Notes what the versions of a commit wait for.
    fn await_chunks(&mut self, push: &PushCommit) {
        for version in &push.versions {
            let mut chunks = reachable(push, version);
            chunks.retain(|chunk| !self.placed.contains(chunk));
            if !chunks.is_empty() {
                self.waiting.insert(version.hash, chunks);
            }
        }
    }

    /// Books the receipts of a node.
    pub(super) fn book(&mut self, chunks: &[ChunkId]) {
        self.placed.extend(chunks);
        self.waiting.retain(|_, missing| {
            missing.retain(|chunk| !self.placed.contains(chunk));
            !missing.is_empty()
        });
    }

    /// Whether every chunk of a version is on a node.
    pub(super) fn is_placed(&self, version: &VersionHash) -> bool {
        self.versions.contains_key(version) && !self.waiting.contains_key(version)
    }

    /// One page of commits.
    pub(super) fn page(&self, after: u64, limit: usize) -> CommitPage {
        let from = usize::try_from(after).unwrap_or(usize::MAX).min(self.commits.len());
        let items: Vec<NumberedCommit> = (after + 1..)
            .zip(self.commits.iter().skip(from))
            .take(limit)
            .map(|(vault_seq, commit)| NumberedCommit { vault_seq, commit: commit.clone() })
            .collect();
        let next = items.last().map_or(after, |item| item.vault_seq);
        CommitPage { server_incarnation: self.incarnation, next, head: self.commits.len() as u64, items }
    }

    /// Versions by hash.
    pub(super) fn versions(&self, hashes: &[VersionHash]) -> Vec<VersionItem> {
        hashes
            .iter()
            .map(|hash| match self.versions.get(hash) {
                Some(bytes) => {
                    let is_placed = self.is_placed(hash);
                    let state = if is_placed { VersionState::Placed } else { VersionState::Unplaced };
                    VersionItem { hash: *hash, state, ciphertext: bytes.clone() }
                }
                None => VersionItem { hash: *hash, state: VersionState::Unknown, ciphertext: Vec::new() },
            })
            .collect()
    }

    /// The newest commit of a device, with what proves it.
    pub(super) fn chain(&self, device: &DeviceId) -> Option<(ChainHead, Blob)> {
        if let Some(lie) = self.lies.get(device) {
            return Some(lie.clone());
        }
        let (head, number) = self.chains.get(device)?.last().copied()?;
        let at = usize::try_from(number - 1).expect("small");
        Some((head, Blob::from(&self.commits[at][..SignedHead::LEN_BYTES])))
    }
}

/// Every chunk a version needs, by the lists that came with it.
pub(super) fn reachable(push: &PushCommit, version: &PushVersion) -> BTreeSet<ChunkId> {
    let mut chunks: BTreeSet<ChunkId> = version.refs.iter().copied().collect();
    let mut open = version.refs.clone();
    while let Some(node) = open.pop() {
        let list = push.manifests.iter().find(|list| list.node == node);
        open.extend(list.iter().flat_map(|list| &list.ids).filter(|id| chunks.insert(**id)));
    }
    chunks
}
