//! Trees of every height, read back and searched; hostile nodes refused.

use super::*;
use freehold_crypto::ChunkKey;
use freehold_model::ChunkId;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::convert::Infallible;

type Store = BTreeMap<ChunkId, Vec<u8>>;

fn piece(index: u64, plain_len: u32) -> ManifestEntry {
    let hash = *blake3::hash(&index.to_be_bytes()).as_bytes();
    ManifestEntry {
        chunk: ChunkId::from_bytes(hash),
        key: ChunkKey::from_bytes(hash),
        h: std::array::from_fn(|at| hash[at]),
        plain_len,
    }
}

fn build(lens: &[u32]) -> (Root, Store) {
    build_of(lens.iter().enumerate().map(|(index, len)| piece(index as u64, *len)))
}

fn build_of(pieces: impl Iterator<Item = ManifestEntry>) -> (Root, Store) {
    let mut store = Store::new();
    let mut builder = Builder::new(|node: &Node, plain: &[u8]| {
        assert_eq!(node.to_bytes(), plain);
        let hash = *blake3::hash(plain).as_bytes();
        store.insert(ChunkId::from_bytes(hash), plain.to_vec());
        Ok::<_, Infallible>(ManifestEntry {
            chunk: ChunkId::from_bytes(hash),
            key: ChunkKey::from_bytes(hash),
            h: std::array::from_fn(|at| hash[at]),
            plain_len: plain.len() as u32,
        })
    });
    pieces.for_each(|piece| builder.push(piece).expect("a good piece"));
    let root = builder.finish().expect("at least one piece");
    (root, store)
}

/// Nodes of the second that are not in the first, the root not counted.
fn new_nodes(before: &Store, after: &Store) -> usize {
    after.keys().filter(|id| !before.contains_key(id)).count()
}

/// All pieces that overlap the range, with their offsets in the file.
fn find(store: &Store, node: &Node, base: u64, range: std::ops::Range<u64>) -> Vec<(u64, ManifestEntry)> {
    let mut found = Vec::new();
    for hit in node.locate(range.start.saturating_sub(base)..range.end.saturating_sub(base)) {
        match hit.target {
            Target::Piece(entry) => found.push((base + hit.start, entry.clone())),
            Target::Child(child) => {
                let below = node.decode_child(child, &store[&child.node.chunk]).expect("as built");
                found.extend(find(store, &below, base + hit.start, range.clone()));
            }
        }
    }
    found
}

#[test]
fn levels_rise_only_when_they_must() {
    let table = [(1, 0), (64, 0), (600, 1), (10_000, 1), (60_000, 2)];
    for (pieces, level) in table {
        let (root, store) = build(&(0..pieces).map(|n| n % 1_000 + 1).collect::<Vec<_>>());
        assert_eq!(root.node.level(), level, "{pieces} pieces");
        assert_eq!(Node::decode_root(&root.plain, root.size), Ok(root.node.clone()));
        assert_eq!(find(&store, &root.node, 0, 0..root.size).len(), pieces as usize);
    }
}

#[test]
fn equal_pieces_fill_nodes_to_the_last_entry() {
    let table = [(512, 0, 0), (513, 1, 2), (512 * 2, 1, 2), (512 * 2 + 1, 1, 3)];
    for (pieces, level, sealed) in table {
        let (root, store) = build_of((0..pieces).map(|n| ManifestEntry { h: [1; 16], ..piece(n, 9) }));
        assert_eq!((root.node.level(), store.len()), (level, sealed), "{pieces} pieces");
    }
}

#[test]
fn nodes_have_about_128_entries() {
    let (root, store) = build(&vec![100_000; 60_000]);
    let leaves: Vec<usize> = store
        .values()
        .filter_map(|plain| match Node::decode(plain) {
            Ok(Node::Leaf(entries)) => Some(entries.len()),
            _ => None,
        })
        .collect();
    let mean = 60_000 / leaves.len();
    assert!((125..150).contains(&mean), "{mean}");
    assert!(leaves.iter().filter(|len| **len < 64).count() <= 1, "the last one alone may be short");
    assert!(leaves.iter().all(|len| *len <= 512));
    assert_eq!(root.plain[4], 2);
}

#[test]
fn trees_cut_at_every_128_entries_are_read_still() {
    // What earlier builds made: two full leaves and an open one under a root.
    let mut store = Store::new();
    let lens = vec![1_000_u32; 300];
    let pieces: Vec<ManifestEntry> = (0..300).map(|index| piece(index, 1_000)).collect();
    let children = pieces
        .chunks(128)
        .map(|entries| {
            let leaf = Node::Leaf(entries.to_vec());
            let plain = leaf.to_bytes();
            let hash = *blake3::hash(&plain).as_bytes();
            let chunk = ChunkId::from_bytes(hash);
            let plain_len = plain.len() as u32;
            store.insert(chunk, plain);
            let node = ManifestEntry { chunk, key: ChunkKey::from_bytes(hash), h: [2; 16], plain_len };
            Child { node, span: leaf.total() }
        })
        .collect();
    let root = Node::Inner { level: 1, children }.to_bytes();
    let size = lens.iter().map(|len| u64::from(*len)).sum();
    let root = Node::decode_root(&root, size).expect("a good tree");
    let found: Vec<ManifestEntry> =
        find(&store, &root, 0, 0..size).into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(found, pieces);
}

