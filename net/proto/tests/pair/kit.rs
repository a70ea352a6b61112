//! Two machines and a network between them, in virtual time.

use crate::network::Network;
use freehold_model::Entropy;
use freehold_net_proto::{
    Closed, Endpoint, Event, LaneEvent, LaneId, Read, Session, SessionConfig, SessionId, Time, Windows,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    ServerConfig, SignatureScheme, version,
};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const ALPN: &[u8] = b"freehold-fhp/1";

/// The key a seed stands for, as others see it (RFC 8410 §4).
pub(crate) fn spki(seed: u8) -> Vec<u8> {
    const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    [&PREFIX[..], key.verifying_key().as_bytes()].concat()
}

fn certified(seed: u8) -> Arc<CertifiedKey> {
    const PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = PrivatePkcs8KeyDer::from([&PREFIX[..], &[seed; 32]].concat());
    let key = aws_lc_rs::sign::any_eddsa_type(&der).expect("a seed is a key");
    Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki(seed))], key))
}

#[derive(Debug)]
struct Pins(Vec<Vec<u8>>, WebPkiSupportedAlgorithms);

impl Pins {
    fn judge(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        let is_known = self.0.iter().any(|key| key[..] == shown[..]);
        let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        if is_known { Ok(()) } else { Err(refused) }
    }

    fn signed(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(shown.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signature, &self.1)
    }
}

macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            shown: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.signed(message, shown, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(shown).map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Pins {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(shown).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}

fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768];
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_256_GCM_SHA384];
    Arc::new(provider)
}

/// The configuration of a client with the key of a seed, that expects the key of another.
pub(crate) fn client(seed: u8, expects: u8) -> Arc<ClientConfig> {
    client_speaking(seed, expects, ALPN)
}

pub(crate) fn client_speaking(seed: u8, expects: u8, alpn: &[u8]) -> Arc<ClientConfig> {
    let provider = provider();
    let pins = Pins(vec![spki(expects)], provider.signature_verification_algorithms);
    let resolver = rustls::client::AlwaysResolvesClientRawPublicKeys::new(certified(seed));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .expect("a TLS 1.3 suite")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pins))
        .with_client_cert_resolver(Arc::new(resolver));
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = false;
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

/// The configuration of a server with the key of a seed, that admits the keys of others.
pub(crate) fn server(seed: u8, admits: &[u8]) -> Arc<ServerConfig> {
    let provider = provider();
    let keys = admits.iter().map(|seed| spki(*seed)).collect();
    let pins = Pins(keys, provider.signature_verification_algorithms);
    let resolver = rustls::server::AlwaysResolvesServerRawPublicKeys::new(certified(seed));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .expect("a TLS 1.3 suite")
        .with_client_cert_verifier(Arc::new(pins))
        .with_cert_resolver(Arc::new(resolver));
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config)
}

pub(crate) fn config() -> SessionConfig {
    SessionConfig {
        windows: Windows { lane_bytes: 2 << 20, session_bytes: 16 << 20, kept_bytes: 16 << 20 },
        idle: Duration::from_secs(60),
        keep_alive: Some(Duration::from_secs(20)),
        handshake: Duration::from_secs(10),
        datagram_bytes: 1_452,
        hello: b"hello".to_vec(),
    }
}

/// Ids that a second run draws again.
pub(crate) struct Draws(pub(crate) u64);

impl Entropy for Draws {
    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = self.0.to_be_bytes()[0];
        }
    }
}

/// One machine: an endpoint and what its application has seen.
pub(crate) struct Machine {
    pub(crate) endpoint: Endpoint,
    pub(crate) addr: SocketAddr,
    /// The session that is established, and what the other side is.
    pub(crate) established: Option<(SessionId, Vec<u8>, Vec<u8>)>,
    pub(crate) closed: Vec<Closed>,
    /// What came of each lane, and whether it ended.
    pub(crate) came: BTreeMap<LaneId, (Vec<u8>, bool)>,
    pub(crate) resets: BTreeMap<LaneId, u64>,
    pub(crate) stopped: Vec<LaneId>,
    pub(crate) opened: Vec<LaneId>,
    /// What is still to be written, by lane; `None` behind it ends the lane.
    pub(crate) to_write: BTreeMap<LaneId, VecDeque<Option<bytes::Bytes>>>,
    /// It sends back what comes.
    pub(crate) echoes: bool,
    /// It leaves what comes unread.
    pub(crate) is_slow: bool,
    /// How far its clock is ahead of the pair's.
    pub(crate) ahead: Duration,
    /// It is suspended: nothing of it runs, and what arrives waits in its socket.
    pub(crate) is_asleep: bool,
    /// What waits there.
    pub(crate) socket: VecDeque<(SocketAddr, Vec<u8>)>,
    /// How many datagrams each call to its kernel took.
    pub(crate) batches: Vec<usize>,
}

