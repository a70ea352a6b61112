//! What each side says of itself inside the handshake, covered by its transcript.
//!
//! ```text
//! "FHP1" 4 │ lane_bytes 8 │ session_bytes 8 │ lanes 2 │ datagram_bytes 2 │ idle_ms 4 │ reset token 16
//! │ len 2 │ what the application says
//! ```

use crate::cookie::TOKEN_LEN;
use crate::limits::{DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MIN};
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use std::time::Duration;

const MAGIC: &[u8; 4] = b"FHP1";

/// Bytes that the application may say.
const HELLO_BYTES_MAX: usize = 256;

/// One side's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Params {
    /// Bytes of one lane that may wait unread.
    pub(crate) lane_bytes: u64,
    /// Bytes of all lanes.
    pub(crate) session_bytes: u64,
    /// Lanes the other side may open.
    pub(crate) lanes: u16,
    /// Bytes of the largest datagram taken.
    pub(crate) datagram_bytes: u16,
    /// Silence after which the session is over.
    pub(crate) idle: Duration,
    pub(crate) token: [u8; TOKEN_LEN],
    pub(crate) hello: Vec<u8>,
}

impl Encode for Params {
    fn encode(&self, out: &mut Writer) {
        let idle_ms = u32::try_from(self.idle.as_millis()).unwrap_or(u32::MAX);
        out.raw(MAGIC).u64(self.lane_bytes).u64(self.session_bytes).u16(self.lanes);
        out.u16(self.datagram_bytes).u32(idle_ms).raw(&self.token).short_bytes(&self.hello);
    }
}

impl Decode for Params {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(MAGIC, "protocol")?;
        let params = Self {
            lane_bytes: input.u64()?,
            session_bytes: input.u64()?,
            lanes: input.u16()?,
            datagram_bytes: input.u16()?,
            idle: Duration::from_millis(input.u32()?.into()),
            token: input.array()?,
            hello: input.short_bytes(HELLO_BYTES_MAX)?.to_vec(),
        };
        let datagram = usize::from(params.datagram_bytes);
        if !(DATAGRAM_BYTES_MIN..=DATAGRAM_BYTES_MAX).contains(&datagram) {
            return Err(DecodeError::Invalid("datagram size"));
        }
        Ok(params)
    }
}
