//! The main road: register, log in, push, place; and the ways a push is refused.

use crate::client::{Node, Server, User};
use freehold_api::bulk::{
    CommitPage, ManifestRefs, PushCommit, VersionState, VersionsRequest, VersionsResponse,
};
use freehold_api::{Blob, ChainState, ErrorCode, PushOutcome, ReceiptsAccepted, VaultState, path};
use freehold_model::codec::from_slice;
use freehold_model::{ChunkId, LogHash, VersionHash};
use freehold_trust::commit::SignedHead;

fn chunk(n: u8) -> ChunkId {
    ChunkId::from_bytes([n; 32])
}

fn numbered(vault_seq: u64) -> PushOutcome {
    PushOutcome::Numbered { vault_seq }
}

async fn state(server: &Server, user: &User) -> VaultState {
    server.get(&path::state(&user.vault), &user.token).await.json()
}

#[tokio::test]
async fn a_file_is_pushed_received_and_placed() {
    let server = Server::start().await;
    let node = server.join_node(7).await;
    let mut user = User::register(&server, 1).await;
    let mut commit = user.commit(b"sealed record", &[chunk(10)]);
    commit.manifests = vec![ManifestRefs { node: chunk(10), ids: vec![chunk(11), chunk(12)] }];
    assert_eq!(user.push(&server, std::slice::from_ref(&commit)).await.results, [numbered(1)]);
    user.advance(&commit);
    let before = state(&server, &user).await;
    assert_eq!((before.vault_seq, before.unplaced_versions), (1, 1));
    assert_eq!(before.unplaced_by, [user.device.id]);

    let accepted: ReceiptsAccepted =
        user.send_receipts(&server, receipts(&server, &user, &node)).await.json();
    assert_eq!(accepted, ReceiptsAccepted { accepted: 3, placed_versions: 1 });
    let after = state(&server, &user).await;
    assert_eq!((after.unplaced_versions, after.unplaced_by), (0, vec![]));

    let page = server.get(&path::commits_after(&user.vault, 0, 10), &user.token).await;
    let page: CommitPage = from_slice(&page.body).expect("a page");
    assert_eq!((page.head, page.items[0].commit.as_slice()), (1, commit.commit.as_slice()));
    let hashes = vec![commit.versions[0].hash, VersionHash::default()];
    let answer =
        server.post_bulk(&path::versions(&user.vault), &user.token, &VersionsRequest { hashes }).await;
    let answer: VersionsResponse = from_slice(&answer.body).expect("versions");
    let states: Vec<VersionState> = answer.items.iter().map(|item| item.state).collect();
    assert_eq!(states, [VersionState::Placed, VersionState::Unknown]);
    assert_eq!(answer.items[0].ciphertext, b"sealed record");
}

fn receipts(server: &Server, user: &User, node: &Node) -> Vec<Vec<u8>> {
    let tag = server.app.keys().vault_tag(&user.vault, &node.id);
    [10, 11, 12].map(|n| node.receipt(tag, chunk(n))).to_vec()
}

#[tokio::test]
async fn a_replayed_push_gets_the_same_number() {
    let server = Server::start().await;
    let mut user = User::register(&server, 1).await;
    let first = user.commit(b"a", &[]);
    user.advance(&first);
    let second = user.commit(b"b", &[]);
    let both = [first.clone(), second];
    assert_eq!(user.push(&server, &both).await.results, [numbered(1), numbered(2)]);
    assert_eq!(user.push(&server, &both).await.results, [numbered(1), numbered(2)]);
    assert_eq!(state(&server, &user).await.vault_seq, 2);
    let chain: ChainState = server.get(&path::chain(&user.vault, &user.device.id), &user.token).await.json();
    assert_eq!(chain.head.map(|head| (head.incarnation, head.seq)), Some((1, 2)));
    assert_eq!(chain.signed.as_ref().map(Blob::as_slice), Some(&both[1].commit[..SignedHead::LEN_BYTES]));
}

#[tokio::test]
async fn a_fork_and_a_gap_are_refused_with_the_known_head() {
    let server = Server::start().await;
    let mut user = User::register(&server, 1).await;
    let (first, fork) = (user.commit(b"a", &[]), user.commit(b"x", &[]));
    user.push(&server, std::slice::from_ref(&first)).await;
    user.advance(&first);
    let skipped = user.commit(b"b", &[]);
    user.advance(&skipped);
    let late = user.commit(b"c", &[]);
    let results = user.push(&server, &[fork, late]).await.results;
    let codes: Vec<_> = results.iter().map(refusal).collect();
    assert_eq!(codes, [(ErrorCode::CommitFork, Some(1)), (ErrorCode::ChainGap, Some(1))]);
}

