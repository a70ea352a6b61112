//! Sealing pieces of a file that is still being written.
//!
//! What is read of a job is cut by one thread at a time, piece by piece: whoever has cut a piece seals it while
//! another thread cuts the next. Sealing a piece takes three times as long as cutting it, so nobody waits long.

use super::seal::{CutError, Sealer};
use super::threads::on_threads;
use crate::body::ahead::AheadPiece;
use freehold_vault::chunker::Rule;
use freehold_vault::limits::FIXED_BLOCK_BYTES;
use freehold_vault::{Chunker, Profile};
use parking_lot::Mutex;
use std::ops::Range;

/// Bytes one thread reads in one go; a multiple of what staging seals in one piece.
const READ_BYTES: usize = 256 * 1024;

impl Sealer<'_> {
    /// Seals what of a range makes whole pieces, in order, by the offsets where they begin. The range begins at a
    /// cut or behind a hole; what is left at its end waits for what is written next. Chunks are pinned, unless a
    /// version has them. `bytes` is room for what is read, kept by the caller from job to job.
    ///
    /// # Errors
    /// [`CutError`]; pieces sealed by then are lost to the caller and their pins stay until those of all unfinished
    /// cuts go.
    pub(crate) fn seal_ahead(
        &self,
        profile: Profile,
        range: Range<u64>,
        bytes: &mut Vec<u8>,
        read: impl Fn(u64, &mut [u8]) -> Result<(), CutError> + Sync,
    ) -> Result<Vec<(u64, AheadPiece)>, CutError> {
        let begin = match profile.rule() {
            Some(_) => range.start,
            None => range.start.next_multiple_of(FIXED_BLOCK_BYTES).min(range.end),
        };
        bytes.resize(usize::try_from(range.end - begin).map_err(|_| CutError::TooLong)?, 0);
        read_all(begin, bytes, read)?;
        let cuts = Mutex::new(Cuts { chunker: &self.cutting.chunker, rule: profile.rule(), bytes, at: 0 });
        let sealed = Mutex::new(Vec::new());
        let bench = self.ahead_bench();
        on_threads(bytes.len() / READ_BYTES, || {
            let mut room = Vec::new();
            loop {
                // Others may cut once this is let go.
                let Some((at, piece)) = cuts.lock().next() else { return };
                let made = bench.ahead(piece, &mut room).map(|piece| (begin + at as u64, piece));
                sealed.lock().push(made);
            }
        });
        let mut sealed = sealed.into_inner().into_iter().collect::<Result<Vec<_>, _>>()?;
        sealed.sort_unstable_by_key(|(offset, _)| *offset);
        Ok(sealed)
    }
}

/// Fills the buffer from an offset on, several stretches at once.
fn read_all(
    begin: u64,
    bytes: &mut [u8],
    read: impl Fn(u64, &mut [u8]) -> Result<(), CutError> + Sync,
) -> Result<(), CutError> {
    let head = usize::try_from(begin.next_multiple_of(READ_BYTES as u64) - begin).unwrap_or(usize::MAX);
    let (head, rest) = bytes.split_at_mut(head.min(bytes.len()));
    let after = begin + head.len() as u64;
    let stretches = rest.chunks_mut(READ_BYTES).enumerate();
    let stretches = stretches.map(|(index, bytes)| (after + (index * READ_BYTES) as u64, bytes));
    let parts = stretches.len() + 1;
    let stretches = Mutex::new(std::iter::once((begin, head)).chain(stretches));
    let failed = Mutex::new(None);
    on_threads(parts, || {
        loop {
            let Some((offset, bytes)) = stretches.lock().next() else { return };
            if let Err(error) = read(offset, bytes) {
                *failed.lock() = Some(error);
            }
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// The pieces of some bytes, each by where it begins in them.
struct Cuts<'a> {
    chunker: &'a Chunker,
    /// `None` for blocks.
    rule: Option<Rule>,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Cuts<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        let len = match &self.rule {
            Some(rule) => self.chunker.cut(rule, rest)?,
            None => usize::try_from(FIXED_BLOCK_BYTES).ok()?,
        };
        let piece = rest.get(..len)?;
        let at = self.at;
        self.at += len;
        Some((at, piece))
    }
}
