//! One UDP socket with an identity: connects to other machines and accepts theirs.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use quinn::{ConnectionError, VarInt};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::{LinkConfig, Transport};
use crate::fhp::carrier::FhpCarrier;
use crate::fhp::{self, Fhp, FhpCounts};
use crate::identity::{Identity, PeerKey};
use crate::limits::{FHP_HEAD_START, HALF_OPEN_MAX, LINKS_MAX};
use crate::link::carrier::{Carrier, CloseCode};
use crate::link::quic::{self, QuicCarrier, link_error};
use crate::link::{self, BindError, Handler, Link, LinkError, PeerInfo, quic_setup};
use crate::tls::Accept;
use crate::wire::RefusalCode;

/// A bound socket and the identity it speaks for. Clones are handles of the same socket.
#[derive(Clone, Debug)]
pub struct Endpoint(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// QUIC, unless links are carried by FHP alone.
    quic: Option<quinn::Endpoint>,
    /// FHP, unless links are carried by QUIC alone. The socket is its own then, and quinn is beside.
    fhp: Option<Fhp>,
    addr: SocketAddr,
    is_closed: AtomicBool,
    closing: Notify,
    identity: Identity,
    config: LinkConfig,
    /// Whether links of this endpoint, also those it opened, take requests.
    serving: bool,
    /// How connections from this machine itself are accepted; `None` where none are.
    loopback: Option<Arc<quinn::ServerConfig>>,
    half_open: Arc<HalfOpen>,
}

/// Accepted handshakes that are not links yet.
#[derive(Debug, Default)]
struct HalfOpen(AtomicUsize);

/// One of them; counts until dropped.
#[derive(Debug)]
struct HalfOpenEntry(Arc<HalfOpen>);

/// A machine that wants a link. Dropping it refuses.
#[derive(Debug)]
pub struct Incoming(Pending);

#[derive(Debug)]
enum Pending {
    Quic { pending: Box<quinn::Incoming>, endpoint: Arc<Inner>, entry: HalfOpenEntry },
    Fhp { carrier: FhpCarrier, endpoint: Arc<Inner> },
}

