//! Following own versions from their number to their place on the nodes.
//!
//! A version counts as safe when its commit has a number and the server has booked receipts for
//! every chunk it reaches. Only then may its chunks leave this device's cache.

use super::compose::{lists_of, reachable};
use super::{Parts, SyncError};
use freehold_api::bulk::{PushCommit, VersionState, VersionsRequest};
use freehold_api::limits::VERSIONS_MAX;
use freehold_model::{ChunkId, VersionHash};
use std::collections::{BTreeMap, BTreeSet};

/// Numbered versions with the chunks they wait for.
#[derive(Debug, Default)]
pub(crate) struct Awaiting {
    versions: BTreeMap<VersionHash, Vec<ChunkId>>,
}

impl Awaiting {
    /// Takes in the versions of a commit that has its number.
    pub(crate) fn numbered(&mut self, push: &PushCommit) {
        let lists = lists_of(push);
        for version in &push.versions {
            self.versions.insert(version.hash, reachable(&lists, version).into_iter().collect());
        }
    }

    /// The versions.
    pub(crate) fn versions(&self) -> BTreeSet<VersionHash> {
        self.versions.keys().copied().collect()
    }

    /// Gives out the versions none of whose chunks waits any more.
    pub(crate) fn take_placed(&mut self, is_waiting: impl Fn(&ChunkId) -> bool) -> Vec<VersionHash> {
        let mut placed = Vec::new();
        self.versions.retain(|version, chunks| {
            chunks.retain(&is_waiting);
            if chunks.is_empty() {
                placed.push(*version);
            }
            !chunks.is_empty()
        });
        placed
    }
}

/// Versions that got their number before this start: their commits are gone from the outbox, so
/// nothing here says which chunks they wait for. The server is asked instead: on contact, and again
/// each time everything that was to be uploaded is.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    /// All of them are placed.
    are_placed: bool,
    /// On a contact it is asked at once: most were placed long ago.
    is_first: bool,
    /// Something has happened since it was asked.
    is_due: bool,
    is_asking: bool,
}

impl Earlier {
    /// The server is there.
    pub(crate) const fn met(&mut self) {
        (self.is_first, self.is_due) = (true, true);
    }

    /// Chunks were placed, or time has passed.
    pub(crate) const fn may_be_placed(&mut self) {
        self.is_due = true;
    }

    /// Whether to ask now; each reason is taken once.
    pub(crate) fn takes_turn(&mut self, is_idle: impl FnOnce() -> bool) -> bool {
        let is_turn = !self.are_placed && self.is_due && !self.is_asking && (self.is_first || is_idle());
        if is_turn {
            (self.is_first, self.is_due, self.is_asking) = (false, false, true);
        }
        is_turn
    }

    /// Takes in how many are left; nothing when the server did not say.
    pub(crate) fn answered(&mut self, left: Option<usize>) {
        self.is_asking = false;
        self.are_placed = left == Some(0);
    }
}

impl Parts {
    /// Tells the volume which own versions are safe.
    pub(crate) fn settle_placed(&self, awaiting: &mut Awaiting) {
        let placed = awaiting.take_placed(|chunk| self.uploads.is_waiting(chunk));
        if !placed.is_empty() {
            self.volume.versions_placed(&placed, |chunk| self.uploads.is_waiting(chunk));
        }
        self.forget_stray_pins();
    }

    /// A commit of another device got its number through this one: its author may never come back,
    /// so the chunks of it that are here are brought to the nodes from here. Where the author has
    /// done so too, a node keeps one.
    pub(crate) fn rescue(&self, push: &PushCommit) {
        let lists = lists_of(push);
        let mut chunks = BTreeSet::new();
        for version in &push.versions {
            chunks.extend(reachable(&lists, version));
        }
        self.upload_for_others(chunks);
    }

    /// Brings chunks that another device cut to the nodes from here, as far as they are here. Blocks.
    pub(crate) fn upload_for_others(&self, chunks: BTreeSet<ChunkId>) {
        let chunks: Vec<ChunkId> = chunks.into_iter().filter(|chunk| self.cache.contains(chunk)).collect();
        match self.cache.pin(&chunks) {
            Ok(()) => self.uploads.add(&chunks),
            Err(error) => tracing::warn!(%error, "chunks of another device could not be kept for upload"),
        }
    }

