//! The suite on SQLite, and what only SQLite can show: newer schema, full disk, reopening.

use crate::cases;
use crate::fixture::{NOW, Writer, account, hash_of};
use freehold_server::db::{MetaStore, OpenError, SqliteStore, StoreError};
use tempfile::TempDir;

struct Opened {
    store: SqliteStore,
    dir: TempDir,
}

impl Opened {
    fn as_dyn(&self) -> &dyn MetaStore {
        &self.store
    }
}

async fn open() -> Opened {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = SqliteStore::open(&dir.path().join("server.db"), NOW).await.expect("a fresh database");
    Opened { store, dir }
}

cases! {
    open:
    accounts::the_first_account_is_free_and_the_next_needs_an_invite,
    accounts::an_invite_counts_once_and_in_time,
    accounts::a_taken_name_says_whose_and_when,
    accounts::ids_in_use_are_refused_and_leave_no_trace,
    accounts::a_login_finds_the_record_by_the_hash_of_the_name,
    accounts::the_log_grows_by_compare_and_swap,
    accounts::an_appended_entry_can_be_repeated,
    accounts::a_foreign_device_or_vault_is_refused,
    accounts::a_revoked_device_loses_its_sessions,
    accounts::boxes_and_vault_keys_come_back,
    accounts::several_entries_stand_together_or_not_at_all,
    accounts::a_recovery_key_is_found_until_it_is_replaced,
    accounts::a_new_login_ends_what_the_old_one_opened,
    accounts::a_box_that_is_there_is_never_replaced,
    accounts::sessions_end_by_hand_and_by_sweep,
    commits::commits_are_numbered_from_one_without_gaps,
    commits::a_repeated_commit_keeps_its_number,
    commits::a_gap_is_refused_with_the_known_head,
    commits::a_fork_is_refused_and_the_first_stays,
    commits::a_new_incarnation_follows_the_old_head,
    commits::concurrent_versions_of_a_record_are_both_taken,
    commits::a_version_neither_sent_nor_stored_is_refused,
    commits::a_grown_log_sends_the_caller_back,
    commits::racing_writers_get_every_number_once,
    commits::pages_follow_the_cursor_to_the_head,
    commits::unknown_versions_are_unknown_and_never_deleted,
    placement::a_version_without_chunks_is_placed_at_once,
    placement::receipts_for_every_level_place_a_version,
    placement::receipts_may_come_before_the_version,
    placement::two_nodes_must_hold_each_chunk_once_there_are_two,
    placement::a_replaced_version_is_no_longer_waited_for,
    placement::a_version_replaced_before_it_arrives_is_no_head,
    placement::shared_manifests_count_for_every_version,
    placement::a_loop_in_the_references_ends,
    nodes::a_join_token_admits_one_node,
    nodes::a_repeated_join_answers_as_before,
    nodes::an_ended_token_admits_nobody,
    nodes::each_join_makes_the_next_layout,
    nodes::heartbeats_must_rise,
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let Opened { store, dir } = open().await;
    let mut writer = Writer::register(&store, 1).await;
    writer.push(&store, &[(1, b"one")]).await;
    let before = store.server_incarnation().await.expect("a number");
    drop(store);
    let store = SqliteStore::open(&dir.path().join("server.db"), NOW + 1).await.expect("the same database");
    assert_eq!(store.server_incarnation().await.expect("a number"), before);
    assert_eq!(store.vault_state(writer.vault).await.expect("a state").vault_seq, 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let Opened { store, dir } = open().await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'later', 1, x'00', 0)";
    store.execute_raw(later).await.expect("a row");
    drop(store);
    let refused = SqliteStore::open(&dir.path().join("server.db"), NOW).await;
    assert!(matches!(refused, Err(OpenError::NewerSchema { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_keeps_reading() {
    let Opened { store, dir: _dir } = open().await;
    let mut writer = Writer::register(&store, 1).await;
    writer.push(&store, &[(1, b"one")]).await;
    // A page cap answers SQLITE_FULL just as the file system's last block does.
    store.execute_raw("PRAGMA max_page_count = 1").await.expect("the cap drops to the size it has");
    let big = vec![7; 256 * 1024];
    let row = writer.row(&[(2, &big)]);
    let full = store.append_commits(writer.vault, 1, &[row], NOW).await;
    assert!(matches!(full, Err(StoreError::NoSpace)), "{full:?}");
    assert_eq!(store.vault_state(writer.vault).await.expect("a state").vault_seq, 1);
    store.execute_raw("PRAGMA max_page_count = 1000000").await.expect("room again");
    writer.push(&store, &[(2, &big)]).await;
    assert_eq!(store.vault_state(writer.vault).await.expect("a state").vault_seq, 2);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_kept() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("server.db");
    std::fs::write(&path, [b'x'; 8192]).expect("a file");
    let refused = SqliteStore::open(&path, NOW).await;
    assert!(matches!(refused, Err(OpenError::Other { .. })), "{refused:?}");
    assert_eq!(std::fs::read(&path).expect("the file"), [b'x'; 8192]);
}

#[tokio::test]
async fn two_processes_may_write_the_same_file() {
    let Opened { store, dir } = open().await;
    let other = SqliteStore::open(&dir.path().join("server.db"), NOW).await.expect("a second connection");
    store.create_account(account(1)).await.expect("an account");
    other.put_join_token(hash_of(9), NOW + 1).await.expect("a token");
    assert!(other.has_accounts().await.expect("an answer"));
}
