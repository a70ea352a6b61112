//! `POST /api/v1/vaults/{vault}/receipts`: node-signed receipts, as the nodes gave them.
//!
//! ```text
//! "FHQ2" | count u32 | (len u32 | receipt bytes)*
//! ```

use super::put_count;
use crate::limits;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};

const MAGIC: &[u8; 4] = b"FHQ2";

/// Receipts to book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiptsRequest {
    /// Encoded receipts (`freehold-trust`), at most 4.
    pub receipts: Vec<Vec<u8>>,
}

impl Encode for ReceiptsRequest {
    fn encode(&self, out: &mut Writer) {
        out.raw(MAGIC);
        put_count(out, self.receipts.len());
        for receipt in &self.receipts {
            out.var_bytes(receipt);
        }
    }
}

impl Decode for ReceiptsRequest {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(MAGIC, "receipts request")?;
        let count = input.count(limits::RECEIPTS_MAX, 4)?;
        let mut receipts = Vec::with_capacity(count);
        for _ in 0..count {
            receipts.push(input.var_bytes(limits::RECEIPT_BYTES_MAX)?.to_vec());
        }
        Ok(Self { receipts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::codec::{from_slice, to_vec};

    #[test]
    fn receipts_survive_a_round_trip() {
        let request = ReceiptsRequest { receipts: vec![vec![1; 152], vec![2; 152]] };
        assert_eq!(from_slice(&to_vec(&request)), Ok(request));
    }

    #[test]
    fn an_oversized_receipt_is_refused() {
        let request = ReceiptsRequest { receipts: vec![vec![0; limits::RECEIPT_BYTES_MAX + 1]] };
        assert_eq!(from_slice::<ReceiptsRequest>(&to_vec(&request)), Err(DecodeError::TooLong));
    }
}
