//! The QUIC carrier: one bidirectional stream is one lane, stream priority is urgency.
//!
//! A client counts as connected only once the other side's hello has come: in TLS 1.3 a client
//! finishes its handshake before the server has judged its key, so quinn's `connect` succeeds even
//! for a key that is about to be refused (measured). The hello is the first thing a server says
//! after that judgement.

use bytes::{Bytes, BytesMut};
use freehold_model::codec;
use quinn::{ConnectionError, ReadError, ReadExactError, TransportErrorCode, VarInt, WriteError};
use rustls::pki_types::CertificateDer;

use super::carrier::{CloseCode, Rx, Tx, TxError};
use super::{LinkError, Piece};
use crate::identity::PeerKey;
use crate::limits::PIECE_BYTES;
use crate::wire::{Class, Hello, RefusalCode};

/// Protocol name in the handshake; FHP has its own, so that neither's flights fit the other.
pub(crate) const ALPN: &[u8] = b"freehold-quic/1";

/// Buffers taken from quinn at once; about 1.4 KiB each on a usual path.
const CHUNKS_AT_ONCE: usize = PIECE_BYTES / 1_400;

/// A quinn connection with hellos exchanged.
#[derive(Debug)]
pub(crate) struct QuicCarrier(quinn::Connection);

/// Sending half of a stream.
#[derive(Debug)]
pub(crate) struct QuicTx {
    stream: quinn::SendStream,
    ended: bool,
}

/// Receiving half of a stream.
#[derive(Debug)]
pub(crate) struct QuicRx {
    stream: quinn::RecvStream,
    /// Part of the ordered head that has come.
    partial: BytesMut,
    /// Body bytes delivered.
    offset: u64,
    ended: bool,
}

impl QuicCarrier {
    /// Says our hello, waits for theirs.
    pub(crate) async fn greet(
        connection: quinn::Connection,
        ours: &Hello,
    ) -> Result<(Self, Hello), LinkError> {
        let say = async {
            let mut stream = connection.open_uni().await.map_err(link_error)?;
            stream.write_all(&codec::to_vec(ours)).await.map_err(|error| match error {
                WriteError::ConnectionLost(error) => link_error(error),
                _ => LinkError::Protocol("the hello was refused"),
            })?;
            stream.finish().map_err(|_| LinkError::Closed)
        };
        let ((), theirs) = tokio::try_join!(say, hear_hello(&connection))?;
        Ok((Self(connection), theirs))
    }

    /// Key the other side proved to hold.
    pub(crate) fn peer_key(connection: &quinn::Connection) -> Option<PeerKey> {
        let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        PeerKey::from_spki(shown.first()?)
    }

    pub(crate) async fn open(&self) -> Result<(Tx, Rx), LinkError> {
        self.0.open_bi().await.map(lane).map_err(link_error)
    }

    pub(crate) async fn accept(&self) -> Result<(Tx, Rx), LinkError> {
        self.0.accept_bi().await.map(lane).map_err(link_error)
    }

    pub(crate) async fn closed(&self) -> LinkError {
        link_error(self.0.closed().await)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.close_reason().is_some()
    }

    pub(crate) fn admit(&self, window_bytes: u32) {
        self.0.set_receive_window(VarInt::from_u32(window_bytes));
    }

    pub(crate) fn close(&self, code: CloseCode) {
        close(&self.0, code);
    }
}

/// Ends a connection, also one that never became a link.
pub(crate) fn close(connection: &quinn::Connection, code: CloseCode) {
    connection.close(VarInt::from_u32(code as u32), b"");
}

async fn hear_hello(connection: &quinn::Connection) -> Result<Hello, LinkError> {
    let broken = |what| {
        close(connection, CloseCode::Protocol);
        LinkError::Protocol(what)
    };
    let mut stream = connection.accept_uni().await.map_err(link_error)?;
    // One byte more than a hello: the extra read must meet the end of the stream.
    let mut bytes = [0_u8; Hello::LEN];
    stream.read_exact(&mut bytes).await.map_err(|error| match error {
        ReadExactError::ReadError(ReadError::ConnectionLost(error)) => link_error(error),
        _ => broken("the hello is cut short"),
    })?;
    match stream.read(&mut [0]).await {
        Ok(None) => {
            codec::from_slice(&bytes).map_err(|_| broken("the hello is not of this protocol version"))
        }
        Err(ReadError::ConnectionLost(error)) => Err(link_error(error)),
        _ => Err(broken("the hello is too long")),
    }
}

fn lane((send, receive): (quinn::SendStream, quinn::RecvStream)) -> (Tx, Rx) {
    let tx = QuicTx { stream: send, ended: false };
    let rx = QuicRx { stream: receive, partial: BytesMut::new(), offset: 0, ended: false };
    (Tx::Quic(tx), Rx::Quic(rx))
}

impl QuicTx {
    pub(crate) fn set_class(&self, class: Class) {
        let priority = Class::ALL.len() as i32 - class as i32;
        // Fails only on a stream that is closed, and then nothing is left to order.
        let _ = self.stream.set_priority(priority);
    }

