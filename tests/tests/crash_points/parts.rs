//! Each program's folder as a power cut left it, opened in this process by the code that the program starts with, and
//! asked for what was promised.

use crate::record::Story;
use anyhow::{Context, Result, ensure};
use freehold_api::PushOutcome;
use freehold_api::PushResponse;
use freehold_api::bulk::{PushRequest, ReceiptsRequest, VersionState};
use freehold_engine::{Engine, EngineConfig, EngineDirs, ROOT, Transport, Volume};
use freehold_model::codec::from_slice;
use freehold_model::{ChunkId, VaultId, VaultTag, VersionHash};
use freehold_server::config::Config as ServerConfig;
use freehold_server::db::{Location, MetaStore, SqliteStore};
use freehold_storaged::{Config as NodeConfig, Node, StartError};
use freehold_store::{NodeOptions, NodeStore};
use freehold_tests::Exchange;
use freehold_trust::{PublicKey, SignedReceipt};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};

/// Any free port of this machine.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Commits asked for at once.
const PAGE: usize = 500;

/// Everything that was promised, by whom it was promised.
pub(crate) struct Promises {
    pub(crate) story: Story,
    pub(crate) commits: Vec<NumberedCommit>,
    pub(crate) chunks: Vec<StoredChunk>,
}

/// A commit that the server said it has.
pub(crate) struct NumberedCommit {
    place: u64,
    vault: VaultId,
    vault_seq: u64,
    bytes: Vec<u8>,
    versions: Vec<VersionHash>,
}

/// A chunk that the node signed a receipt for.
pub(crate) struct StoredChunk {
    place: u64,
    tag: VaultTag,
    chunk: ChunkId,
    len_bytes: u32,
}

/// What `POST .../commits` acknowledged.
pub(crate) fn numbered(exchanges: &[Exchange]) -> Result<Vec<NumberedCommit>> {
    let mut all = Vec::new();
    for exchange in exchanges.iter().filter(|exchange| exchange.path.ends_with("/commits")) {
        let Some(vault) = exchange.path.split('/').rev().nth(1) else { continue };
        let Ok(answer) = serde_json::from_slice::<PushResponse>(&exchange.answer) else { continue };
        let request: PushRequest = from_slice(&exchange.request)?;
        for (push, outcome) in request.commits.into_iter().zip(answer.results) {
            if let PushOutcome::Numbered { vault_seq } = outcome {
                all.push(NumberedCommit {
                    place: exchange.place,
                    vault: vault.parse().ok().context("a vault's id in the path")?,
                    vault_seq,
                    bytes: push.commit,
                    versions: push.versions.into_iter().map(|version| version.hash).collect(),
                });
            }
        }
    }
    Ok(all)
}

/// The receipts of a node that a device showed the server.
pub(crate) fn stored(exchanges: &[Exchange], node: &PublicKey) -> Result<Vec<StoredChunk>> {
    let mut all = Vec::new();
    for exchange in exchanges.iter().filter(|exchange| exchange.path.ends_with("/receipts")) {
        let request: ReceiptsRequest = from_slice(&exchange.request)?;
        for receipt in request.receipts {
            let receipt = SignedReceipt::from_bytes(&receipt)?;
            let receipt = receipt.verify(node)?;
            all.extend(receipt.chunks.iter().map(|chunk| StoredChunk {
                place: exchange.place,
                tag: receipt.vault_tag,
                chunk: chunk.id,
                len_bytes: chunk.len_bytes,
            }));
        }
    }
    Ok(all)
}

/// A runtime whose tasks rest unless this thread waits for something.
fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// The server starts, its database is whole, and has every commit it had numbered, with the versions.
pub(crate) fn check_server(folder: &Path, promises: &Promises, until: u64) -> Result<usize> {
    let file = folder.join("server.db");
    let runtime = runtime()?;
    let kept = runtime.block_on(async {
        let database = Location::Sqlite(file.clone());
        let config = ServerConfig { listen: ANY_PORT, data_dir: folder.to_owned(), database };
        drop(freehold_server::run::start(&config).await?);
        let store = SqliteStore::open(&file, 0).await?;
        ask_server(&store, promises, until).await
    })?;
    drop(runtime);
    let database = rusqlite::Connection::open(&file)?;
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(verdict == "ok", "the database is damaged: {verdict}");
    Ok(kept)
}

