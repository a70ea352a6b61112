//! The TLS 1.3 handshake of one session, carried in INIT and RESP packets.
//!
//! ```text
//! INIT, clear    sender's session 4 │ cookie length 1 │ cookie │ offset 2 │ length 2 │ bytes │ zeros to 1,200
//! RESP, clear    sender's session 4 │ offset 2 │ length 2 │ bytes
//! either, sealed                      offset 2 │ length 2 │ bytes
//! ```
//!
//! TLS messages travel at two levels: ClientHello and ServerHello clear, the rest sealed under the keys those
//! two agree on. Each level is one run of bytes cut into datagrams. A flight is sent again as a whole until
//! something comes that answers it; there are no acknowledgements.

use crate::header::{AAD_LEN, HEADER_LEN, Header, Kind, TAG_LEN, flag};
use crate::keys::seal;
use crate::limits::{DATAGRAM_BYTES_MIN, HANDSHAKE_BYTES_MAX};
use rustls::quic::{Connection, KeyChange, Keys, Secrets};

/// How far TLS has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Until both hellos were seen.
    Clear,
    /// Until both have finished.
    Sealed,
    /// The keys for frames are there.
    Data,
}

/// The handshake failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The other side's key is not the one expected, or not admitted.
    #[error("the other side's key was not accepted")]
    Key,
    /// No version, suite or key exchange in common.
    #[error("the other side speaks another protocol")]
    Incompatible,
    /// What it sent is no handshake.
    #[error("the handshake is malformed")]
    Malformed,
}

/// A clear INIT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InitPayload<'a> {
    pub(crate) session: u32,
    pub(crate) cookie: &'a [u8],
    pub(crate) piece: Crypto<'a>,
}

/// Some bytes of one level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crypto<'a> {
    pub(crate) offset: usize,
    pub(crate) bytes: &'a [u8],
}

/// Bytes of a level as they come.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    bytes: Vec<u8>,
    /// Pieces behind a gap: at most one, because flights are short.
    ahead: Option<(usize, Vec<u8>)>,
    taken: usize,
}

/// One side's handshake.
pub(crate) struct Handshake {
    tls: Connection,
    /// What TLS has written, by level.
    flights: [Vec<u8>; 2],
    writes: Level,
    came: [Assembly; 2],
    keys: Option<Keys>,
    data: Option<(Keys, Secrets)>,
    /// Numbers of the packets sealed so far.
    number: u32,
}

impl<'a> InitPayload<'a> {
    pub(crate) fn read(payload: &'a [u8]) -> Option<Self> {
        let (session, rest) = payload.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first()?;
        let (cookie, rest) = rest.split_at_checked(usize::from(*len))?;
        Some(Self { session: u32::from_be_bytes(*session), cookie, piece: Crypto::read(rest)? })
    }
}

impl<'a> Crypto<'a> {
    /// Reads a piece; what follows it is padding.
    pub(crate) fn read(payload: &'a [u8]) -> Option<Self> {
        let (offset, rest) = payload.split_first_chunk::<2>()?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let bytes = rest.get(..usize::from(u16::from_be_bytes(*len)))?;
        Some(Self { offset: usize::from(u16::from_be_bytes(*offset)), bytes })
    }
}

impl Assembly {
    /// Takes in a piece; whether it brought something new.
    pub(crate) fn take(&mut self, piece: Crypto<'_>) -> Result<bool, HandshakeError> {
        if piece.offset + piece.bytes.len() > HANDSHAKE_BYTES_MAX {
            return Err(HandshakeError::Malformed);
        }
        if piece.offset > self.bytes.len() {
            let is_new = self.ahead.as_ref().is_none_or(|(offset, _)| *offset != piece.offset);
            self.ahead = Some((piece.offset, piece.bytes.to_vec()));
            return Ok(is_new);
        }
        let before = self.bytes.len();
        self.append(piece.offset, piece.bytes);
        if let Some((offset, bytes)) = self.ahead.take() {
            if offset <= self.bytes.len() {
                self.append(offset, &bytes);
            } else {
                self.ahead = Some((offset, bytes));
            }
        }
        Ok(self.bytes.len() > before)
    }

