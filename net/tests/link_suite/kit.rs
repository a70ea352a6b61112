//! The kinds' common face, and one handler that can do everything the tests ask for.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freehold_net::{
    Accept, Body, Class, Credit, Endpoint, Handler, Identity, Inbound, Link, LinkConfig, LinkError, PeerKey,
    RefusalCode, Request, Responder,
};
use tokio::sync::{Semaphore, mpsc};

/// A kind of link under test.
pub(crate) trait Kind: 'static {
    /// A link whose frames the test writes itself.
    type Raw: RawLink;
    /// An endpoint that accepts raw links.
    type RawServer: RawServer<Link = Self::Raw>;

    /// An endpoint of this kind at `addr`.
    fn bind_at(addr: SocketAddr, seed: u8, accept: Accept, config: LinkConfig) -> Endpoint;
    /// An endpoint of this kind on a free loopback port.
    fn bind(seed: u8, accept: Accept, config: LinkConfig) -> Endpoint {
        Self::bind_at((Ipv4Addr::LOCALHOST, 0).into(), seed, accept, config)
    }
    /// Connects a raw client; `Err` when the handshake itself is refused.
    async fn raw_connect(addr: SocketAddr, server: PeerKey, tls: RawTls) -> Result<Self::Raw, String>;
    /// Connects a raw client that says this for a hello.
    async fn raw_connect_saying(
        addr: SocketAddr,
        server: PeerKey,
        tls: RawTls,
        hello: &[u8],
    ) -> Result<Self::Raw, String> {
        let raw = Self::raw_connect(addr, server, tls).await?;
        raw.say_hello(hello).await;
        Ok(raw)
    }
    /// Listens for links and answers them raw.
    fn raw_listen(seed: u8, tls: RawTls) -> Self::RawServer;
}

/// What a raw peer shows and offers in its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawTls {
    /// Key of this seed, the hybrid group.
    Good(u8),
    /// Key of this seed, X25519 only.
    Classical(u8),
    /// No key at all.
    Anonymous,
}

/// A carrier without the request layer.
pub(crate) trait RawLink: Send {
    type Lane: RawLane;
    async fn say_hello(&self, bytes: &[u8]);
    async fn open_lane(&self) -> Self::Lane;
    async fn next_lane(&self) -> Option<Self::Lane>;
    /// Code the other side closed the link with; `None` when it ended otherwise.
    async fn close_code(&self) -> Option<u64>;
}

/// One request and its response, byte by byte.
pub(crate) trait RawLane: Send {
    async fn write(&mut self, bytes: &[u8]);
    /// Hands over what the other side has room for at once; how much that was.
    async fn offer(&mut self, bytes: &[u8]) -> usize;
    fn end(&mut self);
    /// Everything the other side says until it ends or gives up.
    async fn read_all(&mut self) -> Result<Vec<u8>, String>;
}

pub(crate) trait RawServer: Send {
    type Link: RawLink;
    fn addr(&self) -> SocketAddr;
    async fn accept(&self) -> Option<Self::Link>;
}

/// Code of a link closed for a protocol violation.
pub(crate) const CLOSE_PROTOCOL: u64 = 1;

/// Requests the [`Desk`] understands.
pub(crate) mod method {
    /// Answers with the same head and body.
    pub(crate) const ECHO: u16 = 1;
    /// Never answers; reports when it starts and when it is dropped.
    pub(crate) const HANG: u16 = 2;
    /// Answers with as many bytes as the head says, announced.
    pub(crate) const GIVE: u16 = 3;
    /// As `GIVE`, open-ended.
    pub(crate) const POUR: u16 = 4;
    /// Refuses with 7 at once, without looking at the body.
    pub(crate) const REFUSE: u16 = 5;
    /// Ends without answering.
    pub(crate) const SHRUG: u16 = 6;
    /// Announces 100 bytes, sends 50, ends.
    pub(crate) const HALF: u16 = 7;
    /// Panics.
    pub(crate) const PANIC: u16 = 8;
    /// As `GIVE`, once the gate is open; reports when it waits.
    pub(crate) const GATED: u16 = 9;
    /// Answers with the key of whoever asks.
    pub(crate) const WHO: u16 = 10;
    /// Reads the body slowly to its end, answers with its length.
    pub(crate) const SINK: u16 = 11;
    /// Answers with the number of requests this handler has seen.
    pub(crate) const COUNT: u16 = 12;
    /// Reports when it starts, reads the body, reports how that went.
    pub(crate) const REPORT: u16 = 13;
    /// Admits the link, answers.
    pub(crate) const ADMIT: u16 = 14;
}

/// What a handler tells the test.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Started,
    Dropped,
    Body(Result<u64, LinkError>),
}

/// The handler of all tests.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    /// Body bytes moved through `SINK` and `GIVE`.
    pub(crate) moved: Arc<AtomicU64>,
    seen: AtomicU64,
}

/// The test's side of a [`Desk`].
pub(crate) struct Bell {
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) moved: Arc<AtomicU64>,
}

impl Desk {
    pub(crate) fn new() -> (Arc<Self>, Bell) {
        let (sender, events) = mpsc::unbounded_channel();
        let (gate, moved) = (Arc::new(Semaphore::new(0)), Arc::default());
        let desk = Self {
            gate: Arc::clone(&gate),
            events: sender,
            moved: Arc::clone(&moved),
            seen: AtomicU64::new(0),
        };
        (Arc::new(desk), Bell { events, gate, moved })
    }

    fn report(&self, event: Event) {
        // The test may have ended.
        let _ = self.events.send(event);
    }

