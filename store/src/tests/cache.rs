//! The client's cache: its cap, its pins, its verification.

use super::chunk;
use crate::disk::crash::CrashDisk;
use crate::{CacheOptions, CacheStore, Pin, StoreError};
use freehold_model::ChunkId;
use std::sync::Arc;

const SEGMENT_BYTES: u64 = 12 * 1024;
const CAP_BYTES: u64 = 60 * 1024;
const FIRST_PAYLOAD: usize = 128;

fn open(disk: &CrashDisk) -> CacheStore {
    let options = CacheOptions { cap_bytes: CAP_BYTES, segment_bytes: SEGMENT_BYTES };
    CacheStore::open_on(Arc::new(disk.clone()), options).unwrap().0
}

fn put(cache: &CacheStore, n: u64, pin: Pin) -> ChunkId {
    let (id, bytes) = chunk(n, 3_000);
    cache.put(id, &bytes, pin).unwrap();
    id
}

fn fill(cache: &CacheStore, numbers: std::ops::Range<u64>) {
    for n in numbers {
        put(cache, n, Pin::Evictable);
    }
}

#[test]
fn a_cache_stays_below_its_cap_and_forgets_the_oldest() {
    let cache = open(&CrashDisk::default());
    let ids: Vec<_> = (0..200).map(|n| put(&cache, n, Pin::Evictable)).collect();
    assert!(cache.bytes() <= CAP_BYTES + SEGMENT_BYTES);
    assert!(!cache.contains(&ids[0]));
    assert_eq!(cache.get(&ids[199]).as_deref(), Some(chunk(199, 3_000).1.as_ref()));
}

#[test]
fn what_is_read_stays_longer_than_what_is_not() {
    let cache = open(&CrashDisk::default());
    let favourite = put(&cache, 0, Pin::Evictable);
    for n in 1..200 {
        put(&cache, n, Pin::Evictable);
        assert!(cache.get(&favourite).is_some(), "after {n} others");
    }
}

#[test]
fn a_pin_outlives_eviction_and_restart_until_it_is_lifted() {
    let disk = CrashDisk::default();
    let cache = open(&disk);
    let id = put(&cache, 0, Pin::Pinned);
    fill(&cache, 1..100);
    drop(cache);
    let cache = open(&disk);
    fill(&cache, 100..200);
    assert_eq!(cache.get(&id).as_deref(), Some(chunk(0, 3_000).1.as_ref()));
    assert_eq!(cache.pinned(), [id]);
    cache.unpin(&[id]).unwrap();
    fill(&cache, 200..300);
    assert!(!cache.contains(&id));
    assert!(open(&disk).pinned().is_empty());
}

#[test]
fn pinned_chunks_may_exceed_the_cap() {
    let cache = open(&CrashDisk::default());
    let ids: Vec<_> = (0..100).map(|n| put(&cache, n, Pin::Pinned)).collect();
    assert!(cache.bytes() > CAP_BYTES);
    assert!(ids.iter().all(|id| cache.get(id).is_some()));
    cache.unpin(&ids).unwrap();
    cache.trim().unwrap();
    assert!(cache.bytes() <= CAP_BYTES);
}

#[test]
fn lost_marks_pin_everything() {
    let disk = CrashDisk::default();
    let cache = open(&disk);
    let ids: Vec<_> = (0..4).map(|n| put(&cache, n, Pin::Pinned)).collect();
    let loose = put(&cache, 4, Pin::Evictable);
    drop(cache);
    disk.corrupt("marks", |bytes| bytes[70] ^= 1);
    let cache = open(&disk);
    let pinned = cache.pinned();
    assert!(ids.iter().chain([&loose]).all(|id| pinned.contains(id)));
}

#[test]
fn marks_stay_few_however_often_pins_change() {
    let disk = CrashDisk::default();
    let cache = open(&disk);
    let ids: Vec<_> = (0..1_500).map(|n| chunk(n, 10).0).collect();
    for _ in 0..4 {
        cache.pin(&ids).unwrap();
        cache.unpin(&ids).unwrap();
    }
    cache.pin(&ids[..3]).unwrap();
    let mut marks_bytes = 0;
    disk.corrupt("marks", |bytes| marks_bytes = bytes.len());
    assert!(marks_bytes < 64 * 8_000, "{marks_bytes}");
    assert_eq!(open(&disk).pinned().len(), 3);
}

#[test]
fn a_wrong_chunk_is_dropped_and_can_be_put_again() {
    let disk = CrashDisk::default();
    let cache = open(&disk);
    let id = put(&cache, 0, Pin::Evictable);
    disk.corrupt("00000000.seg", |bytes| bytes[FIRST_PAYLOAD] ^= 1);
    assert_eq!(cache.get(&id), None);
    assert!(!cache.contains(&id));
    put(&cache, 0, Pin::Evictable);
    assert!(cache.get(&id).is_some());
}

#[test]
fn a_process_short_of_memory_drops_no_chunk() {
    let disk = CrashDisk::default();
    let cache = open(&disk);
    let id = put(&cache, 0, Pin::Pinned);
    disk.fail_reads(Some(std::io::ErrorKind::OutOfMemory));
    assert_eq!(cache.get(&id), None);
    disk.fail_reads(None);
    assert!(cache.get(&id).is_some());
}

