//! Bringing whole contents here, so that a version no node holds yet can be shown.
//!
//! A content is a tree: its root names nodes, nodes name pieces. Each level of all contents wanted
//! together is asked for in one go, so ten thousand small files cost two rounds and not twenty
//! thousand.

use super::download::Downloads;
use super::limits::{BRING_BYTES_PER_SECOND, BRING_TIMEOUT};
use crate::cut::known::open_node;
use freehold_model::{ChunkId, VersionHash};
use freehold_net::Class;
use freehold_store::CacheStore;
use freehold_vault::Chunked;
use freehold_vault::manifest::{Child, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A manifest node whose children are wanted next.
enum Branch {
    Root(Chunked),
    Below(Node, Child),
}

/// Brings contents; the versions of which everything is in the cache afterwards.
///
/// # Cancel safety
/// Dropping the future gives it up; what came stays in the cache.
pub(crate) async fn bring(
    downloads: &Arc<Downloads>,
    cache: &Arc<CacheStore>,
    wanted: Vec<(VersionHash, Vec<Chunked>)>,
) -> BTreeSet<VersionHash> {
    let mut failed = BTreeSet::new();
    let all: BTreeSet<VersionHash> = wanted.iter().map(|(version, _)| *version).collect();
    let bytes: u64 = wanted.iter().flat_map(|(_, contents)| contents).map(|content| content.size).sum();
    let deadline = Instant::now() + BRING_TIMEOUT + Duration::from_secs(bytes / BRING_BYTES_PER_SECOND);
    let roots = wanted.into_iter().flat_map(|(version, contents)| {
        contents.into_iter().map(move |content| (version, Branch::Root(content)))
    });
    let mut level: Vec<(VersionHash, Branch)> = roots.collect();
    while !level.is_empty() {
        let ids = level.iter().map(|(version, branch)| (branch.id(), *version));
        failed.extend(fetch(downloads, cache, ids, deadline).await);
        level.retain(|(version, _)| !failed.contains(version));
        let opener = Arc::clone(cache);
        let opened = tokio::task::spawn_blocking(move || open_all(&opener, level));
        let Ok(Opened { branches, pieces, broken }) = opened.await else { return BTreeSet::new() };
        failed.extend(broken);
        failed.extend(fetch(downloads, cache, pieces.into_iter(), deadline).await);
        level = branches;
    }
    all.difference(&failed).copied().collect()
}

#[derive(Default)]
struct Opened {
    branches: Vec<(VersionHash, Branch)>,
    pieces: Vec<(ChunkId, VersionHash)>,
    broken: BTreeSet<VersionHash>,
}

/// Opens one level: nodes below it, and pieces.
fn open_all(cache: &CacheStore, level: Vec<(VersionHash, Branch)>) -> Opened {
    let mut opened = Opened::default();
    for (version, branch) in level {
        let Some(node) = branch.open(cache) else {
            opened.broken.insert(version);
            continue;
        };
        match &node {
            Node::Inner { children, .. } => {
                let below =
                    children.iter().map(|child| (version, Branch::Below(node.clone(), child.clone())));
                opened.branches.extend(below);
            }
            Node::Leaf(_) => opened.pieces.extend(node.refs().map(|id| (id, version))),
        }
    }
    opened
}

/// Fetches what is not here; the versions that lack something afterwards.
async fn fetch(
    downloads: &Arc<Downloads>,
    cache: &CacheStore,
    ids: impl Iterator<Item = (ChunkId, VersionHash)>,
    deadline: Instant,
) -> BTreeSet<VersionHash> {
    let mut missing: BTreeMap<ChunkId, BTreeSet<VersionHash>> = BTreeMap::new();
    for (id, version) in ids.filter(|(id, _)| !cache.contains(id)) {
        missing.entry(id).or_default().insert(version);
    }
    let ids: Vec<ChunkId> = missing.keys().copied().collect();
    let (told, hear) = oneshot::channel();
    // Nobody hears it only when this future was dropped.
    let done = Box::new(move |result: Result<(), crate::FetchError>| told.send(result).unwrap_or(()));
    downloads.want(&ids, deadline, Class::Bulk, done);
    if let Ok(Err(error)) = hear.await {
        tracing::debug!(?error, "some content was not brought");
    }
    missing.into_iter().filter(|(id, _)| !cache.contains(id)).flat_map(|(_, versions)| versions).collect()
}

impl Branch {
    const fn id(&self) -> ChunkId {
        match self {
            Self::Root(content) => content.root,
            Self::Below(_, child) => child.node.chunk,
        }
    }

    fn open(&self, cache: &CacheStore) -> Option<Node> {
        let sealed = cache.get(&self.id())?;
        match self {
            Self::Root(content) => {
                let plain = content.cek.root_key(&content.root_salt).open(&sealed).ok()?;
                Node::decode_root(&plain, content.size).ok()
            }
            Self::Below(parent, child) => open_node(parent, child, &sealed),
        }
    }
}
