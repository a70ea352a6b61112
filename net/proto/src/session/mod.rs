//! One session: everything between a handshake's first datagram and the end of the last lane.
//!
//! A state machine without clock, socket or task. Datagrams and the time go in ([`Session::handle`],
//! [`Session::expire`]), datagrams and events come out ([`Session::transmit`], [`Session::poll`]), and
//! [`Session::deadline`] says when to look again. [`connect`] is the handshake, [`receive`] what comes in,
//! [`transmit`] what goes out, [`timers`] what happens when nothing does.

pub(crate) mod connect;
#[cfg(feature = "probe")]
pub(crate) mod forge;
mod receive;
mod timers;
mod transmit;

use crate::congestion::{Controller, Cubic};
use crate::cookie::TOKEN_LEN;
use crate::handshake::{Handshake, HandshakeError};
use crate::keys::DataKeys;
use crate::lane::{LaneEvent, LaneId, Lanes, Read, Violation, Windows};
use crate::limits::DATAGRAM_BYTES_MIN;
use crate::mtu::PathSize;
use crate::pacer::Pacer;
use crate::received::Received;
use crate::rtt::Rtt;
use crate::sent::SentPackets;
use crate::time::Time;
use crate::trace::{Trace, TraceEvent};
use bytes::Bytes;
use core::net::SocketAddr;
use std::collections::VecDeque;
use std::time::Duration;

/// What one side lets its sessions use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Bytes that may wait unread and be kept until they arrive.
    pub windows: Windows,
    /// Silence after which a session counts as lost; the smaller of both sides' applies.
    pub idle: Duration,
    /// How often a quiet session says something.
    pub keep_alive: Option<Duration>,
    /// From the first datagram to a session.
    pub handshake: Duration,
    /// Bytes of the largest datagram sent and taken.
    pub datagram_bytes: u16,
    /// What the application says of itself, at most 256 bytes; covered by the handshake.
    pub hello: Vec<u8>,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// This side ended it.
    #[error("the session was closed here")]
    Here,
    /// The other side did; its reason.
    #[error("the other side closed the session (code {0})")]
    There(u64),
    /// Nothing came for too long.
    #[error("nothing was heard for too long")]
    TimedOut,
    /// The other side has lost it.
    #[error("the other side does not know the session any more")]
    Reset,
    /// It broke the protocol.
    #[error("the other side broke the protocol: {0}")]
    Violation(Violation),
    /// There never was one: what the other side showed was not taken here.
    #[error("no session was made: {0}")]
    Handshake(HandshakeError),
    /// There never was one: what this side showed was not taken there.
    #[error("the other side made no session: {0}")]
    Refused(HandshakeError),
    /// The other side takes no more sessions.
    #[error("the other side is busy")]
    Busy,
    /// Too many packets under one key were forged.
    #[error("too many forged packets")]
    WornOut,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is through on both sides; the other's key and what its application says.
    Established {
        /// The raw public key, as SubjectPublicKeyInfo.
        key: Vec<u8>,
        /// What it says of itself.
        hello: Vec<u8>,
    },
    /// Something happened to a lane.
    Lane(LaneEvent),
    /// It is over; nothing more comes.
    Closed(Closed),
}

/// Datagrams written into a buffer, to be sent in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// Bytes written.
    pub len: usize,
    /// Bytes of each datagram but the last, which may be shorter.
    pub segment: usize,
}

/// Counts of what a session did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets sent and bytes in them.
    pub sent: (u64, u64),
    /// Packets that opened and bytes in them.
    pub received: (u64, u64),
    /// Packets lost and bytes in them.
    pub lost: (u64, u64),
    /// Bytes of lanes sent again.
    pub resent_bytes: u64,
    /// Times a probe for an answer was sent.
    pub probe_timeouts: u64,
    /// Times the key was changed.
    pub key_changes: u64,
    /// Bytes of a full datagram on this path.
    pub datagram_bytes: usize,
    /// Bytes that may be on their way.
    pub window: u64,
    /// The smoothed round trip.
    pub rtt: Duration,
}

