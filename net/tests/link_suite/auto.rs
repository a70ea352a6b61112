//! Links over FHP on a socket that QUIC shares.

use std::net::SocketAddr;

use freehold_net::{Accept, Endpoint, Identity, LinkConfig, PeerKey, Transport};

use crate::kit::{Kind, RawTls};
use crate::quic::{Quic, QuicRaw, QuicRawServer};

/// The kind: FHP between endpoints, raw peers over QUIC beside it.
pub(crate) struct Auto;

impl Kind for Auto {
    type Raw = QuicRaw;
    type RawServer = QuicRawServer;

    fn bind_at(addr: SocketAddr, seed: u8, accept: Accept, config: LinkConfig) -> Endpoint {
        let config = LinkConfig { transport: Transport::Auto, ..config };
        Endpoint::bind(addr, Identity::from_seed(&[seed; 32]), accept, config).expect("a free port")
    }

    async fn raw_connect(addr: SocketAddr, server: PeerKey, tls: RawTls) -> Result<QuicRaw, String> {
        Quic::raw_connect(addr, server, tls).await
    }

    fn raw_listen(seed: u8, tls: RawTls) -> QuicRawServer {
        Quic::raw_listen(seed, tls)
    }
}
