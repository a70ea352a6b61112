//! Frames: how a batch lies in a journal segment, and how a segment is read back.
//!
//! A segment starts with a header and holds frames: *data* frames are one sealed piece each, *state*
//! frames a sealed part of a batch. A running BLAKE3 chain covers every byte; each state frame
//! carries, inside its seal, the chain value before it, so pieces are covered too and no frame of
//! another time or place can be spliced in. The layout is drawn in docs/format.md.
//!
//! Behind the last batch the file may go on with zeroes, written before the first. They are no frame.
//!
//! Reading never trusts a length. A frame that fails with nothing valid after it is a torn tail; with
//! a valid frame after it, it is damage.

use crate::journal::{Sealer, Segment};
use crate::limits;
use freehold_model::codec::{DecodeError, Reader, Writer};

const SEGMENT_MAGIC: &[u8; 8] = b"FHJRNL\x00\x01";
const FRAME_MAGIC: &[u8; 4] = b"FHJF";

/// Bytes of a segment header.
pub(crate) const HEADER_LEN: usize = 56;

/// Bytes of a frame header.
pub(crate) const FRAME_HEADER_LEN: usize = 20;

/// A value of the running chain.
pub(crate) type Chain = [u8; 32];

/// What a segment continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    /// The first batch in it. Batches from this number on in older segments were never
    /// acknowledged and count for nothing.
    pub(crate) first_batch: u64,
    /// The chain at the end of the batch before.
    pub(crate) chain: Chain,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(HEADER_LEN);
        out.raw(SEGMENT_MAGIC).u64(self.number).u64(self.first_batch).raw(&self.chain);
        out.into_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes.get(..HEADER_LEN).ok_or(DecodeError::Truncated)?);
        input.expect(SEGMENT_MAGIC, "journal segment")?;
        Ok(Self { number: input.u64()?, first_batch: input.u64()?, chain: input.array()? })
    }

    /// Where the segment's own chain starts.
    pub(crate) fn start(&self) -> Chain {
        *blake3::hash(&self.encode()).as_bytes()
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// One sealed piece.
    Data,
    /// A part of a batch; `last` completes it.
    State { last: bool },
}

/// The clear head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: FrameKind,
    pub(crate) batch: u64,
    pub(crate) sealed_len: u32,
}

impl FrameHeader {
    pub(crate) fn encode(&self) -> [u8; FRAME_HEADER_LEN] {
        let kind = match self.kind {
            FrameKind::Data => 1,
            FrameKind::State { last: false } => 2,
            FrameKind::State { last: true } => 3,
        };
        let mut out = Writer::with_capacity(FRAME_HEADER_LEN);
        out.raw(FRAME_MAGIC).u8(kind).raw(&[0; 3]).u32(self.sealed_len).u64(self.batch);
        out.into_vec().try_into().expect("the fields above add up to the header's length")
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        input.expect(FRAME_MAGIC, "journal frame")?;
        let kind = match input.u8()? {
            1 => FrameKind::Data,
            2 => FrameKind::State { last: false },
            3 => FrameKind::State { last: true },
            _ => return Err(DecodeError::Unknown("journal frame kind")),
        };
        input.expect(&[0; 3], "journal frame flags")?;
        Ok(Self { kind, sealed_len: input.u32()?, batch: input.u64()? })
    }
}

/// Moves the chain past a frame.
pub(crate) fn advance(chain: &Chain, header: &[u8], sealed: &[u8]) -> Chain {
    let mut hash = blake3::Hasher::new();
    hash.update(chain).update(header).update(sealed);
    *hash.finalize().as_bytes()
}

/// One readable state frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) batch: u64,
    pub(crate) last: bool,
    /// The items of this part, encoded.
    pub(crate) items: Vec<u8>,
    /// Offset past the frame.
    pub(crate) end: u64,
    /// Whether bytes before this frame are not the ones it was chained to.
    pub(crate) after_damage: bool,
    /// The chain past this frame.
    pub(crate) chain: Chain,
}

