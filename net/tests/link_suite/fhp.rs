//! Links over FHP alone, and a raw FHP peer: the protocol's machine on a socket of its own, under TLS of its own.
//!
//! The raw peer keeps the protocol as far as a test wants: lanes carry whatever bytes, and [`FhpRaw::forge`]
//! seals whatever frames under good keys.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use freehold_net::{Accept, Identity, LinkConfig, PeerKey, Transport};
use freehold_net_proto::header::{Kind as PacketKind, flag};
use freehold_net_proto::{
    Closed, Endpoint, Event, LaneEvent, LaneId, Read, Session, SessionConfig, SessionId, Time, Windows,
};
use tokio::sync::Notify;

use crate::hostile::HELLO;
use crate::kit::{Kind, RawLane, RawLink, RawServer, RawTls};
use crate::quic::{client_tls, server_tls};

const ALPN: &[u8] = b"freehold-fhp/1";

/// The code by which a raw lane is given up.
const GIVEN_UP: u64 = 0xff01;

/// The kind.
pub(crate) struct Fhp;

impl Kind for Fhp {
    type Raw = FhpRaw;
    type RawServer = FhpRawServer;

    fn bind_at(addr: SocketAddr, seed: u8, accept: Accept, config: LinkConfig) -> freehold_net::Endpoint {
        let config = LinkConfig { transport: Transport::Fhp, ..config };
        let identity = Identity::from_seed(&[seed; 32]);
        freehold_net::Endpoint::bind(addr, identity, accept, config).expect("a free port")
    }

    async fn raw_connect(addr: SocketAddr, server: PeerKey, tls: RawTls) -> Result<FhpRaw, String> {
        Self::raw_connect_saying(addr, server, tls, &HELLO).await
    }

    /// The hello travels inside the handshake.
    async fn raw_connect_saying(
        addr: SocketAddr,
        _server: PeerKey,
        tls: RawTls,
        hello: &[u8],
    ) -> Result<FhpRaw, String> {
        let wire = Wire::start(Endpoint::new(&[7; 32], Box::new(Draws), None));
        let tls = client_tls(tls, ALPN);
        let session = wire.with(|state, now| state.endpoint.connect(addr, tls, session_config(hello), now));
        let raw = FhpRaw { wire, session: session.expect("a good configuration") };
        raw.established().await.map_err(|why| why.to_string())?;
        Ok(raw)
    }

    fn raw_listen(_seed: u8, tls: RawTls) -> FhpRawServer {
        let accepts = (server_tls(tls, ALPN), session_config(&HELLO));
        FhpRawServer(Wire::start(Endpoint::new(&[8; 32], Box::new(Draws), Some(accepts))))
    }
}

fn session_config(hello: &[u8]) -> SessionConfig {
    SessionConfig {
        windows: Windows { lane_bytes: 16 << 20, session_bytes: 16 << 20, kept_bytes: 16 << 20 },
        idle: Duration::from_secs(60),
        keep_alive: None,
        handshake: Duration::from_secs(10),
        datagram_bytes: 1_452,
        hello: hello.to_vec(),
    }
}

/// The operating system's randomness.
struct Draws;

impl freehold_model::Entropy for Draws {
    fn fill(&mut self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).expect("the operating system gives random bytes");
    }
}

/// An endpoint on a socket. What is to be sent is sent at once; a task receives and keeps the time.
struct Wire {
    udp: UdpSocket,
    started: Instant,
    state: Mutex<State>,
    /// Something happened to a session or a lane.
    changed: Notify,
    /// The task is to look at the time again.
    used: Notify,
}

struct State {
    endpoint: Endpoint,
    /// Sessions that others began and nobody has asked for.
    begun: VecDeque<SessionId>,
    established: BTreeMap<SessionId, ()>,
    closed: BTreeMap<SessionId, Closed>,
    opened: BTreeMap<SessionId, VecDeque<LaneId>>,
    /// Nothing is sent any more.
    is_mute: bool,
}

impl Wire {
    fn start(endpoint: Endpoint) -> Arc<Self> {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        udp.set_nonblocking(true).expect("a UDP socket");
        let receiver = tokio::net::UdpSocket::from_std(udp.try_clone().expect("a UDP socket"));
        let state = State {
            endpoint,
            begun: VecDeque::new(),
            established: BTreeMap::new(),
            closed: BTreeMap::new(),
            opened: BTreeMap::new(),
            is_mute: false,
        };
        let (started, changed, used) = (Instant::now(), Notify::new(), Notify::new());
        let wire = Arc::new(Self { udp, started, state: Mutex::new(state), changed, used });
        let of_task = Arc::clone(&wire);
        // It ends with the test's runtime.
        tokio::spawn(async move { of_task.run(receiver.expect("a runtime")).await });
        wire
    }

