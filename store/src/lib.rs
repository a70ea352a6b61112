//! Ciphertext chunks on disk: the storage node's store and the client's bounded cache.
//!
//! Both are the same append-only segments: [`NodeStore`] acknowledges a chunk only after its bytes
//! are on stable storage and never deletes, [`CacheStore`] keeps below a cap and gives up the least
//! recently used segment, except for pinned chunks. The index lives in memory and is rebuilt from
//! the segments, so the segments are the only truth. Files are reached through [`Disk`], which lets
//! tests cut the power between any two writes. The layout on disk is in docs/format.md, "Storage segments".

#![forbid(unsafe_code)]

mod cache;
mod disk;
mod error;
mod index;
mod limits;
mod log;
mod marks;
mod node;
mod record;
mod recovery;
mod segment;

pub use cache::{CacheOptions, CacheStore, Pin};
pub use disk::{Disk, DiskFile, OsDisk, Space};
pub use error::StoreError;
pub use node::{NodeOptions, NodeStats, NodeStore, PutStatus, Slice};
pub use recovery::Recovery;

#[cfg(test)]
mod tests;
