//! Which versions wait for chunks, and how receipts place them.

use crate::fixture::{Writer, chunk, entry, join, manifest, receive, version, version_hash};
use freehold_api::bulk::{ManifestRefs, VersionState};
use freehold_model::DeviceId;
use freehold_server::db::MetaStore;

pub(crate) async fn a_version_without_chunks_is_placed_at_once(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    writer.push(store, &[(1, b"a")]).await;
    assert_eq!(state_of(store, &writer, b"a").await, VersionState::Placed);
    assert_eq!(unplaced(store, &writer).await, (0, vec![]));
}

pub(crate) async fn receipts_for_every_level_place_a_version(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    join(store, 7).await;
    push_file(store, &mut writer, b"f", 10, &[manifest(10, &[11, 12]), manifest(11, &[13])]).await;
    assert_eq!(unplaced(store, &writer).await, (1, vec![writer.device]));
    for level in [10, 11, 12] {
        assert_eq!(receive(store, writer.vault, 7, &[level]).await, 0);
        assert_eq!(state_of(store, &writer, b"f").await, VersionState::Unplaced);
    }
    assert_eq!(receive(store, writer.vault, 7, &[13]).await, 1);
    assert_eq!(state_of(store, &writer, b"f").await, VersionState::Placed);
    assert_eq!(unplaced(store, &writer).await, (0, vec![]));
    assert_eq!(receive(store, writer.vault, 7, &[10, 13]).await, 0, "a repeated receipt places nothing");
}

pub(crate) async fn receipts_may_come_before_the_version(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    join(store, 7).await;
    assert_eq!(receive(store, writer.vault, 7, &[10, 11]).await, 0);
    push_file(store, &mut writer, b"f", 10, &[manifest(10, &[11])]).await;
    assert_eq!(state_of(store, &writer, b"f").await, VersionState::Placed);
}

pub(crate) async fn two_nodes_must_hold_each_chunk_once_there_are_two(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    join(store, 7).await;
    join(store, 8).await;
    push_file(store, &mut writer, b"f", 10, &[]).await;
    assert_eq!(receive(store, writer.vault, 7, &[10, 10]).await, 0, "one node twice is one copy");
    assert_eq!(receive(store, writer.vault, 8, &[10]).await, 1);
}

pub(crate) async fn a_replaced_version_is_no_longer_waited_for(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    push_file(store, &mut writer, b"f", 10, &[]).await;
    assert_eq!(unplaced(store, &writer).await, (1, vec![writer.device]));
    let row = writer.row_of(vec![entry(1, b"g", &[version_hash(b"f")])], vec![version(1, b"g", &[])]);
    writer.append(store, row).await;
    assert_eq!(unplaced(store, &writer).await, (0, vec![]));
    assert_eq!(state_of(store, &writer, b"f").await, VersionState::Unplaced, "it says what it is");
}

pub(crate) async fn a_version_replaced_before_it_arrives_is_no_head(store: &dyn MetaStore) {
    let mut first = Writer::register(store, 1).await;
    let mut second = Writer::on(first.vault, 2);
    let row = second.row_of(vec![entry(1, b"g", &[version_hash(b"f")])], vec![version(1, b"g", &[])]);
    second.append(store, row).await;
    push_file(store, &mut first, b"f", 10, &[]).await;
    assert_eq!(unplaced(store, &first).await, (0, vec![]));
}

pub(crate) async fn shared_manifests_count_for_every_version(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    join(store, 7).await;
    push_file(store, &mut writer, b"f", 10, &[manifest(10, &[11])]).await;
    // The second version reaches the same node, whose list need not be sent again.
    push_file(store, &mut writer, b"g", 20, &[manifest(20, &[10])]).await;
    receive(store, writer.vault, 7, &[10, 20]).await;
    assert_eq!(state_of(store, &writer, b"g").await, VersionState::Unplaced);
    assert_eq!(receive(store, writer.vault, 7, &[11]).await, 2);
}

pub(crate) async fn a_loop_in_the_references_ends(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    join(store, 7).await;
    push_file(store, &mut writer, b"f", 10, &[manifest(10, &[11]), manifest(11, &[10])]).await;
    assert_eq!(receive(store, writer.vault, 7, &[10, 11]).await, 1);
}

/// Pushes one version of record 1 (of a record by content, so that versions do not replace).
async fn push_file(
    store: &dyn MetaStore,
    writer: &mut Writer,
    content: &[u8],
    root: u8,
    manifests: &[ManifestRefs],
) {
    let record = content[0];
    let mut row =
        writer.row_of(vec![entry(record, content, &[])], vec![version(record, content, &[chunk(root)])]);
    row.manifests = manifests.to_vec();
    writer.append(store, row).await;
}

async fn state_of(store: &dyn MetaStore, writer: &Writer, content: &[u8]) -> VersionState {
    let answer = store.versions(writer.vault, &[version_hash(content)]).await.expect("versions");
    answer.items[0].state
}

async fn unplaced(store: &dyn MetaStore, writer: &Writer) -> (u64, Vec<DeviceId>) {
    let state = store.vault_state(writer.vault).await.expect("a state");
    (state.unplaced_versions, state.unplaced_by)
}
