//! What of the lanes goes into packets: the most urgent first, lost pieces before new ones.

use super::{CLASSES, LaneEvent, LaneId, Lanes, ROOM_SHARE, Windows};
use crate::frame::{Frame, FrameWriter};
use crate::lane::send::SendHalf;
use crate::limits::{CLASS_FLOOR, LANES_MAX};
use crate::sent::{Control, Piece};
use crate::time::Time;

impl Lanes {
    pub(super) fn queue(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        // Whether there is credit is looked at when it has its turn.
        if !lane.is_queued && lane.send.as_ref().is_some_and(|send| send.wants(u64::MAX)) {
            lane.is_queued = true;
            self.queues[usize::from(lane.class).min(CLASSES - 1)].push_back(id);
        }
    }

    fn credit_left(&self) -> u64 {
        self.send_limit.saturating_sub(self.sent)
    }

    /// Whether a lane has something to send that may be sent.
    pub(crate) fn wants_to_send(&self) -> bool {
        let credit = self.credit_left();
        self.queues.iter().flatten().any(|id| {
            self.lanes.get(id).and_then(|lane| lane.send.as_ref()).is_some_and(|send| send.wants(credit))
        })
    }

    /// Whether what waits is new bytes of bulk lanes alone, fewer than a batch, and nobody has said that they are
    /// the last.
    pub(crate) fn is_part_of_more(&self, batch: u64) -> bool {
        let [urgent @ .., bulk, background] = &self.queues;
        if urgent.iter().any(|queue| !queue.is_empty()) {
            return false;
        }
        let mut fresh = 0;
        for id in bulk.iter().chain(background) {
            let Some(send) = self.lanes.get(id).and_then(|lane| lane.send.as_ref()) else { continue };
            fresh += send.fresh(u64::MAX);
            if !send.goes_on() || fresh >= batch {
                return false;
            }
        }
        fresh > 0
    }

    /// Whether somebody has more to write than there is room for.
    pub(crate) fn has_waiting_writer(&self) -> bool {
        self.lanes.values().any(|lane| lane.wants_room)
    }

    /// The next small frame to send.
    pub(crate) fn next_control(&mut self) -> Option<Control> {
        self.control.pop_first()
    }

    pub(crate) fn has_control(&self) -> bool {
        !self.control.is_empty()
    }

    /// The frame a note stands for, as things are now; `None` when it has become pointless.
    pub(crate) fn control_frame(&self, control: Control) -> Option<Frame<'static>> {
        Some(match control {
            Control::Ping => Frame::Ping,
            Control::Credit => Frame::Credit { bytes: self.recv_limit },
            Control::Lanes => Frame::Lanes { count: self.may_open[1] },
            Control::LaneCredit { lane } => {
                let recv = self.lanes.get(&lane)?.recv.as_ref()?;
                Frame::LaneCredit { lane, bytes: recv.limit() }
            }
            Control::Reset { lane } => {
                let (code, len) = self.lanes.get(&lane)?.reset?;
                Frame::Reset { lane, code, len }
            }
            Control::Stop { lane } => Frame::Stop { lane, code: self.lanes.get(&lane)?.stop? },
        })
    }

    /// Writes the next piece into a packet, of the most urgent lane that has one.
    pub(crate) fn write_piece(&mut self, now: Time, out: &mut FrameWriter<'_>) -> Option<Piece> {
        for _ in 0..2 * LANES_MAX {
            let class = self.next_class(now)?;
            let id = *self.queues[class].front()?;
            let credit = self.credit_left();
            let lane = self.lanes.get_mut(&id);
            let next = lane.and_then(|lane| {
                let next = lane.send.as_ref().filter(|_| lane.reset.is_none())?.next_piece(credit);
                next.map(|next| (lane, next))
            });
            let Some((lane, (offset, len))) = next else {
                self.unqueue(class);
                continue;
            };
            let send = lane.send.as_mut()?;
            let wanted = usize::try_from(len).unwrap_or(usize::MAX);
            let room = out.lane(id, offset, wanted, send.ends_at(offset + len))?;
            let fin = room.len() == wanted && send.ends_at(offset + len);
            self.sent += send.take(offset, room, fin);
            let len = u32::try_from(room.len()).expect("a packet is shorter than 64 KiB");
            let is_more = send.wants(u64::MAX);
            if !is_more {
                self.unqueue(class);
            }
            return Some(Piece { lane: id, offset, len, fin });
        }
        None
    }

    /// After a packet, the next lane of the class has its turn.
    pub(crate) fn turn(&mut self) {
        for queue in &mut self.queues {
            if queue.len() > 1 {
                queue.rotate_left(1);
            }
        }
    }

    /// The most urgent class that waits, but one that has waited for long first.
    fn next_class(&mut self, now: Time) -> Option<usize> {
        for (queue, waits) in self.queues.iter().zip(&mut self.waits) {
            *waits = if queue.is_empty() { None } else { Some(waits.unwrap_or(now)) };
        }
        let is_starved =
            |class: &usize| self.waits[*class].is_some_and(|since| now.since(since) >= CLASS_FLOOR);
        let starved = (0..CLASSES).rev().find(is_starved);
        let class = starved.or_else(|| (0..CLASSES).find(|class| !self.queues[*class].is_empty()))?;
        self.waits[class] = Some(now);
        Some(class)
    }

    fn unqueue(&mut self, class: usize) {
        if let Some(lane) = self.queues[class].pop_front().and_then(|id| self.lanes.get_mut(&id)) {
            lane.is_queued = false;
        }
    }

    /// What a packet carried has arrived.
    pub(crate) fn acked(&mut self, piece: &Piece) {
        let Some(lane) = self.lanes.get_mut(&piece.lane) else { return };
        let Some(send) = lane.send.as_mut().filter(|_| lane.reset.is_none()) else { return };
        let before = send.kept();
        send.acked(piece);
        let freed = before - send.kept();
        self.kept -= freed;
        if send.is_done() {
            lane.send = None;
        }
        if freed > 0 {
            self.told_room();
        }
        self.tidy(piece.lane);
    }

    /// A small frame has arrived.
    pub(crate) fn control_acked(&mut self, control: Control) {
        if let Control::Reset { lane: id } = control {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.send = None;
            }
            self.tidy(id);
        }
    }

    pub(super) fn told_room(&mut self) {
        let (Windows { lane_bytes, kept_bytes, .. }, kept) = (self.windows, self.kept);
        if kept >= kept_bytes {
            return;
        }
        // Only when a good part of what a lane could have is free: waking a writer costs more than sending a piece.
        let has_room = |send: &SendHalf| {
            let others = kept - send.kept();
            let most = lane_bytes.min(kept_bytes - others);
            send.kept() <= most - most / ROOM_SHARE
        };
        for (id, lane) in self.lanes.iter_mut().filter(|(_, lane)| lane.wants_room) {
            if lane.send.as_ref().is_some_and(has_room) {
                lane.wants_room = false;
                self.events.push_back(LaneEvent::Writable(*id));
            }
        }
    }

    /// A piece was lost.
    pub(crate) fn lost(&mut self, piece: &Piece) {
        let Some(lane) = self.lanes.get_mut(&piece.lane) else { return };
        if let Some(send) = lane.send.as_mut().filter(|_| lane.reset.is_none()) {
            send.lost(piece);
            self.queue(piece.lane);
        }
    }

    /// A small frame was lost, or is due.
    pub(crate) fn say(&mut self, control: Control) {
        self.control.insert(control);
    }
}
