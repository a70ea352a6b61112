//! The device protocol: what two devices of one account say to each other over a link.
//!
//! Both sides ask and both serve. `HEADS` compares what each knows: its account log and the newest
//! commit of every device. `COMMITS`, `VERSIONS`, `LOG` and `CHUNKS` fetch what the other has more;
//! `TELL` sends new commits with everything that travels with them, unasked, and `REMOVALS`
//! the removals of devices that are not in the account log yet. Nothing said here is
//! believed for who said it: commits are signed and chained, versions and chunks are named by their
//! hash, log entries are replayed. Refusals use the numbers of [`crate::peer::PeerError`].
//!
//! ```text
//! HEADS     head  vault 16 · log_len 8 · log_head 32 · count 4 · (device 16 · incarnation 4
//!                 · seq 8 · hash 32) *                      ->  head  the same
//! COMMITS   head  vault 16 · count 4 · (device 16 · incarnation 4 · seq 8) *
//!                                                           ->  body  "FHC1" · more 1 · count 4
//!                                                                     · (len 4 · commit) *
//! VERSIONS  head  vault 16 · "FHV1" request of the bulk messages
//!                                                           ->  body  "FHW1" answer of the same
//! LOG       head  from 8                                    ->  body  "FHO1" · count 4 · (len 4 · entry) *
//! CHUNKS    head  as GET of the node protocol, the vault in the place of its tag
//!                                                           ->  as GET
//! TELL      head  vault 16; body  "FHU1" request of the bulk messages
//!                                                           ->  head  empty
//! REMOVALS  head  vault 16; body  "FHX1" · count 4 · (len 4 · intent) *
//!                                                           ->  head  empty
//! ```
//!
//! In an answer to `VERSIONS`, *placed* means that the storage nodes have every chunk of it for all
//! the answering device knows, *unplaced* that they may not.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::bulk::VersionsRequest;
use crate::limits;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::{CommitHash, DeviceId, LogHash, VaultId};

/// Method number of `HEADS`.
pub const HEADS: u16 = 16;
/// Method number of `COMMITS`.
pub const COMMITS: u16 = 17;
/// Method number of `VERSIONS`.
pub const VERSIONS: u16 = 18;
/// Method number of `LOG`.
pub const LOG: u16 = 19;
/// Method number of `CHUNKS`.
pub const CHUNKS: u16 = 20;
/// Method number of `TELL`.
pub const TELL: u16 = 21;

/// Method number of `REMOVALS`.
pub const REMOVALS: u16 = 22;

const COMMITS_MAGIC: &[u8; 4] = b"FHC1";
const LOG_MAGIC: &[u8; 4] = b"FHO1";
const REMOVALS_MAGIC: &[u8; 4] = b"FHX1";

/// The newest commit of one device, as the sender knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeadItem {
    /// Whose commit.
    pub device: DeviceId,
    /// Its incarnation.
    pub incarnation: u32,
    /// Its place in the chain.
    pub seq: u64,
    /// The commit.
    pub hash: CommitHash,
}

/// What one side knows: question and answer of `HEADS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The vault.
    pub vault: VaultId,
    /// Entries of the account log.
    pub log_len: u64,
    /// The newest of them.
    pub log_head: LogHash,
    /// One for each device, by device.
    pub heads: Vec<HeadItem>,
}

/// A place in a device's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct After {
    /// Whose chain.
    pub device: DeviceId,
    /// The incarnation.
    pub incarnation: u32,
    /// The last commit that is known; 0 for none of the incarnation.
    pub seq: u64,
}

/// Asks for commits of the devices named, after a place in each chain, and of no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitsRequest {
    /// The vault.
    pub vault: VaultId,
    /// One place for each device.
    pub after: Vec<After>,
}

/// Commits in an order in which each chain can be followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitsResponse {
    /// Whether more would have been given but for the size of the answer.
    pub more: bool,
    /// The commits as signed.
    pub commits: Vec<Vec<u8>>,
}

/// Asks for versions of one vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceVersionsRequest {
    /// The vault.
    pub vault: VaultId,
    /// Which.
    pub versions: VersionsRequest,
}

/// Entries of the account log from the place asked for on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogResponse {
    /// The entries as signed, a prefix of the rest of the log.
    pub entries: Vec<Vec<u8>>,
}

/// Removals of devices that somebody wants and the account log does not have yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovalsTold {
    /// The intents as signed.
    pub intents: Vec<Vec<u8>>,
}

impl Encode for HeadItem {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.device).u32(self.incarnation).u64(self.seq).put(&self.hash);
    }
}

impl Decode for HeadItem {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { device: input.get()?, incarnation: input.u32()?, seq: input.u64()?, hash: input.get()? })
    }
}

impl Encode for Heads {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.vault).u64(self.log_len).put(&self.log_head);
        put_all(out, &self.heads);
    }
}

impl Decode for Heads {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (vault, log_len, log_head) = (input.get()?, input.u64()?, input.get()?);
        let heads: Vec<HeadItem> = take_all(input, limits::HEADS_MAX, 60)?;
        if !heads.is_sorted_by(|a, b| a.device < b.device) {
            return Err(DecodeError::Invalid("order of heads"));
        }
        Ok(Self { vault, log_len, log_head, heads })
    }
}

impl Encode for After {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.device).u32(self.incarnation).u64(self.seq);
    }
}

