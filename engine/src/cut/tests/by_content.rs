//! Cuts by content: whatever is known already, they are those of the whole content cut at once.

use super::*;
use freehold_vault::manifest::ManifestEntry;
use proptest::prelude::*;
use std::ops::Range;

const MIB: usize = 1 << 20;

/// The pieces of a sealed content, in order.
fn entries(bench: &Bench, content: &Chunked) -> Vec<ManifestEntry> {
    let sealed = bench.cache.get(&content.root).expect("the root is in the cache");
    let plain = content.cek.root_key(&content.root_salt).open(&sealed).expect("the root opens");
    let mut open = vec![Node::decode_root(&plain, content.size).expect("the root covers the content")];
    let mut found = Vec::new();
    while let Some(node) = open.pop() {
        match &node {
            Node::Leaf(entries) => found.extend(entries.iter().cloned()),
            Node::Inner { children, .. } => {
                for child in children.iter().rev() {
                    let sealed = bench.cache.get(&child.node.chunk).expect("every node is in the cache");
                    open.push(crate::cut::known::open_node(&node, child, &sealed).expect("a sound child"));
                }
            }
        }
    }
    found
}

/// What a device that knows nothing of it makes of a content.
fn from_scratch(bytes: &[u8]) -> Vec<ManifestEntry> {
    let bench = Bench::with_fast_aes();
    let (sealed, _) = bench.seal(&plain(bytes), None);
    entries(&bench, chunked(&sealed))
}

/// `bytes` as a program left them that changed these ranges of a version.
fn changed<'a>(bytes: &'a [u8], before: &'a Chunked, changes: &[Range<usize>]) -> Plain<'a> {
    let (mut runs, mut at) = (Vec::new(), 0);
    for change in changes {
        runs.push(at..change.start as u64);
        at = change.end as u64;
    }
    runs.push(at..before.size.min(bytes.len() as u64));
    runs.retain(|run| run.start < run.end);
    Plain { clean: Some(before), runs, ..plain(bytes) }
}

/// Seals `bytes` piece by piece as they grow, by the jobs of these ranges.
fn sealed_while_growing(bench: &Bench, bytes: &[u8], jobs: &[Range<u64>]) -> AheadPieces {
    let mut entropy = OsEntropy;
    let sealer = bench.sealer(&mut entropy);
    let read = |offset: u64, buffer: &mut [u8]| {
        let start = offset as usize;
        buffer.copy_from_slice(&bytes[start..start + buffer.len()]);
        Ok(())
    };
    let (mut pieces, mut next, mut end) = (AheadPieces::new(), 0, 0);
    for job in jobs {
        // Each goes on at the last cut, unless a hole lies between.
        let from = if job.start <= end { next } else { job.start };
        end = job.end;
        let sealed = sealer
            .seal_ahead(Profile::Medium, from..job.end, &mut Vec::new(), read)
            .expect("a healthy cache");
        next = sealed.last().map_or(from, |(at, piece)| at + u64::from(piece.entry.plain_len));
        pieces.extend(sealed);
    }
    pieces
}

#[test]
fn contents_of_every_profile_come_back() {
    let bench = Bench::with_fast_aes();
    let table = [
        (65_536, Profile::Single),
        (65_537, Profile::Small),
        (3 * MIB + 1, Profile::Small),
        (16 * MIB, Profile::Small),
        (16 * MIB + 1, Profile::Medium),
    ];
    for (len, profile) in table {
        let bytes = noise(len, 2);
        let (sealed, _) = bench.seal(&plain(&bytes), None);
        assert_eq!(chunked(&sealed).profile, profile.number(), "{len}");
        assert!(bench.open(chunked(&sealed)) == bytes, "{len}");
    }
}

#[test]
fn a_patch_is_read_and_cut_from_the_cut_before_it_to_the_one_after() {
    let bench = Bench::with_fast_aes();
    let mut bytes = noise(20 * MIB, 3);
    let (before, _) = bench.seal(&plain(&bytes), None);
    let patch = 9 * MIB..9 * MIB + 4_096;
    bytes[patch.clone()].fill(0xEE);
    let edited = changed(&bytes, chunked(&before), &[patch]);
    let (after, pinned) = bench.seal(&edited, Some(chunked(&before)));
    assert!(bench.open(chunked(&after)) == bytes);
    assert!(edited.bytes_read() <= 512 * 1024, "{} bytes were read", edited.bytes_read());
    assert!(pinned.len() <= 4, "a piece, its leaf, the root: {}", pinned.len());
    assert_eq!(entries(&bench, chunked(&after)), from_scratch(&bytes));
}

#[test]
fn what_an_insertion_has_moved_is_not_sealed_again_also_after_a_start() {
    let mut bench = Bench::with_fast_aes();
    let mut bytes = noise(6 * MIB, 4);
    let (before, _) = bench.seal(&plain(&bytes), None);
    bench.known = Known::new();
    bytes.insert(MIB, 7);
    let (after, pinned) = bench.seal(&plain(&bytes), Some(chunked(&before)));
    assert!(bench.open(chunked(&after)) == bytes);
    assert_eq!(after.entries.len(), 1, "the piece with the new byte");
    assert!(pinned.len() <= 4, "{}", pinned.len());
}