    async fn give(&self, request: &Inbound, responder: Responder, announced: bool) -> Result<(), LinkError> {
        let len = number(&request.head);
        let mut sink = responder.start(request.head.clone(), announced.then_some(len)).await?;
        let mut offset = 0;
        while offset < len {
            let part = pattern(offset, (len - offset).min(48 * 1024));
            offset += part.len() as u64;
            sink.write(part).await?;
            self.moved.store(offset, Ordering::Relaxed);
        }
        sink.finish()
    }

    async fn sink(&self, mut request: Inbound, responder: Responder) -> Result<(), LinkError> {
        let mut len = 0;
        while let Some(piece) = request.body.next_piece().await? {
            assert_eq!(piece.bytes, pattern(piece.offset, piece.bytes.len() as u64));
            len += piece.bytes.len() as u64;
            self.moved.store(len, Ordering::Relaxed);
            breathe().await;
        }
        responder.reply(Bytes::copy_from_slice(&len.to_be_bytes()), Bytes::new()).await
    }

    async fn hang(&self) {
        struct Report<'a>(&'a Desk);
        impl Drop for Report<'_> {
            fn drop(&mut self) {
                self.0.report(Event::Dropped);
            }
        }
        let _report = Report(self);
        self.report(Event::Started);
        std::future::pending::<()>().await;
    }

    async fn answer(&self, mut request: Inbound, responder: Responder) -> Result<(), LinkError> {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        match request.method {
            method::ECHO => {
                let body = request.body.collect(32 << 20).await?;
                responder.reply(request.head, body).await
            }
            method::HANG => {
                self.hang().await;
                Ok(())
            }
            method::GIVE => self.give(&request, responder, true).await,
            method::POUR => self.give(&request, responder, false).await,
            method::REFUSE => responder.refuse(RefusalCode(7)).await,
            method::SHRUG => Ok(()),
            method::HALF => {
                let mut sink = responder.start(Bytes::new(), Some(100)).await?;
                sink.write(Bytes::from_static(&[1; 50])).await?;
                sink.finish()
            }
            method::PANIC => panic!("the test asked for it"),
            method::GATED => {
                self.report(Event::Started);
                let _pass = self.gate.acquire().await.expect("the gate is never closed");
                self.give(&request, responder, true).await
            }
            method::WHO => responder.reply(request.peer.key.as_bytes().to_vec().into(), Bytes::new()).await,
            method::SINK => self.sink(request, responder).await,
            method::COUNT => responder.reply(Bytes::copy_from_slice(&seen.to_be_bytes()), Bytes::new()).await,
            method::REPORT => {
                self.report(Event::Started);
                let read = request.body.collect(1 << 20).await;
                self.report(Event::Body(read.map(|body| body.len() as u64)));
                Ok(())
            }
            method::ADMIT => {
                responder.admit();
                responder.reply(Bytes::new(), Bytes::new()).await
            }
            _ => responder.refuse(RefusalCode::UNKNOWN_METHOD).await,
        }
    }
}

impl Handler for Desk {
    async fn handle(&self, request: Inbound, responder: Responder) {
        // The asking side sees every failure; the desk has nothing to add.
        let _ = self.answer(request, responder).await;
    }
}

/// Serves one desk on every link of a fresh endpoint.
pub(crate) fn serve<K: Kind>(seed: u8, accept: Accept, config: LinkConfig) -> (SocketAddr, PeerKey, Bell) {
    let endpoint = K::bind(seed, accept, config);
    let (addr, key) = (endpoint.local_addr().expect("a bound socket has an address"), endpoint.public_key());
    let (desk, bell) = Desk::new();
    tokio::spawn(async move { endpoint.serve(move |_| Arc::clone(&desk)).await });
    (addr, key, bell)
}

/// A desk and a link to it.
pub(crate) async fn pair<K: Kind>(config: LinkConfig) -> (Link, Bell) {
    let (addr, key, bell) = serve::<K>(1, Accept::AnyKey, config);
    (connect::<K>(addr, key, config).await, bell)
}

/// A link from a fresh endpoint that only asks.
pub(crate) async fn connect<K: Kind>(addr: SocketAddr, key: PeerKey, config: LinkConfig) -> Link {
    let client = K::bind(2, Accept::None, config);
    client.connect(addr, key).await.expect("the desk admits anybody")
}

pub(crate) fn key_of(seed: u8) -> PeerKey {
    Identity::from_seed(&[seed; 32]).public_key()
}

pub(crate) fn request(method: u16, class: Class, head: impl Into<Bytes>, body: impl Into<Body>) -> Request {
    Request { method, class, head: head.into(), body: body.into() }
}

/// Asks for `len` bytes.
pub(crate) fn wanting(method: u16, class: Class, len: u64) -> Request {
    request(method, class, len.to_be_bytes().to_vec(), Body::empty())
}

/// Credit that never gets in the way.
pub(crate) const AMPLE: Credit = Credit::bytes(64 << 20);

/// The desk still answers on this link.
pub(crate) async fn assert_alive(link: &Link) {
    let call = link.call(request(method::ECHO, Class::Control, "ping", Bytes::new()), Credit::NONE).await;
    let response = call.expect("the link takes requests").collect(0).await.expect("the desk answers");
    assert_eq!(response.head, "ping");
}

/// Bytes `offset..offset + len` of an endless text that repeats after a prime number of bytes.
pub(crate) fn pattern(offset: u64, len: u64) -> Bytes {
    (offset..offset + len).map(|at| (at % 251) as u8).collect()
}

pub(crate) fn number(head: &[u8]) -> u64 {
    u64::from_be_bytes(head.try_into().expect("eight bytes"))
}

/// Lets every other task run a while.
pub(crate) async fn breathe() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Fails a test that hangs.
pub(crate) async fn within(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs");
}
