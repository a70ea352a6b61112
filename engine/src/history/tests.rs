//! What is kept comes back, in an order that can be followed, and what must stay stays.

use super::{Caps, ChainPlace, History, Keep, KeptCommit};
use freehold_api::bulk::PushVersion;
use freehold_api::device_peer::After;
use freehold_model::{ChunkId, CommitHash, DeviceId, LogHash, RecordId, VaultId, VersionHash};
use freehold_trust::SignKey;
use freehold_trust::commit::{Commit, CommitEntry, CommitPlace};

fn commit(device: u8, seq: u64, version: u8) -> Commit {
    let place = CommitPlace {
        vault: VaultId::from_bytes([1; 16]),
        device: DeviceId::from_bytes([device; 16]),
        incarnation: 0,
        seq,
        prev: CommitHash::from_bytes([u8::from(seq > 1); 32]),
        log_head: LogHash::default(),
        member_epoch: 0,
        generation: 1,
    };
    let entry = CommitEntry {
        record: RecordId::from_bytes([version; 16]),
        version: VersionHash::from_bytes([version; 32]),
        supersedes: Vec::new(),
    };
    Commit::sign(place, vec![entry], vec![7], &SignKey::from_seed(&[device; 32])).expect("within limits")
}

/// What the server has not numbered of device 1, the only one here.
fn unnumbered(history: &History) -> Vec<super::serve::Unnumbered> {
    let device = DeviceId::from_bytes([1; 16]);
    let found = history.unnumbered(&device, 9, usize::MAX).expect("read");
    let devices = history.unnumbered_devices().expect("read");
    assert_eq!(devices, if found.is_empty() { Vec::new() } else { vec![device] });
    found
}

fn kept(commit: &Commit, numbered: bool) -> KeptCommit {
    let header = commit.header();
    let place = ChainPlace { device: header.device, incarnation: header.incarnation, seq: header.seq };
    KeptCommit { place, hash: commit.hash(), bytes: commit.to_bytes(), numbered }
}

fn version(number: u8, refs: &[u8]) -> PushVersion {
    PushVersion {
        record: RecordId::from_bytes([number; 16]),
        hash: VersionHash::from_bytes([number; 32]),
        ciphertext: vec![number; 3],
        refs: refs.iter().map(|id| ChunkId::from_bytes([*id; 32])).collect(),
    }
}

fn after(device: u8, seq: u64) -> After {
    After { device: DeviceId::from_bytes([device; 16]), incarnation: 0, seq }
}

#[test]
fn commits_come_back_after_a_place_in_the_order_of_their_chain() {
    let history = History::in_memory();
    let commits: Vec<Commit> = (1..=3).map(|seq| commit(1, seq, 9)).collect();
    let keep = Keep { commits: commits.iter().rev().map(|c| kept(c, true)).collect(), ..Keep::default() };
    history.keep(&keep, &[]).expect("kept");
    let bytes = |from: usize| commits[from..].iter().map(Commit::to_bytes).collect::<Vec<_>>();
    assert_eq!(history.commits_after(&[after(1, 1)], 9, 1 << 20), Ok((bytes(1), false)));
    assert_eq!(history.commits_after(&[after(2, 0)], 9, 1 << 20), Ok((Vec::new(), false)));
    let (first, more) = history.commits_after(&[after(1, 0)], 2, 1 << 20).expect("read");
    assert_eq!((first, more), (bytes(0)[..2].to_vec(), true));
    let (first, more) = history.commits_after(&[after(1, 0)], 9, 1).expect("read");
    assert_eq!((first.len(), more), (1, true), "never empty while there is something");
    assert_eq!(history.hash_at(&kept(&commits[1], true).place), Ok(Some(commits[1].hash())));
}

