//! One node of a manifest: its entries, its canonical bytes, and finding an offset in it.

use crate::limits::{FILE_BYTES_MAX, NODE_ENTRIES_MAX, NODE_LEVEL_MAX};
use freehold_crypto::ChunkKey;
use freehold_model::ChunkId;
use freehold_model::codec::{DecodeError, Reader, Writer};
use freehold_model::limits::CHUNK_PLAIN_BYTES_MAX;
use std::ops::Range;

/// First bytes of a node's plaintext.
const MAGIC: &[u8; 4] = b"FHM1";
const HEADER_LEN: usize = 4 + 1 + 2;
const ENTRY_LEN: usize = 32 + 32 + 16 + 4;
const CHILD_LEN: usize = ENTRY_LEN + 8;

/// A chunk and what opens and checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// The sealed chunk.
    pub chunk: ChunkId,
    /// Opens it.
    pub key: ChunkKey,
    /// Keyed hash of its plain content, for the local dedup index.
    pub h: [u8; 16],
    /// Length of its plain content, after decompression.
    pub plain_len: u32,
}

/// A child node and how much of the file is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The child's chunk. Its plain content is the child's encoding.
    pub node: ManifestEntry,
    /// Bytes of the file below it.
    pub span: u64,
}

/// A node of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Pieces of the file, in order.
    Leaf(Vec<ManifestEntry>),
    /// Nodes one level below, in order.
    Inner {
        /// 1 above leaves.
        level: u8,
        /// The nodes.
        children: Vec<Child>,
    },
}

/// A manifest node that does not say what its parent, or the record, says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not the canonical encoding of a node.
    #[error("a manifest node is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// Well-formed, but for another length or another level.
    #[error("a manifest node does not cover what its parent says")]
    Mismatch,
}

/// One hit of a range: a piece of the file, or the node to look in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A piece.
    Piece(&'a ManifestEntry),
    /// A node one level below; ask it for the same range less `start`.
    Child(&'a Child),
}

/// A target and where it begins, counted from the node's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<'a> {
    /// Offset of the target's first byte.
    pub start: u64,
    /// Bytes of the file it covers.
    pub len_bytes: u64,
    /// What is there.
    pub target: Target<'a>,
}

impl Node {
    /// 0 for leaves.
    #[must_use]
    pub const fn level(&self) -> u8 {
        match self {
            Self::Leaf(_) => 0,
            Self::Inner { level, .. } => *level,
        }
    }

