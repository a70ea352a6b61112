//! Appending batches: one buffer, one write, one `fdatasync`.
//!
//! A batch becomes durable whole or, after a crash, not at all. When a write or flush fails, the
//! segment is left for ever: what the disk kept of it is unknown. The same batch number is used
//! again in a fresh segment, whose header tells a reader that the leftovers do not count.
//!
//! A segment that was a spare is left for the next spare once its zeroes are used up. Without one at
//! hand it grows, as one that was created empty does from the start.

use crate::journal::frame::{self, Chain, FRAME_HEADER_LEN, FrameHeader, FrameKind, SegmentHeader};
use crate::journal::space::{Space, is_full};
use crate::journal::spare::{self, Room};
use crate::journal::{Loc, Sealer, Segment, SegmentKind, Segments};
use crate::{FsError, limits};
use bytes::Bytes;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

struct Open {
    segment: Arc<Segment>,
    end: u64,
    chain: Chain,
    /// Up to here the file was there before the first batch.
    room: u64,
    batches: u64,
    /// The room is used up and the next segment is at hand.
    is_spent: bool,
}

impl Open {
    fn new(segment: Arc<Segment>, header: &SegmentHeader, room: u64) -> Self {
        let (end, chain) = (frame::HEADER_LEN as u64, header.start());
        Self { segment, end, chain, room, batches: 0, is_spent: false }
    }

    fn is_full(&self) -> bool {
        self.is_spent || self.end >= limits::JOURNAL_SEGMENT_BYTES
    }
}

/// The end of the journal. One flush at a time owns it.
pub(crate) struct JournalWriter {
    sealer: Arc<Sealer>,
    segments: Arc<Mutex<Segments>>,
    space: Arc<Space>,
    open: Option<Open>,
    next_batch: u64,
    chain: Chain,
    /// A segment without an acknowledged batch.
    fresh: Option<u64>,
}

/// What a written batch says to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) batch: u64,
    pub(crate) segment: u64,
    /// Whether the batch is the first of its segment.
    pub(crate) opened: bool,
    /// Whether it is time to prepare the next segment.
    pub(crate) runs_out: bool,
}

impl JournalWriter {
    /// Continues after batch `last_batch`, in a fresh segment.
    pub(crate) const fn new(
        sealer: Arc<Sealer>,
        segments: Arc<Mutex<Segments>>,
        space: Arc<Space>,
        last_batch: u64,
        chain: Chain,
    ) -> Self {
        Self { sealer, segments, space, open: None, next_batch: last_batch + 1, chain, fresh: None }
    }

