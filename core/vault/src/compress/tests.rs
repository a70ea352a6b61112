//! Both decompressors against the one compressor.

use super::*;
use proptest::prelude::*;

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut bytes);
    bytes
}

fn zstd(body: &[u8]) -> ChunkPayload<'_> {
    ChunkPayload { compression: Compression::Zstd, body: Cow::Borrowed(body) }
}

#[test]
fn text_is_compressed_and_noise_is_not() {
    let text = b"the quick brown fox ".repeat(10_000);
    assert_eq!(maybe_compress(&text).compression, Compression::Zstd);
    assert_eq!(maybe_compress(&noise(200_000)).compression, Compression::None);
    assert_eq!(maybe_compress(&noise(5_000)).compression, Compression::None);
    assert_eq!(maybe_compress(&[0; 63]).compression, Compression::None);
}

#[test]
fn a_compressible_sample_of_an_incompressible_piece_does_not_grow_it() {
    let mut piece = noise(256 * 1024);
    piece[..4096].fill(0);
    let payload = maybe_compress(&piece);
    assert_eq!(payload.compression, Compression::None);
}

#[test]
fn a_body_is_compressed_only_when_more_than_a_twentieth_is_saved() {
    // Zeros at the begin of every 100 bytes: their share is what a compressor saves at most.
    for (zeros, expected) in [(4, Compression::None), (30, Compression::Zstd)] {
        let mut piece = noise(256 * 1024);
        piece.chunks_exact_mut(100).for_each(|part| part[..zeros].fill(0));
        assert_eq!(maybe_compress(&piece).compression, expected, "{zeros} %");
    }
}

#[test]
fn a_bomb_is_stopped_at_the_named_length() {
    let bomb = maybe_compress(&vec![0; 4 * 1024 * 1024]).body.into_owned();
    assert!(bomb.len() < 2_000);
    for claimed in [0, 1, 4_095, 4 * 1024 * 1024 - 1, u32::MAX] {
        assert_eq!(unfold(zstd(&bomb), claimed), Err(MalformedBody), "{claimed}");
        assert_ne!(
            portable::decompress(&bomb, (claimed as usize).min(1 << 22) / 2).map(|p| p.len()),
            Some(1 << 22)
        );
    }
}

proptest! {
    #[test]
    fn pieces_survive_both_decompressors(seed in any::<[u8; 32]>(), repeat in 1_usize..400) {
        let plain = seed.repeat(repeat);
        let payload = maybe_compress(&plain);
        if payload.compression == Compression::Zstd {
            prop_assert_eq!(portable::decompress(&payload.body, plain.len()), Some(plain.clone()));
        }
        prop_assert_eq!(unfold(payload, plain.len() as u32), Ok(plain));
    }

    #[test]
    fn damaged_bodies_never_panic_and_never_grow(
        seed in any::<[u8; 8]>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let plain = seed.repeat(500);
        let mut body = maybe_compress(&plain).body.into_owned();
        let index = at.index(body.len());
        body[index] = byte;
        for result in [unfold(zstd(&body), plain.len() as u32).ok(), portable::decompress(&body, plain.len())] {
            prop_assert!(result.is_none_or(|found| found.len() <= plain.len()));
        }
    }

    #[test]
    fn random_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = unfold(zstd(&body), 1_000);
        let _ = portable::decompress(&body, 1_000);
    }
}
