//! Frames: what is said inside a sealed packet.
//!
//! ```text
//! 0x00 PADDING                          0x08–0x0b LANE      lane │ offset │ (len) │ bytes
//! 0x01 PING                             0x10 CREDIT         most bytes of all lanes
//! 0x02 ACK   delay │ runs │ run │ …     0x11 LANE_CREDIT    lane │ most bytes
//! 0x04 RESET lane │ code │ length       0x12 LANES          how many lanes may be opened
//! 0x05 STOP  lane │ code                0x1c CLOSE          code
//! ```
//!
//! Numbers are varints (RFC 9000 §16). Of LANE, bit 0 of the type says that the lane ends here, bit 1 that a
//! length follows; without it the bytes reach to the packet's end. ACK lists runs below the header's Ack:
//! how many before it arrived without a gap, then pairs of how many are missing less one and how many arrived
//! less one (RFC 9000 §19.3.1); its delay is in microseconds.

use crate::limits::ACK_RUNS_MAX;
use crate::ranges::Ranges;

/// A frame. Bytes of a lane stay where they are in the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Padding,
    Ping,
    Ack(Acked),
    Lane { lane: u64, offset: u64, fin: bool, bytes: &'a [u8] },
    Reset { lane: u64, code: u64, len: u64 },
    Stop { lane: u64, code: u64 },
    Credit { bytes: u64 },
    LaneCredit { lane: u64, bytes: u64 },
    Lanes { count: u64 },
    Close { code: u64 },
}

/// What an acknowledgement lists, below the number in the header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acked {
    pub(crate) delay_us: u64,
    /// Numbers that arrived.
    pub(crate) arrived: Ranges,
}

/// The packet's content is no list of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

const PADDING: u64 = 0x00;
const PING: u64 = 0x01;
const ACK: u64 = 0x02;
const RESET: u64 = 0x04;
const STOP: u64 = 0x05;
const LANE: u64 = 0x08;
const CREDIT: u64 = 0x10;
const LANE_CREDIT: u64 = 0x11;
const LANES: u64 = 0x12;
const CLOSE: u64 = 0x1c;

/// Bytes of the largest varint.
pub(crate) const VARINT_MAX: u64 = (1 << 62) - 1;

/// Bytes that a LANE frame has before its own: type, lane, offset, length.
pub(crate) const LANE_OVERHEAD_MAX: usize = 1 + 8 + 8 + 4;

/// Bytes that a small frame has at most.
pub(crate) const SMALL_FRAME_MAX: usize = 1 + 3 * 8;

/// Reads one frame after the other. `largest` is the packet number in the header's Ack.
pub(crate) struct Frames<'a> {
    rest: &'a [u8],
    largest: u64,
}

impl<'a> Frames<'a> {
    pub(crate) const fn new(payload: &'a [u8], largest: u64) -> Self {
        Self { rest: payload, largest }
    }

    fn frame(&mut self) -> Result<Frame<'a>, Malformed> {
        let kind = self.varint()?;
        Ok(match kind {
            PADDING => {
                let padding = self.rest.iter().take_while(|byte| **byte == 0).count();
                self.take(padding)?;
                Frame::Padding
            }
            PING => Frame::Ping,
            ACK => Frame::Ack(self.ack()?),
            RESET => Frame::Reset { lane: self.varint()?, code: self.varint()?, len: self.varint()? },
            STOP => Frame::Stop { lane: self.varint()?, code: self.varint()? },
            LANE..=0x0b => {
                let (lane, offset) = (self.varint()?, self.varint()?);
                let bytes = if kind & 2 == 0 {
                    std::mem::take(&mut self.rest)
                } else {
                    let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                    self.take(len)?
                };
                offset.checked_add(bytes.len() as u64).filter(|end| *end <= VARINT_MAX).ok_or(Malformed)?;
                Frame::Lane { lane, offset, fin: kind & 1 == 1, bytes }
            }
            CREDIT => Frame::Credit { bytes: self.varint()? },
            LANE_CREDIT => Frame::LaneCredit { lane: self.varint()?, bytes: self.varint()? },
            LANES => Frame::Lanes { count: self.varint()? },
            CLOSE => Frame::Close { code: self.varint()? },
            _ => return Err(Malformed),
        })
    }

    fn ack(&mut self) -> Result<Acked, Malformed> {
        let (delay_us, runs) = (self.varint()?, self.varint()?);
        if runs as usize > ACK_RUNS_MAX {
            return Err(Malformed);
        }
        let mut arrived = Ranges::default();
        let mut end = self.largest.checked_add(1).ok_or(Malformed)?;
        let mut start = end.checked_sub(self.varint()?.checked_add(1).ok_or(Malformed)?).ok_or(Malformed)?;
        arrived.insert(start, end);
        for _ in 0..runs {
            let (missing, run) = (self.varint()?, self.varint()?);
            end = start.checked_sub(missing.checked_add(1).ok_or(Malformed)?).ok_or(Malformed)?;
            start = end.checked_sub(run.checked_add(1).ok_or(Malformed)?).ok_or(Malformed)?;
            arrived.insert(start, end);
        }
        Ok(Acked { delay_us, arrived })
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let first = *self.rest.first().ok_or(Malformed)?;
        let bytes = self.take(1 << (first >> 6))?;
        let (head, tail) = bytes.split_first().ok_or(Malformed)?;
        Ok(tail.iter().fold(u64::from(head & 0x3f), |value, byte| value << 8 | u64::from(*byte)))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let frame = self.frame();
        if frame.is_err() {
            self.rest = &[];
        }
        Some(frame)
    }
}

