//! Numbering, chains, pages, versions.

use crate::fixture::{NOW, Writer, entry, version, version_hash};
use freehold_api::bulk::VersionState;
use freehold_api::{Blob, ChainHead, ChainState, ErrorCode};
use freehold_server::db::{CommitOutcome, MetaStore};
use freehold_trust::commit::SignedHead;
use std::collections::BTreeSet;

pub(crate) async fn commits_are_numbered_from_one_without_gaps(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    for expected in 1..=3 {
        assert_eq!(writer.push(store, &[(1, &[expected as u8])]).await, expected);
    }
    let head = ChainHead { incarnation: 1, seq: 3, hash: writer.prev };
    assert_eq!(store.chain(writer.vault, writer.device).await.expect("an answer").head, Some(head));
}

pub(crate) async fn a_chain_is_told_with_what_proves_its_head(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    assert_eq!(store.chain(writer.vault, writer.device).await.expect("an answer"), ChainState::default());
    for content in [b"a", b"b"] {
        let row = writer.row(&[(1, content)]);
        writer.append(store, row.clone()).await;
        let told = store.chain(writer.vault, writer.device).await.expect("an answer");
        let expected = SignedHead::of(&row.commit);
        assert_eq!(told.signed, Some(Blob(expected.to_bytes())));
        assert_eq!(told.head.map(|head| head.hash), Some(expected.head().hash));
    }
}

pub(crate) async fn a_repeated_commit_keeps_its_number(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    let first = writer.row(&[(1, b"a")]);
    writer.append(store, first.clone()).await;
    writer.push(store, &[(1, b"b")]).await;
    assert_eq!(writer.offer(store, first).await, CommitOutcome::Numbered { vault_seq: 1, fresh: false });
    assert_eq!(store.vault_state(writer.vault).await.expect("a state").vault_seq, 2);
}

pub(crate) async fn a_gap_is_refused_with_the_known_head(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    writer.push(store, &[(1, b"a")]).await;
    let known = ChainHead { incarnation: 1, seq: 1, hash: writer.prev };
    let second = writer.row(&[(1, b"b")]);
    (writer.seq, writer.prev) = (2, second.commit.hash());
    let third = writer.row(&[(1, b"c")]);
    let refused = CommitOutcome::Refused { code: ErrorCode::ChainGap, head: Some(known) };
    assert_eq!(writer.offer(store, third.clone()).await, refused);
    let both =
        store.append_commits(writer.vault, 1, &[second, third], NOW).await.expect("the database works");
    let numbers = [2, 3].map(|vault_seq| CommitOutcome::Numbered { vault_seq, fresh: true });
    assert_eq!(both, Some(numbers.to_vec()));
}

pub(crate) async fn a_fork_is_refused_and_the_first_stays(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    let (first, other) = (writer.row(&[(1, b"a")]), writer.row(&[(1, b"x")]));
    writer.append(store, first.clone()).await;
    let head = Some(ChainHead { incarnation: 1, seq: 1, hash: first.commit.hash() });
    let forked = CommitOutcome::Refused { code: ErrorCode::CommitFork, head };
    assert_eq!(writer.offer(store, other.clone()).await, forked);
    // A later commit upon the other branch is a fork too.
    writer.prev = other.commit.hash();
    assert_eq!(writer.offer(store, writer.row(&[(1, b"y")])).await, forked);
    let page = store.commit_page(writer.vault, 0, 10).await.expect("a page");
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.items[0].commit, first.bytes);
}

pub(crate) async fn a_new_incarnation_follows_the_old_head(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    writer.push(store, &[(1, b"a")]).await;
    (writer.incarnation, writer.seq) = (2, 0);
    assert_eq!(writer.push(store, &[(1, b"b")]).await, 2);
    let head = ChainHead { incarnation: 2, seq: 1, hash: writer.prev };
    assert_eq!(store.chain(writer.vault, writer.device).await.expect("an answer").head, Some(head));
}

pub(crate) async fn concurrent_versions_of_a_record_are_both_taken(store: &dyn MetaStore) {
    let mut first = Writer::register(store, 1).await;
    let mut second = Writer::on(first.vault, 2);
    assert_eq!(first.push(store, &[(1, b"a")]).await, 1);
    assert_eq!(second.push(store, &[(1, b"b")]).await, 2);
    // The same merge sealed by both is one version in two commits.
    let heads = [version_hash(b"a"), version_hash(b"b")];
    for (writer, number) in [(&mut first, 3), (&mut second, 4)] {
        let row = writer.row_of(vec![entry(1, b"m", &heads)], vec![version(1, b"m", &[])]);
        assert_eq!(writer.append(store, row).await, number);
    }
}

