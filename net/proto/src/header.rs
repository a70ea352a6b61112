//! The 20 bytes before every packet.
//!
//! ```text
//!  0 Type 1 │ 1 Flags 1 │ 2 Len 2 │ 4 SessionID 4 │ 8 Seq 4 │ 12 Ack 4 │ 16 CRC32 4
//! ```
//!
//! Everything is big-endian. Len counts what follows the header, which is the rest of the datagram. The CRC
//! (IEEE 802.3) covers bytes 0–15 and, of a sealed packet, its tag, which binds the rest; of an unsealed one,
//! all that follows. It sorts noise out before a table is looked at and is no protection: of a sealed packet
//! bytes 0–15 are authenticated, an unsealed one is believed nothing.

use crate::limits::DATAGRAM_BYTES_MAX;

/// Bytes of a header.
pub const HEADER_LEN: usize = 20;

/// Bytes of a sealed packet's tag, its last.
pub const TAG_LEN: usize = 16;

/// Bytes of the header that a seal covers.
pub const AAD_LEN: usize = 16;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Handshake bytes of the side that connects.
    Init = 0x80,
    /// Handshake bytes of the side that is connected to.
    Resp = 0x81,
    /// A cookie for a newcomer, who repeats it.
    Retry = 0x83,
    /// Sealed frames.
    Data = 0x85,
    /// A sealed acknowledgement and nothing else.
    Ack = 0x86,
    /// A sealed packet that tries a size.
    Probe = 0x87,
    /// Sealed: why the session ends.
    Close = 0x88,
    /// From a side that lost the session: the token it gave.
    Reset = 0x89,
}

impl Kind {
    fn from_wire(byte: u8) -> Option<Self> {
        let kinds = [
            Self::Init,
            Self::Resp,
            Self::Retry,
            Self::Data,
            Self::Ack,
            Self::Probe,
            Self::Close,
            Self::Reset,
        ];
        kinds.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Bits of Flags. Others are sent as zero and ignored.
pub mod flag {
    /// Data, Ack, Probe, Close: which of two keys seals.
    pub const KEY_PHASE: u8 = 0x01;
    /// The first frame is an ACK, which counts down from the header's Ack.
    pub const ACKS: u8 = 0x02;
    /// The receiver is to acknowledge.
    pub const ELICITING: u8 = 0x08;
    /// And at once.
    pub const IMMEDIATE: u8 = 0x10;
    /// Init, Resp: sealed under the handshake's keys.
    pub const SEALED: u8 = 0x20;
}

/// A packet's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// See [`flag`].
    pub flags: u8,
    /// The receiver's number of the session; 0 in the first Init.
    pub session: u32,
    /// Low half of the packet's number.
    pub seq: u32,
    /// Low half of the largest number received, from which an ACK frame counts down; 0 before there is one.
    pub ack: u32,
}

/// Why a datagram is dropped before anything is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Shorter than a header, or than a header and a tag.
    #[error("the datagram is too short")]
    Short,
    /// Not a type of this version.
    #[error("the packet's type is unknown")]
    Kind,
    /// Len is not what follows.
    #[error("the packet's length is not the datagram's")]
    Len,
    /// Damaged on the way, or noise.
    #[error("the packet's checksum is wrong")]
    Crc,
}

