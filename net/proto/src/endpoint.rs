//! One socket's sessions: finds each datagram's, and makes new ones.
//!
//! A newcomer costs a few hundred bytes until its hello is whole, and only then a TLS state. With many at
//! once it must first repeat a cookie, for which nothing is kept. What belongs to no session is answered, if
//! at all, with less than it brought.

use crate::cookie::{COOKIE_LEN, Minter, TOKEN_LEN};
use crate::handshake::{Assembly, InitPayload};
use crate::header::{HEADER_LEN, Header, HeaderError, Kind};
use crate::limits::{
    COOKIE_LIFETIME, DATAGRAM_BYTES_MIN, HALF_OPEN_MAX, HALF_OPEN_RETRY, HELLO_PIECES_MAX, SESSIONS_MAX,
};
use crate::session::connect::{refusal, write_refusal};
use crate::session::{Session, SessionConfig, Transmit};
use crate::time::Time;
use core::net::SocketAddr;
use freehold_model::Entropy;
use rustls::{ClientConfig, ServerConfig};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// The number by which this side knows a session.
pub type SessionId = u32;

/// Counts of what was dropped before a session saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// No header, a wrong length or checksum.
    pub noise: u64,
    /// No session of that number, or from another address.
    pub stray: u64,
    /// A newcomer whose INIT is malformed, or who was too many.
    pub newcomers: u64,
}

/// A newcomer whose hello is not whole.
#[derive(Debug)]
struct Newcomer {
    hello: Assembly,
    pieces: usize,
    came_bytes: u64,
    is_proven: bool,
    since: Time,
}

/// A newcomer's address and its own number of the session.
type Who = (SocketAddr, u32);

/// A small datagram that belongs to no session.
#[derive(Clone, Debug)]
struct Reply {
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// All sessions of one socket.
pub struct Endpoint {
    minter: Minter,
    entropy: Box<dyn Entropy + Send>,
    sessions: BTreeMap<SessionId, Session>,
    /// Sessions that newcomers began, by what they call them.
    begun: BTreeMap<Who, SessionId>,
    newcomers: BTreeMap<Who, Newcomer>,
    tokens: BTreeMap<[u8; TOKEN_LEN], SessionId>,
    /// When each session wants to be looked at, and the other way round.
    deadlines: BTreeSet<(Time, SessionId)>,
    deadline_of: BTreeMap<SessionId, Time>,
    /// Sessions that may have something to send.
    ready: BTreeSet<SessionId>,
    /// The session that sent last.
    last: SessionId,
    /// Sessions that may have events.
    changed: BTreeSet<SessionId>,
    replies: VecDeque<Reply>,
    accepts: Option<(Arc<ServerConfig>, SessionConfig)>,
    /// Sessions that others began and nobody has asked for.
    fresh: VecDeque<SessionId>,
    sessions_max: usize,
    /// Sessions note what they do.
    traces: bool,
    dropped: Dropped,
}

/// Replies that wait to be sent; more are not made.
const REPLIES_MAX: usize = 256;

impl Endpoint {
    /// An endpoint without sessions. `secret` makes cookies and reset tokens: kept over restarts, it lets this
    /// side tell others that it has lost their sessions. `accepts` is how newcomers are met; `None` lets none
    /// in.
    #[must_use]
    pub fn new(
        secret: &[u8; 32],
        entropy: Box<dyn Entropy + Send>,
        accepts: Option<(Arc<ServerConfig>, SessionConfig)>,
    ) -> Self {
        Self {
            minter: Minter::new(secret),
            entropy,
            sessions: BTreeMap::new(),
            begun: BTreeMap::new(),
            newcomers: BTreeMap::new(),
            tokens: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            deadline_of: BTreeMap::new(),
            ready: BTreeSet::new(),
            last: 0,
            changed: BTreeSet::new(),
            replies: VecDeque::new(),
            accepts,
            fresh: VecDeque::new(),
            sessions_max: SESSIONS_MAX,
            traces: false,
            dropped: Dropped::default(),
        }
    }

    /// Begins a session with the machine at an address.
    ///
    /// # Errors
    /// What TLS says of the configuration.
    pub fn connect(
        &mut self,
        addr: SocketAddr,
        tls: Arc<ClientConfig>,
        config: SessionConfig,
        now: Time,
    ) -> Result<SessionId, rustls::Error> {
        let id = self.fresh_id();
        let session = Session::connect(config, tls, (id, addr), self.minter.token(id), now)?;
        self.insert(id, session, now);
        Ok(id)
    }