async fn ask_server(store: &SqliteStore, promises: &Promises, until: u64) -> Result<usize> {
    if until >= promises.story.signed_up {
        ensure!(store.has_accounts().await?, "the account is gone");
    }
    if until >= promises.story.node_joined {
        ensure!(store.nodes().await?.len() == 1, "the node is gone");
    }
    let mut kept = 0;
    let promised: Vec<_> = promises.commits.iter().filter(|commit| commit.place <= until).collect();
    for commit in promised {
        let page = store.commit_page(commit.vault, commit.vault_seq - 1, 1).await?;
        let found = page.items.first().context("a numbered commit is gone")?;
        ensure!(
            found.vault_seq == commit.vault_seq && found.commit == commit.bytes,
            "another commit has its number"
        );
        for versions in commit.versions.chunks(PAGE) {
            let found = store.versions(commit.vault, versions).await?;
            let is_there = found.items.iter().all(|item| item.state != VersionState::Unknown);
            ensure!(
                found.items.len() == versions.len() && is_there,
                "versions of a numbered commit are gone"
            );
        }
        kept += 1 + commit.versions.len();
    }
    Ok(kept)
}

/// The node starts and has every chunk it gave a receipt for; each is read and hashed.
pub(crate) fn check_node(folder: &Path, promises: &Promises, until: u64) -> Result<usize> {
    let runtime = runtime()?;
    let started = runtime.block_on(Node::start(&NodeConfig {
        server: None,
        join: None,
        listen: ANY_PORT,
        advertise: Vec::new(),
        data_dir: folder.to_owned(),
        zone: 0,
        log: String::new(),
        transport: Transport::Auto,
        trace_links: None,
    }));
    match started {
        Ok(node) => drop(node),
        Err(StartError::NotJoined) if until < promises.story.node_joined => {}
        Err(error) => return Err(error.into()),
    }
    drop(runtime);
    let (store, _) = NodeStore::open(&folder.join("chunks"), NodeOptions::default())?;
    let mut kept = 0;
    for stored in promises.chunks.iter().filter(|chunk| chunk.place <= until) {
        let found = store.get(stored.tag, stored.chunk, None)?.context("a stored chunk is gone")?;
        ensure!(found.bytes.len() == stored.len_bytes as usize, "a stored chunk is cut short");
        kept += 1;
    }
    Ok(kept)
}

/// The device starts, knows its account, and shows everything that was fsynced.
pub(crate) fn check_device(folder: &Path, promises: &Promises, from: u64, until: u64) -> Result<usize> {
    let story = &promises.story;
    let dirs = EngineDirs { data: folder.join("client"), cache: folder.join("cache") };
    // As the daemon does.
    std::fs::create_dir_all(&dirs.data)?;
    std::fs::create_dir_all(&dirs.cache)?;
    let config = EngineConfig {
        cache_bytes: 1 << 33,
        files_in_memory: 16,
        listen: ANY_PORT,
        lan: false,
        transport: Transport::Auto,
        trace_links: None,
    };
    let runtime = runtime()?;
    let engine = runtime.block_on(Engine::open(dirs, config))?;
    if until >= story.signed_up {
        ensure!(engine.identity().is_some_and(|identity| identity.user == "eva"), "the account is gone");
    }
    let mut kept = 0;
    if let Some(volume) = engine.volume() {
        let damage = engine.status().problems.into_iter().find(|problem| problem.code == "local_damage");
        ensure!(damage.is_none(), "called damage: {damage:?}");
        let found = volume.lock_names(&[(ROOT, b"folder")])?.child(ROOT, b"folder");
        ensure!(found.is_some() || until < story.mounted, "the folder is gone");
        let read = |name: &str| found.map_or(Ok(None), |dir| content(&volume, dir, name));
        kept = story.oracle.check_with(read, until, from)?;
    }
    // As a power cut would. A clean stop takes several times as long as everything before.
    drop(engine);
    Ok(kept)
}

/// A file's bytes, all of which are on this device.
fn content(volume: &Arc<Volume>, dir: freehold_engine::Ino, name: &str) -> Result<Option<Vec<u8>>> {
    let found = volume.lock_names(&[(dir, name.as_bytes())])?.child(dir, name.as_bytes());
    let Some(ino) = found else { return Ok(None) };
    let (send, receive) = mpsc::channel();
    // The tasks rest: only what is here is answered, and at once.
    volume.read(ino, 0, u32::MAX, Instant::now(), Box::new(move |found| drop(send.send(found))));
    let found = receive.try_recv().context("its bytes are not on this device")?;
    Ok(Some(found?.to_vec()))
}
