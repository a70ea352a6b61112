//! Sealing pieces of a file that is still being written.

use super::seal::{CutError, Sealer};
use crate::body::ahead::AheadPiece;
use freehold_vault::Profile;
use freehold_vault::limits::FIXED_BLOCK_BYTES;
use std::ops::Range;

/// Bytes of one read; a multiple of what staging seals in one piece.
const READ_BYTES: u64 = 256 * 1024;

impl Sealer<'_> {
    /// Seals what of a range makes whole pieces, in order, by the offsets where they begin. The range begins at a
    /// cut or behind a hole; what is left at its end waits for what is written next. Chunks are pinned, unless a
    /// version has them.
    ///
    /// # Errors
    /// [`CutError`]; pieces sealed by then are lost to the caller and their pins stay until those of all unfinished
    /// cuts go.
    pub(crate) fn seal_ahead(
        &self,
        profile: Profile,
        range: Range<u64>,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), CutError>,
    ) -> Result<Vec<(u64, AheadPiece)>, CutError> {
        let mut sealed = Vec::new();
        let Some(rule) = profile.rule() else {
            let mut block = vec![0; FIXED_BLOCK_BYTES as usize];
            for index in range.start.div_ceil(FIXED_BLOCK_BYTES)..range.end / FIXED_BLOCK_BYTES {
                let offset = index * FIXED_BLOCK_BYTES;
                read(offset, &mut block)?;
                sealed.push((offset, self.ahead(&block)?));
            }
            return Ok(sealed);
        };
        let mut cutter = self.cutting.chunker.cutter(rule);
        let (mut begin, mut at) = (range.start, range.start);
        let (mut piece, mut bytes) = (Vec::new(), Vec::new());
        while at < range.end {
            let end = range.end.min((at / READ_BYTES + 1) * READ_BYTES);
            bytes.resize(usize::try_from(end - at).map_err(|_| CutError::TooLong)?, 0);
            read(at, &mut bytes)?;
            at = end;
            let mut rest = bytes.as_slice();
            while let Some(taken) = cutter.push(rest) {
                let (last, after) = rest.split_at(taken);
                piece.extend_from_slice(last);
                sealed.push((begin, self.ahead(&piece)?));
                begin += piece.len() as u64;
                piece.clear();
                rest = after;
            }
            piece.extend_from_slice(rest);
        }
        Ok(sealed)
    }
}