    fn fresh_id(&mut self) -> SessionId {
        loop {
            let mut bytes = [0; 4];
            self.entropy.fill(&mut bytes);
            let id = u32::from_be_bytes(bytes);
            if id != 0 && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    fn insert(&mut self, id: SessionId, mut session: Session, now: Time) {
        if self.traces {
            session.start_trace(now);
        }
        self.sessions.insert(id, session);
        self.touched(id);
    }

    /// Takes in a datagram. A sealed one is opened in place.
    pub fn handle(&mut self, from: SocketAddr, datagram: &mut [u8], now: Time) {
        let header = match Header::read(datagram) {
            Ok(header) => header,
            Err(HeaderError::Short | HeaderError::Kind | HeaderError::Len | HeaderError::Crc) => {
                self.dropped.noise += 1;
                return;
            }
        };
        if header.kind == Kind::Reset {
            return self.reset(datagram);
        }
        if header.session == 0 && header.kind == Kind::Init {
            return self.newcomer(from, &header, datagram, now);
        }
        match self.sessions.get_mut(&header.session) {
            Some(session) if session.addr() == from => {
                session.handle(&header, datagram, now);
                self.touched(header.session);
            }
            Some(_) => self.dropped.stray += 1,
            None => {
                self.dropped.stray += 1;
                self.say_lost(from, &header, datagram.len());
            }
        }
    }

    fn newcomer(&mut self, from: SocketAddr, header: &Header, datagram: &mut [u8], now: Time) {
        let Some(init) =
            InitPayload::read(&datagram[HEADER_LEN..]).filter(|_| datagram.len() >= DATAGRAM_BYTES_MIN)
        else {
            self.dropped.newcomers += 1;
            return;
        };
        let who = (from, init.session);
        if let Some(id) = self.begun.get(&who).copied() {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.handle(header, datagram, now);
            }
            return self.touched(id);
        }
        if self.accepts.is_none() {
            self.dropped.newcomers += 1;
            return;
        }
        if self.sessions.len() >= self.sessions_max {
            return self.refuse(who, refusal::BUSY);
        }
        let is_proven = self.minter.is_good(init.cookie, from, init.session, now);
        if !is_proven && self.half_open() >= HALF_OPEN_RETRY {
            return self.ask_for_cookie(who, now);
        }
        let (piece, came) = (init.piece, datagram.len() as u64);
        self.make_room();
        let newcomer = self.newcomers.entry(who).or_insert_with(|| Newcomer {
            hello: Assembly::default(),
            pieces: 0,
            came_bytes: 0,
            is_proven,
            since: now,
        });
        newcomer.pieces += 1;
        newcomer.came_bytes += came;
        newcomer.is_proven |= is_proven;
        let is_bad = newcomer.hello.take(piece).is_err();
        if newcomer.hello.has_message() {
            self.begin(who, now);
        } else if is_bad || newcomer.pieces > 2 * HELLO_PIECES_MAX {
            self.newcomers.remove(&who);
            self.dropped.newcomers += 1;
        }
    }

    /// The oldest newcomer goes when there are too many.
    fn make_room(&mut self) {
        if self.newcomers.len() < HALF_OPEN_MAX {
            return;
        }
        let oldest = self.newcomers.iter().min_by_key(|(_, newcomer)| (newcomer.is_proven, newcomer.since));
        if let Some(who) = oldest.map(|(who, _)| *who) {
            self.newcomers.remove(&who);
            self.dropped.newcomers += 1;
        }
    }

    /// A hello is whole: TLS begins.
    fn begin(&mut self, who: Who, now: Time) {
        let Some(newcomer) = self.newcomers.remove(&who) else { return };
        let Some((tls, config)) = self.accepts.clone() else { return };
        let id = self.fresh_id();
        let ids = (id, who.1, who.0);
        let came = (newcomer.came_bytes, newcomer.is_proven);
        let Ok(mut session) = Session::accept(config, tls, ids, self.minter.token(id), came, now) else {
            self.dropped.newcomers += 1;
            return;
        };
        session.hello(newcomer.hello.bytes(), now);
        self.begun.insert(who, id);
        self.fresh.push_back(id);
        self.insert(id, session, now);
    }

    /// Handshakes of others that have not proven their address.
    fn half_open(&self) -> usize {
        let unproven = self.begun.values().filter_map(|id| self.sessions.get(id));
        self.newcomers.len() + unproven.filter(|session| session.is_unproven()).count()
    }

    fn ask_for_cookie(&mut self, who: Who, now: Time) {
        let header = Header { kind: Kind::Retry, flags: 0, session: who.1, seq: 0, ack: 0 };
        let cookie = self.minter.cookie(who.0, who.1, now);
        self.reply(who.0, &header, &cookie);
    }

    fn refuse(&mut self, who: Who, code: u64) {
        let mut bytes = vec![0; 64];
        if let Some(len) = write_refusal(0, who.1, code, &mut bytes) {
            bytes.truncate(len);
            self.queue(Reply { to: who.0, bytes });
        }
    }

    /// Answers a packet of a session that is not known with its token, if that is shorter than the packet.
    fn say_lost(&mut self, to: SocketAddr, header: &Header, len: usize) {
        let is_data = matches!(header.kind, Kind::Data | Kind::Ack | Kind::Probe);
        if is_data && len > HEADER_LEN + TOKEN_LEN {
            let token = self.minter.token(header.session);
            let reset = Header { kind: Kind::Reset, flags: 0, session: header.session, seq: 0, ack: 0 };
            self.reply(to, &reset, &token);
        }
    }

    fn reset(&mut self, datagram: &[u8]) {
        let token = datagram[HEADER_LEN..].first_chunk::<TOKEN_LEN>();
        match token.and_then(|token| self.tokens.get(token)).copied() {
            Some(id) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.was_reset();
                }
                self.touched(id);
            }
            None => self.dropped.stray += 1,
        }
    }

