//! Commits as a server without any content key sees them.

use super::*;
use freehold_model::{RecordId, VersionHash};

#[test]
fn a_commit_survives_its_bytes_and_verifies() {
    let commit = commit(1, 1, CommitHash::default(), b"body");
    let read = Commit::from_bytes(&commit.to_bytes()).expect("its own bytes");
    assert_eq!(read, commit);
    assert_eq!(read.verify(&key().public()), Ok(()));
    assert_eq!(read.hash(), commit.hash());
    assert_eq!(codec::to_vec(read.header()).len(), CommitHeader::LEN_BYTES);
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = commit(1, 1, CommitHash::default(), b"body").to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let accepted = Commit::from_bytes(&flipped).is_ok_and(|read| read.verify(&key().public()).is_ok());
        assert!(!accepted, "bit {bit}");
    }
}

#[test]
fn entries_and_body_of_another_commit_are_refused() {
    let (one, two) =
        (commit(1, 1, CommitHash::default(), b"one"), commit(1, 1, CommitHash::default(), b"two"));
    let swapped_body = Commit { sealed_body: two.sealed_body, ..one.clone() };
    let refused = Commit::from_bytes(&swapped_body.to_bytes());
    assert_eq!(refused, Err(DecodeError::Invalid("body hash")));
    let dropped = Commit { entries: one.entries[..1].to_vec(), ..one };
    assert_eq!(Commit::from_bytes(&dropped.to_bytes()), Err(DecodeError::Invalid("records root")));
}

#[test]
fn entries_have_one_order_and_one_version_a_record() {
    let sorted = Commit::sign(place(1, 1, CommitHash::default()), vec![entry(2), entry(1)], vec![], &key());
    let sorted = sorted.expect("signs");
    assert_eq!(sorted.entries()[0], entry(1));
    let swapped = Commit { entries: vec![entry(2), entry(1)], ..sorted };
    assert_eq!(Commit::from_bytes(&swapped.to_bytes()), Err(DecodeError::Invalid("commit entries")));
    let twice = Commit::sign(place(1, 1, CommitHash::default()), vec![entry(1), entry(1)], vec![], &key());
    assert_eq!(twice, Err(DecodeError::Invalid("commit entries")));
}

#[test]
fn an_entry_never_replaces_itself_or_the_same_version_twice() {
    let version = entry(1).version;
    for supersedes in [vec![version], vec![VersionHash::from_bytes([9; 32]); 2]] {
        let bad = CommitEntry { supersedes, ..entry(1) };
        let refused = Commit::sign(place(1, 1, CommitHash::default()), vec![bad], vec![], &key());
        assert_eq!(refused, Err(DecodeError::Invalid("superseded versions")));
    }
}

#[test]
fn limits_hold_when_writing_and_when_reading() {
    let place = place(1, 1, CommitHash::default());
    let many = (0..=COMMIT_ENTRIES_MAX as u32).map(numbered).collect();
    assert_eq!(Commit::sign(place, many, vec![], &key()), Err(DecodeError::TooLong));
    let body = vec![0; limits::COMMIT_BODY_BYTES_MAX + 1];
    assert_eq!(Commit::sign(place, vec![], body, &key()), Err(DecodeError::TooLong));
    let supersedes =
        (0..=limits::COMMIT_SUPERSEDES_MAX as u8).map(|n| VersionHash::from_bytes([n; 32])).collect();
    let wide = CommitEntry { supersedes, version: VersionHash::from_bytes([0xff; 32]), ..entry(1) };
    assert_eq!(Commit::sign(place, vec![wide], vec![], &key()), Err(DecodeError::TooLong));
    assert_eq!(Commit::from_bytes(&vec![0; limits::COMMIT_BYTES_MAX + 1]), Err(DecodeError::TooLong));
}

#[test]
fn the_largest_commit_fits_its_limit() {
    let body = vec![7; limits::COMMIT_BODY_BYTES_MAX];
    let entries = (0..COMMIT_ENTRIES_MAX as u32).map(numbered).collect();
    let commit =
        Commit::sign(place(1, 1, CommitHash::default()), entries, body, &key()).expect("within limits");
    let bytes = commit.to_bytes();
    assert!(bytes.len() <= limits::COMMIT_BYTES_MAX);
    assert_eq!(Commit::from_bytes(&bytes), Ok(commit));
}

#[test]
fn a_chain_is_followed_across_incarnations() {
    let first = commit(1, 1, CommitHash::default(), b"1");
    let second = commit(1, 2, first.hash(), b"2");
    let reborn = commit(2, 1, second.hash(), b"3");
    let mut head = None;
    for commit in [&first, &second, &reborn] {
        head = Some(ChainHead::follow(head.as_ref(), commit.header()).expect("continues"));
    }
    assert_eq!(head, Some(ChainHead { incarnation: 2, seq: 1, hash: reborn.hash() }));
}