    /// The segment the next batch goes to, if it is open already.
    pub(crate) fn current(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.segment.number)
    }

    /// Whether the next batch opens a segment, and so must repeat the small sync state.
    pub(crate) fn opens_segment(&self) -> bool {
        self.open.as_ref().is_none_or(Open::is_full)
    }

    /// Writes a batch: pieces first, then the items that may name them; durable on return.
    ///
    /// `items` gets the places of the pieces and returns encoded items.
    ///
    /// # Errors
    /// `Io`, `NoSpace`. Nothing of the batch counts then.
    pub(crate) fn write(
        &mut self,
        pieces: &[Bytes],
        items: impl FnOnce(&[Loc]) -> Vec<Vec<u8>>,
    ) -> Result<Written, FsError> {
        let opened = self.opens_segment();
        let done = self.try_write(pieces, items);
        match done {
            Ok(segment) => {
                let batch = self.next_batch;
                self.next_batch += 1;
                Ok(Written { batch, segment, opened, runs_out: self.look_ahead() })
            }
            Err(error) => {
                self.open = None;
                self.drop_unused();
                Err(if is_full(&error) { FsError::NoSpace } else { FsError::Io })
            }
        }
    }

    /// Removes a fresh segment that holds no acknowledged batch: a full disk must not leave one for
    /// every attempt.
    fn drop_unused(&mut self) {
        let Some(fresh) = self.fresh.take() else { return };
        if self.segments.lock().remove(fresh).is_err() {
            tracing::warn!("a journal segment that holds nothing could not be removed");
        }
    }

    /// Leaves a segment whose room is used up if there is a spare, and asks for one before that;
    /// whether none was asked for yet.
    fn look_ahead(&mut self) -> bool {
        let Some(open) = &mut self.open else { return false };
        open.batches += 1;
        let spare = &self.space.spare;
        open.is_spent = open.end >= open.room && spare.is_ready();
        let runs_out = open.end >= open.room / 2;
        let is_worth_it = open.end / open.batches <= limits::SPARE_BATCH_BYTES;
        let next_bytes =
            (open.room * limits::SPARE_GROWTH).clamp(limits::SPARE_BYTES_MIN, limits::JOURNAL_SEGMENT_BYTES);
        runs_out && is_worth_it && spare.want(next_bytes)
    }

    fn try_write(&mut self, pieces: &[Bytes], items: impl FnOnce(&[Loc]) -> Vec<Vec<u8>>) -> io::Result<u64> {
        let mut open = self.segment()?;
        let mut buffer = Vec::new();
        let mut locs = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let at = open.end + buffer.len() as u64;
            let offset = at + FRAME_HEADER_LEN as u64;
            let sealed = self.sealer.seal_piece(&open.segment, offset, piece);
            let sealed_len = length(&sealed)?;
            let header = FrameHeader { kind: FrameKind::Data, batch: self.next_batch, sealed_len }.encode();
            open.chain = frame::advance(&open.chain, &header, &sealed);
            buffer.extend_from_slice(&header);
            buffer.extend_from_slice(&sealed);
            locs.push(Loc { segment: Arc::clone(&open.segment), offset, sealed_len });
        }
        let parts = cut_parts(items(&locs));
        for (index, part) in parts.iter().enumerate() {
            self.put_part(&mut open, &mut buffer, part, index + 1 == parts.len())?;
            if buffer.len() >= limits::FRAME_ITEMS_BYTES {
                self.put_buffer(&mut open, &mut buffer)?;
            }
        }
        self.put_buffer(&mut open, &mut buffer)?;
        open.segment.file.sync_data()?;
        self.chain = open.chain;
        self.fresh = None;
        let number = open.segment.number;
        self.open = Some(open);
        Ok(number)
    }

    fn put_part(&self, open: &mut Open, buffer: &mut Vec<u8>, items: &[u8], last: bool) -> io::Result<()> {
        let at = open.end + buffer.len() as u64;
        let plain = [&open.chain[..], items].concat();
        let sealed_len = u32::try_from(Sealer::sealed_frame_len(plain.len())).map_err(io::Error::other)?;
        let header = FrameHeader { kind: FrameKind::State { last }, batch: self.next_batch, sealed_len };
        let sealed = self.sealer.seal_frame(open.segment.number, at, &header, &plain);
        assert_eq!(length(&sealed)?, sealed_len, "a sealed frame has the length its header names");
        open.chain = frame::advance(&open.chain, &header.encode(), &sealed);
        buffer.extend_from_slice(&header.encode());
        buffer.extend_from_slice(&sealed);
        Ok(())
    }

    fn put_buffer(&self, open: &mut Open, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.space.write(|| open.segment.file.write_all_at(open.end, buffer))?;
        open.end += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }

    /// The open segment, taken out: an error on the way leaves none.
    fn segment(&mut self) -> io::Result<Open> {
        if let Some(open) = self.open.take().filter(|open| !open.is_full()) {
            return Ok(open);
        }
        match self.space.spare.take() {
            Some(room) => self.adopt(room),
            None => self.create(),
        }
    }

    /// Makes a spare the next segment. It has its header before its name.
    fn adopt(&mut self, room: Room) -> io::Result<Open> {
        let number = self.segments.lock().take_number();
        self.fresh = Some(number);
        let header = SegmentHeader { number, first_batch: self.next_batch, chain: self.chain };
        let named = self
            .space
            .write(|| room.file.write_all_at(0, &header.encode()))
            .and_then(|()| room.file.sync_data())
            .and_then(|()| self.segments.lock().adopt(spare::NAME, number, room.file));
        if named.is_err() {
            self.space.spare.discard();
        }
        Ok(Open::new(named?, &header, room.len_bytes))
    }

    fn create(&mut self) -> io::Result<Open> {
        let segment = self.space.write(|| self.segments.lock().create(SegmentKind::Journal))?;
        self.fresh = Some(segment.number);
        let header =
            SegmentHeader { number: segment.number, first_batch: self.next_batch, chain: self.chain };
        self.space.write(|| segment.file.write_all_at(0, &header.encode()))?;
        // Durable before the first frame: a header that cannot be read is torn or damaged, never both.
        segment.file.sync_data()?;
        Ok(Open::new(segment, &header, 0))
    }
}

fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(io::Error::other)
}

/// Cuts encoded items into parts of about one frame each; an empty batch still has one part.
fn cut_parts(items: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    for item in items {
        match parts.last_mut() {
            Some(part) if part.is_empty() || part.len() + item.len() <= limits::FRAME_ITEMS_BYTES => {
                part.extend_from_slice(&item);
            }
            _ => parts.push(item),
        }
    }
    parts
}
