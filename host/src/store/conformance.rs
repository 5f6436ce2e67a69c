//! Owns the suite that every store must pass. Each test gets an empty store.
//! Must not know which database is behind it.

pub(super) mod events;
pub(super) mod model;
pub(super) mod outbox;
pub(super) mod search;
pub(super) mod submissions;
pub(super) mod tasks;
pub(super) mod usage;
pub(super) mod variables;

use super::{Claim, Store};
use crate::clock::Timestamp;
use crate::ids::{IdScheme, TaskId};
use crate::task::state::Event;
use crate::task::{Ending, Invocation, Request, Task};
use crate::value::Json;
use std::sync::Arc;

/// Runs the suite against the stores that `$open` makes: an async function that answers an empty store and whatever
/// has to stay alive as long as it.
macro_rules! suite {
    ($backend:ident, $open:expr) => {
        $crate::store::conformance::suite!(@ $backend, $open,
            tasks: [a_new_task_comes_back_as_it_was, a_duplicate_never_overwrites, an_attempt_is_claimed_once,
                a_task_ends_once, a_late_attempt_is_void, what_has_not_started_cannot_complete, a_postponed_attempt_waits,
                open_tasks_come_in_the_order_of_insertion, purge_keeps_to_both_retentions, purge_is_bounded,
                logs_are_kept_with_their_task, large_values_are_kept, concurrent_inserts_are_all_stored,
                a_closed_store_says_so],
            search: [any_search_answers_what_the_rules_say, pages_join_to_the_whole_answer, a_moving_target_is_met_once,
                ids_are_found_in_any_case, live_progress_and_logs_count, permissions_come_back_as_they_were,
                removed_tasks_are_not_found],
            submissions: [a_repetition_is_the_same_task, scopes_are_apart, many_at_once_are_one_task,
                a_submission_goes_with_its_task, a_taken_id_keeps_nothing],
            events: [events_are_numbered_in_the_order_of_writes, a_note_of_another_attempt_is_void,
                progress_and_log_outlive_their_host, what_is_let_go_leaves_its_number,
                events_go_with_their_task_and_their_numbers_with_them, pages_of_events_are_bounded,
                what_is_far_behind_others_is_found],
            outbox: [a_delivery_enters_with_every_end, attempts_are_noted_once, a_list_of_attempts_is_bounded,
                due_deliveries_come_in_order, what_is_over_can_be_sent_again,
                a_task_stays_as_long_as_its_callback_is_due],
            model: [any_history_agrees_with_the_state_machine],
            variables: [versions_count_from_one, a_conflict_names_the_stored_version, concurrent_increments_add_up,
                initial_values_never_overwrite, initial_values_are_written_all_or_none, limits_are_named, variables_are_counted_by_tenant,
                variables_of_a_tenant_share_their_bytes, a_removed_version_never_comes_again],
            usage: [any_history_is_charged_exactly, the_tenants_oldest_ended_tasks_go_first, evictions_are_bounded]);
    };
    (@ $backend:ident, $open:expr, $($module:ident: [$($test:ident),*]),*) => {
        mod $backend {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let (store, _keep) = $open.await;
                    $crate::store::conformance::$module::$test(store).await;
                }
            )*)*
        }
    };
}
pub(super) use suite;

/// What a test gets.
pub(super) type Shared = Arc<dyn Store>;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).expect("valid JSON")
}

fn at(moment: i64) -> Timestamp {
    Timestamp(moment)
}

fn new_id() -> TaskId {
    IdScheme::Uuid.generate()
}

fn new_task() -> Task {
    let request = Request {
        method: "PUT".into(),
        url: "http://localhost/orders/1".into(),
        path_parameters: vec![("id".into(), "1".into())],
        query: Vec::new(),
        headers: vec![("accept".into(), "application/json".into())],
    };
    let invocation = Invocation {
        input: json(r#"{"amount": 1.50}"#),
        request,
        user: None,
        tenant: None,
        traceparent: None,
        sse: None,
        callback: None,
    };
    Task::new(new_id(), "__Put_orders_{id}__".into(), at(1_000), Arc::new(invocation))
}

async fn inserted(store: &dyn Store) -> TaskId {
    let task = new_task();
    store.insert(&task).await.expect("inserts");
    task.id
}

/// The stored task, which must be there and keep every rule of a record.
async fn stored(store: &dyn Store, id: &TaskId) -> Task {
    let task = store.get(id).await.expect("reads").expect("is there");
    task.check().expect("a sound record");
    task
}

fn claim(id: &TaskId, attempts_before: u32, moment: i64) -> Claim {
    Claim { id: id.clone(), attempts_before, at: at(moment), slot: "host-1/orders/0".into(), events: Vec::new() }
}

async fn started(store: &dyn Store) -> TaskId {
    let id = inserted(store).await;
    assert!(store.claim(claim(&id, 0, 2_000)).await.expect("claims"));
    id
}

fn ending(event: Event, moment: i64) -> Ending {
    let completed = event == Event::Complete;
    Ending {
        event,
        at: at(moment),
        result: completed.then(|| json("0")),
        error: (!completed).then(|| "Timeout".into()),
        progress: completed.then_some(100.0),
        log: String::new(),
        events: Vec::new(),
    }
}