    /// Does something, and sends what comes of it.
    fn with<T>(&self, work: impl FnOnce(&mut State, Time) -> T) -> T {
        let done = self.round(work);
        self.used.notify_one();
        done
    }

    fn round<T>(&self, work: impl FnOnce(&mut State, Time) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Time::after_start(self.started.elapsed());
        let done = work(&mut state, now);
        let mut room = vec![0; 65_535];
        let mut is_news = state.take_events();
        while let Some(transmit) = state.endpoint.transmit(now, &mut room) {
            for datagram in room[..transmit.len].chunks(transmit.segment) {
                if !state.is_mute {
                    // What the kernel does not take is lost, like any datagram.
                    let _ = self.udp.send_to(datagram, transmit.to);
                }
            }
            is_news |= state.take_events();
        }
        drop(state);
        if is_news {
            self.changed.notify_waiters();
        }
        done
    }

    async fn run(&self, receiver: tokio::net::UdpSocket) {
        let mut datagram = vec![0; 65_535];
        loop {
            let wait = self.round(|state, now| state.endpoint.deadline().map(|at| at.since(now)));
            let tick = tokio::time::sleep(wait.unwrap_or(Duration::from_secs(1)));
            tokio::select! {
                came = receiver.recv_from(&mut datagram) => {
                    if let Ok((len, from)) = came {
                        self.round(|state, now| state.endpoint.handle(from, &mut datagram[..len], now));
                    }
                }
                () = self.used.notified() => {}
                () = tick => self.round(|state, now| state.endpoint.expire(now)),
            }
        }
    }

    /// Waits until there is something to find.
    async fn find<T>(&self, look: impl Fn(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let found = look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
            if let Some(found) = found {
                return found;
            }
            changed.await;
        }
    }
}

impl State {
    /// Notes what happened; whether anything did.
    fn take_events(&mut self) -> bool {
        let mut is_news = false;
        while let Some(id) = self.endpoint.next_begun() {
            self.begun.push_back(id);
            is_news = true;
        }
        while let Some(id) = self.endpoint.next_changed() {
            while let Some(event) = self.endpoint.session(id).and_then(Session::poll) {
                is_news = true;
                match event {
                    Event::Established { .. } => {
                        self.established.insert(id, ());
                    }
                    Event::Closed(why) => {
                        self.closed.insert(id, why);
                    }
                    Event::Lane(LaneEvent::Opened(lane)) => {
                        self.opened.entry(id).or_default().push_back(lane);
                    }
                    Event::Lane(_) => {}
                }
            }
            if self.endpoint.session(id).is_some_and(|session| session.is_over()) {
                self.endpoint.forget(id);
            }
        }
        is_news
    }

    /// The session, while frames may flow.
    fn open(&mut self, id: SessionId) -> Option<&mut Session> {
        self.endpoint.touched(id);
        self.endpoint.session(id).filter(|session| session.is_open())
    }
}

pub(crate) struct FhpRaw {
    wire: Arc<Wire>,
    session: SessionId,
}

pub(crate) struct FhpRawServer(Arc<Wire>);

pub(crate) struct FhpLane {
    wire: Arc<Wire>,
    session: SessionId,
    lane: LaneId,
    is_ended: bool,
}

impl RawServer for FhpRawServer {
    type Link = FhpRaw;

    fn addr(&self) -> SocketAddr {
        self.0.udp.local_addr().expect("a bound socket has an address")
    }

    async fn accept(&self) -> Option<FhpRaw> {
        let session = self.0.find(|state| state.begun.pop_front()).await;
        let raw = FhpRaw { wire: Arc::clone(&self.0), session };
        raw.established().await.ok().map(|()| raw)
    }
}

impl FhpRaw {
    async fn established(&self) -> Result<(), Closed> {
        let id = self.session;
        self.wire
            .find(|state| {
                let made = state.established.get(&id).map(|()| Ok(()));
                made.or_else(|| state.closed.get(&id).map(|why| Err(*why)))
            })
            .await
    }

