//! quinn alone: one stream, windows that never limit.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{EndpointConfig, MtuDiscoveryConfig, TransportConfig, VarInt};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;

use crate::{PIECE_BYTES, kit, piece, ready};

const WINDOW: u32 = 64 << 20;

fn initial() -> rustls::quic::Suite {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite());
    suite.expect("the library has it")
}

fn transport(datagram: u16) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(datagram);
    transport
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(WINDOW.into())
        .initial_mtu(datagram.min(1_452))
        .mtu_discovery_config(Some(discovery));
    Arc::new(transport)
}

fn endpoint(server: Option<quinn::ServerConfig>, datagram: u16) -> quinn::Endpoint {
    let udp = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let socket = quinn::udp::UdpSocketState::new((&udp).into()).expect("a UDP socket");
    socket.set_send_buffer_size((&udp).into(), 4 << 20).expect("settable");
    socket.set_recv_buffer_size((&udp).into(), 4 << 20).expect("settable");
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(datagram.max(1_452)).expect("within what UDP carries");
    quinn::Endpoint::new(config, server, udp, Arc::new(quinn::TokioRuntime)).expect("a bound socket")
}

pub(crate) async fn serve(datagram: u16) {
    let tls = QuicServerConfig::with_initial(kit::server(2, &[1]), initial()).expect("fits QUIC");
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(transport(datagram));
    let endpoint = endpoint(Some(config), datagram);
    ready(endpoint.local_addr().expect("bound"));
    while let Some(incoming) = endpoint.accept().await {
        let connection = incoming.await.expect("a good handshake");
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            let mut wanted = [0; 8];
            receive.read_exact(&mut wanted).await.expect("how much");
            let (mut left, piece) = (u64::from_be_bytes(wanted), piece());
            while left > 0 {
                let now = left.min(PIECE_BYTES as u64);
                send.write_chunk(piece.slice(..now as usize)).await.expect("taken");
                left -= now;
            }
            send.finish().expect("open");
        }
    }
}

pub(crate) async fn fetch(datagram: u16, addr: SocketAddr, bytes: u64) -> u64 {
    let tls = QuicClientConfig::with_initial(kit::client(1, 2), initial()).expect("fits QUIC");
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(transport(datagram));
    let endpoint = endpoint(None, datagram);
    let connecting = endpoint.connect_with(config, addr, "freehold").expect("a good address");
    let connection = connecting.await.expect("it listens");
    let (mut send, mut receive) = connection.open_bi().await.expect("room for a stream");
    send.write_all(&bytes.to_be_bytes()).await.expect("taken");
    send.finish().expect("open");
    let (mut got, mut chunks) = (0, [const { Bytes::new() }; 64]);
    while let Some(count) = receive.read_chunks(&mut chunks).await.expect("answered") {
        got += chunks[..count].iter().map(|chunk| chunk.len() as u64).sum::<u64>();
    }
    connection.close(VarInt::from_u32(0), b"");
    got
}
