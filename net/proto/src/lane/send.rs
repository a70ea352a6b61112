//! The sending half of a lane: what was written and has not arrived.

use crate::ranges::Ranges;
use crate::sent::Piece;
use bytes::Bytes;
use std::collections::VecDeque;

/// Bytes from the first that has not arrived to the last that was written.
#[derive(Debug, Default)]
pub(crate) struct SendHalf {
    parts: VecDeque<Bytes>,
    /// Offset of the first part's first byte.
    start: u64,
    /// Offset behind the last byte written.
    written: u64,
    /// The first byte that was never sent.
    next: u64,
    /// What arrived behind `start`.
    acked: Ranges,
    /// What was sent and lost.
    lost: Ranges,
    /// Bytes the other side takes.
    limit: u64,
    end: End,
    /// Where the last piece was taken from: a part, and its offset.
    cursor: (usize, u64),
}

/// How far the lane's end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// Nothing more is written.
    Finished,
    /// The other side was told.
    Sent,
    /// And has heard.
    Acked,
}

impl SendHalf {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Bytes kept until they arrive.
    pub(crate) const fn kept(&self) -> u64 {
        self.written - self.start
    }

    /// Offset behind the last byte that was ever sent.
    pub(crate) const fn sent_len(&self) -> u64 {
        self.next
    }

    pub(crate) fn write(&mut self, bytes: Bytes) {
        self.written += bytes.len() as u64;
        self.parts.push_back(bytes);
    }

    pub(crate) fn finish(&mut self) {
        if self.end == End::Open {
            self.end = End::Finished;
        }
    }

    /// Whether everything arrived.
    pub(crate) fn is_done(&self) -> bool {
        self.end == End::Acked && self.start == self.written
    }

