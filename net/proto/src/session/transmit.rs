//! What goes out.

use super::{Phase, Session, Transmit};
use crate::frame::{Frame, FrameWriter, LANE_OVERHEAD_MAX, SMALL_FRAME_MAX};
use crate::header::{HEADER_LEN, Header, Kind, TAG_LEN, flag};
use crate::limits::{BATCH_BYTES_MAX, GATHER, SEGMENTS_MAX};
use crate::pacer::Pace;
use crate::sent::{Content, Control, SentPacket};
use crate::time::Time;
use crate::trace::TraceEvent;

/// What a packet is to be.
struct Plan {
    kind: Kind,
    /// Bytes of the datagram.
    size: usize,
    /// Frames that want an answer may go in.
    may_send: bool,
}

impl Session {
    /// Writes datagrams that may go out now into `out`, all but the last of one size; `None` when there are
    /// none. To be called until it gives none.
    ///
    /// `out` holds at least 65,507 bytes.
    pub fn transmit(&mut self, now: Time, out: &mut [u8]) -> Option<Transmit> {
        let to = self.addr;
        let one = |len| Transmit { to, len, segment: len };
        match self.phase {
            Phase::Connecting(_) => {
                let len = self.transmit_handshake(now, out)?;
                self.note_handshake_sent(len, now);
                Some(one(len))
            }
            Phase::Closing { .. } => self.transmit_close(now, out).map(one),
            Phase::Over => None,
            Phase::Open => match self.transmit_size_probe(now, out) {
                Some(len) => Some(one(len)),
                None => self.transmit_batch(now, out),
            },
        }
    }

    /// Notes a datagram of the handshake.
    fn note_handshake_sent(&mut self, bytes: usize, now: Time) {
        let Some(trace) = &mut self.trace else { return };
        // Once it failed and that was said, there is no handshake any more.
        let number = match &self.phase {
            Phase::Connecting(connecting) => connecting.tls.last_number().into(),
            _ => 0,
        };
        let kind = if self.is_client { Kind::Init } else { Kind::Resp };
        trace.push(now, TraceEvent::Sent { kind, number, bytes, is_eliciting: true });
    }

    fn transmit_batch(&mut self, now: Time, out: &mut [u8]) -> Option<Transmit> {
        self.change_key_if_due(now);
        let segment = self.size.bytes();
        if self.waits_for_more(segment, now) {
            return None;
        }
        let paced = self.paced_packets(now);
        let (mut len, mut count) = (0, 0);
        while count < SEGMENTS_MAX && len + segment <= BATCH_BYTES_MAX.max(segment).min(out.len()) {
            let room = &mut out[len..len + segment];
            let Some(written) = self.packet(now, count < paced, room) else { break };
            (len, count) = (len + written, count + 1);
            if written < segment {
                break;
            }
        }
        (count > 0).then_some(Transmit { to: self.addr, len, segment })
    }

    /// Whether what there is to send waits for what follows it, so that one call to the kernel takes both: bulk
    /// that fills no batch, of lanes that go on, while a whole batch is on its way. A moment at most: then, or when
    /// an acknowledgement finds less on its way, it goes.
    fn waits_for_more(&mut self, segment: usize, now: Time) -> bool {
        let batch = (segment * SEGMENTS_MAX).min(BATCH_BYTES_MAX) as u64;
        let waits = self.sent.in_flight() >= batch
            && self.probes == 0
            // What holds it back otherwise says itself when it goes on.
            && self.has_window()
            && self.paced_until.is_none()
            && !self.lanes.has_control()
            && !self.received.must_ack(now)
            && self.lanes.is_part_of_more(batch);
        if !waits {
            self.waits_since = None;
            return false;
        }
        let still = now.since(*self.waits_since.get_or_insert(now)) < GATHER;
        if !still {
            self.waits_since = None;
        }
        still
    }

