//! Cuts, batches, commits and placement, without a server.

use super::remote::{cut_all, exchange, version_of};
use crate::body::ahead::AheadPiece;
use crate::testing::{Rig, file, read};
use crate::{
    CutOutcome, Kind, MetaKey, NewNode, NodeState, ROOT, SetTimes, SignedCommit, Time, Volume, limits,
};
use freehold_crypto::ChunkKey;
use freehold_model::{ChunkId, CommitHash, VersionHash};
use freehold_vault::Profile;
use freehold_vault::limits::FIXED_BLOCK_BYTES;
use freehold_vault::manifest::ManifestEntry;
use freehold_vault::record::Body;
use std::sync::Arc;

#[test]
fn a_body_is_cut_once_it_is_quiet_or_busy_for_long() {
    let rig = Rig::new();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.write(ino, 0, b"x").expect("room");
    assert!(volume.next_cut(false).is_none());
    rig.clock.pass(1);
    volume.write(ino, 1, b"x").expect("room");
    rig.clock.pass(1);
    assert!(volume.next_cut(false).is_none(), "one second after the last write");
    rig.clock.pass(1);
    let job = volume.next_cut(false).expect("quiet for two seconds");
    assert!(volume.next_cut(true).is_none(), "one cut at a time");
    volume.drop_cut(&job.token);
    for _ in 0..40 {
        volume.write(ino, 0, b"y").expect("room");
        rig.clock.pass(1);
    }
    assert!(volume.next_cut(false).is_some(), "busy for more than {:?}", limits::CUT_BUSY);
}

#[test]
fn a_snapshot_does_not_move_and_newer_bytes_wait_for_the_next_cut() {
    let volume = Rig::new().open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.write(ino, 0, b"old").expect("room");
    let job = volume.next_cut(true).expect("dirty");
    volume.write(ino, 0, b"newer").expect("room");
    let mut bytes = [0; 3];
    job.reader.read_at(0, &mut bytes).expect("in memory");
    assert_eq!((&bytes, job.size), (b"old", 3));
    let outcome = volume.finish_cut(&job.token, Body::Inline(bytes.to_vec()), Vec::new());
    assert_eq!(outcome, CutOutcome::InstalledWithNewer);
    assert_eq!(read(&volume, ino), Ok(b"newer".to_vec()));
    assert_eq!(volume.pending().dirty_bodies, 1);
    cut_all(&volume);
    assert_eq!(volume.pending().dirty_bodies, 0);
    assert_eq!(read(&volume, ino), Ok(b"newer".to_vec()));
}

#[test]
fn pieces_sealed_while_a_file_grows_are_in_its_cut_unless_they_were_written_over() {
    let volume = Rig::new().open();
    let ino = volume.lock().insert(ROOT, b"film", file()).expect("free");
    let block = usize::try_from(FIXED_BLOCK_BYTES).expect("small");
    for at in 0..96_u8 {
        volume.write(ino, u64::from(at) * FIXED_BLOCK_BYTES, &vec![at; block]).expect("room");
    }
    let job = volume.next_ahead(medium).expect("it is large");
    assert_eq!((job.range.start, job.profile), (0, Profile::Medium));
    assert!(volume.next_ahead(medium).is_none(), "one job of a file at a time");
    volume.write(ino, 2 * FIXED_BLOCK_BYTES + 1, b"patched").expect("room");
    let mut sealed = Vec::new();
    for number in 0..8_u8 {
        let offset = u64::from(number) * FIXED_BLOCK_BYTES;
        assert!(offset + FIXED_BLOCK_BYTES <= job.range.end);
        let mut bytes = vec![0; block];
        job.reader.read_at(offset, &mut bytes).expect("as it was");
        assert!(bytes.iter().all(|byte| *byte == number), "the reader shows the moment of the job");
        let entry = ManifestEntry {
            chunk: ChunkId::from_bytes([number; 32]),
            key: ChunkKey::from_bytes([number; 32]),
            h: [number; 16],
            plain_len: u32::try_from(block).expect("small"),
        };
        sealed.push((offset, AheadPiece { entry, is_named: false }));
    }
    volume.keep_ahead(job.ino, sealed);
    volume.truncate(ino, 3 * FIXED_BLOCK_BYTES + 5).expect("room");
    let cut = volume.next_cut(true).expect("dirty");
    let ahead: Vec<u64> = cut.ahead.keys().map(|offset| offset / FIXED_BLOCK_BYTES).collect();
    assert_eq!(ahead, [0, 1], "2 was patched, 3 is cut off in its middle");
    assert_eq!(cut.ahead_profile, Some(Profile::Medium));
    volume.drop_cut(&cut.token);
    let again = volume.next_cut(true).expect("still due");
    assert!(again.ahead.is_empty(), "the pins went with the cut that was given up");
}

