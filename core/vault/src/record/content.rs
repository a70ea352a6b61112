//! A file's content: one value normally, several after concurrent writes.
//!
//! Contents form an observed-remove set named by the dot of the write. The modification time
//! belongs to its value but is a register of its own inside it: touching a file while another
//! device rewrites it must not look like two different contents.

use super::observed::Element;
use super::register::Register;
use freehold_crypto::{Cek, RootSalt};
use freehold_model::codec::{Encode, Writer};
use freehold_model::{ChunkId, Dot, Stamp};

/// A moment of file time: seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds; negative before 1970.
    pub secs: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nanos: u32,
}

/// One content value of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The write that made it; its dot names the value.
    pub stamp: Stamp,
    /// Its modification time.
    pub mtime: Register<Time>,
    /// The bytes, or where they are.
    pub body: Body,
}

impl Content {
    /// Length of the plain content.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.body.size()
    }
}

/// The bytes of a content value, or where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The bytes themselves, at most 2 KiB.
    Inline(Vec<u8>),
    /// Chunks under a manifest.
    Chunked(Chunked),
}

impl Body {
    /// The empty content.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Inline(Vec::new())
    }

    /// Length of the plain content.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Chunked(chunked) => chunked.size,
        }
    }

    /// Whether both are known to hold the same plain bytes.
    #[must_use]
    pub fn same_plain(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inline(a), Self::Inline(b)) => a == b,
            (Self::Chunked(a), Self::Chunked(b)) => a.size == b.size && a.plain_hash == b.plain_hash,
            _ => false,
        }
    }
}

/// Content kept in chunks: what opens and checks its root manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunked {
    /// Length of the plain content; the manifest's total must equal it.
    pub size: u64,
    /// How it was cut ([`crate::profile::Profile`] as a number).
    pub profile: u8,
    /// The sealed root manifest.
    pub root: ChunkId,
    /// With the content key, the root's key.
    pub root_salt: RootSalt,
    /// The content key of the file.
    pub cek: Cek,
    /// Keyed BLAKE3 of the whole plain content: tells equal contents from conflicts.
    pub plain_hash: [u8; 32],
}

impl Element for Content {
    type Key = ();

    fn key(&self) -> &() {
        &()
    }

    fn dot(&self) -> &Dot {
        &self.stamp.dot
    }

    fn absorb(&mut self, other: &Self) {
        self.mtime = self.mtime.merge(&other.mtime);
        // Two values under one dot come only from a hostile author; agree on the greater.
        let differ = self.stamp != other.stamp || self.body != other.body;
        if differ && (self.stamp, canonical(&self.body)) < (other.stamp, canonical(&other.body)) {
            self.stamp = other.stamp;
            self.body = other.body.clone();
        }
    }
}

fn canonical(body: &Body) -> Vec<u8> {
    let mut out = Writer::new();
    body.encode(&mut out);
    out.into_vec()
}
