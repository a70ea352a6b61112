//! The framing of requests over a link, independent of what carries the link.
//!
//! Each side says one [`Hello`] when a link comes up: its protocol version and what it is willing
//! to receive. A request is a fixed [`RequestHead`], the head bytes it announces, then the body; a
//! response is a fixed [`ResponseHead`], head bytes, body. Bodies travel as pieces that name their
//! own offset, so that a carrier without ordered streams can deliver them as they arrive;
//! [`BodyMeter`] checks the pieces against the announced length and the granted credit.
//!
//! ```text
//! Hello         magic "FHLK" 4 · version 2 · max_in_flight 2 · max_head_bytes 4 · max_body_bytes 8   = 20
//! RequestHead   version 1 · class 1 · method 2 · credit_bytes 8 · body_bytes 8 · head_bytes 4        = 24
//! ResponseHead  version 1 · verdict 1 · code 2 · body_bytes 8 · head_bytes 4                         = 16
//! ```
//!
//! Everything is big-endian. `body_bytes` of all ones means "until the sender ends it".

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};

use crate::limits::HEAD_BYTES_MAX;

/// Version of this framing.
pub const LINK_VERSION: u16 = 1;

const MAGIC: &[u8; 4] = b"FHLK";
const FRAME_VERSION: u8 = 1;
const OPEN_ENDED: u64 = u64::MAX;

/// Urgency of a request and of its response; a more urgent one overtakes on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Link and session upkeep: tiny, never waits.
    Control = 0,
    /// A program is blocked in `read(2)` on the mount.
    MountRead = 1,
    /// Records, commits, capabilities.
    Metadata = 2,
    /// Uploads and wanted downloads.
    Bulk = 3,
    /// Repair, prefetch, scrubbing.
    Background = 4,
}

impl Class {
    /// Every class, the most urgent first.
    pub const ALL: [Self; 5] = [Self::Control, Self::MountRead, Self::Metadata, Self::Bulk, Self::Background];

    /// Whether requests of this class use the share of slots kept from bulk work.
    #[must_use]
    pub const fn is_urgent(self) -> bool {
        matches!(self, Self::Control | Self::MountRead)
    }

    fn from_wire(byte: u8) -> Result<Self, DecodeError> {
        Self::ALL.into_iter().find(|class| *class as u8 == byte).ok_or(DecodeError::Unknown("request class"))
    }
}

/// Why the other side said no: its own codes below [`RefusalCode::LINK_FIRST`], the link's above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefusalCode(pub u16);

impl RefusalCode {
    /// First code reserved for the link itself; handlers use the ones below it, from 1.
    pub const LINK_FIRST: u16 = 0xff00;
    /// The sender of the message gave it up; read as `Cancelled`.
    pub const CANCELLED: Self = Self(0xff00);
    /// The other side takes no requests on this link.
    pub const NOT_SERVING: Self = Self(0xff01);
    /// The method is not one the other side knows.
    pub const UNKNOWN_METHOD: Self = Self(0xff02);
    /// The request body is larger than the other side accepts.
    pub const BODY_TOO_BIG: Self = Self(0xff03);
    /// The response would be larger than the credit of the request.
    pub const OVER_CREDIT: Self = Self(0xff04);
    /// The other side serves as many links or requests as it can.
    pub const BUSY: Self = Self(0xff05);
    /// The other side failed; the same request may work later.
    pub const INTERNAL: Self = Self(0xff06);
}

impl std::fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match *self {
            Self::CANCELLED => "request given up",
            Self::NOT_SERVING => "takes no requests",
            Self::UNKNOWN_METHOD => "unknown method",
            Self::BODY_TOO_BIG => "request body too big",
            Self::OVER_CREDIT => "response over credit",
            Self::BUSY => "busy",
            Self::INTERNAL => "internal failure",
            Self(code) => return write!(f, "code {code}"),
        };
        f.write_str(text)
    }
}

/// What one side says first on a new link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version of the framing, [`LINK_VERSION`].
    pub version: u16,
    /// Requests the sender takes at once; 0 = it takes none.
    pub max_in_flight: u16,
    /// Bytes of a head the sender takes.
    pub max_head_bytes: u32,
    /// Bytes of a request body the sender takes.
    pub max_body_bytes: u64,
}

impl Hello {
    /// Bytes of the encoding.
    pub const LEN: usize = 20;
}

impl Encode for Hello {
    fn encode(&self, out: &mut Writer) {
        out.raw(MAGIC)
            .u16(self.version)
            .u16(self.max_in_flight)
            .u32(self.max_head_bytes)
            .u64(self.max_body_bytes);
    }
}

impl Decode for Hello {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(MAGIC, "link magic")?;
        let version = input.u16()?;
        if version != LINK_VERSION {
            return Err(DecodeError::Unknown("link version"));
        }
        Ok(Self {
            version,
            max_in_flight: input.u16()?,
            max_head_bytes: input.u32()?,
            max_body_bytes: input.u64()?,
        })
    }
}

/// The fixed part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Urgency of the request and its response.
    pub class: Class,
    /// What is asked for; the numbers belong to the peer protocol.
    pub method: u16,
    /// Bytes of response body the sender is willing to receive.
    pub credit_bytes: u64,
    /// Bytes of the body that follows; `None` = until it ends.
    pub body_bytes: Option<u64>,
    /// Bytes of the head that follows, at most [`HEAD_BYTES_MAX`].
    pub head_bytes: u32,
}

