//! Lanes: each carries one request and its response, beside all the others.
//!
//! A lane has two directions. It is opened by its first frame; its number says by whom (bit 0: 0 by the side
//! that connected). Each direction ends on its own, by its end, a reset, or a stop from the side that reads.
//! A lost packet delays the lanes it carried and no other.

mod outgoing;
mod recv;
mod send;

pub use recv::Read;

use crate::frame::VARINT_MAX;
use crate::limits::LANES_MAX;
use crate::sent::Control;
use crate::time::Time;
use bytes::Bytes;
use recv::{RecvHalf, Spare};
use send::SendHalf;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Urgencies, 0 the most urgent.
pub const CLASSES: usize = 5;

/// A writer that waits is told once this share of its window is free.
const ROOM_SHARE: u64 = 4;

/// The number of a lane.
pub type LaneId = u64;

/// What the other side may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// More bytes than it was given credit for.
    #[error("more bytes than there was credit for")]
    OverCredit,
    /// A lane's length is not what it was.
    #[error("the length of a lane has changed")]
    LengthChanged,
    /// More gaps in a lane than any honest sender leaves.
    #[error("too many gaps in a lane")]
    TooManyGaps,
    /// More lanes than it may open, or one it cannot have opened.
    #[error("a lane that the other side may not open")]
    LaneNumber,
    /// Frames that are none.
    #[error("malformed frames")]
    Malformed,
    /// An acknowledgement of what was never sent.
    #[error("an acknowledgement of what was never sent")]
    Unsent,
}

/// What happened to lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneEvent {
    /// The other side opened one.
    Opened(LaneId),
    /// There is something to read, or its end.
    Readable(LaneId),
    /// There is room to write, after there was none.
    Writable(LaneId),
    /// The other side reads no more of what is sent; its reason.
    Stopped(LaneId, u64),
    /// One more may be opened, after none could be.
    MayOpen,
}

/// Caps of one side: what the other may send before it is read, and how much is kept until it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Bytes of one lane.
    pub lane_bytes: u64,
    /// Bytes of all lanes.
    pub session_bytes: u64,
    /// Bytes kept until they arrive.
    pub kept_bytes: u64,
}

#[derive(Debug)]
struct Lane {
    send: Option<SendHalf>,
    recv: Option<RecvHalf>,
    class: u8,
    /// It stands in a queue of those with something to send.
    is_queued: bool,
    /// It was refused room and wants to be told.
    wants_room: bool,
    /// It was said that there is something to read, and nobody has looked since.
    is_told: bool,
    /// Why its sending was given up.
    reset: Option<(u64, u64)>,
    /// Why its reading was.
    stop: Option<u64>,
}

/// All lanes of a session.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// Bit 0 of the lanes this side opens.
    own_bit: u64,
    lanes: BTreeMap<LaneId, Lane>,
    windows: Windows,
    /// How many lanes each side has opened, and may.
    opened: [u64; 2],
    may_open: [u64; 2],
    wants_to_open: bool,
    /// Lanes with something to send, by class.
    queues: [VecDeque<LaneId>; CLASSES],
    /// Since when each class waits for a turn.
    waits: [Option<Time>; CLASSES],
    /// New bytes sent, and how many the other side takes.
    sent: u64,
    send_limit: u64,
    /// Bytes written and not arrived.
    kept: u64,
    /// Bytes that came, that were read, and that the other side may send.
    came: u64,
    read: u64,
    recv_limit: u64,
    /// Credit per lane that the other side gave at the start.
    first_credit: u64,
    spare: Spare,
    control: BTreeSet<Control>,
    events: VecDeque<LaneEvent>,
}

impl Lanes {
    pub(crate) fn new(is_client: bool, windows: Windows) -> Self {
        Self {
            own_bit: u64::from(!is_client),
            lanes: BTreeMap::new(),
            windows,
            opened: [0; 2],
            may_open: [0, LANES_MAX],
            wants_to_open: false,
            queues: std::array::from_fn(|_| VecDeque::new()),
            waits: [None; CLASSES],
            sent: 0,
            send_limit: 0,
            kept: 0,
            came: 0,
            read: 0,
            recv_limit: windows.session_bytes,
            first_credit: 0,
            spare: Spare::default(),
            control: BTreeSet::new(),
            events: VecDeque::new(),
        }
    }

