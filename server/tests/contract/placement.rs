//! Which versions wait for chunks, and how receipts place them.

use crate::fixture::{Writer, chunk, entry, join, manifest, receive, version, version_hash};
use freehold_api::bulk::{ManifestRefs, VersionState};
use freehold_model::DeviceId;
use freehold_server::db::{CommitOutcome, CommitRow, MetaStore};

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

pub(crate) async fn a_repeat_brings_the_lists_that_were_lacking(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    join(store, 7).await;
    let mut whole = writer.row_of(
        vec![entry(1, b"f", &[]), entry(2, b"g", &[])],
        vec![version(1, b"f", &[chunk(10)]), version(2, b"g", &[chunk(20)])],
    );
    whole.manifests = vec![manifest(10, &[11]), manifest(20, &[21])];
    // Another device hands it on without a node's list, and without a version's own.
    let versions = vec![version(1, b"f", &[chunk(10)]), version(2, b"g", &[])];
    let partial = CommitRow { manifests: Vec::new(), versions, ..whole.clone() };
    writer.append(store, partial).await;
    let repeated = CommitOutcome::Numbered { vault_seq: 1, fresh: false };
    assert_eq!(writer.offer(store, whole).await, repeated);
    assert_eq!(unplaced(store, &writer).await, (2, vec![writer.device]));
    assert_eq!(receive(store, writer.vault, 7, &[10, 20]).await, 0);
    assert_eq!(receive(store, writer.vault, 7, &[11]).await, 1);
    assert_eq!(state_of(store, &writer, b"f").await, VersionState::Placed);
    assert_eq!(receive(store, writer.vault, 7, &[21]).await, 1);
    assert_eq!(state_of(store, &writer, b"g").await, VersionState::Placed);
    assert_eq!(unplaced(store, &writer).await, (0, vec![]));
}

pub(crate) async fn a_repeat_waits_for_nothing_twice(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    join(store, 7).await;
    let mut row = writer.row_of(vec![entry(1, b"f", &[])], vec![version(1, b"f", &[chunk(10)])]);
    row.manifests = vec![manifest(10, &[11, 12])];
    writer.append(store, row.clone()).await;
    for (chunk, placed) in [(10, 0), (11, 0), (12, 1)] {
        writer.offer(store, row.clone()).await;
        assert_eq!(receive(store, writer.vault, 7, &[chunk]).await, placed);
    }
    writer.offer(store, row).await;
    assert_eq!(state_of(store, &writer, b"f").await, VersionState::Placed);
}

pub(crate) async fn a_list_that_is_there_is_not_replaced_by_a_repeat(store: &dyn MetaStore) {
    let mut writer = Writer::register(store, 1).await;
    join(store, 7).await;
    let mut row = writer.row_of(vec![entry(1, b"f", &[])], vec![version(1, b"f", &[chunk(10)])]);
    row.manifests = vec![manifest(10, &[11])];
    writer.append(store, row.clone()).await;
    row.manifests = vec![manifest(10, &[12])];
    writer.offer(store, row.clone()).await;
    row.versions = vec![version(1, b"f", &[chunk(13)])];
    writer.offer(store, row).await;
    assert_eq!(receive(store, writer.vault, 7, &[10, 11]).await, 1);
    assert_eq!(state_of(store, &writer, b"f").await, VersionState::Placed);
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
