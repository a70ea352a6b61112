//! Time as the caller tells it: nanoseconds on a clock that never goes back.

use std::time::Duration;

/// A moment on the caller's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

impl Time {
    /// A moment so long after the clock's start. Beyond 584 years it stays at the end.
    #[must_use]
    pub fn after_start(since: Duration) -> Self {
        Self(nanos(since))
    }

    /// How long after an earlier moment this is; zero when that is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(nanos(later)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