impl RequestHead {
    /// Bytes of the encoding.
    pub const LEN: usize = 24;
}

impl Encode for RequestHead {
    fn encode(&self, out: &mut Writer) {
        out.u8(FRAME_VERSION).u8(self.class as u8).u16(self.method).u64(self.credit_bytes);
        out.u64(self.body_bytes.unwrap_or(OPEN_ENDED)).u32(self.head_bytes);
    }
}

impl Decode for RequestHead {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        frame_version(input)?;
        Ok(Self {
            class: Class::from_wire(input.u8()?)?,
            method: input.u16()?,
            credit_bytes: input.u64()?,
            body_bytes: body_bytes(input)?,
            head_bytes: head_bytes(input)?,
        })
    }
}

/// Whether a response grants or refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Head and body answer the request.
    Granted,
    /// The request was refused for this reason; nothing follows.
    Refused(RefusalCode),
}

/// The fixed part of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Yes or no.
    pub verdict: Verdict,
    /// Bytes of the body that follows; `None` = until it ends.
    pub body_bytes: Option<u64>,
    /// Bytes of the head that follows, at most [`HEAD_BYTES_MAX`].
    pub head_bytes: u32,
}

impl ResponseHead {
    /// Bytes of the encoding.
    pub const LEN: usize = 16;

    /// A refusal, which carries neither head nor body.
    #[must_use]
    pub const fn refusal(code: RefusalCode) -> Self {
        Self { verdict: Verdict::Refused(code), body_bytes: Some(0), head_bytes: 0 }
    }
}

impl Encode for ResponseHead {
    fn encode(&self, out: &mut Writer) {
        let (verdict, code) = match self.verdict {
            Verdict::Granted => (0, 0),
            Verdict::Refused(code) => (1, code.0),
        };
        out.u8(FRAME_VERSION).u8(verdict).u16(code);
        out.u64(self.body_bytes.unwrap_or(OPEN_ENDED)).u32(self.head_bytes);
    }
}

impl Decode for ResponseHead {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        frame_version(input)?;
        let verdict = match (input.u8()?, input.u16()?) {
            (0, 0) => Verdict::Granted,
            (1, code) if code != 0 => Verdict::Refused(RefusalCode(code)),
            _ => return Err(DecodeError::Invalid("response verdict")),
        };
        let head = Self { verdict, body_bytes: body_bytes(input)?, head_bytes: head_bytes(input)? };
        if verdict != Verdict::Granted && (head.body_bytes != Some(0) || head.head_bytes != 0) {
            return Err(DecodeError::Invalid("refusal with a body"));
        }
        Ok(head)
    }
}

fn frame_version(input: &mut Reader<'_>) -> Result<(), DecodeError> {
    if input.u8()? == FRAME_VERSION { Ok(()) } else { Err(DecodeError::Unknown("frame version")) }
}

fn body_bytes(input: &mut Reader<'_>) -> Result<Option<u64>, DecodeError> {
    Ok(Some(input.u64()?).filter(|len| *len != OPEN_ENDED))
}

fn head_bytes(input: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let len = input.u32()?;
    if usize::try_from(len).is_ok_and(|len| len <= HEAD_BYTES_MAX) {
        Ok(len)
    } else {
        Err(DecodeError::TooLong)
    }
}

/// Checks the pieces of one body, in any order, against its announced length and its credit.
///
/// The carrier delivers each byte once; a piece never overlaps another.
#[derive(Clone, Copy, Debug)]
pub struct BodyMeter {
    announced: Option<u64>,
    limit: u64,
    received: u64,
}

impl BodyMeter {
    /// A body that announced `announced` bytes and was granted `credit_bytes`.
    ///
    /// # Errors
    /// The announcement alone is over the credit.
    pub fn new(announced: Option<u64>, credit_bytes: u64) -> Result<Self, MeterError> {
        if announced.is_some_and(|len| len > credit_bytes) {
            return Err(MeterError::OverCredit);
        }
        Ok(Self { announced, limit: announced.unwrap_or(credit_bytes), received: 0 })
    }

    /// Announced length.
    #[must_use]
    pub const fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Bytes the body may have.
    #[must_use]
    pub const fn limit_bytes(&self) -> u64 {
        self.limit
    }

    /// Counts one piece.
    ///
    /// # Errors
    /// The piece reaches past the announced length or the credit.
    pub fn piece(&mut self, offset: u64, len: usize) -> Result<(), MeterError> {
        let over = if self.announced.is_some() { MeterError::PastEnd } else { MeterError::OverCredit };
        let len = u64::try_from(len).map_err(|_| over)?;
        let end = offset.checked_add(len).ok_or(over)?;
        let received = self.received.checked_add(len).ok_or(over)?;
        if end > self.limit || received > self.limit {
            return Err(over);
        }
        self.received = received;
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// Fewer bytes came than were announced.
    pub fn finish(&self) -> Result<(), MeterError> {
        match self.announced {
            Some(announced) if announced != self.received => Err(MeterError::Truncated),
            _ => Ok(()),
        }
    }
}

/// A body that breaks its own announcement or its credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeterError {
    /// More bytes than the receiver granted.
    #[error("a body exceeds its credit")]
    OverCredit,
    /// More bytes than announced.
    #[error("a body exceeds its announced length")]
    PastEnd,
    /// Fewer bytes than announced.
    #[error("a body ends before its announced length")]
    Truncated,
}

#[cfg(test)]
mod tests;