    /// Bytes of the file the node covers.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.targets().fold(0, |sum, target| sum.saturating_add(target.len_bytes()))
    }

    /// The chunks the node names, in order: its reference list.
    pub fn refs(&self) -> impl Iterator<Item = ChunkId> + '_ {
        self.targets().map(|target| match target {
            Target::Piece(entry) => entry.chunk,
            Target::Child(child) => child.node.chunk,
        })
    }

    /// Everything that overlaps the range, in order. Offsets count from the node's first byte.
    pub fn locate(&self, range: Range<u64>) -> impl Iterator<Item = Located<'_>> + '_ {
        let (mut next, is_asked) = (0_u64, !range.is_empty());
        self.targets()
            .map(move |target| {
                let (start, len_bytes) = (next, target.len_bytes());
                next = next.saturating_add(len_bytes);
                Located { start, len_bytes, target }
            })
            .skip_while(move |found| found.start.saturating_add(found.len_bytes) <= range.start)
            .take_while(move |found| is_asked && found.start < range.end)
    }

    /// The canonical bytes, to be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = self.targets().count();
        let mut out = Writer::with_capacity(HEADER_LEN + count * CHILD_LEN);
        out.raw(MAGIC).u8(self.level()).u16(u16::try_from(count).expect("builders cut nodes long before"));
        match self {
            Self::Leaf(entries) => entries.iter().for_each(|entry| put_entry(entry, &mut out)),
            Self::Inner { children, .. } => children.iter().for_each(|child| {
                put_entry(&child.node, &mut out);
                out.u64(child.span);
            }),
        }
        out.into_vec()
    }

    /// Reads a node's plaintext and checks its totals.
    ///
    /// # Errors
    /// Anything but a canonical encoding within the limits is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        input.expect(MAGIC, "manifest magic")?;
        let level = input.u8()?;
        let count = usize::from(input.u16()?);
        if count == 0 || level > NODE_LEVEL_MAX {
            return Err(DecodeError::Invalid("manifest header"));
        }
        if count > NODE_ENTRIES_MAX {
            return Err(DecodeError::TooLong);
        }
        let item_len = if level == 0 { ENTRY_LEN } else { CHILD_LEN };
        if input.remaining() < count * item_len {
            return Err(DecodeError::Truncated);
        }
        let node = if level == 0 {
            Self::Leaf((0..count).map(|_| read_entry(&mut input)).collect::<Result<_, _>>()?)
        } else {
            let children = (0..count).map(|_| read_child(&mut input)).collect::<Result<_, _>>()?;
            Self::Inner { level, children }
        };
        input.finish()?;
        if node.total() > FILE_BYTES_MAX {
            return Err(DecodeError::Invalid("manifest total"));
        }
        Ok(node)
    }

    /// Reads a root, which must cover exactly the record's size.
    ///
    /// # Errors
    /// `Malformed`, `Mismatch`.
    pub fn decode_root(bytes: &[u8], size: u64) -> Result<Self, ManifestError> {
        let node = Self::decode(bytes)?;
        if node.total() == size { Ok(node) } else { Err(ManifestError::Mismatch) }
    }

    /// Reads a child of this node, which must cover what this node says and be one level below.
    ///
    /// # Errors
    /// `Malformed`, `Mismatch`.
    pub fn decode_child(&self, child: &Child, bytes: &[u8]) -> Result<Self, ManifestError> {
        let node = Self::decode(bytes)?;
        let fits = node.total() == child.span
            && node.level().checked_add(1) == Some(self.level())
            && u32::try_from(bytes.len()) == Ok(child.node.plain_len);
        if fits { Ok(node) } else { Err(ManifestError::Mismatch) }
    }

    fn targets(&self) -> impl Iterator<Item = Target<'_>> + '_ {
        let (entries, children) = match self {
            Self::Leaf(entries) => (entries.as_slice(), &[][..]),
            Self::Inner { children, .. } => (&[][..], children.as_slice()),
        };
        entries.iter().map(Target::Piece).chain(children.iter().map(Target::Child))
    }
}

impl Target<'_> {
    const fn len_bytes(&self) -> u64 {
        match self {
            Self::Piece(entry) => entry.plain_len as u64,
            Self::Child(child) => child.span,
        }
    }
}

fn put_entry(entry: &ManifestEntry, out: &mut Writer) {
    out.put(&entry.chunk).raw(entry.key.expose()).raw(&entry.h).u32(entry.plain_len);
}

fn read_entry(input: &mut Reader<'_>) -> Result<ManifestEntry, DecodeError> {
    let entry = ManifestEntry {
        chunk: input.get()?,
        key: ChunkKey::from_bytes(input.array()?),
        h: input.array()?,
        plain_len: input.u32()?,
    };
    let len = usize::try_from(entry.plain_len).unwrap_or(usize::MAX);
    let fits = (1..=CHUNK_PLAIN_BYTES_MAX).contains(&len);
    if fits { Ok(entry) } else { Err(DecodeError::Invalid("piece length")) }
}

fn read_child(input: &mut Reader<'_>) -> Result<Child, DecodeError> {
    let child = Child { node: read_entry(input)?, span: input.u64()? };
    let fits = (1..=FILE_BYTES_MAX).contains(&child.span);
    if fits { Ok(child) } else { Err(DecodeError::Invalid("child span")) }
}
