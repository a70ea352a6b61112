//! Runs the FHP sessions of one socket.
//!
//! One thread receives and keeps the time. Whoever has something to say says it at once, on its own thread:
//! sealing and sending need no other thread to wake. Everything is behind one lock, which nobody holds while
//! waiting. Datagrams that are not FHP's go to quinn, which shares the socket (see [`super::beside`]).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use freehold_net_proto::{
    Closed, Dropped, Endpoint, Event, LaneEvent, LaneId, Session, SessionConfig, SessionId, Time, Transmit,
};
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustls::ClientConfig;
use tokio::sync::Notify;

use super::beside::Beside;
use super::socket::{Buffers, Sent, Socket};
use super::trace::Traces;

/// Bytes of the buffer that datagrams are written into: one send to the kernel.
const OUT_BYTES: usize = 65_535;

/// What is added to the eventfd's counter, in whatever order this machine keeps bytes: any number but zero.
const ONE: [u8; 8] = [1; 8];

/// A driver. Its thread has ended when it is dropped, so that the port is free again.
#[derive(Debug)]
pub(crate) struct Driver {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and everybody else share.
pub(crate) struct Shared {
    pub(super) socket: Socket,
    wake: OwnedFd,
    started: Instant,
    is_stopped: AtomicBool,
    pub(super) beside: Beside,
    state: Mutex<State>,
    incoming: Notify,
}

/// Everything that changes.
pub(super) struct State {
    endpoint: Endpoint,
    links: HashMap<SessionId, Entry>,
    incoming: VecDeque<SessionId>,
    out: Vec<u8>,
    /// Datagrams that stand in `out`: the kernel took no more.
    blocked: Option<Transmit>,
    /// Until when the thread sleeps if nothing wakes it.
    sleeps_until: Option<Time>,
    /// Where sessions' traces go, if somewhere.
    traces: Option<Traces>,
}

/// What is known of a session here.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) signals: Arc<LinkSignals>,
    pub(super) lanes: HashMap<LaneId, Arc<LaneSignals>>,
    pub(super) opened: VecDeque<LaneId>,
    pub(super) established: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) closed: Option<Closed>,
}

/// Who waits for something of a session.
#[derive(Debug, Default)]
pub(crate) struct LinkSignals {
    pub(super) established: Notify,
    pub(super) opened: Notify,
    pub(super) may_open: Notify,
    pub(super) closed: Notify,
}

/// Who waits for something of a lane.
#[derive(Debug, Default)]
pub(crate) struct LaneSignals {
    pub(super) readable: Notify,
    pub(super) writable: Notify,
    /// The other side wants no more, or the session is over.
    pub(super) is_unwanted: AtomicBool,
    pub(super) unwanted: Notify,
    /// Halves of the lane that nobody holds any more.
    pub(super) gone_halves: AtomicU8,
}

impl Driver {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start(socket: Socket, endpoint: Endpoint) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let shared = Arc::new(Shared {
            socket,
            wake,
            started: Instant::now(),
            is_stopped: AtomicBool::new(false),
            beside: Beside::default(),
            state: Mutex::new(State {
                endpoint,
                links: HashMap::new(),
                incoming: VecDeque::new(),
                out: vec![0; OUT_BYTES],
                blocked: None,
                sleeps_until: None,
                traces: None,
            }),
            incoming: Notify::new(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("fhp".to_owned()).spawn(move || of_thread.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Release);
        self.shared.wake();
        // A task whose last waker the thread itself drops may hold the driver: that thread is ending anyway.
        let of_others = |thread: &JoinHandle<()>| thread.thread().id() != std::thread::current().id();
        if self.thread.take().filter(of_others).is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the network thread ended early");
        }
    }
}

impl Shared {
    pub(super) fn now(&self) -> Time {
        Time::after_start(self.started.elapsed())
    }

    pub(super) fn wake(&self) {
        // It fails only when the counter is full, and then the thread is awake.
        let _ = rustix::io::write(&self.wake, &ONE);
    }

    /// Does something with the sessions, and sends what comes of it.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State, Time) -> T) -> T {
        let mut state = self.state.lock();
        let now = self.now();
        let done = work(&mut state, now);
        self.pump(&mut state, now);
        let next = state.endpoint.deadline();
        let is_earlier = match (next, state.sleeps_until) {
            (Some(next), Some(until)) => next < until,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_earlier || state.blocked.is_some() {
            state.sleeps_until = next;
            drop(state);
            self.wake();
        }
        done
    }