/// What one segment holds.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Made up from the first readable frame when the real one is damaged.
    pub(crate) header: SegmentHeader,
    pub(crate) header_is_damaged: bool,
    pub(crate) found: Vec<Found>,
}

/// Reads a segment; `None` when neither its header nor any frame can be read.
pub(crate) fn scan(segment: &Segment, bytes: &[u8], sealer: &Sealer) -> Option<Scan> {
    let intact = SegmentHeader::decode(bytes).ok().filter(|header| header.number == segment.number);
    let (header, mut at) = match intact {
        Some(header) => (header, HEADER_LEN),
        None => {
            let at = resync(segment, bytes, 0, sealer)?;
            let (frame, _) = frame_at(bytes, at)?;
            (SegmentHeader { number: segment.number, first_batch: frame.batch, chain: [0; 32] }, at)
        }
    };
    let header_is_damaged = intact.is_none();
    let mut scan = Scan { header, header_is_damaged, found: Vec::new() };
    let mut chain = header.start();
    while !is_blank(bytes.get(at..).unwrap_or_default()) {
        let Some((frame, sealed)) = frame_at(bytes, at) else {
            let Some(next) = resync(segment, bytes, at + 1, sealer) else { break };
            at = next;
            continue;
        };
        let end = at + FRAME_HEADER_LEN + sealed.len();
        let head = frame.encode();
        match frame.kind {
            FrameKind::Data => chain = advance(&chain, &head, sealed),
            FrameKind::State { last } => {
                let Some((before, items)) = open_state(segment, at, &frame, sealed, sealer) else {
                    let Some(next) = resync(segment, bytes, at + 1, sealer) else { break };
                    at = next;
                    continue;
                };
                let after_damage = before != chain;
                chain = advance(&before, &head, sealed);
                scan.found.push(Found {
                    batch: frame.batch,
                    last,
                    items,
                    end: end as u64,
                    after_damage,
                    chain,
                });
            }
        }
        at = end;
    }
    Some(scan)
}

/// Whether nothing was written here. Zeroes with a frame behind them are not blank, but damage.
pub(crate) fn is_blank(rest: &[u8]) -> bool {
    rest.iter().all(|byte| *byte == 0)
}

/// The frame that starts at an offset, if its header makes sense and it fits.
fn frame_at(bytes: &[u8], at: usize) -> Option<(FrameHeader, &[u8])> {
    let head = bytes.get(at..at.checked_add(FRAME_HEADER_LEN)?)?;
    let frame = FrameHeader::decode(head).ok()?;
    let len = usize::try_from(frame.sealed_len).ok().filter(|len| *len <= limits::FRAME_BYTES_MAX)?;
    let start = at + FRAME_HEADER_LEN;
    Some((frame, bytes.get(start..start.checked_add(len)?)?))
}

fn open_state(
    segment: &Segment,
    at: usize,
    frame: &FrameHeader,
    sealed: &[u8],
    sealer: &Sealer,
) -> Option<(Chain, Vec<u8>)> {
    let plain = sealer.open_frame(segment.number, at as u64, frame, sealed)?;
    let (chain, items) = plain.split_first_chunk::<32>()?;
    Some((*chain, items.to_vec()))
}

/// The next offset at which a state frame opens.
fn resync(segment: &Segment, bytes: &[u8], from: usize, sealer: &Sealer) -> Option<usize> {
    let mut at = from;
    while let Some(skip) =
        bytes.get(at..)?.windows(FRAME_MAGIC.len()).position(|window| window == FRAME_MAGIC)
    {
        at += skip;
        if let Some((frame, sealed)) = frame_at(bytes, at)
            && matches!(frame.kind, FrameKind::State { .. })
            && open_state(segment, at, &frame, sealed, sealer).is_some()
        {
            return Some(at);
        }
        at += 1;
    }
    None
}
