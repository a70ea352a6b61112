//! The server's own store beside the model of it: both get the same pushes and questions, and must answer alike.
//!
//! The store is the real one on SQLite. What the server judges before it asks the store (signatures, versions under
//! their own hash) stays the model's; numbering, chains, pages and versions are compared answer by answer.

use super::fleet::{Fleet, certificate, device};
use super::random::{say, walk_beside};
use super::world::World;
use crate::ROOT;
use crate::testing::file;
use freehold_api::bulk::{CommitPage, PushCommit, VersionItem};
use freehold_api::{Blob, ErrorCode, Kdf, KeyBoxEntry, PushOutcome, UnlockBoxEntry, UnlockPath, VaultBoxes};
use freehold_model::{AccountId, DeviceId, VaultId, VersionHash};
use freehold_server::db::{
    AppendOutcome, AppendRow, Boxes, CommitOutcome, CommitRow, CreateOutcome, DeviceRow, EntryEffect,
    EntryRow, MetaStore, NewAccount, SessionRow, SqliteStore,
};
use freehold_trust::account_log::LogEntry;
use freehold_trust::commit::{ChainHead, Commit};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// The server's clock, which stands still.
const NOW: i64 = 1_800_000_000_000_000;

/// Devices of the random walk.
pub(super) const DEVICES: u8 = 3;

/// Seeds of the comparison.
const SEEDS: u64 = 40;

/// The store, and what it was told.
pub(super) struct Real {
    runtime: Runtime,
    store: SqliteStore,
    vault: VaultId,
    account: AccountId,
    entries: usize,
    /// Answers compared.
    pub(super) compared: u64,
    _folder: TempDir,
}

impl Real {
    /// An empty store that knows the account's first device and its vault.
    pub(super) fn new(fleet: &Fleet, vault: VaultId) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let file = folder.path().join("server.db");
        let store = runtime.block_on(SqliteStore::open(&file, NOW)).expect("a new database");
        let account = fleet.state().account();
        let created = runtime.block_on(store.create_account(new_account(fleet, vault)));
        assert_eq!(created.expect("the database works"), CreateOutcome::Created);
        Self { runtime, store, vault, account, entries: 1, compared: 0, _folder: folder }
    }

    /// What stands for its numbering.
    pub(super) fn incarnation(&self) -> u64 {
        self.runtime.block_on(self.store.server_incarnation()).expect("the database works")
    }

    /// Takes a commit that the model let through to its chains, and compares.
    pub(super) fn push(&mut self, push: &PushCommit, fleet: &Fleet, model: &PushOutcome) {
        self.read_log(fleet);
        let PushCommit { commit: bytes, versions, manifests } = push.clone();
        let commit = Commit::from_bytes(&bytes).expect("the model has read it");
        let row = CommitRow { commit, bytes, versions, manifests };
        let log_len = self.entries as u64;
        let outcome = self.runtime.block_on(self.store.append_commits(self.vault, log_len, &[row], NOW));
        let outcome = outcome.expect("the database works").expect("the log is as long as said")[0];
        let is_alike = match (&outcome, model) {
            (CommitOutcome::Numbered { vault_seq, .. }, PushOutcome::Numbered { vault_seq: expected }) => {
                vault_seq == expected
            }
            (CommitOutcome::Refused { code, .. }, PushOutcome::Refused { code: expected, .. }) => {
                code == expected
            }
            _ => false,
        };
        assert!(is_alike, "a push: {outcome:?}, the model says {model:?}");
        self.compared += 1;
    }

    /// Compares a page.
    pub(super) fn page(&mut self, after: u64, limit: usize, model: &CommitPage) {
        let page = self.runtime.block_on(self.store.commit_page(self.vault, after, limit));
        assert_eq!(page.expect("the database works"), *model, "the page after {after}");
        self.compared += 1;
    }

    /// Compares versions.
    pub(super) fn versions(&mut self, hashes: &[VersionHash], model: &[VersionItem]) {
        let found = self.runtime.block_on(self.store.versions(self.vault, hashes));
        assert_eq!(found.expect("the database works").items, *model, "versions");
        self.compared += 1;
    }

    /// Compares the newest commit of a device.
    pub(super) fn chain(&mut self, device: DeviceId, model: Option<&ChainHead>, proof: &Blob) {
        let state = self.runtime.block_on(self.store.chain(self.vault, device));
        let state = state.expect("the database works");
        let head = state.head.map(|head| (head.incarnation, head.seq, head.hash));
        assert_eq!(state.signed.unwrap_or_default(), *proof, "what proves it");
        assert_eq!(
            head,
            model.map(|head| (head.incarnation, head.seq, head.hash)),
            "the chain of {device:?}"
        );
        self.compared += 1;
    }

    /// Takes over the entries of the account log that are new.
    fn read_log(&mut self, fleet: &Fleet) {
        let new = &fleet.entries()[self.entries..];
        if new.is_empty() {
            return;
        }
        // Behind the genesis come the devices in order, then the removal of the last one.
        let rows = new.iter().zip(self.entries..).map(|(entry, at)| self.entry(entry, at)).collect();
        let row = AppendRow {
            account: self.account,
            seq: self.entries as u64,
            entries: rows,
            boxes: Boxes::default(),
            user_box: None,
            now: NOW,
        };
        let appended = self.runtime.block_on(self.store.append_entries(row));
        assert_eq!(appended.expect("the database works"), AppendOutcome::Appended);
        self.entries = fleet.entries().len();
    }

    fn entry(&self, entry: &LogEntry, at: usize) -> EntryRow {
        let number = u8::try_from(at + 1).expect("few entries");
        let effect = if number <= DEVICES {
            EntryEffect::AddDevice(device_row(number, self.account))
        } else {
            EntryEffect::RevokeDevice(device(DEVICES))
        };
        EntryRow { hash: entry.hash(), bytes: entry.to_bytes(), effect }
    }
}