#[test]
fn bad_pieces_and_empty_files_are_refused() {
    let mut builder = Builder::new(|_: &Node, _: &[u8]| Err::<ManifestEntry, _>("disk full"));
    assert_eq!(builder.push(piece(0, 0)), Err(BuildError::Piece));
    assert_eq!(builder.push(piece(0, 4 * 1024 * 1024 + 1)), Err(BuildError::Piece));
    for index in 0..512 {
        builder.push(ManifestEntry { h: [1; 16], ..piece(index, 1) }).expect("no node is full yet");
    }
    assert_eq!(builder.push(piece(512, 1)), Err(BuildError::Seal("disk full")));
    let empty = Builder::new(|_: &Node, _: &[u8]| Err::<ManifestEntry, _>("never called"));
    assert_eq!(empty.finish(), Err(BuildError::Empty));
}

#[test]
fn nodes_that_cover_something_else_are_refused() {
    let (root, store) = build_of((0..600).map(|index| ManifestEntry { h: [1; 16], ..piece(index, 1_000) }));
    assert_eq!(Node::decode_root(&root.plain, root.size + 1), Err(ManifestError::Mismatch));
    let Node::Inner { children, .. } = &root.node else { panic!("600 equal pieces need two leaves") };
    let [first, second] = children.as_slice() else { panic!("600 equal pieces need two leaves") };
    let (first_bytes, second_bytes) = (&store[&first.node.chunk], &store[&second.node.chunk]);
    assert!(root.node.decode_child(first, first_bytes).is_ok());
    assert_eq!(root.node.decode_child(first, second_bytes), Err(ManifestError::Mismatch));
    assert_eq!(root.node.decode_child(first, &root.plain), Err(ManifestError::Mismatch));
}

#[test]
fn overflowing_spans_are_refused() {
    let child = Child { node: piece(1, 91), span: 1 << 60 };
    let node = Node::Inner { level: 1, children: vec![child; 2] };
    assert!(Node::decode(&node.to_bytes()).is_err());
    let child = Child { node: piece(1, 91), span: u64::MAX };
    assert!(Node::decode(&Node::Inner { level: 1, children: vec![child] }.to_bytes()).is_err());
    assert!(Node::decode(&Node::Leaf(Vec::new()).to_bytes()).is_err());
    let tall = Node::Inner { level: 9, children: vec![Child { node: piece(1, 91), span: 1 }] };
    assert!(Node::decode(&tall.to_bytes()).is_err());
}

#[test]
fn an_edit_makes_one_leaf_and_the_path_above_it() {
    let all: Vec<ManifestEntry> = (0..30_000).map(|n| piece(n, 100)).collect();
    let (root, before) = build_of(all.iter().cloned());
    assert!(root.node.level() >= 1);
    let mut new = Vec::new();
    for case in 0..90_usize {
        let (mut pieces, at, other) = (all.clone(), case * 331 % 30_000, piece(u64::MAX - case as u64, 7));
        match case % 3 {
            0 => pieces.insert(at, other),
            1 => pieces[at] = other,
            _ => drop(pieces.remove(at)),
        }
        new.push(new_nodes(&before, &build_of(pieces.into_iter()).1));
    }
    // One leaf and mostly one inner node; each may end elsewhere then, and so may the next.
    let (all, most, least) =
        (new.iter().sum::<usize>(), new.iter().max().copied(), new.iter().min().copied());
    assert!(least >= Some(1) && all <= 90 * 3, "{all} in 90");
    assert!(most <= Some(12), "{most:?} at once, of {}", before.len());
}

proptest! {
    #[test]
    fn a_range_finds_exactly_the_pieces_it_touches(
        lens in prop::collection::vec(1..5_000_u32, 1..400), from in any::<u32>(), len in 0..20_000_u64,
    ) {
        let (root, store) = build(&lens);
        prop_assert_eq!(root.size, lens.iter().map(|len| u64::from(*len)).sum::<u64>());
        let start = u64::from(from) % (root.size + 10);
        let (range, range_len) = (start..start + len, len);
        let mut expected = Vec::new();
        let mut offset = 0;
        for (index, len) in lens.iter().enumerate() {
            let end = offset + u64::from(*len);
            if offset < range.end && end > range.start && range_len > 0 {
                expected.push((offset, piece(index as u64, *len)));
            }
            offset = end;
        }
        prop_assert_eq!(find(&store, &root.node, 0, range), expected);
    }

    #[test]
    fn damaged_nodes_are_refused_or_canonical(
        lens in prop::collection::vec(1..5_000_u32, 1..200), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = build(&lens).0.plain;
        let index = at.index(bytes.len());
        bytes[index] = byte;
        if let Ok(node) = Node::decode(&bytes) {
            prop_assert_eq!(node.to_bytes(), bytes);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Node::decode(&bytes);
        let _ = Node::decode(&[b"FHM1".to_vec(), bytes].concat());
    }
}
