//! Links over quinn, and a raw quinn peer with its own TLS set-up.
//!
//! The raw peer does not use the crate's TLS module: it is what a stranger would write.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use freehold_net::{Accept, Endpoint, Identity, LinkConfig, PeerKey, Transport};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme, version};

use crate::kit::{Kind, RawLane, RawLink, RawServer, RawTls};

const ALPN: &[u8] = b"freehold-quic/1";

/// The kind.
pub(crate) struct Quic;

impl Kind for Quic {
    type Raw = QuicRaw;
    type RawServer = QuicRawServer;

    fn bind_at(addr: SocketAddr, seed: u8, accept: Accept, config: LinkConfig) -> Endpoint {
        let config = LinkConfig { transport: Transport::Quic, ..config };
        Endpoint::bind(addr, Identity::from_seed(&[seed; 32]), accept, config).expect("a free port")
    }

    async fn raw_connect(addr: SocketAddr, _server: PeerKey, tls: RawTls) -> Result<QuicRaw, String> {
        let quic = QuicClientConfig::with_initial(client_tls(tls, ALPN), initial()).expect("fits QUIC");
        let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let connecting = endpoint.connect_with(quinn::ClientConfig::new(Arc::new(quic)), addr, "x");
        connecting.expect("a good address").await.map(QuicRaw).map_err(|error| error.to_string())
    }

    fn raw_listen(_seed: u8, tls: RawTls) -> QuicRawServer {
        let quic = QuicServerConfig::with_initial(server_tls(tls, ALPN), initial()).expect("fits QUIC");
        let config = quinn::ServerConfig::with_crypto(Arc::new(quic));
        QuicRawServer(quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).expect("a free port"))
    }
}

pub(crate) struct QuicRaw(quinn::Connection);
pub(crate) struct QuicRawServer(quinn::Endpoint);
pub(crate) struct QuicLane(quinn::SendStream, quinn::RecvStream);

impl RawServer for QuicRawServer {
    type Link = QuicRaw;

    fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("a bound socket has an address")
    }

    async fn accept(&self) -> Option<QuicRaw> {
        self.0.accept().await?.await.ok().map(QuicRaw)
    }
}

impl RawLink for QuicRaw {
    type Lane = QuicLane;

    async fn say_hello(&self, bytes: &[u8]) {
        let mut stream = self.0.open_uni().await.expect("room for a hello");
        // The other side may refuse in the middle; the tests look at how it closes.
        let _ = stream.write_all(bytes).await;
        let _ = stream.finish();
    }

    async fn open_lane(&self) -> QuicLane {
        let (send, receive) = self.0.open_bi().await.expect("room for a lane");
        QuicLane(send, receive)
    }

    async fn next_lane(&self) -> Option<QuicLane> {
        self.0.accept_bi().await.ok().map(|(send, receive)| QuicLane(send, receive))
    }

    async fn close_code(&self) -> Option<u64> {
        match self.0.closed().await {
            quinn::ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
            _ => None,
        }
    }
}

impl RawLane for QuicLane {
    async fn write(&mut self, bytes: &[u8]) {
        // The other side may stop listening at any point.
        let _ = self.0.write_all(bytes).await;
    }

    async fn offer(&mut self, bytes: &[u8]) -> usize {
        self.0.write(bytes).await.expect("the other side listens")
    }

    fn end(&mut self) {
        let _ = self.0.finish();
    }

    async fn read_all(&mut self) -> Result<Vec<u8>, String> {
        self.1.read_to_end(1 << 20).await.map_err(|error| error.to_string())
    }
}

fn initial() -> rustls::quic::Suite {
    let suite = cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite());
    suite.expect("every QUIC stack has it")
}

fn provider(tls: RawTls) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = match tls {
        RawTls::Classical(_) => vec![kx_group::X25519],
        RawTls::Good(_) | RawTls::Anonymous => vec![kx_group::X25519MLKEM768],
    };
    Arc::new(provider)
}

fn certified(seed: u8) -> Arc<CertifiedKey> {
    let pkcs8 =
        [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..], &[seed; 32]].concat();
    let key = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8)).expect("a good seed");
    let spki = key.public_key().expect("a public half").to_vec();
    Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], key))
}

/// The TLS of a raw client: it believes any server.
pub(crate) fn client_tls(tls: RawTls, alpn: &[u8]) -> Arc<rustls::ClientConfig> {
    let builder = rustls::ClientConfig::builder_with_provider(provider(tls))
        .with_protocol_versions(&[&version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let mut config = match tls {
        RawTls::Good(seed) | RawTls::Classical(seed) => builder.with_client_cert_resolver(Arc::new(
            rustls::client::AlwaysResolvesClientRawPublicKeys::new(certified(seed)),
        )),
        RawTls::Anonymous => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

/// The TLS of a raw server: it believes any client.
pub(crate) fn server_tls(tls: RawTls, alpn: &[u8]) -> Arc<rustls::ServerConfig> {
    let (RawTls::Good(seed) | RawTls::Classical(seed)) = tls else { panic!("a server always has a key") };
    let mut config = rustls::ServerConfig::builder_with_provider(provider(tls))
        .with_protocol_versions(&[&version::TLS13])
        .expect("TLS 1.3")
        .with_client_cert_verifier(Arc::new(Credulous))
        .with_cert_resolver(Arc::new(rustls::server::AlwaysResolvesServerRawPublicKeys::new(certified(
            seed,
        ))));
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

/// Believes everybody.
#[derive(Debug)]
struct Credulous;

impl Credulous {
    fn check(
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(shown.as_ref()),
            signature,
            &algorithms,
        )
    }
}

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::check(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Credulous {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::check(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
