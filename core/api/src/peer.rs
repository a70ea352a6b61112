//! The peer protocol: what a client says to a storage node over a link.
//!
//! Five methods. `AUTH` shows a capability, once for each vault on a link; the node checks it again
//! with every request. `HAVE`, `PUT` and `GET` work on batches of one vault; [`WITNESS`] keeps what
//! devices say of each other's newest commits. Small parts travel in
//! the head, chunk bytes in the body, one after the other in the order of the items, so a body's
//! offset alone tells which item it belongs to. Capabilities and receipts are opaque here;
//! `freehold-trust` reads them. A request that fails as a whole is refused with a [`PeerError`]
//! number; single items fail alone.
//!
//! ```text
//! AUTH  head  capability, as signed                        ->  head  empty
//! HAVE  head  vault_tag 16 · count 4 · id 32 *             ->  head  count 4 · 0|1 *
//! PUT   head  vault_tag 16 · count 4 · (id 32 · len 4) *   ->  head  empty
//!       body  the chunks                                       body  count 4 · outcome * · len 4 · receipt
//! GET   head  vault_tag 16 · count 4 · (id 32 · from 4     ->  head  count 4 · outcome *
//!             · len 4) *                                       body  the bytes found
//! ```
//!
//! An outcome is one status byte; the chunk's length 4 and the answered length 4 follow `found`. One
//! receipt serves everything a `PUT` stored.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::limits::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX, CHUNK_SEALED_BYTES_MAX};
use freehold_model::{ChunkId, VaultTag};
use std::fmt;

use crate::limits::RECEIPT_BYTES_MAX;

pub use witness::{WITNESS, WITNESS_RESPONSE_BYTES_MAX, WitnessRequest, WitnessResponse};

/// Method number of `AUTH`.
pub const AUTH: u16 = 1;
/// Method number of `HAVE`.
pub const HAVE: u16 = 2;
/// Method number of `PUT`.
pub const PUT: u16 = 3;
/// Method number of `GET`.
pub const GET: u16 = 4;

/// Bytes of an encoded capability.
pub const CAPABILITY_BYTES_MAX: usize = 256;

/// Bytes of an encoded [`PutResponse`].
pub const PUT_RESPONSE_BYTES_MAX: usize =
    8_usize.saturating_add(BATCH_ITEMS_MAX).saturating_add(RECEIPT_BYTES_MAX);

macro_rules! peer_errors {
    ($($name:ident = $number:literal, $title:literal;)+) => {
        /// Why a node refuses a whole request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum PeerError {
            $(#[doc = $title] $name = $number,)+
        }

        impl PeerError {
            /// Every code, by rising number.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code of a number.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// One short sentence for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)+
                }
            }
        }
    };
}

peer_errors! {
    Malformed = 600, "The request is not what the node takes.";
    TooLarge = 601, "The request is over a size limit.";
    NoCapability = 602, "No capability for this vault was shown on this link.";
    BadCapability = 603, "The capability is not signed by the node's server.";
    WrongNode = 604, "The capability is for another node.";
    WrongHolder = 605, "The capability belongs to another client.";
    NotYetValid = 606, "The capability is not valid yet; check the clocks.";
    Expired = 607, "The capability has expired.";
    NotAllowed = 608, "The capability does not allow this operation.";
    OverBudget = 609, "The capability's bytes are used up.";
    TooManyVaults = 610, "Too many vaults on one link.";
    TooSlow = 611, "The body of the request did not arrive in time.";
    Failed = 612, "The node failed; its log says why.";
}

impl PeerError {
    /// The stable number, used as the link's refusal code.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether a fresh capability from the server lets the same request pass.
    #[must_use]
    pub const fn wants_capability(self) -> bool {
        matches!(self, Self::NoCapability | Self::Expired | Self::OverBudget)
    }

    /// Whether the same request can succeed later without anybody changing it.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::TooSlow | Self::Failed)
    }
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// Asks which chunks are on stable storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaveRequest {
    /// The vault, by the node's pseudonym.
    pub vault_tag: VaultTag,
    /// At most 1,024 ids.
    pub ids: Vec<ChunkId>,
}