    /// When nothing of this device is on its way, a chunk that is still pinned serves nobody: it was
    /// cut for a file that was gone before its version could be installed.
    fn forget_stray_pins(&self) {
        let pending = self.volume.pending();
        let idle = pending.dirty_bodies == 0 && pending.dirty_records == 0 && pending.unplaced == 0;
        if !idle || self.uploads.pending().0 != 0 {
            return;
        }
        let stray = self.cache.pinned();
        if !stray.is_empty() && self.cache.unpin(&stray).is_err() {
            tracing::warn!("chunks that nobody needs stay pinned");
        }
        self.uploads.forget();
    }

    /// Asks the server about own versions whose place was not known when this device stopped, and says
    /// how many are not placed yet.
    ///
    /// # Errors
    /// `Server`.
    pub(crate) async fn ask_about_versions(
        &self,
        awaited: &BTreeSet<VersionHash>,
    ) -> Result<usize, SyncError> {
        let mut open = self.unplaced_versions();
        open.retain(|version| !awaited.contains(version));
        let mut placed = Vec::new();
        let mut rest: &[VersionHash] = &open;
        while !rest.is_empty() {
            let hashes = rest.iter().copied().take(VERSIONS_MAX).collect();
            let (vault, request) = (self.vault, &VersionsRequest { hashes });
            let answer =
                self.server.ask(|client| async move { client.versions(&vault, request).await }).await?;
            if answer.items.is_empty() {
                break;
            }
            let known = answer.items.iter().filter(|item| item.state == VersionState::Placed);
            placed.extend(known.map(|item| item.hash));
            rest = rest.get(answer.items.len()..).unwrap_or_default();
        }
        if !placed.is_empty() {
            self.volume.versions_placed(&placed, |chunk| self.uploads.is_waiting(chunk));
        }
        Ok(open.len().saturating_sub(placed.len()))
    }

    /// Own versions that are numbered and not known to be placed.
    fn unplaced_versions(&self) -> Vec<VersionHash> {
        let tables = self.volume.lock();
        let mut on_their_way = BTreeSet::new();
        for entry in tables.outbox() {
            if let Ok(push) = freehold_model::codec::from_slice::<PushCommit>(&entry.payload) {
                on_their_way.extend(push.versions.iter().map(|version| version.hash));
            }
        }
        let open = tables.unplaced_versions();
        open.filter(|version| !on_their_way.contains(version)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_api::bulk::{ManifestRefs, PushVersion};
    use freehold_model::RecordId;

    #[test]
    fn versions_of_earlier_starts_are_asked_about_until_all_are_placed() {
        let mut earlier = Earlier::default();
        assert!(!earlier.takes_turn(|| true), "the server was not met");
        earlier.met();
        assert!(earlier.takes_turn(|| false), "on contact at once");
        earlier.may_be_placed();
        assert!(!earlier.takes_turn(|| true), "a question is under way");
        earlier.answered(Some(3));
        assert!(!earlier.takes_turn(|| false), "chunks are on their way");
        assert!(earlier.takes_turn(|| true));
        earlier.answered(Some(0));
        earlier.may_be_placed();
        assert!(!earlier.takes_turn(|| true), "nothing is left to ask about");
    }

    #[test]
    fn a_version_is_placed_once_none_of_its_chunks_waits() {
        let chunk = |number| ChunkId::from_bytes([number; 32]);
        let version = |number, refs| PushVersion {
            record: RecordId::from_bytes([number; 16]),
            hash: VersionHash::from_bytes([number; 32]),
            ciphertext: vec![1],
            refs,
        };
        let mut awaiting = Awaiting::default();
        awaiting.numbered(&PushCommit {
            commit: Vec::new(),
            versions: vec![version(1, Vec::new()), version(2, vec![chunk(1)])],
            manifests: vec![ManifestRefs { node: chunk(1), ids: vec![chunk(2)] }],
        });
        assert_eq!(awaiting.take_placed(|_| true), [VersionHash::from_bytes([1; 32])]);
        assert_eq!(awaiting.take_placed(|id| *id == chunk(2)), []);
        assert_eq!(awaiting.take_placed(|_| false), [VersionHash::from_bytes([2; 32])]);
        assert_eq!(awaiting.take_placed(|_| false), []);
    }
}
