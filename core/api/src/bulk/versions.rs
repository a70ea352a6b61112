//! `POST /api/v1/vaults/{vault}/versions`: sealed records by hash.
//!
//! ```text
//! request  "FHV1" | count u32 | hash 32 *
//! response "FHW1" | count u32 | (hash 32 | state u8 | len u32 | ciphertext)*
//! ```
//!
//! The answer covers a prefix of the request, in its order: it ends early once it holds 16 MiB,
//! never before the first item, and the caller asks again for the rest.

use super::put_count;
use crate::limits;
use freehold_model::VersionHash;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::limits::RECORD_BYTES_MAX;

const REQUEST_MAGIC: &[u8; 4] = b"FHV1";
const RESPONSE_MAGIC: &[u8; 4] = b"FHW1";

/// Which versions to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionsRequest {
    /// Their hashes, at most 1,024.
    pub hashes: Vec<VersionHash>,
}

/// The versions asked for, or the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionsResponse {
    /// One for each hash of a prefix of the request.
    pub items: Vec<VersionItem>,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionItem {
    /// Its hash.
    pub hash: VersionHash,
    /// What the server knows of it.
    pub state: VersionState,
    /// The sealed record; empty when unknown.
    pub ciphertext: Vec<u8>,
}

/// What the server knows of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VersionState {
    /// Every chunk it refers to is on enough nodes.
    Placed,
    /// Some chunk is not on enough nodes yet.
    Unplaced,
    /// The server does not have it. Never to be read as a deletion.
    Unknown,
}

impl Encode for VersionsRequest {
    fn encode(&self, out: &mut Writer) {
        out.raw(REQUEST_MAGIC);
        put_count(out, self.hashes.len());
        for hash in &self.hashes {
            out.put(hash);
        }
    }
}

impl Decode for VersionsRequest {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(REQUEST_MAGIC, "versions request")?;
        let count = input.count(limits::VERSIONS_MAX, VersionHash::LEN)?;
        let hashes = (0..count).map(|_| input.get()).collect::<Result<_, _>>()?;
        Ok(Self { hashes })
    }
}

impl Encode for VersionsResponse {
    fn encode(&self, out: &mut Writer) {
        out.raw(RESPONSE_MAGIC);
        put_count(out, self.items.len());
        for item in &self.items {
            out.put(&item.hash).put(&item.state).var_bytes(&item.ciphertext);
        }
    }
}

impl Decode for VersionsResponse {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(RESPONSE_MAGIC, "versions response")?;
        let count = input.count(limits::VERSIONS_MAX, 37)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            let (hash, state) = (input.get()?, input.get()?);
            let ciphertext = input.var_bytes(RECORD_BYTES_MAX)?.to_vec();
            if (state == VersionState::Unknown) != ciphertext.is_empty() {
                return Err(DecodeError::Invalid("ciphertext of a version"));
            }
            items.push(VersionItem { hash, state, ciphertext });
        }
        Ok(Self { items })
    }
}

impl Encode for VersionState {
    fn encode(&self, out: &mut Writer) {
        out.u8(match self {
            Self::Placed => 1,
            Self::Unplaced => 2,
            Self::Unknown => 3,
        });
    }
}

impl Decode for VersionState {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            1 => Ok(Self::Placed),
            2 => Ok(Self::Unplaced),
            3 => Ok(Self::Unknown),
            _ => Err(DecodeError::Unknown("version state")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::codec::{from_slice, to_vec};

    #[test]
    fn both_directions_survive_a_round_trip() {
        let hash = VersionHash::from_bytes([4; 32]);
        let request = VersionsRequest { hashes: vec![hash, hash] };
        assert_eq!(from_slice(&to_vec(&request)), Ok(request));
        let placed = VersionItem { hash, state: VersionState::Placed, ciphertext: vec![1, 2] };
        let unknown = VersionItem { hash, state: VersionState::Unknown, ciphertext: vec![] };
        let response = VersionsResponse { items: vec![placed, unknown] };
        assert_eq!(from_slice(&to_vec(&response)), Ok(response));
    }

    #[test]
    fn an_unknown_version_has_no_ciphertext_and_a_known_one_has() {
        let hash = VersionHash::from_bytes([4; 32]);
        for (state, ciphertext) in [(VersionState::Unknown, vec![1]), (VersionState::Placed, vec![])] {
            let response = VersionsResponse { items: vec![VersionItem { hash, state, ciphertext }] };
            let read = from_slice::<VersionsResponse>(&to_vec(&response));
            assert_eq!(read, Err(DecodeError::Invalid("ciphertext of a version")));
        }
    }

    #[test]
    fn more_hashes_than_the_limit_are_refused() {
        let request = VersionsRequest { hashes: vec![VersionHash::default(); limits::VERSIONS_MAX + 1] };
        assert_eq!(from_slice::<VersionsRequest>(&to_vec(&request)), Err(DecodeError::TooLong));
    }
}
