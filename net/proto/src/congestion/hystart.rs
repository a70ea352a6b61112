//! HyStart++: leaving slow start when the queue grows, before it overflows (RFC 9406).

use std::time::Duration;

/// Samples that a round needs before it is judged (RFC 9406 §4.2, `N_RTT_SAMPLE`).
const SAMPLES: u32 = 8;
/// `MIN_RTT_THRESH` and `MAX_RTT_THRESH`.
const THRESHOLD: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(16));
/// `CSS_ROUNDS`.
const CAREFUL_ROUNDS: u32 = 5;
/// `CSS_GROWTH_DIVISOR`.
const CAREFUL_DIVISOR: u64 = 4;

/// What to do with an acknowledgement in slow start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// The window grows by this share of what arrived: one over so much.
    By(u64),
    /// Slow start is over.
    Over,
}

/// The state of slow start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HyStart {
    /// Bytes acknowledged in this round, and its length.
    round: (u64, u64),
    samples: u32,
    current: Option<Duration>,
    last: Option<Duration>,
    /// In careful growth: the round trip it began with, and how many rounds are left.
    careful: Option<(Duration, u32)>,
}

impl HyStart {
    /// Takes in an acknowledgement.
    pub(super) fn acked(&mut self, bytes: u64, window: u64, rtt: Duration) -> Growth {
        self.samples += 1;
        self.current = Some(self.current.map_or(rtt, |current| current.min(rtt)));
        self.judge();
        self.round.0 += bytes;
        if self.round.0 >= self.round.1 {
            self.round = (0, window);
            self.last = self.current.take();
            self.samples = 0;
            if let Some((_, rounds)) = &mut self.careful {
                *rounds -= 1;
                if *rounds == 0 {
                    return Growth::Over;
                }
            }
        }
        Growth::By(if self.careful.is_some() { CAREFUL_DIVISOR } else { 1 })
    }

    fn judge(&mut self) {
        let (Some(current), true) = (self.current, self.samples >= SAMPLES) else { return };
        match self.careful {
            None => {
                let Some(last) = self.last else { return };
                let threshold = (last / 8).clamp(THRESHOLD.0, THRESHOLD.1);
                if current >= last + threshold {
                    self.careful = Some((current, CAREFUL_ROUNDS));
                }
            }
            // It was a mere flutter.
            Some((baseline, _)) if current < baseline => self.careful = None,
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_round_trip_ends_slow_start_after_careful_rounds() {
        let mut start = HyStart::default();
        for round in 0..40_u64 {
            for _ in 0..10 {
                let rtt = Duration::from_millis(50 + round * 7);
                if start.acked(1_000, 10_000, rtt) == Growth::Over {
                    assert!(round > 5, "{round}");
                    return;
                }
            }
        }
        panic!("slow start never ended");
    }

    #[test]
    fn a_steady_round_trip_does_not_end_it() {
        let mut start = HyStart::default();
        for _ in 0..1_000 {
            assert_eq!(start.acked(1_000, 10_000, Duration::from_millis(50)), Growth::By(1));
        }
    }
}
