//! The suite every [`LocalStore`] must pass.
//!
//! A store is made with the tables of [`TABLES`], empty, once per case. [`run`] runs every case and reports all
//! that fail; to have one test per case, call [`run_case`] for each of [`CASES`]. [`compare_with_model`] drives
//! a store and [`MemoryStore`](crate::memory::MemoryStore) through the same random sequence and compares what
//! they hold after every step; run it with many seeds.
//!
//! Cases are named after the rules of behaviour they pin. They need no runtime of their own: each is a future
//! that awaits only the store.
//!
//! ```
//! use sync_core::memory::MemoryStore;
//! use sync_core::store::contract;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! contract::run(|| async { MemoryStore::new(contract::TABLES) }).await;
//! contract::compare_with_model(MemoryStore::new(contract::TABLES), 7, 100).await;
//! # }
//! ```
//!
//! [`crash`] interrupts every atomic step before and after its commit; for that a store says how it crashes.
//!
//! What the suite cannot see, a store must test itself: durability, and behaviour under several processes.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::LocalStore;

pub use self::model::compare_with_model;
pub use self::tables::{ENTRY, LIST, PART, TABLES, TODO};

mod collapsing;
mod copies;
pub mod crash;
mod decisions;
mod exits;
mod flight;
mod losses;
mod model;
mod parking;
mod probe;
mod pulls;
mod purges;
mod pushes;
mod refetch;
mod resolutions;
mod sharing;
mod tables;
mod writes;

macro_rules! cases {
    ($($module:ident { $($case:ident),* $(,)? })*) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$($(stringify!($case)),*),*];

        /// Runs one case on a new, empty store.
        ///
        /// # Panics
        ///
        /// When the store does not pass, or `case` is none of [`CASES`].
        pub async fn run_case<S: LocalStore>(case: &str, store: S) {
            match case {
                $($(stringify!($case) => Box::pin($module::$case(probe::Probe::new(store))).await,)*)*
                unknown => panic!("the suite has no case {unknown}"),
            }
        }
    };
}

