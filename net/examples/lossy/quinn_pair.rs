//! Two quinn machines, their state machines alone, in virtual time.

use crate::network::Network;
use crate::{Outcome, PATIENCE, kit};
use bytes::{Bytes, BytesMut};
use freehold_net_proto::Time;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event,
    MtuDiscoveryConfig, ServerConfig, StreamEvent, StreamId, TransportConfig, VarInt,
};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

const WINDOW: u32 = 64 << 20;

struct Machine {
    endpoint: Endpoint,
    addr: SocketAddr,
    connection: Option<(ConnectionHandle, Connection)>,
    stream: Option<StreamId>,
    to_write: Bytes,
    came: Vec<u8>,
    is_finished: bool,
}

/// Sends everything from one to the other.
pub(crate) fn transfer(network: Network, content: &[u8]) -> Outcome {
    let base = Instant::now();
    let mut pair = Pair { network, base, now: Time::default(), client: machine(1, None), server: server() };
    let tls = QuicClientConfig::with_initial(kit::client(1, 2), initial()).expect("fits QUIC");
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(transport());
    let (to, now) = (pair.server.addr, pair.instant());
    pair.client.connection =
        Some(pair.client.endpoint.connect(now, config, to, "freehold").expect("an address"));
    pair.client.to_write = Bytes::copy_from_slice(content);
    let started = pair.run_until(|pair| pair.client.stream.is_some());
    let ended = pair.run_until(|pair| pair.server.is_finished);
    assert!(pair.server.came == content, "the bytes are the same");
    let (_, connection) = pair.client.connection.as_ref().expect("connected");
    let stats = connection.stats();
    // quinn sends a lost packet's frames once more, so what was lost is what was sent again.
    let resent_share = stats.path.lost_bytes as f64 / stats.udp_tx.bytes as f64;
    Outcome { seconds: ended.since(started).as_secs_f64(), resent_share }
}

struct Pair {
    network: Network,
    base: Instant,
    now: Time,
    client: Machine,
    server: Machine,
}

impl Pair {
    fn instant(&self) -> Instant {
        self.base + self.now.since(Time::default())
    }

    fn run_until(&mut self, is_enough: impl Fn(&Self) -> bool) -> Time {
        let end = self.now + PATIENCE;
        loop {
            self.exchange();
            if is_enough(self) {
                return self.now;
            }
            let timeouts = [&mut self.client, &mut self.server].map(|machine| {
                machine.connection.as_mut().and_then(|(_, connection)| connection.poll_timeout())
            });
            let timeouts = timeouts.into_iter().flatten();
            let timeouts = timeouts.map(|at| Time::after_start(at.saturating_duration_since(self.base)));
            let next = timeouts.chain(self.network.next()).min().expect("something is on its way");
            self.now = self.now.max(next);
            assert!(self.now < end, "it came in time");
            let now = self.instant();
            for machine in [&mut self.client, &mut self.server] {
                if let Some((_, connection)) = &mut machine.connection {
                    connection.handle_timeout(now);
                }
            }
        }
    }

    fn exchange(&mut self) {
        let now = self.instant();
        let mut answers = Vec::new();
        while let Some((from, to, datagram)) = self.network.arrive(self.now) {
            let machine = if to == self.client.addr { &mut self.client } else { &mut self.server };
            machine.handle(now, from, &datagram, &mut answers);
        }
        for (from, to, datagram) in answers {
            self.network.send(from, to, datagram, self.now);
        }
        for machine in [&mut self.client, &mut self.server] {
            machine.drive();
            let Some((_, connection)) = &mut machine.connection else { continue };
            let mut room = Vec::new();
            while let Some(transmit) = connection.poll_transmit(now, 10, &mut room) {
                let segment = transmit.segment_size.unwrap_or(transmit.size);
                for datagram in room[..transmit.size].chunks(segment) {
                    self.network.send(machine.addr, transmit.destination, datagram.to_vec(), self.now);
                }
                room.clear();
            }
        }
    }
}

type Answers = Vec<(SocketAddr, SocketAddr, Vec<u8>)>;

impl Machine {
    fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], answers: &mut Answers) {
        let mut room = Vec::new();
        match self.endpoint.handle(now, from, None, None, BytesMut::from(datagram), &mut room) {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut self.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let accepted = self.endpoint.accept(incoming, now, &mut room, None);
                self.connection = accepted.ok().or(self.connection.take());
            }
            Some(DatagramEvent::Response(transmit)) => {
                answers.push((self.addr, from, room[..transmit.size].to_vec()));
            }
            None => {}
        }
    }

    /// Events, writes and reads.
    fn drive(&mut self) {
        let Some((handle, connection)) = &mut self.connection else { return };
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            match event {
                Event::Connected if !self.to_write.is_empty() => {
                    self.stream = connection.streams().open(Dir::Uni);
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                    self.stream = connection.streams().accept(Dir::Uni);
                }
                Event::ConnectionLost { reason } => panic!("{reason}"),
                _ => {}
            }
        }
        let Some(stream) = self.stream else { return };
        while !self.to_write.is_empty() {
            let Ok(written) = connection.send_stream(stream).write(&self.to_write) else { break };
            drop(self.to_write.split_to(written));
            if self.to_write.is_empty() {
                connection.send_stream(stream).finish().expect("open");
            }
        }
        if connection.side().is_server() {
            let mut receive = connection.recv_stream(stream);
            let Ok(mut chunks) = receive.read(true) else { return };
            loop {
                match chunks.next(usize::MAX) {
                    Ok(Some(chunk)) => self.came.extend_from_slice(&chunk.bytes),
                    Ok(None) => {
                        self.is_finished = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            // What was read gives credit, which goes out with the next packets.
            let _ = chunks.finalize();
        }
    }
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(1_452);
    transport
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(WINDOW.into())
        .mtu_discovery_config(Some(discovery));
    Arc::new(transport)
}

fn initial() -> rustls::quic::Suite {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite());
    suite.expect("the library has it")
}

fn machine(number: u8, server: Option<Arc<ServerConfig>>) -> Machine {
    Machine {
        endpoint: Endpoint::new(Arc::new(EndpointConfig::default()), server, true, Some([number; 32])),
        addr: SocketAddr::from(([10, 0, 0, number], 4_000)),
        connection: None,
        stream: None,
        to_write: Bytes::new(),
        came: Vec::new(),
        is_finished: false,
    }
}

fn server() -> Machine {
    let tls = QuicServerConfig::with_initial(kit::server(2, &[1]), initial()).expect("fits QUIC");
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(transport());
    machine(2, Some(Arc::new(config)))
}