    pub(crate) fn raise_limit(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// Whether there is something to send, new bytes only as far as `credit` allows.
    pub(crate) fn wants(&self, credit: u64) -> bool {
        !self.lost.is_empty() || self.fresh(credit) > 0 || self.end_is_due()
    }

    /// Whether nothing was lost and more may be written.
    pub(crate) fn goes_on(&self) -> bool {
        self.end == End::Open && self.lost.is_empty()
    }

    /// New bytes that may be sent.
    pub(crate) fn fresh(&self, credit: u64) -> u64 {
        self.written.min(self.limit).saturating_sub(self.next).min(credit)
    }

    /// Whether the end is to be said in a piece of its own.
    fn end_is_due(&self) -> bool {
        self.end == End::Finished && self.next == self.written
    }

    /// The next piece to send, lost ones first, and how many of its bytes are new.
    pub(crate) fn next_piece(&self, credit: u64) -> Option<(u64, u64)> {
        if let Some((start, end)) = self.lost.first() {
            return Some((start, end - start));
        }
        let fresh = self.fresh(credit);
        (fresh > 0 || self.end_is_due()).then_some((self.next, fresh))
    }

    /// Whether a piece that ends there ends the lane.
    pub(crate) fn ends_at(&self, offset: u64) -> bool {
        self.end != End::Open && offset == self.written
    }

    /// Copies bytes out, and notes that they are on their way; how many of them are new.
    pub(crate) fn take(&mut self, offset: u64, room: &mut [u8], fin: bool) -> u64 {
        self.copy(offset, room);
        let end = offset + room.len() as u64;
        self.lost.remove(offset, end);
        let fresh = end.saturating_sub(self.next.max(offset));
        self.next = self.next.max(end);
        if fin && self.end == End::Finished {
            self.end = End::Sent;
        }
        fresh
    }

    fn copy(&mut self, offset: u64, room: &mut [u8]) {
        let (mut at, mut start) = self.cursor;
        if offset < start || at >= self.parts.len() {
            (at, start) = (0, self.start);
        }
        let mut filled = 0;
        while filled < room.len() {
            let part = self.parts.get(at).expect("what is sent was written and is kept until it arrives");
            let end = start + part.len() as u64;
            let from = offset + filled as u64;
            if from >= end {
                (at, start) = (at + 1, end);
                continue;
            }
            let source = &part[usize::try_from(from - start).expect("inside the part")..];
            let len = source.len().min(room.len() - filled);
            room[filled..filled + len].copy_from_slice(&source[..len]);
            filled += len;
        }
        self.cursor = (at, start);
    }

    /// A piece arrived.
    pub(crate) fn acked(&mut self, piece: &Piece) {
        let end = piece.offset + u64::from(piece.len);
        self.acked.insert(piece.offset.max(self.start), end);
        self.lost.remove(piece.offset, end);
        if piece.fin {
            self.end = End::Acked;
        }
        if let Some((start, end)) = self.acked.first()
            && start == self.start
        {
            self.drop_to(end);
        }
    }

    fn drop_to(&mut self, end: u64) {
        self.acked.forget_below(end);
        let mut gone = end - self.start;
        while let Some(part) = self.parts.front_mut() {
            let len = part.len() as u64;
            if len > gone {
                drop(part.split_to(usize::try_from(gone).expect("less than the part")));
                break;
            }
            gone -= len;
            self.parts.pop_front();
        }
        self.start = end;
        self.cursor = (0, end);
    }

    /// A piece was lost: it is sent again, as far as it has not arrived otherwise.
    pub(crate) fn lost(&mut self, piece: &Piece) {
        let (start, end) = (piece.offset.max(self.start), piece.offset + u64::from(piece.len));
        self.lost.insert(start, end.max(start));
        for (from, to) in self.acked.iter() {
            self.lost.remove(from, to);
        }
        if piece.fin && self.end == End::Sent {
            self.end = End::Finished;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(half: &mut SendHalf, most: usize) -> (Piece, Vec<u8>) {
        let (offset, len) = half.next_piece(u64::MAX).expect("something to send");
        let len = usize::try_from(len).expect("small").min(most);
        let mut room = vec![0; len];
        let fin = half.ends_at(offset + len as u64);
        half.take(offset, &mut room, fin);
        (Piece { lane: 0, offset, len: len as u32, fin }, room)
    }

    #[test]
    fn bytes_are_kept_until_they_arrive_and_lost_ones_go_first() {
        let mut half = SendHalf::new(1_000);
        half.write(Bytes::from_static(b"hello "));
        half.write(Bytes::from_static(b"world"));
        half.finish();
        let (one, bytes) = take(&mut half, 4);
        assert_eq!(bytes, b"hell");
        let (two, bytes) = take(&mut half, 4);
        assert_eq!(bytes, b"o wo");
        half.lost(&one);
        let (again, bytes) = take(&mut half, 9);
        assert_eq!((again.offset, &bytes[..]), (0, &b"hell"[..]));
        half.acked(&two);
        assert_eq!(half.kept(), 11, "the first is missing");
        half.acked(&again);
        assert_eq!(half.kept(), 3);
        let (last, bytes) = take(&mut half, 9);
        assert_eq!((&bytes[..], last.fin), (&b"rld"[..], true));
        assert!(!half.wants(u64::MAX) && !half.is_done());
        half.acked(&last);
        assert!(half.is_done());
    }

    #[test]
    fn an_end_that_was_lost_is_said_again() {
        let mut half = SendHalf::new(10);
        half.finish();
        let (end, _) = take(&mut half, 10);
        assert!(end.fin && end.len == 0);
        assert!(half.next_piece(u64::MAX).is_none());
        half.lost(&end);
        let (again, _) = take(&mut half, 10);
        half.acked(&again);
        assert!(half.is_done());
    }

    #[test]
    fn no_byte_goes_beyond_what_the_other_side_takes() {
        let mut half = SendHalf::new(5);
        half.write(Bytes::from_static(b"0123456789"));
        assert_eq!(half.next_piece(100), Some((0, 5)));
        assert_eq!(half.next_piece(3), Some((0, 3)));
        take(&mut half, 5);
        assert!(!half.wants(100));
        half.raise_limit(7);
        assert_eq!(half.next_piece(100), Some((5, 2)));
    }
}
