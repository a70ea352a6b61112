//! When to do the next thing: pacing of commits and of retries.
//!
//! Pure: the callers pass the time and a random number, and sleep as they are told.

use std::time::{Duration, Instant};

/// A change is committed once nothing followed it for this long ...
const QUIET_SOON: Duration = Duration::from_millis(10);

/// ... or this long after it.
const WAIT_SOON: Duration = Duration::from_millis(50);

/// Commits made that soon in a row. After a burst of changes each costs one more, so that a program
/// that writes all day does not make a commit for every write.
const SOON_BURST: u32 = 256;

/// One more is allowed after this long.
const SOON_REFILL: Duration = Duration::from_secs(1);

/// When none is left, a commit waits for this much quiet ...
const QUIET_LATER: Duration = Duration::from_millis(200);

/// ... but no longer than this ...
const WAIT_LATER: Duration = Duration::from_secs(2);

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
    /// Commits made soon that count still, and since when none was taken off.
    spent: u32,
    counted: Option<Instant>,
}

impl CommitPace {
    /// Notes that records changed.
    pub(crate) fn changed(&mut self, now: Instant) {
        self.first_change.get_or_insert(now);
        self.last_change = Some(now);
    }

    /// Notes that everything that was ready at `begun` has been committed. What changed while the
    /// commit was written is in no commit yet and stays due.
    pub(crate) fn committed(&mut self, begun: Instant, now: Instant) {
        self.last_change = self.last_change.filter(|last| *last > begun);
        self.first_change = self.last_change;
        let since = *self.counted.get_or_insert(now);
        let refilled = now.saturating_duration_since(since).as_secs() / SOON_REFILL.as_secs();
        self.spent = self.spent.saturating_sub(u32::try_from(refilled).unwrap_or(u32::MAX)).saturating_add(1);
        if refilled > 0 {
            self.counted = Some(now);
        }
    }

    /// What to do with `ready` changed records.
    pub(crate) fn due(&self, now: Instant, ready: usize) -> Due {
        let (Some(first), Some(last), true) = (self.first_change, self.last_change, ready > 0) else {
            return Due::Never;
        };
        let is_soon = self.spent < SOON_BURST;
        let (quiet, wait) = if is_soon { (QUIET_SOON, WAIT_SOON) } else { (QUIET_LATER, WAIT_LATER) };
        let at = (last + quiet).min(first + wait);
        if ready >= ENTRIES_AT_ONCE || now >= at { Due::Now } else { Due::At(at) }
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
    fn a_change_after_quiet_waits_a_moment_for_its_kind() {
        let start = Instant::now();
        let mut pace = CommitPace::default();
        assert_eq!(pace.due(start, 0), Due::Never);
        pace.changed(start);
        assert_eq!(pace.due(start, 1), Due::At(start + 10 * MS));
        assert_eq!(pace.due(start, ENTRIES_AT_ONCE), Due::Now);
        assert_eq!(pace.due(start + 10 * MS, 1), Due::Now);
        for at in (5..=50).step_by(5) {
            pace.changed(start + at * MS);
        }
        assert_eq!(pace.due(start + 50 * MS, 1), Due::Now);
        pace.committed(start + 50 * MS, start + 50 * MS);
        assert_eq!(pace.due(start + 60 * MS, 1), Due::Never);
    }

    #[test]
    fn a_change_while_a_commit_is_written_is_due_after_it() {
        let start = Instant::now();
        let mut pace = CommitPace::default();
        pace.changed(start);
        pace.changed(start + 5 * MS);
        pace.committed(start + 2 * MS, start + 9 * MS);
        assert_eq!(pace.due(start + 9 * MS, 1), Due::At(start + 15 * MS));
        pace.committed(start + 15 * MS, start + 20 * MS);
        assert_eq!(pace.due(start + 20 * MS, 1), Due::Never);
    }

    #[test]
    fn after_a_burst_changes_wait_for_a_pause_or_two_seconds() {
        let start = Instant::now();
        let mut pace = CommitPace::default();
        (0..SOON_BURST).for_each(|_| pace.committed(start, start));
        pace.changed(start);
        assert_eq!(pace.due(start, 1), Due::At(start + 200 * MS));
        for at in (20..=2_000).step_by(20) {
            pace.changed(start + at * MS);
        }
        assert_eq!(pace.due(start + 1_999 * MS, 1), Due::At(start + 2_000 * MS));
        pace.committed(start + 2_000 * MS, start + 2_000 * MS);
        assert!(pace.spent < SOON_BURST, "one came back after a second");
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