    fn append(&mut self, offset: usize, bytes: &[u8]) {
        if let Some(fresh) = bytes.get(self.bytes.len() - offset..) {
            self.bytes.extend_from_slice(fresh);
        }
    }

    /// Everything in order so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes held, in order or not.
    #[cfg(feature = "probe")]
    pub(crate) fn held(&self) -> usize {
        self.bytes.len() + self.ahead.as_ref().map_or(0, |(_, bytes)| bytes.len())
    }

    /// Whether a whole TLS handshake message is there: its first four bytes say how long it is.
    pub(crate) fn has_message(&self) -> bool {
        let Some([_, a, b, c]) = self.bytes.first_chunk::<4>() else { return false };
        self.bytes.len() >= 4 + (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c))
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let fresh = self.bytes.get(self.taken..).filter(|fresh| !fresh.is_empty())?.to_vec();
        self.taken = self.bytes.len();
        Some(fresh)
    }
}

impl Handshake {
    /// Begins; the client's first flight is written.
    pub(crate) fn new(tls: Connection) -> Self {
        let mut handshake = Self {
            tls,
            flights: [Vec::new(), Vec::new()],
            writes: Level::Clear,
            came: [Assembly::default(), Assembly::default()],
            keys: None,
            data: None,
            number: 0,
        };
        handshake.write();
        handshake
    }

    /// Everything TLS has to say now, each part at its level. To be called after every read, or the next
    /// level's keys are missing when the next datagram comes.
    fn write(&mut self) {
        loop {
            let mut bytes = Vec::new();
            let change = self.tls.write_hs(&mut bytes);
            let is_done = bytes.is_empty() && change.is_none();
            match self.writes {
                Level::Clear => self.flights[0].extend(bytes),
                Level::Sealed => self.flights[1].extend(bytes),
                // Tickets are switched off; nothing else is said after the handshake.
                Level::Data => {}
            }
            match change {
                Some(KeyChange::Handshake { keys }) => {
                    (self.keys, self.writes) = (Some(keys), Level::Sealed);
                }
                Some(KeyChange::OneRtt { keys, next }) => {
                    (self.data, self.writes) = (Some((keys, next)), Level::Data);
                }
                None => {}
            }
            if is_done {
                return;
            }
        }
    }

    /// Takes in bytes of a level; whether they brought something new.
    pub(crate) fn read(&mut self, level: Level, piece: Crypto<'_>) -> Result<bool, HandshakeError> {
        let came = &mut self.came[usize::from(level == Level::Sealed)];
        let is_new = came.take(piece)?;
        while let Some(bytes) = self.came[usize::from(level == Level::Sealed)].next() {
            self.tls.read_hs(&bytes).map_err(|error| judge(&error))?;
            self.write();
        }
        Ok(is_new)
    }

