//! From the first datagram to a session.

use super::{Closed, Connecting, Event, Phase, Session, SessionConfig};
use crate::cookie::{COOKIE_LEN, TOKEN_LEN};
use crate::frame::{Frame, FrameWriter, Frames};
use crate::handshake::{Crypto, Flight, Handshake, HandshakeError, InitPayload, Level, aad};
use crate::header::{HEADER_LEN, Header, Kind, TAG_LEN, flag};
use crate::keys::DataKeys;
use crate::limits::{AMPLIFICATION_MAX, HANDSHAKE_RESEND, LANES_MAX};
use crate::mtu::PathSize;
use crate::params::Params;
use crate::sent::Control;
use crate::time::Time;
use crate::trace::TraceEvent;
use core::net::SocketAddr;
use freehold_model::codec::{from_slice, to_vec};
use rustls::pki_types::ServerName;
use rustls::quic::{ClientConnection, Connection, ServerConnection, Version};
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;

/// Offset by which a clear RESP says no instead of answering; its one byte is the code.
pub(crate) const REFUSED: u16 = u16::MAX;

/// Codes of a handshake that failed.
pub(crate) mod refusal {
    pub(crate) const KEY: u64 = 1;
    pub(crate) const INCOMPATIBLE: u64 = 2;
    pub(crate) const BUSY: u64 = 3;
    pub(crate) const MALFORMED: u64 = 4;
}

impl Session {
    /// Begins a session with the machine at an address.
    pub(crate) fn connect(
        config: SessionConfig,
        tls: Arc<ClientConfig>,
        (local, addr): (u32, SocketAddr),
        token: [u8; TOKEN_LEN],
        now: Time,
    ) -> Result<Self, rustls::Error> {
        let name = ServerName::try_from("freehold").expect("a fixed, valid name; it is never sent");
        let params = to_vec(&params(&config, token));
        let tls = ClientConnection::new(tls, Version::V1, name, params)?;
        let tls = Handshake::new(Connection::Client(tls));
        Ok(Self::new(true, config, (local, addr), tls, now))
    }

    /// Answers a newcomer whose hello is there.
    pub(crate) fn accept(
        config: SessionConfig,
        tls: Arc<ServerConfig>,
        (local, remote, addr): (u32, u32, SocketAddr),
        token: [u8; TOKEN_LEN],
        (came_bytes, is_proven): (u64, bool),
        now: Time,
    ) -> Result<Self, rustls::Error> {
        let tls = ServerConnection::new(tls, Version::V1, to_vec(&params(&config, token)))?;
        let tls = Handshake::new(Connection::Server(tls));
        let mut session = Self::new(false, config, (local, addr), tls, now);
        session.remote = remote;
        if let Phase::Connecting(connecting) = &mut session.phase {
            connecting.unproven = (!is_proven).then_some((came_bytes, 0));
        }
        Ok(session)
    }

    /// Takes in the newcomer's hello, whole.
    pub(crate) fn hello(&mut self, bytes: &[u8], now: Time) {
        self.crypto(Level::Clear, Crypto { offset: 0, bytes }, now);
    }

    /// Takes in a handshake packet.
    pub(super) fn handshake_packet(&mut self, header: &Header, datagram: &mut [u8], now: Time) {
        let expected = if self.is_client { Kind::Resp } else { Kind::Init };
        let len = datagram.len() as u64;
        let Phase::Connecting(connecting) = &mut self.phase else { return };
        if let Some((came, _)) = &mut connecting.unproven {
            *came += len;
        }
        if header.kind != expected {
            return;
        }
        let aad = aad(datagram);
        let payload = &mut datagram[HEADER_LEN..];
        if header.flags & flag::SEALED != 0 {
            let Some(content) = connecting.tls.open(header, &aad, payload) else { return };
            // Only who got the answer at its address has these keys.
            connecting.unproven = None;
            let content = content.to_vec();
            self.heard_at = now;
            if let Some(piece) = Crypto::read(&content) {
                self.crypto(Level::Sealed, piece, now);
            }
        } else if self.is_client {
            self.clear_answer(payload, now);
        } else if let Some(init) = InitPayload::read(payload) {
            self.crypto(Level::Clear, Crypto { offset: init.piece.offset, bytes: init.piece.bytes }, now);
        }
    }

    fn clear_answer(&mut self, payload: &[u8], now: Time) {
        let Some((session, rest)) = payload.split_first_chunk::<4>() else { return };
        let Some(piece) = Crypto::read(rest) else { return };
        if piece.offset == usize::from(REFUSED) {
            let code = piece.bytes.first().copied().unwrap_or_default();
            return self.end(refused(code.into()));
        }
        self.remote = u32::from_be_bytes(*session);
        self.crypto(Level::Clear, piece, now);
    }

