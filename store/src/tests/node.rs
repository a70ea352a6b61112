//! The node's store: what it refuses, what it sets aside, what it keeps.

use super::{chunk, id_of, tag};
use crate::disk::crash::CrashDisk;
use crate::record::{Header, Key};
use crate::{NodeOptions, NodeStore, PutStatus, Recovery, StoreError};
use bytes::Bytes;
use freehold_model::ChunkId;
use std::sync::Arc;

const OPTIONS: NodeOptions = NodeOptions { segment_bytes: 64 * 1024 };
const FIRST_RECORD: usize = 64;
const FIRST_PAYLOAD: usize = 128;

fn open(disk: &CrashDisk) -> (NodeStore, Recovery) {
    NodeStore::open_on(Arc::new(disk.clone()), OPTIONS).unwrap()
}

fn put(store: &NodeStore, n: u64) -> (ChunkId, PutStatus) {
    let (id, bytes) = chunk(n, 3_000);
    (id, store.put_batch(vec![(tag(1), id, bytes)])[0])
}

#[test]
fn a_chunk_is_stored_once_for_each_vault() {
    let disk = CrashDisk::default();
    let (store, _) = open(&disk);
    let (id, bytes) = chunk(1, 3_000);
    let twice = vec![(tag(1), id, bytes.clone()), (tag(1), id, bytes.clone())];
    assert_eq!(store.put_batch(twice), [PutStatus::Stored; 2]);
    assert_eq!(store.put_batch(vec![(tag(1), id, bytes)]), [PutStatus::Present]);
    assert_eq!(store.has(tag(1), &[id]), [true]);
    assert_eq!(store.has(tag(2), &[id]), [false]);
    assert_eq!(store.stats().chunks, 1);
}

#[test]
fn bytes_that_are_not_the_chunk_are_refused_alone() {
    let (store, _) = open(&CrashDisk::default());
    let ((right, bytes), (wrong, _)) = (chunk(1, 3_000), chunk(2, 3_000));
    let items = vec![(tag(1), wrong, bytes.clone()), (tag(1), right, bytes)];
    assert_eq!(store.put_batch(items), [PutStatus::WrongId, PutStatus::Stored]);
    assert_eq!(store.has(tag(1), &[wrong, right]), [false, true]);
    let long = Bytes::from(vec![0; crate::limits::CHUNK_BYTES_MAX + 1]);
    assert_eq!(store.put_batch(vec![(tag(1), id_of(&long), long)]), [PutStatus::TooLarge]);
}

#[test]
fn a_range_is_cut_at_the_end_of_the_chunk() {
    let (store, _) = open(&CrashDisk::default());
    let bytes = Bytes::from_static(b"0123456789");
    let id = id_of(&bytes);
    let _ = store.put_batch(vec![(tag(1), id, bytes)]);
    let read = |range| store.get(tag(1), id, Some(range)).unwrap().unwrap();
    assert_eq!(read(2..5).bytes, "234");
    assert_eq!((read(8..99).bytes, read(8..99).total_bytes), (Bytes::from_static(b"89"), 10));
    assert_eq!(read(50..99).bytes, "");
    assert_eq!(read(0..u32::MAX).bytes, "0123456789");
}

#[test]
fn a_failed_flush_ends_writing_and_is_never_retried() {
    let disk = CrashDisk::default();
    let (store, _) = open(&disk);
    let (kept, _) = put(&store, 1);
    disk.fail_syncs(true);
    let (lost, status) = put(&store, 2);
    assert_eq!(status, PutStatus::ReadOnly);
    let syncs = disk.syncs();
    disk.fail_syncs(false);
    assert_eq!(put(&store, 3).1, PutStatus::ReadOnly);
    assert_eq!(disk.syncs(), syncs);
    assert!(store.stats().read_only);
    assert_eq!(store.has(tag(1), &[kept, lost]), [true, false]);
    assert!(store.get(tag(1), kept, None).unwrap().is_some());
}