/// Datagrams that wait in the socket of a machine that is suspended; more are lost.
const SOCKET_DATAGRAMS: usize = 300;

impl Machine {
    fn new(number: u8, accepts: Option<Arc<ServerConfig>>, config: SessionConfig) -> Self {
        let entropy = Box::new(Draws(u64::from(number)));
        let endpoint = Endpoint::new(&[number; 32], entropy, accepts.map(|tls| (tls, config)));
        Self {
            endpoint,
            addr: SocketAddr::from(([10, 0, 0, number], 4_000)),
            established: None,
            closed: Vec::new(),
            came: BTreeMap::new(),
            resets: BTreeMap::new(),
            stopped: Vec::new(),
            opened: Vec::new(),
            to_write: BTreeMap::new(),
            echoes: false,
            is_slow: false,
            ahead: Duration::ZERO,
            is_asleep: false,
            socket: VecDeque::new(),
            batches: Vec::new(),
        }
    }

    /// A machine at an address, with nothing in it.
    pub(crate) fn at(addr: SocketAddr) -> Self {
        Self { addr, ..Self::new(0, None, config()) }
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        let (id, ..) = self.established.as_ref().expect("a session");
        let id = *id;
        self.endpoint.touched(id);
        self.endpoint.session(id).expect("not forgotten")
    }

    /// Whether there is a session that frames may flow in.
    pub(crate) fn is_open(&mut self) -> bool {
        let id = self.established.as_ref().map(|(id, ..)| *id);
        id.and_then(|id| self.endpoint.session(id)).is_some_and(|session| session.is_open())
    }

    /// Reads everything that was left unread.
    pub(crate) fn catch_up(&mut self) {
        self.is_slow = false;
        for lane in self.opened.clone() {
            self.read(lane);
        }
    }

    /// When its endpoint wants to be looked at, on the pair's clock, whose time is now.
    fn deadline(&self, now: Time) -> Option<Time> {
        let deadline = self.endpoint.deadline().filter(|_| !self.is_asleep)?;
        Some(now + deadline.since(now + self.ahead))
    }

    fn expire(&mut self, now: Time) {
        if !self.is_asleep {
            self.endpoint.expire(now + self.ahead);
        }
    }

    fn arrived(&mut self, from: SocketAddr, mut datagram: Vec<u8>, now: Time) {
        if !self.is_asleep {
            self.endpoint.handle(from, &mut datagram, now + self.ahead);
        } else if self.socket.len() < SOCKET_DATAGRAMS {
            self.socket.push_back((from, datagram));
        }
    }

    /// It runs again: it finds what came meanwhile, and its timers late.
    pub(crate) fn wake(&mut self, now: Time) {
        self.is_asleep = false;
        for (from, datagram) in std::mem::take(&mut self.socket) {
            self.arrived(from, datagram, now);
        }
        self.expire(now);
    }

    /// Opens a lane and writes all of this to it, with its end.
    pub(crate) fn send(&mut self, class: u8, content: &[u8]) -> LaneId {
        let lane = self.session().open_lane(class).expect("fewer than the other side allows");
        let content = bytes::Bytes::copy_from_slice(content);
        self.to_write.insert(lane, VecDeque::from([Some(content), None]));
        self.write();
        lane
    }

    pub(crate) fn write(&mut self) {
        let Some((id, ..)) = self.established else { return };
        let Some(session) = self.endpoint.session(id) else { return };
        for (lane, parts) in &mut self.to_write {
            while let Some(part) = parts.front_mut() {
                match part {
                    Some(bytes) => {
                        if session.write(*lane, bytes).is_none() {
                            parts.clear();
                            break;
                        }
                        if !bytes.is_empty() {
                            break;
                        }
                    }
                    None => session.finish(*lane),
                }
                parts.pop_front();
            }
        }
        self.to_write.retain(|_, parts| !parts.is_empty());
        self.endpoint.touched(id);
    }

    pub(crate) fn read(&mut self, lane: LaneId) {
        if self.is_slow {
            return;
        }
        let Some((id, ..)) = self.established else { return };
        let Some(session) = self.endpoint.session(id) else { return };
        loop {
            match session.read(lane, 64 * 1024) {
                Read::Bytes(bytes) => {
                    self.came.entry(lane).or_default().0.extend_from_slice(&bytes);
                    if self.echoes {
                        self.to_write.entry(lane).or_default().push_back(Some(bytes));
                    }
                }
                Read::End => {
                    self.came.entry(lane).or_default().1 = true;
                    if self.echoes {
                        self.to_write.entry(lane).or_default().push_back(None);
                    }
                    break;
                }
                Read::Reset(code) => {
                    self.resets.insert(lane, code);
                    break;
                }
                Read::Pending | Read::Gone => break,
            }
        }
        self.endpoint.touched(id);
    }

