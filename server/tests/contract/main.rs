//! The contract of `MetaStore`: one suite, run on a real SQLite file and on a real PostgreSQL
//! server.
//!
//! Each case is a function over the trait object; [`suite!`] makes a test of each for one way to
//! open a store. Cases talk only through the trait.

mod accounts;
mod commits;
mod fixture;
mod nodes;
mod placement;
mod postgres;
mod sqlite;

/// A test for each case, on the store that `$open` yields.
macro_rules! cases {
    ($open:path: $($module:ident::$case:ident,)+) => {$(
        #[tokio::test]
        async fn $case() {
            let store = $open().await;
            crate::$module::$case(store.as_dyn()).await;
        }
    )+};
}
pub(crate) use cases;

/// Every case.
macro_rules! suite {
    ($open:path) => {
        crate::cases! {
            $open:
            accounts::the_first_account_is_free_and_the_next_needs_an_invite,
            accounts::an_invite_counts_once_and_in_time,
            accounts::a_taken_name_says_whose_and_when,
            accounts::ids_in_use_are_refused_and_leave_no_trace,
            accounts::a_login_finds_the_record_by_the_hash_of_the_name,
            accounts::the_log_grows_by_compare_and_swap,
            accounts::an_appended_entry_can_be_repeated,
            accounts::a_foreign_device_or_vault_is_refused,
            accounts::a_revoked_device_loses_its_sessions,
            accounts::a_session_begun_as_its_device_was_revoked_is_none,
            accounts::the_newest_addresses_of_live_devices_are_handed_out,
            accounts::a_token_is_spent_once,
            accounts::the_first_key_fingerprint_stays,
            accounts::boxes_and_vault_keys_come_back,
            accounts::several_entries_stand_together_or_not_at_all,
            accounts::a_recovery_key_is_found_until_it_is_replaced,
            accounts::a_new_login_ends_what_the_old_one_opened,
            accounts::a_secret_that_was_replaced_meanwhile_opens_no_session,
            accounts::a_box_that_is_there_is_never_replaced,
            accounts::sessions_end_by_hand_and_by_sweep,
            commits::commits_are_numbered_from_one_without_gaps,
            commits::a_chain_is_told_with_what_proves_its_head,
            commits::a_repeated_commit_keeps_its_number,
            commits::a_gap_is_refused_with_the_known_head,
            commits::a_fork_is_refused_and_the_first_stays,
            commits::a_new_incarnation_follows_the_old_head,
            commits::concurrent_versions_of_a_record_are_both_taken,
            commits::a_version_neither_sent_nor_stored_is_refused,
            commits::a_grown_log_sends_the_caller_back,
            commits::racing_writers_get_every_number_once,
            commits::pages_follow_the_cursor_to_the_head,
            commits::unknown_versions_are_unknown_and_never_deleted,
            placement::a_version_without_chunks_is_placed_at_once,
            placement::receipts_for_every_level_place_a_version,
            placement::receipts_may_come_before_the_version,
            placement::two_nodes_must_hold_each_chunk_once_there_are_two,
            placement::a_replaced_version_is_no_longer_waited_for,
            placement::a_version_replaced_before_it_arrives_is_no_head,
            placement::shared_manifests_count_for_every_version,
            placement::a_loop_in_the_references_ends,
            placement::a_repeat_brings_the_lists_that_were_lacking,
            placement::a_repeat_waits_for_nothing_twice,
            placement::a_list_that_is_there_is_not_replaced_by_a_repeat,
            nodes::a_join_token_admits_one_node,
            nodes::a_repeated_join_answers_as_before,
            nodes::an_ended_token_admits_nobody,
            nodes::each_join_makes_the_next_layout,
            nodes::heartbeats_must_rise,
        }
    };
}
pub(crate) use suite;