#[test]
fn a_file_sealed_while_it_grew_is_cut_as_if_all_at_once() {
    let bench = Bench::with_fast_aes();
    let bytes = noise(20 * MIB, 5);
    let jobs: Vec<Range<u64>> = (0..4).map(|at| at * 4 * MIB as u64..(at + 1) * 4 * MIB as u64).collect();
    let ahead = sealed_while_growing(&bench, &bytes, &jobs);
    let shape = Shape { ahead: Some(Profile::Medium), ..Shape::default() };
    let taken = ahead.len();
    let snapshot = Plain { ahead, shape, ..plain(&bytes) };
    let (sealed, _) = bench.seal(&snapshot, None);
    assert_eq!(sealed.ahead.len(), taken);
    assert!(snapshot.bytes_read() <= 4 * MIB + 512 * 1024, "{} bytes were read", snapshot.bytes_read());
    assert!(bench.open(chunked(&sealed)) == bytes);
    assert_eq!(entries(&bench, chunked(&sealed)), from_scratch(&bytes));
}

#[test]
fn pieces_begun_behind_a_hole_are_taken_once_the_cuts_fall_together() {
    let bench = Bench::with_fast_aes();
    let mut bytes = noise(24 * MIB, 6);
    bytes[MIB..MIB + 100].fill(0);
    let jobs = [0..MIB as u64, MIB as u64 + 100..20 * MIB as u64];
    let ahead = sealed_while_growing(&bench, &bytes, &jobs);
    let shape = Shape { ahead: Some(Profile::Medium), ..Shape::default() };
    let count = ahead.len();
    let snapshot = Plain { ahead, shape, ..plain(&bytes) };
    let (sealed, _) = bench.seal(&snapshot, None);
    assert!(sealed.ahead.len() + 20 > count, "{} of {count}", sealed.ahead.len());
    assert_eq!(entries(&bench, chunked(&sealed)), from_scratch(&bytes));
}

#[test]
fn a_new_file_of_holes_is_cut_in_fixed_blocks_and_stays_so() {
    let bench = Bench::with_fast_aes();
    let mut bytes = vec![0; 20 * MIB];
    let image = Shape { hole_bytes: 20 * MIB as u64, ..Shape::default() };
    let (first, _) = bench.seal(&Plain { shape: image, ..plain(&bytes) }, None);
    assert_eq!(chunked(&first).profile, Profile::Fixed256K.number());
    let filling = 5 * MIB..6 * MIB;
    bytes[filling.clone()].copy_from_slice(&noise(MIB, 1));
    let filled = changed(&bytes, chunked(&first), &[filling]);
    let (second, pinned) = bench.seal(&filled, Some(chunked(&first)));
    assert_eq!(chunked(&second).profile, Profile::Fixed256K.number());
    assert_eq!(pinned.len(), 5, "four blocks and the root");
    assert!(bench.open(chunked(&second)) == bytes);
}

#[test]
fn a_version_cut_in_blocks_is_kept_in_blocks_with_fast_aes_too() {
    let bench = Bench::new();
    let mut bytes = noise(2 * MIB, 8);
    let (before, _) = bench.seal(&plain(&bytes), None);
    let bench = Bench { cutting: Cutting { has_fast_aes: true, ..bench.cutting }, ..bench };
    bytes.extend(noise(MIB, 9));
    let grown = changed(&bytes, chunked(&before), &[]);
    let (after, pinned) = bench.seal(&grown, Some(chunked(&before)));
    assert_eq!(chunked(&after).profile, Profile::Fixed256K.number());
    assert_eq!(pinned.len(), 5, "four blocks and the root");
    assert!(bench.open(chunked(&after)) == bytes);
}

/// A change of a file by a program.
#[derive(Clone, Debug)]
enum Change {
    Patch { at: usize, len: usize },
    Append(usize),
    Truncate(usize),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let patch = (0..2_000_000_usize, 1..200_000_usize).prop_map(|(at, len)| Change::Patch { at, len });
    let change = prop_oneof![
        3 => patch,
        1 => (1..300_000_usize).prop_map(Change::Append),
        1 => (1..300_000_usize).prop_map(Change::Truncate),
    ];
    prop::collection::vec(change, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn versions_after_any_changes_are_cut_as_if_from_scratch(versions in prop::collection::vec(changes(), 1..4), seed: u8) {
        let bench = Bench::with_fast_aes();
        let mut bytes = noise(2_000_000, seed);
        let (mut before, _) = bench.seal(&plain(&bytes), None);
        for (number, changes) in versions.into_iter().enumerate() {
            let mut dirty: Vec<Range<usize>> = Vec::new();
            for (index, change) in changes.into_iter().enumerate() {
                let fresh = noise(300_000, seed ^ (number * 16 + index + 1) as u8);
                match change {
                    Change::Patch { at, len } => {
                        let end = (at + len).min(bytes.len());
                        if at < end {
                            bytes[at..end].copy_from_slice(&fresh[..end - at]);
                            dirty.push(at..end);
                        }
                    }
                    Change::Append(len) => {
                        dirty.push(bytes.len()..bytes.len() + len);
                        bytes.extend_from_slice(&fresh[..len]);
                    }
                    Change::Truncate(len) => {
                        let end = bytes.len() - len.min(bytes.len() - 100_000);
                        dirty.push(end..bytes.len());
                        bytes.truncate(end);
                    }
                }
            }
            // Ranges in order, without overlap.
            dirty.sort_by_key(|range| range.start);
            let mut merged: Vec<Range<usize>> = Vec::new();
            for range in dirty {
                match merged.last_mut() {
                    Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                    _ => merged.push(range),
                }
            }
            let edited = changed(&bytes, chunked(&before), &merged);
            let (after, _) = bench.seal(&edited, Some(chunked(&before)));
            prop_assert!(bench.open(chunked(&after)) == bytes);
            prop_assert_eq!(entries(&bench, chunked(&after)), from_scratch(&bytes));
            before = after;
        }
    }
}