cases! {
    writes {
        d_03_d_05_ids_that_cannot_be_sent_are_refused,
        v_04_values_that_cannot_be_sent_are_refused,
        i_2_a_group_of_changes_is_all_or_nothing,
        x_01_insert_of_an_existing_row_is_refused,
        x_13_change_of_a_missing_row_is_refused,
        r_4_an_update_of_nothing_queues_nothing,
        r_4_local_only_columns_queue_nothing,
        k_17_a_carried_version_is_the_base,
        k_17_a_stale_object_over_a_pending_change_is_judged_by_its_version,
        k_17_a_version_that_only_we_moved_is_not_stale,
        k_18_system_columns_are_the_servers,
        insert_fills_defaults,
        first_change_keeps_the_servers_row,
        select_gives_matching_rows_by_id,
        values_of_every_type_come_back,
        settings_are_kept,
    }
    collapsing {
        x_01_to_x_12_the_matrix_by_local_writes,
        x_02_insert_and_update,
        x_03_insert_and_delete_vanish,
        x_04_insert_of_unknown_outcome_and_delete,
        x_05_refused_insert_and_delete_vanish,
        x_06_insert_over_a_foreign_row_and_delete_vanish,
        x_06_a_foreign_row_stays_foreign_when_the_insert_is_sent_again,
        x_07_update_and_update_keep_the_first_base,
        x_08_update_and_delete_move_to_the_end,
        x_09_delete_and_insert_become_an_update,
        x_10_delete_in_flight_and_insert,
        x_10_insert_taken_back_while_the_delete_is_in_flight,
        f_06_a_row_that_the_server_kept_as_deleted_is_revived,
        x_03_a_row_made_again_collapses_like_any_insert,
        k_09_a_row_made_again_is_dropped_like_any_insert,
        x_14_a_change_drops_the_error,
    }
    pushes {
        f_01_a_taken_operation_is_attempted,
        p_04_operations_come_in_order_of_their_first_change,
        p_05_taking_stops_at_another_request,
        p_05_what_is_in_flight_is_a_barrier,
        p_05_related_tables_go_together,
        p_21_a_parents_insert_comes_before_its_children,
        p_21_x_17_a_parent_queued_later_comes_first,
        p_21_children_leave_before_their_parent_is_deleted,
        p_21_rows_that_mention_each_other_are_not_under_way_together,
        p_21_a_known_circle_goes_in_queue_order,
        p_22_what_waits_for_a_failed_operation_is_told,
        p_22_a_failed_update_holds_nothing_back,
        p_22_a_parent_outside_the_push_is_told,
        p_29_failed_operations_can_be_left_alone,
        p_04_operations_passed_over_come_in_their_order,
        p_02_only_wanted_tables_are_taken,
        p_07_later_changes_wait_for_the_next_push,
        each_operation_is_taken_once_per_push,
        q_07_operations_in_every_state_are_counted,
        k_02_an_update_sends_what_changed_or_all,
        s_08_an_update_of_the_whole_row_carries_unknown_members,
        no_version_sends_no_base,
        local_only_columns_are_not_sent,
        q_05_a_deleted_row_keeps_its_local_only_columns,
        x_15_an_update_that_changes_nothing_is_not_sent,
        x_15_applies_only_to_pending_updates,
        r_8_an_unsent_operation_is_as_before,
        r_8_an_unsent_insert_deleted_meanwhile_vanishes,
        r_2_an_uncertain_operation_is_sent_again_as_it_was,
        r_2_an_uncertain_insert_now_deleted_sends_the_delete,
        r_2_the_remainder_follows_in_the_same_push,
        q_10_errors_are_recorded_and_replaced,
        settling_what_is_gone_changes_nothing,
        an_invalid_step_changes_nothing,
    }
    flight {
        f_03_insert_acknowledged,
        f_03_update_acknowledged,
        f_03_delete_acknowledged,
        f_03_an_answer_without_row_keeps_the_row,
        f_03_an_answer_marked_deleted_removes_the_row,
        f_04_insert_edited_during_the_flight,
        f_04_update_edited_during_the_flight,
        f_04_an_answer_marked_deleted_keeps_an_edited_row,
        f_05_insert_deleted_during_the_flight,
        f_05_update_deleted_during_the_flight,
        f_06_delete_and_insert_during_the_flight,
        f_07_insert_refused_and_edited_meanwhile,
        f_07_insert_refused_and_deleted_meanwhile,
        f_07_update_refused_and_deleted_meanwhile,
        f_07_delete_refused_and_inserted_meanwhile,
        w_09_an_undelete_is_followed_by_the_content,
    }
    losses {
        x_04_a_refusal_after_a_lost_answer_proves_nothing,
        x_04_a_resolution_that_saw_no_row_does_not_forget_a_lost_answer,
        x_06_a_later_refusal_does_not_make_a_foreign_row_ours,
        x_10_a_delete_that_is_refused_after_the_row_was_inserted_again,
        p_29_a_change_follows_the_one_that_the_server_always_fails_on,
        x_15_the_same_sum_of_somebody_else_is_no_reason_not_to_send,
        k_17_a_push_that_brought_foreign_changes_is_not_ours_alone,
        k_12_a_merge_waits_for_the_answer_of_what_is_sent_again,
        w_09_a_revival_taken_back_leaves_the_kept_row_to_the_next_pull,
    }
    copies {
        k_02_a_pulled_copy_is_not_sent_back,
        f_03_an_answer_without_row_leaves_the_newest_copy,
        p_11_a_version_that_is_not_all_here_does_not_hide_the_row,
        f_04_the_newest_copy_and_the_answer_are_the_next_base,
        f_04_the_base_moves_only_with_an_acknowledgement,
        k_10_keep_local_merges_from_the_base,
        k_10_merge_takes_untouched_columns_from_the_server,
        k_10_keep_local_is_guarded_by_the_version_that_was_seen,
        k_06_answered_attempts_leave_no_doubt,
        k_12_a_decision_about_another_version_changes_nothing,
        l_22_a_decision_leaves_local_columns,
        k_09_take_remote_takes_the_newest_copy,
        l_14_a_known_copy_is_unchanged,
        x_16_an_edit_taken_back_leaves_the_newest_copy,
        x_15_the_same_edit_of_somebody_else_is_not_sent,
        w_09_a_revived_row_starts_from_the_newest_copy,
        a_handlers_choice_knows_base_and_newest_copy,
        g_05_a_purge_forgets_the_copies,
    }
    resolutions {
        k_10_keep_local_on_an_update,
        k_10_keep_local_on_an_insert_over_a_live_row,
        k_10_keep_local_on_a_delete,
        k_10_keep_local_after_a_plain_refusal,
        k_15_keep_local_revives_a_deleted_row,
        k_15_keep_local_inserts_a_row_that_is_gone,
        k_10_merge_stores_columns_first,
        k_08_take_remote_stores_the_servers_row,
        k_14_take_remote_brings_a_deleted_row_back,
        k_09_take_remote_of_a_deleted_row_removes_it,
        k_09_take_remote_without_answer_uses_the_shadow,
        k_09_take_remote_of_a_refused_insert_removes_it,
        k_09_a_handler_that_failed_does_not_hide_that_the_row_is_gone,
        k_12_a_changed_operation_is_not_resolved,
        k_13_a_second_resolution_is_refused,
        leave_changes_nothing,
        a_handlers_resolution_is_taken_by_the_same_push,
        k_12_a_handlers_choice_does_not_undo_a_newer_edit,
    }
    decisions {
        k_08_any_row_is_stored_and_the_operation_dropped,
        k_08_a_stored_row_brings_a_deleted_one_back,
        s_08_a_kept_row_has_the_servers_newest_unknown_members,
        k_10_a_given_version_is_the_base,
        k_11_an_insert_becomes_an_update_of_the_servers_row,
        k_11_an_update_becomes_an_insert,
        k_11_an_update_becomes_an_insert_that_revives,
        k_11_an_update_becomes_a_delete_at_the_end,
        k_11_a_delete_becomes_an_update_with_its_row,
        k_11_what_does_not_fit_is_refused,
        k_11_not_while_the_outcome_is_unknown,
        k_12_every_resolution_is_checked,
        k_17_a_stale_object_is_in_conflict_before_a_push,
        k_20_a_pulled_copy_is_a_conflict_before_any_push,
        k_20_a_pulled_conflict_is_resolved,
        k_20_a_pulled_deletion_is_a_conflict,
        k_20_what_is_in_flight_waits_for_its_answer,
        conflicts_show_everything_known,
        resolutions_are_remembered,
        the_last_thousand_resolutions_are_remembered,
        w_09_a_kept_row_is_undeleted,
        w_09_an_undelete_with_an_edit,
        w_09_only_a_deleted_row_is_undeleted,
    }
    parking {
        p_29_a_parked_operation_is_left_alone,
        p_29_any_local_change_ends_parking,
        p_29_a_local_delete_ends_parking,
        p_29_another_decision_ends_parking,
        p_29_unparking_sends_it_again,
        p_29_r_1_a_parked_outcome_stays_unknown,
        p_29_k_20_a_conflict_that_a_pull_showed_is_parked,
        p_29_parking_during_a_flight,
        p_29_a_handler_parks,
        p_22_what_belongs_to_a_parked_row_is_held_back,
        p_27_errors_of_earlier_pushes_are_old,
    }
    pulls {
        l_40_rows_are_added_changed_unchanged_and_removed,
        l_14_a_row_with_an_operation_goes_to_the_shadow,
        l_15_a_deleted_row_with_an_operation_marks_the_shadow,
        l_11_a_queued_delete_is_not_undone_by_a_pull,
        l_19_absent_is_unchanged_and_null_is_null,
        l_18_unknown_members_are_kept,
        l_21_the_later_answer_is_the_newer_one_whatever_its_time,
        l_22_local_only_columns_are_kept,
        l_17_rows_without_id_are_ignored,
        l_11_rows_are_applied_in_page_order,
        l_24_rows_that_do_not_fit_wait_in_quarantine,
        l_24_quarantined_rows_are_tried_again,
        s_15_the_end_of_a_pull_tries_what_waits_once_more,
        l_24_a_newer_row_replaces_a_quarantined_one,
        l_24_an_answer_is_newer_than_a_quarantined_row,
        l_24_a_conflict_with_a_quarantined_version_keeps_it,
        l_24_the_quarantine_is_listed,
        v_13_exact_conversions_are_accepted,
        keep_deleted_tables_mark_rows,
        r_13_rows_outside_the_local_rest_are_not_added,
        t_03_the_token_does_not_go_back,
        t_07_a_pull_without_token_leaves_none,
        t_08_rows_kept_beside_count_for_the_token,
        d_07_ids_are_exact,
        t_09_query_ids_are_independent,
        t_06_a_token_can_be_reset,
        l_08_another_query_restarts,
        l_25_a_broken_page_changes_nothing,
        several_pages_are_stored_together,
    }
    exits {
        r_12_a_row_that_left_goes,
        r_12_what_another_query_wants_stays,
        r_12_what_a_full_pull_brought_stays,
        r_12_more_full_pulls_than_are_remembered_want_every_row,
        r_12_rows_that_never_matched_stay,
        r_12_a_row_with_an_operation_is_never_removed,
        r_12_a_filter_that_cannot_be_read_wants_every_row,
        r_12_tombstones_and_order_come_before_judgement,
        r_12_absent_members_are_judged_as_they_are_here,
        r_12_a_quarantined_row_that_nobody_wants_any_more_goes,
        l_24_what_one_query_does_not_want_waits_for_another,
        r_12_a_new_query_may_have_missed_what_happened_to_rows_here,
        r_12_the_feed_moves_forward_until_a_reset,
        l_13_a_mirroring_pull_removes_what_did_not_come,
        l_13_a_mirroring_pull_removes_what_left_its_filter,
        l_13_what_waits_for_another_query_outlives_a_mirroring_pull,
        t_05_the_servers_date_is_kept_at_the_end,
        r_11_a_refilling_pull_writes_known_versions,
    }
    refetch {
        x_06_a_foreign_row_is_noted_and_comes_back,
        x_03_a_row_with_a_live_server_copy_is_noted,
        k_09_an_unknown_row_is_noted,
        a_row_the_server_does_not_have_is_removed,
        a_fetched_row_with_an_operation_is_kept_beside,
        many_notes_come_in_turns,
        refused_notes_come_after_the_others,
    }
    sharing {
        z_03_the_lease_has_one_holder,
        f_08_a_late_outcome_of_an_operation_taken_again_is_ignored,
        f_08_a_late_outcome_counts_as_long_as_nobody_took_the_operation,
        f_08_a_push_that_another_one_followed_takes_nothing,
        c_12_the_first_owner_takes_the_queue,
        c_12_discarded_operations_leave_the_servers_rows,
        c_12_a_discarded_change_of_a_row_that_is_gone_brings_nothing_back,
        c_12_adopted_operations_stay,
    }
    purges {
        g_01_purge_with_operations_is_refused,
        g_02_operations_of_other_tables_do_not_matter,
        g_03_purge_removes_matching_rows,
        l_24_purge_leaves_the_quarantine_of_other_rows,
        g_05_force_drops_operations,
        g_06_force_drops_only_the_operations_of_removed_rows,
        g_07_purge_resets_all_tokens_of_the_table,
        g_07_tokens_can_be_kept,
    }
}

/// Runs every case on a store of its own.
///
/// # Panics
///
/// After the last case, when one or more failed; the message names each with its reason.
pub async fn run<S, F>(make: impl Fn() -> F)
where
    S: LocalStore,
    F: Future<Output = S>,
{
    let mut failures = Vec::new();
    for case in CASES {
        let store = make().await;
        if let Err(panic) = AssertUnwindSafe(run_case(case, store)).catch_unwind().await {
            let reason = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without text");
            failures.push(format!("{case}: {reason}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        CASES.len(),
        failures.join("\n")
    );
}