    /// One packet of frames; its length.
    fn packet(&mut self, now: Time, is_due: bool, room: &mut [u8]) -> Option<usize> {
        let may_send = is_due && self.has_window();
        let must_ack = self.received.must_ack(now);
        if !may_send && !must_ack {
            return None;
        }
        let has_data = may_send && (self.lanes.has_control() || self.lanes.wants_to_send());
        if !has_data && !must_ack {
            return None;
        }
        let kind = if has_data { Kind::Data } else { Kind::Ack };
        self.write_packet(&Plan { kind, size: room.len(), may_send: has_data }, now, room)
    }

    /// Whether frames that want an answer may go now: the window has room, or an answer is asked for.
    fn has_window(&self) -> bool {
        let has_room = self.sent.in_flight() + self.size.bytes() as u64 <= self.congestion.window();
        has_room || self.probes > 0
    }

    /// How many packets of a batch the pace allows now.
    fn paced_packets(&mut self, now: Time) -> usize {
        let (window, packet) = (self.congestion.window(), self.size.bytes() as u64);
        let pace = Pace::of(window, self.rtt.smoothed(), self.congestion.is_starting(), packet);
        let packets = self.pacer.packets(pace, SEGMENTS_MAX, now);
        if self.probes > 0 || !self.rtt.is_measured() {
            return SEGMENTS_MAX;
        }
        self.paced_until = packets.err();
        packets.unwrap_or(0)
    }

    fn write_packet(&mut self, plan: &Plan, now: Time, room: &mut [u8]) -> Option<usize> {
        let number = self.sent.next_number();
        let (header, content) = room.split_at_mut(HEADER_LEN);
        let frames_room = plan.size - HEADER_LEN - TAG_LEN;
        let mut frames = FrameWriter::new(&mut content[..frames_room]);
        let (ack, mut flags) = self.write_ack(now, &mut frames);
        let carried = if plan.may_send { self.write_frames(now, &mut frames) } else { Content::default() };
        let is_probe = plan.kind == Kind::Probe;
        if is_probe {
            frames.small(&Frame::Ping);
            frames.pad();
        }
        let is_eliciting = is_probe || carried.piece.is_some() || !carried.control.is_empty();
        if is_eliciting {
            flags |= flag::ELICITING;
        }
        let payload_len = frames.len() + TAG_LEN;
        let len = HEADER_LEN + payload_len;
        if !is_eliciting && frames.len() == 0 {
            return None;
        }
        if is_eliciting && self.is_waited_for(len as u64) {
            flags |= flag::IMMEDIATE;
        }
        let keys = self.keys.as_mut()?;
        flags |= if keys.phase() { flag::KEY_PHASE } else { 0 };
        let low = u32::try_from(number & u64::from(u32::MAX)).expect("masked");
        let head = Header { kind: plan.kind, flags, session: self.remote, seq: low, ack };
        header.copy_from_slice(&head.open_bytes(payload_len));
        let packet = &mut room[..len];
        keys.seal(number, packet);
        head.write_crc(packet);
        let sent_len = u16::try_from(len).expect("a datagram is shorter than 64 KiB");
        self.note(now, TraceEvent::Sent { kind: plan.kind, number, bytes: len, is_eliciting });
        self.note_sent(SentPacket { at: now, len: sent_len, is_eliciting, is_probe, content: carried }, now);
        Some(len)
    }

    /// Acknowledges what came since the last acknowledgement: the number for the header, and the flags.
    fn write_ack(&mut self, now: Time, frames: &mut FrameWriter<'_>) -> (u32, u8) {
        let Some(largest) = self.received.largest() else { return (0, 0) };
        let low = u32::try_from(largest & u64::from(u32::MAX)).expect("masked");
        if !self.received.may_ack() {
            return (low, 0);
        }
        let Some((delay_us, arrived)) = self.received.acknowledge(now) else { return (low, 0) };
        frames.ack(delay_us, arrived);
        (low, flag::ACKS)
    }

