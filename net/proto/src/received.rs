//! What has arrived: taken once each, and acknowledged.

use crate::limits::{ACK_DELAY_MAX, ACK_EVERY, ACK_RUNS_MAX, REPLAY_WINDOW};
use crate::ranges::Ranges;
use crate::time::Time;

/// The numbers of the packets that opened.
#[derive(Debug, Default)]
pub(crate) struct Received {
    arrived: Ranges,
    /// The largest, and when it came.
    largest: Option<(u64, Time)>,
    /// Eliciting packets that are not acknowledged.
    unacked: u32,
    /// One of them wants its acknowledgement now.
    is_urgent: bool,
    /// When the first of them must be.
    due: Option<Time>,
}

impl Received {
    /// The number expected next.
    pub(crate) fn expected(&self) -> u64 {
        self.largest.map_or(0, |(largest, _)| largest + 1)
    }

    pub(crate) fn largest(&self) -> Option<u64> {
        self.largest.map(|(largest, _)| largest)
    }

    /// Whether a packet is new: asked before and settled after it opened.
    pub(crate) fn is_new(&self, number: u64) -> bool {
        number + REPLAY_WINDOW >= self.expected()
            && !self.is_forgotten(number)
            && !self.arrived.contains(number)
    }

    /// Runs that are no longer listed count as arrived.
    fn is_forgotten(&self, number: u64) -> bool {
        self.arrived.len() >= 2 * ACK_RUNS_MAX
            && self.arrived.first().is_some_and(|(start, _)| number < start)
    }

    /// Takes in a packet that opened and is new.
    pub(crate) fn take(&mut self, number: u64, is_eliciting: bool, is_immediate: bool, now: Time) {
        let expected = self.expected();
        self.arrived.insert(number, number + 1);
        if number >= expected {
            self.largest = Some((number, now));
            self.arrived.forget_below(number.saturating_sub(REPLAY_WINDOW));
        }
        while self.arrived.len() > 2 * ACK_RUNS_MAX {
            let end = self.arrived.first().map_or(0, |(_, end)| end);
            self.arrived.forget_below(end);
        }
        if is_eliciting {
            self.unacked += 1;
            self.is_urgent |= is_immediate || number != expected;
            self.due.get_or_insert(now + ACK_DELAY_MAX);
        }
    }

    /// Whether an acknowledgement is to go out now, even alone.
    pub(crate) fn must_ack(&self, now: Time) -> bool {
        self.unacked > 0
            && (self.is_urgent || self.unacked >= ACK_EVERY || self.due.is_some_and(|due| now >= due))
    }

    /// Whether one may ride along.
    pub(crate) const fn may_ack(&self) -> bool {
        self.unacked > 0
    }

    /// When one must go out.
    pub(crate) const fn due(&self) -> Option<Time> {
        self.due
    }

    /// What to acknowledge; it counts as done.
    pub(crate) fn acknowledge(&mut self, now: Time) -> Option<(u64, &Ranges)> {
        let (_, at) = self.largest?;
        (self.unacked, self.is_urgent, self.due) = (0, false, None);
        Some((u64::try_from(now.since(at).as_micros()).unwrap_or(u64::MAX), &self.arrived))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Time {
        Time::after_start(Duration::from_millis(ms))
    }

    #[test]
    fn each_number_is_new_once_and_never_when_it_is_too_old() {
        let mut received = Received::default();
        for number in [0, 1, 3, 2, REPLAY_WINDOW + 10] {
            assert!(received.is_new(number));
            received.take(number, true, false, at(0));
            assert!(!received.is_new(number), "{number}");
        }
        assert!(!received.is_new(9), "behind the window");
        assert!(received.is_new(11), "in it, and missing");
    }

    #[test]
    fn acknowledgements_wait_for_sixteen_packets_or_the_delay_and_not_for_a_gap() {
        let mut received = Received::default();
        for number in 0..15 {
            received.take(number, true, false, at(1));
            assert!(!received.must_ack(at(1)));
        }
        assert!(received.must_ack(at(1) + ACK_DELAY_MAX));
        received.take(15, true, false, at(1));
        assert!(received.must_ack(at(1)));
        assert!(received.acknowledge(at(2)).is_some_and(|(delay_us, _)| delay_us == 1_000));
        assert!(!received.may_ack());
        received.take(17, true, false, at(3));
        assert!(received.must_ack(at(3)), "one is missing");
    }

    #[test]
    fn holes_without_end_are_bounded() {
        let mut received = Received::default();
        for number in 0..10_000 {
            received.take(number * 2, true, false, at(0));
        }
        assert!(received.arrived.len() <= 2 * ACK_RUNS_MAX);
        assert!(!received.is_new(1), "forgotten counts as arrived");
    }
}
