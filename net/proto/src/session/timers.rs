//! What happens when nothing comes.

use super::{Closed, Phase, Session};
use crate::limits::{GATHER, PERSISTENT_PROBES, PROBE_WAIT_MAX};
use crate::sent::Control;
use crate::time::Time;
use crate::trace::TraceEvent;

impl Session {
    /// When [`Self::expire`] and [`Self::transmit`] are to be called at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        match &self.phase {
            Phase::Connecting(connecting) => Some(connecting.resend_at.min(connecting.give_up)),
            Phase::Closing { until, .. } => Some(*until),
            Phase::Over => None,
            Phase::Open => {
                let keep_alive = self.config.keep_alive.map(|every| self.said_at.max(self.heard_at) + every);
                let times = [
                    Some(self.heard_at + self.idle),
                    keep_alive,
                    self.sent.loss_at(&self.rtt),
                    self.probe_at(),
                    self.received.due(),
                    self.paced_until,
                    self.waits_since.map(|since| since + GATHER),
                ];
                times.into_iter().flatten().min()
            }
        }
    }

    /// When an answer is asked for: packets are on their way and none came for a while.
    fn probe_at(&self) -> Option<Time> {
        let last = self.sent.last_eliciting().filter(|_| self.sent.has_eliciting())?;
        let first = self.rtt.probe_timeout();
        Some(last + (first * 2_u32.pow(self.timeouts.min(16))).min(PROBE_WAIT_MAX.max(first)))
    }

    /// Does what is due.
    pub fn expire(&mut self, now: Time) {
        if let Some(trace) = &mut self.trace {
            trace.look_at_clock(now);
        }
        match &self.phase {
            Phase::Connecting(connecting) => {
                if now >= connecting.give_up && connecting.failed.is_none() {
                    self.end(Closed::TimedOut);
                }
            }
            Phase::Closing { until, .. } => {
                if now >= *until {
                    self.phase = Phase::Over;
                }
            }
            Phase::Over => {}
            Phase::Open => self.expire_open(now),
        }
    }

    fn expire_open(&mut self, now: Time) {
        if now.since(self.heard_at) >= self.idle {
            return self.end(Closed::TimedOut);
        }
        if self.paced_until.is_some_and(|until| now >= until) {
            self.paced_until = None;
        }
        if self.sent.loss_at(&self.rtt).is_some_and(|at| now >= at) {
            self.look_for_losses(now);
        } else if self.probe_at().is_some_and(|at| now >= at) {
            self.ask_for_an_answer(now);
        }
        let quiet = now.since(self.said_at.max(self.heard_at));
        if self.config.keep_alive.is_some_and(|every| quiet >= every) {
            self.lanes.say(Control::Ping);
            self.said_at = now;
        }
        self.change_key_if_due(now);
    }

    /// Takes the next key when it is time.
    pub(super) fn change_key_if_due(&mut self, now: Time) {
        let Some(keys) = &mut self.keys else { return };
        let before = keys.phase();
        keys.change_if_due(now);
        if keys.phase() != before {
            self.stats.key_changes += 1;
            self.note(now, TraceEvent::KeyChanged);
        }
    }

    /// Two packets with the oldest of what is on its way (RFC 9002 §6.2.4).
    fn ask_for_an_answer(&mut self, now: Time) {
        self.timeouts += 1;
        self.probes = 2;
        self.stats.probe_timeouts += 1;
        self.note(now, TraceEvent::TimedOut { count: self.timeouts });
        let oldest: Vec<_> = self.sent.oldest(2).cloned().collect();
        for content in &oldest {
            content.pieces().for_each(|piece| {
                self.stats.resent_bytes += u64::from(piece.len);
                self.lanes.lost(&piece);
            });
            content.control.iter().for_each(|control| self.lanes.say(*control));
        }
        self.lanes.say(Control::Ping);
        if self.timeouts >= PERSISTENT_PROBES {
            if self.timeouts == PERSISTENT_PROBES {
                self.congestion.stalled(now);
            }
            if self.size.is_black_hole(self.timeouts, now) {
                self.congestion.set_packet_bytes(self.size.bytes() as u64);
                self.note(now, TraceEvent::Size { bytes: self.size.bytes() });
            }
        }
    }
}
