//! Which storage nodes keep a chunk: groups by weighted rendezvous hashing.
//!
//! The first 12 bits of a chunk id name one of 4,096 groups; for each group every node draws a
//! score from a hash of (group, node), scaled by its weight, and the highest scores win. Adding or
//! removing a node therefore moves only the groups it wins or held. Nodes of a zone already chosen
//! come after nodes of other zones.
//! Source: Thaler & Ravishankar, "Using name-based mappings to increase hit rates", 1998; the
//! logarithmic weighting is from Schindelhauer & Schomaker, "Weighted distributed hash tables", 2005.

use crate::{ChunkId, NodeId};

/// Number of placement groups.
pub const GROUPS: u16 = 4_096;

/// One node as placement sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeWeight {
    /// The node.
    pub node: NodeId,
    /// Its share relative to the others; 0 takes no data.
    pub weight: u32,
    /// Its failure zone: copies prefer distinct zones.
    pub zone: u16,
}

/// The group of a chunk: the first 12 bits of its id.
#[must_use]
pub const fn group_of(chunk: &ChunkId) -> u16 {
    let [high, low, ..] = *chunk.as_bytes();
    (high as u16) << 4 | (low as u16) >> 4
}

/// All nodes of non-zero weight in the order the group prefers them, distinct zones first.
#[must_use]
pub fn rank(group: u16, nodes: &[NodeWeight]) -> Vec<NodeId> {
    let mut scored: Vec<(u128, NodeWeight)> =
        nodes.iter().filter(|node| node.weight > 0).map(|node| (score(group, node), *node)).collect();
    scored.sort_by(|(a, x), (b, y)| a.cmp(b).then(x.node.cmp(&y.node)));
    let mut zones = std::collections::BTreeSet::new();
    let (first, rest): (Vec<_>, Vec<_>) = scored.into_iter().partition(|(_, node)| zones.insert(node.zone));
    first.into_iter().chain(rest).map(|(_, node)| node.node).collect()
}

/// Smaller is better: `-ln(u) / weight` with `u` uniform in (0, 1], in integers so that every
/// machine computes the same order.
fn score(group: u16, node: &NodeWeight) -> u128 {
    let mut hasher = blake3::Hasher::new_derive_key("freehold v1 placement");
    hasher.update(&group.to_be_bytes()).update(node.node.as_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    negative_log2(u64::from_be_bytes(first)) / u128::from(node.weight)
}

/// `-log2((u + 1) / 2^64)` as a fixed-point number with 64 fraction bits, by repeated squaring.
fn negative_log2(uniform: u64) -> u128 {
    let value = u128::from(uniform) + 1;
    let whole = value.ilog2();
    // The mantissa lies in [1, 2) with 63 fraction bits.
    let mut mantissa = if whole >= 63 { value >> (whole - 63) } else { value << (63 - whole) };
    let mut fraction = 0u128;
    for bit in 1..=40u32 {
        mantissa = (mantissa * mantissa) >> 63;
        if mantissa >> 64 != 0 {
            fraction |= 1 << (64 - bit);
            mantissa >>= 1;
        }
    }
    (64u128 << 64) - ((u128::from(whole) << 64) | fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u8, weight: u32, zone: u16) -> NodeWeight {
        NodeWeight { node: NodeId::from_bytes([id; 16]), weight, zone }
    }

    #[test]
    fn a_group_is_the_first_twelve_bits() {
        let mut id = [0; 32];
        (id[0], id[1]) = (0xab, 0xcd);
        assert_eq!(group_of(&ChunkId::from_bytes(id)), 0xabc);
    }

    #[test]
    fn removing_a_node_moves_only_its_own_groups() {
        let nodes = [node(1, 1, 0), node(2, 1, 0), node(3, 1, 0), node(4, 1, 0)];
        for group in 0..GROUPS {
            let before = rank(group, &nodes);
            let after = rank(group, &nodes[..3]);
            if before[0] != nodes[3].node {
                assert_eq!(before[0], after[0], "group {group}");
            }
        }
    }

    #[test]
    fn weight_is_the_share_of_groups() {
        let nodes = [node(1, 1, 0), node(2, 3, 0)];
        let heavy = (0..GROUPS).filter(|group| rank(*group, &nodes)[0] == nodes[1].node).count();
        assert!((2_900..3_250).contains(&heavy), "three quarters of 4096 expected, got {heavy}");
    }

    #[test]
    fn copies_prefer_distinct_zones_and_empty_nodes_take_nothing() {
        let nodes = [node(1, 1, 0), node(2, 1, 0), node(3, 1, 1), node(4, 0, 2)];
        for group in 0..GROUPS {
            let order = rank(group, &nodes);
            assert_eq!(order.len(), 3);
            assert!(order[..2].contains(&nodes[2].node), "group {group}");
        }
    }
}
