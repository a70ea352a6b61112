//! The suite on PostgreSQL, and what only PostgreSQL can show: several servers over one database.

use crate::fixture::{
    self, NOW, Writer, account, chunk, device_row, hash_of, join, layout, node, receive, version,
};
use crate::suite;
use freehold_model::{AccountId, LogHash};
use freehold_server::db::{
    AppendOutcome, AppendRow, Boxes, CreateOutcome, EntryEffect, EntryRow, JoinOutcome, MetaStore,
    NewAccount, Notice, OpenError, PostgresStore, PostgresUrl, Secret, SessionRow,
};
use freehold_tests::Postgres;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use tokio::task::JoinSet;

/// One server for all tests of this program.
static CLUSTER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start().expect("PostgreSQL starts"));

struct Opened {
    store: PostgresStore,
    url: PostgresUrl,
}

impl Opened {
    fn as_dyn(&self) -> &dyn MetaStore {
        &self.store
    }

    /// Another server's store over the same database.
    async fn another(&self) -> PostgresStore {
        PostgresStore::open(&self.url, NOW + 1).await.expect("the same database")
    }
}

async fn open() -> Opened {
    let url = PostgresUrl::parse(&CLUSTER.database().expect("a database")).expect("a sound URL");
    Opened { store: PostgresStore::open(&url, NOW).await.expect("a fresh database"), url }
}

