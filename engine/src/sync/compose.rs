//! From a batch of changed records to a signed commit. Pure.

use super::checkpoint::Heads;
use crate::Batch;
use freehold_api::bulk::{ManifestRefs, PushCommit, PushVersion};
use freehold_crypto::{CommitContext, VaultKeyring};
use freehold_model::codec::DecodeError;
use freehold_model::{ChunkId, FileId, Hlc, RootHash, VersionHash};
use freehold_trust::SignKey;
use freehold_trust::commit::{ChainHead, Commit, CommitEntry, CommitPlace};
use freehold_vault::{Body, Chunked, CommitBody, Seen};
use std::collections::{BTreeMap, BTreeSet};

/// What a commit says besides its records.
pub(crate) struct Frame<'a> {
    pub(crate) keyring: &'a VaultKeyring,
    pub(crate) sign_key: &'a SignKey,
    pub(crate) place: CommitPlace,
    /// Now, by the wall clock.
    pub(crate) now_ms: u64,
    /// The newest commits of other devices that are applied here.
    pub(crate) seen: Vec<Seen>,
    /// Every record's heads before this commit, when it is time for a root over them.
    pub(crate) heads: Option<Heads>,
    /// The reference lists of a content that the server does not have yet.
    pub(crate) refs: &'a dyn Fn(&Chunked) -> Vec<ManifestRefs>,
}

/// A commit, ready to be written down and sent.
pub(crate) struct Composed {
    pub(crate) commit: Commit,
    /// Sealed records and reference lists, without the commit's own bytes.
    pub(crate) push: PushCommit,
    /// The version of each record of the batch.
    pub(crate) versions: Vec<(FileId, VersionHash)>,
}

/// The position after a chain's head, in a life.
pub(crate) fn next_place(head: Option<&ChainHead>, incarnation: u32, mut place: CommitPlace) -> CommitPlace {
    (place.incarnation, place.seq, place.prev) = match head {
        None => (incarnation, 1, Default::default()),
        Some(head) if incarnation > head.incarnation => (incarnation, 1, head.hash),
        Some(head) => (head.incarnation, head.seq + 1, head.hash),
    };
    place
}

/// Seals the records and signs.
///
/// # Errors
/// What the commit format refuses: the batch is over its limits.
pub(crate) fn compose(frame: Frame<'_>, batch: &Batch) -> Result<Composed, DecodeError> {
    let (mut entries, mut versions, mut pushed) = (Vec::new(), Vec::new(), Vec::new());
    let mut manifests: BTreeMap<ChunkId, ManifestRefs> = BTreeMap::new();
    let mut newest = Hlc::default();
    for changed in &batch.records {
        let record = frame.keyring.record_id(&changed.file);
        let ciphertext = frame.keyring.seal_record(&record, &changed.record.to_bytes());
        let hash = VersionHash::from_bytes(*blake3::hash(&ciphertext).as_bytes());
        newest = newest.max(changed.record.newest_hlc());
        let contents = changed.record.contents().iter().filter_map(|content| match &content.body {
            Body::Chunked(chunked) => Some(chunked),
            Body::Inline(_) => None,
        });
        let mut refs = BTreeSet::new();
        for chunked in contents {
            refs.insert(chunked.root);
            manifests.extend((frame.refs)(chunked).into_iter().map(|list| (list.node, list)));
        }
        // A state that came back to what a head already is, as when two devices settle a conflict
        // alike, does not replace itself.
        let supersedes = changed.supersedes.iter().filter(|old| **old != hash).copied().collect();
        entries.push(CommitEntry { record, version: hash, supersedes });
        versions.push((changed.file, hash));
        pushed.push(PushVersion { record, hash, ciphertext, refs: refs.into_iter().collect() });
    }
    let body = CommitBody {
        hlc: newest.max(Hlc::from_millis(frame.now_ms)),
        covers: batch.covers,
        seen: frame.seen,
        heads_root: frame.heads.map(|heads| root_after(heads, &entries)),
    };
    let place = frame.place;
    let context = CommitContext { device: place.device, incarnation: place.incarnation, seq: place.seq };
    let sealed_body = frame.keyring.seal_commit_body(&context, &body.to_bytes());
    let commit = Commit::sign(place, entries, sealed_body, frame.sign_key)?;
    let push =
        PushCommit { commit: Vec::new(), versions: pushed, manifests: manifests.into_values().collect() };
    Ok(Composed { commit, push, versions })
}

/// The root over all heads as they are after these entries.
fn root_after(mut heads: Heads, entries: &[CommitEntry]) -> RootHash {
    for entry in entries {
        let versions = heads.entry(entry.record).or_default();
        versions.retain(|version| !entry.supersedes.contains(version) && *version != entry.version);
        versions.push(entry.version);
    }
    freehold_vault::heads::root(heads.iter().map(|(record, versions)| (*record, versions.as_slice())))
}

/// The reference lists that travel with a commit, by manifest node.
pub(crate) fn lists_of(push: &PushCommit) -> BTreeMap<ChunkId, &ManifestRefs> {
    push.manifests.iter().map(|list| (list.node, list)).collect()
}

/// Every chunk a version reaches through the lists that travel with it.
pub(crate) fn reachable(
    lists: &BTreeMap<ChunkId, &ManifestRefs>,
    version: &PushVersion,
) -> BTreeSet<ChunkId> {
    let mut seen: BTreeSet<ChunkId> = version.refs.iter().copied().collect();
    let mut open: Vec<ChunkId> = version.refs.clone();
    while let Some(chunk) = open.pop() {
        let ids = lists.get(&chunk).map_or(&[][..], |list| &list.ids);
        open.extend(ids.iter().filter(|id| seen.insert(**id)));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::{CommitHash, DeviceId, LogHash, RecordId, VaultId};

    fn place() -> CommitPlace {
        CommitPlace {
            vault: VaultId::from_bytes([1; 16]),
            device: DeviceId::from_bytes([2; 16]),
            incarnation: 0,
            seq: 0,
            prev: CommitHash::default(),
            log_head: LogHash::default(),
            member_epoch: 0,
            generation: 1,
        }
    }

    #[test]
    fn a_chain_starts_goes_on_and_starts_over_in_a_new_life() {
        let head = ChainHead { incarnation: 2, seq: 7, hash: CommitHash::from_bytes([9; 32]) };
        let next = |head: Option<&ChainHead>, incarnation| {
            let next = next_place(head, incarnation, place());
            (next.incarnation, next.seq, next.prev)
        };
        assert_eq!(next(None, 0), (0, 1, CommitHash::default()));
        assert_eq!(next(Some(&head), 2), (2, 8, head.hash));
        assert_eq!(next(Some(&head), 3), (3, 1, head.hash));
    }

    #[test]
    fn a_version_reaches_every_chunk_below_its_roots_once() {
        let id = |number| ChunkId::from_bytes([number; 32]);
        let list =
            |node, ids: &[u8]| ManifestRefs { node: id(node), ids: ids.iter().map(|n| id(*n)).collect() };
        let version = PushVersion {
            record: RecordId::default(),
            hash: VersionHash::default(),
            ciphertext: Vec::new(),
            refs: vec![id(1)],
        };
        let push = PushCommit {
            commit: Vec::new(),
            versions: Vec::new(),
            manifests: vec![list(1, &[2, 3]), list(2, &[4, 5]), list(3, &[5]), list(9, &[8])],
        };
        let expected: BTreeSet<ChunkId> = [1, 2, 3, 4, 5].into_iter().map(id).collect();
        assert_eq!(reachable(&lists_of(&push), &version), expected);
    }
}
