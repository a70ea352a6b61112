//! The plaintext tree: records, merge, views, manifests, names.
//!
//! A vault is a set of [`record::Record`]s, one per node of the tree. Devices change records, send
//! them sealed, and merge what they receive; [`view`] turns the merged records into the tree that
//! everybody sees. A file's content stands in its record or in chunks under a [`manifest`], cut by the [`chunker`].
//! Everything here is pure: bytes in, bytes out, no clock, no file, no randomness, and the same
//! answer on every device. Byte layouts are drawn in `docs/format.md`.

pub mod chunker;
pub mod commit_body;
pub mod compress;
pub mod heads;
pub mod limits;
pub mod manifest;
pub mod name;
pub mod profile;
pub mod record;
pub mod view;

pub use chunker::{Chunker, has_fast_aes};
pub use commit_body::{CommitBody, Seen};
pub use manifest::{ManifestEntry, Node};
pub use profile::Profile;
pub use record::{Body, Chunked, Content, Kind, NewNode, Owner, Place, ROOT, Record, Time};
