//! Accounts, logs, devices, sessions.

use crate::fixture::{KDF, NOW, account, device, device_row, hash_of, key_box, unlock_box};
use freehold_api::{UnlockPath, VaultBoxes};
use freehold_model::{AccountId, LogHash, VaultId};
use freehold_server::db::{
    AppendEntryRow, AppendOutcome, Boxes, CreateOutcome, EntryEffect, MetaStore, NewAccount, SessionRow,
};

pub(crate) async fn the_first_account_is_free_and_the_next_needs_an_invite(store: &dyn MetaStore) {
    assert!(!store.has_accounts().await.expect("an answer"));
    assert_eq!(create(store, account(1)).await, CreateOutcome::Created);
    assert!(store.has_accounts().await.expect("an answer"));
    assert_eq!(create(store, account(2)).await, CreateOutcome::Closed);
    assert_eq!(store.login(hash_of(2)).await.expect("an answer").map(|row| row.account), None);
    store.put_invite(hash_of(50), NOW + 10).await.expect("an invite");
    let invited = NewAccount { invite: Some(hash_of(50)), ..account(2) };
    assert_eq!(create(store, invited).await, CreateOutcome::Created);
}

pub(crate) async fn an_invite_counts_once_and_in_time(store: &dyn MetaStore) {
    create(store, account(1)).await;
    store.put_invite(hash_of(50), NOW + 10).await.expect("an invite");
    store.put_invite(hash_of(51), NOW).await.expect("an invite");
    assert!(store.invite_is_good(hash_of(50), NOW).await.expect("an answer"));
    assert!(!store.invite_is_good(hash_of(51), NOW).await.expect("an answer"));
    let with = |n, code| NewAccount { invite: Some(hash_of(code)), ..account(n) };
    assert_eq!(create(store, with(2, 51)).await, CreateOutcome::Closed);
    assert_eq!(create(store, with(2, 50)).await, CreateOutcome::Created);
    assert_eq!(create(store, with(3, 50)).await, CreateOutcome::Closed);
    assert!(!store.invite_is_good(hash_of(50), NOW).await.expect("an answer"));
}

pub(crate) async fn a_taken_name_says_whose_and_when(store: &dyn MetaStore) {
    create(store, account(1)).await;
    let again = NewAccount { login_hash: hash_of(1), ..account(2) };
    let taken = CreateOutcome::UserTaken {
        account: AccountId::from_bytes([1; 16]),
        genesis: LogHash::from_bytes([1; 32]),
        created: NOW,
    };
    assert_eq!(create(store, again).await, taken);
}

pub(crate) async fn ids_in_use_are_refused_and_leave_no_trace(store: &dyn MetaStore) {
    create(store, account(1)).await;
    store.put_invite(hash_of(50), NOW + 10).await.expect("an invite");
    let mut clash = NewAccount { invite: Some(hash_of(50)), ..account(2) };
    clash.vault.vault_id = VaultId::from_bytes([1; 16]);
    assert_eq!(create(store, clash).await, CreateOutcome::IdTaken);
    assert!(store.invite_is_good(hash_of(50), NOW).await.expect("an answer"), "the invite is not spent");
    assert_eq!(store.log(AccountId::from_bytes([2; 16])).await.expect("an answer"), None);
}

pub(crate) async fn a_login_finds_the_record_by_the_hash_of_the_name(store: &dyn MetaStore) {
    create(store, account(1)).await;
    let row = store.login(hash_of(1)).await.expect("an answer").expect("a record");
    assert_eq!(
        (row.account, row.opaque_record, row.kdf),
        (AccountId::from_bytes([1; 16]), vec![1; 192], KDF)
    );
    assert!(store.login(hash_of(2)).await.expect("an answer").is_none());
}

