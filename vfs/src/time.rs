//! Times between the engine's `{secs, nanos}` and the standard library's.
//!
//! fuser 0.18 decodes a time before 1970 by *subtracting* the nanoseconds: −1.5 s arrives as −2.5
//! s. Its encoder is right. The mistake loses nothing, so [`from_fuser`] reverses it: with d =
//! epoch − t, the kernel's value was −d.secs + d.nanos.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freehold_engine::Time;

const NANOS_PER_SEC: u32 = 1_000_000_000;

/// The current time.
pub(crate) fn now() -> Time {
    from_system(SystemTime::now())
}

/// A time as the standard library counts it: seconds floored, nanoseconds forward.
pub(crate) fn from_system(time: SystemTime) -> Time {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Time { secs: saturate(after.as_secs()), nanos: after.subsec_nanos() },
        Err(before) => {
            let before = before.duration();
            match before.subsec_nanos() {
                0 => Time { secs: -saturate(before.as_secs()), nanos: 0 },
                nanos => Time { secs: -saturate(before.as_secs()) - 1, nanos: NANOS_PER_SEC - nanos },
            }
        }
    }
}

/// A time as fuser's SETATTR decoder delivers it.
pub(crate) fn from_fuser(time: SystemTime) -> Time {
    match time.duration_since(UNIX_EPOCH) {
        Ok(_) => from_system(time),
        Err(before) => {
            let before = before.duration();
            Time { secs: -saturate(before.as_secs()), nanos: before.subsec_nanos() }
        }
    }
}

/// The standard library's form of an engine time. A time it cannot hold becomes 1970.
pub(crate) fn to_system(time: Time) -> SystemTime {
    let nanos = Duration::from_nanos(u64::from(time.nanos));
    let whole = if time.secs >= 0 {
        UNIX_EPOCH.checked_add(Duration::from_secs(time.secs.unsigned_abs()))
    } else {
        UNIX_EPOCH.checked_sub(Duration::from_secs(time.secs.unsigned_abs()))
    };
    whole.and_then(|whole| whole.checked_add(nanos)).unwrap_or(UNIX_EPOCH)
}

fn saturate(secs: u64) -> i64 {
    i64::try_from(secs).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What fuser 0.18 makes of the kernel's seconds and nanoseconds.
    fn fuser_decodes(secs: i64, nanos: u32) -> SystemTime {
        if secs >= 0 {
            UNIX_EPOCH + Duration::new(secs.unsigned_abs(), nanos)
        } else {
            UNIX_EPOCH - Duration::new(secs.unsigned_abs(), nanos)
        }
    }

    #[test]
    fn times_before_1970_survive_the_fuser_decoder() {
        for (secs, nanos) in [
            (-2, 500_000_000),
            (-1, 0),
            (-1, 1),
            (-86_400, 999_999_999),
            (0, 0),
            (0, 1),
            (4_102_444_800, 123_456_789),
        ] {
            assert_eq!(from_fuser(fuser_decodes(secs, nanos)), Time { secs, nanos });
        }
    }

    #[test]
    fn engine_times_round_trip_through_the_standard_library() {
        for (secs, nanos) in
            [(-2, 500_000_000), (-1, 1), (-1, 0), (0, 0), (1, 999_999_999), (4_102_444_800, 7)]
        {
            assert_eq!(from_system(to_system(Time { secs, nanos })), Time { secs, nanos });
        }
    }

    #[test]
    fn times_out_of_range_become_1970_instead_of_a_panic() {
        assert_eq!(
            to_system(Time { secs: i64::MAX, nanos: 999_999_999 }),
            to_system(Time { secs: i64::MAX, nanos: 999_999_999 })
        );
        let _ = to_system(Time { secs: i64::MIN, nanos: 0 });
    }
}