    fn take_events(&mut self) {
        while let Some(id) = self.endpoint.next_changed() {
            let mut over = false;
            while let Some(event) = self.endpoint.session(id).and_then(Session::poll) {
                match event {
                    Event::Established { key, hello } => self.established = Some((id, key, hello)),
                    Event::Closed(why) => self.closed.push(why),
                    Event::Lane(LaneEvent::Opened(lane)) => self.opened.push(lane),
                    Event::Lane(LaneEvent::Readable(lane)) => self.read(lane),
                    Event::Lane(LaneEvent::Writable(_)) => self.write(),
                    Event::Lane(LaneEvent::Stopped(lane, _)) => self.stopped.push(lane),
                    Event::Lane(LaneEvent::MayOpen) => {}
                }
            }
            over |= self.endpoint.session(id).is_some_and(|session| session.is_over());
            if over {
                self.endpoint.forget(id);
            }
        }
        self.write();
    }
}

/// A client, a server and what lies between them.
pub(crate) struct Pair {
    pub(crate) client: Machine,
    pub(crate) server: Machine,
    pub(crate) network: Network,
    pub(crate) now: Time,
    room: Vec<u8>,
    /// What the endpoints allocated while they took datagrams in and wrote others.
    pub(crate) allocations: u64,
}

impl Pair {
    pub(crate) fn new(network: Network) -> Self {
        Self::with(network, config())
    }

    pub(crate) fn with(network: Network, config: SessionConfig) -> Self {
        Self::admitting(network, config, &[1])
    }

    pub(crate) fn admitting(network: Network, config: SessionConfig, admits: &[u8]) -> Self {
        Self {
            client: Machine::new(1, None, config.clone()),
            server: Machine::new(2, Some(server(2, admits)), config),
            network,
            now: Time::default(),
            room: vec![0; 65_535],
            allocations: 0,
        }
    }

    /// A pair with a session.
    pub(crate) fn connected(network: Network) -> Self {
        let mut pair = Self::new(network);
        pair.connect(client(1, 2), config());
        pair.run(Duration::from_secs(20), |pair| {
            pair.client.established.is_some() && pair.server.established.is_some()
        });
        assert!(pair.client.established.is_some(), "{:?}", pair.client.closed);
        pair
    }

    pub(crate) fn connect(&mut self, tls: Arc<ClientConfig>, config: SessionConfig) {
        let addr = self.server.addr;
        self.client.endpoint.connect(addr, tls, config, self.now).expect("a good configuration");
    }

    /// Goes on until nothing is left to do, the time is over, or enough has happened; whether it has.
    pub(crate) fn run(&mut self, at_most: Duration, is_enough: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + at_most;
        loop {
            self.exchange();
            if is_enough(self) {
                return true;
            }
            let next = [self.client.deadline(self.now), self.server.deadline(self.now), self.network.next()];
            let Some(next) = next.into_iter().flatten().min().filter(|next| *next < end) else {
                self.now = end;
                return is_enough(self);
            };
            self.now = self.now.max(next);
            self.client.expire(self.now);
            self.server.expire(self.now);
        }
    }

    /// What lies in the network for now arrives, and what is to be said is said.
    pub(crate) fn exchange(&mut self) {
        while let Some((from, to, datagram)) = self.network.arrive(self.now) {
            let machine = if to == self.client.addr { &mut self.client } else { &mut self.server };
            counting(&mut self.allocations, || machine.arrived(from, datagram, self.now));
        }
        for machine in [&mut self.client, &mut self.server].into_iter().filter(|machine| !machine.is_asleep) {
            machine.take_events();
            let its_now = self.now + machine.ahead;
            while let Some(transmit) =
                counting(&mut self.allocations, || machine.endpoint.transmit(its_now, &mut self.room))
            {
                machine.batches.push(transmit.len.div_ceil(transmit.segment));
                for datagram in self.room[..transmit.len].chunks(transmit.segment) {
                    self.network.send(machine.addr, transmit.to, datagram.to_vec(), self.now);
                }
            }
            machine.take_events();
        }
    }
}

thread_local! {
    /// Allocations of this thread while they are counted, where the allocator counts.
    pub(crate) static COUNTED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Does something and counts what it allocates.
fn counting<T>(count: &mut u64, work: impl FnOnce() -> T) -> T {
    COUNTED.set(Some(0));
    let done = work();
    *count += COUNTED.take().unwrap_or_default();
    done
}

/// Bytes that differ from place to place.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&len.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
