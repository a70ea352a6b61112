//! The list in `docs/threat-model.md` against the real database and the real files.
//!
//! Zero knowledge is a promise about what is stored; this keeps the page that makes it from going
//! stale. One list serves SQLite and PostgreSQL, whose tables are the same. A migration that adds a column must say there what the column gives away.

use freehold_server::ServerKeys;
use freehold_server::db::{PostgresStore, PostgresUrl, SqliteStore};
use freehold_tests::Postgres;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../../docs/threat-model.md");

/// Place, thing and class of each line of the machine-readable section.
fn listed(place: &str) -> BTreeMap<String, String> {
    let section = DOCUMENT.split_once("```stored\n").expect("the section").1;
    let section = section.split_once("\n```").expect("its end").0;
    let mut things = BTreeMap::new();
    for line in section.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [at, thing, class, ..] = words[..] else { panic!("a line without a class: {line}") };
        let is_known = class == "as_listed" || DOCUMENT.contains(&format!("| `{class}` |"));
        assert!(is_known, "a class the page does not explain: {line}");
        if at == place {
            let before = things.insert(thing.to_owned(), class.to_owned());
            assert_eq!(before, None, "listed twice: {line}");
        }
    }
    things
}

/// Every column of every table of a fresh database, with its declared type.
type Columns = BTreeMap<String, String>;

async fn columns_of_sqlite() -> Columns {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("server.db");
    let _store = SqliteStore::open(&path, 1).await.expect("a fresh database");
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut db = SqliteConnection::connect_with(&options).await.expect("the database opens");
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT sqlite_master.name || '.' || column_of.name, column_of.type
         FROM sqlite_master JOIN pragma_table_xinfo(sqlite_master.name) AS column_of
         WHERE sqlite_master.type IN ('table', 'view')",
    )
    .fetch_all(&mut db)
    .await
    .expect("the schema");
    rows.into_iter().collect()
}

async fn columns_of_postgres() -> Columns {
    let cluster = Postgres::start().expect("PostgreSQL starts");
    let url = cluster.database().expect("a database");
    let parsed = PostgresUrl::parse(&url).expect("a sound URL");
    let _store = PostgresStore::open(&parsed, 1).await.expect("a fresh database");
    let mut db = PgConnection::connect(&url).await.expect("the database opens");
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name || '.' || column_name, upper(data_type) FROM information_schema.columns
         WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut db)
    .await
    .expect("the schema");
    rows.into_iter().collect()
}

fn assert_listed(real: &Columns) {
    let listed = listed("server.db");
    assert!(real.len() > 90, "the schema was read: {}", real.len());
    let unlisted: Vec<&String> = real.keys().filter(|name| !listed.contains_key(*name)).collect();
    assert!(unlisted.is_empty(), "say in docs/threat-model.md what these give away: {unlisted:?}");
    let gone: Vec<&String> = listed.keys().filter(|name| !real.contains_key(*name)).collect();
    assert!(gone.is_empty(), "docs/threat-model.md lists what is not stored: {gone:?}");
}

fn assert_classed(real: &Columns) {
    let listed = listed("server.db");
    for (name, kind) in real {
        let class = listed.get(name).map(String::as_str);
        assert_eq!(kind == "TEXT", class == Some("text"), "{name} is {kind} and listed as {class:?}");
        assert_ne!(class, Some("secret"), "{name}");
    }
}

#[tokio::test]
async fn every_column_is_on_the_page_and_every_line_is_a_column() {
    assert_listed(&columns_of_sqlite().await);
}

#[tokio::test]
async fn plain_text_columns_are_classed_as_text_and_nothing_in_the_database_as_secret() {
    assert_classed(&columns_of_sqlite().await);
}

#[tokio::test]
async fn the_page_holds_for_postgresql_too() {
    let real = columns_of_postgres().await;
    assert_listed(&real);
    assert_classed(&real);
}

#[tokio::test]
async fn every_file_is_on_the_page() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let _keys = ServerKeys::load_or_create(dir.path()).expect("fresh keys");
    let _store = SqliteStore::open(&dir.path().join("server.db"), 1).await.expect("a fresh database");
    let listed = listed("server");
    let entries = std::fs::read_dir(dir.path()).expect("the directory");
    for name in entries.map(|entry| entry.expect("an entry").file_name()) {
        let name = name.into_string().expect("a plain name");
        assert!(listed.contains_key(&name), "say in docs/threat-model.md what {name} gives away");
    }
}