pub(crate) async fn the_log_grows_by_compare_and_swap(store: &dyn MetaStore) {
    create(store, account(1)).await;
    assert_eq!(append(store, entry(1, 7, EntryEffect::None)).await, AppendOutcome::Appended);
    assert_eq!(append(store, entry(1, 8, EntryEffect::None)).await, AppendOutcome::Conflict);
    assert_eq!(append(store, entry(2, 8, EntryEffect::None)).await, AppendOutcome::Appended);
    let log = store.log(AccountId::from_bytes([1; 16])).await.expect("an answer").expect("a log");
    assert_eq!(log.entries, [vec![1; 100], vec![7; 60], vec![8; 60]]);
}

pub(crate) async fn an_appended_entry_can_be_repeated(store: &dyn MetaStore) {
    create(store, account(1)).await;
    for _ in 0..2 {
        assert_eq!(append(store, entry(1, 7, EntryEffect::None)).await, AppendOutcome::Appended);
    }
    let log = store.log(AccountId::from_bytes([1; 16])).await.expect("an answer").expect("a log");
    assert_eq!(log.entries.len(), 2);
}

pub(crate) async fn a_foreign_device_or_vault_is_refused(store: &dyn MetaStore) {
    two_accounts(store).await;
    let foreign = EntryEffect::AddDevice(device_row(2, AccountId::from_bytes([1; 16])));
    assert_eq!(append(store, entry(1, 7, foreign)).await, AppendOutcome::Foreign);
    let mut row = entry(1, 7, EntryEffect::None);
    row.boxes.vault_keys =
        vec![VaultBoxes { vault_id: VaultId::from_bytes([2; 16]), boxes: vec![key_box(2, 9)] }];
    assert_eq!(append(store, row).await, AppendOutcome::Foreign);
    let log = store.log(AccountId::from_bytes([1; 16])).await.expect("an answer").expect("a log");
    assert_eq!(log.entries.len(), 1);
    let vaults = store.vaults(AccountId::from_bytes([2; 16])).await.expect("vaults");
    assert_eq!(vaults[0].keys.boxes, [key_box(1, 2)]);
}

pub(crate) async fn a_revoked_device_loses_its_sessions(store: &dyn MetaStore) {
    create(store, account(1)).await;
    let second = device_row(5, AccountId::from_bytes([1; 16]));
    append(store, entry(1, 7, EntryEffect::AddDevice(second))).await;
    assert_eq!(store.device(device(5)).await.expect("an answer"), Some(second));
    let session = SessionRow { account: second.account, device: Some(device(5)), expires: NOW + 10 };
    store.put_session(hash_of(60), session).await.expect("a session");
    append(store, entry(2, 8, EntryEffect::RevokeDevice(device(5)))).await;
    assert_eq!(store.session(hash_of(60)).await.expect("an answer"), None);
    assert!(store.session(hash_of(1)).await.expect("an answer").is_some(), "the other device stays");
    assert!(store.device(device(5)).await.expect("an answer").is_some_and(|row| row.revoked));
}

pub(crate) async fn a_session_begun_as_its_device_was_revoked_is_none(store: &dyn MetaStore) {
    create(store, account(1)).await;
    let second = device_row(5, AccountId::from_bytes([1; 16]));
    append(store, entry(1, 7, EntryEffect::AddDevice(second))).await;
    append(store, entry(2, 8, EntryEffect::RevokeDevice(device(5)))).await;
    // Whoever looked at the device before it was revoked comes with the session only now.
    let session = SessionRow { account: second.account, device: Some(device(5)), expires: NOW + 10 };
    store.put_session(hash_of(60), session).await.expect("a session");
    assert_eq!(store.session(hash_of(60)).await.expect("an answer"), None);
}

pub(crate) async fn the_newest_addresses_of_live_devices_are_handed_out(store: &dyn MetaStore) {
    create(store, account(1)).await;
    let id = AccountId::from_bytes([1; 16]);
    append(store, entry(1, 7, EntryEffect::AddDevice(device_row(5, id)))).await;
    let put = async |n, time, statement: &[u8]| {
        store.put_addresses(device(n), time, statement.to_vec()).await.expect("an answer")
    };
    assert!(put(1, 5, b"one").await && put(5, 5, b"five").await);
    assert!(!put(1, 5, b"as late").await && !put(1, 4, b"before").await, "only later ones count");
    assert!(put(1, 6, b"later").await);
    let held = async || store.addresses(id).await.expect("an answer");
    assert_eq!(held().await, [b"later".to_vec(), b"five".to_vec()]);
    append(store, entry(2, 8, EntryEffect::RevokeDevice(device(5)))).await;
    assert_eq!(held().await, [b"later".to_vec()]);
}