#[derive(Debug)]
enum Phase {
    /// Keys for frames may be there already; the other side has not been heard under them.
    Connecting(Box<Connecting>),
    Open,
    /// Closed here: the other side is told again when it speaks.
    Closing {
        code: u64,
        until: Time,
        is_due: bool,
    },
    /// Nothing is said any more.
    Over,
}

#[derive(Debug)]
struct Connecting {
    tls: Handshake,
    cookie: Vec<u8>,
    /// What of a flight is still to be written: offsets into its two levels.
    flight: Option<(usize, usize)>,
    resend_at: Time,
    tries: u32,
    give_up: Time,
    /// Bytes that came and went while the address was not proven; `None` once it is.
    unproven: Option<(u64, u64)>,
    /// Why the handshake failed, to be said once.
    failed: Option<u64>,
}

/// A session with one other machine.
#[derive(Debug)]
pub struct Session {
    is_client: bool,
    config: SessionConfig,
    local: u32,
    remote: u32,
    addr: SocketAddr,
    phase: Phase,
    keys: Option<DataKeys>,
    peer_token: Option<[u8; TOKEN_LEN]>,
    received: Received,
    sent: SentPackets,
    rtt: Rtt,
    congestion: Box<dyn Controller>,
    pacer: Pacer,
    size: PathSize,
    lanes: Lanes,
    /// Probe timeouts since something was acknowledged, and probes to be sent now.
    timeouts: u32,
    probes: u32,
    /// Bytes on their way after the newest packet was sent.
    used: u64,
    /// Nothing may be sent before, by the pace.
    paced_until: Option<Time>,
    idle: Duration,
    heard_at: Time,
    said_at: Time,
    events: VecDeque<Event>,
    stats: Stats,
    /// Since when a part of a batch waits for the rest.
    waits_since: Option<Time>,
    /// Only of those that somebody looks at.
    trace: Option<Box<Trace>>,
}

impl Session {
    fn new(
        is_client: bool,
        config: SessionConfig,
        (local, addr): (u32, SocketAddr),
        tls: Handshake,
        now: Time,
    ) -> Self {
        let connecting = Connecting {
            tls,
            cookie: Vec::new(),
            flight: Some((0, 0)),
            resend_at: now,
            tries: 0,
            give_up: now + config.handshake,
            unproven: Some((0, 0)),
            failed: None,
        };
        Self {
            is_client,
            local,
            remote: 0,
            addr,
            phase: Phase::Connecting(Box::new(connecting)),
            keys: None,
            peer_token: None,
            received: Received::default(),
            sent: SentPackets::default(),
            rtt: Rtt::default(),
            congestion: Box::new(Cubic::new(DATAGRAM_BYTES_MIN as u64)),
            pacer: Pacer::default(),
            size: PathSize::new(DATAGRAM_BYTES_MIN),
            lanes: Lanes::new(is_client, config.windows),
            timeouts: 0,
            probes: 0,
            used: 0,
            paced_until: None,
            idle: config.idle,
            heard_at: now,
            said_at: now,
            events: VecDeque::new(),
            stats: Stats::default(),
            waits_since: None,
            trace: None,
            config,
        }
    }

    /// This side's number of the session.
    #[must_use]
    pub const fn local(&self) -> u32 {
        self.local
    }

