//! The one binary codec: big-endian, fixed layouts, bounded.
//!
//! A [`Reader`] walks a slice and never trusts a length: every variable field names its maximum,
//! and [`from_slice`] refuses trailing bytes, so each value has exactly one encoding. A [`Writer`]
//! only appends. Types that cross a wire or a disk implement [`Encode`] and [`Decode`].

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// The bytes are not a canonical encoding of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ended inside a field.
    #[error("the input ends inside a field")]
    Truncated,
    /// Bytes follow the last field.
    #[error("bytes follow the last field")]
    Trailing,
    /// A length or count is over its limit.
    #[error("a length is over its limit")]
    TooLong,
    /// A magic, version or tag is not one this build knows.
    #[error("unknown {0}")]
    Unknown(&'static str),
    /// A field has a value, or an order, its format forbids.
    #[error("forbidden value in {0}")]
    Invalid(&'static str),
}

/// Appends fields to a growing buffer.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// An empty buffer with room for `len_bytes`.
    #[must_use]
    pub fn with_capacity(len_bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(len_bytes) }
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    /// Appends a 16-bit number.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a 32-bit number.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a 64-bit number.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a signed 64-bit number, two's complement.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends a 16-bit length and the bytes.
    ///
    /// # Panics
    /// When the bytes are longer than 65,535: writers check their limits first.
    pub fn short_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u16(u16::try_from(bytes.len()).expect("writers check their limits first"));
        self.raw(bytes)
    }

    /// Appends a 32-bit length and the bytes.
    ///
    /// # Panics
    /// When the bytes are longer than 4 GiB: writers check their limits first.
    pub fn var_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).expect("writers check their limits first"));
        self.raw(bytes)
    }

    /// Appends an encodable value.
    pub fn put<T: Encode + ?Sized>(&mut self, value: &T) -> &mut Self {
        value.encode(self);
        self
    }

    /// Bytes written so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The finished buffer.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }
}

/// Walks a slice field by field.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes exactly `len_bytes`.
    ///
    /// # Errors
    /// `Truncated` when fewer are left.
    pub fn bytes(&mut self, len_bytes: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len_bytes).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes a fixed array.
    ///
    /// # Errors
    /// `Truncated` when fewer bytes are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// `Truncated` at the end.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Takes a 16-bit number.
    ///
    /// # Errors
    /// `Truncated` when fewer than 2 bytes are left.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes a 32-bit number.
    ///
    /// # Errors
    /// `Truncated` when fewer than 4 bytes are left.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes a 64-bit number.
    ///
    /// # Errors
    /// `Truncated` when fewer than 8 bytes are left.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Takes a signed 64-bit number.
    ///
    /// # Errors
    /// `Truncated` when fewer than 8 bytes are left.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Takes a 16-bit length and that many bytes, at most `max_bytes`.
    ///
    /// # Errors
    /// `TooLong` over the maximum, `Truncated` when fewer are left.
    pub fn short_bytes(&mut self, max_bytes: usize) -> Result<&'a [u8], DecodeError> {
        let len = usize::from(self.u16()?);
        if len > max_bytes {
            return Err(DecodeError::TooLong);
        }
        self.bytes(len)
    }

    /// Takes a 32-bit length and that many bytes, at most `max_bytes`.
    ///
    /// # Errors
    /// `TooLong` over the maximum, `Truncated` when fewer are left.
    pub fn var_bytes(&mut self, max_bytes: usize) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(self.u32()?).map_err(|_| DecodeError::TooLong)?;
        if len > max_bytes {
            return Err(DecodeError::TooLong);
        }
        self.bytes(len)
    }

    /// Takes a 32-bit count of items that each need at least `min_item_bytes`, at most `max`.
    ///
    /// The check against the bytes left comes before anything is allocated.
    ///
    /// # Errors
    /// `TooLong` over the maximum, `Truncated` when the input cannot hold that many.
    pub fn count(&mut self, max: usize, min_item_bytes: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.u32()?).map_err(|_| DecodeError::TooLong)?;
        if count > max {
            return Err(DecodeError::TooLong);
        }
        match count.checked_mul(min_item_bytes) {
            Some(need) if need <= self.rest.len() => Ok(count),
            _ => Err(DecodeError::Truncated),
        }
    }

    /// Takes a decodable value.
    ///
    /// # Errors
    /// As the value's decoder says.
    pub fn get<T: Decode>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }

    /// Takes and checks fixed bytes such as a magic.
    ///
    /// # Errors
    /// `Unknown(what)` when they differ, `Truncated` at the end.
    pub fn expect(&mut self, magic: &[u8], what: &'static str) -> Result<(), DecodeError> {
        if self.bytes(magic.len())? == magic { Ok(()) } else { Err(DecodeError::Unknown(what)) }
    }

    /// Bytes not yet taken.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes everything left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Ends the walk.
    ///
    /// # Errors
    /// `Trailing` when bytes are left.
    pub const fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}

/// A value with one canonical byte form.
pub trait Encode {
    /// Appends the canonical form.
    fn encode(&self, out: &mut Writer);
}

/// A value that can be read back from its canonical byte form.
pub trait Decode: Sized {
    /// Takes the value off the input.
    ///
    /// # Errors
    /// Anything but the canonical form of a value is refused.
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// The canonical form as a buffer.
pub fn to_vec<T: Encode + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Writer::new();
    value.encode(&mut out);
    out.into_vec()
}

/// Reads one value that fills the slice exactly.
///
/// # Errors
/// As the value's decoder says; `Trailing` when bytes are left.
pub fn from_slice<T: Decode>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut input = Reader::new(bytes);
    let value = T::decode(&mut input)?;
    input.finish()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_in_order() {
        let mut out = Writer::new();
        out.u8(1).u16(2).u32(3).u64(4).i64(-5).short_bytes(b"six").var_bytes(b"seven");
        let bytes = out.into_vec();
        let mut input = Reader::new(&bytes);
        assert_eq!(input.u8(), Ok(1));
        assert_eq!(input.u16(), Ok(2));
        assert_eq!(input.u32(), Ok(3));
        assert_eq!(input.u64(), Ok(4));
        assert_eq!(input.i64(), Ok(-5));
        assert_eq!(input.short_bytes(3), Ok(&b"six"[..]));
        assert_eq!(input.var_bytes(5), Ok(&b"seven"[..]));
        assert_eq!(input.finish(), Ok(()));
    }

    #[test]
    fn a_length_over_its_limit_is_refused_before_it_is_read() {
        assert_eq!(Reader::new(&[0xff; 4]).var_bytes(16), Err(DecodeError::TooLong));
        assert_eq!(Reader::new(&[0, 9, 1]).short_bytes(16), Err(DecodeError::Truncated));
    }

    #[test]
    fn a_count_the_input_cannot_hold_is_refused() {
        let bytes = [0, 0, 0, 3, 1, 2];
        assert_eq!(Reader::new(&bytes).count(10, 1), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&bytes).count(2, 1), Err(DecodeError::TooLong));
        assert_eq!(Reader::new(&bytes).count(10, usize::MAX), Err(DecodeError::Truncated));
    }
}
