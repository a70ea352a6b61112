//! Round trip times (RFC 9002 §5).

use crate::limits::{ACK_DELAY_MAX, GRANULARITY, INITIAL_RTT, RTT_MAX};
use std::time::Duration;

/// What is known of the path's round trip.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtt {
    smoothed: Duration,
    variation: Duration,
    minimum: Option<Duration>,
    latest: Duration,
}

impl Default for Rtt {
    fn default() -> Self {
        Self { smoothed: INITIAL_RTT, variation: INITIAL_RTT / 2, minimum: None, latest: INITIAL_RTT }
    }
}

impl Rtt {
    /// Takes in a measurement and how long the other side says it waited.
    pub(crate) fn sample(&mut self, sample: Duration, ack_delay: Duration) {
        let sample = sample.min(RTT_MAX);
        self.latest = sample;
        let Some(minimum) = self.minimum else {
            (self.smoothed, self.variation, self.minimum) = (sample, sample / 2, Some(sample));
            return;
        };
        let minimum = minimum.min(sample);
        self.minimum = Some(minimum);
        let waited = ack_delay.min(ACK_DELAY_MAX);
        let adjusted = if sample >= minimum + waited { sample - waited } else { sample };
        let off = self.smoothed.abs_diff(adjusted);
        self.variation = (3 * self.variation + off) / 4;
        self.smoothed = (7 * self.smoothed + adjusted) / 8;
    }

    pub(crate) const fn smoothed(&self) -> Duration {
        self.smoothed
    }

    pub(crate) const fn is_measured(&self) -> bool {
        self.minimum.is_some()
    }

    pub(crate) const fn latest(&self) -> Duration {
        self.latest
    }

    /// How late a packet may be before it counts as lost (RFC 9002 §6.1.2).
    pub(crate) fn loss_delay(&self) -> Duration {
        (self.latest.max(self.smoothed) * 9 / 8).max(GRANULARITY)
    }

    /// How long to wait for an answer before asking for one (RFC 9002 §6.2.1).
    pub(crate) fn probe_timeout(&self) -> Duration {
        self.smoothed + (4 * self.variation).max(GRANULARITY) + ACK_DELAY_MAX
    }
}