    /// Does something with the sessions and sends nothing: the next [`Self::with`] does.
    pub(super) fn with_held<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock())
    }

    /// Tells what happened and sends what is to be sent, until there is nothing left.
    fn pump(&self, state: &mut State, now: Time) {
        loop {
            state.take_events(&self.incoming);
            if state.blocked.is_some() {
                return;
            }
            let Some(transmit) = state.endpoint.transmit(now, &mut state.out) else { return };
            match self.socket.send(&transmit, &state.out) {
                Sent::Done => {}
                Sent::Full => state.blocked = Some(transmit),
                Sent::TooLarge => state.too_large(&transmit, now),
            }
        }
    }

    /// The thread.
    fn run(&self) {
        let mut buffers = Buffers::new();
        while !self.is_stopped.load(Ordering::Acquire) {
            let (timeout, is_blocked) = {
                let mut state = self.state.lock();
                state.sleeps_until = state.endpoint.deadline();
                let now = self.now();
                (state.sleeps_until.map(|until| until.since(now)), state.blocked.is_some())
            };
            let is_blocked = is_blocked || self.beside.is_blocked();
            let ready = self.sleep(timeout, is_blocked);
            if ready.contains(PollFlags::OUT) {
                self.unblock();
            }
            if ready.contains(PollFlags::IN) {
                self.receive(&mut buffers);
            }
            let mut state = self.state.lock();
            let now = self.now();
            state.endpoint.expire(now);
            self.pump(&mut state, now);
        }
    }

    /// Sleeps until the socket is ready, somebody wakes the thread, or the time is over.
    fn sleep(&self, timeout: Option<Duration>, is_blocked: bool) -> PollFlags {
        let wanted = if is_blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds = [PollFd::new(self.socket.udp(), wanted), PollFd::new(&self.wake, PollFlags::IN)];
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(error) if error == rustix::io::Errno::INTR => return PollFlags::empty(),
            Err(error) => {
                tracing::error!(%error, "the network thread cannot wait for its socket");
                std::thread::sleep(Duration::from_millis(100));
                return PollFlags::IN;
            }
        }
        let [socket, wake] = fds;
        if wake.revents().contains(PollFlags::IN) {
            let mut count = [0; 8];
            // Read to be empty; somebody else's wake-up in between is one more round.
            let _ = rustix::io::read(&self.wake, &mut count);
        }
        socket.revents()
    }

    fn unblock(&self) {
        self.beside.unblock();
        let mut state = self.state.lock();
        if let Some(transmit) = state.blocked.take()
            && self.socket.send(&transmit, &state.out) == Sent::Full
        {
            state.blocked = Some(transmit);
        }
    }

    /// Takes in what one call brings; then what it calls for is sent.
    fn receive(&self, buffers: &mut Buffers) {
        let count = self.socket.receive(buffers);
        if count == 0 {
            return;
        }
        let mut state = self.state.lock();
        let now = self.now();
        for (meta, datagrams) in buffers.filled(count) {
            for datagram in datagrams.chunks_mut(meta.stride.max(1)) {
                match datagram.first() {
                    Some(0x80..=0xbf) => state.endpoint.handle(meta.addr, datagram, now),
                    _ => self.beside.arrived(meta, datagram),
                }
            }
        }
        self.pump(&mut state, now);
        drop(state);
        self.beside.deliver();
    }

    /// Waits for a session that somebody else made.
    pub(super) async fn next_incoming(&self) -> SessionId {
        loop {
            if let Some(id) = self.state.lock().incoming.pop_front() {
                return id;
            }
            self.incoming.notified().await;
        }
    }
}

impl State {
    pub(super) fn connect(
        &mut self,
        addr: SocketAddr,
        tls: Arc<ClientConfig>,
        config: SessionConfig,
        now: Time,
    ) -> Result<SessionId, rustls::Error> {
        let id = self.endpoint.connect(addr, tls, config, now)?;
        self.links.insert(id, Entry::default());
        Ok(id)
    }