const fn medium(_before: Option<Profile>) -> Profile {
    Profile::Medium
}

#[test]
fn pieces_sealed_ahead_are_named_by_a_version_only_when_its_cut_has_taken_them() {
    let volume = Rig::new().open();
    let ino = volume.lock().insert(ROOT, b"film", file()).expect("free");
    for at in 0..96_u64 {
        volume.write(ino, at * FIXED_BLOCK_BYTES, &[7; FIXED_BLOCK_BYTES as usize]).expect("room");
    }
    let job = volume.next_ahead(medium).expect("it is large");
    let entry = ManifestEntry {
        chunk: ChunkId::from_bytes([1; 32]),
        key: ChunkKey::from_bytes([1; 32]),
        h: [1; 16],
        plain_len: 100_000,
    };
    let sealed = |at| (at, AheadPiece { entry: entry.clone(), is_named: false });
    volume.keep_ahead(job.ino, vec![sealed(0), sealed(100_000), sealed(200_000)]);
    let cut = volume.next_cut(true).expect("dirty");
    volume.write(ino, 90 * FIXED_BLOCK_BYTES, b"written on").expect("room");
    volume.taken_ahead(&cut.token, [0, 200_000].into());
    let outcome = volume.finish_cut(&cut.token, Body::Inline(b"some content".to_vec()), Vec::new());
    assert_eq!(outcome, CutOutcome::InstalledWithNewer);
    let next = volume.next_cut(true).expect("written on");
    assert_eq!(next.ahead.keys().copied().collect::<Vec<_>>(), [0, 200_000]);
    assert!(next.ahead.values().all(|piece| piece.is_named));
}

/// A file that another device may know, and a new one that takes its name.
fn replaced(has_other_name: bool) -> Arc<Volume> {
    let volume = Rig::new().open();
    let ino = volume.lock().insert(ROOT, b"doc", file()).expect("free");
    volume.write(ino, 0, b"old").expect("room");
    if has_other_name {
        volume.lock().add_link(ino, ROOT, b"other").expect("free");
    }
    cut_all(&volume);
    let batch = volume.take_batch(100, 1 << 20).expect("one record");
    commit(&volume, &batch, 1);
    let tmp = volume.lock().insert(ROOT, b"tmp", file()).expect("free");
    volume.write(tmp, 0, b"new").expect("room");
    volume.lock().move_link(ROOT, b"tmp", ROOT, b"doc").expect("there");
    volume
}

#[test]
fn a_file_without_a_version_does_not_travel_and_holds_back_the_name_it_took() {
    let volume = replaced(true);
    assert!(volume.take_batch(100, 1 << 20).is_none());
    cut_all(&volume);
    let batch = volume.take_batch(100, 1 << 20).expect("both");
    assert_eq!(batch.records.len(), 2);
}

#[test]
fn a_save_travels_as_one_record_once_it_is_cut() {
    let volume = replaced(false);
    assert!(volume.take_batch(100, 1 << 20).is_none());
    cut_all(&volume);
    let batch = volume.take_batch(100, 1 << 20).expect("the file");
    assert_eq!(batch.records.len(), 1);
}

#[test]
fn several_saves_before_the_first_was_sent_are_one_record_with_the_newest_content() {
    let volume = Rig::new().open();
    let ino = volume.lock().insert(ROOT, b"doc", file()).expect("free");
    volume.write(ino, 0, b"old").expect("room");
    cut_all(&volume);
    let batch = volume.take_batch(100, 1 << 20).expect("one record");
    let versions = batch.records.iter().map(|record| (record.file, version_of(&record.record))).collect();
    let signed =
        SignedCommit { hash: CommitHash::from_bytes([1; 32]), commit: vec![1], payload: vec![2], versions };
    volume.commit_written(&batch, signed, Vec::new()).expect("a healthy disk");
    // Saved three times in a row: the first two are gone before any other device could hear of them.
    for content in [b"one", b"two", b"six"] {
        let tmp = volume.lock().insert(ROOT, b"tmp", file()).expect("free");
        volume.write(tmp, 0, content).expect("room");
        volume.lock().move_link(ROOT, b"tmp", ROOT, b"doc").expect("there");
        assert!(
            volume.take_batch(100, 1 << 20).is_none(),
            "the old content would be gone, the new not there"
        );
    }
    cut_all(&volume);
    assert_eq!(volume.take_batch(100, 1 << 20).expect("the file").records.len(), 1);
}