/// Answer to [`HaveRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaveResponse {
    /// Whether each chunk is there.
    pub present: Vec<bool>,
}

/// Announces the chunks that the body carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutRequest {
    /// The vault, by the node's pseudonym.
    pub vault_tag: VaultTag,
    /// At most 1,024 chunks of at most 16 MiB in all.
    pub items: Vec<PutItem>,
}

/// One chunk of a [`PutRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutItem {
    /// BLAKE3 of the bytes; the node computes it again.
    pub id: ChunkId,
    /// Bytes it takes in the body.
    pub len_bytes: u32,
}

/// Answer to [`PutRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutResponse {
    /// What became of each chunk.
    pub outcomes: Vec<PutOutcome>,
    /// The node's signed receipt for those stored and present, in their order; empty when there are none.
    pub receipt: Vec<u8>,
}

/// What became of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is on stable storage.
    Stored,
    /// It already was.
    Present,
    /// The bytes do not hash to the id.
    WrongId,
    /// It is longer than any chunk can be.
    TooLarge,
    /// The node's disk is full.
    NoSpace,
    /// A write failed at the node; it takes nothing until it is restarted.
    ReadOnly,
}

/// Asks for chunks or parts of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetRequest {
    /// The vault, by the node's pseudonym.
    pub vault_tag: VaultTag,
    /// At most 1,024 items.
    pub items: Vec<GetItem>,
}

/// One chunk, or part of one, of a [`GetRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetItem {
    /// The chunk.
    pub id: ChunkId,
    /// First byte wanted.
    pub from: u32,
    /// Bytes wanted; all ones means up to the end.
    pub len_bytes: u32,
}

/// Answer to [`GetRequest`], in its order; the body holds the bytes of the found items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetResponse {
    /// What was found of each item.
    pub outcomes: Vec<GetOutcome>,
}

/// What was found of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetOutcome {
    /// These many bytes of it are in the body.
    Found {
        /// Length of the whole chunk.
        total_bytes: u32,
        /// Bytes in the body: what was asked for, cut at the chunk's end.
        len_bytes: u32,
    },
    /// The node does not have it for this vault.
    Missing,
    /// The node's copy is damaged; fetch it elsewhere and put it again.
    Damaged,
    /// The answer is full or over the credit: ask for this item again.
    Later,
}

impl GetItem {
    /// The whole chunk.
    #[must_use]
    pub const fn whole(id: ChunkId) -> Self {
        Self { id, from: 0, len_bytes: u32::MAX }
    }
}

impl PutRequest {
    /// Bytes the body must have.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.items.iter().fold(0, |sum, item| sum.saturating_add(u64::from(item.len_bytes)))
    }
}

impl GetResponse {
    /// Where each item's bytes lie in the body; `None` for items that have none.
    pub fn spans(&self) -> impl Iterator<Item = Option<std::ops::Range<u64>>> {
        self.outcomes.iter().scan(0_u64, |offset, outcome| {
            let GetOutcome::Found { len_bytes, .. } = outcome else { return Some(None) };
            let start = *offset;
            *offset = start.saturating_add(u64::from(*len_bytes));
            Some(Some(start..*offset))
        })
    }

    /// Bytes the body must have.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.spans().flatten().last().map_or(0, |span| span.end)
    }
}

impl Encode for HaveRequest {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.vault_tag);
        put_all(out, &self.ids);
    }
}

impl Decode for HaveRequest {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { vault_tag: input.get()?, ids: take_all(input, ChunkId::LEN)? })
    }
}

impl Encode for HaveResponse {
    fn encode(&self, out: &mut Writer) {
        put_count(out, self.present.len());
        for present in &self.present {
            out.u8(u8::from(*present));
        }
    }
}

impl Decode for HaveResponse {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = input.count(BATCH_ITEMS_MAX, 1)?;
        let answer = |byte| match byte {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid("presence")),
        };
        Ok(Self { present: (0..count).map(|_| answer(input.u8()?)).collect::<Result<_, _>>()? })
    }
}

