//! Storage nodes: tokens, joins, layouts, heartbeats.

use crate::fixture::{NOW, hash_of, join, layout, node};
use freehold_model::NodeId;
use freehold_server::db::{Heard, HeartbeatRow, JoinOutcome, MetaStore};

pub(crate) async fn a_join_token_admits_one_node(store: &dyn MetaStore) {
    join(store, 1).await;
    let other = store.join_node(hash_of(1), node(2), &layout, NOW).await.expect("the database works");
    assert_eq!(other, JoinOutcome::BadToken);
    let unknown = store.join_node(hash_of(9), node(2), &layout, NOW).await.expect("the database works");
    assert_eq!(unknown, JoinOutcome::BadToken);
    assert_eq!(store.nodes().await.expect("nodes"), [node(1)]);
}

pub(crate) async fn a_repeated_join_answers_as_before(store: &dyn MetaStore) {
    join(store, 1).await;
    let again = store.join_node(hash_of(1), node(1), &layout, NOW).await.expect("the database works");
    assert_eq!(again, JoinOutcome::Joined { node: node(1), epoch: 1 });
    assert_eq!(store.layout().await.expect("a layout").map(|layout| layout.epoch), Some(1));
}

pub(crate) async fn an_ended_token_admits_nobody(store: &dyn MetaStore) {
    store.put_join_token(hash_of(1), NOW).await.expect("a token");
    let late = store.join_node(hash_of(1), node(1), &layout, NOW).await.expect("the database works");
    assert_eq!(late, JoinOutcome::BadToken);
    assert_eq!(store.layout().await.expect("an answer"), None);
}

pub(crate) async fn each_join_makes_the_next_layout(store: &dyn MetaStore) {
    for n in 1..=3 {
        join(store, n).await;
        let newest = store.layout().await.expect("an answer").expect("a layout");
        let expected = (u64::from(n), n.min(2), vec![n]);
        assert_eq!((newest.epoch, newest.write_quorum, newest.bytes), expected);
    }
    // A node that comes back with a fresh token keeps its id and gets a new layout.
    store.put_join_token(hash_of(9), NOW + 10).await.expect("a token");
    let mut moved = node(2);
    moved.addresses = vec!["127.0.0.1:2".to_owned()];
    let joined = store.join_node(hash_of(9), moved.clone(), &layout, NOW).await.expect("the database works");
    assert_eq!(joined, JoinOutcome::Joined { node: moved.clone(), epoch: 4 });
    assert_eq!(store.nodes().await.expect("nodes"), [node(1), moved, node(3)]);
}

pub(crate) async fn heartbeats_must_rise(store: &dyn MetaStore) {
    join(store, 1).await;
    let id = NodeId::from_bytes([1; 16]);
    let beat = |time, address: &str| HeartbeatRow {
        time,
        addresses: vec![address.to_owned()],
        used_bytes: 5,
        free_bytes: 6,
        now: NOW + 7,
    };
    let hear = async |node, beat| store.heartbeat(node, beat).await.expect("the database works");
    assert_eq!(hear(id, beat(100, "127.0.0.1:1")).await, Heard::Same);
    assert_eq!(hear(id, beat(100, "127.0.0.1:9")).await, Heard::Stale);
    assert_eq!(hear(id, beat(101, "127.0.0.1:9")).await, Heard::Moved);
    assert_eq!(hear(NodeId::from_bytes([2; 16]), beat(1, "127.0.0.1:1")).await, Heard::Unknown);
    let row = store.nodes().await.expect("nodes").remove(0);
    let heard = (row.heartbeat_time, row.addresses, row.used_bytes, row.free_bytes, row.last_seen);
    assert_eq!(heard, (101, vec!["127.0.0.1:9".to_owned()], 5, 6, NOW + 7));
}
