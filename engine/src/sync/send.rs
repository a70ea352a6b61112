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
        let mut own = outbox.iter().map(own_letter).collect::<Result<Vec<_>, _>>()?;
        self.keep_late(&own)?;
        // What the server lost of this device's own chain comes before what is new.
        let on_their_way: BTreeSet<CommitHash> = own.iter().map(|letter| letter.hash).collect();
        for kept in self.history.unnumbered(&self.device, PUSH_COMMITS_MAX, PUSH_BYTES)? {
            let letter = letter(kept)?;
            if !on_their_way.contains(&letter.hash) {
                own.push(letter);
            }
        }
        own.sort_by_key(|letter| letter.place);
        let others = if with_others { self.of_others()? } else { Vec::new() };
        // Others' first, since own ones have seen them; but they never take all of the room.
        let share = if own.is_empty() { 1 } else { 2 };
        let mut letters = take_prefix(others, PUSH_COMMITS_MAX / share, PUSH_BYTES / share);
        let used = letters.iter().map(|letter| letter.push.size_bytes()).sum::<usize>();
        let room = (PUSH_COMMITS_MAX - letters.len(), PUSH_BYTES.saturating_sub(used));
        letters.extend(take_prefix(own, room.0, room.1));
        Ok(letters)
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
    /// so that the server can tell when it is placed; in the order of their chains, without gaps. The
    /// devices take turns, so that a long chain keeps no other one back.
    fn of_others(&self) -> Result<Vec<Letter>, SyncError> {
        let devices = self.history.unnumbered_devices()?.into_iter().filter(|device| *device != self.device);
        let devices: Vec<DeviceId> = devices.collect();
        let share = PUSH_BYTES / devices.len().max(1);
        let mut chains = Vec::new();
        for device in devices {
            let kept = self.history.unnumbered(&device, PUSH_COMMITS_MAX, share)?;
            chains.push(kept.into_iter().map(letter).collect::<Result<Vec<_>, _>>()?);
        }
        let sendable = chains.into_iter().map(|chain| {
            let whole = chain.into_iter().take_while(|letter| is_complete(&letter.push));
            whole.collect::<Vec<_>>().into_iter()
        });
        Ok(in_turns(sendable.collect()))
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

/// The next of every chain, again and again.
fn in_turns(mut chains: Vec<std::vec::IntoIter<Letter>>) -> Vec<Letter> {
    let mut letters = Vec::new();
    while !chains.is_empty() {
        chains.retain_mut(|chain| chain.next().map(|letter| letters.push(letter)).is_some());
    }
    letters
}

/// Whether every version is there, and of each the lists of what it refers to: the server takes no commit
/// with a version it cannot have. Lists are kept only when all of a content's are there, so the root's
/// stands for the rest.
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

/// The first that fit; one, if there is any, however large it is.
fn take_prefix(letters: Vec<Letter>, max: usize, max_bytes: usize) -> Vec<Letter> {
    let mut total = 0_usize;
    let fits = |letter: &Letter| {
        let is_first = total == 0;
        total = total.saturating_add(letter.push.size_bytes());
        is_first || total <= max_bytes
    };
    letters.into_iter().take(max).take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_api::bulk::PushVersion;
    use freehold_model::{LogHash, RecordId, VaultId, VersionHash};
    use freehold_trust::SignKey;
    use freehold_trust::commit::{CommitEntry, CommitPlace};

    fn version(number: u8) -> VersionHash {
        VersionHash::from_bytes([number; 32])
    }

    /// A commit with one version that may be at hand.
    fn pushed(device: u8, seq: u64, number: u8, is_here: bool) -> Letter {
        let place = CommitPlace {
            vault: VaultId::from_bytes([1; 16]),
            device: DeviceId::from_bytes([device; 16]),
            incarnation: 1,
            seq,
            prev: CommitHash::from_bytes([u8::from(seq > 1); 32]),
            log_head: LogHash::default(),
            member_epoch: 0,
            generation: 1,
        };
        let record = RecordId::from_bytes([9; 16]);
        let entry = CommitEntry { record, version: version(number), supersedes: Vec::new() };
        let commit = Commit::sign(place, vec![entry], vec![7], &SignKey::from_seed(&[device; 32]));
        let commit = commit.expect("within limits").to_bytes();
        let here = PushVersion { record, hash: version(number), ciphertext: vec![1; 10], refs: Vec::new() };
        let push = PushCommit {
            commit,
            versions: is_here.then_some(here).into_iter().collect(),
            manifests: Vec::new(),
        };
        let place = ChainPlace { device: place.device, incarnation: 1, seq };
        letter(Unnumbered { place, push }).expect("a sound commit")
    }

    #[test]
    fn a_commit_goes_with_every_version_or_not_at_all() {
        assert!(is_complete(&pushed(1, 1, 4, true).push));
        assert!(!is_complete(&pushed(1, 1, 4, false).push));
    }

    #[test]
    fn chains_take_turns_and_each_stays_in_order() {
        let long: Vec<Letter> = (1..=3).map(|seq| pushed(1, seq, 4, true)).collect();
        let short = vec![pushed(2, 1, 4, true)];
        let order: Vec<(u8, u64)> = in_turns(vec![long.into_iter(), short.into_iter()])
            .iter()
            .map(|letter| (letter.place.device.as_bytes()[0], letter.place.seq))
            .collect();
        assert_eq!(order, [(1, 1), (2, 1), (1, 2), (1, 3)]);
    }

    #[test]
    fn a_request_takes_one_letter_however_large_and_then_what_fits() {
        let letters = || (1..=3).map(|seq| pushed(1, seq, 4, true)).collect::<Vec<_>>();
        let size = letters()[0].push.size_bytes();
        assert_eq!(take_prefix(letters(), 9, 1).len(), 1);
        assert_eq!(take_prefix(letters(), 9, 2 * size).len(), 2);
        assert_eq!(take_prefix(letters(), 2, usize::MAX).len(), 2);
        assert!(take_prefix(letters(), 0, usize::MAX).is_empty());
    }
}
