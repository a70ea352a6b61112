//! The bytes of a content that the walk has read: those of pieces it has cut off, and behind them those in which it
//! looks for the next cut.
//!
//! A window of pieces takes the buffer along and the walk goes on in that of the window before, so bytes are neither
//! copied piece by piece nor is memory fresh for each window.

use std::ops::Range;

/// What was read and is not handed over yet.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Holds anything behind `end`.
    buffer: Vec<u8>,
    /// Where the last piece ends that was cut off.
    cut: usize,
    end: usize,
}

impl Held {
    /// Bytes behind the last cut.
    pub(super) fn open(&self) -> &[u8] {
        self.buffer.get(self.cut..self.end).unwrap_or_default()
    }

    /// Bytes before the last cut.
    pub(super) const fn cut_bytes(&self) -> usize {
        self.cut
    }

    /// Takes in so many more bytes, which `fill` writes; none where it fails.
    pub(super) fn read<E>(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = self.end + len;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        fill(self.buffer.get_mut(self.end..end).unwrap_or_default())?;
        self.end = end;
        Ok(())
    }

    /// Cuts a piece off: where its bytes are in what [`hand_over`](Self::hand_over) gives.
    pub(super) fn cut_off(&mut self, len: usize) -> Range<usize> {
        let start = self.cut;
        self.skip(len);
        start..self.cut
    }

    /// Passes over bytes, as far as they were read.
    pub(super) fn skip(&mut self, len: usize) {
        self.cut = self.end.min(self.cut.saturating_add(len));
    }

    /// The buffer with the pieces that were cut off; the walk goes on in `room`, whatever that holds.
    pub(super) fn hand_over(&mut self, mut room: Vec<u8>) -> Vec<u8> {
        let open = self.open();
        if room.len() < open.len() {
            room.resize(open.len(), 0);
        }
        let end = open.len();
        room.get_mut(..end).unwrap_or_default().copy_from_slice(open);
        (self.cut, self.end) = (0, end);
        std::mem::replace(&mut self.buffer, room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(held: &mut Held, bytes: &[u8]) {
        let fill = |space: &mut [u8]| {
            space.copy_from_slice(bytes);
            Ok::<(), ()>(())
        };
        held.read(bytes.len(), fill).expect("it does not fail");
    }

    #[test]
    fn pieces_stay_where_they_were_cut_off_and_the_rest_goes_on() {
        let mut held = Held::default();
        read(&mut held, b"one two th");
        assert_eq!((held.cut_off(3), held.open()), (0..3, &b" two th"[..]));
        held.skip(1);
        assert_eq!((held.cut_off(3), held.cut_bytes()), (4..7, 7));
        let window = held.hand_over(b"old bytes".to_vec());
        assert_eq!((&window[..3], &window[4..7]), (&b"one"[..], &b"two"[..]));
        assert_eq!((held.open(), held.cut_bytes()), (&b" th"[..], 0));
        read(&mut held, b"ree");
        assert_eq!(held.open(), b" three");
        held.skip(100);
        assert_eq!(held.open(), b"");
    }

    #[test]
    fn bytes_that_could_not_be_read_are_not_there() {
        let mut held = Held::default();
        read(&mut held, b"one");
        assert_eq!(held.read(9, |_| Err("no")), Err("no"));
        assert_eq!(held.open(), b"one");
    }
}
