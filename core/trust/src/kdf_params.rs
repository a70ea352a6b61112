//! Argon2id parameters with a floor and a ceiling that are compiled in.
//!
//! A value of this type is always within the bounds: the constructor, the decoder and serde all
//! check. A server that answers a login with cheaper parameters is therefore refused before the
//! password is hashed, and one that asks for 64 GiB cannot exhaust the client.

use crate::limits;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use serde::{Deserialize, Serialize};

/// The parameters are outside the bounds compiled into this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "password hashing with {m_kib} KiB, {t} passes, {p} lanes is outside the accepted range; \
     do not log in to this server"
)]
pub struct KdfError {
    /// Memory asked for.
    pub m_kib: u32,
    /// Passes asked for.
    pub t: u32,
    /// Lanes asked for.
    pub p: u32,
}

/// Argon2id cost: 64 MiB to 1 GiB, 3 to 10 passes, 1 to 16 lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct KdfParams {
    m_kib: u32,
    t: u32,
    p: u32,
}

impl KdfParams {
    /// 128 MiB, 3 passes, 4 lanes: above both options of RFC 9106 §4 for 64 MiB and of OWASP.
    pub const DEFAULT: Self = Self { m_kib: 128 * 1024, t: 3, p: 4 };

    /// The cheapest a client accepts.
    pub const FLOOR: Self = Self { m_kib: limits::KDF_MEMORY_KIB_MIN, t: limits::KDF_PASSES_MIN, p: 1 };

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`KdfError`] outside of them.
    pub fn new(m_kib: u32, t: u32, p: u32) -> Result<Self, KdfError> {
        let memory = (limits::KDF_MEMORY_KIB_MIN..=limits::KDF_MEMORY_KIB_MAX).contains(&m_kib);
        let passes = (limits::KDF_PASSES_MIN..=limits::KDF_PASSES_MAX).contains(&t);
        let lanes = (1..=limits::KDF_LANES_MAX).contains(&p);
        if memory && passes && lanes { Ok(Self { m_kib, t, p }) } else { Err(KdfError { m_kib, t, p }) }
    }

    /// Memory in KiB.
    #[must_use]
    pub const fn m_kib(&self) -> u32 {
        self.m_kib
    }

    /// Passes.
    #[must_use]
    pub const fn t(&self) -> u32 {
        self.t
    }

    /// Lanes.
    #[must_use]
    pub const fn p(&self) -> u32 {
        self.p
    }
}

impl Default for KdfParams {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Encode for KdfParams {
    fn encode(&self, out: &mut Writer) {
        out.u32(self.m_kib).u32(self.t).u32(self.p);
    }
}

impl Decode for KdfParams {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::new(input.u32()?, input.u32()?, input.u32()?)
            .map_err(|_| DecodeError::Invalid("kdf parameters"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    m_kib: u32,
    t: u32,
    p: u32,
}

impl TryFrom<Unchecked> for KdfParams {
    type Error = KdfError;

    fn try_from(raw: Unchecked) -> Result<Self, KdfError> {
        Self::new(raw.m_kib, raw.t, raw.p)
    }
}