impl Header {
    /// Whether the payload ends with a tag.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        match self.kind {
            Kind::Data | Kind::Ack | Kind::Probe | Kind::Close => true,
            Kind::Init | Kind::Resp => self.flags & flag::SEALED != 0,
            Kind::Retry | Kind::Reset => false,
        }
    }

    /// The header with a checksum of zero: what a seal covers are its first [`AAD_LEN`] bytes.
    ///
    /// # Panics
    /// When the payload is longer than a datagram can be.
    #[must_use]
    pub fn open_bytes(&self, payload_len: usize) -> [u8; HEADER_LEN] {
        let len = u16::try_from(payload_len).expect("a datagram is shorter than 64 KiB");
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = self.kind as u8;
        bytes[1] = self.flags;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.session.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.seq.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.ack.to_be_bytes());
        bytes
    }

    /// Writes the checksum of a whole packet, header and payload in place, into it.
    ///
    /// # Panics
    /// When `packet` is shorter than a header, or a sealed one than a header and a tag.
    pub fn write_crc(&self, packet: &mut [u8]) {
        let crc = checksum(self.is_sealed(), packet).expect("a packet is longer than its header and tag");
        packet[AAD_LEN..HEADER_LEN].copy_from_slice(&crc.to_be_bytes());
    }

    /// Reads the header of a datagram. The payload is all that follows.
    ///
    /// # Errors
    /// [`HeaderError`]: the datagram says nothing.
    pub fn read(datagram: &[u8]) -> Result<Self, HeaderError> {
        let (head, payload) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(HeaderError::Short)?;
        let [kind, flags, l0, l1, s0, s1, s2, s3, q0, q1, q2, q3, a0, a1, a2, a3, c0, c1, c2, c3] = *head;
        let header = Self {
            kind: Kind::from_wire(kind).ok_or(HeaderError::Kind)?,
            flags,
            session: u32::from_be_bytes([s0, s1, s2, s3]),
            seq: u32::from_be_bytes([q0, q1, q2, q3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
        };
        if usize::from(u16::from_be_bytes([l0, l1])) != payload.len() || datagram.len() > DATAGRAM_BYTES_MAX {
            return Err(HeaderError::Len);
        }
        let crc = checksum(header.is_sealed(), datagram).ok_or(HeaderError::Short)?;
        if crc != u32::from_be_bytes([c0, c1, c2, c3]) {
            return Err(HeaderError::Crc);
        }
        Ok(header)
    }
}

fn checksum(is_sealed: bool, packet: &[u8]) -> Option<u32> {
    let (head, payload) = packet.split_first_chunk::<HEADER_LEN>()?;
    let covered = if is_sealed { payload.last_chunk::<TAG_LEN>()?.as_slice() } else { payload };
    let mut crc = crc32fast::Hasher::new();
    crc.update(head.first_chunk::<AAD_LEN>()?);
    crc.update(covered);
    Some(crc.finalize())
}

/// The whole number of a packet whose low half was sent: the one closest to what is expected next
/// (RFC 9000 §A.3).
#[must_use]
pub fn expand(low: u32, expected: u64) -> u64 {
    const SPAN: u64 = 1 << 32;
    let candidate = (expected & !(SPAN - 1)) | u64::from(low);
    if candidate.saturating_add(SPAN / 2) <= expected && candidate < u64::MAX - SPAN {
        candidate + SPAN
    } else if candidate > expected.saturating_add(SPAN / 2) && candidate >= SPAN {
        candidate - SPAN
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let header = Header { kind, flags: 0, session: 7, seq: 8, ack: 9 };
        let mut packet = header.open_bytes(payload.len()).to_vec();
        packet.extend_from_slice(payload);
        header.write_crc(&mut packet);
        packet
    }

    #[test]
    fn a_header_comes_back_and_every_flipped_bit_of_it_is_noticed() {
        for kind in [Kind::Init, Kind::Data, Kind::Reset] {
            let packet = packet(kind, &[5; 40]);
            let read = Header::read(&packet).expect("whole");
            assert_eq!((read.kind, read.session, read.seq, read.ack), (kind, 7, 8, 9));
            for bit in 0..HEADER_LEN * 8 {
                let mut flipped = packet.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(Header::read(&flipped).is_err(), "{kind:?} bit {bit}");
            }
        }
    }

    #[test]
    fn a_datagram_that_is_longer_or_shorter_than_it_says_is_dropped() {
        let whole = packet(Kind::Data, &[1; 30]);
        for len in 0..whole.len() {
            assert!(Header::read(&whole[..len]).is_err(), "{len}");
        }
        assert_eq!(Header::read(&[&whole[..], &[0]].concat()), Err(HeaderError::Len));
    }

    #[test]
    fn numbers_grow_beyond_their_low_half_and_stay_near_what_is_expected() {
        for expected in [0, 5, 1 << 31, (1 << 32) - 2, 1 << 32, (1 << 40) + 3] {
            for distance in [0_u64, 1, 1_000, 1 << 30] {
                let later = expected + distance;
                assert_eq!(expand(later as u32, expected), later);
                if let Some(earlier) = expected.checked_sub(distance) {
                    assert_eq!(expand(earlier as u32, expected), earlier);
                }
            }
        }
    }
}