impl Decode for After {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { device: input.get()?, incarnation: input.u32()?, seq: input.u64()? })
    }
}

impl Encode for CommitsRequest {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.vault);
        put_all(out, &self.after);
    }
}

impl Decode for CommitsRequest {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { vault: input.get()?, after: take_all(input, limits::HEADS_MAX, 28)? })
    }
}

impl Encode for CommitsResponse {
    fn encode(&self, out: &mut Writer) {
        out.raw(COMMITS_MAGIC).u8(u8::from(self.more));
        put_bytes(out, &self.commits);
    }
}

impl Decode for CommitsResponse {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(COMMITS_MAGIC, "commits")?;
        let more = match input.u8()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::Invalid("flag")),
        };
        let commits = take_bytes(input, limits::PAGE_COMMITS_MAX, limits::COMMIT_BYTES_MAX)?;
        if more && commits.is_empty() {
            return Err(DecodeError::Invalid("empty answer with more to come"));
        }
        Ok(Self { more, commits })
    }
}

impl Encode for DeviceVersionsRequest {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.vault).put(&self.versions);
    }
}

impl Decode for DeviceVersionsRequest {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { vault: input.get()?, versions: input.get()? })
    }
}

impl Encode for LogResponse {
    fn encode(&self, out: &mut Writer) {
        out.raw(LOG_MAGIC);
        put_bytes(out, &self.entries);
    }
}

impl Decode for LogResponse {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(LOG_MAGIC, "log entries")?;
        Ok(Self { entries: take_bytes(input, limits::LOG_ENTRIES_MAX, limits::LOG_ENTRY_BYTES_MAX)? })
    }
}

impl Encode for RemovalsTold {
    fn encode(&self, out: &mut Writer) {
        out.raw(REMOVALS_MAGIC);
        put_bytes(out, &self.intents);
    }
}

impl Decode for RemovalsTold {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(REMOVALS_MAGIC, "removals")?;
        Ok(Self { intents: take_bytes(input, limits::REMOVALS_MAX, limits::LOG_ENTRY_BYTES_MAX)? })
    }
}

fn put_count(out: &mut Writer, count: usize) {
    out.u32(u32::try_from(count).expect("writers check their limits first"));
}

fn put_all<T: Encode>(out: &mut Writer, items: &[T]) {
    put_count(out, items.len());
    items.iter().for_each(|item| item.encode(out));
}

fn take_all<T: Decode>(
    input: &mut Reader<'_>,
    max: usize,
    min_item_bytes: usize,
) -> Result<Vec<T>, DecodeError> {
    let count = input.count(max, min_item_bytes)?;
    (0..count).map(|_| T::decode(input)).collect()
}

fn put_bytes(out: &mut Writer, items: &[Vec<u8>]) {
    put_count(out, items.len());
    items.iter().for_each(|item| {
        out.var_bytes(item);
    });
}

fn take_bytes(
    input: &mut Reader<'_>,
    max: usize,
    item_bytes_max: usize,
) -> Result<Vec<Vec<u8>>, DecodeError> {
    let count = input.count(max, 4)?;
    (0..count).map(|_| input.var_bytes(item_bytes_max).map(<[u8]>::to_vec)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::codec::{from_slice, to_vec};

    fn head(device: u8) -> HeadItem {
        HeadItem {
            device: DeviceId::from_bytes([device; 16]),
            incarnation: 1,
            seq: 7,
            hash: CommitHash::from_bytes([9; 32]),
        }
    }

    fn heads(devices: &[u8]) -> Heads {
        Heads {
            vault: VaultId::from_bytes([3; 16]),
            log_len: 4,
            log_head: LogHash::from_bytes([5; 32]),
            heads: devices.iter().map(|device| head(*device)).collect(),
        }
    }

    #[test]
    fn every_message_survives_a_round_trip_and_no_cut_of_it_is_taken() {
        fn check<T: Encode + Decode + PartialEq + std::fmt::Debug>(message: &T) {
            let bytes = to_vec(message);
            assert_eq!(from_slice::<T>(&bytes).as_ref(), Ok(message));
            for len in 0..bytes.len() {
                assert!(from_slice::<T>(bytes.get(..len).unwrap_or_default()).is_err(), "cut at {len}");
            }
        }
        let after = After { device: DeviceId::from_bytes([1; 16]), incarnation: 2, seq: 3 };
        let vault = VaultId::from_bytes([3; 16]);
        check(&heads(&[1, 2]));
        check(&CommitsRequest { vault, after: vec![after] });
        check(&CommitsResponse { more: true, commits: vec![b"one".to_vec(), Vec::new()] });
        check(&DeviceVersionsRequest { vault, versions: VersionsRequest::default() });
        check(&RemovalsTold { intents: vec![b"intent".to_vec()] });
        check(&LogResponse { entries: vec![b"entry".to_vec()] });
    }

    #[test]
    fn heads_out_of_order_or_twice_are_refused() {
        for devices in [&[2, 1][..], &[1, 1]] {
            let bytes = to_vec(&heads(devices));
            assert_eq!(from_slice::<Heads>(&bytes), Err(DecodeError::Invalid("order of heads")));
        }
    }

    #[test]
    fn an_answer_that_promises_more_has_something() {
        let empty = CommitsResponse { more: true, commits: Vec::new() };
        assert!(from_slice::<CommitsResponse>(&to_vec(&empty)).is_err());
    }
}
