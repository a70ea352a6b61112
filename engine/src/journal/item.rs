//! The items of a batch: what the journal says about one node, body or piece of sync state.
//!
//! Every item replaces what earlier batches said about the same thing, except for a body's *delta*,
//! which continues the generation before it; a missing generation shows as a gap and marks the file
//! as damaged. Index rows hold the same encodings.

use crate::{Ino, Time};
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::{ChunkId, CommitHash, FileId, VersionHash};

/// Bytes of one record or value an item may carry.
const VALUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Entries a list decoder accepts; the bytes of the frame bound it further.
const OPS_MAX: usize = 4 * 1024 * 1024;

/// The durable state of one node besides its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeImage {
    pub(crate) ino: Ino,
    pub(crate) file: FileId,
    pub(crate) atime: Time,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
    /// The own write counter at the oldest change no commit carries yet; 0 when there is none.
    pub(crate) dirty_since: u64,
    /// Versions the server knows that nothing has superseded.
    pub(crate) heads: Vec<VersionHash>,
    /// Own versions that are not numbered and placed yet.
    pub(crate) unplaced: Vec<VersionHash>,
    /// The record, canonical.
    pub(crate) record: Vec<u8>,
}

/// Where a run of a body comes from, on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// A sealed piece of this device.
    Piece { segment: u64, offset: u64, sealed_len: u32, piece_len: u32, skip: u32 },
    /// Bytes of a version: `content` counts in the image's own list.
    Clean { content: u32, offset: u64 },
    /// Bytes lost to damage.
    Lost,
}

/// One change of an extent map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyOp {
    /// Show a run.
    Show { offset: u64, len: u64, run: Run },
    /// Make a hole.
    Clear { offset: u64, len: u64 },
    /// Set the size; a smaller one clears what lies beyond.
    Size(u64),
}

/// How an image relates to the generation before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyMode {
    /// The body is the record's current content again.
    Clean,
    /// The operations rebuild the whole body from nothing.
    Full,
    /// The operations continue the generation before.
    Delta,
}

/// The change of one body in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BodyImage {
    pub(crate) file: FileId,
    /// Separates a version-swapped old body from its file's current one: 0 for the current one,
    /// else the detached inode.
    pub(crate) detached: Ino,
    pub(crate) generation: u64,
    pub(crate) mode: BodyMode,
    /// The record as it was when the body was first written, if remote content came meanwhile.
    pub(crate) base: Option<Vec<u8>>,
    /// Contents the runs refer to: encoded vault bodies.
    pub(crate) contents: Vec<Vec<u8>>,
    pub(crate) ops: Vec<BodyOp>,
}

/// One thing a batch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A node is so.
    Node(NodeImage),
    /// A node is no more.
    Gone(FileId),
    /// A body changed.
    Body(BodyImage),
    /// A detached body is no more.
    BodyGone { file: FileId, detached: Ino },
    /// A value of sync state; empty removes it.
    Meta { key: u16, value: Vec<u8> },
    /// A signed commit on its way: its bytes, and what must travel with it.
    Outbox { hash: CommitHash, commit: Vec<u8>, payload: Vec<u8> },
    /// The commit has a number; it need not be kept.
    OutboxGone(CommitHash),
    /// Chunks a node needs kept on this device until they are placed; replaces the list.
    Pins { file: FileId, chunks: Vec<ChunkId> },
}

impl Encode for Time {
    fn encode(&self, out: &mut Writer) {
        out.i64(self.secs).u32(self.nanos);
    }
}

impl Decode for Time {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let time = Self { secs: input.i64()?, nanos: input.u32()? };
        if time.nanos < 1_000_000_000 { Ok(time) } else { Err(DecodeError::Invalid("time")) }
    }
}

fn put_list<T: Encode>(list: &[T], out: &mut Writer) {
    out.u32(u32::try_from(list.len()).expect("lists are bounded by their writers"));
    for item in list {
        out.put(item);
    }
}

fn take_list<T: Decode>(input: &mut Reader<'_>, max: usize, min_bytes: usize) -> Result<Vec<T>, DecodeError> {
    let count = input.count(max, min_bytes)?;
    (0..count).map(|_| input.get()).collect()
}

impl Encode for NodeImage {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.ino).put(&self.file);
        out.put(&self.atime).put(&self.mtime).put(&self.ctime);
        out.u64(self.dirty_since);
        put_list(&self.heads, out);
        put_list(&self.unplaced, out);
        out.var_bytes(&self.record);
    }
}

impl Decode for NodeImage {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            ino: input.u64()?,
            file: input.get()?,
            atime: input.get()?,
            mtime: input.get()?,
            ctime: input.get()?,
            dirty_since: input.u64()?,
            heads: take_list(input, OPS_MAX, 32)?,
            unplaced: take_list(input, OPS_MAX, 32)?,
            record: input.var_bytes(VALUE_BYTES_MAX)?.to_vec(),
        })
    }
}

