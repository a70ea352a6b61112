//! The sealed body of a commit: what its device had seen, and now and then a root over all heads.
//!
//! `seen` makes a server that hides or forks history contradict itself: a commit named here that it
//! denies is evidence. `covers` ties commits to writes: every write of the device up to that counter
//! is in this or an earlier commit of the incarnation.

use crate::limits::SEEN_MAX;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::{CommitHash, DeviceId, Dot, Hlc, RootHash, VersionVector};

const VERSION: u8 = 1;

/// The newest commit of another device that the author had applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// The other device.
    pub device: DeviceId,
    /// Its incarnation.
    pub incarnation: u32,
    /// The commit's place in that chain.
    pub seq: u64,
    /// The commit.
    pub hash: CommitHash,
    /// The writes it covers.
    pub covers: u64,
}

/// The plaintext of a commit's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitBody {
    /// The author's hybrid clock.
    pub hlc: Hlc,
    /// Every own write up to this counter is in this or an earlier commit of the incarnation.
    pub covers: u64,
    /// One entry a device life, in order.
    pub seen: Vec<Seen>,
    /// A root over all heads after this commit: a checkpoint (see [`crate::heads`]).
    pub heads_root: Option<RootHash>,
}

impl CommitBody {
    /// The writes of others that the author had seen.
    #[must_use]
    pub fn seen_writes(&self) -> VersionVector {
        let dot = |seen: &Seen| Dot { device: seen.device, incarnation: seen.incarnation, seq: seen.covers };
        self.seen.iter().filter(|seen| seen.covers > 0).map(dot).collect()
    }

    /// The canonical bytes, to be sealed.
    ///
    /// The entries may stand in any order; one device life twice is the caller's mistake.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        freehold_model::codec::to_vec(self)
    }

    /// Reads an opened body.
    ///
    /// # Errors
    /// Anything but the canonical encoding is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        freehold_model::codec::from_slice(bytes)
    }
}

impl Encode for CommitBody {
    fn encode(&self, out: &mut Writer) {
        let mut seen = self.seen.clone();
        seen.sort_unstable();
        out.u8(VERSION).put(&self.hlc).u64(self.covers);
        match &self.heads_root {
            None => out.u8(0),
            Some(root) => out.u8(1).put(root),
        };
        out.u32(u32::try_from(seen.len()).expect("a vault has far fewer devices"));
        for Seen { device, incarnation, seq, hash, covers } in &seen {
            out.put(device).u32(*incarnation).u64(*seq).put(hash).u64(*covers);
        }
    }
}

impl Decode for CommitBody {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(&[VERSION], "commit body version")?;
        let (hlc, covers) = (input.get()?, input.u64()?);
        let heads_root = match input.u8()? {
            0 => None,
            1 => Some(input.get()?),
            _ => return Err(DecodeError::Invalid("flag")),
        };
        let count = input.count(SEEN_MAX, 16 + 4 + 8 + 32 + 8)?;
        let seen = (0..count).map(|_| read_seen(input)).collect::<Result<Vec<_>, _>>()?;
        if !seen.is_sorted_by(|a, b| (a.device, a.incarnation) < (b.device, b.incarnation)) {
            return Err(DecodeError::Invalid("order of seen commits"));
        }
        Ok(Self { hlc, covers, seen, heads_root })
    }
}

fn read_seen(input: &mut Reader<'_>) -> Result<Seen, DecodeError> {
    Ok(Seen {
        device: input.get()?,
        incarnation: input.u32()?,
        seq: input.u64()?,
        hash: input.get()?,
        covers: input.u64()?,
    })
}

#[cfg(test)]
mod tests;