#[test]
fn a_nearly_full_disk_refuses_and_recovers_when_there_is_room() {
    let disk = CrashDisk::default();
    let (store, _) = open(&disk);
    let (kept, _) = put(&store, 1);
    disk.set_free(crate::limits::FREE_BYTES_MIN);
    assert_eq!(put(&store, 2).1, PutStatus::NoSpace);
    assert_eq!(store.stats().free_bytes, 0);
    disk.set_free(1 << 30);
    assert_eq!(put(&store, 2).1, PutStatus::Stored);
    assert_eq!(store.has(tag(1), &[kept]), [true]);
}

#[test]
fn a_write_that_meets_a_full_disk_is_undone() {
    let disk = CrashDisk::default();
    let (store, _) = open(&disk);
    put(&store, 1);
    // Another program takes the room between the question and the write.
    disk.fill_after_next_question();
    assert_eq!(put(&store, 2).1, PutStatus::NoSpace);
    disk.set_free(1 << 30);
    let (id, status) = put(&store, 3);
    assert_eq!(status, PutStatus::Stored);
    let (store, found) = open(&disk);
    assert_eq!(found.damaged_stretches, 0);
    assert_eq!(store.has(tag(1), &[id, chunk(1, 3_000).0, chunk(2, 3_000).0]), [true, true, false]);
}

#[test]
fn a_damaged_chunk_is_set_aside_and_healed_by_the_next_put() {
    let disk = CrashDisk::default();
    let (store, _) = open(&disk);
    let (id, _) = put(&store, 1);
    disk.corrupt("00000000.seg", |bytes| bytes[FIRST_PAYLOAD] ^= 1);
    assert!(matches!(store.get(tag(1), id, None), Err(StoreError::Damaged)));
    assert_eq!((store.has(tag(1), &[id]), store.stats().damaged), (vec![false], 1));
    assert_eq!(put(&store, 1).1, PutStatus::Stored);
    let (store, _) = open(&disk);
    assert_eq!(store.get(tag(1), id, None).unwrap().map(|slice| slice.bytes), Some(chunk(1, 3_000).1));
    assert_eq!(store.stats().damaged, 0);
}

#[test]
fn a_process_short_of_memory_costs_no_chunk_its_place() {
    let disk = CrashDisk::default();
    let (store, _) = open(&disk);
    let (id, _) = put(&store, 1);
    disk.fail_reads(Some(std::io::ErrorKind::OutOfMemory));
    assert!(matches!(store.get(tag(1), id, None), Err(StoreError::Io { .. })));
    disk.fail_reads(None);
    assert_eq!((store.has(tag(1), &[id]), store.stats().damaged), (vec![true], 0));
    assert!(store.get(tag(1), id, None).unwrap().is_some());
}

#[test]
fn damage_is_remembered_over_a_restart_of_a_sealed_segment() {
    let disk = CrashDisk::default();
    let (store, _) = open(&disk);
    let (id, _) = put(&store, 1);
    for n in 2..80 {
        put(&store, n);
    }
    disk.corrupt("00000000.seg", |bytes| bytes[FIRST_PAYLOAD] ^= 1);
    assert!(matches!(store.get(tag(1), id, None), Err(StoreError::Damaged)));
    drop(store);
    let (store, found) = open(&disk);
    assert_eq!(found.scanned_segments, 1, "sealed segments are read by their footers");
    assert_eq!((store.has(tag(1), &[id]), store.stats().damaged), (vec![false], 1));
}

#[test]
fn damage_inside_the_open_segment_hides_nothing_that_follows() {
    for at in [FIRST_RECORD + 3, FIRST_RECORD + 40, FIRST_PAYLOAD] {
        let disk = CrashDisk::default();
        let (store, _) = open(&disk);
        let ids: Vec<_> = (1..5).map(|n| put(&store, n).0).collect();
        disk.corrupt("00000000.seg", |bytes| bytes[at] ^= 1);
        let (store, found) = open(&disk);
        assert_eq!((found.damaged_stretches, found.torn_bytes), (1, 0), "byte {at}");
        assert_eq!(store.has(tag(1), &ids), [false, true, true, true], "byte {at}");
    }
}

