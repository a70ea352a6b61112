//! Walking all chunks of a version, as far as its manifest is on this device.
//!
//! A reader looks for a range and keeps what it opened; a walk looks at everything once and keeps
//! nothing, so that counting a large file does not drive out what readers use.

use crate::cut::known::open_node;
use freehold_model::ChunkId;
use freehold_store::CacheStore;
use freehold_vault::Chunked;
use freehold_vault::manifest::Node;

/// Calls `each` with every chunk of a version and the bytes of content in it, 0 for nodes of the
/// manifest; whether the whole manifest is here and was walked.
pub(crate) fn walk(cache: &CacheStore, chunked: &Chunked, each: &mut dyn FnMut(ChunkId, u64)) -> bool {
    each(chunked.root, 0);
    let sealed = cache.get(&chunked.root);
    let plain = sealed.and_then(|sealed| chunked.cek.root_key(&chunked.root_salt).open(&sealed).ok());
    let Some(root) = plain.and_then(|plain| Node::decode_root(&plain, chunked.size).ok()) else {
        return false;
    };
    let mut is_whole = true;
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        match &node {
            Node::Leaf(entries) => {
                entries.iter().for_each(|entry| each(entry.chunk, u64::from(entry.plain_len)));
            }
            Node::Inner { children, .. } => {
                for child in children {
                    each(child.node.chunk, 0);
                    let sealed = cache.get(&child.node.chunk);
                    match sealed.and_then(|sealed| open_node(&node, child, &sealed)) {
                        Some(below) => open.push(below),
                        None => is_whole = false,
                    }
                }
            }
        }
    }
    is_whole
}