fn device_row(number: u8, account: AccountId) -> DeviceRow {
    let signed = certificate(number);
    let (sign_pk, tls_pk) = (signed.unverified().sign_pk, signed.unverified().tls_pk);
    DeviceRow { device: device(number), account, sign_pk, tls_pk, revoked: false }
}

fn new_account(fleet: &Fleet, vault: VaultId) -> NewAccount {
    let (account, genesis) = (fleet.state().account(), &fleet.entries()[0]);
    let unlock = UnlockBoxEntry {
        path: UnlockPath::Password,
        path_id: Blob(vec![1; 16]),
        generation: 1,
        sealed: Blob(vec![1; 40]),
    };
    let key = KeyBoxEntry { kind: 2, generation: 1, wrapper_generation: 1, sealed: Blob(vec![1; 50]) };
    NewAccount {
        account,
        login_hash: [1; 32],
        opaque_record: vec![1; 192],
        kdf: Kdf { m_kib: 131_072, t: 3, p: 4 },
        recovery_id: [1; 16],
        user_box: vec![1; 206],
        genesis_hash: genesis.hash(),
        genesis: genesis.to_bytes(),
        device: device_row(1, account),
        boxes: Boxes { unlock: vec![unlock], ..Boxes::default() },
        vault: VaultBoxes { vault_id: vault, boxes: vec![key] },
        invite: None,
        session: ([1; 32], SessionRow { account, device: Some(device(1)), expires: NOW + 10 }),
        now: NOW,
    }
}

#[test]
fn the_servers_own_store_answers_as_the_model_does() {
    let mut compared = 0;
    for seed in 0..SEEDS {
        let world = walk_beside(seed);
        compared += world.real.map_or(0, |real| real.compared);
    }
    say(&format!("{SEEDS} seeds: {compared} answers of the server's own store are those of the model"));
    assert!(compared > 10 * SEEDS, "only {compared} answers were compared");
}

#[test]
fn gaps_forks_and_repeated_commits_are_answered_alike() {
    let mut world = World::new(2);
    world.compare_with_the_real_store();
    world.clone_device(0);
    let (first, second) = (commit(&mut world, 0, b"one"), commit(&mut world, 0, b"two"));
    let other = commit(&mut world, 2, b"another first");
    let answers = [&second, &first, &first, &other, &second].map(|push| match world.push(push) {
        PushOutcome::Numbered { vault_seq } => Ok(vault_seq),
        PushOutcome::Refused { code, .. } => Err(code),
    });
    let expected = [Err(ErrorCode::ChainGap), Ok(1), Ok(1), Err(ErrorCode::CommitFork), Ok(2)];
    assert_eq!(answers, expected);
    assert_eq!(world.real.map(|real| real.compared), Some(5));
}

#[test]
#[should_panic(expected = "the page after 0")]
fn an_answer_that_differs_is_noticed() {
    let mut world = World::new(2);
    world.compare_with_the_real_store();
    let push = commit(&mut world, 0, b"known to the model alone");
    world.server.push(&push, world.fleet.state());
    let page = world.server.page(0, 1);
    world.real.expect("it is compared").page(0, 1, &page);
}

fn commit(world: &mut World, at: usize, name: &[u8]) -> PushCommit {
    let volume = Arc::clone(&world.replicas[at].local.volume);
    volume.lock().insert(ROOT, name, file()).expect("a new name");
    world.replicas[at].commit().expect("something is ready")
}
