//! Accounts, logs, devices, sessions.

use crate::fixture::{self, KDF, NOW, account, device, device_row, hash_of, key_box, unlock_box};
use freehold_api::{Blob, Kdf, UnlockBoxEntry, UnlockPath, VaultBoxes};
use freehold_model::{AccountId, LogHash, VaultId};
use freehold_server::db::{
    AppendOutcome, AppendRow, Boxes, CreateOutcome, EntryEffect, EntryRow, MetaStore, NewAccount, Secret,
    SessionRow,
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
    assert!(!put(5, 9, b"after its end").await);
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
    assert_eq!(boxes.user_box, Some(Blob(vec![1; 206])));
    let vaults = store.vaults(AccountId::from_bytes([1; 16])).await.expect("vaults");
    assert_eq!(vaults.len(), 1);
    assert_eq!(vaults[0].keys.boxes, [key_box(1, 1), key_box(2, 5)]);
}

pub(crate) async fn several_entries_stand_together_or_not_at_all(store: &dyn MetaStore) {
    two_accounts(store).await;
    let account = AccountId::from_bytes([1; 16]);
    let own = EntryEffect::AddDevice(device_row(5, account));
    let foreign = EntryEffect::AddDevice(device_row(2, account));
    let with = |second| {
        let mut row = entry(1, 7, own.clone());
        row.entries.extend(entry(2, 8, second).entries);
        row
    };
    assert_eq!(append(store, with(foreign)).await, AppendOutcome::Foreign);
    assert_eq!(store.device(device(5)).await.expect("an answer"), None, "nothing of it stays");
    for _ in 0..2 {
        assert_eq!(append(store, with(EntryEffect::None)).await, AppendOutcome::Appended);
    }
    let log = store.log(account).await.expect("an answer").expect("a log");
    assert_eq!(log.entries.len(), 3);
    let mut longer = with(EntryEffect::None);
    longer.entries.extend(entry(3, 9, EntryEffect::None).entries);
    assert_eq!(append(store, longer).await, AppendOutcome::Conflict);
}

pub(crate) async fn a_recovery_key_is_found_until_it_is_replaced(store: &dyn MetaStore) {
    two_accounts(store).await;
    let account = AccountId::from_bytes([1; 16]);
    let holder = async |id| store.account_by_recovery([id; 16]).await.expect("an answer");
    assert_eq!((holder(1).await, holder(9).await), (Some(account), None));
    let replace = |n| EntryEffect::SetRecovery { recovery_id: [n; 16], replaced: [1; 16] };
    assert_eq!(append(store, entry(1, 7, replace(2))).await, AppendOutcome::Foreign);
    let mut row = entry(1, 7, replace(9));
    row.user_box = Some(vec![9; 206]);
    row.boxes.unlock = vec![unlock_box(UnlockPath::Recovery, 9)];
    assert_eq!(append(store, row).await, AppendOutcome::Appended);
    assert_eq!((holder(1).await, holder(9).await), (None, Some(account)));
    let boxes = store.boxes(account).await.expect("boxes");
    assert_eq!(boxes.user_box, Some(Blob(vec![9; 206])));
    let again = NewAccount { recovery_id: [9; 16], invite: Some(hash_of(51)), ..fixture::account(3) };
    store.put_invite(hash_of(51), NOW + 10).await.expect("an invite");
    assert_eq!(create(store, again).await, CreateOutcome::IdTaken);
}

pub(crate) async fn a_new_login_ends_what_the_old_one_opened(store: &dyn MetaStore) {
    create(store, account(1)).await;
    let id = AccountId::from_bytes([1; 16]);
    let by_password = SessionRow { account: id, device: None, expires: NOW + 10 };
    store.put_session(hash_of(60), by_password).await.expect("a session");
    let kdf = Kdf { m_kib: 65_536, t: 4, p: 1 };
    let set = EntryEffect::SetLogin { opaque_record: vec![9; 192], kdf, replaced: [1; 16] };
    let mut row = entry(1, 7, set);
    row.boxes.unlock = vec![unlock_box(UnlockPath::Password, 9)];
    assert_eq!(append(store, row).await, AppendOutcome::Appended);
    let login = store.login(hash_of(1)).await.expect("an answer").expect("a record");
    assert_eq!((login.opaque_record, login.kdf), (vec![9; 192], kdf));
    assert_eq!(store.session(hash_of(60)).await.expect("an answer"), None);
    assert!(store.session(hash_of(1)).await.expect("an answer").is_some(), "the device's own stays");
    let boxes = store.boxes(id).await.expect("boxes");
    assert_eq!(boxes.boxes, [unlock_box(UnlockPath::Password, 9)]);
}

pub(crate) async fn a_secret_that_was_replaced_meanwhile_opens_no_session(store: &dyn MetaStore) {
    create(store, account(1)).await;
    let id = AccountId::from_bytes([1; 16]);
    let session = SessionRow { account: id, device: None, expires: NOW + 10 };
    let open = async |token, secret| {
        let opened = store.open_session(hash_of(token), session, secret).await.expect("an answer");
        assert_eq!(store.session(hash_of(token)).await.expect("an answer").is_some(), opened);
        opened
    };
    let password = |n| Secret::Password { opaque_record: vec![n; 192] };
    let words = |n| Secret::Recovery([n; 16]);
    assert!(open(60, password(1)).await && open(61, words(1)).await);
    let set = EntryEffect::SetLogin { opaque_record: vec![9; 192], kdf: KDF, replaced: [1; 16] };
    assert_eq!(append(store, entry(1, 7, set)).await, AppendOutcome::Appended);
    let replace = EntryEffect::SetRecovery { recovery_id: [9; 16], replaced: [1; 16] };
    assert_eq!(append(store, entry(2, 8, replace)).await, AppendOutcome::Appended);
    // Whoever proved a secret before it was replaced comes for the session only now.
    assert!(!open(62, password(1)).await && !open(63, words(1)).await);
    assert!(open(64, password(9)).await && open(65, words(9)).await);
}

pub(crate) async fn a_box_that_is_there_is_never_replaced(store: &dyn MetaStore) {
    create(store, account(1)).await;
    let id = AccountId::from_bytes([1; 16]);
    let before = store.boxes(id).await.expect("boxes");
    let mut unlock = entry(1, 7, EntryEffect::None);
    unlock.boxes.unlock =
        vec![UnlockBoxEntry { sealed: Blob(vec![0; 40]), ..unlock_box(UnlockPath::Password, 1) }];
    let mut vault = entry(1, 7, EntryEffect::None);
    vault.boxes.vault_keys =
        vec![VaultBoxes { vault_id: VaultId::from_bytes([1; 16]), boxes: vec![key_box(1, 0)] }];
    for row in [unlock, vault] {
        assert!(store.append_entries(row).await.is_err());
    }
    assert_eq!(store.boxes(id).await.expect("boxes"), before);
    assert_eq!(store.vaults(id).await.expect("vaults")[0].keys.boxes, [key_box(1, 1)]);
    assert_eq!(store.log(id).await.expect("an answer").expect("a log").entries.len(), 1);
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

fn entry(seq: u64, n: u8, effect: EntryEffect) -> AppendRow {
    AppendRow {
        account: AccountId::from_bytes([1; 16]),
        seq,
        entries: vec![EntryRow { hash: LogHash::from_bytes([n; 32]), bytes: vec![n; 60], effect }],
        boxes: Boxes::default(),
        user_box: None,
        now: NOW,
    }
}

async fn append(store: &dyn MetaStore, row: AppendRow) -> AppendOutcome {
    store.append_entries(row).await.expect("the database works")
}
