//! How quinn is set up: our TLS, our limits, resets that survive a restart.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, MtuDiscoveryConfig,
    NoneTokenStore, ServerConfig, TransportConfig, ValidationTokenConfig, VarInt,
};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::Suite;

use super::quic::ALPN;
use crate::config::LinkConfig;
use crate::identity::{Identity, PeerKey};
use crate::limits;
use crate::tls::{self, Accept};

/// Endpoint-wide settings.
pub(crate) fn endpoint(identity: &Identity) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(identity.reset_key()));
    // The first byte tells QUIC from STUN and FHP on the shared socket, so its fixed bit stays fixed.
    config.grease_quic_bit(false);
    let largest = config.max_udp_payload_size(limits::LOOPBACK_DATAGRAM_BYTES);
    largest.expect("the bound is within what UDP carries");
    config.cid_generator(|| Box::new(RandomCids));
    config
}

/// Settings of a connection to `peer` at an address; `serving` when it may ask us too.
pub(crate) fn client(
    identity: &Identity,
    (peer, ip): (PeerKey, IpAddr),
    serving: bool,
    config: &LinkConfig,
) -> ClientConfig {
    let tls = tls::client_config(identity, peer, ALPN);
    let tls =
        QuicClientConfig::with_initial(tls, initial_suite()).expect("a TLS 1.3 configuration fits QUIC");
    let mut client = ClientConfig::new(Arc::new(tls));
    client.transport_config(Arc::new(transport(serving, ip, config)));
    client.token_store(Arc::new(NoneTokenStore));
    client
}

/// Settings of connections others make to us from addresses like this one.
pub(crate) fn server(identity: &Identity, accept: Accept, ip: IpAddr, config: &LinkConfig) -> ServerConfig {
    let mut transport = transport(true, ip, config);
    if matches!(accept, Accept::AnyKey) {
        let window = config.link_window_bytes.min(limits::STRANGER_WINDOW_BYTES);
        transport.receive_window(VarInt::from_u32(window));
    }
    let tls = tls::server_config(identity, accept, ALPN);
    let tls =
        QuicServerConfig::with_initial(tls, initial_suite()).expect("a TLS 1.3 configuration fits QUIC");
    let mut server = ServerConfig::with_crypto(Arc::new(tls));
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0);
    let (one, all) = limits::WAITING_BYTES;
    server.transport_config(Arc::new(transport));
    server.validation_token_config(tokens);
    server.max_incoming(limits::WAITING_MAX).incoming_buffer_size(one).incoming_buffer_size_total(all);
    server
}

fn transport(serving: bool, ip: IpAddr, config: &LinkConfig) -> TransportConfig {
    let mut transport = TransportConfig::default();
    if ip.to_canonical().is_loopback() {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(limits::LOOPBACK_DATAGRAM_BYTES);
        transport.mtu_discovery_config(Some(discovery));
    }
    let lanes = if serving { config.max_in_flight.min(limits::IN_FLIGHT_MAX) } else { 0 };
    // quinn keeps time in milliseconds of a 62-bit number; a longer timeout means none.
    let idle = IdleTimeout::try_from(config.idle_timeout).ok();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(lanes.into()))
        .max_concurrent_uni_streams(VarInt::from_u32(1))
        .max_idle_timeout(idle)
        .keep_alive_interval(config.keep_alive)
        .stream_receive_window(VarInt::from_u32(config.stream_window_bytes))
        .receive_window(VarInt::from_u32(config.link_window_bytes))
        .send_window(config.link_window_bytes.into())
        .datagram_receive_buffer_size(None)
        .allow_spin(false);
    transport
}

/// QUIC protects its first packets with AES-128-GCM under public keys, whatever is negotiated.
fn initial_suite() -> Suite {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite());
    suite.expect("the library has the suite that every QUIC first packet needs")
}

/// Random connection ids without a mark of the run that made them. quinn's own generator drops
/// packets whose id an earlier run made; here they are answered with a stateless reset, so that a
/// peer learns of a restart at once. quinn sends at most one reset each 20 ms, shorter than what
/// provoked it.
struct RandomCids;

const CID_BYTES: usize = 8;

impl ConnectionIdGenerator for RandomCids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CID_BYTES];
        rand::fill(&mut id).expect("the operating system gives random bytes");
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