    /// A cookie came: the hello goes out again with it. Anybody may have sent it, so nothing else is taken for one.
    pub(super) fn retry(&mut self, cookie: &[u8], now: Time) {
        if let Phase::Connecting(connecting) = &mut self.phase
            && self.is_client
            && cookie.len() == COOKIE_LEN
            && connecting.cookie.is_empty()
            && !connecting.tls.has_keys()
        {
            connecting.cookie = cookie.to_vec();
            connecting.flight = Some((0, 0));
            connecting.resend_at = now;
        }
    }

    fn crypto(&mut self, level: Level, piece: Crypto<'_>, now: Time) {
        let Phase::Connecting(connecting) = &mut self.phase else { return };
        let before = (connecting.tls.has_keys(), connecting.tls.is_finished());
        match connecting.tls.read(level, piece) {
            Ok(true) => {}
            // The other side repeats itself: it has not heard the answer.
            Ok(false) => {
                connecting.resend_at = connecting.resend_at.min(now + HANDSHAKE_RESEND / 4);
                return;
            }
            Err(error) => return self.failed(error, now),
        }
        let is_new_flight = (connecting.tls.has_keys(), connecting.tls.is_finished()) != before;
        if is_new_flight {
            connecting.flight = Some((0, 0));
            (connecting.tries, connecting.resend_at) = (0, now);
        }
        if let Some((keys, secrets)) = connecting.tls.take_data_keys() {
            self.keys = Some(DataKeys::new(keys, secrets, now));
        }
        self.finish_if_through(now);
    }

    /// A server is through when the client has finished; a client, once it hears the server under the keys
    /// for frames (see [`super::receive`]): before, it does not know whether its own key was admitted.
    fn finish_if_through(&mut self, now: Time) {
        let Phase::Connecting(connecting) = &self.phase else { return };
        if !self.is_client && connecting.tls.is_finished() && self.keys.is_some() {
            self.establish(now);
            self.lanes.say(Control::Ping);
        }
    }

    pub(super) fn establish(&mut self, now: Time) {
        let Phase::Connecting(connecting) = &self.phase else { return };
        let theirs = connecting.tls.params().and_then(|params| from_slice::<Params>(params).ok());
        let (Some(theirs), Some(key)) = (theirs, connecting.tls.peer_key()) else {
            return self.failed(HandshakeError::Malformed, now);
        };
        self.peer_token = Some(theirs.token);
        self.idle = self.config.idle.min(theirs.idle);
        self.size = PathSize::new(self.config.datagram_bytes.min(theirs.datagram_bytes).into());
        self.lanes.begin(theirs.lane_bytes, theirs.session_bytes, theirs.lanes.into());
        self.phase = Phase::Open;
        self.heard_at = now;
        self.note(now, TraceEvent::Established);
        self.events.push_back(Event::Established { key, hello: theirs.hello });
    }

    /// The handshake failed here. The other side is told why, once.
    fn failed(&mut self, error: HandshakeError, now: Time) {
        let Phase::Connecting(connecting) = &mut self.phase else { return };
        if connecting.failed.is_none() {
            connecting.failed = Some(match error {
                HandshakeError::Key => refusal::KEY,
                HandshakeError::Incompatible => refusal::INCOMPATIBLE,
                HandshakeError::Malformed => refusal::MALFORMED,
            });
            connecting.give_up = now;
            self.events.push_back(Event::Closed(Closed::Handshake(error)));
            self.note(now, TraceEvent::Closed(Closed::Handshake(error)));
        }
    }

    /// The other side said under the handshake's keys that it does not go on.
    pub(super) fn handshake_closed(&mut self, header: &Header, datagram: &mut [u8]) {
        let aad = aad(datagram);
        let Phase::Connecting(connecting) = &self.phase else { return };
        let Some(content) = connecting.tls.open(header, &aad, &mut datagram[HEADER_LEN..]) else { return };
        if let Some(Ok(Frame::Close { code })) = Frames::new(content, 0).next() {
            self.end(refused(code));
        }
    }