impl Endpoint {
    /// Binds `addr` for `identity`, admitting whom `accept` names. Needs a tokio runtime.
    ///
    /// # Errors
    /// `PortTaken`, or what the system said.
    pub fn bind(
        addr: SocketAddr,
        identity: Identity,
        accept: Accept,
        config: LinkConfig,
    ) -> Result<Self, BindError> {
        let unusable = |source| BindError::Unusable { addr, source };
        let udp = UdpSocket::bind(addr).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => BindError::PortTaken(addr),
            _ => unusable(error),
        })?;
        let serving = !matches!(accept, Accept::None);
        let server = |ip| serving.then(|| quic_setup::server(&identity, accept.clone(), ip, &config));
        let (anywhere, this_machine) = (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into());
        let loopback = server(this_machine).map(Arc::new);
        let addr = udp.local_addr().map_err(unusable)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let quic_config = quic_setup::endpoint(&identity);
        let (fhp, quic) = match config.transport {
            Transport::Quic => {
                let quic = quinn::Endpoint::new(quic_config, server(anywhere), udp, runtime);
                (None, Some(quic.map_err(unusable)?))
            }
            Transport::Fhp => (Some(Fhp::start(udp, &identity, &accept, &config).map_err(unusable)?), None),
            Transport::Auto => {
                let fhp = Fhp::start(udp, &identity, &accept, &config).map_err(unusable)?;
                let socket = Arc::new(fhp.socket());
                let quic =
                    quinn::Endpoint::new_with_abstract_socket(quic_config, server(anywhere), socket, runtime);
                (Some(fhp), Some(quic.map_err(unusable)?))
            }
        };
        let half_open = Arc::default();
        let (is_closed, closing) = (AtomicBool::new(false), Notify::new());
        let inner =
            Inner { quic, fhp, addr, is_closed, closing, identity, config, serving, loopback, half_open };
        Ok(Self(Arc::new(inner)))
    }

    /// The address the socket has.
    ///
    /// # Errors
    /// None today; a socket that moves may have none for a moment.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.0.addr)
    }

    /// The key others pin for this endpoint.
    #[must_use]
    pub fn public_key(&self) -> PeerKey {
        self.0.identity.public_key()
    }

    /// Writes what every link by FHP from here on does into a folder, as lines of JSON: packets, losses, round
    /// trips, sizes, never what is carried, for whom, or from where. The folder is made if there is none.
    ///
    /// # Errors
    /// What the system says of the folder.
    pub fn trace_links(&self, dir: &Path) -> std::io::Result<()> {
        self.0.fhp.as_ref().map_or(Ok(()), |fhp| fhp.trace(dir))
    }

    /// What FHP has sent on this socket and holds; `None` where links are carried by QUIC alone.
    #[must_use]
    pub fn fhp_counts(&self) -> Option<FhpCounts> {
        self.0.fhp.as_ref().map(Fhp::counts)
    }

    /// Connects to the machine that holds `peer`, and returns once that machine has judged our key.
    ///
    /// # Errors
    /// `Timeout` and `Unreachable` suggest another address; `WrongPeer`, `NotAdmitted` and
    /// `Incompatible` do not go away by retrying.
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up.
    pub async fn connect(&self, addr: SocketAddr, peer: PeerKey) -> Result<Link, LinkError> {
        let inner = &self.0;
        if inner.is_closed.load(Ordering::Acquire) {
            return Err(LinkError::Closed);
        }
        match (&inner.fhp, &inner.quic) {
            (Some(fhp), None) => inner.connect_fhp(fhp, addr, peer).await,
            (None, Some(quic)) => inner.connect_quic(quic, addr, peer).await,
            (Some(fhp), Some(quic)) => inner.connect_either(fhp, quic, addr, peer).await,
            (None, None) => Err(LinkError::Closed),
        }
    }

    /// Waits for a machine that wants a link; `None` once the endpoint is closed.
    pub async fn accept(&self) -> Option<Incoming> {
        let inner = &self.0;
        let closing = inner.closing.notified();
        tokio::pin!(closing);
        closing.as_mut().enable();
        if inner.is_closed.load(Ordering::Acquire) {
            return None;
        }
        let quic = async {
            match &inner.quic {
                Some(quic) => inner.accept_quic(quic).await,
                None => std::future::pending().await,
            }
        };
        let fhp = async {
            match &inner.fhp {
                Some(fhp) => fhp.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            incoming = quic => incoming,
            carrier = fhp => Some(Incoming(Pending::Fhp { carrier, endpoint: Arc::clone(inner) })),
            () = closing => None,
        }
    }

    /// Accepts links until the endpoint is closed and answers their requests; `handler` makes the
    /// handler of each link, which lives as long as the link does and may hold its state.
    ///
    /// Dropping the future ends every link it serves.
    pub async fn serve<H, F>(&self, handler: F)
    where
        H: Handler,
        F: Fn(PeerInfo) -> Arc<H>,
    {
        let mut making = JoinSet::new();
        let mut links = JoinSet::new();
        loop {
            tokio::select! {
                incoming = self.accept() => match incoming {
                    Some(incoming) if links.len() + making.len() < LINKS_MAX => {
                        making.spawn(incoming.establish());
                    }
                    Some(incoming) => incoming.refuse(),
                    None => break,
                },
                Some(made) = making.join_next() => match made {
                    Ok(Ok(link)) => {
                        let handler = handler(link.peer());
                        links.spawn(async move { link.serve(handler).await });
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "an incoming link was not made"),
                    Err(error) => tracing::error!(%error, "making an incoming link failed"),
                },
                Some(ended) = links.join_next() => match ended {
                    Ok(why) => tracing::debug!(%why, "link ended"),
                    Err(error) => tracing::error!(%error, "serving a link failed"),
                },
            }
        }
    }

    /// Closes every link and waits until the other sides have been told.
    pub async fn close(&self) {
        self.0.is_closed.store(true, Ordering::Release);
        self.0.closing.notify_waiters();
        if let Some(fhp) = &self.0.fhp {
            fhp.close();
        }
        if let Some(quic) = &self.0.quic {
            quic.close(VarInt::from_u32(CloseCode::Done as u32), b"");
            quic.wait_idle().await;
        }
    }
}

impl Incoming {
    /// Address of the machine; over QUIC not proven yet.
    #[must_use]
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        match &self.0 {
            Pending::Quic { pending, .. } => Some(pending.remote_address()),
            Pending::Fhp { carrier, .. } => carrier.addr(),
        }
    }

    /// Completes the handshake and judges the key.
    ///
    /// # Errors
    /// `WrongPeer` when the key is not one of those pinned, `Timeout`, `Incompatible`, `Protocol`.
    pub async fn establish(self) -> Result<Link, LinkError> {
        match self.0 {
            Pending::Fhp { carrier, endpoint } => endpoint.link_over(carrier).await,
            Pending::Quic { pending, endpoint, entry } => {
                let is_near = fhp::is_near(pending.remote_address().ip());
                let accepted = match endpoint.loopback.clone().filter(|_| is_near) {
                    Some(config) => pending.accept_with(config),
                    None => pending.accept(),
                };
                let handshake = async { accepted.map_err(handshake_error)?.await.map_err(handshake_error) };
                let link = endpoint.establish(handshake).await;
                drop(entry);
                link
            }
        }
    }

    /// Turns the machine away.
    pub fn refuse(self) {
        match self.0 {
            Pending::Quic { pending, .. } => pending.refuse(),
            Pending::Fhp { carrier, .. } => carrier.close(CloseCode::Done),
        }
    }
}

