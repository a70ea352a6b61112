//! FHP on a real socket: the shell around [`freehold_net_proto`].

mod beside;
pub(crate) mod carrier;
mod driver;
mod socket;
mod trace;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use freehold_model::Entropy;
use freehold_model::codec;
use freehold_net_proto::{Dropped, Endpoint, SessionConfig, Windows};

use crate::config::LinkConfig;
use crate::identity::{Identity, PeerKey};
use crate::limits;
use crate::link::{self, LinkError};
use crate::tls::{self, Accept};
pub(crate) use beside::SharedSocket;
use carrier::FhpCarrier;
use driver::Driver;
pub use socket::Sends;
use socket::Socket;
use trace::Traces;

/// Protocol name in the handshake; quinn has its own, so that neither's flights fit the other.
pub(crate) const ALPN: &[u8] = b"freehold-fhp/1";

/// What FHP does on a socket and holds for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FhpCounts {
    /// What it has sent.
    pub sends: Sends,
    /// Sessions, handshakes under way included.
    pub sessions: usize,
    /// Newcomers whose hello is not whole.
    pub newcomers: usize,
    /// Datagrams dropped before a session saw them.
    pub dropped: Dropped,
}

/// FHP's side of an endpoint.
#[derive(Debug)]
pub(crate) struct Fhp {
    driver: Arc<Driver>,
    identity: Identity,
    config: LinkConfig,
    serving: bool,
    /// The socket serves both families.
    is_dual: bool,
}

impl Fhp {
    /// Takes a bound socket over.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start(
        udp: UdpSocket,
        identity: &Identity,
        accept: &Accept,
        config: &LinkConfig,
    ) -> io::Result<Self> {
        let serving = !matches!(accept, Accept::None);
        let accepts = serving.then(|| {
            let mut session = session_config(config, true);
            if matches!(accept, Accept::AnyKey) {
                let window = u64::from(config.link_window_bytes.min(limits::STRANGER_WINDOW_BYTES));
                session.windows.session_bytes = window;
            }
            (tls::server_config(identity, accept.clone(), ALPN), session)
        });
        let is_dual = udp.local_addr()?.is_ipv6();
        let endpoint = Endpoint::new(&identity.fhp_secret(), Box::new(SystemEntropy), accepts);
        let driver = Driver::start(Socket::new(udp)?, endpoint)?;
        driver.shared().with(|state, _| state.limit_sessions(limits::LINKS_MAX));
        Ok(Self { driver: Arc::new(driver), identity: identity.clone(), config: *config, serving, is_dual })
    }

    /// The socket, for quinn beside.
    pub(crate) fn socket(&self) -> SharedSocket {
        SharedSocket(Arc::clone(self.driver.shared()))
    }

    /// Begins a session with the machine that holds `peer`.
    ///
    /// # Errors
    /// `Unreachable` when the handshake cannot begin.
    pub(crate) fn connect(&self, addr: SocketAddr, peer: PeerKey) -> Result<FhpCarrier, LinkError> {
        let tls = tls::client_config(&self.identity, peer, ALPN);
        // A socket for both families knows IPv4 addresses by their mapped form (RFC 4291 §2.5.5.2).
        let addr = match addr {
            SocketAddr::V4(v4) if self.is_dual => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
            addr => addr,
        };
        let config = session_config(&self.config, self.serving);
        let session = self.driver.shared().with(|state, now| state.connect(addr, tls, config, now));
        let session = session.map_err(|_| LinkError::Unreachable)?;
        Ok(FhpCarrier::new(&self.driver, session))
    }

    /// Writes what every session from here on does into a folder.
    ///
    /// # Errors
    /// What the system says of the folder.
    pub(crate) fn trace(&self, dir: &Path) -> io::Result<()> {
        let traces = Traces::start(dir)?;
        let before = self.driver.shared().with_held(|state| state.trace(traces));
        drop(before);
        Ok(())
    }

    pub(crate) fn counts(&self) -> FhpCounts {
        let shared = self.driver.shared();
        let (sessions, newcomers, dropped) = shared.with_held(|state| state.held());
        FhpCounts { sends: shared.socket.sends(), sessions, newcomers, dropped }
    }

    /// Ends every session; the other sides are told.
    pub(crate) fn close(&self) {
        self.driver.shared().with(|state, now| state.close_all(now));
    }

    /// Waits for a session that somebody else made.
    pub(crate) async fn accept(&self) -> FhpCarrier {
        let session = self.driver.shared().next_incoming().await;
        FhpCarrier::new(&self.driver, session)
    }
}

fn session_config(config: &LinkConfig, serving: bool) -> SessionConfig {
    SessionConfig {
        windows: Windows {
            lane_bytes: config.stream_window_bytes.into(),
            session_bytes: config.link_window_bytes.into(),
            kept_bytes: config.link_window_bytes.into(),
        },
        idle: config.idle_timeout,
        keep_alive: config.keep_alive,
        handshake: config.handshake_timeout,
        datagram_bytes: config.datagram_bytes_max,
        hello: codec::to_vec(&link::hello(config, serving)),
    }
}

/// The operating system's randomness.
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).expect("the operating system gives random bytes");
    }
}

/// Whether an address is this machine's own.
pub(crate) fn is_near(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Transport;
    use std::net::Ipv4Addr;

    fn start(seed: u8, accept: &Accept) -> (Fhp, SocketAddr) {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = udp.local_addr().expect("bound");
        let config = LinkConfig { transport: Transport::Fhp, ..LinkConfig::default() };
        let fhp = Fhp::start(udp, &Identity::from_seed(&[seed; 32]), accept, &config);
        (fhp.expect("a bound socket"), addr)
    }

    #[tokio::test]
    async fn a_lane_is_forgotten_with_its_last_half_whichever_that_is() {
        let (server, addr) = start(1, &Accept::AnyKey);
        let (client, _) = start(2, &Accept::None);
        let carrier = client.connect(addr, Identity::from_seed(&[1; 32]).public_key()).expect("it begins");
        let there = server.accept().await;
        carrier.established().await.expect("anybody is admitted");
        there.established().await.expect("anybody is admitted");
        for is_writer_first in [true, false] {
            let (tx, rx) = carrier.open().await.expect("room for a lane");
            assert_eq!(carrier.lanes(), 1);
            if is_writer_first {
                drop(tx);
                assert_eq!(carrier.lanes(), 1);
                drop(rx);
            } else {
                drop(rx);
                assert_eq!(carrier.lanes(), 1);
                drop(tx);
            }
            assert_eq!(carrier.lanes(), 0);
        }
    }
}