#[test]
fn what_the_server_has_not_numbered_comes_with_all_that_must_travel() {
    let history = History::in_memory();
    let (first, second) = (commit(1, 1, 4), commit(1, 2, 5));
    let keep = Keep {
        commits: vec![kept(&first, true), kept(&second, false)],
        versions: vec![version(4, &[]), version(5, &[20])],
        ..Keep::default()
    };
    let id = |byte: u8| ChunkId::from_bytes([byte; 32]);
    let lists = [(id(20), vec![id(21), id(22)]), (id(21), vec![id(23)]), (id(30), vec![id(31)])];
    history.keep(&keep, &lists).expect("kept");
    let open = unnumbered(&history);
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].push.commit, second.to_bytes());
    assert_eq!(open[0].push.versions, [version(5, &[20])]);
    let nodes: Vec<ChunkId> = open[0].push.manifests.iter().map(|list| list.node).collect();
    assert_eq!(nodes, [id(20), id(21)]);
    let numbered = Keep { numbered: vec![open[0].place], ..Keep::default() };
    history.keep(&numbered, &[]).expect("kept");
    assert!(unnumbered(&history).is_empty());
    let restart = Keep { forget_numbers: true, ..Keep::default() };
    history.keep(&restart, &[]).expect("kept");
    assert_eq!(unnumbered(&history).len(), 2, "a numbering that starts over asks for all");
}

#[test]
fn keeping_twice_changes_nothing_and_a_number_stays() {
    let history = History::in_memory();
    let first = commit(1, 1, 4);
    for numbered in [false, true, false] {
        let keep = Keep { commits: vec![kept(&first, numbered)], ..Keep::default() };
        history.keep(&keep, &[]).expect("kept");
    }
    assert!(unnumbered(&history).is_empty());
}

#[test]
fn over_its_cap_the_oldest_numbered_bytes_go_and_hashes_stay() {
    let history = History::in_memory();
    let commits: Vec<Commit> = (1..=4).map(|seq| commit(1, seq, 9)).collect();
    let size = i64::try_from(commits[0].to_bytes().len()).expect("small");
    let keep = Keep {
        commits: commits.iter().enumerate().map(|(at, commit)| kept(commit, at != 0)).collect(),
        versions: vec![version(4, &[]), version(5, &[])],
        ..Keep::default()
    };
    history.keep(&keep, &[]).expect("kept");
    let lists =
        [4_u8, 5].map(|byte| (ChunkId::from_bytes([byte; 32]), vec![ChunkId::from_bytes([byte; 32])]));
    history.keep(&Keep::default(), &lists).expect("kept");
    history.trim(Caps { commit_bytes: 2 * size, version_bytes: 3, list_bytes: 32 }).expect("trimmed");
    let left: i64 =
        history.db.lock().query_row("SELECT min(id) FROM kept_manifest", [], |row| row.get(0)).expect("one");
    assert_eq!(left, 2, "the oldest list goes first");
    assert_eq!(unnumbered(&history).len(), 1, "the server needs it still");
    let (left, _) = history.commits_after(&[after(1, 2)], 9, 1 << 20).expect("read");
    assert_eq!(left, [commits[2].to_bytes(), commits[3].to_bytes()]);
    assert_eq!(history.commits_after(&[after(1, 1)], 9, 1 << 20), Ok((Vec::new(), false)), "no gaps");
    assert_eq!(history.hash_at(&kept(&commits[1], true).place), Ok(Some(commits[1].hash())));
    assert_eq!(history.version(&version(4, &[]).hash), Ok(None));
    assert_eq!(history.version(&version(5, &[]).hash), Ok(Some(version(5, &[]))));
}

#[test]
fn the_newest_commit_of_every_device_stays_over_any_cap() {
    let history = History::in_memory();
    let commits = [commit(1, 1, 9), commit(1, 2, 9), commit(2, 1, 9)];
    let keep = Keep { commits: commits.iter().map(|commit| kept(commit, true)).collect(), ..Keep::default() };
    history.keep(&keep, &[]).expect("kept");
    history.trim(Caps { commit_bytes: 0, version_bytes: 0, list_bytes: 0 }).expect("trimmed");
    let (left, _) = history.commits_after(&[after(1, 1), after(2, 0)], 9, 1 << 20).expect("read");
    assert_eq!(left, [commits[1].to_bytes(), commits[2].to_bytes()]);
    assert_eq!(history.commits_after(&[after(1, 0)], 9, 1 << 20), Ok((Vec::new(), false)));
}

#[test]
fn a_damaged_file_is_set_aside_and_replaced() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("history.db"), vec![b'x'; 8192]).expect("a file");
    let history = History::open(dir.path()).expect("an empty store");
    assert!(unnumbered(&history).is_empty());
    assert!(dir.path().join("history.db.damaged").exists());
}