impl Inner {
    async fn connect_fhp(&self, fhp: &Fhp, addr: SocketAddr, peer: PeerKey) -> Result<Link, LinkError> {
        let carrier = fhp.connect(addr, peer)?;
        self.link_over(carrier).await
    }

    /// From an FHP session to a link.
    async fn link_over(&self, carrier: FhpCarrier) -> Result<Link, LinkError> {
        let made = timeout(self.config.handshake_timeout, carrier.established()).await;
        let (key, theirs) = made.unwrap_or(Err(LinkError::Timeout))?;
        let addr = carrier.addr().ok_or(LinkError::Closed)?;
        Ok(Link::new(Carrier::Fhp(carrier), PeerInfo { key, addr }, theirs, &self.config))
    }

    async fn connect_quic(
        &self,
        quic: &quinn::Endpoint,
        addr: SocketAddr,
        peer: PeerKey,
    ) -> Result<Link, LinkError> {
        let config = quic_setup::client(&self.identity, (peer, addr.ip()), self.serving, &self.config);
        // The name is never sent (no SNI) and never checked: the key is.
        let connecting = quic.connect_with(config, addr, "freehold").map_err(|error| match error {
            quinn::ConnectError::EndpointStopping => LinkError::Closed,
            _ => LinkError::Unreachable,
        })?;
        self.establish(async { connecting.await.map_err(handshake_error) }).await
    }

    /// FHP, and QUIC once that had a head start: whichever is there first. A key that is refused by one is
    /// refused by the other.
    async fn connect_either(
        &self,
        fhp: &Fhp,
        quic: &quinn::Endpoint,
        addr: SocketAddr,
        peer: PeerKey,
    ) -> Result<Link, LinkError> {
        let by_fhp = self.connect_fhp(fhp, addr, peer);
        let by_quic = async {
            tokio::time::sleep(FHP_HEAD_START).await;
            self.connect_quic(quic, addr, peer).await
        };
        tokio::pin!(by_fhp, by_quic);
        let may_differ = |error: &LinkError| matches!(error, LinkError::Timeout | LinkError::Incompatible);
        tokio::select! {
            link = &mut by_fhp => match link {
                Err(error) if may_differ(&error) => by_quic.await,
                link => link,
            },
            link = &mut by_quic => match link {
                // It speaks QUIC, of another version perhaps: then FHP has had its time.
                Err(error) if may_differ(&error) => {
                    timeout(FHP_HEAD_START, by_fhp).await.unwrap_or(Err(error))
                }
                link => link,
            },
        }
    }

    async fn accept_quic(self: &Arc<Self>, quic: &quinn::Endpoint) -> Option<Incoming> {
        loop {
            let pending = quic.accept().await?;
            let crowded = self.half_open.0.load(Ordering::Relaxed) >= HALF_OPEN_MAX;
            if crowded && !pending.remote_address_validated() {
                // Fails only for an address that is validated.
                let _ = pending.retry();
                continue;
            }
            let entry = HalfOpenEntry::new(&self.half_open);
            let pending = Box::new(pending);
            return Some(Incoming(Pending::Quic { pending, endpoint: Arc::clone(self), entry }));
        }
    }

    /// From a handshake to a link: hellos exchanged, key known, all in time.
    async fn establish(
        &self,
        handshake: impl Future<Output = Result<quinn::Connection, LinkError>>,
    ) -> Result<Link, LinkError> {
        let made = timeout(self.config.handshake_timeout, async {
            let connection = handshake.await?;
            let Some(key) = QuicCarrier::peer_key(&connection) else {
                quic::close(&connection, CloseCode::Protocol);
                return Err(LinkError::Protocol("the other side showed no key"));
            };
            let peer = PeerInfo { key, addr: connection.remote_address() };
            let (carrier, theirs) =
                QuicCarrier::greet(connection, &link::hello(&self.config, self.serving)).await?;
            Ok(Link::new(Carrier::Quic(carrier), peer, theirs, &self.config))
        });
        made.await.unwrap_or(Err(LinkError::Timeout))
    }
}

impl HalfOpenEntry {
    fn new(count: &Arc<HalfOpen>) -> Self {
        count.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for HalfOpenEntry {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Before there is a link, silence means that nobody is there.
fn handshake_error(error: ConnectionError) -> LinkError {
    match error {
        ConnectionError::TimedOut => LinkError::Timeout,
        ConnectionError::ConnectionClosed(close)
            if close.error_code == quinn::TransportErrorCode::CONNECTION_REFUSED =>
        {
            LinkError::Refused(RefusalCode::BUSY)
        }
        other => link_error(other),
    }
}
