//! What every server must do, as cases that run against any of them.
//!
//! A case is an `async fn(&ServerUnderTest)` that panics when the server is wrong. Cases run at the same time
//! against one server: each works on ids and on a `batch` of its own name. [`server_contract!`](crate::server_contract)
//! makes a test of each case.
//!
//! The suite holds what servers have in common and our client relies on. Where the Node server is wrong on its
//! own (functions in filters, see the server profile), the suite does not go; where both may choose (200 or 204
//! for a deletion), it takes either.

pub mod lists;
pub mod rows;
pub mod sync;

/// Makes a `#[tokio::test]` of every case of the server contract.
///
/// The argument is an expression, evaluated once per test in an async function, for a fixture that is
/// `AsRef<ServerUnderTest>` and is dropped after the case. It may name whatever is in scope at the call.
#[macro_export]
macro_rules! server_contract {
    ($fixture:expr) => {
        $crate::for_each_case! { $crate::server_contract_tests, $fixture }
    };
}

/// Makes a `#[tokio::test]` of every case of the client against a server; the argument is as for
/// [`server_contract!`].
#[macro_export]
macro_rules! client_contract {
    ($fixture:expr) => {
        $crate::for_each_case! { $crate::client_contract_tests, $fixture }
    };
}

/// The list of cases, by module of [`contract`](crate::contract).
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_case {
    ($($then:ident)::+ $(, $argument:expr)?) => {
        $($then)::+! { $($argument)?;
            rows {
                every_request_needs_a_known_version
                table_names_ignore_case_and_unknown_tables_are_not_found
                insert_answers_the_whole_row_with_its_version
                insert_without_an_id_gets_one
                insert_of_a_known_id_is_refused_and_changes_nothing
                insert_refuses_system_properties
                values_come_back_as_they_were_sent
                any_id_can_be_used_in_a_path
                update_changes_only_what_was_sent
                update_with_a_stale_version_is_refused_with_the_row
                update_with_a_stale_version_in_the_body_is_refused_with_the_row
                update_of_a_missing_row_is_not_found
                update_refuses_another_id_and_system_properties
                of_two_writers_with_one_version_one_wins
                delete_hides_the_row_and_keeps_it_marked
                delete_with_a_stale_version_is_refused_with_the_row
                delete_of_a_missing_row_is_not_found
                deleted_rows_can_neither_be_changed_nor_inserted_again
                undelete_brings_a_row_back_and_moves_its_time
                undelete_with_a_stale_version_is_refused
            }
            lists {
                a_page_holds_50_rows_unless_asked_for_more
                a_page_holds_as_many_rows_as_asked_for_up_to_the_limit
                a_page_above_1000_is_refused
                skip_and_top_cut_a_window_out_of_an_order
                rows_of_one_time_are_ordered_by_id
                times_are_compared_to_the_millisecond
                ids_are_compared_as_text
                comparisons_and_logic
                null_is_matched_by_name_only
                numbers_of_every_spelling
                strings_with_quotes_and_other_languages
                selected_members_only
                the_count_ignores_the_page
                deleted_rows_are_listed_only_when_asked_for
                options_may_be_encoded_and_unknown_ones_are_ignored
                a_broken_filter_is_an_error_and_not_an_empty_list
                every_row_is_read_once_by_time_and_id
            }
            sync {
                changes_made_offline_arrive_with_a_push
                values_arrive_on_another_device_as_they_were_written
                a_pull_by_text_brings_exactly_the_matching_rows
                a_second_pull_brings_only_what_changed
                a_block_of_one_time_arrives_whole_in_small_pages
                a_block_of_one_time_arrives_whole_in_large_pages
                a_full_pull_walks_by_id
                a_row_that_leaves_the_filter_goes
                a_row_that_another_query_wants_stays
                a_mirroring_pull_removes_what_did_not_come
                rows_with_unusual_ids_arrive_and_can_be_edited
                a_row_deleted_on_the_server_vanishes
                a_pull_pushes_first
                a_conflict_waits_for_a_decision
                a_handler_merges_a_conflict
                a_deletion_of_a_changed_row_is_a_conflict
                a_change_of_a_deleted_row_is_a_conflict
                an_insert_of_a_taken_id_is_a_conflict
                a_lost_answer_to_an_insert_is_settled
                a_lost_answer_to_an_update_is_settled
                a_lost_answer_to_a_deletion_is_settled
                a_lost_answer_does_not_hide_a_conflict
                a_row_deleted_after_an_uncertain_insert_leaves_nothing
                a_change_after_an_uncertain_insert_arrives
                a_page_of_html_is_no_success
                a_pull_goes_on_after_a_broken_page
                a_push_goes_on_after_a_busy_server
                a_refused_row_does_not_hold_up_others
                a_column_the_server_lacks_is_an_error_and_not_an_empty_table
            }
        }
    };
}

/// Second half of [`server_contract!`](crate::server_contract).
#[doc(hidden)]
#[macro_export]
macro_rules! server_contract_tests {
    ($fixture:expr; $($module:ident { $($case:ident)+ })+) => {
        $(mod $module {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let fixture = $fixture;
                    let server: &$crate::servers::ServerUnderTest = fixture.as_ref();
                    $crate::contract::$module::$case(server).await;
                }
            )+
        })+
    };
}

/// Second half of [`client_contract!`](crate::client_contract).
#[doc(hidden)]
#[macro_export]
macro_rules! client_contract_tests {
    ($fixture:expr; rows { $($rows:ident)+ } lists { $($lists:ident)+ } sync { $($case:ident)+ }) => {
        $crate::server_contract_tests! { $fixture; sync { $($case)+ } }
    };
}

#[cfg(test)]
mod tests {
    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        macro_rules! names {
            (; $($module:ident { $($case:ident)+ })+) => {
                [$((stringify!($module), vec![$(stringify!($case)),+])),+]
            };
        }
        let sources = [
            ("rows", include_str!("contract/rows.rs")),
            ("lists", include_str!("contract/lists.rs")),
            ("sync", include_str!("contract/sync.rs")),
        ];
        let written = sources.map(|(module, source)| {
            let cases = source.lines().filter_map(|line| line.strip_prefix("pub async fn "));
            (module, cases.filter_map(|line| line.split('(').next()).collect::<Vec<_>>())
        });
        assert_eq!(written, crate::for_each_case!(names));
    }
}
