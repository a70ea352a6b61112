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
use freehold_vault::record::Body;
use std::sync::Arc;

/// Everything a read needs besides the stretches.
pub(crate) struct Reader {
    /// Absent for a volume in memory, which has nothing sealed.
    pub(crate) sealer: Option<Arc<Sealer>>,
    /// Absent where no version has chunks.
    pub(crate) clean: Option<CleanReader>,
    pub(crate) plain: PlainCache,
}

impl Reader {
    /// Reads stretches, in order, into one buffer.
    ///
    /// # Errors
    /// `Missing` with every chunk that is known to be missing; `Failed`.
    pub(crate) fn read(&self, stretches: &[Stretch]) -> Result<Vec<u8>, Blocked> {
        let total: u64 = stretches.iter().map(|stretch| stretch.len).sum();
        let mut out = Vec::with_capacity(usize::try_from(total).map_err(|_| FsError::Invalid)?);
        let mut missing = Vec::new();
        for stretch in stretches {
            let len = usize::try_from(stretch.len).map_err(|_| FsError::Invalid)?;
            let end = out.len() + len;
            let read = match &stretch.source {
                None => Ok(()),
                Some(Source::Piece { piece, skip }) => {
                    self.piece(piece, *skip as usize, len, &mut out).map_err(Blocked::Failed)
                }
                Some(Source::Clean { content, offset }) => self.version(content, *offset, len, &mut out),
            };
            match read {
                Err(Blocked::Missing(ids)) => missing.extend(ids),
                other => other?,
            }
            out.resize(end, 0);
        }
        if missing.is_empty() { Ok(out) } else { Err(Blocked::Missing(missing)) }
    }

    /// Fills a buffer with stretches, in order, for a reader that comes once: what it opens is not kept.
    ///
    /// # Errors
    /// As [`Self::read`]; `Invalid` where the buffer is of another length.
    pub(crate) fn fill(&self, stretches: &[Stretch], buffer: &mut [u8]) -> Result<(), Blocked> {
        let (mut rest, mut missing) = (buffer, Vec::new());
        for stretch in stretches {
            let len = usize::try_from(stretch.len).map_err(|_| FsError::Invalid)?;
            let (part, after) = rest.split_at_mut_checked(len).ok_or(FsError::Invalid)?;
            rest = after;
            let read = match &stretch.source {
                None => {
                    part.fill(0);
                    Ok(())
                }
                Some(Source::Piece { piece, skip }) => {
                    self.fill_piece(piece, *skip as usize, part).map_err(Blocked::Failed)
                }
                Some(Source::Clean { content, offset }) => {
                    let mut bytes = Vec::with_capacity(len);
                    let read = self.version(content, *offset, len, &mut bytes);
                    // A version whose pieces are shorter than it says is another device's lie.
                    if read.is_ok() && bytes.len() != len {
                        return Err(FsError::Damaged.into());
                    }
                    read.map(|()| part.copy_from_slice(&bytes))
                }
            };
            match read {
                Err(Blocked::Missing(ids)) => missing.extend(ids),
                other => other?,
            }
        }
        match (missing.is_empty(), rest.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(FsError::Invalid.into()),
            (false, _) => Err(Blocked::Missing(missing)),
        }
    }

    /// Appends exactly `len` bytes of a version.
    fn version(&self, content: &Body, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<(), Blocked> {
        match &self.clean {
            Some(clean) => clean.read(content, offset..offset + len as u64, &self.plain, out),
            None => inline(content, offset, len, out).map_err(Blocked::Failed),
        }
    }

    fn fill_piece(&self, piece: &Piece, skip: usize, part: &mut [u8]) -> Result<(), FsError> {
        let place = piece.place();
        let opened;
        let bytes: &[u8] = match &place {
            Place::Lost => return Err(FsError::Damaged),
            Place::Memory(bytes) | Place::Leaving(bytes, _) => bytes,
            Place::Stored(loc) => {
                let sealer = self.sealer.as_ref().ok_or(FsError::Io)?;
                if skip == 0 && part.len() == piece.len() as usize {
                    return loc.read_into(sealer, part);
                }
                opened = loc.read(sealer)?;
                &opened
            }
        };
        part.copy_from_slice(bytes.get(skip..skip + part.len()).ok_or(FsError::Damaged)?);
        Ok(())
    }

    fn piece(&self, piece: &Piece, skip: usize, len: usize, out: &mut Vec<u8>) -> Result<(), FsError> {
        match piece.place() {
            Place::Lost => return Err(FsError::Damaged),
            Place::Memory(bytes) | Place::Leaving(bytes, _) => {
                out.extend_from_slice(bytes.get(skip..skip + len).ok_or(FsError::Damaged)?)
            }
            Place::Stored(loc) => {
                let sealer = self.sealer.as_ref().ok_or(FsError::Io)?;
                let key = Key::Piece(loc.segment.number, loc.offset);
                let opened = self.plain.get_or(key, || loc.read(sealer))?;
                out.extend_from_slice(opened.get(skip..skip + len).ok_or(FsError::Damaged)?);
            }
        }
        Ok(())
    }
}

fn inline(content: &Body, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<(), FsError> {
    let Body::Inline(bytes) = content else { return Err(FsError::Unreachable) };
    let start = usize::try_from(offset).map_err(|_| FsError::Damaged)?;
    out.extend_from_slice(bytes.get(start..start + len).ok_or(FsError::Damaged)?);
    Ok(())
}