    pub(crate) async fn write_some(&mut self, bytes: &mut Bytes) -> Result<(), TxError> {
        match self.stream.write_chunks(std::slice::from_mut(bytes)).await {
            Ok(_) => Ok(()),
            Err(WriteError::ConnectionLost(error)) => Err(TxError::Link(link_error(error))),
            Err(_) => {
                self.ended = true;
                Err(TxError::Unwanted)
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        self.ended = true;
        // Fails only on a stream that is closed already.
        let _ = self.stream.finish();
    }

    pub(crate) fn reset(&mut self, code: RefusalCode) {
        self.ended = true;
        // Fails only on a stream that is closed already.
        let _ = self.stream.reset(VarInt::from_u32(code.0.into()));
    }

    pub(crate) fn unwanted(&self) -> impl Future<Output = ()> + Send + use<> {
        let stopped = self.stream.stopped();
        async move {
            // `Ok(None)`: everything was sent and acknowledged, so nobody can stop it any more.
            if let Ok(None) = stopped.await {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// quinn finishes a dropped stream; an unfinished message must never look whole.
impl Drop for QuicTx {
    fn drop(&mut self) {
        if !self.ended {
            self.reset(RefusalCode::CANCELLED);
        }
    }
}

impl QuicRx {
    pub(crate) async fn ordered(&mut self, len: usize) -> Result<Bytes, LinkError> {
        while self.partial.len() < len {
            let missing = len - self.partial.len();
            let chunk = self.stream.read_chunk(missing, true).await;
            match chunk.map_err(|error| self.read_error(error))? {
                Some(chunk) => self.partial.extend_from_slice(&chunk.bytes),
                None => return Err(LinkError::Protocol("a head is cut short")),
            }
        }
        Ok(self.partial.split_to(len).freeze())
    }

    pub(crate) async fn piece(&mut self) -> Result<Option<Piece>, LinkError> {
        let mut chunks: [Bytes; CHUNKS_AT_ONCE] = std::array::from_fn(|_| Bytes::new());
        let count = self.stream.read_chunks(&mut chunks).await;
        let Some(count) = count.map_err(|error| self.read_error(error))? else {
            self.ended = true;
            return Ok(None);
        };
        let bytes = join(chunks.get(..count).unwrap_or_default());
        let offset = self.offset;
        self.offset = offset.saturating_add(bytes.len() as u64);
        Ok(Some(Piece { offset, bytes }))
    }

    fn read_error(&mut self, error: ReadError) -> LinkError {
        match error {
            ReadError::Reset(code) => {
                self.ended = true;
                match RefusalCode(u16::try_from(code.into_inner()).unwrap_or(u16::MAX)) {
                    RefusalCode::CANCELLED => LinkError::Cancelled,
                    code => LinkError::Refused(code),
                }
            }
            ReadError::ConnectionLost(error) => link_error(error),
            ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => {
                LinkError::Closed
            }
        }
    }
}

impl Drop for QuicRx {
    fn drop(&mut self) {
        if !self.ended {
            // Fails only on a stream that is closed already.
            let _ = self.stream.stop(VarInt::from_u32(RefusalCode::CANCELLED.0.into()));
        }
    }
}

fn join(chunks: &[Bytes]) -> Bytes {
    if let [only] = chunks {
        return only.clone();
    }
    let mut joined = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    chunks.iter().for_each(|chunk| joined.extend_from_slice(chunk));
    joined.freeze()
}

/// What a lost connection means to a caller.
pub(crate) fn link_error(error: ConnectionError) -> LinkError {
    match error {
        ConnectionError::TransportError(error) => judge_alert(error.code, LinkError::WrongPeer),
        ConnectionError::ConnectionClosed(close) => judge_alert(close.error_code, LinkError::NotAdmitted),
        ConnectionError::ApplicationClosed(close) => match close.error_code.into_inner() {
            code if code == CloseCode::Protocol as u64 => LinkError::Protocol("says the other side of us"),
            _ => LinkError::Closed,
        },
        ConnectionError::VersionMismatch => LinkError::Incompatible,
        ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => LinkError::Closed,
    }
}

/// Reads the TLS alert out of a transport error code (RFC 9001 §4.8, RFC 8446 §6).
fn judge_alert(code: TransportErrorCode, key_refused: LinkError) -> LinkError {
    const CRYPTO_FIRST: u64 = 0x100;
    const CRYPTO_LAST: u64 = 0x1ff;
    match u64::from(code) {
        // bad_certificate to certificate_unknown, unknown_ca, access_denied, decrypt_error (a signature
        // that the shown key did not make), certificate_required.
        0x12a..=0x12e | 0x130 | 0x131 | 0x133 | 0x174 => key_refused,
        CRYPTO_FIRST..=CRYPTO_LAST => LinkError::Incompatible,
        _ if code == TransportErrorCode::CONNECTION_REFUSED => LinkError::Refused(RefusalCode::BUSY),
        _ if code == TransportErrorCode::NO_ERROR => LinkError::Closed,
        _ => LinkError::Protocol("a transport rule was broken"),
    }
}