    /// The next datagram of the handshake, written to `out`; its length.
    pub(super) fn transmit_handshake(&mut self, now: Time, out: &mut [u8]) -> Option<usize> {
        let (local, remote, is_client) = (self.local, self.remote, self.is_client);
        let Phase::Connecting(connecting) = &mut self.phase else { return None };
        if let Some(code) = connecting.failed {
            let len = connecting.refuse(code, (local, remote), is_client, out);
            self.phase = Phase::Over;
            return len;
        }
        if connecting.flight.is_none() && now >= connecting.resend_at {
            connecting.flight = Some((0, 0));
        }
        let (clear, sealed) = connecting.flight?;
        let kind = if is_client { Kind::Init } else { Kind::Resp };
        let cookie = std::mem::take(&mut connecting.cookie);
        let flight = Flight { kind, level: Level::Clear, local, remote, cookie: &cookie };
        // A client's hello was answered once there are keys.
        let wants_clear = !is_client || !connecting.tls.has_keys();
        let written = connecting.next(wants_clear, (clear, sealed), flight, out);
        connecting.cookie = cookie;
        let Some((len, next)) = written else {
            connecting.flight = None;
            connecting.resend_at = now + HANDSHAKE_RESEND * 2_u32.pow(connecting.tries.min(5));
            connecting.tries += 1;
            return None;
        };
        if let Some((came, went)) = &mut connecting.unproven
            && !is_client
        {
            if *went + len as u64 > *came * AMPLIFICATION_MAX {
                // Until more comes from there.
                connecting.flight = None;
                connecting.resend_at = now + HANDSHAKE_RESEND;
                return None;
            }
            *went += len as u64;
        }
        connecting.flight = Some(next);
        Some(len)
    }
}

impl Connecting {
    fn next(
        &mut self,
        wants_clear: bool,
        (clear, sealed): (usize, usize),
        flight: Flight<'_>,
        out: &mut [u8],
    ) -> Option<(usize, (usize, usize))> {
        if wants_clear && let Some((len, next)) = self.tls.datagram(&flight, clear, out) {
            return Some((len, (next, sealed)));
        }
        let flight = Flight { level: Level::Sealed, ..flight };
        let (len, next) = self.tls.datagram(&flight, sealed, out)?;
        Some((len, (clear, next)))
    }

    /// Says that the handshake failed: under its keys where there are some. A client says nothing clear:
    /// nobody would know whose it is.
    fn refuse(
        &mut self,
        code: u64,
        (local, remote): (u32, u32),
        is_client: bool,
        out: &mut [u8],
    ) -> Option<usize> {
        if !self.tls.has_keys() {
            return if is_client { None } else { write_refusal(local, remote, code, out) };
        }
        let mut content = [0; 9];
        let mut frames = FrameWriter::new(&mut content);
        frames.small(&Frame::Close { code });
        let len = frames.len();
        self.tls.seal_close(remote, &content[..len], out)
    }
}

/// Writes a clear refusal; its length.
pub(crate) fn write_refusal(local: u32, remote: u32, code: u64, out: &mut [u8]) -> Option<usize> {
    let mut payload = [0; 9];
    payload[..4].copy_from_slice(&local.to_be_bytes());
    payload[4..6].copy_from_slice(&REFUSED.to_be_bytes());
    payload[6..8].copy_from_slice(&1_u16.to_be_bytes());
    payload[8] = u8::try_from(code).unwrap_or(u8::MAX);
    let header = Header { kind: Kind::Resp, flags: 0, session: remote, seq: 0, ack: 0 };
    let packet = out.get_mut(..HEADER_LEN + payload.len())?;
    packet[..HEADER_LEN].copy_from_slice(&header.open_bytes(payload.len()));
    packet[HEADER_LEN..].copy_from_slice(&payload);
    header.write_crc(packet);
    Some(packet.len())
}

impl Handshake {
    /// Writes a CLOSE under the handshake's keys; its length.
    fn seal_close(&mut self, remote: u32, content: &[u8], out: &mut [u8]) -> Option<usize> {
        let len = HEADER_LEN + content.len() + TAG_LEN;
        let packet = out.get_mut(..len)?;
        packet[HEADER_LEN..len - TAG_LEN].copy_from_slice(content);
        self.seal_packet(Kind::Close, remote, packet)?;
        Some(len)
    }
}

fn params(config: &SessionConfig, token: [u8; TOKEN_LEN]) -> Params {
    Params {
        lane_bytes: config.windows.lane_bytes,
        session_bytes: config.windows.session_bytes,
        lanes: u16::try_from(LANES_MAX).expect("a few hundred"),
        datagram_bytes: config.datagram_bytes,
        idle: config.idle,
        token,
        hello: config.hello.clone(),
    }
}

fn refused(code: u64) -> Closed {
    match code {
        refusal::KEY => Closed::Refused(HandshakeError::Key),
        refusal::BUSY => Closed::Busy,
        refusal::MALFORMED => Closed::Refused(HandshakeError::Malformed),
        _ => Closed::Refused(HandshakeError::Incompatible),
    }
}
