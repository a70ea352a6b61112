//! One target per decoder: no input panics, and what decodes encodes back to the same bytes.
//!
//! Each target takes raw bytes, and also the golden vectors with random edits, so that inputs get past magic and
//! version. Under `cargo test` bolero draws random inputs; `cargo bolero test TARGET` fuzzes with coverage.

mod fhp;
#[path = "../../../net/proto/tests/pair/kit.rs"]
#[expect(dead_code, reason = "the protocol's own tests use all of it")]
mod kit;
#[path = "../../../net/proto/tests/pair/network.rs"]
#[expect(dead_code, reason = "the protocol's own tests use all of it")]
mod network;

use bolero::check;
use freehold_api::bulk::{CommitPage, PushRequest, ReceiptsRequest, VersionsRequest, VersionsResponse};
use freehold_api::control::{ChangePassword, Credentials, DeviceList, Recover, RevokeDevice, Status};
use freehold_api::device_peer::{
    CommitsRequest, CommitsResponse, DeviceVersionsRequest, Heads, LogResponse, RemovalsTold,
};
use freehold_api::peer::{
    GetRequest, GetResponse, HaveRequest, HaveResponse, PutRequest, PutResponse, WitnessRequest,
    WitnessResponse,
};
use freehold_crypto::{
    ChunkKey, ChunkOpener, KeyBoxHeader, RecoveryKey, UnlockBox, UnlockKeys, open_chunk, open_user,
};
use freehold_model::codec::{Decode, Encode, from_slice, to_vec};
use freehold_model::{AccountId, VersionVector};
use freehold_trust::account_log::{LogEntry, RevokeIntent};
use freehold_trust::commit::Commit;
use freehold_trust::{
    SignedCapability, SignedDeviceAddresses, SignedDeviceCert, SignedHeartbeat, SignedLayout, SignedNodeCert,
    SignedReceipt, SignedRecoveryProof, SignedSessionProof,
};
use freehold_vault::{CommitBody, Node, Record};
use serde_json::Value;
use std::sync::LazyLock;

/// Every byte string that stands in a golden vector.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut seeds = Vec::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors");
    for entry in std::fs::read_dir(folder).expect("the vectors are in the repository") {
        let text =
            std::fs::read_to_string(entry.expect("a readable folder").path()).expect("a readable vector");
        collect(&serde_json::from_str(&text).expect("vectors are JSON"), &mut seeds);
    }
    assert!(seeds.len() > 20, "the vectors hold only {} byte strings", seeds.len());
    seeds
});

/// The recovery key of the golden vectors.
static WORDS: LazyLock<UnlockKeys> =
    LazyLock::new(|| UnlockKeys::from_recovery(&RecoveryKey::from_bytes([0x77; 32])));

fn collect(value: &Value, seeds: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => seeds.extend(hex(text).filter(|bytes| bytes.len() >= 8)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, seeds)),
        Value::Object(members) => members.values().for_each(|member| collect(member, seeds)),
        _ => {}
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
        })
        .collect()
}

/// One change to a seed: where, how, with what.
type Edit = (u16, u8, u8);

fn edited(seed: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for (place, how, value) in edits.iter().take(8) {
        let at = usize::from(*place) % bytes.len().max(1);
        match how % 5 {
            0 if !bytes.is_empty() => bytes[at] = *value,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << (value % 8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, *value),
            _ => bytes.extend_from_slice(&seed[..at.min(seed.len())]),
        }
    }
    bytes
}

/// Feeds raw bytes and edited seeds to a target.
fn drive(target: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    for seed in SEEDS.iter() {
        target(seed);
    }
    check!().with_type::<(u16, Vec<Edit>, Vec<u8>)>().for_each(|(seed, edits, raw)| {
        target(raw);
        target(&edited(&SEEDS[usize::from(*seed) % SEEDS.len()], edits));
    });
}

fn canonical<T: Decode + Encode>(bytes: &[u8]) {
    if let Ok(value) = from_slice::<T>(bytes) {
        assert_eq!(to_vec(&value), bytes, "two byte strings for one value");
    }
}

macro_rules! targets {
    ($($name:ident: $bytes:ident => $body:expr;)+) => {$(
        #[test]
        fn $name() {
            drive(|$bytes| $body);
        }
    )+};
}

