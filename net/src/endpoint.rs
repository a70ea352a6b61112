//! One UDP socket with an identity: connects to other machines and accepts theirs.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quinn::{ConnectionError, VarInt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::LinkConfig;
use crate::identity::{Identity, PeerKey};
use crate::limits::{HALF_OPEN_MAX, LINKS_MAX};
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
    socket: quinn::Endpoint,
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
pub struct Incoming {
    pending: quinn::Incoming,
    endpoint: Arc<Inner>,
    entry: HalfOpenEntry,
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
        let runtime = Arc::new(quinn::TokioRuntime);
        let socket = quinn::Endpoint::new(quic_setup::endpoint(&identity), server(anywhere), udp, runtime)
            .map_err(unusable)?;
        let half_open = Arc::default();
        Ok(Self(Arc::new(Inner { socket, identity, config, serving, loopback, half_open })))
    }

    /// The address the socket has.
    ///
    /// # Errors
    /// What the system said.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.socket.local_addr()
    }

    /// The key others pin for this endpoint.
    #[must_use]
    pub fn public_key(&self) -> PeerKey {
        self.0.identity.public_key()
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
        let config = quic_setup::client(&inner.identity, (peer, addr.ip()), inner.serving, &inner.config);
        // The name is never sent (no SNI) and never checked: the key is.
        let connecting =
            inner.socket.connect_with(config, addr, "freehold").map_err(|error| match error {
                quinn::ConnectError::EndpointStopping => LinkError::Closed,
                _ => LinkError::Unreachable,
            })?;
        inner.establish(async { connecting.await.map_err(handshake_error) }).await
    }

    /// Waits for a machine that wants a link; `None` once the endpoint is closed.
    pub async fn accept(&self) -> Option<Incoming> {
        loop {
            let pending = self.0.socket.accept().await?;
            let crowded = self.0.half_open.0.load(Ordering::Relaxed) >= HALF_OPEN_MAX;
            if crowded && !pending.remote_address_validated() {
                // Fails only for an address that is validated.
                let _ = pending.retry();
                continue;
            }
            let entry = HalfOpenEntry::new(&self.0.half_open);
            return Some(Incoming { pending, endpoint: Arc::clone(&self.0), entry });
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
        self.0.socket.close(VarInt::from_u32(CloseCode::Done as u32), b"");
        self.0.socket.wait_idle().await;
    }
}

impl Incoming {
    /// Address of the machine; not proven yet.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        self.pending.remote_address()
    }

    /// Completes the handshake and judges the key.
    ///
    /// # Errors
    /// `WrongPeer` when the key is not one of those pinned, `Timeout`, `Incompatible`, `Protocol`.
    pub async fn establish(self) -> Result<Link, LinkError> {
        let Self { pending, endpoint, entry } = self;
        let is_near = pending.remote_address().ip().to_canonical().is_loopback();
        let accepted = match endpoint.loopback.clone().filter(|_| is_near) {
            Some(config) => pending.accept_with(config),
            None => pending.accept(),
        };
        let handshake = async { accepted.map_err(handshake_error)?.await.map_err(handshake_error) };
        let link = endpoint.establish(handshake).await;
        drop(entry);
        link
    }

    /// Turns the machine away.
    pub fn refuse(self) {
        self.pending.refuse();
    }
}

impl Inner {
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
