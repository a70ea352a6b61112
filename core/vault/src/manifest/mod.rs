//! Manifests: which chunks make up a file, as a tree of sealed nodes.
//!
//! ```text
//! record ── root, root salt, CEK ──> root node            sealed under KDF("root", CEK, salt)
//!                                     ├─ inner node ...   sealed like chunks, shared by versions
//!                                     │   ├─ leaf: about 128 entries of 84 bytes
//! ```
//!
//! A file of fewer than 64 pieces has one node, its root. [`Builder`] takes the entries of the pieces
//! in order and hands out node plaintexts bottom-up; [`Node::decode_root`] and
//! [`Node::decode_child`] check every total on the way down, so no offset can lie.

mod builder;
mod ends;
mod node;
#[cfg(test)]
mod tests;

pub use builder::{BuildError, Builder, Root};
pub use node::{Child, Located, ManifestEntry, ManifestError, Node, Target};
