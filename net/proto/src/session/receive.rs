//! What comes in.

use super::{Closed, Phase, Session};
use crate::frame::{Acked, Frame, Frames};
use crate::handshake::aad;
use crate::header::{HEADER_LEN, Header, Kind, expand, flag};
use crate::lane::Violation;
use crate::limits::TRACE_STRANGER_MAX;
use crate::ranges::Ranges;
use crate::sent::{Control, SentPacket};
use crate::time::Time;
use crate::trace::TraceEvent;
use std::time::Duration;

impl Session {
    /// Takes in a datagram of this session, whose header was read. It is opened in place.
    pub fn handle(&mut self, header: &Header, datagram: &mut [u8], now: Time) {
        match header.kind {
            Kind::Init | Kind::Resp => {
                let (kind, number, bytes) = (header.kind, header.seq.into(), datagram.len());
                // Nobody knows yet who sends it: a few are enough.
                if !self.is_of_stranger()
                    || self.trace.as_ref().is_some_and(|trace| trace.len() < TRACE_STRANGER_MAX)
                {
                    self.note(now, TraceEvent::Received { kind, number, bytes });
                }
                self.handshake_packet(header, datagram, now);
            }
            Kind::Retry => self.retry(&datagram[HEADER_LEN..], now),
            Kind::Close if header.flags & flag::SEALED != 0 => self.handshake_closed(header, datagram),
            Kind::Data | Kind::Ack | Kind::Probe | Kind::Close => self.sealed_packet(header, datagram, now),
            Kind::Reset => {}
        }
    }

    fn sealed_packet(&mut self, header: &Header, datagram: &mut [u8], now: Time) {
        let number = expand(header.seq, self.received.expected());
        let keep = 3 * self.rtt.probe_timeout();
        let Some(keys) = &mut self.keys else { return };
        if !self.received.is_new(number) || matches!(self.phase, Phase::Over) {
            return;
        }
        let (aad, len) = (aad(datagram), datagram.len());
        let (phase, before) = (header.flags & flag::KEY_PHASE != 0, keys.phase());
        let opened = keys.open((number, phase), &aad, &mut datagram[HEADER_LEN..], (now, keep));
        let Ok(content) = opened else {
            if keys.is_worn_out() {
                self.end(Closed::WornOut);
            }
            return;
        };
        // The slice borrows the datagram, not the keys.
        if self.keys.as_ref().is_some_and(|keys| keys.phase() != before) {
            self.stats.key_changes += 1;
            self.note(now, TraceEvent::KeyChanged);
        }
        if let Phase::Connecting(_) = self.phase {
            if !self.is_client {
                // Frames before the client has finished: they come again.
                return;
            }
            self.establish(now);
        }
        let is_eliciting = header.flags & flag::ELICITING != 0;
        self.received.take(number, is_eliciting, header.flags & flag::IMMEDIATE != 0, now);
        self.heard_at = now;
        self.stats.received = (self.stats.received.0 + 1, self.stats.received.1 + len as u64);
        self.note(now, TraceEvent::Received { kind: header.kind, number, bytes: len });
        if let Phase::Closing { is_due, .. } = &mut self.phase {
            // It has not heard.
            *is_due |= is_eliciting;
        }
        if let Err(violation) = self.frames(header, content, now) {
            self.violated(violation, now);
        }
    }

    fn frames(&mut self, header: &Header, content: &[u8], now: Time) -> Result<(), Violation> {
        let largest = expand(header.ack, self.sent.next_number());
        for frame in Frames::new(content, largest) {
            match frame.map_err(|_| Violation::Malformed)? {
                Frame::Padding | Frame::Ping => {}
                Frame::Ack(Acked { delay_us, arrived }) => {
                    self.acked(&arrived, Duration::from_micros(delay_us), now)?;
                }
                Frame::Lane { lane, offset, fin, bytes } => {
                    if self.is_open() {
                        self.lanes.piece(lane, offset, bytes, fin)?;
                    }
                }
                Frame::Reset { lane, code, len } => self.lanes.was_reset(lane, code, len)?,
                Frame::Stop { lane, code } => self.lanes.was_stopped(lane, code)?,
                Frame::Credit { bytes } => self.lanes.credit(bytes),
                Frame::LaneCredit { lane, bytes } => self.lanes.lane_credit(lane, bytes)?,
                Frame::Lanes { count } => self.lanes.lanes_credit(count),
                Frame::Close { code } => self.end(Closed::There(code)),
            }
        }
        Ok(())
    }