    /// The other machine's address.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether frames may flow.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether nothing more will be said or heard: the session can be forgotten.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether the handshake is under way and the other side has not proven its address.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        matches!(&self.phase, Phase::Connecting(connecting) if connecting.unproven.is_some())
    }

    /// The token by which the other side says that it has lost the session.
    pub(crate) const fn peer_token(&self) -> Option<&[u8; TOKEN_LEN]> {
        self.peer_token.as_ref()
    }

    /// Whether another machine began it and was not let in yet.
    #[must_use]
    pub const fn is_of_stranger(&self) -> bool {
        !self.is_client && self.peer_token.is_none()
    }

    /// Notes what it does from here on, to be taken by [`Self::poll_trace`].
    pub(crate) fn start_trace(&mut self, now: Time) {
        let mut trace = Box::<Trace>::default();
        trace.push(now, TraceEvent::Started { is_client: self.is_client });
        self.trace = Some(trace);
    }

    /// What it did next, if that is noted.
    pub fn poll_trace(&mut self) -> Option<(Time, TraceEvent)> {
        self.trace.as_mut()?.pop()
    }

    /// Notes something, where that is wanted.
    fn note(&mut self, now: Time, event: TraceEvent) {
        if let Some(trace) = &mut self.trace {
            trace.push(now, event);
        }
    }

    /// What happened next.
    pub fn poll(&mut self) -> Option<Event> {
        // What was noted about lanes happened before the session ended.
        self.lanes.poll_event().map(Event::Lane).or_else(|| self.events.pop_front())
    }

    /// Opens a lane of a class (0 the most urgent, 4 the least); `None` while the other side allows no more,
    /// then [`LaneEvent::MayOpen`] comes.
    pub fn open_lane(&mut self, class: u8) -> Option<LaneId> {
        if self.is_open() { self.lanes.open(class) } else { None }
    }

    /// Sets the urgency of what is sent on a lane from here on.
    pub fn set_class(&mut self, lane: LaneId, class: u8) {
        self.lanes.set_class(lane, class);
    }

    /// Hands over as many bytes as there is room for, and takes them off the front; how many. 0: none now,
    /// [`LaneEvent::Writable`] comes. `None`: the lane takes none any more.
    pub fn write(&mut self, lane: LaneId, bytes: &mut Bytes) -> Option<usize> {
        self.lanes.write(lane, bytes)
    }

    /// Marks everything as written.
    pub fn finish(&mut self, lane: LaneId) {
        self.lanes.finish(lane);
    }

    /// Gives up sending; the other side reads the code.
    pub fn reset_lane(&mut self, lane: LaneId, code: u64) {
        self.lanes.reset(lane, code);
    }

    /// Gives up reading; the other side hears the code.
    pub fn stop_lane(&mut self, lane: LaneId, code: u64) {
        self.lanes.stop(lane, code);
    }

    /// Reads what has come of a lane, at most `most` bytes.
    pub fn read(&mut self, lane: LaneId, most: usize) -> Read {
        self.lanes.read(lane, most)
    }

    /// Lets the other side send so many bytes of all lanes before they are read.
    pub fn admit(&mut self, session_bytes: u64) {
        self.lanes.admit(session_bytes);
    }

    /// Ends the session; the other side hears the code.
    pub fn close(&mut self, code: u64, now: Time) {
        match &self.phase {
            Phase::Open => {
                let until = now + 3 * self.rtt.probe_timeout();
                self.phase = Phase::Closing { code, until, is_due: true };
                self.note(now, TraceEvent::Closed(Closed::Here));
                self.events.push_back(Event::Closed(Closed::Here));
            }
            Phase::Connecting(_) => self.end(Closed::Here),
            Phase::Closing { .. } | Phase::Over => {}
        }
    }

    /// The other side broke the rules: it is told, and that is all.
    fn violated(&mut self, violation: Violation, now: Time) {
        if self.is_open() {
            let until = now + 3 * self.rtt.probe_timeout();
            self.phase = Phase::Closing { code: PROTOCOL, until, is_due: true };
            self.note(now, TraceEvent::Closed(Closed::Violation(violation)));
            self.events.push_back(Event::Closed(Closed::Violation(violation)));
        }
    }

    fn end(&mut self, why: Closed) {
        if !matches!(self.phase, Phase::Closing { .. } | Phase::Over) {
            if let Some(trace) = &mut self.trace {
                trace.push_latest(TraceEvent::Closed(why));
            }
            self.events.push_back(Event::Closed(why));
        }
        self.phase = Phase::Over;
    }

    /// The other side said that it has lost the session.
    pub(crate) fn was_reset(&mut self) {
        self.end(Closed::Reset);
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            datagram_bytes: self.size.bytes(),
            window: self.congestion.window(),
            rtt: self.rtt.smoothed(),
            ..self.stats
        }
    }

    /// Changes the sealing key although none is due; whether it could.
    #[cfg(any(test, feature = "probe"))]
    pub fn change_key(&mut self, now: Time) -> bool {
        let changed = self.keys.as_mut().is_some_and(|keys| keys.change_now(now));
        if changed {
            self.stats.key_changes += 1;
            self.note(now, TraceEvent::KeyChanged);
        }
        changed
    }
}

/// The code with which a session is closed whose other side broke the protocol.
const PROTOCOL: u64 = 1;
