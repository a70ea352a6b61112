//! Commits on their way to the server: own ones, and others' that it does not have.
//!
//! Whatever the server has not numbered is sent in the order of its chain; a commit that is there
//! already keeps its number, so repeating costs bytes and nothing else. Commits of other devices go
//! along when an own commit has seen them, because an own commit must never cite what the server
//! cannot have, and otherwise when their author did not bring them itself.

use super::limits::{CHUNKS_FIRST, PUSH_BYTES};
use super::local::Local;
use super::{Parts, SyncError, blocking};
use crate::OutboxEntry;
use crate::history::{ChainPlace, Keep, Unnumbered};
use freehold_api::bulk::{PushCommit, PushRequest};
use freehold_api::limits::PUSH_COMMITS_MAX;
use freehold_api::{ErrorCode, PushOutcome};
use freehold_model::codec::from_slice;
use freehold_model::{ChunkId, CommitHash, DeviceId};
use freehold_trust::commit::Commit;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The problem raised while the server refuses this device's commits.
pub(crate) const COMMIT_REFUSED: &str = "commit_refused";

/// What a round of sending came to.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Own commits that have their number now.
    pub(crate) own: Vec<PushCommit>,
    /// Commits of other devices that have theirs.
    pub(crate) others: Vec<PushCommit>,
    /// Whether the server took something: then there may be more for it.
    pub(crate) has_progress: bool,
}

/// One commit to send.
#[derive(Debug)]
pub(crate) struct Letter {
    place: ChainPlace,
    hash: CommitHash,
    pub(crate) push: PushCommit,
}