    /// Takes in an acknowledgement, and how long the other side says it waited with it.
    fn acked(&mut self, arrived: &Ranges, delay: Duration, now: Time) -> Result<(), Violation> {
        let newly = self.sent.acknowledged(arrived).map_err(|_| Violation::Unsent)?;
        if newly.acked.is_empty() {
            return Ok(());
        }
        if let (Some(keys), Some((_, end))) = (&mut self.keys, arrived.iter().next_back()) {
            keys.acked(end - 1);
        }
        if let Some(sent) = newly.largest_sent {
            self.rtt.sample(now.since(sent), delay);
        }
        for (number, packet) in &newly.acked {
            let size = usize::from(packet.len);
            if packet.is_probe {
                self.size.probe_acked(size);
                self.congestion.set_packet_bytes(self.size.bytes() as u64);
                if let Some(trace) = &mut self.trace {
                    trace.push(now, TraceEvent::Size { bytes: self.size.bytes() });
                }
            }
            self.size.acked(*number, size);
            packet.content.pieces().for_each(|piece| self.lanes.acked(&piece));
            packet.content.control.iter().for_each(|control| self.lanes.control_acked(*control));
        }
        if let Some(newest) = newly.newest {
            self.congestion.acked(newly.acked_bytes, newest, self.is_window_used(), &self.rtt, now);
        }
        self.timeouts = 0;
        self.note_acked(arrived, (newly.acked.len(), newly.acked_bytes), now);
        self.look_for_losses(now);
        Ok(())
    }

    /// Whether the window is what limits (RFC 9002 §7.8): else nothing says that a larger one would do. Pace and
    /// batches keep somewhat less on their way than it allows, at the start half as much, since it doubles.
    fn is_window_used(&self) -> bool {
        let window = self.congestion.window();
        // Of a window of two packets and a half two are used, and no more can be.
        let is_full = self.used + self.size.bytes() as u64 > window;
        is_full || self.used >= if self.congestion.is_starting() { window / 2 } else { window / 4 * 3 }
    }

    /// Notes what an acknowledgement brought and changed.
    fn note_acked(&mut self, arrived: &Ranges, (packets, bytes): (usize, u64), now: Time) {
        let Some(trace) = &mut self.trace else { return };
        let largest = arrived.iter().next_back().map_or(0, |(_, end)| end - 1);
        trace.push(now, TraceEvent::Acked { packets, bytes, largest });
        let (smoothed_rtt, latest_rtt) = (self.rtt.smoothed(), self.rtt.latest());
        let (window, in_flight) = (self.congestion.window(), self.sent.in_flight());
        trace.push(now, TraceEvent::Metrics { smoothed_rtt, latest_rtt, window, in_flight });
    }

    /// Takes out what is lost; it goes out again.
    pub(super) fn look_for_losses(&mut self, now: Time) {
        let lost = self.sent.lost(&self.rtt, now);
        let (mut newest, mut larger) = (None, 0);
        for (number, packet) in &lost {
            let (number, bytes, is_probe) = (*number, packet.len.into(), packet.is_probe);
            self.note(now, TraceEvent::Lost { number, bytes, is_probe });
            self.was_lost(packet, now);
            if !packet.is_probe {
                newest = newest.max(Some(packet.at));
                larger += u32::from(self.size.is_telling(number, packet.len.into()));
            }
        }
        if let Some(newest) = newest {
            self.congestion.lost(newest, now);
        }
        if self.size.is_black_hole(larger, now) {
            self.congestion.set_packet_bytes(self.size.bytes() as u64);
            self.note(now, TraceEvent::Size { bytes: self.size.bytes() });
        }
    }

    fn was_lost(&mut self, packet: &SentPacket, now: Time) {
        self.stats.lost = (self.stats.lost.0 + 1, self.stats.lost.1 + u64::from(packet.len));
        if packet.is_probe {
            return self.size.probe_lost(packet.len.into(), now);
        }
        for piece in packet.content.pieces() {
            self.stats.resent_bytes += u64::from(piece.len);
            self.lanes.lost(&piece);
        }
        for control in packet.content.control.iter().filter(|control| **control != Control::Ping) {
            self.lanes.say(*control);
        }
    }
}