    /// Opens a sealed handshake packet in place.
    pub(crate) fn open<'a>(&self, header: &Header, aad: &[u8], payload: &'a mut [u8]) -> Option<&'a [u8]> {
        let keys = self.keys.as_ref()?;
        keys.remote.packet.decrypt_in_place(header.seq.into(), aad, payload).ok()
    }

    /// The number of the packet that was written last.
    pub(crate) const fn last_number(&self) -> u32 {
        self.number
    }

    /// Whether the other side has to be answered no more: TLS is through.
    pub(crate) fn is_finished(&self) -> bool {
        !self.tls.is_handshaking()
    }

    /// Whether the keys for sealed handshake packets are there: then the clear flight was answered.
    pub(crate) const fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// The keys for frames, once; they come before the other side has finished.
    pub(crate) fn take_data_keys(&mut self) -> Option<(Keys, Secrets)> {
        self.data.take()
    }

    /// What the other side says of itself.
    pub(crate) fn params(&self) -> Option<&[u8]> {
        self.tls.quic_transport_parameters()
    }

    /// The key the other side proved to hold, as it showed it.
    pub(crate) fn peer_key(&self) -> Option<Vec<u8>> {
        Some(self.tls.peer_certificates()?.first()?.as_ref().to_vec())
    }

    /// Writes one level's flight as datagrams, from an offset on, into `out`; the bytes of the datagram and
    /// the next offset. `None` when nothing is left.
    pub(crate) fn datagram(
        &mut self,
        flight: &Flight<'_>,
        offset: usize,
        out: &mut [u8],
    ) -> Option<(usize, usize)> {
        let is_sealed = flight.level == Level::Sealed;
        let bytes = &self.flights[usize::from(is_sealed)];
        if offset >= bytes.len() || (is_sealed && self.keys.is_none()) {
            return None;
        }
        let mut payload = Vec::with_capacity(DATAGRAM_BYTES_MIN);
        if !is_sealed {
            payload.extend(flight.local.to_be_bytes());
            if flight.kind == Kind::Init {
                payload.push(
                    u8::try_from(flight.cookie.len()).expect("a cookie has 20 bytes, or there is none"),
                );
                payload.extend(flight.cookie);
            }
        }
        let tag = if is_sealed { TAG_LEN } else { 0 };
        let room = DATAGRAM_BYTES_MIN - HEADER_LEN - payload.len() - 4 - tag;
        let piece = &bytes[offset..(offset + room).min(bytes.len())];
        payload.extend((offset as u16).to_be_bytes());
        payload.extend((piece.len() as u16).to_be_bytes());
        payload.extend(piece);
        let next = offset + piece.len();
        if flight.kind == Kind::Init && !is_sealed {
            payload.resize(DATAGRAM_BYTES_MIN - HEADER_LEN, 0);
        }
        payload.resize(payload.len() + tag, 0);
        let packet = out.get_mut(..HEADER_LEN + payload.len())?;
        packet[HEADER_LEN..].copy_from_slice(&payload);
        if is_sealed {
            self.seal_packet(flight.kind, flight.remote, packet)?;
        } else {
            self.number += 1;
            let header =
                Header { kind: flight.kind, flags: 0, session: flight.remote, seq: self.number, ack: 0 };
            packet[..HEADER_LEN].copy_from_slice(&header.open_bytes(payload.len()));
            header.write_crc(packet);
        }
        Some((packet.len(), next))
    }

    /// Writes the header of a packet under the handshake's keys and seals it, room for its tag included.
    pub(crate) fn seal_packet(&mut self, kind: Kind, remote: u32, packet: &mut [u8]) -> Option<()> {
        let keys = self.keys.as_ref()?;
        self.number += 1;
        let header = Header { kind, flags: flag::SEALED, session: remote, seq: self.number, ack: 0 };
        let payload_len = packet.len().checked_sub(HEADER_LEN)?;
        packet.get_mut(..HEADER_LEN)?.copy_from_slice(&header.open_bytes(payload_len));
        seal(&*keys.local.packet, self.number.into(), packet);
        header.write_crc(packet);
        Some(())
    }
}

/// Which flight is written, and to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight<'a> {
    pub(crate) kind: Kind,
    pub(crate) level: Level,
    pub(crate) local: u32,
    pub(crate) remote: u32,
    pub(crate) cookie: &'a [u8],
}

/// The authenticated part of a packet's header, as it stands in the datagram, with the bit that a relay sets
/// cleared.
pub(crate) fn aad(datagram: &[u8]) -> [u8; AAD_LEN] {
    *datagram.first_chunk().expect("the header was read from it")
}

fn judge(error: &rustls::Error) -> HandshakeError {
    use rustls::{AlertDescription as Alert, Error};
    match error {
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => HandshakeError::Key,
        Error::AlertReceived(
            Alert::AccessDenied
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateRequired,
        ) => HandshakeError::Key,
        Error::PeerIncompatible(_) | Error::AlertReceived(_) | Error::NoApplicationProtocol => {
            HandshakeError::Incompatible
        }
        _ => HandshakeError::Malformed,
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").field("writes", &self.writes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_level_come_in_any_order() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.take(Crypto { offset: 3, bytes: b"lo" }), Ok(true));
        assert_eq!(assembly.take(Crypto { offset: 3, bytes: b"lo" }), Ok(false), "a repeat");
        assert_eq!(assembly.take(Crypto { offset: 0, bytes: b"hel" }), Ok(true));
        assert_eq!(assembly.bytes(), b"hello");
        assert_eq!(assembly.take(Crypto { offset: 1, bytes: b"ell" }), Ok(false));
        let far = Crypto { offset: HANDSHAKE_BYTES_MAX, bytes: b"x" };
        assert_eq!(assembly.take(far), Err(HandshakeError::Malformed));
    }
}
