//! Fetching ahead of a reader: who reads on gets further ahead of itself, who jumps does not.
//!
//! The kernel reads ahead too, but no further than 128 KiB, which a link to a node serves one round
//! trip at a time. A window begins at the first read of a file that had to fetch something, doubles
//! each time the reader has come half way through it, and ends when the reader jumps. Pure: offsets
//! in, the range to fetch out.

use crate::{Ino, limits};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::ops::Range;

/// The files somebody reads from start to end while parts of them are not here.
pub(crate) struct Readahead {
    windows: LruCache<Ino, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    /// Where the reader is.
    at: u64,
    /// How far ahead of it to fetch.
    len: u64,
    /// How far was fetched.
    asked_to: u64,
}

impl Default for Readahead {
    fn default() -> Self {
        let files = NonZeroUsize::new(limits::READAHEAD_FILES).unwrap_or(NonZeroUsize::MIN);
        Self { windows: LruCache::new(files) }
    }
}

impl Readahead {
    /// A read of a range that lacked something: the range to fetch after it, and whether the reader
    /// jumps; for one that does nothing is fetched ahead.
    pub(crate) fn missed(&mut self, ino: Ino, read: &Range<u64>, size: u64) -> (Range<u64>, bool) {
        if self.goes_on(ino, read) {
            return (self.read(ino, read, size), false);
        }
        let is_start = read.start == 0 || size <= limits::READAHEAD_WHOLE_BYTES;
        let first = Window { at: read.end, len: limits::READAHEAD_BYTES_MIN, asked_to: read.end };
        self.windows.put(ino, first);
        match is_start {
            true if size <= limits::READAHEAD_WHOLE_BYTES => (0..size, false),
            true => (self.read(ino, read, size), false),
            false => (read.end..read.end, true),
        }
    }

    /// A read of a range that may have been here: what to fetch beyond, if the file has a window.
    pub(crate) fn read(&mut self, ino: Ino, read: &Range<u64>, size: u64) -> Range<u64> {
        let nothing = read.end..read.end;
        if !self.goes_on(ino, read) {
            return nothing;
        }
        let Some(window) = self.windows.get_mut(&ino) else { return nothing };
        window.at = window.at.max(read.end);
        let target = window.at.saturating_add(window.len).min(size);
        if window.asked_to >= target || window.asked_to > window.at + window.len / 2 {
            return nothing;
        }
        let wanted = window.asked_to.max(read.end)..target;
        window.asked_to = target;
        window.len = (window.len * 2).min(limits::READAHEAD_BYTES_MAX);
        wanted
    }

    /// Whether a read goes on where the file's last one was.
    fn goes_on(&self, ino: Ino, read: &Range<u64>) -> bool {
        let slack = limits::READAHEAD_SLACK_BYTES;
        self.windows.peek(&ino).is_some_and(|window| read.start.abs_diff(window.at) <= slack)
    }

    /// Whether nobody reads ahead: most of the time.
    pub(crate) fn is_idle(&self) -> bool {
        self.windows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 30;
    const STEP: u64 = 128 * 1024;

    /// Reads on from the start; how far was asked for after each read.
    fn stream(ahead: &mut Readahead, steps: u64) -> Vec<u64> {
        let mut asked = 0;
        (0..steps)
            .map(|step| {
                let read = step * STEP..(step + 1) * STEP;
                let more =
                    if step == 0 { ahead.missed(7, &read, SIZE).0 } else { ahead.read(7, &read, SIZE) };
                if !more.is_empty() {
                    assert_eq!(more.start, asked.max(read.end), "no gap and nothing twice");
                    asked = more.end;
                }
                asked
            })
            .collect()
    }

    #[test]
    fn a_reader_that_reads_on_is_ever_further_behind_what_is_fetched() {
        let asked = stream(&mut Readahead::default(), 400);
        assert_eq!(asked[0], STEP + limits::READAHEAD_BYTES_MIN);
        let lead = |step: usize| asked[step] - (step as u64 + 1) * STEP;
        assert!(lead(399) > 4 * limits::READAHEAD_BYTES_MIN);
        assert!((0..400).all(|step| lead(step) <= limits::READAHEAD_BYTES_MAX));
        assert!((1..400).all(|step| lead(step) > 0), "it never catches up");
    }

    #[test]
    fn a_reader_that_jumps_fetches_nothing_ahead() {
        let mut ahead = Readahead::default();
        for at in [500 << 20, 3 << 20, 900 << 20, 77 << 20] {
            assert_eq!(ahead.missed(7, &(at..at + 4096), SIZE), (at + 4096..at + 4096, true));
        }
        stream(&mut ahead, 4);
        assert!(ahead.missed(7, &((600 << 20)..(600 << 20) + 4096), SIZE).1);
        assert!(ahead.read(7, &((100 << 20)..(100 << 20) + 4096), SIZE).is_empty());
    }

    #[test]
    fn a_small_file_comes_whole_and_nothing_is_asked_beyond_the_end() {
        let mut ahead = Readahead::default();
        assert_eq!(ahead.missed(7, &(500_000..504_096), 1_000_000), (0..1_000_000, false));
        let (mut asked, _) = ahead.missed(8, &(0..STEP), 2_000_000);
        let (_, is_jump) = ahead.missed(8, &(STEP..2 * STEP), 2_000_000);
        assert!(!is_jump, "what was asked for is on its way");
        let mut ahead = Readahead::default();
        ahead.missed(8, &(0..STEP), 2_000_000);
        assert_eq!(asked, STEP..STEP + limits::READAHEAD_BYTES_MIN);
        for step in 1..15 {
            let more = ahead.read(8, &(step * STEP..(step + 1) * STEP), 2_000_000);
            asked = if more.is_empty() { asked } else { more };
        }
        assert_eq!(asked.end, 2_000_000);
    }

    #[test]
    fn reads_that_overtake_each_other_go_on() {
        let mut ahead = Readahead::default();
        ahead.missed(7, &(0..STEP), SIZE);
        let mut asked = STEP + limits::READAHEAD_BYTES_MIN;
        for at in [2, 1, 4, 3, 6, 5] {
            let more = ahead.read(7, &(at * STEP..(at + 1) * STEP), SIZE);
            asked = asked.max(more.end);
        }
        assert!(asked > 7 * STEP + limits::READAHEAD_BYTES_MIN);
    }
}
