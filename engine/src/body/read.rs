//! Reading a range: holes, pieces and versions put together.
//!
//! The range is resolved to stretches under the tables' lock; the stretches hold their pieces and
//! versions, so what is read is one moment of the file, whatever is written meanwhile.

use crate::FsError;
use crate::body::Source;
use crate::body::cache::{Key, PlainCache};
use crate::body::clean::{Blocked, CleanReader};
use crate::body::extents::Stretch;
use crate::body::piece::{Piece, Place};
use crate::journal::Sealer;
use std::sync::Arc;

/// Everything a read needs besides the stretches.
pub(crate) struct Reader {
    /// Absent for a volume in memory, which has nothing sealed.
    pub(crate) sealer: Option<Arc<Sealer>>,
    /// Absent where no version has chunks.
    pub(crate) clean: Option<CleanReader>,
    pub(crate) plain: PlainCache,
}

/// What of the opened bytes is kept for the next read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Opened,
    Nothing,
}

impl Reader {
    /// Reads stretches, in order, into one buffer.
    ///
    /// # Errors
    /// `Missing` with every chunk that is known to be missing; `Failed`.
    pub(crate) fn read(&self, stretches: &[Stretch]) -> Result<Vec<u8>, Blocked> {
        self.collect(stretches, Keep::Opened)
    }

    /// As [`Self::read`], for a reader that comes once: what it opens is not kept.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_once(&self, stretches: &[Stretch]) -> Result<Vec<u8>, Blocked> {
        self.collect(stretches, Keep::Nothing)
    }

    fn collect(&self, stretches: &[Stretch], keep: Keep) -> Result<Vec<u8>, Blocked> {
        let total: u64 = stretches.iter().map(|stretch| stretch.len).sum();
        let mut out = Vec::with_capacity(usize::try_from(total).map_err(|_| FsError::Invalid)?);
        let mut missing = Vec::new();
        for stretch in stretches {
            let len = usize::try_from(stretch.len).map_err(|_| FsError::Invalid)?;
            let end = out.len() + len;
            let read = match &stretch.source {
                None => Ok(()),
                Some(Source::Piece { piece, skip }) => {
                    self.piece(piece, *skip, len, keep, &mut out).map_err(Blocked::Failed)
                }
                Some(Source::Clean { content, offset }) => match &self.clean {
                    Some(clean) => clean.read(content, *offset..*offset + stretch.len, &self.plain, &mut out),
                    None => inline(content, *offset, len, &mut out).map_err(Blocked::Failed),
                },
            };
            match read {
                Err(Blocked::Missing(ids)) => missing.extend(ids),
                other => other?,
            }
            out.resize(end, 0);
        }
        if missing.is_empty() { Ok(out) } else { Err(Blocked::Missing(missing)) }
    }

    fn piece(
        &self,
        piece: &Piece,
        skip: u32,
        len: usize,
        keep: Keep,
        out: &mut Vec<u8>,
    ) -> Result<(), FsError> {
        let skip = skip as usize;
        match piece.place() {
            Place::Lost => return Err(FsError::Damaged),
            Place::Memory(bytes) | Place::Leaving(bytes, _) => {
                out.extend_from_slice(bytes.get(skip..skip + len).ok_or(FsError::Damaged)?)
            }
            Place::Stored(loc) => {
                let sealer = self.sealer.as_ref().ok_or(FsError::Io)?;
                let key = Key::Piece(loc.segment.number, loc.offset);
                let (kept, opened);
                let opened: &[u8] = match keep {
                    Keep::Opened => {
                        kept = self.plain.get_or(key, || loc.read(sealer))?;
                        &kept
                    }
                    Keep::Nothing => {
                        opened = loc.read(sealer)?;
                        &opened
                    }
                };
                out.extend_from_slice(opened.get(skip..skip + len).ok_or(FsError::Damaged)?);
            }
        }
        Ok(())
    }
}

fn inline(
    content: &freehold_vault::record::Body,
    offset: u64,
    len: usize,
    out: &mut Vec<u8>,
) -> Result<(), FsError> {
    let freehold_vault::record::Body::Inline(bytes) = content else { return Err(FsError::Unreachable) };
    let start = usize::try_from(offset).map_err(|_| FsError::Damaged)?;
    out.extend_from_slice(bytes.get(start..start + len).ok_or(FsError::Damaged)?);
    Ok(())
}
