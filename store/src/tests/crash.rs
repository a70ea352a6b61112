//! The power is cut behind every operation of a trace; what was acknowledged must be there.

use super::{chunk, tag};
use crate::disk::crash::{CrashDisk, Unflushed};
use crate::{CacheOptions, CacheStore, NodeOptions, NodeStore, Pin, PutStatus};
use freehold_model::ChunkId;
use std::sync::Arc;

const NODE: NodeOptions = NodeOptions { segment_bytes: 12 * 1024 };
const CACHE: CacheOptions = CacheOptions { cap_bytes: 40 * 1024, segment_bytes: 12 * 1024 };
const OUTCOMES: [Unflushed; 6] = [
    Unflushed::Lost,
    Unflushed::Kept,
    Unflushed::Torn(3),
    Unflushed::Torn(5),
    Unflushed::Torn(1_001),
    Unflushed::Torn(77_777),
];

fn open_node(disk: &CrashDisk) -> NodeStore {
    NodeStore::open_on(Arc::new(disk.clone()), NODE).unwrap().0
}

fn open_cache(disk: &CrashDisk) -> CacheStore {
    CacheStore::open_on(Arc::new(disk.clone()), CACHE).unwrap().0
}

/// Puts batches of three and notes after how many operations each was acknowledged.
fn put_batches(disk: &CrashDisk, batches: u64) -> Vec<(usize, Vec<u64>)> {
    let store = open_node(disk);
    (0..batches)
        .map(|batch| {
            let numbers: Vec<u64> = (batch * 3..batch * 3 + 3).collect();
            let items = numbers.iter().map(|n| chunk(*n, 3_000)).map(|(id, bytes)| (tag(1), id, bytes));
            assert_eq!(store.put_batch(items.collect()), [PutStatus::Stored; 3]);
            (disk.operations(), numbers)
        })
        .collect()
}

#[test]
fn every_acknowledged_chunk_survives_a_power_cut_behind_any_operation() {
    let disk = CrashDisk::default();
    let acknowledged = put_batches(&disk, 14);
    assert!(disk.names().len() > 4, "the trace must cross several segments");
    for operations in 0..=disk.operations() {
        for unflushed in OUTCOMES {
            let after = disk.after_cut(operations, unflushed);
            let store = open_node(&after);
            for (_, numbers) in acknowledged.iter().filter(|(at, _)| *at <= operations) {
                for (id, bytes) in numbers.iter().map(|n| chunk(*n, 3_000)) {
                    let read = store.get(tag(1), id, None).unwrap().map(|slice| slice.bytes);
                    assert_eq!(read, Some(bytes), "cut behind {operations}, {unflushed:?}");
                }
            }
        }
    }
}

#[test]
fn no_power_cut_is_taken_for_damage() {
    let disk = CrashDisk::default();
    put_batches(&disk, 14);
    for operations in 0..=disk.operations() {
        for unflushed in OUTCOMES {
            // Twice: what the first start leaves behind must not look like damage to the second.
            let after = disk.after_cut(operations, unflushed);
            let (id, bytes) = chunk(900, 3_000);
            let status = open_node(&after).put_batch(vec![(tag(1), id, bytes)]);
            assert_eq!(status, [PutStatus::Stored], "cut behind {operations}, {unflushed:?}");
            let (_, found) = NodeStore::open_on(Arc::new(after), NODE).unwrap();
            assert_eq!(
                (found.damaged_stretches, found.damaged_segments),
                (0, 0),
                "cut behind {operations}, {unflushed:?}"
            );
        }
    }
}

#[test]
fn a_synced_pinned_chunk_survives_evictions_and_a_power_cut_behind_any_operation() {
    let disk = CrashDisk::default();
    let cache = open_cache(&disk);
    let mut promised: Vec<(usize, ChunkId)> = Vec::new();
    for n in 0..60 {
        let (id, bytes) = chunk(n, 3_000);
        let pin = if n % 5 == 0 { Pin::Pinned } else { Pin::Evictable };
        cache.put(id, &bytes, pin).unwrap();
        if pin == Pin::Pinned {
            cache.sync().unwrap();
            promised.push((disk.operations(), id));
        }
    }
    assert!(!cache.contains(&chunk(1, 3_000).0), "the trace must evict");
    for operations in 0..=disk.operations() {
        for unflushed in OUTCOMES {
            let cache = open_cache(&disk.after_cut(operations, unflushed));
            for (_, id) in promised.iter().filter(|(at, _)| *at <= operations) {
                assert!(cache.get(id).is_some(), "{id:?} cut behind {operations}, {unflushed:?}");
                assert!(cache.pinned().contains(id), "{id:?} cut behind {operations}, {unflushed:?}");
            }
        }
    }
}