impl Encode for PutRequest {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.vault_tag);
        put_all(out, &self.items);
    }
}

impl Decode for PutRequest {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let request = Self { vault_tag: input.get()?, items: take_all(input, 36)? };
        if request.body_bytes() > BATCH_BYTES_MAX as u64 {
            return Err(DecodeError::TooLong);
        }
        Ok(request)
    }
}

impl Encode for PutItem {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.id).u32(self.len_bytes);
    }
}

impl Decode for PutItem {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { id: input.get()?, len_bytes: input.u32()? })
    }
}

impl Encode for PutResponse {
    fn encode(&self, out: &mut Writer) {
        put_all(out, &self.outcomes);
        out.var_bytes(&self.receipt);
    }
}

impl Decode for PutResponse {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let outcomes = take_all(input, 1)?;
        Ok(Self { outcomes, receipt: input.var_bytes(RECEIPT_BYTES_MAX)?.to_vec() })
    }
}

impl Encode for PutOutcome {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Stored => out.u8(0),
            Self::Present => out.u8(1),
            Self::WrongId => out.u8(2),
            Self::TooLarge => out.u8(3),
            Self::NoSpace => out.u8(4),
            Self::ReadOnly => out.u8(5),
        };
    }
}

impl Decode for PutOutcome {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            0 => Ok(Self::Stored),
            1 => Ok(Self::Present),
            2 => Ok(Self::WrongId),
            3 => Ok(Self::TooLarge),
            4 => Ok(Self::NoSpace),
            5 => Ok(Self::ReadOnly),
            _ => Err(DecodeError::Unknown("put outcome")),
        }
    }
}

impl Encode for GetRequest {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.vault_tag);
        put_all(out, &self.items);
    }
}

impl Decode for GetRequest {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { vault_tag: input.get()?, items: take_all(input, 40)? })
    }
}

impl Encode for GetItem {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.id).u32(self.from).u32(self.len_bytes);
    }
}

impl Decode for GetItem {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { id: input.get()?, from: input.u32()?, len_bytes: input.u32()? })
    }
}

impl Encode for GetResponse {
    fn encode(&self, out: &mut Writer) {
        put_all(out, &self.outcomes);
    }
}

impl Decode for GetResponse {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let response = Self { outcomes: take_all(input, 1)? };
        if response.body_bytes() > BATCH_BYTES_MAX as u64 {
            return Err(DecodeError::TooLong);
        }
        Ok(response)
    }
}

impl Encode for GetOutcome {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Found { total_bytes, len_bytes } => out.u8(0).u32(*total_bytes).u32(*len_bytes),
            Self::Missing => out.u8(1),
            Self::Damaged => out.u8(2),
            Self::Later => out.u8(3),
        };
    }
}

impl Decode for GetOutcome {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            0 => {
                let (total_bytes, len_bytes) = (input.u32()?, input.u32()?);
                if len_bytes > total_bytes || total_bytes as usize > CHUNK_SEALED_BYTES_MAX {
                    return Err(DecodeError::Invalid("chunk length"));
                }
                Ok(Self::Found { total_bytes, len_bytes })
            }
            1 => Ok(Self::Missing),
            2 => Ok(Self::Damaged),
            3 => Ok(Self::Later),
            _ => Err(DecodeError::Unknown("get outcome")),
        }
    }
}

fn put_count(out: &mut Writer, count: usize) {
    out.u32(u32::try_from(count).expect("writers check their limits first"));
}

fn put_all<T: Encode>(out: &mut Writer, items: &[T]) {
    put_count(out, items.len());
    items.iter().for_each(|item| item.encode(out));
}

fn take_all<T: Decode>(input: &mut Reader<'_>, min_item_bytes: usize) -> Result<Vec<T>, DecodeError> {
    let count = input.count(BATCH_ITEMS_MAX, min_item_bytes)?;
    (0..count).map(|_| T::decode(input)).collect()
}

mod witness;

#[cfg(test)]
mod tests;
