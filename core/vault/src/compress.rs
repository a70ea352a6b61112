//! Compression of pieces before they are sealed: zstd level 1, where it pays.
//!
//! A sample decides: media and archives cost 12 KiB of trial, not a whole pass. A body is kept
//! compressed only when it shrinks by more than 5 %, because a plain one can be read frame by frame.
//! Browsers decompress with `ruzstd` and never compress: the C library does not build for wasm32.

use freehold_crypto::{ChunkPayload, Compression};
use freehold_model::limits::CHUNK_PLAIN_BYTES_MAX;
use std::borrow::Cow;

/// The body of an opened chunk does not unfold to what its manifest entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk's body does not unfold to the length its manifest names")]
pub struct MalformedBody;

/// The body to seal for a piece.
#[must_use]
pub fn maybe_compress(plain: &[u8]) -> ChunkPayload<'_> {
    match backend::compress(plain) {
        Some(body) => ChunkPayload { compression: Compression::Zstd, body: Cow::Owned(body) },
        None => ChunkPayload { compression: Compression::None, body: Cow::Borrowed(plain) },
    }
}

/// The piece in an opened chunk. Never holds more than `plain_len` bytes, whatever the body says.
///
/// # Errors
/// When the body is damaged or of another length.
pub fn unfold(payload: ChunkPayload<'_>, plain_len: u32) -> Result<Vec<u8>, MalformedBody> {
    let len = usize::try_from(plain_len).map_err(|_| MalformedBody)?;
    if len > CHUNK_PLAIN_BYTES_MAX {
        return Err(MalformedBody);
    }
    let plain = match payload.compression {
        Compression::None => payload.body.into_owned(),
        Compression::Zstd => backend::decompress(&payload.body, len).ok_or(MalformedBody)?,
    };
    if plain.len() == len { Ok(plain) } else { Err(MalformedBody) }
}

#[cfg(not(target_arch = "wasm32"))]
mod backend {
    use std::cell::RefCell;
    use zstd::bulk::Compressor;

    const LEVEL: i32 = 1;
    const SAMPLE_BYTES: usize = 4 * 1024;
    /// Below this a zstd frame's header eats what could be won.
    const MIN_BYTES: usize = 64;

    thread_local! {
        /// Making one costs a third of a trial; `None` where there was no memory for it.
        static ZSTD: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL).ok());
    }

    pub(super) fn compress(plain: &[u8]) -> Option<Vec<u8>> {
        if plain.len() < MIN_BYTES {
            return None;
        }
        ZSTD.with_borrow_mut(|zstd| {
            let zstd = zstd.as_mut()?;
            if let Some(sample) = sample(plain) {
                pays(sample.len(), zstd.compress(&sample).ok()?.len()).then_some(())?;
            }
            let body = zstd.compress(plain).ok()?;
            pays(plain.len(), body.len()).then_some(body)
        })
    }

    /// Three slices from start, middle and end; `None` where trying the whole costs no more.
    fn sample(plain: &[u8]) -> Option<Vec<u8>> {
        if plain.len() <= 4 * SAMPLE_BYTES {
            return None;
        }
        let starts = [0, (plain.len() - SAMPLE_BYTES) / 2, plain.len() - SAMPLE_BYTES];
        let slices = starts.map(|start| plain.get(start..start + SAMPLE_BYTES).unwrap_or_default());
        Some(slices.concat())
    }

    /// Shrunk by more than 5 %.
    const fn pays(before: usize, after: usize) -> bool {
        after * 20 < before * 19
    }

    pub(super) fn decompress(body: &[u8], plain_len: usize) -> Option<Vec<u8>> {
        let mut plain = Vec::with_capacity(plain_len);
        zstd::bulk::Decompressor::new().ok()?.decompress_to_buffer(body, &mut plain).ok()?;
        Some(plain)
    }
}

#[cfg(target_arch = "wasm32")]
mod backend {
    pub(super) const fn compress(_plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    pub(super) fn decompress(body: &[u8], plain_len: usize) -> Option<Vec<u8>> {
        super::portable::decompress(body, plain_len)
    }
}

/// The browser's decompressor; native builds have it in tests only, beside its oracle.
#[cfg(any(target_arch = "wasm32", test))]
mod portable {
    use freehold_model::limits::CHUNK_PLAIN_BYTES_MAX;
    use ruzstd::decoding::FrameDecoder;

    pub(super) fn decompress(body: &[u8], plain_len: usize) -> Option<Vec<u8>> {
        let mut plain = vec![0; plain_len];
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(CHUNK_PLAIN_BYTES_MAX as u64);
        let written = decoder.decode_all(body, &mut plain).ok()?;
        plain.truncate(written);
        Some(plain)
    }
}

#[cfg(test)]
mod tests;