suite!(open);

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let opened = open().await;
    let mut writer = Writer::register(&opened.store, 1).await;
    writer.push(&opened.store, &[(1, b"one")]).await;
    let other = opened.another().await;
    let incarnation = opened.store.server_incarnation().await.expect("a number");
    assert_eq!(other.server_incarnation().await.expect("a number"), incarnation);
    assert_eq!(other.vault_state(writer.vault).await.expect("a state").vault_seq, 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let opened = open().await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'later', true, '\\x00', 0)";
    opened.store.execute_raw(later).await.expect("a row");
    let refused = PostgresStore::open(&opened.url, NOW).await;
    assert!(matches!(refused, Err(OpenError::NewerSchema { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_database_that_forgets_acknowledged_commits_is_refused() {
    let opened = open().await;
    let text = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off',
                current_database()); END $$";
    opened.store.execute_raw(text).await.expect("a setting");
    let refused = PostgresStore::open(&opened.url, NOW).await;
    let forgetful = matches!(refused, Err(OpenError::Forgetful { setting: "synchronous_commit", .. }));
    assert!(forgetful, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_race_give_every_number_once() {
    const COMMITS: u8 = 20;
    const DEVICES: u8 = 4;
    let opened = open().await;
    let vault = Writer::register(&opened.store, 1).await.vault;
    let stores = [opened.store.clone(), opened.another().await];
    let mut writers = JoinSet::new();
    for n in 1..=DEVICES {
        let store = stores[usize::from(n % 2)].clone();
        writers.spawn(async move {
            let mut writer = Writer::on(vault, n);
            let mut numbers = Vec::new();
            for commit in 0..COMMITS {
                numbers.push(writer.push(&store, &[(1, &[n, commit])]).await);
            }
            assert!(numbers.is_sorted(), "each writer sees its own numbers rise");
            numbers
        });
    }
    let all: Vec<u64> = writers.join_all().await.concat();
    let expected = 1..=u64::from(COMMITS) * u64::from(DEVICES);
    let distinct: BTreeSet<u64> = all.iter().copied().collect();
    assert!(distinct.len() == all.len() && distinct.into_iter().eq(expected.clone()));
    let page = stores[1].commit_page(vault, 0, 1000).await.expect("a page");
    assert!(page.items.iter().map(|item| item.vault_seq).eq(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_reads_while_servers_write_skips_nothing() {
    const COMMITS: u64 = 40;
    let opened = open().await;
    let mut first = Writer::register(&opened.store, 1).await;
    let (other, vault) = (opened.another().await, first.vault);
    let mut second = Writer::on(vault, 2);
    let write = async |writer: &mut Writer, store: &PostgresStore| {
        for n in 0..COMMITS / 2 {
            let content = [&writer.device.to_bytes()[..], &[n as u8]].concat();
            writer.push(store, &[(1, &content)]).await;
        }
    };
    let read = async || {
        let mut seen = Vec::new();
        while seen.len() < COMMITS as usize {
            let after = seen.last().copied().unwrap_or_default();
            let page = other.commit_page(vault, after, 7).await.expect("a page");
            seen.extend(page.items.iter().map(|item| item.vault_seq));
        }
        seen
    };
    let ((), (), seen) = tokio::join!(write(&mut first, &opened.store), write(&mut second, &other), read());
    assert!(seen.into_iter().eq(1..=COMMITS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_first_accounts_is_free() {
    let opened = open().await;
    let stores = [opened.store.clone(), opened.another().await];
    let mut creations = JoinSet::new();
    for n in 1..=8 {
        let store = stores[usize::from(n % 2)].clone();
        creations.spawn(async move { store.create_account(account(n)).await.expect("the database works") });
    }
    let outcomes = creations.join_all().await;
    let created = outcomes.iter().filter(|outcome| **outcome == CreateOutcome::Created).count();
    let closed = outcomes.iter().filter(|outcome| **outcome == CreateOutcome::Closed).count();
    assert_eq!((created, closed), (1, 7), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invite_raced_for_admits_one() {
    let opened = open().await;
    let stores = [opened.store.clone(), opened.another().await];
    opened.store.create_account(account(1)).await.expect("an account");
    opened.store.put_invite(hash_of(50), NOW + 10).await.expect("an invite");
    let mut creations = JoinSet::new();
    for n in 2..=7 {
        let store = stores[usize::from(n % 2)].clone();
        let invited = NewAccount { invite: Some(hash_of(50)), ..account(n) };
        creations.spawn(async move { store.create_account(invited).await.expect("the database works") });
    }
    let outcomes = creations.join_all().await;
    let created = outcomes.iter().filter(|outcome| **outcome == CreateOutcome::Created).count();
    assert_eq!(created, 1, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_raced_for_grows_by_one_entry_a_place() {
    let opened = open().await;
    let stores = [opened.store.clone(), opened.another().await];
    opened.store.create_account(account(1)).await.expect("an account");
    let mut appends = JoinSet::new();
    for n in 10..18 {
        let store = stores[usize::from(n % 2)].clone();
        let row = row(1, 1, n, EntryEffect::None);
        appends.spawn(async move { store.append_entries(row).await.expect("the database works") });
    }
    let outcomes = appends.join_all().await;
    let appended = outcomes.iter().filter(|outcome| **outcome == AppendOutcome::Appended).count();
    assert_eq!(appended, 1, "{outcomes:?}");
    let log = stores[1].log(AccountId::from_bytes([1; 16])).await.expect("an answer").expect("a log");
    assert_eq!(log.entries.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_id_raced_for_goes_to_one_account() {
    let opened = open().await;
    let stores = [opened.store.clone(), opened.another().await];
    opened.store.create_account(account(1)).await.expect("an account");
    opened.store.put_invite(hash_of(50), NOW + 10).await.expect("an invite");
    let second = NewAccount { invite: Some(hash_of(50)), ..account(2) };
    opened.store.create_account(second).await.expect("an account");
    for device in 10..20 {
        let seq = u64::from(device) - 9;
        let add = |n: u8| {
            let effect = EntryEffect::AddDevice(device_row(device, AccountId::from_bytes([n; 16])));
            row(n, seq, device, effect)
        };
        let (one, two) = tokio::join!(stores[0].append_entries(add(1)), stores[1].append_entries(add(2)));
        let outcomes = [one.expect("the database works"), two.expect("the database works")];
        let loser = outcomes.iter().position(|outcome| *outcome == AppendOutcome::Foreign);
        let loser = loser.unwrap_or_else(|| panic!("both or none: {outcomes:?}"));
        assert_eq!(outcomes[1 - loser], AppendOutcome::Appended);
        // Keeps both logs of one length for the next round.
        let filler = row(loser as u8 + 1, seq, device, EntryEffect::None);
        let filled = stores[0].append_entries(filler).await.expect("the database works");
        assert_eq!(filled, AppendOutcome::Appended);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_outlives_the_password_that_opened_it() {
    let opened = open().await;
    let other = opened.another().await;
    opened.store.create_account(account(1)).await.expect("an account");
    let session = SessionRow { account: AccountId::from_bytes([1; 16]), device: None, expires: NOW + 10 };
    for n in 2..30 {
        let secret = Secret::Password { opaque_record: vec![n - 1; 192] };
        let set =
            EntryEffect::SetLogin { opaque_record: vec![n; 192], kdf: fixture::KDF, replaced: [n - 1; 16] };
        let token = hash_of(100 + n);
        let (opening, setting) = tokio::join!(
            opened.store.open_session(token, session, secret),
            other.append_entries(row(1, u64::from(n) - 1, n, set)),
        );
        opening.expect("the database works");
        assert_eq!(setting.expect("the database works"), AppendOutcome::Appended);
        assert_eq!(other.session(token).await.expect("an answer"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_races_its_commit_places_it() {
    let opened = open().await;
    let other = opened.another().await;
    let mut writer = Writer::register(&opened.store, 1).await;
    let vault = writer.vault;
    join(&opened.store, 1).await;
    for n in 0..30 {
        let row = writer.row_of(vec![fixture::entry(n, &[n], &[])], vec![version(n, &[n], &[chunk(n)])]);
        let chunks = [n];
        tokio::join!(writer.append(&opened.store, row), receive(&other, vault, 1, &chunks));
    }
    let state = other.vault_state(vault).await.expect("a state");
    assert_eq!((state.vault_seq, state.unplaced_versions), (30, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_at_once_agree_on_one_database() {
    let url = PostgresUrl::parse(&CLUSTER.database().expect("a database")).expect("a sound URL");
    let mut starts = JoinSet::new();
    for n in 0..4 {
        let url = url.clone();
        starts.spawn(async move {
            let store = PostgresStore::open(&url, NOW + n).await.expect("a database");
            store.put_key_fingerprint(n).await.expect("an answer");
            let key = store.key_fingerprint().await.expect("an answer");
            (store.server_incarnation().await.expect("a number"), key)
        });
    }
    let seen = starts.join_all().await;
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_join_at_once_get_a_layout_each() {
    const NODES: u8 = 6;
    let opened = open().await;
    let stores = [opened.store.clone(), opened.another().await];
    let mut joins = JoinSet::new();
    for n in 1..=NODES {
        let store = stores[usize::from(n % 2)].clone();
        joins.spawn(async move { join(&store, n).await });
    }
    joins.join_all().await;
    let newest = stores[0].layout().await.expect("an answer").expect("a layout");
    assert_eq!((newest.epoch, newest.bytes), (u64::from(NODES), vec![NODES]), "the last knows all nodes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_token_raced_for_admits_one_node() {
    let opened = open().await;
    let stores = [opened.store.clone(), opened.another().await];
    opened.store.put_join_token(hash_of(9), NOW + 10).await.expect("a token");
    let mut joins = JoinSet::new();
    for n in 1..=6 {
        let store = stores[usize::from(n % 2)].clone();
        joins.spawn(async move {
            store.join_node(hash_of(9), node(n), &layout, NOW).await.expect("the database works")
        });
    }
    let outcomes = joins.join_all().await;
    let joined = outcomes.iter().filter(|outcome| matches!(outcome, JoinOutcome::Joined { .. })).count();
    assert_eq!(joined, 1, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_raced_for_is_spent_once() {
    let opened = open().await;
    let stores = [opened.store.clone(), opened.another().await];
    let mut tries = JoinSet::new();
    for n in 0..8 {
        let store = stores[n % 2].clone();
        tries.spawn(async move { store.spend(hash_of(1), NOW + 10).await.expect("the database works") });
    }
    assert_eq!(tries.join_all().await.into_iter().filter(|fresh| *fresh).count(), 1);
}

#[tokio::test]
async fn servers_hear_each_other_and_notice_when_they_did_not() {
    let opened = open().await;
    let other = opened.another().await;
    let mut notices = other.notices().await.expect("a connection");
    opened.store.say(&["one".to_owned(), "two".to_owned()]).await.expect("said");
    assert_eq!(notices.next().await, Notice::Said("one".to_owned()));
    assert_eq!(notices.next().await, Notice::Said("two".to_owned()));
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    opened.store.execute_raw(cut).await.expect("cut");
    assert_eq!(notices.next().await, Notice::Missed);
    opened.store.say(&["three".to_owned()]).await.expect("said");
    assert_eq!(notices.next().await, Notice::Said("three".to_owned()));
}

#[tokio::test]
async fn a_lost_connection_costs_nothing_once_the_database_is_back() {
    let opened = open().await;
    let mut writer = Writer::register(&opened.store, 1).await;
    let other = opened.another().await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    other.execute_raw(cut).await.expect("cut");
    writer.push(&opened.store, &[(1, b"one")]).await;
}

/// Entry `n` for a place in an account's log.
fn row(account: u8, seq: u64, n: u8, effect: EntryEffect) -> AppendRow {
    AppendRow {
        account: AccountId::from_bytes([account; 16]),
        seq,
        entries: vec![EntryRow { hash: LogHash::from_bytes([n; 32]), bytes: vec![n; 60], effect }],
        boxes: Boxes::default(),
        user_box: None,
        now: NOW,
    }
}
