//! `GET /api/v1/vaults/{vault}/commits`: numbered commits after a cursor.
//!
//! ```text
//! "FHG1" | server_incarnation u64 | next u64 | head u64 | count u32 | (vault_seq u64 | len u32 | commit bytes)*
//! ```

use super::put_count;
use crate::limits;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};

const MAGIC: &[u8; 4] = b"FHG1";

/// A page of commits by rising number, without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPage {
    /// As in [`crate::VaultState`].
    pub server_incarnation: u64,
    /// Cursor for the next page: the number of the last item, or the cursor asked for when empty.
    pub next: u64,
    /// Number of the newest commit of the vault. The reader is up to date when `next` equals it.
    pub head: u64,
    /// The commits.
    pub items: Vec<NumberedCommit>,
}

/// One commit with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedCommit {
    /// Number in the vault, from 1.
    pub vault_seq: u64,
    /// Encoded signed commit.
    pub commit: Vec<u8>,
}

impl Encode for CommitPage {
    fn encode(&self, out: &mut Writer) {
        out.raw(MAGIC).u64(self.server_incarnation).u64(self.next).u64(self.head);
        put_count(out, self.items.len());
        for item in &self.items {
            out.u64(item.vault_seq).var_bytes(&item.commit);
        }
    }
}

impl Decode for CommitPage {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(MAGIC, "commit page")?;
        let (server_incarnation, next, head) = (input.u64()?, input.u64()?, input.u64()?);
        let count = input.count(limits::PAGE_COMMITS_MAX, 12)?;
        let mut items: Vec<NumberedCommit> = Vec::with_capacity(count);
        for _ in 0..count {
            let vault_seq = input.u64()?;
            if items.last().is_some_and(|last| last.vault_seq >= vault_seq) {
                return Err(DecodeError::Invalid("order of commits"));
            }
            let commit = input.var_bytes(limits::COMMIT_BYTES_MAX)?.to_vec();
            items.push(NumberedCommit { vault_seq, commit });
        }
        if items.last().is_some_and(|last| last.vault_seq != next) || next > head && !items.is_empty() {
            return Err(DecodeError::Invalid("cursor of a commit page"));
        }
        Ok(Self { server_incarnation, next, head, items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::codec::{from_slice, to_vec};

    fn page(seqs: &[u64], next: u64, head: u64) -> CommitPage {
        let items = seqs.iter().map(|seq| NumberedCommit { vault_seq: *seq, commit: vec![7; 3] }).collect();
        CommitPage { server_incarnation: 9, next, head, items }
    }

    #[test]
    fn a_page_survives_a_round_trip() {
        for page in [page(&[], 4, 4), page(&[5, 6], 6, 8)] {
            assert_eq!(from_slice(&to_vec(&page)), Ok(page));
        }
    }

    #[test]
    fn commits_out_of_order_are_refused() {
        assert_eq!(
            from_slice::<CommitPage>(&to_vec(&page(&[6, 5], 5, 8))),
            Err(DecodeError::Invalid("order of commits"))
        );
    }

    #[test]
    fn a_cursor_that_is_not_the_last_item_is_refused() {
        for page in [page(&[5, 6], 7, 8), page(&[5, 6], 6, 5)] {
            assert_eq!(
                from_slice::<CommitPage>(&to_vec(&page)),
                Err(DecodeError::Invalid("cursor of a commit page"))
            );
        }
    }
}
