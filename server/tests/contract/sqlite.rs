//! The suite on SQLite, and what only SQLite can show: newer schema, full disk, reopening.

use crate::fixture::{NOW, Writer, account, hash_of};
use crate::suite;
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

suite!(open);

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