pub(crate) async fn a_version_neither_sent_nor_stored_is_refused(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    let bare = writer.row_of(vec![entry(1, b"a", &[])], Vec::new());
    let refused = CommitOutcome::Refused { code: ErrorCode::CommitInvalid, head: None };
    assert_eq!(writer.offer(store, bare.clone()).await, refused);
    assert_eq!(store.vault_state(writer.vault).await.expect("a state").vault_seq, 0);
    writer.push(store, &[(1, b"a")]).await;
    // Stored now, so the next commit may name it again; but not for another record.
    let again = writer.row_of(vec![entry(1, b"a", &[])], Vec::new());
    let elsewhere = writer.row_of(vec![entry(2, b"a", &[])], Vec::new());
    assert!(matches!(writer.offer(store, elsewhere).await, CommitOutcome::Refused { .. }));
    assert_eq!(writer.append(store, again).await, 2);
}

pub(crate) async fn a_grown_log_sends_the_caller_back(store: &dyn MetaStore) {
    let writer = Writer::register(store, 1).await;
    let row = writer.row(&[(1, b"a")]);
    let outcome = store.append_commits(writer.vault, 2, &[row], NOW).await.expect("the database works");
    assert_eq!(outcome, None);
    assert_eq!(store.vault_state(writer.vault).await.expect("a state").vault_seq, 0);
}

pub(crate) async fn racing_writers_get_every_number_once(store: &dyn MetaStore) {
    const COMMITS: u64 = 20;
    let mut first = Writer::register(store, 1).await;
    let mut second = Writer::on(first.vault, 2);
    let vault = first.vault;
    let write = async |writer: &mut Writer| {
        let mut numbers = Vec::new();
        for n in 0..COMMITS {
            let content = [&writer.device.to_bytes()[..], &[n as u8]].concat();
            numbers.push(writer.push(store, &[(1, &content)]).await);
        }
        numbers
    };
    let (a, b) = tokio::join!(write(&mut first), write(&mut second));
    assert!(a.is_sorted() && b.is_sorted(), "each writer sees its own numbers rise");
    let all: BTreeSet<u64> = a.into_iter().chain(b).collect();
    assert!(all.into_iter().eq(1..=2 * COMMITS), "no number twice, none left out");
    let page = store.commit_page(vault, 0, 100).await.expect("a page");
    assert!(page.items.iter().map(|item| item.vault_seq).eq(1..=2 * COMMITS));
}

pub(crate) async fn pages_follow_the_cursor_to_the_head(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    let mut sent = Vec::new();
    for n in 0..5 {
        let row = writer.row(&[(1, &[n])]);
        sent.push(row.bytes.clone());
        writer.append(store, row).await;
    }
    let (mut cursor, mut read) = (0, Vec::new());
    loop {
        let page = store.commit_page(writer.vault, cursor, 2).await.expect("a page");
        assert!(page.items.len() <= 2 && page.head == 5);
        cursor = page.next;
        read.extend(page.items.into_iter().map(|item| item.commit));
        if cursor == page.head {
            break;
        }
    }
    assert_eq!(read, sent);
    let after = store.commit_page(writer.vault, 5, 2).await.expect("a page");
    assert_eq!((after.items.len(), after.next, after.head), (0, 5, 5));
}

pub(crate) async fn unknown_versions_are_unknown_and_never_deleted(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    writer.push(store, &[(1, b"a")]).await;
    let row = writer.row_of(vec![entry(1, b"b", &[version_hash(b"a")])], vec![version(1, b"b", &[])]);
    writer.append(store, row).await;
    let hashes = [version_hash(b"b"), version_hash(b"?"), version_hash(b"a")];
    let answer = store.versions(writer.vault, &hashes).await.expect("versions");
    let states: Vec<_> = answer.items.iter().map(|item| (item.state, item.ciphertext.as_slice())).collect();
    let expected: [(VersionState, &[u8]); 3] =
        [(VersionState::Placed, b"b"), (VersionState::Unknown, b""), (VersionState::Placed, b"a")];
    assert_eq!(states, expected);
}