    fn reply(&mut self, to: SocketAddr, header: &Header, payload: &[u8]) {
        let mut bytes = [&header.open_bytes(payload.len())[..], payload].concat();
        header.write_crc(&mut bytes);
        self.queue(Reply { to, bytes });
    }

    fn queue(&mut self, reply: Reply) {
        if self.replies.len() < REPLIES_MAX {
            self.replies.push_back(reply);
        }
    }

    /// A session, to use it. [`Self::touched`] is to be called when that is done.
    pub fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    /// Every session.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.sessions.keys().copied()
    }

    /// A session was used: it may have something to send, events, or another deadline.
    pub fn touched(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        if let Some(token) = session.peer_token().filter(|token| !self.tokens.contains_key(*token)) {
            self.tokens.insert(*token, id);
        }
        self.ready.insert(id);
        self.changed.insert(id);
    }

    /// The next session that another machine began; its handshake is under way.
    pub fn next_begun(&mut self) -> Option<SessionId> {
        self.fresh.pop_front()
    }

    /// The next session that may have events.
    pub fn next_changed(&mut self) -> Option<SessionId> {
        self.changed.pop_first()
    }

    /// Writes datagrams to send now into `out`, of at least 65,507 bytes; `None` when there are none.
    pub fn transmit(&mut self, now: Time, out: &mut [u8]) -> Option<Transmit> {
        if let Some(Reply { to, bytes }) = self.replies.pop_front() {
            out.get_mut(..bytes.len())?.copy_from_slice(&bytes);
            return Some(Transmit { to, len: bytes.len(), segment: bytes.len() });
        }
        // The session after the one that sent last has its turn.
        while let Some(id) = self.next_ready() {
            self.last = id;
            let Some(session) = self.sessions.get_mut(&id) else {
                self.ready.remove(&id);
                continue;
            };
            if let Some(transmit) = session.transmit(now, out) {
                if self.traces {
                    self.changed.insert(id);
                }
                return Some(transmit);
            }
            self.ready.remove(&id);
            self.note_deadline(id);
        }
        None
    }

    fn next_ready(&self) -> Option<SessionId> {
        let after = self.ready.range((Bound::Excluded(self.last), Bound::Unbounded)).next();
        after.or_else(|| self.ready.first()).copied()
    }

    fn note_deadline(&mut self, id: SessionId) {
        if let Some(before) = self.deadline_of.remove(&id) {
            self.deadlines.remove(&(before, id));
        }
        if let Some(at) = self.sessions.get(&id).and_then(Session::deadline) {
            self.deadlines.insert((at, id));
            self.deadline_of.insert(id, at);
        }
    }

    /// When [`Self::expire`] is to be called at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let newcomers = self.newcomers.values().map(|newcomer| newcomer.since + COOKIE_LIFETIME).min();
        self.deadlines.first().map(|(at, _)| *at).into_iter().chain(newcomers).min()
    }

    /// Does what is due; sessions that it concerns are ready afterwards.
    pub fn expire(&mut self, now: Time) {
        while let Some((_, id)) = self.deadlines.first().copied().filter(|(at, _)| now >= *at) {
            self.deadlines.pop_first();
            self.deadline_of.remove(&id);
            if let Some(session) = self.sessions.get_mut(&id) {
                session.expire(now);
                self.touched(id);
            }
        }
        self.newcomers.retain(|_, newcomer| now.since(newcomer.since) < COOKIE_LIFETIME);
    }

    /// Forgets a session that is over and whose events were taken.
    pub fn forget(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            if let Some(token) = session.peer_token() {
                self.tokens.remove(token);
            }
            self.begun.retain(|_, begun| *begun != id);
            self.fresh.retain(|fresh| *fresh != id);
            self.ready.remove(&id);
            if let Some(at) = self.deadline_of.remove(&id) {
                self.deadlines.remove(&(at, id));
            }
        }
    }

    /// What was dropped before a session saw it.
    #[must_use]
    pub const fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Bytes and entries kept for those who are not let in yet.
    #[must_use]
    pub fn newcomers(&self) -> usize {
        self.newcomers.len()
    }

    /// Lets every session from here on note what it does ([`Session::poll_trace`]); one that has sent counts as
    /// changed then.
    pub const fn trace_sessions(&mut self) {
        self.traces = true;
    }

    /// Lets in no more sessions than this.
    pub const fn limit_sessions(&mut self, most: usize) {
        self.sessions_max = most;
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("sessions", &self.sessions.len()).finish_non_exhaustive()
    }
}

/// Bytes of a cookie reply: less than what it answers.
const _: () = assert!(HEADER_LEN + COOKIE_LEN < DATAGRAM_BYTES_MIN);