fn refusal(outcome: &PushOutcome) -> (ErrorCode, Option<u64>) {
    match outcome {
        PushOutcome::Refused { code, head } => (*code, head.map(|head| head.seq)),
        PushOutcome::Numbered { vault_seq } => panic!("it was numbered {vault_seq}"),
    }
}

/// Row 28 of the attack list among others: nobody but a live device numbers a commit, and under no
/// membership that there is not.
#[tokio::test]
async fn what_does_not_belong_together_is_refused() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let sound = user.commit(b"a", &[]);
    let broken = |change: fn(&mut PushCommit)| {
        let mut commit = sound.clone();
        change(&mut commit);
        commit
    };
    let stranger = User { device: crate::client::Device::new(99), ..User::register(&server, 2).await };
    let foreign_device = User { vault: user.vault, ..stranger };
    let mut forged = sound.clone();
    let signature_at = freehold_trust::commit::CommitHeader::LEN_BYTES;
    forged.commit[signature_at + 5] ^= 1;
    let cases = [
        (broken(|commit| commit.versions[0].ciphertext.push(0)), ErrorCode::CommitInvalid),
        (broken(|commit| commit.versions.clear()), ErrorCode::CommitInvalid),
        (broken(|commit| commit.versions.push(commit.versions[0].clone())), ErrorCode::CommitInvalid),
        (broken(|commit| commit.commit.push(0)), ErrorCode::CommitInvalid),
        (forged, ErrorCode::BadSignature),
        (user.commit_of_epoch(1, b"a"), ErrorCode::CommitInvalid),
        (foreign_device.commit_citing(user.genesis.hash(), b"a", &[]), ErrorCode::UnknownDevice),
        (user.commit_citing(LogHash::from_bytes([5; 32]), b"a", &[]), ErrorCode::UnknownLogHead),
    ];
    for (commit, code) in cases {
        let results = user.push(&server, &[commit]).await.results;
        assert_eq!(refusal(&results[0]), (code, None));
    }
    assert_eq!(state(&server, &user).await.vault_seq, 0);
    assert_eq!(user.push(&server, &[sound]).await.results, [numbered(1)]);
}

#[tokio::test]
async fn one_refused_commit_does_not_stop_the_next() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let mut bad = user.commit(b"x", &[]);
    bad.versions[0].ciphertext.push(0);
    let results = user.push(&server, &[bad, user.commit(b"a", &[])]).await.results;
    assert_eq!(refusal(&results[0]).0, ErrorCode::CommitInvalid);
    assert_eq!(results[1], numbered(1));
}

#[tokio::test]
async fn a_foreign_vault_looks_like_none() {
    let server = Server::start().await;
    let owner = User::register(&server, 1).await;
    let other = User::register(&server, 2).await;
    let missing = freehold_model::VaultId::from_bytes([77; 16]);
    for vault in [owner.vault, missing] {
        let thief = User { vault, token: other.token.clone(), ..User::afresh(&other) };
        let request = freehold_api::bulk::PushRequest { commits: vec![thief.commit(b"a", &[])] };
        let pushed = server.post_bulk(&path::commits(&vault), &other.token, &request).await;
        assert_eq!((pushed.status.as_u16(), pushed.code()), (404, ErrorCode::VaultNotFound));
        for path in [path::state(&vault), path::commits(&vault), path::chain(&vault, &owner.device.id)] {
            assert_eq!(server.get(&path, &other.token).await.code(), ErrorCode::VaultNotFound);
        }
    }
}

#[tokio::test]
async fn receipts_must_be_the_nodes_own_and_for_this_vault() {
    let server = Server::start().await;
    let node = server.join_node(7).await;
    let user = User::register(&server, 1).await;
    let tag = server.app.keys().vault_tag(&user.vault, &node.id);
    let other_tag = freehold_model::VaultTag::from_bytes([1; 16]);
    let impostor = Node { id: node.id, key: freehold_trust::SignKey::from_seed(&[66; 32]) };
    let unknown = Node { id: freehold_model::NodeId::from_bytes([1; 16]), key: impostor_key() };
    let bad = [
        node.receipt(other_tag, chunk(1)),
        impostor.receipt(tag, chunk(1)),
        unknown.receipt(tag, chunk(1)),
        b"no receipt".to_vec(),
    ];
    for receipt in bad {
        let answer = user.send_receipts(&server, vec![node.receipt(tag, chunk(1)), receipt]).await;
        assert_eq!(answer.code(), ErrorCode::ReceiptInvalid);
    }
}

fn impostor_key() -> freehold_trust::SignKey {
    freehold_trust::SignKey::from_seed(&[67; 32])
}