impl Encode for Run {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Piece { segment, offset, sealed_len, piece_len, skip } => {
                out.u8(1).u64(*segment).u64(*offset).u32(*sealed_len).u32(*piece_len).u32(*skip)
            }
            Self::Clean { content, offset } => out.u8(2).u32(*content).u64(*offset),
            Self::Lost => out.u8(3),
        };
    }
}

impl Decode for Run {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            1 => Ok(Self::Piece {
                segment: input.u64()?,
                offset: input.u64()?,
                sealed_len: input.u32()?,
                piece_len: input.u32()?,
                skip: input.u32()?,
            }),
            2 => Ok(Self::Clean { content: input.u32()?, offset: input.u64()? }),
            3 => Ok(Self::Lost),
            _ => Err(DecodeError::Unknown("run")),
        }
    }
}

impl Encode for BodyOp {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Show { offset, len, run } => out.u8(1).u64(*offset).u64(*len).put(run),
            Self::Clear { offset, len } => out.u8(2).u64(*offset).u64(*len),
            Self::Size(size) => out.u8(3).u64(*size),
        };
    }
}

impl Decode for BodyOp {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            1 => Ok(Self::Show { offset: input.u64()?, len: input.u64()?, run: input.get()? }),
            2 => Ok(Self::Clear { offset: input.u64()?, len: input.u64()? }),
            3 => input.u64().map(Self::Size),
            _ => Err(DecodeError::Unknown("body operation")),
        }
    }
}

impl Encode for BodyImage {
    fn encode(&self, out: &mut Writer) {
        let mode = match self.mode {
            BodyMode::Clean => 1,
            BodyMode::Full => 2,
            BodyMode::Delta => 3,
        };
        out.put(&self.file).u64(self.detached).u64(self.generation).u8(mode);
        out.var_bytes(self.base.as_deref().unwrap_or_default());
        out.u32(u32::try_from(self.contents.len()).expect("contents are bounded by the extents"));
        for content in &self.contents {
            out.var_bytes(content);
        }
        put_list(&self.ops, out);
    }
}

impl Decode for BodyImage {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (file, detached, generation) = (input.get()?, input.u64()?, input.u64()?);
        let mode = match input.u8()? {
            1 => BodyMode::Clean,
            2 => BodyMode::Full,
            3 => BodyMode::Delta,
            _ => return Err(DecodeError::Unknown("body mode")),
        };
        let base = input.var_bytes(VALUE_BYTES_MAX)?;
        let base = (!base.is_empty()).then(|| base.to_vec());
        let count = input.count(OPS_MAX, 4)?;
        let contents = (0..count)
            .map(|_| input.var_bytes(VALUE_BYTES_MAX).map(<[u8]>::to_vec))
            .collect::<Result<_, _>>()?;
        Ok(Self { file, detached, generation, mode, base, contents, ops: take_list(input, OPS_MAX, 9)? })
    }
}

impl Encode for Item {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Node(image) => out.u8(1).put(image),
            Self::Gone(file) => out.u8(2).put(file),
            Self::Body(image) => out.u8(3).put(image),
            Self::BodyGone { file, detached } => out.u8(4).put(file).u64(*detached),
            Self::Meta { key, value } => out.u8(5).u16(*key).var_bytes(value),
            Self::Outbox { hash, commit, payload } => {
                out.u8(6).put(hash).var_bytes(commit).var_bytes(payload)
            }
            Self::OutboxGone(hash) => out.u8(7).put(hash),
            Self::Pins { file, chunks } => {
                out.u8(8).put(file);
                put_list(chunks, out);
                out
            }
        };
    }
}

impl Decode for Item {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            1 => input.get().map(Self::Node),
            2 => input.get().map(Self::Gone),
            3 => input.get().map(Self::Body),
            4 => Ok(Self::BodyGone { file: input.get()?, detached: input.u64()? }),
            5 => Ok(Self::Meta { key: input.u16()?, value: input.var_bytes(VALUE_BYTES_MAX)?.to_vec() }),
            6 => Ok(Self::Outbox {
                hash: input.get()?,
                commit: input.var_bytes(VALUE_BYTES_MAX)?.to_vec(),
                payload: input.var_bytes(VALUE_BYTES_MAX)?.to_vec(),
            }),
            7 => input.get().map(Self::OutboxGone),
            8 => Ok(Self::Pins { file: input.get()?, chunks: take_list(input, OPS_MAX, 32)? }),
            _ => Err(DecodeError::Unknown("journal item")),
        }
    }
}

/// Decodes the items of one state frame.
pub(crate) fn decode_all(bytes: &[u8]) -> Result<Vec<Item>, DecodeError> {
    let mut input = Reader::new(bytes);
    let mut items = Vec::new();
    while input.remaining() > 0 {
        items.push(input.get()?);
    }
    Ok(items)
}