impl Parts {
    /// Sends one request full of commits, once their new chunks had a moment to be placed.
    ///
    /// # Errors
    /// `Server`, `Refused`, `Local`, `History`.
    pub(crate) async fn send(&self, chunks: Vec<ChunkId>, with_others: bool) -> Result<Sent, SyncError> {
        self.uploads.settle(&chunks, CHUNKS_FIRST).await;
        let local = Arc::clone(&self.local);
        let letters = blocking(move || local.letters(with_others)).await?;
        if letters.is_empty() {
            self.problems.clear(COMMIT_REFUSED);
            return Ok(Sent::default());
        }
        let commits = letters.iter().map(|letter| letter.push.clone()).collect();
        let (vault, request) = (self.vault, &PushRequest { commits });
        let answer = self.server.ask(|client| async move { client.push(&vault, request).await }).await?;
        let local = Arc::clone(&self.local);
        let (sent, refused) = blocking(move || local.book(letters, answer.results)).await?;
        match refused {
            Some(code) => Err(self.refused(code)),
            None => Ok(sent),
        }
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

impl Local {
    /// What is to be sent. Blocks.
    ///
    /// # Errors
    /// `Local`, `History`.
    pub(crate) fn letters(&self, with_others: bool) -> Result<Vec<Letter>, SyncError> {
        let outbox = self.volume.outbox();
        // A commit whose flush failed is written again by the next; none leaves before.
        if !outbox.is_empty() {
            self.volume.fsync(None)?;
        }
        let own = outbox.iter().map(own_letter).collect::<Result<Vec<_>, _>>()?;
        self.keep_late(&own)?;
        let kept = self.history.unnumbered(PUSH_COMMITS_MAX)?;
        let mut letters = Vec::new();
        if with_others {
            letters.extend(self.of_others(&kept)?);
        }
        letters.extend(own);
        // What the server lost of this device's own chain comes before what is new.
        let on_their_way: BTreeSet<CommitHash> = letters.iter().map(|letter| letter.hash).collect();
        let lost = kept.into_iter().filter(|kept| kept.place.device == self.device);
        for kept in lost {
            let letter = letter(kept)?;
            if !on_their_way.contains(&letter.hash) {
                letters.push(letter);
            }
        }
        letters.sort_by_key(|letter| (letter.place.device == self.device, letter.place));
        Ok(take_prefix(letters))
    }

    /// Keeps own commits that only a later flush made durable. Unkept, they could not be sent once more to a server
    /// that was set back, and everything behind them in the chain would be refused for ever.
    fn keep_late(&self, own: &[Letter]) -> Result<(), SyncError> {
        for letter in own {
            if self.history.hash_at(&letter.place)? != Some(letter.hash) {
                self.keep_own(letter.place, letter.hash, &letter.push)?;
            }
        }
        Ok(())
    }

    /// Commits of other devices that can be sent: each with every version and every reference list,
    /// so that the server can tell when it is placed; in the order of their chains, without gaps.
    fn of_others(&self, kept: &[Unnumbered]) -> Result<Vec<Letter>, SyncError> {
        let mut stopped: BTreeSet<DeviceId> = BTreeSet::new();
        let mut letters = Vec::new();
        for kept in kept.iter().filter(|kept| kept.place.device != self.device) {
            let letter = letter(kept.clone())?;
            if stopped.contains(&kept.place.device) || !is_complete(&letter.push) {
                stopped.insert(kept.place.device);
                continue;
            }
            letters.push(letter);
        }
        Ok(letters)
    }

    /// Books the answers; why an own commit was refused, if one was. Blocks.
    ///
    /// # Errors
    /// `History`.
    pub(crate) fn book(
        &self,
        letters: Vec<Letter>,
        outcomes: Vec<PushOutcome>,
    ) -> Result<(Sent, Option<ErrorCode>), SyncError> {
        let (mut sent, mut keep, mut refused) = (Sent::default(), Keep::default(), None);
        for (letter, outcome) in letters.into_iter().zip(outcomes) {
            let is_own = letter.place.device == self.device;
            match outcome {
                PushOutcome::Numbered { .. } => {
                    keep.numbered.push(letter.place);
                    if is_own {
                        self.volume.commit_numbered(letter.hash);
                        sent.own.push(letter.push);
                    } else {
                        sent.others.push(letter.push);
                    }
                }
                // Whatever stands in the way of another device's commit is not this device's to mend.
                PushOutcome::Refused { code, .. } if !is_own => {
                    tracing::debug!(device = ?letter.place.device, %code, "another device's commit was refused");
                    if !matches!(code, ErrorCode::ChainGap | ErrorCode::UnknownLogHead) {
                        keep.numbered.push(letter.place);
                    }
                }
                PushOutcome::Refused { code, .. } => refused = refused.or(Some(code)),
            }
        }
        sent.has_progress = !keep.numbered.is_empty();
        self.history.keep(&keep, &[])?;
        Ok((sent, refused))
    }
}

fn own_letter(entry: &OutboxEntry) -> Result<Letter, SyncError> {
    let push: PushCommit =
        from_slice(&entry.payload).map_err(|_| SyncError::Internal("an outbox entry that cannot be read"))?;
    let commit = Commit::from_bytes(&entry.commit)
        .map_err(|_| SyncError::Internal("an outbox entry that cannot be read"))?;
    let header = commit.header();
    let place = ChainPlace { device: header.device, incarnation: header.incarnation, seq: header.seq };
    Ok(Letter { place, hash: entry.hash, push: PushCommit { commit: entry.commit.clone(), ..push } })
}

fn letter(kept: Unnumbered) -> Result<Letter, SyncError> {
    let Unnumbered { place, push } = kept;
    let commit = Commit::from_bytes(&push.commit)
        .map_err(|_| SyncError::Internal("a kept commit that cannot be read"))?;
    Ok(Letter { place, hash: commit.hash(), push })
}

/// Whether every version is there, and of each the lists of what it refers to. Lists are kept only
/// when all of a content's are there, so the root's stands for the rest.
fn is_complete(push: &PushCommit) -> bool {
    let Ok(commit) = Commit::from_bytes(&push.commit) else { return false };
    let has_list = |root: &ChunkId| push.manifests.iter().any(|list| list.node == *root);
    commit.entries().iter().all(|entry| {
        push.versions
            .iter()
            .find(|version| version.hash == entry.version)
            .is_some_and(|version| version.refs.iter().all(has_list))
    })
}

/// The first that fit one request.
fn take_prefix(letters: Vec<Letter>) -> Vec<Letter> {
    let mut total = 0;
    let fits = |letter: &Letter| {
        let is_first = total == 0;
        let versions: usize = letter.push.versions.iter().map(|version| version.ciphertext.len() + 64).sum();
        let lists: usize = letter.push.manifests.iter().map(|list| list.ids.len() * ChunkId::LEN + 40).sum();
        total += letter.push.commit.len() + versions + lists;
        is_first || total <= PUSH_BYTES
    };
    letters.into_iter().take(PUSH_COMMITS_MAX).take_while(fits).collect()
}
