//! Telling one saved file from ten thousand unpacked ones.
//!
//! A file that is closed travels at once (ADR 14): somebody may be waiting for it. A program that
//! closes hundreds a second waits for none of them, but for the processor that cutting, signing and
//! sending each by itself would take from it; together they cost a fraction. So closes have credit: as
//! long as there is some a file is due at once, without it the file waits until the burst is over, or
//! for ten seconds ([`CUT_FLOOD`](limits::CUT_FLOOD)).

use crate::limits;

/// The credit of closed files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    credit: u64,
    refilled_ms: u64,
    last_close_ms: u64,
}

impl Default for Burst {
    fn default() -> Self {
        Self { credit: limits::BURST_FILES, refilled_ms: 0, last_close_ms: 0 }
    }
}

impl Burst {
    /// Notes a close; whether the file is due at once.
    pub(crate) fn close(&mut self, now_ms: u64) -> bool {
        self.last_close_ms = now_ms;
        let back = now_ms.saturating_sub(self.refilled_ms) / limits::BURST_CREDIT_MS;
        if back > 0 || now_ms < self.refilled_ms {
            self.refilled_ms = now_ms;
        }
        self.credit = self.credit.saturating_add(back).min(limits::BURST_FILES);
        let is_due = self.credit > 0;
        self.credit = self.credit.saturating_sub(1);
        is_due
    }

    /// Whether no file was closed for so long that those that waited are due.
    pub(crate) const fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_close_ms) >= limits::BURST_QUIET_MS || now_ms < self.last_close_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_saved_one_by_one_are_always_due_and_a_flood_is_not() {
        let mut burst = Burst::default();
        assert!((1..2_000).all(|n| burst.close(1_000_000 + n * limits::BURST_CREDIT_MS)));
        let flood = (0..4_000).filter(|n| burst.close(2_000_000 + n / 4)).count() as u64;
        assert!((limits::BURST_FILES..limits::BURST_FILES + 60).contains(&flood), "{flood}");
        assert!(!burst.is_over(2_001_000) && burst.is_over(2_000_999 + limits::BURST_QUIET_MS));
        assert!(burst.close(2_010_000), "credit comes back");
    }

    #[test]
    fn a_clock_set_back_holds_nothing_up() {
        let mut burst = Burst::default();
        while burst.close(5_000_000) {}
        assert!(burst.is_over(1_000_000));
        assert!(!burst.close(1_000_000) && burst.close(1_000_000 + limits::BURST_CREDIT_MS));
    }
}