pub(crate) async fn a_token_is_spent_once(store: &dyn MetaStore) {
    for (token, fresh) in [(1, true), (1, false), (2, true)] {
        assert_eq!(store.spend(hash_of(token), NOW + 5).await.expect("an answer"), fresh);
    }
    store.sweep(NOW + 5).await.expect("a sweep");
    assert!(store.spend(hash_of(1), NOW + 9).await.expect("an answer"), "it was forgotten in time");
}

pub(crate) async fn the_first_key_fingerprint_stays(store: &dyn MetaStore) {
    assert_eq!(store.key_fingerprint().await.expect("an answer"), None);
    for fingerprint in [-7, 8] {
        store.put_key_fingerprint(fingerprint).await.expect("an answer");
        assert_eq!(store.key_fingerprint().await.expect("an answer"), Some(-7));
    }
}

pub(crate) async fn boxes_and_vault_keys_come_back(store: &dyn MetaStore) {
    create(store, account(1)).await;
    let mut row = entry(1, 7, EntryEffect::None);
    row.boxes = Boxes {
        unlock: vec![unlock_box(UnlockPath::Device, 9)],
        account_keys: vec![key_box(1, 4)],
        vault_keys: vec![VaultBoxes { vault_id: VaultId::from_bytes([1; 16]), boxes: vec![key_box(2, 5)] }],
    };
    append(store, row).await;
    let boxes = store.boxes(AccountId::from_bytes([1; 16])).await.expect("boxes");
    assert_eq!(boxes.boxes, [unlock_box(UnlockPath::Password, 1), unlock_box(UnlockPath::Device, 9)]);
    assert_eq!(boxes.account_keys, [key_box(1, 4)]);
    let vaults = store.vaults(AccountId::from_bytes([1; 16])).await.expect("vaults");
    assert_eq!(vaults.len(), 1);
    assert_eq!(vaults[0].keys.boxes, [key_box(1, 1), key_box(2, 5)]);
}

pub(crate) async fn sessions_end_by_hand_and_by_sweep(store: &dyn MetaStore) {
    create(store, account(1)).await;
    let session = SessionRow { account: AccountId::from_bytes([1; 16]), device: None, expires: NOW + 5 };
    store.put_session(hash_of(60), session).await.expect("a session");
    assert_eq!(store.session(hash_of(60)).await.expect("an answer"), Some(session));
    store.sweep(NOW + 5).await.expect("a sweep");
    assert_eq!(store.session(hash_of(60)).await.expect("an answer"), None);
    store.end_session(hash_of(1)).await.expect("an end");
    assert_eq!(store.session(hash_of(1)).await.expect("an answer"), None);
}

async fn two_accounts(store: &dyn MetaStore) {
    create(store, account(1)).await;
    store.put_invite(hash_of(50), NOW + 10).await.expect("an invite");
    let second = NewAccount { invite: Some(hash_of(50)), ..account(2) };
    assert_eq!(create(store, second).await, CreateOutcome::Created);
}

async fn create(store: &dyn MetaStore, new: NewAccount) -> CreateOutcome {
    store.create_account(new).await.expect("the database works")
}

fn entry(seq: u64, n: u8, effect: EntryEffect) -> AppendEntryRow {
    AppendEntryRow {
        account: AccountId::from_bytes([1; 16]),
        seq,
        hash: LogHash::from_bytes([n; 32]),
        entry: vec![n; 60],
        effect,
        boxes: Boxes::default(),
        now: NOW,
    }
}

async fn append(store: &dyn MetaStore, row: AppendEntryRow) -> AppendOutcome {
    store.append_entry(row).await.expect("the database works")
}
