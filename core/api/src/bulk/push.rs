//! `POST /api/v1/vaults/{vault}/commits`: commits with the versions they name.
//!
//! ```text
//! "FHU1" | count u32 | commit*          (at most 256)
//! commit   = len u32 | commit bytes | count u32 | version* | count u32 | manifest*
//! version  = record 16 | hash 32 | len u32 | ciphertext | count u32 | chunk id 32 *
//! manifest = manifest node's chunk id 32 | count u32 | chunk id 32 *
//! ```
//!
//! References are two-level: a version names its root manifest node, and each manifest node names
//! its children, so that versions which share nodes share the lists too. A node already announced
//! in this vault may be left out.

use super::put_count;
use crate::limits;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::limits::RECORD_BYTES_MAX;
use freehold_model::{ChunkId, RecordId, VersionHash};

const MAGIC: &[u8; 4] = b"FHU1";

/// Commits to store, each judged on its own, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushRequest {
    /// The commits.
    pub commits: Vec<PushCommit>,
}

/// One commit with what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushCommit {
    /// Encoded signed commit (`freehold-trust`).
    pub commit: Vec<u8>,
    /// A version for each of its entries; versions the server already has may be left out.
    pub versions: Vec<PushVersion>,
    /// Manifest nodes that are new with this commit.
    pub manifests: Vec<ManifestRefs>,
}

impl PushCommit {
    /// About as many bytes as it has on the wire.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let versions = self.versions.iter().map(|version| version.ciphertext.len().saturating_add(64));
        let lists = self.manifests.iter().map(|list| list.ids.len().saturating_mul(32).saturating_add(40));
        versions.chain(lists).fold(self.commit.len(), usize::saturating_add)
    }
}

/// One sealed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushVersion {
    /// Which record.
    pub record: RecordId,
    /// BLAKE3 of the ciphertext.
    pub hash: VersionHash,
    /// The sealed record.
    pub ciphertext: Vec<u8>,
    /// Root manifest nodes of its contents; empty for inline contents and non-files.
    pub refs: Vec<ChunkId>,
}

/// The children of one manifest node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRefs {
    /// The node.
    pub node: ChunkId,
    /// Nodes or data chunks it names, in order, without repeats.
    pub ids: Vec<ChunkId>,
}

impl Encode for PushRequest {
    fn encode(&self, out: &mut Writer) {
        out.raw(MAGIC);
        put_count(out, self.commits.len());
        for commit in &self.commits {
            out.put(commit);
        }
    }
}

impl Decode for PushRequest {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(MAGIC, "push request")?;
        let count = input.count(limits::PUSH_COMMITS_MAX, 12)?;
        let commits = (0..count).map(|_| input.get()).collect::<Result<_, _>>()?;
        Ok(Self { commits })
    }
}

impl Encode for PushCommit {
    fn encode(&self, out: &mut Writer) {
        out.var_bytes(&self.commit);
        put_count(out, self.versions.len());
        for version in &self.versions {
            out.put(version);
        }
        put_count(out, self.manifests.len());
        for manifest in &self.manifests {
            out.put(manifest);
        }
    }
}

impl Decode for PushCommit {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let commit = input.var_bytes(limits::COMMIT_BYTES_MAX)?.to_vec();
        let count = input.count(freehold_model::limits::COMMIT_ENTRIES_MAX, 56)?;
        let versions = (0..count).map(|_| input.get()).collect::<Result<_, _>>()?;
        let count = input.count(limits::COMMIT_MANIFESTS_MAX, 36)?;
        let manifests = (0..count).map(|_| input.get()).collect::<Result<_, _>>()?;
        Ok(Self { commit, versions, manifests })
    }
}

impl Encode for PushVersion {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.record).put(&self.hash).var_bytes(&self.ciphertext);
        put_ids(out, &self.refs);
    }
}

impl Decode for PushVersion {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (record, hash) = (input.get()?, input.get()?);
        let ciphertext = input.var_bytes(RECORD_BYTES_MAX)?.to_vec();
        let refs = read_ids(input, limits::VERSION_REFS_MAX)?;
        Ok(Self { record, hash, ciphertext, refs })
    }
}

impl Encode for ManifestRefs {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.node);
        put_ids(out, &self.ids);
    }
}

impl Decode for ManifestRefs {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { node: input.get()?, ids: read_ids(input, limits::MANIFEST_REFS_MAX)? })
    }
}

fn put_ids(out: &mut Writer, ids: &[ChunkId]) {
    put_count(out, ids.len());
    for id in ids {
        out.put(id);
    }
}

fn read_ids(input: &mut Reader<'_>, max: usize) -> Result<Vec<ChunkId>, DecodeError> {
    let count = input.count(max, ChunkId::LEN)?;
    (0..count).map(|_| input.get()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::codec::{from_slice, to_vec};

    fn request() -> PushRequest {
        let id = |byte| ChunkId::from_bytes([byte; 32]);
        PushRequest {
            commits: vec![PushCommit {
                commit: b"signed".to_vec(),
                versions: vec![PushVersion {
                    record: RecordId::from_bytes([1; 16]),
                    hash: VersionHash::from_bytes([2; 32]),
                    ciphertext: b"sealed".to_vec(),
                    refs: vec![id(3)],
                }],
                manifests: vec![ManifestRefs { node: id(3), ids: vec![id(4), id(5)] }],
            }],
        }
    }

    #[test]
    fn a_push_survives_a_round_trip() {
        assert_eq!(from_slice(&to_vec(&request())), Ok(request()));
        assert_eq!(from_slice(&to_vec(&PushRequest::default())), Ok(PushRequest::default()));
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = to_vec(&request());
        for len in 0..bytes.len() {
            assert!(from_slice::<PushRequest>(&bytes[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn trailing_bytes_and_foreign_magic_are_refused() {
        let mut bytes = to_vec(&request());
        bytes.push(0);
        assert_eq!(from_slice::<PushRequest>(&bytes), Err(DecodeError::Trailing));
        bytes[3] = b'2';
        assert_eq!(from_slice::<PushRequest>(&bytes), Err(DecodeError::Unknown("push request")));
    }
}