    /// The other side said what it takes.
    pub(crate) fn begin(&mut self, lane_bytes: u64, session_bytes: u64, lanes: u64) {
        (self.first_credit, self.send_limit) = (lane_bytes, session_bytes);
        self.may_open[0] = lanes.min(LANES_MAX);
        if std::mem::take(&mut self.wants_to_open) {
            self.events.push_back(LaneEvent::MayOpen);
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<LaneEvent> {
        self.events.pop_front()
    }

    // What this side does.

    /// Opens a lane; `None` while the other side allows no more.
    pub(crate) fn open(&mut self, class: u8) -> Option<LaneId> {
        if self.opened[0] >= self.may_open[0] {
            self.wants_to_open = true;
            return None;
        }
        let id = self.opened[0] * 2 + self.own_bit;
        self.opened[0] += 1;
        self.insert(id, class);
        Some(id)
    }

    fn insert(&mut self, id: LaneId, class: u8) {
        let lane = Lane {
            send: Some(SendHalf::new(self.first_credit)),
            recv: Some(RecvHalf::new(self.windows.lane_bytes)),
            class,
            is_queued: false,
            wants_room: false,
            is_told: false,
            reset: None,
            stop: None,
        };
        self.lanes.insert(id, lane);
    }

    pub(crate) fn set_class(&mut self, id: LaneId, class: u8) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.class = class;
        }
    }

    /// Takes as many bytes off the front as there is room for; how many, or `None` when the lane takes none.
    pub(crate) fn write(&mut self, id: LaneId, bytes: &mut Bytes) -> Option<usize> {
        let lane = self.lanes.get_mut(&id)?;
        let send = lane.send.as_mut().filter(|_| lane.reset.is_none())?;
        let room_here = self.windows.lane_bytes.saturating_sub(send.kept());
        let room = room_here.min(self.windows.kept_bytes.saturating_sub(self.kept));
        let len = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if len == 0 {
            lane.wants_room = !bytes.is_empty();
            return Some(0);
        }
        send.write(bytes.split_to(len));
        self.kept += len as u64;
        self.queue(id);
        Some(len)
    }

    pub(crate) fn finish(&mut self, id: LaneId) {
        if let Some(send) = self.lanes.get_mut(&id).and_then(|lane| lane.send.as_mut()) {
            send.finish();
            self.queue(id);
        }
    }

