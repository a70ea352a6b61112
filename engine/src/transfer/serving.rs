//! Who comes first when this device's processor and disk are busy: other devices.
//!
//! A person waits for a file on the other device; the storage nodes get it a moment later. While another
//! device is fetching chunks from here, uploads stand back, and not for long: the fetching device becomes
//! the second copy in that time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A device that fetches asks for more within this time, or it has all it wants: changes come in batches.
const QUIET: Duration = Duration::from_secs(1);

/// How long uploads stand back at most, in a row.
const STAND_BACK: Duration = Duration::from_secs(10);

/// When another device was last given chunks.
#[derive(Debug)]
pub(crate) struct Serving {
    begin: Instant,
    /// Milliseconds since `begin`, plus one; 0 for never.
    last: AtomicU64,
}

/// Uploads' side of it: since when they stand back.
#[derive(Debug, Default)]
pub(crate) struct StandBack(Option<Instant>);

impl Default for Serving {
    fn default() -> Self {
        Self { begin: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Serving {
    /// Another device is given chunks now.
    pub(crate) fn served(&self) {
        self.last.store(self.millis(Instant::now()) + 1, Ordering::Relaxed);
    }

    fn is_busy(&self, now: Instant) -> bool {
        let quiet = u64::try_from(QUIET.as_millis()).unwrap_or(u64::MAX);
        let last = self.last.load(Ordering::Relaxed);
        last > 0 && self.millis(now).saturating_sub(last - 1) < quiet
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.begin).as_millis()).unwrap_or(u64::MAX - 1)
    }
}

impl StandBack {
    /// Whether to stand back now; look again after [`LOOK`](Self::LOOK).
    pub(crate) fn is_due(&mut self, serving: &Serving, now: Instant) -> bool {
        if !serving.is_busy(now) {
            self.0 = None;
            return false;
        }
        now.saturating_duration_since(*self.0.get_or_insert(now)) < STAND_BACK
    }

    /// After how long to look again.
    pub(crate) const LOOK: Duration = Duration::from_millis(50);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_stand_back_while_a_device_fetches_and_not_for_ever() {
        let (serving, mut back) = (Serving::default(), StandBack::default());
        let begin = serving.begin;
        assert!(!back.is_due(&serving, begin));
        let mut stood_back = Duration::ZERO;
        for tick in 1..400_u64 {
            let now = begin + Duration::from_millis(tick * 50);
            serving.last.store(tick * 50 + 1, Ordering::Relaxed);
            if back.is_due(&serving, now) {
                stood_back = now - begin;
            }
        }
        assert!(stood_back > STAND_BACK - Duration::from_millis(100) && stood_back <= STAND_BACK * 11 / 10);
        // A pause, and the next fetch goes first again.
        let later = begin + Duration::from_secs(60);
        assert!(!back.is_due(&serving, later));
        serving.last.store(60_001, Ordering::Relaxed);
        assert!(back.is_due(&serving, later));
    }
}
