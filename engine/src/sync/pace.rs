//! When to do the next thing: pacing of commits and of retries.
//!
//! Pure: the callers pass the time and a random number, and sleep as they are told.

use std::time::{Duration, Instant};

/// A change that follows this much quiet is committed at once.
const QUIET_BEFORE_FIRST: Duration = Duration::from_secs(2);

/// After that, a commit waits for this much quiet ...
const QUIET_BEFORE_NEXT: Duration = Duration::from_millis(200);

/// ... but no longer than this ...
const WAIT_MAX: Duration = Duration::from_secs(2);

/// ... and no longer than until this many records are ready.
const ENTRIES_AT_ONCE: usize = 512;

/// First wait after a failure.
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// Longest wait between two tries.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What to do about changed records now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing has changed.
    Never,
    /// Commit.
    Now,
    /// Look again then.
    At(Instant),
}

/// Gathers changes into commits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CommitPace {
    first_change: Option<Instant>,
    last_change: Option<Instant>,
    last_commit: Option<Instant>,
}

impl CommitPace {
    /// Notes that records changed.
    pub(crate) fn changed(&mut self, now: Instant) {
        self.first_change.get_or_insert(now);
        self.last_change = Some(now);
    }

    /// Notes that everything that was ready has been committed.
    pub(crate) const fn committed(&mut self, now: Instant) {
        self.first_change = None;
        self.last_change = None;
        self.last_commit = Some(now);
    }

    /// What to do with `ready` changed records.
    pub(crate) fn due(&self, now: Instant, ready: usize) -> Due {
        let (Some(first), Some(last), true) = (self.first_change, self.last_change, ready > 0) else {
            return Due::Never;
        };
        let after_quiet = self.last_commit.is_none_or(|commit| first >= commit + QUIET_BEFORE_FIRST);
        let at = (last + QUIET_BEFORE_NEXT).min(first + WAIT_MAX);
        if after_quiet || ready >= ENTRIES_AT_ONCE || now >= at { Due::Now } else { Due::At(at) }
    }
}

/// Growing waits between tries, with jitter so that many clients do not come back together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Back to the first wait.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure: between half and all of the current step.
    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let step = RETRY_FIRST.saturating_mul(1 << self.failures.min(8)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        step.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_first_change_after_quiet_goes_at_once() {
        let start = Instant::now();
        let mut pace = CommitPace::default();
        assert_eq!(pace.due(start, 0), Due::Never);
        pace.changed(start);
        assert_eq!(pace.due(start, 1), Due::Now);
        pace.committed(start);
        assert_eq!(pace.due(start, 0), Due::Never);
        pace.changed(start + 2_000 * MS);
        assert_eq!(pace.due(start + 2_000 * MS, 1), Due::Now);
    }

    #[test]
    fn changes_in_a_row_wait_for_a_pause_a_full_commit_or_two_seconds() {
        let start = Instant::now();
        let mut pace = CommitPace::default();
        pace.committed(start);
        pace.changed(start + 10 * MS);
        assert_eq!(pace.due(start + 10 * MS, 1), Due::At(start + 210 * MS));
        assert_eq!(pace.due(start + 10 * MS, ENTRIES_AT_ONCE), Due::Now);
        assert_eq!(pace.due(start + 210 * MS, 1), Due::Now);
        for at in (20..=2_000).step_by(20) {
            pace.changed(start + at * MS);
        }
        assert_eq!(pace.due(start + 2_000 * MS, 1), Due::At(start + 2_010 * MS));
    }

    #[test]
    fn waits_grow_to_half_a_minute_and_start_over() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..12).map(|_| backoff.next(u32::MAX)).collect();
        assert_eq!(waits[0], RETRY_FIRST);
        assert!(waits.is_sorted() && waits[11] == RETRY_MAX, "{waits:?}");
        backoff.reset();
        assert_eq!(backoff.next(0), RETRY_FIRST / 2);
    }
}