#[test]
fn repeats_gaps_and_wrong_predecessors_are_told_apart() {
    let first = commit(1, 1, CommitHash::default(), b"1");
    let second = commit(1, 2, first.hash(), b"2");
    let head = ChainHead::of(second.header());
    let follow = |commit: &Commit| ChainHead::follow(Some(&head), commit.header());
    assert_eq!(follow(&second), Err(ChainError::Past { incarnation: 1, seq: 2 }));
    assert_eq!(follow(&commit(0, 9, head.hash, b"x")), Err(ChainError::Past { incarnation: 0, seq: 9 }));
    let gap = Err(ChainError::Gap { incarnation: 1, expected_seq: 3 });
    assert_eq!(follow(&commit(1, 4, head.hash, b"x")), gap);
    assert_eq!(
        follow(&commit(1, 3, first.hash(), b"x")),
        Err(ChainError::WrongPrev { incarnation: 1, seq: 3 })
    );
    let unanchored = follow(&commit(2, 1, CommitHash::default(), b"x"));
    assert_eq!(unanchored, Err(ChainError::WrongPrev { incarnation: 2, seq: 1 }));
    let headless = ChainHead::follow(None, second.header());
    assert_eq!(headless, Err(ChainError::Gap { incarnation: 1, expected_seq: 1 }));
}

#[test]
fn two_commits_at_one_position_are_evidence_that_anyone_can_check() {
    let (a, b) = (commit(1, 1, CommitHash::default(), b"a"), commit(1, 1, CommitHash::default(), b"b"));
    let evidence = ForkEvidence::of(&a, &b).expect("a fork");
    assert_eq!(evidence.verify(&key().public()), Ok(()));
    assert_eq!(evidence.verify(&SignKey::from_seed(&[8; 32]).public()), Err(BadSignature));
    assert_eq!(ForkEvidence::of(&a, &a), None);
    assert_eq!(ForkEvidence::of(&a, &commit(1, 2, a.hash(), b"b")), None);
}

#[test]
fn the_start_of_a_commit_alone_proves_its_place() {
    let second = commit(1, 2, commit(1, 1, CommitHash::default(), b"1").hash(), b"2");
    let bytes = second.to_bytes();
    let head = SignedHead::from_start(&bytes).expect("a commit");
    assert_eq!(head, SignedHead::of(&second));
    assert_eq!(head.head(), ChainHead { incarnation: 1, seq: 2, hash: second.hash() });
    assert_eq!(head.to_bytes(), bytes[..SignedHead::LEN_BYTES]);
    assert_eq!(head.verify(&key().public()), Ok(()));
    assert_eq!(head.verify(&SignKey::from_seed(&[8; 32]).public()), Err(BadSignature));
    for bit in 0..SignedHead::LEN_BYTES * 8 {
        let mut flipped = bytes[..SignedHead::LEN_BYTES].to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let accepted =
            SignedHead::from_start(&flipped).is_ok_and(|read| read.verify(&key().public()).is_ok());
        assert!(!accepted, "bit {bit}");
    }
    for len in 0..SignedHead::LEN_BYTES {
        assert!(SignedHead::from_start(&bytes[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn a_head_at_a_place_no_commit_has_is_refused() {
    let first = commit(1, 1, CommitHash::default(), b"1");
    for (seq, why) in [(0, "commit seq"), (2, "commit prev")] {
        let elsewhere = Commit { header: CommitHeader { seq, ..first.header }, ..first.clone() };
        let read = SignedHead::from_start(&SignedHead::of(&elsewhere).to_bytes());
        assert_eq!(read, Err(DecodeError::Invalid(why)));
    }
}

fn key() -> SignKey {
    SignKey::from_seed(&[7; 32])
}

fn place(incarnation: u32, seq: u64, prev: CommitHash) -> CommitPlace {
    CommitPlace {
        vault: VaultId::from_bytes([1; 16]),
        device: DeviceId::from_bytes([2; 16]),
        incarnation,
        seq,
        prev,
        log_head: LogHash::from_bytes([3; 32]),
        member_epoch: 0,
        generation: 1,
    }
}

fn entry(n: u8) -> CommitEntry {
    CommitEntry {
        record: RecordId::from_bytes([n; 16]),
        version: VersionHash::from_bytes([n ^ 0x80; 32]),
        supersedes: vec![VersionHash::from_bytes([n ^ 0x40; 32])],
    }
}

fn numbered(n: u32) -> CommitEntry {
    let mut record = [0; 16];
    record[..4].copy_from_slice(&n.to_be_bytes());
    CommitEntry { record: RecordId::from_bytes(record), ..entry(1) }
}

fn commit(incarnation: u32, seq: u64, prev: CommitHash, body: &[u8]) -> Commit {
    Commit::sign(place(incarnation, seq, prev), vec![entry(1), entry(2)], body.to_vec(), &key())
        .expect("within limits")
}
