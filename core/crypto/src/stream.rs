//! STREAM: a long plaintext as frames that cannot be dropped, reordered or swapped.
//!
//! The construction is that of Hoang, Reyhanitabar, Rogaway and Vizár (CRYPTO 2015), as age uses it
//! (C2SP age.md): nonce = `prefix[19]` ‖ frame index u32 ‖ last flag u8, the header as AAD of every
//! frame. A frame opens alone, in its own place only.

use crate::aead::XChaCha;
use crate::error::OpenError;
use crate::kdf::kdf;
use crate::labels;
use crate::limits::{FRAME_LEN, TAG_LEN};
use crate::secret::{Secret32, SecretBytes};

/// Bytes of a full sealed frame.
pub(crate) const SEALED_FRAME_LEN: usize = FRAME_LEN + TAG_LEN;

/// The frame cipher of one stream key. One key seals one (header, plaintext) pair, ever.
pub(crate) struct Frames {
    cipher: XChaCha,
    prefix_end: [u8; 3],
}

impl Frames {
    pub(crate) fn new(key: &Secret32) -> Self {
        let cipher_key: Secret32 = kdf(labels::CHUNK_ENC, key.expose(), &[]);
        let prefix: SecretBytes<19> = kdf(labels::CHUNK_NONCE, key.expose(), &[]);
        let (mut head, mut prefix_end) = ([0; 16], [0; 3]);
        head.copy_from_slice(&prefix.expose()[..16]);
        prefix_end.copy_from_slice(&prefix.expose()[16..]);
        Self { cipher: XChaCha::new(&cipher_key, &head), prefix_end }
    }

    pub(crate) fn seal(&self, place: FramePlace, header: &[u8], frame: &mut [u8]) -> [u8; TAG_LEN] {
        self.cipher.seal(&self.nonce_tail(place), header, frame)
    }

    pub(crate) fn open(
        &self,
        place: FramePlace,
        header: &[u8],
        frame: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        self.cipher.open(&self.nonce_tail(place), header, frame, tag)
    }

    fn nonce_tail(&self, place: FramePlace) -> [u8; 8] {
        let mut tail = [0; 8];
        tail[..3].copy_from_slice(&self.prefix_end);
        tail[3..7].copy_from_slice(&place.index.to_be_bytes());
        tail[7] = u8::from(place.last);
        tail
    }
}

/// Where a frame stands.
#[derive(Clone, Copy)]
pub(crate) struct FramePlace {
    pub(crate) index: u32,
    pub(crate) last: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_opens_in_its_own_place_only() {
        let frames = Frames::new(&Secret32::from_bytes([1; 32]));
        let place = FramePlace { index: 1, last: false };
        let mut sealed = [7; 40];
        let tag = frames.seal(place, b"header", &mut sealed);
        let open = |index, last, header: &[u8]| {
            let mut frame = sealed;
            frames.open(FramePlace { index, last }, header, &mut frame, &tag).map(|()| frame)
        };
        assert_eq!(open(1, false, b"header"), Ok([7; 40]));
        for (index, last) in [(0, false), (2, false), (1, true), (0x0100_0000, false), (u32::MAX, true)] {
            assert_eq!(open(index, last, b"header"), Err(OpenError::Refused), "{index} {last}");
        }
        assert_eq!(open(1, false, b"Header"), Err(OpenError::Refused));
    }
}
