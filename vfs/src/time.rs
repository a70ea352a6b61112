//! The current time as the engine's `{secs, nanos}`.

use std::time::{SystemTime, UNIX_EPOCH};

use freehold_engine::Time;

/// The current time. A clock before 1970 shows 1970.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
}