    /// Gives up sending; what did not arrive is forgotten.
    pub(crate) fn reset(&mut self, id: LaneId, code: u64) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let Some(send) = lane.send.as_ref().filter(|send| lane.reset.is_none() && !send.is_done()) else {
            return;
        };
        lane.reset = Some((code, send.sent_len()));
        self.kept -= send.kept();
        lane.send = Some(SendHalf::new(0));
        self.control.insert(Control::Reset { lane: id });
        self.told_room();
    }

    /// Gives up reading.
    pub(crate) fn stop(&mut self, id: LaneId, code: u64) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let Some(recv) = lane.recv.as_mut().filter(|recv| !recv.is_stopped()) else { return };
        let unread = recv.unread();
        recv.stop();
        self.read += unread;
        if recv.expects_more() {
            lane.stop = Some(code);
            self.control.insert(Control::Stop { lane: id });
        }
        self.give_credit();
        self.tidy(id);
    }

    /// Reads what is there.
    pub(crate) fn read(&mut self, id: LaneId, most: usize) -> Read {
        let Some(lane) = self.lanes.get_mut(&id) else { return Read::Gone };
        let Some(recv) = lane.recv.as_mut() else { return Read::Gone };
        lane.is_told = false;
        let read = recv.read(most, &mut self.spare);
        match &read {
            Read::Bytes(bytes) => {
                self.read += bytes.len() as u64;
                let window = self.windows.lane_bytes;
                if recv.may_grow() && recv.limit() - recv.consumed() <= window / 2 {
                    recv.raise_limit(recv.consumed() + window);
                    self.control.insert(Control::LaneCredit { lane: id });
                }
                self.give_credit();
            }
            Read::End | Read::Reset(_) => {
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.recv = None;
                }
                self.tidy(id);
            }
            Read::Pending | Read::Gone => {}
        }
        read
    }

    /// Lets the other side send so many bytes before they are read.
    pub(crate) fn admit(&mut self, session_bytes: u64) {
        self.windows.session_bytes = session_bytes;
        self.give_credit();
    }

    fn give_credit(&mut self) {
        let window = self.windows.session_bytes;
        if self.recv_limit.saturating_sub(self.read) <= window / 2 {
            self.recv_limit = self.recv_limit.max(self.read + window);
            self.control.insert(Control::Credit);
        }
    }

    // What the other side does.

    /// Takes in a piece of a lane.
    pub(crate) fn piece(
        &mut self,
        id: LaneId,
        offset: u64,
        bytes: &[u8],
        fin: bool,
    ) -> Result<(), Violation> {
        self.admit_lane(id)?;
        let Some(lane) = self.lanes.get_mut(&id) else { return Ok(()) };
        let Some(recv) = lane.recv.as_mut() else { return Ok(()) };
        let before = recv.highest();
        let is_readable = recv.piece(offset, bytes, fin, &mut self.spare)?;
        let (fresh, is_stopped, is_over) = (recv.highest() - before, recv.is_stopped(), recv.is_over());
        // Told once until it is looked at.
        if is_readable && !std::mem::replace(&mut lane.is_told, true) {
            self.events.push_back(LaneEvent::Readable(id));
        }
        self.count(fresh, is_stopped)?;
        if is_over {
            self.tidy(id);
        }
        Ok(())
    }

    /// The other side gave up sending.
    pub(crate) fn was_reset(&mut self, id: LaneId, code: u64, len: u64) -> Result<(), Violation> {
        let Some(recv) = self.receiving(id)? else { return Ok(()) };
        let (before, consumed) = (recv.highest(), recv.consumed());
        let is_news = recv.reset(code, len)?;
        let (fresh, is_stopped) = (recv.highest() - before, recv.is_stopped());
        self.count(fresh, is_stopped)?;
        if is_news && !is_stopped {
            // What nobody will read any more is no longer held against the credit.
            self.read += len - consumed;
            self.give_credit();
            self.events.push_back(LaneEvent::Readable(id));
        }
        self.tidy(id);
        Ok(())
    }

    /// The other side reads no more.
    pub(crate) fn was_stopped(&mut self, id: LaneId, code: u64) -> Result<(), Violation> {
        self.admit_lane(id)?;
        let sends = self.lanes.get(&id).is_some_and(|lane| lane.send.is_some() && lane.reset.is_none());
        if sends {
            self.reset(id, code);
            self.events.push_back(LaneEvent::Stopped(id, code));
        }
        Ok(())
    }

    pub(crate) fn credit(&mut self, bytes: u64) {
        if bytes > self.send_limit {
            self.send_limit = bytes;
            let ids: Vec<LaneId> = self.lanes.keys().copied().collect();
            ids.into_iter().for_each(|id| self.queue(id));
        }
    }

    pub(crate) fn lane_credit(&mut self, id: LaneId, bytes: u64) -> Result<(), Violation> {
        self.admit_lane(id)?;
        if let Some(send) = self.lanes.get_mut(&id).and_then(|lane| lane.send.as_mut()) {
            send.raise_limit(bytes);
            self.queue(id);
        }
        Ok(())
    }

    pub(crate) fn lanes_credit(&mut self, count: u64) {
        if count > self.may_open[0] {
            self.may_open[0] = count.min(VARINT_MAX / 2);
            if std::mem::take(&mut self.wants_to_open) {
                self.events.push_back(LaneEvent::MayOpen);
            }
        }
    }

    fn receiving(&mut self, id: LaneId) -> Result<Option<&mut RecvHalf>, Violation> {
        self.admit_lane(id)?;
        Ok(self.lanes.get_mut(&id).and_then(|lane| lane.recv.as_mut()))
    }

    /// Opens lanes of the other side up to this one; those before it exist even if their frames are late.
    fn admit_lane(&mut self, id: LaneId) -> Result<(), Violation> {
        let (number, is_own) = (id / 2, id % 2 == self.own_bit);
        if is_own {
            return if number < self.opened[0] { Ok(()) } else { Err(Violation::LaneNumber) };
        }
        if number >= self.may_open[1] {
            return Err(Violation::LaneNumber);
        }
        while self.opened[1] <= number {
            let next = self.opened[1] * 2 + (1 - self.own_bit);
            self.opened[1] += 1;
            self.insert(next, 0);
            self.events.push_back(LaneEvent::Opened(next));
        }
        Ok(())
    }

    /// See [`crate::probe::Held`].
    #[cfg(feature = "probe")]
    pub(crate) fn held(&self) -> crate::probe::Held {
        let unread = self.lanes.values().filter_map(|lane| lane.recv.as_ref()).map(RecvHalf::unread);
        let (lanes, control) = (self.lanes.len(), self.control.len());
        let credit = self.send_limit.saturating_sub(self.sent);
        crate::probe::Held { lanes, unread: unread.sum(), kept: self.kept, control, credit }
    }

    fn count(&mut self, fresh: u64, is_stopped: bool) -> Result<(), Violation> {
        self.came += fresh;
        if self.came > self.recv_limit {
            return Err(Violation::OverCredit);
        }
        if is_stopped {
            self.read += fresh;
            self.give_credit();
        }
        Ok(())
    }

    /// Forgets a lane both of whose directions are over, and lets another be opened in its place.
    fn tidy(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if lane.recv.as_ref().is_some_and(|recv| recv.is_over()) {
            lane.recv = None;
        }
        if lane.recv.is_none() && lane.send.is_none() {
            self.lanes.remove(&id);
            if id % 2 != self.own_bit {
                self.may_open[1] += 1;
                self.control.insert(Control::Lanes);
            }
        }
    }
}
