//! Which chunks a content refers to, for the server's lists: read from the manifest in the cache.

use super::known::open_node;
use freehold_api::bulk::ManifestRefs;
use freehold_store::CacheStore;
use freehold_vault::Chunked;
use freehold_vault::manifest::Node;
use std::collections::BTreeSet;

/// The reference lists of a content's manifest nodes that are here.
///
/// Nodes that are not in the cache were announced by whoever made them: our own stay pinned until
/// the commit that announces them has its number.
pub(crate) fn manifest_refs(cache: &CacheStore, content: &Chunked) -> Vec<ManifestRefs> {
    let mut lists = Vec::new();
    let Some(sealed) = cache.get(&content.root) else { return lists };
    let Ok(plain) = content.cek.root_key(&content.root_salt).open(&sealed) else { return lists };
    let Ok(root) = Node::decode_root(&plain, content.size) else { return lists };
    lists.push(ManifestRefs { node: content.root, ids: unique(&root) });
    below(cache, &root, &mut lists);
    lists
}

/// The reference lists of all manifest nodes of a content; `None` unless every one of them is here.
pub(crate) fn whole_manifest_refs(cache: &CacheStore, content: &Chunked) -> Option<Vec<ManifestRefs>> {
    let plain = content.cek.root_key(&content.root_salt).open(&cache.get(&content.root)?).ok()?;
    let root = Node::decode_root(&plain, content.size).ok()?;
    let mut lists = vec![ManifestRefs { node: content.root, ids: unique(&root) }];
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        let Node::Inner { children, .. } = &node else { continue };
        for child in children {
            let found = open_node(&node, child, &cache.get(&child.node.chunk)?)?;
            lists.push(ManifestRefs { node: child.node.chunk, ids: unique(&found) });
            open.push(found);
        }
    }
    Some(lists)
}

fn below(cache: &CacheStore, node: &Node, lists: &mut Vec<ManifestRefs>) {
    let Node::Inner { children, .. } = node else { return };
    for child in children {
        let sealed = cache.get(&child.node.chunk);
        if let Some(found) = sealed.and_then(|sealed| open_node(node, child, &sealed)) {
            lists.push(ManifestRefs { node: child.node.chunk, ids: unique(&found) });
            below(cache, &found, lists);
        }
    }
}

/// The ids in order of first appearance: a file of zeroes names one chunk many times.
fn unique(node: &Node) -> Vec<freehold_model::ChunkId> {
    let mut seen = BTreeSet::new();
    node.refs().filter(|id| seen.insert(*id)).collect()
}