#[test]
fn batches_go_out_in_the_order_of_changes_and_cover_what_they_say() {
    let volume = Rig::new().open();
    let dir = volume.lock().insert(ROOT, b"dir", NewNode { kind: Kind::Dir, ..file() }).expect("free");
    for i in 0..4_u8 {
        volume.lock().insert(dir, &[b'a' + i], file()).expect("free");
    }
    let first = volume.take_batch(3, 1 << 20).expect("five records wait");
    assert_eq!(first.records.len(), 3);
    assert_eq!(first.records[0].record.kind(), freehold_vault::record::Kind::Dir);
    assert_eq!(first.covers, 3);
    let second = volume.take_batch(3, 1 << 20).expect("two are left");
    assert_eq!((second.records.len(), second.covers), (2, 0), "the first batch is not committed yet");
    volume.return_batch(&second);
    commit(&volume, &first, 1);
    let second = volume.take_batch(3, 1 << 20).expect("two are left");
    assert_eq!(second.covers, 5);
}

fn commit(volume: &Volume, batch: &crate::Batch, number: u8) -> Vec<VersionHash> {
    let versions: Vec<_> =
        batch.records.iter().map(|record| (record.file, version_of(&record.record))).collect();
    let hashes = versions.iter().map(|(_, version)| *version).collect();
    let signed = SignedCommit {
        hash: CommitHash::from_bytes([number; 32]),
        commit: vec![number; 100],
        payload: vec![7],
        versions,
    };
    volume.commit_written(batch, signed, vec![(MetaKey::CHAIN, vec![number])]).expect("a healthy disk");
    hashes
}

#[test]
fn a_commit_is_durable_before_it_may_leave_and_goes_once_it_is_numbered() {
    let rig = Rig::new();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    let batch = volume.take_batch(10, 1 << 20).expect("one record");
    let versions = commit(&volume, &batch, 9);
    let after = rig.on(rig.disk.cut(rig.disk.operations(), 0)).open();
    assert_eq!(after.outbox().iter().map(|entry| entry.commit.clone()).collect::<Vec<_>>(), [vec![9; 100]]);
    assert_eq!(after.meta(MetaKey::CHAIN), Some(vec![9]));
    assert!(after.take_batch(10, 1 << 20).is_none(), "it is not sent twice");
    assert_eq!(after.lock().sync_state(ino), Some(NodeState::Waiting));

    after.commit_numbered(CommitHash::from_bytes([9; 32]));
    after.versions_placed(&versions, |_| false);
    assert!(after.outbox().is_empty());
    assert_eq!(after.lock().sync_state(ino), Some(NodeState::Synced));
    assert_eq!(after.pending(), crate::Pending::default());
}

#[test]
fn a_chunk_that_another_file_still_waits_for_stays_pinned_when_its_first_version_is_placed() {
    let rig = Rig::new();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.write(ino, 0, b"content").expect("room");
    let shared = ChunkId::from_bytes([1; 32]);
    let own = ChunkId::from_bytes([2; 32]);
    for chunk in [shared, own] {
        rig.chunks.pin(&[chunk]).expect("a healthy disk");
    }
    let job = volume.next_cut(true).expect("it is due");
    let body = Body::Inline(b"content".to_vec());
    assert_eq!(volume.finish_cut(&job.token, body, vec![shared, own]), CutOutcome::Installed);
    let batch = volume.take_batch(10, 1 << 20).expect("one record");
    let versions = commit(&volume, &batch, 9);
    volume.commit_numbered(CommitHash::from_bytes([9; 32]));
    // A copy of the file names the chunk as well and is on its way.
    volume.versions_placed(&versions, |chunk| *chunk == shared);
    assert_eq!(rig.chunks.pinned(), [shared]);
}

#[test]
fn a_change_made_while_its_batch_travels_stays_unsent() {
    let volume = Rig::new().open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    let batch = volume.take_batch(10, 1 << 20).expect("one record");
    volume.lock().set_mode(ino, 0o600).expect("there");
    commit(&volume, &batch, 1);
    let next = volume.take_batch(10, 1 << 20).expect("the change waits");
    assert_eq!((next.records[0].record.mode(), next.covers), (0o600, 2));
    assert_eq!(next.records[0].supersedes, [version_of(&batch.records[0].record)]);
}

#[test]
fn a_touch_travels_without_new_content() {
    let (a, b) = (Rig::device(1).open(), Rig::device(2).open());
    let ino = a.lock().insert(ROOT, b"f", file()).expect("free");
    a.write(ino, 0, b"content").expect("room");
    exchange(&a, &b);
    let mtime = Time { secs: 12_345, nanos: 678 };
    a.lock().set_times(ino, SetTimes { mtime: Some(mtime), ..SetTimes::default() }).expect("there");
    assert!(a.next_cut(true).is_none());
    exchange(&a, &b);
    let there = b.lock().child(ROOT, b"f").expect("came over");
    assert_eq!(b.lock().attr(there).map(|attr| attr.mtime), Some(mtime));
}
