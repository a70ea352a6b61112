//! How many records could go into a commit now.
//!
//! Counting looks at every node that waits, and the loop asks after every event: a flood of ten thousand
//! files would have it count all day. So a count is good for as long as many times what it took.

use crate::Volume;
use std::time::Instant;

/// Counting takes at most one part of so many of the time.
const SHARE: u32 = 50;

/// The last count.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Until when it is good, and what it was.
    counted: Option<(Instant, usize)>,
}

impl Ready {
    /// About how many records may go: files without any version wait for their first cut.
    pub(crate) fn records(&mut self, volume: &Volume, now: Instant) -> usize {
        if let Some((_, records)) = self.counted.filter(|(until, _)| now < *until) {
            return records;
        }
        let begun = Instant::now();
        let pending = volume.pending();
        let records = match pending.dirty_records {
            0 => 0,
            records => records.saturating_sub(pending.dirty_bodies).max(1),
        };
        // That there is nothing is never remembered: the next change is to be seen at once.
        self.counted = (records > 0).then(|| (now + begun.elapsed() * SHARE, records));
        records
    }
}
