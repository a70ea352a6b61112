//! Each decoder by itself, for fuzz targets.
//!
//! A decoder here gives back what it read, written again, so that a target can compare the two. What an
//! honest side never seals is [`crate::Session::forge`]'s.

use crate::cookie::Minter;
use crate::frame::{Frame, FrameWriter, Frames, LANE_OVERHEAD_MAX, SMALL_FRAME_MAX};
use crate::handshake::{Assembly, Crypto, InitPayload};
use crate::limits::ACK_RUNS_MAX;
use crate::params::Params;
use crate::time::Time;
use core::net::SocketAddr;
use freehold_model::codec::{from_slice, to_vec};

pub use crate::session::forge::Held;

/// A packet's content as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Each frame in words.
    pub frames: Vec<String>,
    /// All of them written again.
    pub bytes: Vec<u8>,
    /// The runs that the last acknowledgement lists, each with the number behind it.
    pub acked: Vec<(u64, u64)>,
}

/// Reads a packet's content whose header acknowledges `largest`; `None` when it is malformed.
#[must_use]
pub fn read_frames(content: &[u8], largest: u64) -> Option<Reading> {
    let mut reading = Reading { frames: Vec::new(), bytes: Vec::new(), acked: Vec::new() };
    for frame in Frames::new(content, largest) {
        let frame = frame.ok()?;
        // Padding behind padding is the same padding.
        if frame == Frame::Padding && reading.frames.last().is_some_and(|last| *last == format!("{frame:?}"))
        {
            continue;
        }
        reading.frames.push(format!("{frame:?}"));
        reading.bytes.extend(write_frame(&frame));
        if let Frame::Ack(acked) = &frame {
            reading.acked = acked.arrived.iter().collect();
        }
    }
    Some(reading)
}

fn write_frame(frame: &Frame<'_>) -> Vec<u8> {
    let room = match frame {
        Frame::Lane { bytes, .. } => LANE_OVERHEAD_MAX + 4 + bytes.len() + 1,
        Frame::Ack(_) => 2 * SMALL_FRAME_MAX + 16 * (ACK_RUNS_MAX + 1),
        _ => SMALL_FRAME_MAX,
    };
    let mut room = vec![0; room];
    let mut out = FrameWriter::new(&mut room);
    match frame {
        Frame::Lane { lane, offset, fin, bytes } => {
            let place = out.lane(*lane, *offset, bytes.len(), *fin);
            place.expect("there is room").copy_from_slice(bytes);
        }
        Frame::Ack(acked) => out.ack(acked.delay_us, &acked.arrived),
        small => out.small(small),
    }
    let len = out.len();
    room.truncate(len);
    room
}

/// Reads the payload of a clear INIT, and writes it without the padding behind it.
#[must_use]
pub fn read_init(payload: &[u8]) -> Option<Vec<u8>> {
    let init = InitPayload::read(payload)?;
    let mut bytes = init.session.to_be_bytes().to_vec();
    bytes.push(u8::try_from(init.cookie.len()).expect("its length was one byte"));
    bytes.extend(init.cookie);
    bytes.extend(write_crypto(init.piece));
    Some(bytes)
}

/// Reads one piece of the handshake, and writes it without what follows it.
#[must_use]
pub fn read_crypto(payload: &[u8]) -> Option<Vec<u8>> {
    Crypto::read(payload).map(write_crypto)
}

fn write_crypto(piece: Crypto<'_>) -> Vec<u8> {
    let number = |number: usize| u16::try_from(number).expect("it was read from two bytes").to_be_bytes();
    [&number(piece.offset)[..], &number(piece.bytes.len()), piece.bytes].concat()
}

/// Gathers pieces of a handshake, as long as they are taken: what stands in order, and how many bytes are held.
#[must_use]
pub fn gather(pieces: &[(usize, &[u8])]) -> (Vec<u8>, usize) {
    let mut assembly = Assembly::default();
    for (offset, bytes) in pieces {
        if assembly.take(Crypto { offset: *offset, bytes }).is_err() {
            break;
        }
    }
    (assembly.bytes().to_vec(), assembly.held())
}

/// Reads what a side says of itself, and writes it again.
#[must_use]
pub fn read_params(bytes: &[u8]) -> Option<Vec<u8>> {
    from_slice::<Params>(bytes).ok().map(|params| to_vec(&params))
}

/// The cookie that an endpoint with this secret gives a newcomer.
#[must_use]
pub fn cookie(secret: &[u8; 32], (addr, session): (SocketAddr, u32), now: Time) -> Vec<u8> {
    Minter::new(secret).cookie(addr, session, now).to_vec()
}

/// Whether an endpoint with this secret takes the cookie from a newcomer.
#[must_use]
pub fn is_cookie(secret: &[u8; 32], cookie: &[u8], (addr, session): (SocketAddr, u32), now: Time) -> bool {
    Minter::new(secret).is_good(cookie, addr, session, now)
}