    /// Sends any frames under the session's keys; `ack` is the header's.
    pub(crate) fn forge(&self, ack: u32, frames: &[u8]) {
        let mut room = vec![0; 65_535];
        self.wire.with(|state, now| {
            let Some(session) = state.open(self.session) else { return };
            let (what, to) = ((PacketKind::Data, flag::ELICITING, ack), session.addr());
            let len = session.forge(what, frames, now, &mut room).expect("a session has keys");
            self.wire.udp.send_to(&room[..len], to).expect("a socket that takes one datagram");
        });
    }

    /// Says nothing from here on, not even acknowledgements.
    pub(crate) fn fall_silent(&self) {
        self.wire.with(|state, _| state.is_mute = true);
    }
}

impl RawLink for FhpRaw {
    type Lane = FhpLane;

    async fn say_hello(&self, bytes: &[u8]) {
        assert_eq!(bytes, HELLO, "another one has to go with the handshake");
    }

    async fn open_lane(&self) -> FhpLane {
        let id = self.session;
        let open = |state: &mut State| {
            let lane = state.endpoint.session(id).and_then(|session| session.open_lane(0));
            lane.or_else(|| state.closed.get(&id).map(|_| 0))
        };
        let lane = self.wire.find(open).await;
        FhpLane { wire: Arc::clone(&self.wire), session: id, lane, is_ended: false }
    }

    async fn next_lane(&self) -> Option<FhpLane> {
        let id = self.session;
        let next = |state: &mut State| {
            let lane = state.opened.get_mut(&id).and_then(VecDeque::pop_front).map(Some);
            lane.or_else(|| state.closed.get(&id).map(|_| None))
        };
        let lane = self.wire.find(next).await?;
        Some(FhpLane { wire: Arc::clone(&self.wire), session: id, lane, is_ended: false })
    }

    async fn close_code(&self) -> Option<u64> {
        match self.wire.find(|state| state.closed.get(&self.session).copied()).await {
            Closed::There(code) => Some(code),
            _ => None,
        }
    }
}

impl Drop for FhpRaw {
    fn drop(&mut self) {
        self.wire.with(|state, now| {
            if let Some(session) = state.open(self.session) {
                session.close(0, now);
            }
        });
    }
}

impl FhpLane {
    /// Writes what there is room for here; `None` when the lane takes nothing any more.
    fn write_some(&self, bytes: &mut Bytes) -> Option<usize> {
        self.wire
            .with(|state, _| state.open(self.session).and_then(|session| session.write(self.lane, bytes)))
    }
}

impl RawLane for FhpLane {
    async fn write(&mut self, bytes: &[u8]) {
        let mut bytes = Bytes::copy_from_slice(bytes);
        loop {
            let changed = self.wire.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            // The other side may stop listening at any point.
            if self.write_some(&mut bytes).is_none() || bytes.is_empty() {
                return;
            }
            changed.await;
        }
    }

    async fn offer(&mut self, bytes: &[u8]) -> usize {
        let credit = |state: &mut State| state.open(self.session).map(|session| session.held().credit);
        let credit = self.wire.find(credit).await;
        let mut offered = Bytes::copy_from_slice(&bytes[..bytes.len().min(credit as usize)]);
        self.write_some(&mut offered).expect("the other side listens")
    }

    fn end(&mut self) {
        self.is_ended = true;
        self.wire.with(|state, _| {
            if let Some(session) = state.open(self.session) {
                session.finish(self.lane);
            }
        });
    }

    async fn read_all(&mut self) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        loop {
            let changed = self.wire.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let read = self.wire.with(|state, _| match state.closed.get(&self.session) {
                Some(why) => Err(why.to_string()),
                None => Ok(state.open(self.session).map(|session| session.read(self.lane, 1 << 20))),
            })?;
            match read {
                Some(Read::Bytes(bytes)) => all.extend_from_slice(&bytes),
                Some(Read::End) => return Ok(all),
                Some(Read::Reset(code)) => return Err(format!("reset with {code:#x}")),
                Some(Read::Gone) => return Err("the lane is gone".to_owned()),
                Some(Read::Pending) | None => changed.await,
            }
        }
    }
}

impl Drop for FhpLane {
    fn drop(&mut self) {
        self.wire.with(|state, _| {
            if let Some(session) = state.open(self.session) {
                if !self.is_ended {
                    session.reset_lane(self.lane, GIVEN_UP);
                }
                session.stop_lane(self.lane, GIVEN_UP);
            }
        });
    }
}
