//! What the cases are made of: accounts with invented secrets, real signed commits.

use freehold_api::bulk::{ManifestRefs, PushVersion};
use freehold_api::{Blob, Kdf, KeyBoxEntry, UnlockBoxEntry, UnlockPath, VaultBoxes};
use freehold_model::{
    AccountId, ChunkId, CommitHash, DeviceId, LogHash, NodeId, RecordId, VaultId, VersionHash,
};
use freehold_server::db::{
    Boxes, CommitOutcome, CommitRow, CreateOutcome, DeviceRow, LayoutRow, MetaStore, NewAccount, NodeRow,
    PlacedChunk, SessionRow, StoreError, TokenHash,
};
use freehold_trust::commit::{Commit, CommitEntry, CommitPlace};
use freehold_trust::{PublicKey, SignKey};

pub(crate) const NOW: i64 = 1_700_000_000_000_000;
pub(crate) const KDF: Kdf = Kdf { m_kib: 131_072, t: 3, p: 4 };

pub(crate) fn hash_of(n: u8) -> TokenHash {
    [n; 32]
}

pub(crate) fn chunk(n: u8) -> ChunkId {
    ChunkId::from_bytes([n; 32])
}

/// An account whose ids all derive from `n`, complete but without an invite.
pub(crate) fn account(n: u8) -> NewAccount {
    let (account, device) = (AccountId::from_bytes([n; 16]), device(n));
    NewAccount {
        account,
        login_hash: hash_of(n),
        opaque_record: vec![n; 192],
        kdf: KDF,
        recovery_id: [n; 16],
        user_box: vec![n; 206],
        genesis_hash: LogHash::from_bytes([n; 32]),
        genesis: vec![n; 100],
        device: device_row(n, account),
        boxes: Boxes { unlock: vec![unlock_box(UnlockPath::Password, n)], ..Boxes::default() },
        vault: VaultBoxes { vault_id: VaultId::from_bytes([n; 16]), boxes: vec![key_box(1, n)] },
        invite: None,
        session: (hash_of(n), SessionRow { account, device: Some(device), expires: NOW + 10 }),
        now: NOW,
    }
}

pub(crate) fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

pub(crate) fn device_row(n: u8, account: AccountId) -> DeviceRow {
    let (sign_pk, tls_pk) = (PublicKey::from_bytes([n; 32]), PublicKey::from_bytes([n ^ 0xff; 32]));
    DeviceRow { device: device(n), account, sign_pk, tls_pk, revoked: false }
}

pub(crate) fn unlock_box(path: UnlockPath, n: u8) -> UnlockBoxEntry {
    UnlockBoxEntry { path, path_id: Blob(vec![n; 16]), generation: 1, sealed: Blob(vec![n; 40]) }
}

pub(crate) fn key_box(generation: u32, n: u8) -> KeyBoxEntry {
    KeyBoxEntry { kind: 2, generation, wrapper_generation: 1, sealed: Blob(vec![n; 50]) }
}

/// One device that writes into its account's vault.
pub(crate) struct Writer {
    pub(crate) vault: VaultId,
    pub(crate) device: DeviceId,
    pub(crate) incarnation: u32,
    pub(crate) seq: u64,
    pub(crate) prev: CommitHash,
    key: SignKey,
}

impl Writer {
    /// Creates account `n` with its vault.
    pub(crate) async fn register(store: &dyn MetaStore, n: u8) -> Self {
        let outcome = store.create_account(account(n)).await.expect("the database works");
        assert_eq!(outcome, CreateOutcome::Created);
        Self::on(VaultId::from_bytes([n; 16]), n)
    }

    /// Device `n` on a vault that exists.
    pub(crate) fn on(vault: VaultId, n: u8) -> Self {
        let key = SignKey::from_seed(&[n; 32]);
        Self { vault, device: device(n), incarnation: 1, seq: 0, prev: CommitHash::default(), key }
    }

    /// The next commit, with one version of each record.
    pub(crate) fn row(&self, records: &[(u8, &[u8])]) -> CommitRow {
        let entries = records.iter().map(|(record, content)| entry(*record, content, &[]));
        self.row_of(
            entries.collect(),
            records.iter().map(|(record, content)| version(*record, content, &[])).collect(),
        )
    }

