//! A first upload of real size: thousands of small files in one commit, their receipts after it.
//!
//! Each file has a record, a root manifest node and one chunk, and is then changed once.

use crate::client::{Node, Server, User};
use freehold_api::bulk::{ManifestRefs, PushCommit, PushVersion};
use freehold_api::{PushOutcome, ReceiptsAccepted, VaultState, path};
use freehold_model::{ChunkId, RecordId, VersionHash};
use freehold_trust::commit::{Commit, CommitEntry, CommitPlace};

const FILES: u32 = 4_000;

fn chunk(kind: &str, n: u32) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(format!("{kind} {n}").as_bytes()).as_bytes())
}

fn big_commit(user: &User, round: u32, supersedes: &[VersionHash]) -> PushCommit {
    let mut versions: Vec<PushVersion> = (0..FILES)
        .map(|n| {
            let mut ciphertext = vec![round as u8; 561];
            ciphertext[..4].copy_from_slice(&n.to_be_bytes());
            let hash = VersionHash::from_bytes(*blake3::hash(&ciphertext).as_bytes());
            let mut record = [0; 16];
            record.copy_from_slice(&chunk("record", n).as_bytes()[..16]);
            let refs = vec![chunk("root", round * FILES + n)];
            PushVersion { record: RecordId::from_bytes(record), hash, ciphertext, refs }
        })
        .collect();
    let manifest = |n| ManifestRefs { node: chunk("root", n), ids: vec![chunk("data", n)] };
    let manifests = (round * FILES..(round + 1) * FILES).map(manifest).collect();
    versions.sort_by_key(|version| version.record);
    let entry = |(at, version): (usize, &PushVersion)| CommitEntry {
        record: version.record,
        version: version.hash,
        supersedes: supersedes.get(at).copied().into_iter().collect(),
    };
    let entries = versions.iter().enumerate().map(entry).collect();
    let place = CommitPlace {
        vault: user.vault,
        device: user.device.id,
        incarnation: 1,
        seq: user.seq + 1,
        prev: user.prev,
        log_head: user.genesis.hash(),
        member_epoch: 0,
        generation: 1,
    };
    let commit = Commit::sign(place, entries, vec![1], &user.device.sign).expect("a sound commit");
    PushCommit { commit: commit.to_bytes(), versions, manifests }
}

async fn unplaced(server: &Server, user: &User) -> u64 {
    let state: VaultState = server.get(&path::state(&user.vault), &user.token).await.json();
    state.unplaced_versions
}

async fn receive_all(server: &Server, user: &User, node: &Node, round: u32) -> u64 {
    let tag = server.app.keys().vault_tag(&user.vault, &node.id);
    let mut placed = 0;
    for kind in ["data", "root"] {
        let chunks: Vec<ChunkId> = (round * FILES..(round + 1) * FILES).map(|n| chunk(kind, n)).collect();
        let receipts = chunks.chunks(1_000).map(|chunks| node.receipt_of(tag, chunks)).collect();
        let accepted: ReceiptsAccepted = user.send_receipts(server, receipts).await.json();
        assert_eq!(accepted.accepted, u64::from(FILES));
        placed += accepted.placed_versions;
    }
    placed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_small_files_are_numbered_and_placed() {
    let server = Server::start().await;
    let node = server.join_node(7).await;
    let mut user = User::register(&server, 1).await;
    let mut before: Vec<VersionHash> = Vec::new();
    for round in 0..2 {
        let commit = big_commit(&user, round, &before);
        let results = user.push(&server, std::slice::from_ref(&commit)).await.results;
        let numbered = [PushOutcome::Numbered { vault_seq: u64::from(round) + 1 }];
        assert_eq!(results, numbered);
        assert_eq!(user.push(&server, std::slice::from_ref(&commit)).await.results, numbered);
        user.advance(&commit);
        assert_eq!(unplaced(&server, &user).await, u64::from(FILES));
        assert_eq!(receive_all(&server, &user, &node, round).await, u64::from(FILES));
        assert_eq!(unplaced(&server, &user).await, 0);
        before = commit.versions.iter().map(|version| version.hash).collect();
    }
}
