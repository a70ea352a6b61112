//! Which chunks go to which node next. Pure.

use freehold_model::limits::BATCH_ITEMS_MAX;
use freehold_model::placement::{NodeWeight, group_of, rank};
use freehold_model::{ChunkId, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// A chunk that waits for receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Bytes of it.
    pub(crate) len_bytes: u32,
    /// Nodes that acknowledged it.
    pub(crate) holders: BTreeSet<NodeId>,
    /// Whether it is in a batch right now.
    pub(crate) in_flight: bool,
}

/// Chunks for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The node.
    pub(crate) node: NodeId,
    /// The chunks.
    pub(crate) chunks: Vec<ChunkId>,
}

/// The next batch: the first node, in the order of placement, that has the most to get.
///
/// Each chunk wants `copies_wanted` holders and goes to the best-ranked usable node that is not one
/// yet. None when no chunk can go anywhere now.
pub(crate) fn next_batch(
    waiting: &BTreeMap<ChunkId, Waiting>,
    nodes: &[NodeWeight],
    usable: &BTreeSet<NodeId>,
    copies_wanted: usize,
    bytes_max: usize,
) -> Option<Batch> {
    let mut ranks: BTreeMap<u16, Vec<NodeId>> = BTreeMap::new();
    let mut gathered: BTreeMap<NodeId, (usize, Vec<ChunkId>)> = BTreeMap::new();
    for (chunk, state) in waiting {
        if state.in_flight || state.holders.len() >= copies_wanted {
            continue;
        }
        let group = group_of(chunk);
        let order = ranks.entry(group).or_insert_with(|| rank(group, nodes));
        let target = order.iter().find(|node| usable.contains(node) && !state.holders.contains(node));
        let Some(target) = target else { continue };
        let (bytes, chunks) = gathered.entry(*target).or_default();
        let len = state.len_bytes as usize;
        if !chunks.is_empty() && *bytes + len > bytes_max {
            return Some(Batch { node: *target, chunks: std::mem::take(chunks) });
        }
        *bytes += len;
        chunks.push(*chunk);
        if chunks.len() >= BATCH_ITEMS_MAX {
            return Some(Batch { node: *target, chunks: std::mem::take(chunks) });
        }
    }
    let fullest = gathered.into_iter().max_by_key(|(_, (bytes, _))| *bytes)?;
    Some(Batch { node: fullest.0, chunks: fullest.1.1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 16])
    }

    fn weights(numbers: &[u8]) -> Vec<NodeWeight> {
        numbers.iter().map(|number| NodeWeight { node: node(*number), weight: 1, zone: 0 }).collect()
    }

    fn waiting(count: u8, len_bytes: u32) -> BTreeMap<ChunkId, Waiting> {
        let chunk = |number| (ChunkId::from_bytes([number; 32]), Waiting { len_bytes, ..Waiting::default() });
        (0..count).map(chunk).collect()
    }

    fn usable(numbers: &[u8]) -> BTreeSet<NodeId> {
        numbers.iter().map(|number| node(*number)).collect()
    }

    #[test]
    fn a_batch_keeps_within_its_bytes_but_is_never_empty() {
        let nodes = weights(&[1]);
        let batch = next_batch(&waiting(10, 100), &nodes, &usable(&[1]), 1, 350).expect("work to do");
        assert_eq!((batch.node, batch.chunks.len()), (node(1), 3));
        let batch = next_batch(&waiting(2, 900), &nodes, &usable(&[1]), 1, 350).expect("work to do");
        assert_eq!(batch.chunks.len(), 1);
    }

    #[test]
    fn chunks_in_flight_or_with_enough_holders_are_left_alone() {
        let nodes = weights(&[1, 2]);
        let mut chunks = waiting(2, 100);
        chunks.values_mut().for_each(|chunk| chunk.in_flight = true);
        assert_eq!(next_batch(&chunks, &nodes, &usable(&[1, 2]), 2, 1_000), None);
        for chunk in chunks.values_mut() {
            *chunk = Waiting { in_flight: false, holders: usable(&[1, 2]), len_bytes: 100 };
        }
        assert_eq!(next_batch(&chunks, &nodes, &usable(&[1, 2]), 2, 1_000), None);
    }

    #[test]
    fn a_second_copy_goes_to_another_node_and_past_one_that_is_away() {
        let nodes = weights(&[1, 2, 3]);
        let mut chunks = waiting(1, 100);
        let first = next_batch(&chunks, &nodes, &usable(&[1, 2, 3]), 2, 1_000).expect("a first copy");
        chunks.values_mut().for_each(|chunk| chunk.holders = BTreeSet::from([first.node]));
        let second = next_batch(&chunks, &nodes, &usable(&[1, 2, 3]), 2, 1_000).expect("a second copy");
        assert_ne!(first.node, second.node);
        let mut left = usable(&[1, 2, 3]);
        left.remove(&second.node);
        let third = next_batch(&chunks, &nodes, &left, 2, 1_000).expect("a copy elsewhere");
        assert!(third.node != first.node && third.node != second.node);
        assert_eq!(next_batch(&chunks, &nodes, &BTreeSet::new(), 2, 1_000), None);
    }
}
