//! What a session does, for whoever looks for the reason of a slow or a lost one.
//!
//! Off unless asked for: then every place that notes something looks at one `Option`. Events are numbers and
//! kinds; no content, key, name or address is among them. They wait here until they are taken, as many as the
//! limit allows; of those beyond it the number is told.

use crate::header::Kind;
use crate::limits::TRACE_EVENTS_MAX;
use crate::session::Closed;
use crate::time::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// Something that a session did. What the words mean is in draft-ietf-quic-qlog-quic-events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// It began, on the side that connects or not.
    Started {
        /// The side that connects.
        is_client: bool,
    },
    /// A packet went out.
    Sent {
        /// What it is.
        kind: Kind,
        /// Its number; of a handshake packet that of the handshake.
        number: u64,
        /// Bytes of the datagram.
        bytes: usize,
        /// It wants an acknowledgement.
        is_eliciting: bool,
    },
    /// A packet came; of a sealed one, it opened and is new.
    Received {
        /// What it is.
        kind: Kind,
        /// Its number.
        number: u64,
        /// Bytes of the datagram.
        bytes: usize,
    },
    /// Packets were acknowledged that were not before.
    Acked {
        /// How many.
        packets: usize,
        /// Bytes in them.
        bytes: u64,
        /// The largest number that the acknowledgement lists.
        largest: u64,
    },
    /// A packet counts as lost.
    Lost {
        /// Its number.
        number: u64,
        /// Bytes of the datagram.
        bytes: usize,
        /// It tried a size.
        is_probe: bool,
    },
    /// What recovery and congestion control know now.
    Metrics {
        /// The smoothed round trip.
        smoothed_rtt: Duration,
        /// The latest one.
        latest_rtt: Duration,
        /// Bytes that may be on their way.
        window: u64,
        /// Bytes that are.
        in_flight: u64,
    },
    /// No answer came in time; one is asked for.
    TimedOut {
        /// How often in a row.
        count: u32,
    },
    /// Datagrams have another size from here on.
    Size {
        /// Bytes of a full one.
        bytes: usize,
    },
    /// The sealing keys changed.
    KeyChanged,
    /// Frames may flow.
    Established,
    /// It is over.
    Closed(Closed),
    /// So many events are missing here: nobody took them in time.
    Missed {
        /// How many.
        count: u64,
    },
}

/// Events that wait to be taken.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    events: VecDeque<(Time, TraceEvent)>,
    missed: u64,
    /// The latest moment that is known.
    latest: Time,
}

impl Trace {
    pub(crate) fn push(&mut self, now: Time, event: TraceEvent) {
        self.latest = self.latest.max(now);
        if self.events.len() >= TRACE_EVENTS_MAX {
            self.missed += 1;
        } else {
            self.events.push_back((now, event));
        }
    }

    /// Events that wait.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Notes what has no time of its own: it happened when something else did.
    pub(crate) fn push_latest(&mut self, event: TraceEvent) {
        self.push(self.latest, event);
    }

    pub(crate) fn look_at_clock(&mut self, now: Time) {
        self.latest = self.latest.max(now);
    }

    pub(crate) fn pop(&mut self) -> Option<(Time, TraceEvent)> {
        if self.events.is_empty() && self.missed > 0 {
            return Some((self.latest, TraceEvent::Missed { count: std::mem::take(&mut self.missed) }));
        }
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_nobody_takes_are_counted_and_not_kept() {
        let mut trace = Trace::default();
        for number in 0..TRACE_EVENTS_MAX as u64 + 5 {
            let at = Time::after_start(Duration::from_millis(number));
            trace.push(at, TraceEvent::KeyChanged);
        }
        let taken: Vec<_> = std::iter::from_fn(|| trace.pop()).collect();
        assert_eq!(taken.len(), TRACE_EVENTS_MAX + 1);
        assert_eq!(taken.last().map(|(_, event)| *event), Some(TraceEvent::Missed { count: 5 }));
        assert!(taken.windows(2).all(|two| two[0].0 <= two[1].0), "in order");
    }
}
