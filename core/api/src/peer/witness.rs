//! `WITNESS`: what devices leave at a node, so that others learn how far their vault has come.
//!
//! What is left is sealed by devices for devices; the node knows only whose link brought it. Each link
//! key has one place in a vault and can fill no other, so nobody takes away what another one left.
//! One question leaves something, or nothing, and is answered with what everybody left.
//!
//! ```text
//! WITNESS  head  vault_tag 16 · len 4 · sealed        ->  body  "FHT1" · count 4 · (len 4 · sealed) *
//! ```

use crate::limits::{WITNESS_BYTES_MAX, WITNESSES_MAX};
use freehold_model::VaultTag;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};

/// Method number of `WITNESS`.
pub const WITNESS: u16 = 5;

/// Bytes of an encoded [`WitnessResponse`].
pub const WITNESS_RESPONSE_BYTES_MAX: usize =
    8_usize.saturating_add(WITNESSES_MAX.saturating_mul(WITNESS_BYTES_MAX.saturating_add(4)));

const MAGIC: &[u8; 4] = b"FHT1";

/// Leaves something in a vault, or nothing, and asks what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessRequest {
    /// The vault, by the node's pseudonym.
    pub vault_tag: VaultTag,
    /// Replaces what this client left before; empty leaves that as it is.
    pub left: Vec<u8>,
}

/// What every client has left in the vault, in no order that means anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WitnessResponse {
    /// As it was left.
    pub left: Vec<Vec<u8>>,
}

impl Encode for WitnessRequest {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.vault_tag).var_bytes(&self.left);
    }
}

impl Decode for WitnessRequest {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { vault_tag: input.get()?, left: input.var_bytes(WITNESS_BYTES_MAX)?.to_vec() })
    }
}

impl Encode for WitnessResponse {
    fn encode(&self, out: &mut Writer) {
        out.raw(MAGIC);
        super::put_count(out, self.left.len());
        self.left.iter().for_each(|left| {
            out.var_bytes(left);
        });
    }
}

impl Decode for WitnessResponse {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(MAGIC, "what devices left")?;
        let count = input.count(WITNESSES_MAX, 4)?;
        let left = (0..count).map(|_| input.var_bytes(WITNESS_BYTES_MAX).map(<[u8]>::to_vec));
        Ok(Self { left: left.collect::<Result<_, _>>()? })
    }
}
