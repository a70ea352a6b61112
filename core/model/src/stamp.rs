//! Who wrote what, in which order: dots, hybrid clocks and version vectors.
//!
//! A [`Dot`] names one write of one device: the device's own write counter, restarted under a new
//! incarnation when a device finds that its past was cloned or restored. A [`Stamp`] orders writes
//! for last-writer registers. A [`VersionVector`] says which writes somebody has seen.

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::{DeviceId, limits};

/// One write of one device: 28 bytes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// The writing device.
    pub device: DeviceId,
    /// Which life of that device: rises when its state was cloned or restored.
    pub incarnation: u32,
    /// The device's write counter within the incarnation, from 1.
    pub seq: u64,
}

impl Encode for Dot {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.device).u32(self.incarnation).u64(self.seq);
    }
}

impl Decode for Dot {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { device: input.get()?, incarnation: input.u32()?, seq: input.u64()? })
    }
}

/// A hybrid logical clock: 48 bits of milliseconds since 1970, then a 16-bit counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The clock at a wall-clock time.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self((millis & 0xffff_ffff_ffff) << 16)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// The next reading: the wall clock, or just past the newest reading seen.
    ///
    /// A write therefore always beats what its author saw, whatever the author's clock says.
    #[must_use]
    pub fn next(self, now_millis: u64) -> Self {
        Self::from_millis(now_millis).max(Self(self.0.saturating_add(1)))
    }
}

impl Encode for Hlc {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.0);
    }
}

impl Decode for Hlc {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.u64().map(Self)
    }
}

/// The order of last-writer registers: clock first, dot as the tie-break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// When, by the author's hybrid clock.
    pub hlc: Hlc,
    /// Which write.
    pub dot: Dot,
}

impl Encode for Stamp {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.hlc).put(&self.dot);
    }
}

impl Decode for Stamp {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { hlc: input.get()?, dot: input.get()? })
    }
}

/// The writes seen, as the highest counter of each device life.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionVector {
    /// Strictly ascending. Nearly every vector has one to three entries and there are several in each
    /// record: a tree's node, with room for eleven, would be ten times as large.
    seen: Vec<Seen>,
}

/// The highest counter seen of one device life.
type Seen = ((DeviceId, u32), u64);

impl VersionVector {
    /// Nothing seen.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: Vec::new() }
    }

    /// Whether the write was seen.
    #[must_use]
    pub fn covers(&self, dot: &Dot) -> bool {
        self.last((dot.device, dot.incarnation)).is_some_and(|seq| seq >= dot.seq)
    }

    /// Notes a write, and with it every earlier one of that device life.
    pub fn observe(&mut self, dot: Dot) {
        self.raise(((dot.device, dot.incarnation), dot.seq));
    }

    fn place(&self, life: (DeviceId, u32)) -> Result<usize, usize> {
        self.seen.binary_search_by_key(&life, |(known, _)| *known)
    }

    fn last(&self, life: (DeviceId, u32)) -> Option<u64> {
        self.seen.get(self.place(life).ok()?).map(|(_, seq)| *seq)
    }

    fn raise(&mut self, (life, seq): Seen) {
        match self.place(life) {
            Ok(at) => {
                if let Some((_, own)) = self.seen.get_mut(at) {
                    *own = seq.max(*own);
                }
            }
            Err(at) => {
                self.seen.reserve_exact(1);
                self.seen.insert(at, (life, seq));
            }
        }
    }

    /// Notes everything the other has seen.
    pub fn join(&mut self, other: &Self) {
        other.seen.iter().for_each(|seen| self.raise(*seen));
    }

    /// Whether this has seen everything the other has.
    #[must_use]
    pub fn dominates(&self, other: &Self) -> bool {
        other.seen.iter().all(|(life, seq)| self.last(*life).is_some_and(|own| own >= *seq))
    }

    /// The entries in order: (device, incarnation), highest counter.
    pub fn iter(&self) -> impl Iterator<Item = ((DeviceId, u32), u64)> + '_ {
        self.seen.iter().copied()
    }

    /// Number of device lives seen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

impl FromIterator<Dot> for VersionVector {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut vector = Self::new();
        dots.into_iter().for_each(|dot| vector.observe(dot));
        vector
    }
}

impl Encode for VersionVector {
    fn encode(&self, out: &mut Writer) {
        let count = u32::try_from(self.seen.len()).expect("a vector is bounded by its limit");
        out.u32(count);
        for ((device, incarnation), seq) in &self.seen {
            out.put(device).u32(*incarnation).u64(*seq);
        }
    }
}

impl Decode for VersionVector {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = input.count(limits::VECTOR_ENTRIES_MAX, 28)?;
        let mut seen = Vec::with_capacity(count);
        let mut last = None;
        for _ in 0..count {
            let dot: Dot = input.get()?;
            let life = (dot.device, dot.incarnation);
            if last.is_some_and(|last| last >= life) || dot.seq == 0 {
                return Err(DecodeError::Invalid("version vector"));
            }
            last = Some(life);
            seen.push((life, dot.seq));
        }
        Ok(Self { seen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{from_slice, to_vec};

    fn dot(device: u8, seq: u64) -> Dot {
        Dot { device: DeviceId::from_bytes([device; 16]), incarnation: 0, seq }
    }

    #[test]
    fn a_write_beats_everything_its_author_saw() {
        let seen = Hlc::from_millis(5_000);
        assert!(seen.next(4_000) > seen);
        assert_eq!(seen.next(6_000), Hlc::from_millis(6_000));
    }

    #[test]
    fn join_is_the_least_vector_that_dominates_both() {
        let (a, b) = (
            VersionVector::from_iter([dot(1, 5), dot(2, 1)]),
            VersionVector::from_iter([dot(1, 3), dot(3, 9)]),
        );
        let mut joined = a.clone();
        joined.join(&b);
        assert!(joined.dominates(&a) && joined.dominates(&b) && !a.dominates(&b));
        assert_eq!(joined, VersionVector::from_iter([dot(1, 5), dot(2, 1), dot(3, 9)]));
        assert!(joined.covers(&dot(1, 5)) && !joined.covers(&dot(1, 6)));
    }

    #[test]
    fn a_vector_has_one_encoding() {
        let vector = VersionVector::from_iter([dot(1, 5), dot(2, 1)]);
        let bytes = to_vec(&vector);
        assert_eq!(from_slice(&bytes), Ok(vector));
        let mut swapped = bytes[..4].to_vec();
        swapped.extend_from_slice(&bytes[32..]);
        swapped.extend_from_slice(&bytes[4..32]);
        assert_eq!(from_slice::<VersionVector>(&swapped), Err(DecodeError::Invalid("version vector")));
    }
}
