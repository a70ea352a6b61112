//! The receiving half of a lane: pieces put in order.

use super::Violation;
use crate::limits::GAPS_MAX;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};

/// Bytes of one buffer that pieces are gathered in.
const BUFFER_BYTES: usize = 64 * 1024;

/// What can be read of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The next bytes.
    Bytes(Bytes),
    /// Nothing yet.
    Pending,
    /// Everything was read.
    End,
    /// The other side gave up; its reason.
    Reset(u64),
    /// There is no such lane, or it was given up here.
    Gone,
}

/// Buffers that were filled and read. Once nobody holds what was in one, it is filled again: memory that was
/// never used costs a page fault for each 4 KiB, a seventh of the receiver's time when all of it was new.
#[derive(Debug, Default)]
pub(crate) struct Spare(VecDeque<BytesMut>);

/// Buffers kept to be filled again: 2 MiB.
const SPARE_MAX: usize = 32;

impl Spare {
    fn take(&mut self) -> BytesMut {
        for _ in 0..self.0.len().min(4) {
            let Some(mut buffer) = self.0.pop_front() else { break };
            if buffer.try_reclaim(BUFFER_BYTES) {
                return buffer;
            }
            self.0.push_back(buffer);
        }
        BytesMut::with_capacity(BUFFER_BYTES)
    }

    fn keep(&mut self, buffer: BytesMut) {
        if self.0.len() < SPARE_MAX {
            self.0.push_back(buffer);
        }
    }
}

/// Bytes from the first that was not read.
#[derive(Debug, Default)]
pub(crate) struct RecvHalf {
    /// Bytes in order, to be read.
    ready: VecDeque<BytesMut>,
    /// Offset behind the last byte read.
    read: u64,
    /// Offset behind the last byte in order.
    ordered: u64,
    /// Runs behind a gap, by their offset.
    ahead: BTreeMap<u64, BytesMut>,
    /// Offset behind the last byte that came at all.
    highest: u64,
    /// Bytes the other side may send.
    limit: u64,
    len: Option<u64>,
    reset: Option<u64>,
    is_stopped: bool,
}

impl RecvHalf {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(crate) const fn highest(&self) -> u64 {
        self.highest
    }