#[test]
fn the_bytes_of_a_damaged_pinned_chunk_outlive_eviction() {
    let disk = CrashDisk::default();
    let cache = open(&disk);
    let id = put(&cache, 0, Pin::Pinned);
    disk.corrupt("00000000.seg", |bytes| bytes[FIRST_PAYLOAD] ^= 1);
    fill(&cache, 1..200);
    assert_eq!(cache.get(&id), None);
    assert!(disk.names().contains(&"00000000.seg".to_owned()));
    assert!(cache.bytes() <= CAP_BYTES + SEGMENT_BYTES, "the others are evicted all the same");
}

#[test]
fn pinning_does_not_rely_on_a_copy_that_is_wrong() {
    let disk = CrashDisk::default();
    let cache = open(&disk);
    let id = put(&cache, 0, Pin::Evictable);
    disk.corrupt("00000000.seg", |bytes| bytes[FIRST_PAYLOAD] ^= 1);
    put(&cache, 0, Pin::Pinned);
    assert_eq!(cache.get(&id).as_deref(), Some(chunk(0, 3_000).1.as_ref()));
}

#[test]
fn a_failed_flush_is_told_once_and_for_all() {
    let disk = CrashDisk::default();
    let cache = open(&disk);
    put(&cache, 0, Pin::Pinned);
    disk.fail_syncs(true);
    assert!(matches!(cache.sync(), Err(StoreError::ReadOnly)));
    disk.fail_syncs(false);
    assert!(matches!(cache.sync(), Err(StoreError::ReadOnly)));
}

#[test]
fn a_full_disk_evicts_before_it_refuses() {
    let disk = CrashDisk::default();
    let cache = open(&disk);
    fill(&cache, 0..30);
    disk.set_free(crate::limits::FREE_BYTES_MIN);
    let (id, bytes) = chunk(500, 3_000);
    assert!(matches!(cache.put(id, &bytes, Pin::Pinned), Err(StoreError::NoSpace)));
    assert!(cache.pinned().is_empty(), "a chunk that is not here needs no pin");
    assert!(!cache.contains(&chunk(0, 3_000).0), "room was made first");
    let wrong = chunk(501, 3_000).1;
    assert!(matches!(cache.put(id, &wrong, Pin::Pinned), Err(StoreError::Damaged)));
}

#[test]
fn ranges_of_cached_chunks_are_cut_at_their_end() {
    let cache = open(&CrashDisk::default());
    let (id, bytes) = chunk(7, 3_000);
    cache.put(id, &bytes, Pin::Evictable).unwrap();
    let len = cache.len_bytes(&id).unwrap();
    assert_eq!(cache.get_range(&id, 1..len + 5).as_deref(), Some(&bytes[1..]));
    assert_eq!(cache.get_range(&chunk(8, 3_000).0, 0..1), None);
}

#[test]
fn readers_and_writers_share_a_cache_under_eviction() {
    let cache = open(&CrashDisk::default());
    let pinned: Vec<_> = (0..5).map(|n| put(&cache, n, Pin::Pinned)).collect();
    std::thread::scope(|scope| {
        for worker in 1..5_u64 {
            let (cache, pinned) = (&cache, &pinned);
            scope.spawn(move || {
                for n in 0..100 {
                    put(cache, worker * 1_000 + n, Pin::Evictable);
                    assert!(pinned.iter().all(|id| cache.get(id).is_some()));
                }
            });
        }
    });
}

#[test]
fn kept_chunks_outlive_eviction_and_go_once_they_are_not_kept() {
    let cache = open(&CrashDisk::default());
    let id = put(&cache, 0, Pin::Evictable);
    cache.keep([id]);
    fill(&cache, 1..200);
    assert_eq!(cache.get(&id).as_deref(), Some(chunk(0, 3_000).1.as_ref()));
    cache.set_kept([].into());
    fill(&cache, 200..300);
    assert!(!cache.contains(&id));
}

#[test]
fn nothing_goes_for_the_caps_sake_before_the_owner_has_said_what_is_kept() {
    let disk = CrashDisk::default();
    let first = put(&open(&disk), 0, Pin::Evictable);
    let cache = open(&disk);
    cache.await_kept();
    fill(&cache, 1..100);
    assert!(cache.bytes() > CAP_BYTES && cache.contains(&first));
    cache.set_kept([first].into());
    cache.trim().unwrap();
    assert!(cache.bytes() <= CAP_BYTES && cache.contains(&first));
}

#[test]
fn forgotten_chunks_are_gone_and_their_neighbours_are_not() {
    let disk = CrashDisk::default();
    let cache = open(&disk);
    let ids: Vec<_> = (0..15).map(|n| put(&cache, n, Pin::Evictable)).collect();
    let (pinned, kept) = (ids[1], ids[2]);
    cache.pin(&[pinned]).unwrap();
    cache.keep([kept]);
    let (before, given_up) = (cache.bytes(), (3..9).map(|n| chunk(n, 3_000).1.len() as u64).sum::<u64>());
    cache.forget(&ids[..9]).unwrap();
    assert!(cache.bytes() + given_up / 2 <= before, "most of their room is free again");
    assert!((3..9).all(|n| !cache.contains(&ids[n])));
    let cache = open(&disk);
    assert!([1, 2, 9, 10, 11, 12, 13, 14].iter().all(|n| cache.get(&ids[*n]).is_some()));
}

#[test]
fn a_cache_gives_way_when_the_disk_runs_low() {
    let disk = CrashDisk::default();
    let cache = open(&disk);
    fill(&cache, 0..15);
    let before = cache.bytes();
    disk.set_free(crate::limits::FREE_BYTES_MIN * 2);
    fill(&cache, 15..25);
    assert!(cache.bytes() < before, "below its cap and yet smaller");
}