    /// The next commit, of these parts.
    pub(crate) fn row_of(&self, entries: Vec<CommitEntry>, versions: Vec<PushVersion>) -> CommitRow {
        let place = CommitPlace {
            vault: self.vault,
            device: self.device,
            incarnation: self.incarnation,
            seq: self.seq + 1,
            prev: self.prev,
            log_head: LogHash::default(),
            member_epoch: 0,
            generation: 1,
        };
        let commit =
            Commit::sign(place, entries, vec![self.seq as u8; 8], &self.key).expect("a sound commit");
        CommitRow { bytes: commit.to_bytes(), commit, versions, manifests: Vec::new() }
    }

    /// Appends one row.
    pub(crate) async fn offer(&self, store: &dyn MetaStore, row: CommitRow) -> CommitOutcome {
        let outcomes = store.append_commits(self.vault, 1, &[row], NOW).await.expect("the database works");
        outcomes.expect("the log has one entry")[0]
    }

    /// Appends one row, which must be numbered, and moves on.
    pub(crate) async fn append(&mut self, store: &dyn MetaStore, row: CommitRow) -> u64 {
        let hash = row.commit.hash();
        let CommitOutcome::Numbered { vault_seq, .. } = self.offer(store, row).await else {
            panic!("a sound commit is numbered");
        };
        (self.seq, self.prev) = (self.seq + 1, hash);
        vault_seq
    }

    /// Appends a commit of these records.
    pub(crate) async fn push(&mut self, store: &dyn MetaStore, records: &[(u8, &[u8])]) -> u64 {
        self.append(store, self.row(records)).await
    }
}

pub(crate) fn version_hash(content: &[u8]) -> VersionHash {
    VersionHash::from_bytes(*blake3::hash(content).as_bytes())
}

pub(crate) fn entry(record: u8, content: &[u8], supersedes: &[VersionHash]) -> CommitEntry {
    let record = RecordId::from_bytes([record; 16]);
    CommitEntry { record, version: version_hash(content), supersedes: supersedes.to_vec() }
}

pub(crate) fn version(record: u8, content: &[u8], refs: &[ChunkId]) -> PushVersion {
    PushVersion {
        record: RecordId::from_bytes([record; 16]),
        hash: version_hash(content),
        ciphertext: content.to_vec(),
        refs: refs.to_vec(),
    }
}

pub(crate) fn manifest(node: u8, ids: &[u8]) -> ManifestRefs {
    ManifestRefs { node: chunk(node), ids: ids.iter().map(|id| chunk(*id)).collect() }
}

pub(crate) fn node(n: u8) -> NodeRow {
    NodeRow {
        node: NodeId::from_bytes([n; 16]),
        sign_pk: PublicKey::from_bytes([n; 32]),
        cert: vec![n; 90],
        weight: 1,
        addresses: vec!["127.0.0.1:1".to_owned()],
        capacity_bytes: 1 << 30,
        used_bytes: 0,
        free_bytes: 1 << 30,
        heartbeat_time: 0,
        last_seen: NOW,
    }
}

/// A layout as the service would make it, unsigned.
pub(crate) fn layout(epoch: u64, nodes: &[NodeRow]) -> Result<LayoutRow, StoreError> {
    let write_quorum = nodes.len().min(2) as u8;
    Ok(LayoutRow { epoch, write_quorum, bytes: vec![nodes.len() as u8], created: NOW })
}

/// Joins node `n` with a token of its own.
pub(crate) async fn join(store: &dyn MetaStore, n: u8) {
    store.put_join_token(hash_of(n), NOW + 10).await.expect("a token");
    let joined = store.join_node(hash_of(n), node(n), &layout, NOW).await.expect("the database works");
    assert!(matches!(joined, freehold_server::db::JoinOutcome::Joined { .. }), "{joined:?}");
}

/// Books a receipt of node `n` for each chunk.
pub(crate) async fn receive(store: &dyn MetaStore, vault: VaultId, n: u8, chunks: &[u8]) -> u64 {
    let node = NodeId::from_bytes([n; 16]);
    let placed: Vec<PlacedChunk> =
        chunks.iter().map(|id| PlacedChunk { chunk: chunk(*id), node, len_bytes: 9 }).collect();
    store.book_receipts(vault, &placed, NOW).await.expect("the database works")
}
