//! One hash over the heads of every record, and finding where two of them differ.
//!
//! Records fall into 65,536 buckets by the first two bytes of their id, under a trie of fixed depth:
//! root, 256 branches, 256 buckets each (Ouisync's shape). Record ids are pseudo-random, so buckets
//! fill evenly. Two devices with equal roots hold the same heads; otherwise two rounds find the
//! buckets that differ. A root signed inside a commit is the checkpoint a server is held to.

use freehold_model::{RecordId, RootHash, VersionHash};
use std::collections::BTreeMap;

const BUCKET_CONTEXT: &str = "freehold v1 heads bucket";
const BRANCH_CONTEXT: &str = "freehold v1 heads branch";
const ROOT_CONTEXT: &str = "freehold v1 heads root";

/// Stands for a branch or bucket with nothing in it.
const EMPTY: RootHash = RootHash::from_bytes([0; 32]);

/// Hashes of all buckets that hold something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadsTrie {
    buckets: BTreeMap<u16, RootHash>,
}

/// The bucket of a record.
#[must_use]
pub const fn bucket_of(record: &RecordId) -> u16 {
    let [high, low, ..] = *record.as_bytes();
    u16::from_be_bytes([high, low])
}

/// The root over heads given in any order: each record once, with its head versions.
#[must_use]
pub fn root<'a>(heads: impl IntoIterator<Item = (RecordId, &'a [VersionHash])>) -> RootHash {
    let mut buckets: BTreeMap<u16, Vec<(RecordId, &[VersionHash])>> = BTreeMap::new();
    for (record, versions) in heads {
        buckets.entry(bucket_of(&record)).or_default().push((record, versions));
    }
    let mut trie = HeadsTrie::default();
    buckets.into_iter().for_each(|(bucket, heads)| trie.set_bucket(bucket, heads));
    trie.root()
}

impl HeadsTrie {
    /// Replaces what is known of one bucket; no heads empties it.
    pub fn set_bucket<'a>(
        &mut self,
        bucket: u16,
        heads: impl IntoIterator<Item = (RecordId, &'a [VersionHash])>,
    ) {
        let mut sorted: Vec<_> = heads.into_iter().collect();
        sorted.sort_unstable_by_key(|(record, _)| *record);
        if sorted.is_empty() {
            self.buckets.remove(&bucket);
            return;
        }
        let mut hasher = blake3::Hasher::new_derive_key(BUCKET_CONTEXT);
        for (record, versions) in sorted {
            let mut versions = versions.to_vec();
            versions.sort_unstable();
            hasher.update(record.as_bytes()).update(&(versions.len() as u64).to_be_bytes());
            versions.iter().for_each(|version| {
                hasher.update(version.as_bytes());
            });
        }
        self.buckets.insert(bucket, finish(&hasher));
    }

    /// The hash of one bucket; zeros when empty.
    #[must_use]
    pub fn bucket(&self, bucket: u16) -> RootHash {
        self.buckets.get(&bucket).copied().unwrap_or(EMPTY)
    }

    /// The hash of 256 neighbouring buckets; zeros when all are empty.
    #[must_use]
    pub fn branch(&self, branch: u8) -> RootHash {
        let first = u16::from_be_bytes([branch, 0]);
        let range = first..=first | 0xff;
        if self.buckets.range(range.clone()).next().is_none() {
            return EMPTY;
        }
        over(BRANCH_CONTEXT, range.map(|bucket| self.bucket(bucket)))
    }

    /// The hash of everything.
    #[must_use]
    pub fn root(&self) -> RootHash {
        over(ROOT_CONTEXT, (0..=255).map(|branch| self.branch(branch)))
    }

    /// The branches whose hash is not the given one of the other side.
    #[must_use]
    pub fn differing_branches(&self, theirs: &[RootHash; 256]) -> Vec<u8> {
        (0..=255)
            .zip(theirs)
            .filter(|(branch, hash)| self.branch(*branch) != **hash)
            .map(|(b, _)| b)
            .collect()
    }

    /// The buckets of a branch whose hash is not the given one of the other side.
    #[must_use]
    pub fn differing_buckets(&self, branch: u8, theirs: &[RootHash; 256]) -> Vec<u16> {
        let buckets = (0..=255).map(|low| u16::from_be_bytes([branch, low]));
        buckets.zip(theirs).filter(|(bucket, hash)| self.bucket(*bucket) != **hash).map(|(b, _)| b).collect()
    }
}

fn over(context: &str, hashes: impl Iterator<Item = RootHash>) -> RootHash {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hashes.for_each(|hash| {
        hasher.update(hash.as_bytes());
    });
    finish(&hasher)
}

fn finish(hasher: &blake3::Hasher) -> RootHash {
    RootHash::from_bytes(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests;
