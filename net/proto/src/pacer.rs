//! Spreading packets over the round trip instead of sending a window at once (RFC 9002 §7.7).

use crate::limits::BATCH_BYTES_MAX;
use crate::time::Time;
use std::time::Duration;

/// The least that is sent in one go: what one send to the kernel costs is worth a few packets.
const BURST_PACKETS: u64 = 10;
/// The most: where a millisecond is longer than that, so is what the next machine on the way can hold.
const BURST_BATCHES: u64 = 4;
/// The share of a round trip that one burst may be.
const BURST_TIME: Duration = Duration::from_millis(1);

/// After so long without a packet the bucket is full.
const FULL_AFTER: Duration = Duration::from_secs(3_600);

/// A bucket that fills at the rate of the window.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// Bytes that may be sent; below zero after a burst.
    room: i64,
    filled: Option<Time>,
}

/// How fast the bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    bytes_per_sec: u64,
    burst: u64,
    packet: u64,
}

impl Pace {
    /// A pace of somewhat more than one window a round trip, so that the window is what limits.
    pub(crate) fn of(window: u64, rtt: Duration, is_starting: bool, packet: u64) -> Self {
        let per_sec = u128::from(window) * 1_000_000_000 / rtt.as_nanos().max(1);
        let faster = if is_starting { per_sec * 2 } else { per_sec * 5 / 4 };
        let bytes_per_sec = u64::try_from(faster).unwrap_or(u64::MAX).clamp(1, u64::MAX / 4);
        let in_burst_time = bytes_per_sec / 1_000 * (BURST_TIME.as_millis() as u64);
        let least = packet * BURST_PACKETS;
        let burst = in_burst_time.clamp(least, (BURST_BATCHES * BATCH_BYTES_MAX as u64).max(least));
        Self { bytes_per_sec, burst, packet }
    }
}

impl Pacer {
    /// How many packets of a batch of `most` may go now, or when the next may. Where a burst is longer than a batch
    /// all of it may: a part of one costs a call to the kernel as well.
    pub(crate) fn packets(&mut self, pace: Pace, most: usize, now: Time) -> Result<usize, Time> {
        let due = self.due(pace, now);
        if due > now {
            return Err(due);
        }
        let room = usize::try_from(self.room.unsigned_abs().div_ceil(pace.packet.max(1))).unwrap_or(most);
        let is_worth_all = pace.burst >= pace.packet * most as u64;
        Ok(if is_worth_all { most } else { room.clamp(1, most) })
    }

    /// When the next packet may go: now, if that is not after `now`.
    fn due(&mut self, pace: Pace, now: Time) -> Time {
        // The longest that is worth a full bucket, whatever the rate.
        let passed = self.filled.map_or(FULL_AFTER, |filled| now.since(filled)).min(FULL_AFTER);
        self.filled = Some(now);
        let gained = u128::from(pace.bytes_per_sec) * passed.as_nanos() / 1_000_000_000;
        let room = i128::from(self.room).saturating_add_unsigned(gained);
        self.room = i64::try_from(room.min(i128::from(pace.burst))).unwrap_or(i64::MAX);
        if self.room > 0 {
            return now;
        }
        let missing = u128::from(self.room.unsigned_abs()) + u128::from(pace.burst / 2);
        let nanos = missing * 1_000_000_000 / u128::from(pace.bytes_per_sec);
        now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Notes what was sent.
    pub(crate) const fn sent(&mut self, bytes: u64) {
        self.room = self.room.saturating_sub_unsigned(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_a_second_the_rate_is_what_was_asked_for() {
        let pace = Pace::of(125_000, Duration::from_millis(100), false, 1_000);
        let (mut pacer, mut now, mut sent) = (Pacer::default(), Time::default(), 0_u64);
        let end = now + Duration::from_secs(1);
        while now < end {
            let due = pacer.due(pace, now);
            if due > now {
                now = due;
            } else {
                pacer.sent(1_000);
                sent += 1_000;
            }
        }
        let wanted = 125_000 * 10 * 5 / 4;
        assert!(sent.abs_diff(wanted) <= wanted / 50 + 20_000, "{sent}");
    }

    #[test]
    fn a_short_round_trip_is_not_slowed_down() {
        let pace = Pace::of(1_000_000, Duration::from_micros(50), false, 1_452);
        let mut pacer = Pacer::default();
        let mut now = Time::default();
        for _ in 0..1_000 {
            let due = pacer.due(pace, now);
            assert!(due.since(now) < Duration::from_micros(20));
            now = due;
            pacer.sent(1_452);
        }
    }
}
