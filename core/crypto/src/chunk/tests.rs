//! What a storage node can do to a chunk, and what two encodings can never share.

use super::{ChunkKey, ChunkOpener, ChunkPayload, Compression, SealedChunk, open_chunk};
use crate::error::OpenError;
use crate::keyring::VaultKeyring;
use crate::limits::{CHUNK_BODY_BYTES_MAX, CHUNK_BYTES_MAX, CHUNK_HEADER_LEN};
use crate::secret::Secret32;
use crate::testing::{Seeded, bit_flips};
use crate::vault_key::VaultKey;
use freehold_model::VaultId;
use proptest::prelude::*;
use std::collections::BTreeMap;

const SEALED_FRAME: usize = 16_384 + 16;

fn keyring(key: u8) -> VaultKeyring {
    let key = VaultKey::from_parts(1, Secret32::from_bytes([key; 32]));
    VaultKeyring::new(VaultId::from_bytes([9; 16]), vec![key]).expect("one generation")
}

fn payload(body: &[u8], compression: Compression) -> ChunkPayload<'_> {
    ChunkPayload { compression, body: body.into() }
}

fn seal(body: &[u8]) -> SealedChunk {
    keyring(1).seal_chunk(&payload(body, Compression::None))
}

fn opener(chunk: &SealedChunk) -> ChunkOpener {
    ChunkOpener::new(&chunk.key, &chunk.bytes[..CHUNK_HEADER_LEN]).expect("a sealed header")
}

#[test]
fn every_length_comes_back_under_an_id_anyone_can_check() {
    for len in
        [0, 1, 2, 2_048, 2_049, 16_379, 16_380, 16_381, 16_383, 16_384, 16_385, 32_764, 65_536, 262_144]
    {
        for compression in [Compression::None, Compression::Zstd] {
            let body = Seeded::new("body").bytes(len);
            let chunk = keyring(1).seal_chunk(&payload(&body, compression));
            assert_eq!(chunk.id.as_bytes(), blake3::hash(&chunk.bytes).as_bytes(), "{len}");
            assert_eq!(opener(&chunk).sealed_len(), chunk.bytes.len(), "{len}");
            assert_eq!(open_chunk(&chunk.key, &chunk.bytes), Ok(payload(&body, compression)), "{len}");
        }
    }
}

#[test]
fn the_largest_chunk_fits_its_limits() {
    let chunk = seal(&vec![1; CHUNK_BODY_BYTES_MAX]);
    assert!(chunk.bytes.len() <= CHUNK_BYTES_MAX);
    assert_eq!(
        open_chunk(&chunk.key, &chunk.bytes).map(|payload| payload.body.len()),
        Ok(CHUNK_BODY_BYTES_MAX)
    );
}

#[test]
fn fixed_pieces_grow_by_less_than_a_fifth_of_a_percent() {
    for len in [65_536, 262_144] {
        let sealed_len = seal(&vec![1; len]).bytes.len();
        assert!((sealed_len - len) * 500 < len, "{len} became {sealed_len}");
    }
}

#[test]
fn equal_content_seals_to_equal_bytes() {
    let (one, two) = (seal(b"twice"), seal(b"twice"));
    assert_eq!((one.id, &one.key, &one.bytes), (two.id, &two.key, &two.bytes));
}

#[test]
fn any_flipped_bit_is_refused() {
    let chunk = seal(&[7; 100]);
    for flipped in bit_flips(&chunk.bytes) {
        assert_eq!(open_chunk(&chunk.key, &flipped), Err(OpenError::Refused));
    }
}

#[test]
fn any_truncation_or_extension_is_refused() {
    let chunk = seal(&[7; 40_000]);
    let cuts = (0..64).chain([CHUNK_HEADER_LEN + SEALED_FRAME, CHUNK_HEADER_LEN + 2 * SEALED_FRAME]);
    for len in cuts.chain(chunk.bytes.len() - 64..chunk.bytes.len()) {
        assert_eq!(open_chunk(&chunk.key, &chunk.bytes[..len]), Err(OpenError::Refused), "{len}");
    }
    let longer = [&chunk.bytes[..], &[0]].concat();
    assert_eq!(open_chunk(&chunk.key, &longer), Err(OpenError::Refused));
}