targets! {
    version_vectors: bytes => canonical::<VersionVector>(bytes);
    account_log_entries: bytes => if let Ok(entry) = LogEntry::from_bytes(bytes) { assert_eq!(entry.to_bytes(), bytes) };
    commits: bytes => if let Ok(commit) = Commit::from_bytes(bytes) { assert_eq!(commit.to_bytes(), bytes) };
    capabilities: bytes => if let Ok(it) = SignedCapability::from_bytes(bytes) { assert_eq!(it.to_bytes(), bytes) };
    receipts: bytes => if let Ok(it) = SignedReceipt::from_bytes(bytes) { assert_eq!(it.to_bytes(), bytes) };
    device_certificates: bytes => if let Ok(it) = SignedDeviceCert::from_bytes(bytes) { assert_eq!(it.to_bytes(), bytes) };
    device_addresses: bytes => if let Ok(it) = SignedDeviceAddresses::from_bytes(bytes) { assert_eq!(it.to_bytes(), bytes) };
    node_certificates: bytes => if let Ok(it) = SignedNodeCert::from_bytes(bytes) { assert_eq!(it.to_bytes(), bytes) };
    layouts: bytes => if let Ok(it) = SignedLayout::from_bytes(bytes) { assert_eq!(it.to_bytes(), bytes) };
    heartbeats: bytes => if let Ok(it) = SignedHeartbeat::from_bytes(bytes) { assert_eq!(it.to_bytes(), bytes) };
    session_proofs: bytes => if let Ok(it) = SignedSessionProof::from_bytes(bytes) { assert_eq!(it.to_bytes(), bytes) };
    recovery_proofs: bytes => if let Ok(it) = SignedRecoveryProof::from_bytes(bytes) { assert_eq!(it.to_bytes(), bytes) };
    revoke_intents: bytes => if let Ok(it) = RevokeIntent::from_bytes(bytes) { assert_eq!(it.to_bytes(), bytes) };
    key_box_headers: bytes => assert!(KeyBoxHeader::read(bytes).is_err() || bytes.starts_with(b"FHKB"));
    unlock_boxes: bytes => if let Ok(it) = UnlockBox::from_bytes(bytes) { assert_eq!(it.as_bytes(), bytes) };
    user_name_boxes: bytes => drop(open_user(&WORDS, &AccountId::from_bytes([0xa1; 16]), bytes));
    sealed_chunks: bytes => drop(open_chunk(&ChunkKey::from_bytes([7; 32]), bytes));
    chunk_headers: bytes => drop(ChunkOpener::new(&ChunkKey::from_bytes([7; 32]), bytes));
    recovery_words: bytes => drop(RecoveryKey::from_words(&String::from_utf8_lossy(bytes)));
    records: bytes => canonical::<Record>(bytes);
    commit_bodies: bytes => canonical::<CommitBody>(bytes);
    manifest_nodes: bytes => drop(Node::decode(bytes));
    push_requests: bytes => canonical::<PushRequest>(bytes);
    commit_pages: bytes => canonical::<CommitPage>(bytes);
    versions_requests: bytes => canonical::<VersionsRequest>(bytes);
    versions_responses: bytes => canonical::<VersionsResponse>(bytes);
    receipt_uploads: bytes => canonical::<ReceiptsRequest>(bytes);
    have_requests: bytes => canonical::<HaveRequest>(bytes);
    have_responses: bytes => canonical::<HaveResponse>(bytes);
    put_requests: bytes => canonical::<PutRequest>(bytes);
    put_responses: bytes => canonical::<PutResponse>(bytes);
    get_requests: bytes => canonical::<GetRequest>(bytes);
    get_responses: bytes => canonical::<GetResponse>(bytes);
    witness_requests: bytes => canonical::<WitnessRequest>(bytes);
    witness_responses: bytes => canonical::<WitnessResponse>(bytes);
    device_heads: bytes => canonical::<Heads>(bytes);
    device_commits_requests: bytes => canonical::<CommitsRequest>(bytes);
    device_commits_responses: bytes => canonical::<CommitsResponse>(bytes);
    device_versions_requests: bytes => canonical::<DeviceVersionsRequest>(bytes);
    device_removals: bytes => canonical::<RemovalsTold>(bytes);
    device_log_responses: bytes => canonical::<LogResponse>(bytes);
    control_bodies: bytes => {
        drop(serde_json::from_slice::<Status>(bytes));
        drop(serde_json::from_slice::<Credentials>(bytes));
        drop(serde_json::from_slice::<Recover>(bytes));
        drop(serde_json::from_slice::<ChangePassword>(bytes));
        drop(serde_json::from_slice::<RevokeDevice>(bytes));
        drop(serde_json::from_slice::<DeviceList>(bytes));
    };
}
