//! The index beside the journal: it may be behind, lost or damaged, and nothing is.

use crate::testing::{Rig, file, names, read};
use crate::{MetaKey, ROOT};
use freehold_model::FileId;

fn rig(dir: &tempfile::TempDir) -> Rig {
    Rig { index: Some(dir.path().join("index.db")), ..Rig::new() }
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn a_deleted_index_costs_nothing_that_the_journal_has_and_is_told() {
    let dir = dir();
    let rig = rig(&dir);
    let volume = rig.open();
    for start in 0..2 {
        let ino = volume.lock().insert(ROOT, &[b'a' + start], file()).expect("free");
        volume.write(ino, 0, b"content").expect("room");
        volume.set_meta(vec![(MetaKey::CURSOR, vec![1]), (MetaKey::CHAIN, vec![2])]);
        volume.fsync(None).expect("a healthy disk");
    }
    volume.close().expect("a healthy disk");
    drop(volume);
    for suffix in ["", "-wal", "-shm"] {
        let gone = std::fs::remove_file(dir.path().join(format!("index.db{suffix}")));
        assert!(gone.is_ok() || !suffix.is_empty());
    }
    let (volume, recovery) = rig.on(rig.disk.reopened()).open_reporting();
    assert!(!recovery.heads_needed, "the journal goes back to the first batch");
    assert_eq!(names(&volume, ROOT), ["a", "b"]);
    let ino = volume.lock().child(ROOT, b"a").expect("kept");
    assert_eq!(read(&volume, ino), Ok(b"content".to_vec()));
    assert_eq!(volume.meta(MetaKey::CHAIN), Some(vec![2]));
}

#[test]
fn an_index_older_than_the_journal_is_thrown_away_and_heads_are_asked_for() {
    let dir = dir();
    let rig = rig(&dir);
    let volume = rig.open();
    volume.lock().insert(ROOT, b"unsent", file()).expect("free");
    volume.set_meta(vec![(MetaKey::CURSOR, vec![1]), (MetaKey::CHAIN, vec![2])]);
    volume.close().expect("a healthy disk");
    drop(volume);
    // The journal goes on in a second segment that repeats nothing of the first but sync state.
    let later = rig.on(rig.disk.reopened());
    let volume = later.open();
    volume.lock().insert(ROOT, b"later", file()).expect("free");
    volume.close().expect("a healthy disk");
    drop(volume);
    let disk = later.disk.reopened();
    let oldest = disk.names(".journal").remove(0);
    freehold_store::Disk::remove(&disk, &oldest).expect("there");
    for suffix in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(dir.path().join(format!("index.db{suffix}"))));
    }
    let (volume, recovery) = later.on(disk).open_reporting();
    assert!(recovery.heads_needed);
    assert_eq!(volume.meta(MetaKey::CURSOR), None, "everything is loaded again");
    assert_eq!(volume.meta(MetaKey::CHAIN), Some(vec![2]), "the own chain is not forgotten");
    assert!(volume.author().1 >= 2, "no dot is used twice");
    assert_eq!(names(&volume, ROOT), ["later"]);
}

#[test]
fn a_damaged_index_is_set_aside_and_replaced() {
    let dir = dir();
    let rig = rig(&dir);
    let volume = rig.open();
    volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.close().expect("a healthy disk");
    drop(volume);
    std::fs::write(dir.path().join("index.db"), vec![0x5A; 8192]).expect("a temporary directory");
    let volume = rig.on(rig.disk.reopened()).open();
    assert_eq!(names(&volume, ROOT), ["a"]);
    assert!(dir.path().join("index.db.damaged").exists());
}

#[test]
fn an_index_behind_the_journal_is_caught_up_and_not_regressed() {
    let dir = dir();
    let rig = rig(&dir);
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.close().expect("a healthy disk");
    let old = std::fs::read(dir.path().join("index.db")).expect("written");
    volume.lock().set_mode(ino, 0o600).expect("there");
    volume.lock().insert(ROOT, b"b", file()).expect("free");
    volume.lock().remove_link(ROOT, b"b").expect("there");
    volume.close().expect("a healthy disk");
    drop(volume);
    std::fs::write(dir.path().join("index.db"), old).expect("a temporary directory");
    let (volume, recovery) = rig.on(rig.disk.reopened()).open_reporting();
    assert!(!recovery.heads_needed);
    assert_eq!(names(&volume, ROOT), ["a"]);
    assert_eq!(volume.lock().attr(ino).map(|attr| attr.mode), Some(0o600));
}

#[test]
fn the_database_names_nothing() {
    let dir = dir();
    let rig = rig(&dir);
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"canary-name", file()).expect("free");
    let file_id = volume.lock().file_id(ino).expect("made");
    volume.close().expect("a healthy disk");
    let bytes = std::fs::read(dir.path().join("index.db")).expect("written");
    assert!(!bytes.windows(6).any(|window| window == b"canary"));
    assert!(!bytes.windows(16).any(|window| window == file_id.as_bytes()));
}

#[test]
fn rows_are_found_while_they_wait_are_written_and_lie_in_the_file() {
    use crate::journal::item::{Item, NodeImage};
    let dir = dir();
    let volume = rig(&dir).open();
    let index = volume.local.as_ref().and_then(|local| local.index.as_ref()).expect("there is one");
    let row = |number: u64, dirty_since| {
        let mut id = [7; FileId::LEN];
        id[..8].copy_from_slice(&number.to_be_bytes());
        Item::Node(NodeImage {
            ino: number,
            file: FileId::from_bytes(id),
            atime: crate::Time::default(),
            mtime: crate::Time::default(),
            ctime: crate::Time::default(),
            dirty_since,
            heads: Vec::new(),
            unplaced: Vec::new(),
            record: Vec::new(),
        })
    };
    for round in 1..=40 {
        let items: Vec<Item> = (0..200).map(|number| row(number, round)).collect();
        index.submit(100 + round, &items);
        let files = items
            .iter()
            .filter_map(|item| if let Item::Node(image) = item { Some(image.file) } else { None });
        let found = index.nodes(&files.collect::<Vec<_>>()).expect("a healthy disk");
        assert_eq!(found.len(), 200);
        assert!(found.iter().all(|image| image.dirty_since == round), "the last that was submitted");
        if round % 8 == 0 {
            assert!(index.sync());
        }
    }
}