#[test]
fn a_torn_tail_is_cut_and_writing_goes_on() {
    let disk = CrashDisk::default();
    let (store, _) = open(&disk);
    let (first, _) = put(&store, 1);
    disk.corrupt("00000000.seg", |bytes| bytes.extend_from_slice(&[0xa5; 777]));
    let (store, found) = open(&disk);
    assert_eq!((found.torn_bytes, found.damaged_stretches), (777, 0));
    let (second, status) = put(&store, 2);
    assert_eq!(status, PutStatus::Stored);
    assert_eq!(open(&disk).0.has(tag(1), &[first, second]), [true, true]);
}

#[test]
fn a_segment_without_its_footer_is_read_record_by_record() {
    let disk = CrashDisk::default();
    let (store, _) = open(&disk);
    let ids: Vec<_> = (0..120).map(|n| put(&store, n).0).collect();
    let before = disk.names();
    disk.corrupt("00000000.seg", |bytes| bytes.truncate(bytes.len() - 1));
    let (store, found) = open(&disk);
    assert_eq!(found.scanned_segments, 2);
    assert!(store.has(tag(1), &ids).iter().all(|here| *here));
    assert_eq!(disk.names(), before);
}

#[test]
fn a_segment_with_an_unreadable_header_is_kept_and_not_written() {
    let disk = CrashDisk::default();
    let (store, _) = open(&disk);
    let (old, _) = put(&store, 1);
    disk.corrupt("00000000.seg", |bytes| bytes[9] ^= 1);
    let (store, found) = open(&disk);
    assert_eq!(found.damaged_segments, 1);
    let (new, _) = put(&store, 2);
    assert_eq!(store.has(tag(1), &[old, new]), [false, true]);
    assert!(disk.names().contains(&"00000001.seg".to_owned()));
}

#[test]
fn a_record_hidden_inside_a_chunk_never_passes_for_one() {
    let disk = CrashDisk::default();
    let (store, _) = open(&disk);
    let inner = b"not this vault's".to_vec();
    let key = Key { tag: tag(2), id: id_of(&inner) };
    let header = Header { key, len_bytes: 16, created_s: 0, first_of_group: false };
    // Its author knows the format, but not the salt.
    let mut outer = header.encode(&[0; 16]);
    outer.extend_from_slice(&inner);
    let outer = Bytes::from(outer);
    assert_eq!(store.put_batch(vec![(tag(1), id_of(&outer), outer)]), [PutStatus::Stored]);
    disk.corrupt("00000000.seg", |bytes| bytes[FIRST_RECORD] ^= 1);
    assert_eq!(open(&disk).0.has(tag(2), &[key.id]), [false]);
}

#[test]
fn many_writers_share_flushes_and_lose_nothing() {
    let disk = CrashDisk::default();
    let (store, _) = open(&disk);
    std::thread::scope(|scope| {
        for writer in 0..8_u64 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..40 {
                    // Half of the chunks are everybody's.
                    let (id, status) = put(store, if n % 2 == 0 { n } else { 1_000 * (writer + 1) + n });
                    assert!(matches!(status, PutStatus::Stored | PutStatus::Present));
                    assert_eq!(store.has(tag(1), &[id]), [true]);
                }
            });
        }
    });
    assert_eq!(store.stats().chunks, 20 + 8 * 20);
    assert_eq!(open(&disk).0.stats().chunks, 20 + 8 * 20);
}

#[test]
fn real_files_survive_a_restart_and_keep_a_second_process_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chunks");
    let (store, _) = NodeStore::open(&path, NodeOptions::default()).unwrap();
    let ids: Vec<_> = (0..20).map(|n| put(&store, n).0).collect();
    assert!(matches!(NodeStore::open(&path, NodeOptions::default()), Err(StoreError::InUse)));
    drop(store);
    let (store, _) = NodeStore::open(&path, NodeOptions::default()).unwrap();
    for (n, id) in ids.into_iter().enumerate() {
        let read = store.get(tag(1), id, None).unwrap().map(|slice| slice.bytes);
        assert_eq!(read, Some(chunk(n as u64, 3_000).1));
    }
}
