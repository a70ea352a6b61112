//! Binary messages: commits, records, receipts.
//!
//! They carry up to megabytes of bytes that are already canonical, so they use the codec of
//! `freehold-model` instead of JSON. Each starts with a four-byte magic that names the message and
//! its version, is bounded by [`crate::limits`], and refuses trailing bytes.

mod page;
mod push;
mod receipts;
mod versions;

pub use page::{CommitPage, NumberedCommit};
pub use push::{ManifestRefs, PushCommit, PushRequest, PushVersion};
pub use receipts::ReceiptsRequest;
pub use versions::{VersionItem, VersionState, VersionsRequest, VersionsResponse};

use freehold_model::codec::Writer;

/// Appends the count of a list as 32 bits.
fn put_count(out: &mut Writer, count: usize) {
    out.u32(u32::try_from(count).expect("writers check their limits first"));
}