#[test]
fn moved_repeated_or_foreign_frames_are_refused() {
    let (chunk, other) = (seal(&[7; 60_000]), seal(&[8; 60_000]));
    let frame = |chunk: &SealedChunk, index: usize| {
        let start = CHUNK_HEADER_LEN + index * SEALED_FRAME;
        chunk.bytes[start..chunk.bytes.len().min(start + SEALED_FRAME)].to_vec()
    };
    let header = &chunk.bytes[..CHUNK_HEADER_LEN];
    let orders = [[1, 0, 2, 3], [0, 0, 2, 3], [0, 2, 1, 3], [0, 1, 1, 3]];
    for order in orders {
        let forged = [header.to_vec(), order.map(|index| frame(&chunk, index)).concat()].concat();
        assert_eq!(forged.len(), chunk.bytes.len());
        assert_eq!(open_chunk(&chunk.key, &forged), Err(OpenError::Refused), "{order:?}");
    }
    let mixed =
        [header.to_vec(), frame(&other, 0), frame(&chunk, 1), frame(&chunk, 2), frame(&chunk, 3)].concat();
    assert_eq!(open_chunk(&chunk.key, &mixed), Err(OpenError::Refused));
}

#[test]
fn a_chunk_cut_at_a_frame_is_refused_under_any_header() {
    let chunk = seal(&[7; 60_000]);
    let cut = &chunk.bytes[CHUNK_HEADER_LEN..CHUNK_HEADER_LEN + SEALED_FRAME];
    for padded_len in [16_383u32, 16_384, 16_385, 15_364, 16_388] {
        let mut header = chunk.bytes[..CHUNK_HEADER_LEN].to_vec();
        header[8..].copy_from_slice(&padded_len.to_be_bytes());
        assert_eq!(open_chunk(&chunk.key, &[&header, cut].concat()), Err(OpenError::Refused), "{padded_len}");
    }
}

#[test]
fn other_suites_flags_frame_sizes_and_lengths_are_refused() {
    let chunk = seal(&[7; 100]);
    let changes: [(usize, &[u8]); 9] = [
        (0, b"FHC2"),
        (4, &[2]),
        (5, &[2]),
        (5, &[0x80]),
        (6, &[0x10, 0x00]),
        (8, &[0, 0, 0, 0]),
        (8, &[0, 0, 0, 3]),
        (8, &[0, 0, 0, 105]),
        (8, &[0xff, 0xff, 0xff, 0xff]),
    ];
    for (offset, bytes) in changes {
        let mut header = chunk.bytes[..CHUNK_HEADER_LEN].to_vec();
        header[offset..offset + bytes.len()].copy_from_slice(bytes);
        assert_eq!(ChunkOpener::new(&chunk.key, &header).map(|_| ()), Err(OpenError::Refused), "{offset}");
    }
}

#[test]
fn the_compression_flag_is_authenticated() {
    let mut chunk = seal(&[7; 100]);
    chunk.bytes[5] = 1;
    assert_eq!(opener(&chunk).compression(), Compression::Zstd);
    assert_eq!(open_chunk(&chunk.key, &chunk.bytes), Err(OpenError::Refused));
}

#[test]
fn a_page_read_opens_one_frame() {
    let body = Seeded::new("pages").bytes(262_144);
    let chunk = seal(&body);
    let opener = opener(&chunk);
    for page in (0..262_144).step_by(4_096) {
        let range = page..page + 4_096;
        let frames = opener.frames_of(range.clone()).expect("inside");
        assert_eq!(frames.len(), 1, "{page}");
        let sealed = &chunk.bytes[opener.sealed_range(frames)];
        assert_eq!(sealed.len(), SEALED_FRAME, "{page}");
        let expected = &body[range.start as usize..range.end as usize];
        assert_eq!(opener.open_range(range, sealed).as_deref(), Ok(expected), "{page}");
    }
}