/// A packet's content being written into a fixed room.
pub(crate) struct FrameWriter<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl<'a> FrameWriter<'a> {
    pub(crate) const fn new(room: &'a mut [u8]) -> Self {
        Self { room, len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes that still fit.
    pub(crate) const fn left(&self) -> usize {
        self.room.len() - self.len
    }

    /// Writes a frame that is known to fit.
    pub(crate) fn small(&mut self, frame: &Frame<'_>) {
        match *frame {
            Frame::Padding => self.varint(PADDING),
            Frame::Ping => self.varint(PING),
            Frame::Reset { lane, code, len } => self.numbers(RESET, &[lane, code, len]),
            Frame::Stop { lane, code } => self.numbers(STOP, &[lane, code]),
            Frame::Credit { bytes } => self.numbers(CREDIT, &[bytes]),
            Frame::LaneCredit { lane, bytes } => self.numbers(LANE_CREDIT, &[lane, bytes]),
            Frame::Lanes { count } => self.numbers(LANES, &[count]),
            Frame::Close { code } => self.numbers(CLOSE, &[code]),
            Frame::Ack(_) | Frame::Lane { .. } => unreachable!("they have writers of their own"),
        }
    }

    /// Writes the runs that arrived below and with `largest`, newest first, as many as fit.
    pub(crate) fn ack(&mut self, delay_us: u64, arrived: &Ranges) {
        let mut runs = arrived.iter().rev();
        let Some((first, end)) = runs.next() else { return };
        let mut listed = Vec::new();
        let (mut before, mut bytes) = (first, 2 * SMALL_FRAME_MAX);
        for (start, end) in runs.take(ACK_RUNS_MAX) {
            bytes += 16;
            if bytes > self.left() {
                break;
            }
            listed.push((before - end - 1, end - start - 1));
            before = start;
        }
        self.numbers(ACK, &[delay_us, listed.len() as u64, end - first - 1]);
        for (missing, run) in listed {
            self.varint(missing);
            self.varint(run);
        }
    }

    /// Begins a LANE frame and gives room for at most `wanted` bytes, which the caller fills. The bytes reach
    /// to the packet's end when they fill it. `None` when nothing sensible fits.
    pub(crate) fn lane(&mut self, lane: u64, offset: u64, wanted: usize, fin: bool) -> Option<&mut [u8]> {
        let head = 1 + varint_len(lane) + varint_len(offset);
        let left = self.left().checked_sub(head)?;
        let fills = wanted >= left;
        let len_len = if fills { 0 } else { varint_len(wanted as u64) };
        let len = wanted.min(left.checked_sub(len_len)?);
        if len == 0 && wanted > 0 {
            return None;
        }
        let ends = fin && len == wanted;
        self.numbers(LANE | u64::from(ends) | if fills { 0 } else { 2 }, &[lane, offset]);
        if !fills {
            self.varint(len as u64);
        }
        let start = self.len;
        self.len += len;
        self.room.get_mut(start..start + len)
    }

    /// Fills what is left with padding.
    pub(crate) fn pad(&mut self) {
        let len = self.len;
        self.room[len..].fill(0);
        self.len = self.room.len();
    }

    fn numbers(&mut self, kind: u64, numbers: &[u64]) {
        self.varint(kind);
        numbers.iter().for_each(|number| self.varint(*number));
    }

    fn varint(&mut self, value: u64) {
        let len = varint_len(value);
        let mark = (len.trailing_zeros() as u8) << 6;
        let bytes = value.to_be_bytes();
        let room = &mut self.room[self.len..self.len + len];
        room.copy_from_slice(&bytes[8 - len..]);
        room[0] |= mark;
        self.len += len;
    }
}

/// Bytes of a number as a varint.
pub(crate) const fn varint_len(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], largest: u64) -> Result<Vec<Frame<'_>>, Malformed> {
        Frames::new(bytes, largest).collect()
    }

    #[test]
    fn frames_come_back() {
        let frames = [
            Frame::Ping,
            Frame::Reset { lane: 5, code: 70, len: 20_000 },
            Frame::Stop { lane: 1 << 40, code: 3 },
            Frame::Credit { bytes: VARINT_MAX },
            Frame::LaneCredit { lane: 0, bytes: 1 << 30 },
            Frame::Lanes { count: 256 },
            Frame::Close { code: 0 },
        ];
        let mut room = [0; 200];
        let mut out = FrameWriter::new(&mut room);
        frames.iter().for_each(|frame| out.small(frame));
        out.lane(9, 1 << 20, 3, true).expect("it fits").copy_from_slice(b"abc");
        out.lane(7, 0, 4, false).expect("it fits").copy_from_slice(b"defg");
        let len = out.len();
        let read = read(&room[..len], 0).expect("well formed");
        assert_eq!(read[..frames.len()], frames);
        assert_eq!(
            read[frames.len()..],
            [
                Frame::Lane { lane: 9, offset: 1 << 20, fin: true, bytes: b"abc" },
                Frame::Lane { lane: 7, offset: 0, fin: false, bytes: b"defg" },
            ]
        );
    }

    #[test]
    fn lane_bytes_that_fill_a_packet_need_no_length() {
        for room_len in [16, 80, 1_400, 16_500] {
            for wanted in [room_len - 9, room_len - 8, room_len - 4, room_len - 3, room_len, 2 * room_len] {
                let mut room = vec![0; room_len];
                let mut out = FrameWriter::new(&mut room);
                let taken = out.lane(3, 100, wanted, true).expect("it fits").len();
                let len = out.len();
                let frames = read(&room[..len], 0).expect("well formed");
                let fin = taken == wanted;
                assert_eq!(frames, [Frame::Lane { lane: 3, offset: 100, fin, bytes: &vec![0; taken] }]);
                assert!(fin || room_len - len <= 3, "{room_len} {wanted}: {len}");
            }
        }
    }

    #[test]
    fn acknowledgements_list_what_arrived() {
        let mut arrived = Ranges::default();
        for (start, end) in [(0, 5), (7, 8), (20, 90), (1_000, 1_002)] {
            arrived.insert(start, end);
        }
        let mut room = [0; 200];
        let mut out = FrameWriter::new(&mut room);
        out.ack(77, &arrived);
        let len = out.len();
        assert_eq!(read(&room[..len], 1_001), Ok(vec![Frame::Ack(Acked { delay_us: 77, arrived })]));
    }

    #[test]
    fn an_acknowledgement_of_what_cannot_be_is_refused() {
        assert_eq!(read(&[2, 0, 0, 5], 3), Err(Malformed), "six below four");
        assert_eq!(read(&[2, 0, 1, 0, 9, 0], 3), Err(Malformed), "a gap below zero");
        assert_eq!(read(&[2, 0, 0x40, 65, 0], 900), Err(Malformed), "more runs than allowed");
    }

    #[test]
    fn no_bytes_make_the_decoder_panic_or_allocate_what_they_say() {
        let mut state = 3_u64;
        for _ in 0..200_000 {
            let mut bytes = [0_u8; 24];
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 40) as u8;
            }
            let len = (state >> 20) as usize % bytes.len();
            bytes[0] %= 0x20;
            for frame in Frames::new(&bytes[..len], state >> 34) {
                if let Ok(Frame::Lane { bytes, .. }) = frame {
                    assert!(bytes.len() < 24);
                }
            }
        }
    }
}