    pub(crate) const fn consumed(&self) -> u64 {
        self.read
    }

    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn raise_limit(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// Whether the other side may send more, so that credit makes sense.
    pub(crate) const fn may_grow(&self) -> bool {
        self.len.is_none() && self.reset.is_none() && !self.is_stopped
    }

    /// Whether a half that nobody reads is over: everything that counts against credit has been counted.
    pub(crate) fn is_over(&self) -> bool {
        self.is_stopped && (self.reset.is_some() || self.len == Some(self.highest))
    }

    /// Bytes that came and were neither read nor forgotten.
    pub(crate) fn unread(&self) -> u64 {
        if self.reset.is_some() { 0 } else { self.highest - self.read }
    }

    /// Takes in a piece; whether there is something new to read.
    pub(crate) fn piece(
        &mut self,
        offset: u64,
        bytes: &[u8],
        fin: bool,
        spare: &mut Spare,
    ) -> Result<bool, Violation> {
        let end = offset + bytes.len() as u64;
        if end > self.limit {
            return Err(Violation::OverCredit);
        }
        if self.len.is_some_and(|len| end > len || (fin && end != len)) || (fin && end < self.highest) {
            return Err(Violation::LengthChanged);
        }
        if fin {
            self.len = Some(end);
        }
        self.highest = self.highest.max(end);
        if self.is_stopped || self.reset.is_some() {
            return Ok(false);
        }
        let before = self.ordered;
        if offset <= self.ordered {
            let known = usize::try_from(self.ordered - offset).unwrap_or(usize::MAX);
            if let Some(fresh) = bytes.get(known..) {
                self.append(fresh, spare);
                self.join(spare);
            }
        } else {
            self.keep_ahead(offset, bytes)?;
        }
        Ok(self.ordered > before || (fin && self.len == Some(self.ordered)))
    }

    fn append(&mut self, mut bytes: &[u8], spare: &mut Spare) {
        self.ordered += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = self.ready.back().map_or(0, |last| last.capacity() - last.len());
            if room == 0 {
                self.ready.push_back(spare.take());
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.ready.back_mut().expect("one was just made").extend_from_slice(now);
            bytes = later;
        }
    }

    /// Moves runs that are no longer ahead to what is ready.
    fn join(&mut self, spare: &mut Spare) {
        while let Some(run) = self.ahead.first_entry().filter(|run| *run.key() <= self.ordered) {
            let (start, run) = run.remove_entry();
            let known = usize::try_from(self.ordered - start).unwrap_or(usize::MAX);
            if let Some(fresh) = run.get(known..) {
                self.append(fresh, spare);
            }
        }
    }

    /// Keeps what is not there yet of a piece behind a gap.
    fn keep_ahead(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Violation> {
        let (mut offset, mut bytes) = (offset, bytes);
        while !bytes.is_empty() {
            // What the run before it covers is known.
            let before = self.ahead.range(..=offset).next_back().map(|(start, run)| start + run.len() as u64);
            let known = before.map_or(0, |end| end.saturating_sub(offset)).min(bytes.len() as u64);
            let known = usize::try_from(known).unwrap_or(bytes.len());
            (offset, bytes) = (offset + known as u64, &bytes[known..]);
            if bytes.is_empty() {
                break;
            }
            let next = self.ahead.range(offset..).next().map(|(start, _)| start - offset);
            let fresh =
                next.map_or(bytes.len(), |gap| bytes.len().min(usize::try_from(gap).unwrap_or(usize::MAX)));
            let (now, later) = bytes.split_at(fresh);
            match self.ahead.range_mut(..offset).next_back() {
                Some((start, run)) if start + run.len() as u64 == offset => run.extend_from_slice(now),
                _ => {
                    if self.ahead.len() >= GAPS_MAX {
                        return Err(Violation::TooManyGaps);
                    }
                    self.ahead.insert(offset, BytesMut::from(now));
                }
            }
            (offset, bytes) = (offset + fresh as u64, later);
        }
        Ok(())
    }

    /// The other side gives up after so many bytes; whether that is news.
    pub(crate) fn reset(&mut self, code: u64, len: u64) -> Result<bool, Violation> {
        if len > self.limit {
            return Err(Violation::OverCredit);
        }
        if self.len.is_some_and(|known| known != len) || len < self.highest {
            return Err(Violation::LengthChanged);
        }
        let is_news = self.reset.is_none() && self.len != Some(self.ordered);
        if is_news {
            (self.len, self.highest, self.reset) = (Some(len), len, Some(code));
            self.ready.clear();
            self.ahead.clear();
        }
        Ok(is_news)
    }

    /// Whether bytes may still come, so that a stop tells the other side something.
    pub(crate) fn expects_more(&self) -> bool {
        self.reset.is_none() && self.len.is_none_or(|len| len > self.ordered)
    }

    /// Nobody here reads it any more.
    pub(crate) fn stop(&mut self) {
        self.is_stopped = true;
        self.ready.clear();
        self.ahead.clear();
    }

    /// Whether [`Self::stop`] was called.
    pub(crate) const fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// The next bytes, at most `most`.
    pub(crate) fn read(&mut self, most: usize, spare: &mut Spare) -> Read {
        if self.is_stopped {
            return Read::Gone;
        }
        if let Some(code) = self.reset {
            return Read::Reset(code);
        }
        while let Some(front) = self.ready.front_mut() {
            if front.is_empty() {
                // The last one is filled further.
                if front.capacity() > 0 && self.ready.len() == 1 {
                    break;
                }
                self.ready.pop_front().into_iter().for_each(|read| spare.keep(read));
                continue;
            }
            let bytes = front.split_to(front.len().min(most)).freeze();
            self.read += bytes.len() as u64;
            return Read::Bytes(bytes);
        }
        if self.len == Some(self.read) { Read::End } else { Read::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(half: &mut RecvHalf) -> Vec<u8> {
        let mut all = Vec::new();
        while let Read::Bytes(bytes) = half.read(7, &mut Spare::default()) {
            all.extend_from_slice(&bytes);
        }
        all
    }

    #[test]
    fn pieces_in_any_order_repeated_and_overlapping_give_the_same_bytes() {
        let content: Vec<u8> = (0..=255).cycle().take(3_000).collect();
        let mut state = 11_u64;
        let mut next = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % bound
        };
        for _ in 0..50 {
            let mut half = RecvHalf::new(3_000);
            let mut read = Vec::new();
            for _ in 0..600 {
                let start = next(content.len());
                let end = (start + next(90)).min(content.len());
                let fin = end == content.len();
                half.piece(start as u64, &content[start..end], fin, &mut Spare::default())
                    .expect("within its credit");
                read.extend(all(&mut half));
            }
            half.piece(0, &content, true, &mut Spare::default()).expect("within its credit");
            read.extend(all(&mut half));
            assert_eq!(read, content);
            assert_eq!(half.read(1, &mut Spare::default()), Read::End);
        }
    }

    #[test]
    fn what_breaks_the_rules_is_named() {
        let mut half = RecvHalf::new(10);
        assert_eq!(half.piece(5, &[0; 6], false, &mut Spare::default()), Err(Violation::OverCredit));
        half.piece(0, &[0; 4], false, &mut Spare::default()).expect("within its credit");
        assert_eq!(half.piece(0, &[0; 3], true, &mut Spare::default()), Err(Violation::LengthChanged));
        half.piece(4, &[0; 2], true, &mut Spare::default()).expect("its end");
        assert_eq!(half.piece(6, &[0; 1], false, &mut Spare::default()), Err(Violation::LengthChanged));
        assert_eq!(half.reset(1, 7), Err(Violation::LengthChanged));
        let mut gaps = RecvHalf::new(1 << 20);
        let refused = (0..2_000)
            .find_map(|number| gaps.piece(1 + number * 2, &[0], false, &mut Spare::default()).err());
        assert_eq!(refused, Some(Violation::TooManyGaps));
    }

    #[test]
    fn a_lane_given_up_by_either_side_ends() {
        let mut half = RecvHalf::new(100);
        half.piece(3, b"later", false, &mut Spare::default()).expect("within its credit");
        assert_eq!(half.reset(9, 50), Ok(true));
        assert_eq!(half.read(10, &mut Spare::default()), Read::Reset(9));
        let mut half = RecvHalf::new(100);
        half.piece(0, b"unread", false, &mut Spare::default()).expect("within its credit");
        half.stop();
        assert_eq!(half.read(10, &mut Spare::default()), Read::Gone);
        assert!(!half.is_over());
        half.piece(6, b" and more", true, &mut Spare::default()).expect("within its credit");
        assert!(half.is_over());
    }
}
