//! What seals the journal, staging and the index: the device's local key.
//!
//! Every sealed run is bound to its place by its associated data (segment and offset, frame header,
//! row key), so ciphertext moved to another place does not open.

use crate::journal::Segment;
use crate::journal::frame::FrameHeader;
use crate::tables::OsEntropy;
use freehold_crypto::{LocalKey, LocalPurpose};
use freehold_model::Entropy;
use freehold_model::codec::Writer;
use std::sync::Arc;

/// Seals and opens local state.
pub(crate) struct Sealer {
    key: Arc<LocalKey>,
}

impl Sealer {
    pub(crate) const fn new(key: Arc<LocalKey>) -> Self {
        Self { key }
    }

    /// Bytes a piece takes on disk.
    pub(crate) const fn sealed_piece_len(plain_len: usize) -> usize {
        plain_len + LocalKey::OVERHEAD
    }

    /// Seals a piece for its place.
    pub(crate) fn seal_piece(&self, segment: &Segment, offset: u64, plain: &[u8]) -> Vec<u8> {
        self.key.seal(LocalPurpose::StagingExtent, &piece_place(segment, offset), plain, &mut OsEntropy)
    }

    /// As [`Self::seal_piece`], onto the end of a buffer.
    pub(crate) fn seal_piece_into(
        &self,
        segment: &Segment,
        offset: u64,
        plain: &[u8],
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) {
        self.key.seal_into(LocalPurpose::StagingExtent, &piece_place(segment, offset), plain, entropy, out);
    }

    /// Opens a piece read from a place, in its buffer; on `None` that holds anything.
    pub(crate) fn open_piece(
        &self,
        segment: &Segment,
        offset: u64,
        head: &[u8; LocalKey::HEAD],
        data: &mut [u8],
        tag: &[u8; LocalKey::TAG],
    ) -> Option<()> {
        let place = piece_place(segment, offset);
        self.key.open_in_place(LocalPurpose::StagingExtent, &place, head, data, tag).ok()
    }

    /// Bytes a state frame's items take on disk, without the frame header.
    pub(crate) const fn sealed_frame_len(plain_len: usize) -> usize {
        plain_len + LocalKey::OVERHEAD
    }

    /// Seals a part of a batch for its place.
    pub(crate) fn seal_frame(
        &self,
        segment: u64,
        offset: u64,
        header: &FrameHeader,
        plain: &[u8],
    ) -> Vec<u8> {
        self.key.seal(
            LocalPurpose::JournalFrame,
            &frame_place(segment, offset, header),
            plain,
            &mut OsEntropy,
        )
    }

    /// Opens a part of a batch.
    pub(crate) fn open_frame(
        &self,
        segment: u64,
        offset: u64,
        header: &FrameHeader,
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        self.key.open(LocalPurpose::JournalFrame, &frame_place(segment, offset, header), sealed).ok()
    }

    /// Seals an index row.
    pub(crate) fn seal_row(&self, table: u8, key: &[u8], plain: &[u8]) -> Vec<u8> {
        self.key.seal(LocalPurpose::IndexRow, &row_place(table, key), plain, &mut OsEntropy)
    }

    /// Opens an index row.
    pub(crate) fn open_row(&self, table: u8, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        self.key.open(LocalPurpose::IndexRow, &row_place(table, key), sealed).ok()
    }
}

fn piece_place(segment: &Segment, offset: u64) -> Vec<u8> {
    let mut aad = Writer::with_capacity(17);
    aad.u8(segment.kind as u8).u64(segment.number).u64(offset);
    aad.into_vec()
}

fn frame_place(segment: u64, offset: u64, header: &FrameHeader) -> Vec<u8> {
    let mut aad = Writer::with_capacity(36);
    aad.u64(segment).u64(offset).raw(&header.encode());
    aad.into_vec()
}

fn row_place(table: u8, key: &[u8]) -> Vec<u8> {
    let mut aad = Writer::with_capacity(1 + key.len());
    aad.u8(table).raw(key);
    aad.into_vec()
}