#[test]
fn a_range_across_frames_opens_and_one_past_the_end_does_not() {
    let body = Seeded::new("ranges").bytes(50_000);
    let chunk = seal(&body);
    let opener = opener(&chunk);
    for range in
        [0..0, 0..1, 16_383..16_385, 16_384..16_384, 100..49_999, 49_999..50_000, 0..50_000, 50_000..50_000]
    {
        let sealed = &chunk.bytes[opener.sealed_range(opener.frames_of(range.clone()).expect("inside"))];
        let expected = &body[range.start as usize..range.end as usize];
        assert_eq!(opener.open_range(range.clone(), sealed).as_deref(), Ok(expected), "{range:?}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "a reversed range is what must be refused")]
    for range in [0..u32::MAX, 2..1, 51_197..51_201] {
        assert_eq!(opener.frames_of(range), Err(OpenError::Refused));
    }
    assert_eq!(opener.open_range(0..1, &chunk.bytes[CHUNK_HEADER_LEN..]), Err(OpenError::Refused));
    assert_eq!(opener.open_frames(9, &chunk.bytes[CHUNK_HEADER_LEN..]), Err(OpenError::Refused));
    assert_eq!(opener.open_frames(0, &[0; 3]), Err(OpenError::Refused));
}

#[test]
fn every_part_of_the_encoding_reaches_the_key() {
    let bodies: [&[u8]; 5] = [b"", b"\0", b"a", b"a\0", b"a\0\0"];
    let mut keys = BTreeMap::new();
    for (vault_key, compression, body) in [1, 2]
        .into_iter()
        .flat_map(|key| [Compression::None, Compression::Zstd].map(|compression| (key, compression)))
        .flat_map(|(key, compression)| bodies.map(|body| (key, compression, body)))
    {
        let chunk = keyring(vault_key).seal_chunk(&payload(body, compression));
        assert_eq!(
            keys.insert(*chunk.key.expose(), (vault_key, body)),
            None,
            "{vault_key} {compression:?} {body:?}"
        );
    }
    assert_eq!(keys.len(), 20);
}

#[test]
fn another_key_opens_nothing() {
    let chunk = seal(b"mine");
    let mut key = *chunk.key.expose();
    key[31] ^= 1;
    assert_eq!(open_chunk(&ChunkKey::from_bytes(key), &chunk.bytes), Err(OpenError::Refused));
}

proptest! {
    #[test]
    fn no_two_encodings_share_a_key(
        a in prop::collection::vec(0u8..3, 0..12),
        b in prop::collection::vec(0u8..3, 0..12),
        zstd_a: bool,
        zstd_b: bool,
    ) {
        let flag = |zstd| if zstd { Compression::Zstd } else { Compression::None };
        let (one, two) = (keyring(1).seal_chunk(&payload(&a, flag(zstd_a))), keyring(1).seal_chunk(&payload(&b, flag(zstd_b))));
        let same = (&a, zstd_a) == (&b, zstd_b);
        prop_assert_eq!(one.key == two.key, same);
        prop_assert_eq!(one.bytes == two.bytes, same);
        prop_assert_eq!(one.id == two.id, same);
    }

    #[test]
    fn arbitrary_bytes_never_open_or_panic(key: [u8; 32], bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let key = ChunkKey::from_bytes(key);
        prop_assert_eq!(open_chunk(&key, &bytes), Err(OpenError::Refused));
        let framed = [b"FHC1\x01\x00\x40\x00\x00\x00\x00".as_slice(), &bytes].concat();
        prop_assert_eq!(open_chunk(&key, &framed), Err(OpenError::Refused));
    }
}

#[test]
fn an_uncompressed_chunk_opens_without_its_header_and_no_other_does() {
    for len in [1, 4_096, 16_380, 16_384, 100_000, 262_144] {
        let body = Seeded::new("body").bytes(len);
        let chunk = seal(&body);
        let guessed = ChunkOpener::of_uncompressed(&chunk.key, len as u32).expect("a chunk can be so long");
        assert_eq!(guessed.sealed_len(), chunk.bytes.len());
        let frames = guessed.frames_of(0..len as u32).expect("within the chunk");
        let sealed = &chunk.bytes[guessed.sealed_range(frames)];
        assert_eq!(guessed.open_range(0..len as u32, sealed), Ok(body.clone()));
        let zipped = keyring(1).seal_chunk(&payload(&body, Compression::Zstd));
        let guessed = ChunkOpener::of_uncompressed(&zipped.key, len as u32).expect("a chunk can be so long");
        let frame = zipped.bytes[guessed.sealed_range(0..1)].to_vec();
        assert_eq!(guessed.open_frames(0, &frame), Err(OpenError::Refused));
    }
    assert!(ChunkOpener::of_uncompressed(&seal(b"").key, u32::MAX).is_none());
}
