//! The server's clock: the only place that reads the time of day.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the time comes from.
#[derive(Debug)]
pub enum Clock {
    /// The machine.
    System,
    /// Microseconds since 1970, set by a test.
    Manual(AtomicI64),
}

impl Clock {
    /// Microseconds since 1970.
    #[must_use]
    pub fn micros(&self) -> i64 {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
            }
            Self::Manual(micros) => micros.load(Ordering::SeqCst),
        }
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        u64::try_from(self.micros() / 1_000_000).unwrap_or_default()
    }

    /// Microseconds since 1970, `seconds` from now.
    #[must_use]
    pub fn micros_in(&self, seconds: u64) -> i64 {
        self.micros().saturating_add(micros(seconds))
    }

    /// Moves a manual clock on.
    ///
    /// # Panics
    /// On the system clock.
    pub fn advance(&self, seconds: u64) {
        let Self::Manual(now) = self else { panic!("only a manual clock can be moved") };
        now.fetch_add(micros(seconds), Ordering::SeqCst);
    }
}

/// Seconds as microseconds.
pub(crate) fn micros(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}