    /// A session, to use it.
    pub(super) fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.endpoint.touched(id);
        self.endpoint.session(id)
    }

    pub(super) fn link(&mut self, id: SessionId) -> Option<&mut Entry> {
        self.links.get_mut(&id)
    }

    /// Nobody uses a session any more.
    pub(super) fn forget(&mut self, id: SessionId) {
        self.links.remove(&id);
    }

    /// Ends every session; no other is let in.
    pub(super) fn close_all(&mut self, now: Time) {
        self.endpoint.limit_sessions(0);
        let ids: Vec<SessionId> = self.endpoint.sessions().collect();
        for id in ids {
            if let Some(session) = self.session(id) {
                session.close(0, now);
            }
        }
    }

    /// Every session from here on is traced; the traces until now, whose end is not to be waited for in here.
    pub(super) fn trace(&mut self, traces: Traces) -> Option<Traces> {
        self.endpoint.trace_sessions();
        self.traces.replace(traces)
    }

    /// Sessions, newcomers, and what was dropped before either saw it.
    pub(super) fn held(&self) -> (usize, usize, Dropped) {
        (self.endpoint.sessions().count(), self.endpoint.newcomers(), self.endpoint.dropped())
    }

    pub(super) fn limit_sessions(&mut self, most: usize) {
        self.endpoint.limit_sessions(most);
    }

    fn too_large(&mut self, transmit: &Transmit, now: Time) {
        let sessions: Vec<SessionId> = self.endpoint.sessions().collect();
        for id in sessions {
            if let Some(session) = self.endpoint.session(id).filter(|session| session.addr() == transmit.to) {
                session.too_large(transmit.segment, now);
            }
        }
    }

    fn take_events(&mut self, incoming: &Notify) {
        while let Some(id) = self.endpoint.next_begun() {
            self.links.insert(id, Entry::default());
            self.incoming.push_back(id);
            incoming.notify_one();
        }
        while let Some(id) = self.endpoint.next_changed() {
            while let Some(event) = self.endpoint.session(id).and_then(Session::poll) {
                self.event(id, event);
            }
            if let (Some(traces), Some(session)) = (&mut self.traces, self.endpoint.session(id)) {
                traces.take(id, session);
            }
            if self.endpoint.session(id).is_some_and(|session| session.is_over()) {
                self.endpoint.forget(id);
            }
        }
    }

    fn event(&mut self, id: SessionId, event: Event) {
        match event {
            Event::Established { key, hello } => {
                if let Some(entry) = self.links.get_mut(&id) {
                    entry.established = Some((key, hello));
                    entry.signals.established.notify_one();
                }
            }
            Event::Closed(why) => {
                if let Some(entry) = self.links.get_mut(&id) {
                    entry.close(why);
                }
            }
            Event::Lane(event) => {
                if let Some(entry) = self.links.get_mut(&id) {
                    entry.lane(event);
                }
            }
        }
    }
}

impl Entry {
    fn lane(&mut self, event: LaneEvent) {
        let signals = |lane| self.lanes.get(&lane);
        match event {
            LaneEvent::Opened(lane) => {
                self.lanes.insert(lane, Arc::default());
                self.opened.push_back(lane);
                self.signals.opened.notify_one();
            }
            LaneEvent::Readable(lane) => signals(lane).iter().for_each(|lane| lane.readable.notify_one()),
            LaneEvent::Writable(lane) => signals(lane).iter().for_each(|lane| lane.writable.notify_one()),
            LaneEvent::Stopped(lane, _) => signals(lane).iter().for_each(|lane| lane.end()),
            LaneEvent::MayOpen => self.signals.may_open.notify_waiters(),
        }
    }

    fn close(&mut self, why: Closed) {
        self.closed.get_or_insert(why);
        self.signals.established.notify_one();
        self.signals.opened.notify_one();
        self.signals.may_open.notify_waiters();
        self.signals.closed.notify_waiters();
        for lane in self.lanes.values() {
            lane.readable.notify_one();
            lane.end();
        }
    }
}

impl LaneSignals {
    /// Nothing that is written reaches anybody any more.
    fn end(&self) {
        self.is_unwanted.store(true, Ordering::Release);
        self.unwanted.notify_waiters();
        self.writable.notify_one();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("socket", &self.socket).finish_non_exhaustive()
    }
}
