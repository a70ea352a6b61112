//! CUBIC (RFC 9438) with HyStart++ (RFC 9406) in front.

use super::Controller;
use super::hystart::{Growth, HyStart};
use crate::limits::{INITIAL_WINDOW_PACKETS, MINIMUM_WINDOW_PACKETS};
use crate::rtt::Rtt;
use crate::time::Time;

/// How steeply the window grows (RFC 9438 §5.1), in packets per second cubed.
const C: f64 = 0.4;
/// What is left of the window after a loss (§4.6).
const BETA: f64 = 0.7;

/// The window by CUBIC.
#[derive(Debug)]
pub(crate) struct Cubic {
    packet: u64,
    window: u64,
    /// Below it the window doubles with each round trip.
    threshold: Option<u64>,
    start: HyStart,
    /// The window at the last loss, in packets.
    w_max: f64,
    /// When the present epoch began, and what its curve starts from.
    epoch: Option<Epoch>,
    /// Losses of packets sent before this belong to one that was answered.
    recovery: Option<Time>,
    /// Fractions of a packet that the window is still to grow by, in bytes.
    credit: f64,
}

#[derive(Clone, Copy, Debug)]
struct Epoch {
    began: Time,
    /// Seconds until the curve is back at `w_max`.
    k: f64,
    /// The window that a Reno sender would have, in packets.
    reno: f64,
}

impl Cubic {
    pub(crate) fn new(packet_bytes: u64) -> Self {
        Self {
            packet: packet_bytes,
            window: packet_bytes * INITIAL_WINDOW_PACKETS,
            threshold: None,
            start: HyStart::default(),
            w_max: 0.0,
            epoch: None,
            recovery: None,
            credit: 0.0,
        }
    }

    fn packets(&self) -> f64 {
        self.window as f64 / self.packet as f64
    }

    fn minimum(&self) -> u64 {
        self.packet * MINIMUM_WINDOW_PACKETS
    }

    /// Grows the window along the curve, or as Reno would where that is faster (§4.3).
    fn avoid(&mut self, bytes: u64, rtt: &Rtt, now: Time) {
        let (packets, w_max) = (self.packets(), self.w_max);
        let epoch = self.epoch.get_or_insert_with(|| {
            let below = (w_max - packets).max(0.0);
            Epoch { began: now, k: (below / C).cbrt(), reno: packets }
        });
        let arrived = bytes as f64 / self.packet as f64;
        let alpha = if epoch.reno < w_max { 3.0 * (1.0 - BETA) / (1.0 + BETA) } else { 1.0 };
        epoch.reno += alpha * arrived / packets;
        let t = (now.since(epoch.began) + rtt.smoothed()).as_secs_f64() - epoch.k;
        let origin = w_max.max(if epoch.k == 0.0 { packets } else { w_max });
        let target = (C * t * t * t + origin).clamp(packets, 1.5 * packets).max(epoch.reno);
        self.credit += (target - packets) / packets * bytes as f64;
        if self.credit >= 1.0 {
            self.window += self.credit as u64;
            self.credit = self.credit.fract();
        }
    }
}

impl Controller for Cubic {
    fn acked(&mut self, bytes: u64, newest: Time, is_limited: bool, rtt: &Rtt, now: Time) {
        let is_recovering = self.recovery.is_some_and(|since| newest <= since);
        if is_recovering || !is_limited {
            return;
        }
        if self.is_starting() {
            match self.start.acked(bytes, self.window, rtt.latest()) {
                Growth::By(share) => self.window += bytes / share,
                Growth::Over => self.threshold = Some(self.window),
            }
        } else {
            self.avoid(bytes, rtt, now);
        }
    }

    fn lost(&mut self, newest: Time, now: Time) {
        if self.recovery.is_some_and(|since| newest <= since) {
            return;
        }
        self.recovery = Some(now);
        let packets = self.packets();
        // Who shrinks below the last peak leaves room for newcomers (§4.7, fast convergence).
        self.w_max = if packets < self.w_max { packets * (1.0 + BETA) / 2.0 } else { packets };
        self.window = ((self.window as f64 * BETA) as u64).max(self.minimum());
        self.threshold = Some(self.window);
        (self.epoch, self.credit) = (None, 0.0);
    }

    fn stalled(&mut self, now: Time) {
        self.w_max = self.packets();
        self.threshold = Some((self.window / 2).max(self.minimum()));
        self.window = self.minimum();
        (self.epoch, self.recovery, self.credit) = (None, Some(now), 0.0);
        self.start = HyStart::default();
    }

    fn set_packet_bytes(&mut self, bytes: u64) {
        self.w_max *= self.packet as f64 / bytes as f64;
        self.packet = bytes;
        self.epoch = None;
        self.window = self.window.max(self.minimum());
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn is_starting(&self) -> bool {
        self.threshold.is_none_or(|threshold| self.window < threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Time {
        Time::after_start(Duration::from_millis(ms))
    }

    fn rtt() -> Rtt {
        let mut rtt = Rtt::default();
        rtt.sample(Duration::from_millis(50), Duration::ZERO);
        rtt
    }

    #[test]
    fn the_window_doubles_with_each_round_trip_until_the_first_loss() {
        let mut cubic = Cubic::new(1_000);
        let before = cubic.window();
        cubic.acked(before, at(1), true, &rtt(), at(50));
        assert_eq!(cubic.window(), 2 * before);
        cubic.lost(at(60), at(110));
        assert_eq!(cubic.window(), 14_000);
        assert!(!cubic.is_starting());
    }

    #[test]
    fn losses_of_one_round_trip_count_once() {
        let mut cubic = Cubic::new(1_000);
        cubic.lost(at(10), at(50));
        let after = cubic.window();
        cubic.lost(at(49), at(60));
        assert_eq!(cubic.window(), after);
        cubic.lost(at(61), at(100));
        assert!(cubic.window() < after);
    }

    #[test]
    fn the_window_is_back_at_its_peak_after_k_and_goes_on() {
        let mut cubic = Cubic::new(1_000);
        cubic.window = 100_000;
        cubic.lost(at(0), at(0));
        let k_ms = ((30.0_f64 / C).cbrt() * 1_000.0) as u64;
        let mut now = 1;
        while now < k_ms + 2_000 {
            let window = cubic.window();
            cubic.acked(window, at(now), true, &rtt(), at(now));
            assert!(cubic.window() >= window);
            if now < k_ms / 2 {
                assert!(cubic.window() < 100_000, "{now}");
            }
            now += 50;
        }
        assert!(cubic.window() > 100_000);
    }

    #[test]
    fn who_has_too_little_to_send_learns_nothing() {
        let mut cubic = Cubic::new(1_000);
        cubic.acked(500, at(1), false, &rtt(), at(50));
        assert_eq!(cubic.window(), 10_000);
    }

    #[test]
    fn silence_takes_the_window_to_its_minimum() {
        let mut cubic = Cubic::new(1_000);
        cubic.window = 80_000;
        cubic.stalled(at(150));
        assert_eq!(cubic.window(), 2_000);
        assert!(cubic.is_starting());
    }
}