    /// Small frames, then pieces of lanes, until the packet is full.
    fn write_frames(&mut self, now: Time, frames: &mut FrameWriter<'_>) -> Content {
        let mut carried = Content::default();
        while frames.left() >= SMALL_FRAME_MAX
            && let Some(control) = self.lanes.next_control()
        {
            if let Some(frame) = self.lanes.control_frame(control) {
                frames.small(&frame);
                carried.control.push(control);
            }
        }
        while frames.left() > LANE_OVERHEAD_MAX
            && let Some(piece) = self.lanes.write_piece(now, frames)
        {
            carried.add_piece(piece);
        }
        self.lanes.turn();
        if self.probes > 0 && carried.piece.is_none() && carried.control.is_empty() {
            frames.small(&Frame::Ping);
            carried.control.push(Control::Ping);
        }
        carried
    }

    /// Whether somebody waits for the answer: the window is full, or a writer has no room. Otherwise the answer
    /// may ride along with what the other side says next: a request and its response are two datagrams, not four.
    fn is_waited_for(&self, len: u64) -> bool {
        let next = self.sent.in_flight() + len + self.size.bytes() as u64;
        next > self.congestion.window() || (!self.lanes.wants_to_send() && self.lanes.has_waiting_writer())
    }

    fn note_sent(&mut self, packet: SentPacket, now: Time) {
        let len = u64::from(packet.len);
        self.stats.sent = (self.stats.sent.0 + 1, self.stats.sent.1 + len);
        if packet.is_eliciting {
            self.pacer.sent(len);
            self.probes = self.probes.saturating_sub(1);
        }
        self.said_at = now;
        let is_eliciting = packet.is_eliciting;
        self.sent.sent(packet);
        if is_eliciting {
            self.used = self.sent.in_flight();
        }
    }

    /// A padded packet that tries a larger size; its length.
    fn transmit_size_probe(&mut self, now: Time, out: &mut [u8]) -> Option<usize> {
        if !self.rtt.is_measured() || self.sent.in_flight() > self.congestion.window() {
            return None;
        }
        let size = self.size.probe(now)?;
        let plan = Plan { kind: Kind::Probe, size, may_send: false };
        self.write_packet(&plan, now, out.get_mut(..size)?)
    }

    /// A datagram of that size was refused by this machine's own network.
    pub fn too_large(&mut self, size: usize, now: Time) {
        self.size.probe_lost(size, now);
    }

    fn transmit_close(&mut self, now: Time, out: &mut [u8]) -> Option<usize> {
        let Phase::Closing { code, is_due, .. } = &mut self.phase else { return None };
        if !std::mem::take(is_due) {
            return None;
        }
        let code = *code;
        let keys = self.keys.as_mut()?;
        let mut content = [0; 9];
        let mut frames = FrameWriter::new(&mut content);
        frames.small(&Frame::Close { code });
        let (frames_len, number) = (frames.len(), self.sent.next_number());
        let len = HEADER_LEN + frames_len + TAG_LEN;
        let flags = if keys.phase() { flag::KEY_PHASE } else { 0 };
        let low = u32::try_from(number & u64::from(u32::MAX)).expect("masked");
        let header = Header { kind: Kind::Close, flags, session: self.remote, seq: low, ack: 0 };
        let packet = out.get_mut(..len)?;
        packet[..HEADER_LEN].copy_from_slice(&header.open_bytes(len - HEADER_LEN));
        packet[HEADER_LEN..len - TAG_LEN].copy_from_slice(&content[..frames_len]);
        keys.seal(number, packet);
        header.write_crc(packet);
        let sent_len = u16::try_from(len).expect("a few bytes");
        self.note(now, TraceEvent::Sent { kind: Kind::Close, number, bytes: len, is_eliciting: false });
        let content = Content::default();
        self.note_sent(
            SentPacket { at: now, len: sent_len, is_eliciting: false, is_probe: false, content },
            now,
        );
        Some(len)
    }
}
