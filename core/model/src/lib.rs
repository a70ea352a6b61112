//! What every party may know: ids, codec, dots, padding, placement and limits.
//!
//! This is the lowest layer. It holds no key, no clock, no file and no socket, so a server, a
//! storage node and a browser can all link it. Everything that crosses a wire or a disk is built
//! from the [`codec`] here: big-endian, fixed layouts, bounded, trailing bytes refused.

#![forbid(unsafe_code)]

pub mod codec;
mod entropy;
mod id;
pub mod limits;
pub mod padding;
pub mod placement;
mod stamp;

pub use entropy::Entropy;
pub use id::{
    AccountId, ChunkId, CommitHash, DeviceId, FileId, LinkId, LogHash, NodeId, ParseIdError, RecordId,
    RootHash, VaultId, VaultTag, VersionHash,
};
pub use stamp::{Dot, Hlc, Stamp, VersionVector};
