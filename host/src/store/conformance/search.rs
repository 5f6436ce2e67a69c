//! Owns the part of the suite about searches. Must not know which database is behind the store.

use super::{Shared, at, claim, ending, json, new_task, stored};
use crate::ids::TaskId;
use crate::principal::Principal;
use crate::store::search::{PAGE_BYTES, page_of};
use crate::store::{Page, Reader, Search, Store, StoreError};
use crate::task::access::{Allowed, Permission};
use crate::task::query::Query;
use crate::task::query::field::{Field, Kind};
use crate::task::query::operator::Operator;
use crate::task::query::order::Order;
use crate::task::state::Event;
use crate::task::{Invocation, Task};
use crate::value::Json;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::sync::Arc;
use std::time::Duration;

/// Few words, so that what is random meets.
const WORDS: [&str; 8] = ["Software", "SOFTWARE", "ärzte", "ÄRZTE", "ΑΣ", "ας", "b_%*?", ""];

fn word() -> impl Strategy<Value = String> {
    proptest::sample::select(&WORDS[..]).prop_map(str::to_owned)
}

fn words() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(word(), 0..2)
}

fn principal() -> impl Strategy<Value = Option<Principal>> {
    let some = (word(), words(), words(), words());
    proptest::option::of(some.prop_map(|(id, groups, roles, scopes)| Principal { id, groups, roles, scopes }))
}

fn permission() -> impl Strategy<Value = Option<Arc<Permission>>> {
    let allowed = || {
        let lists = (words(), words(), words(), words());
        lists.prop_map(|(users, groups, roles, scopes)| Allowed { users, groups, roles, scopes })
    };
    proptest::option::weighted(
        0.8,
        (allowed(), allowed()).prop_map(|(read, write)| Arc::new(Permission { read, write })),
    )
}

/// What a task is like, and how far it gets.
#[derive(Debug, Clone)]
struct Life {
    task: Task,
    stage: u8,
    log: String,
    progress: Option<f64>,
}

fn life() -> impl Strategy<Value = Life> {
    let place = (word(), word(), 0..3_i64, any::<bool>());
    let fate = (0..5_u8, word(), proptest::option::of((0..3_u8).prop_map(|tens| f64::from(tens) * 10.5)));
    let id = "[aA][bB]?[0-9]{12}";
    (id, place, principal(), permission(), fate).prop_map(|(id, place, user, permission, (stage, log, progress))| {
        let (name, url, moment, flag) = place;
        let mut task = new_task();
        let mut invocation = Invocation { user, ..(*task.invocation).clone() };
        invocation.request.url = url;
        task.invocation = Arc::new(invocation);
        (task.id, task.name) = (TaskId::parse(&id).expect("an id"), name.into());
        (task.created, task.cancellable, task.permission) = (at(moment * 1_000_000), flag, permission);
        task.expires = flag.then(|| at(3_000_000));
        Life { task, stage, log: format!("{{\"message\":\"{log}\"}}\n"), progress }
    })
}

/// Brings a task to its stage, and answers its log.
async fn live(store: &dyn Store, life: &Life) -> String {
    let id = &life.task.id;
    store.insert(&life.task).await.expect("inserts");
    if life.stage == 0 {
        return String::new();
    }
    assert!(store.claim(claim(id, 0, 1_500_000)).await.expect("claims"));
    let event = match life.stage {
        1 => return String::new(),
        2 => Event::Complete,
        3 => Event::Fail,
        _ => Event::Abort,
    };
    let mut end = ending(event, 2_000_000);
    end.log.clone_from(&life.log);
    end.progress = if event == Event::Complete { Some(100.0) } else { life.progress };
    assert!(store.finish(id, 1, &end).await.expect("finishes"));
    end.log
}

fn condition() -> impl Strategy<Value = (Field, Operator, Json)> {
    let text =
        prop_oneof![3 => word(), 1 => "[*?a-cσ]{0,3}", 1 => Just("PUT".to_owned()), 1 => Just("host-1".to_owned())];
    let date =
        proptest::sample::select(&["1970-01-01T00:00:01Z", "1970-01-01T01:00:02+01:00", "1/1/2024 1:00:00 AM"][..]);
    let state = proptest::sample::select(&["NotStarted", "running", "Completed", "FAILED", "Aborted"][..]);
    let number = proptest::sample::select(&["-1", "1.0", "10.5", "100"][..]);
    let values = (text, date, state, number, any::<bool>());
    (proptest::sample::select(Field::ALL), any::<proptest::sample::Index>(), values).prop_map(
        |(field, choice, values)| {
            let fitting = Operator::fitting(field.kind());
            let value = match field.kind() {
                Kind::Text => values.0,
                Kind::Date => values.1.to_owned(),
                Kind::Number => values.3.to_owned(),
                Kind::Boolean => values.4.to_string(),
                Kind::State => values.2.to_owned(),
            };
            (field, fitting[choice.index(fitting.len())], Json::from_serialize(&value).expect("JSON"))
        },
    )
}

fn query() -> impl Strategy<Value = Arc<Query>> {
    proptest::collection::vec(condition(), 0..3).prop_map(|mut conditions| {
        conditions.sort_by_key(|(field, ..)| *field);
        conditions.dedup_by_key(|(field, ..)| *field);
        let entry = |(field, operator, value): &(Field, Operator, Json)| {
            format!("\"{}\":{{\"op\":\"{}\",\"value\":{}}}", field.name(), operator.name(), value.as_str())
        };
        let text = format!("{{{}}}", conditions.iter().map(entry).collect::<Vec<_>>().join(","));
        Arc::new(Query::parse(&json(&text)).expect("a query"))
    })
}

fn search() -> impl Strategy<Value = Search> {
    let reader = prop_oneof![1 => Just(Reader::Everything), 4 => principal().prop_map(Reader::Caller)];
    let fields: Vec<Field> = Field::ALL.iter().copied().filter(|field| *field != Field::Output).collect();
    let field = prop_oneof![1 => Just(Field::CreationTime), 1 => proptest::sample::select(fields)];
    let order = (field, any::<bool>()).prop_map(|(field, descending)| Order { field, descending });
    (query(), reader, order, 1..30_usize, any::<bool>()).prop_map(|(query, reader, order, limit, short)| {
        // Without any budget each page of the order of age comes to one task.
        let budget = if short && order.is_by_age() { Duration::ZERO } else { Duration::from_secs(60) };
        Search { order, budget, ..Search::new(query, reader, limit) }
    })
}

/// Tasks with their numbers and logs, as the rules see them.
type Known = Vec<(i64, Task, String)>;

async fn filled(store: &dyn Store, runner: &mut TestRunner, count: i64) -> Known {
    let mut known = Vec::new();
    for seq in 1..=count {
        let life = life().new_tree(runner).expect("a life").current();
        let log = live(store, &life).await;
        known.push((seq, stored(store, &life.task.id).await, log));
    }
    known
}

/// All pages, joined.
async fn whole(store: &dyn Store, mut search: Search) -> Vec<Task> {
    let mut tasks = Vec::new();
    loop {
        let Page { tasks: more, next } = store.search(search.clone()).await.expect("answers");
        assert!(more.len() <= search.limit);
        tasks.extend(more);
        match next {
            Some(next) => search.after = Some(next),
            None => return tasks,
        }
    }
}

fn ids(tasks: &[Task]) -> Vec<&str> {
    tasks.iter().map(|task| task.id.as_str()).collect()
}

pub async fn any_search_answers_what_the_rules_say(store: Shared) {
    let mut runner = TestRunner::deterministic();
    let known = filled(&*store, &mut runner, 150).await;
    let mut met = 0;
    for _ in 0..400 {
        let search = search().new_tree(&mut runner).expect("a search").current();
        let expected = page_of(&Search { limit: usize::MAX, ..search.clone() }, known.clone());
        let found = whole(&*store, search.clone()).await;
        assert_eq!(ids(&found), ids(&expected.tasks), "{search:?}");
        assert!(found == expected.tasks, "{search:?}");
        met += found.len();
    }
    assert!(met > 5_000, "only {met} tasks were found at all");
}

pub async fn pages_join_to_the_whole_answer(store: Shared) {
    let known = filled(&*store, &mut TestRunner::deterministic(), 40).await;
    for (field, descending) in [(Field::CreationTime, true), (Field::CreationTime, false), (Field::Name, true)] {
        let everything = Search::new(Arc::default(), Reader::Everything, 7);
        let mut search = Search { order: Order { field, descending }, ..everything };
        loop {
            let page = store.search(search.clone()).await.expect("answers");
            assert_eq!(page, page_of(&search, known.clone()));
            assert_eq!(page.tasks.len(), if page.next.is_some() { 7 } else { 5 });
            let Some(next) = page.next else { break };
            search.after = Some(next);
        }
    }
    let exact = Search::new(Arc::default(), Reader::Everything, 40);
    assert_eq!(store.search(exact).await.expect("answers").next, None, "the last page knows that it is the last");
}

pub async fn a_moving_target_is_met_once(store: Shared) {
    let tasks: Vec<Task> = (0..30).map(|_| new_task()).collect();
    for task in &tasks {
        store.insert(task).await.expect("inserts");
    }
    let mut search = Search::new(Arc::default(), Reader::Caller(None), 4);
    let mut found: Vec<TaskId> = Vec::new();
    for round in 0.. {
        let page = store.search(search.clone()).await.expect("answers");
        found.extend(page.tasks.into_iter().map(|task| task.id));
        let Some(next) = page.next else { break };
        search.after = Some(next);
        // In between some end, some come and some go.
        store.insert(&new_task()).await.expect("inserts");
        let task = &tasks[(round * 11) % tasks.len()];
        store.finish(&task.id, 0, &ending(Event::Abort, 5)).await.expect("answers");
    }
    let expected: Vec<TaskId> = tasks.iter().rev().map(|task| task.id.clone()).collect();
    assert_eq!(found, expected);
}

pub async fn ids_are_found_in_any_case(store: Shared) {
    let mut all = Vec::new();
    for id in ["abc", "ABC", "aBc", "abcd"] {
        let mut task = new_task();
        task.id = TaskId::parse(id).expect("an id");
        store.insert(&task).await.expect("inserts");
        all.insert(0, task);
    }
    let query = Query::parse(&json(r#"{"Id": {"op": "EQ", "value": "AbC"}}"#)).expect("a query");
    let found = whole(&*store, Search::new(Arc::new(query), Reader::Everything, 10)).await;
    assert_eq!(found, all[1..]);
}

pub async fn live_progress_and_logs_count(store: Shared) {
    let (idle, busy, ended) = (new_task(), new_task(), new_task());
    for task in [&idle, &busy, &ended] {
        store.insert(task).await.expect("inserts");
        assert!(store.claim(claim(&task.id, 0, 5)).await.expect("claims"));
    }
    assert!(store.finish(&ended.id, 1, &ending(Event::Fail, 9)).await.expect("finishes"));
    let text = r#"{"Progress": {"op": "GT", "value": 40}, "Output": {"op": "LIKE", "value": "half"}}"#;
    let query = Arc::new(Query::parse(&json(text)).expect("a query"));
    let (id, text) = (busy.id.clone(), "{\"message\":\"half way\"}\n".to_owned());
    let mut search = Search::new(query, Reader::Everything, 10);
    assert_eq!(whole(&*store, search.clone()).await, []);
    search.live = Some(Arc::new(move |task: &mut Task| {
        assert!(!task.state.is_final());
        task.progress = (task.id == id).then_some(50.0);
        (task.id == id).then(|| text.clone())
    }));
    for field in [Field::CreationTime, Field::Progress] {
        search.order.field = field;
        let found = whole(&*store, search.clone()).await;
        assert_eq!((ids(&found), found[0].progress), (vec![busy.id.as_str()], Some(50.0)));
    }
}

pub async fn permissions_come_back_as_they_were(store: Shared) {
    let mut runner = TestRunner::deterministic();
    for _ in 0..50 {
        let mut task = new_task();
        task.permission = permission().new_tree(&mut runner).expect("a permission").current();
        store.insert(&task).await.expect("inserts");
        assert_eq!(stored(&*store, &task.id).await.permission, task.permission);
    }
}

pub async fn removed_tasks_are_not_found(store: Shared) {
    let known = filled(&*store, &mut TestRunner::deterministic(), 60).await;
    while store.purge(at(i64::MAX), at(i64::MAX)).await.expect("purges") > 0 {}
    let mut left: Vec<Task> =
        known.into_iter().map(|(_, task, _)| task).filter(|task| !task.state.is_final()).collect();
    left.reverse();
    assert_eq!(whole(&*store, Search::new(Arc::default(), Reader::Everything, 9)).await, left);
}

/// For stores whose searches are bounded in time, as those of all real ones are.
pub async fn unordered_scans_are_bounded(store: Shared) {
    for _ in 0..5 {
        store.insert(&new_task()).await.expect("inserts");
    }
    let mut search = Search::new(Arc::default(), Reader::Everything, 2);
    (search.order.field, search.budget) = (Field::Name, Duration::ZERO);
    let fault = store.search(search).await.expect_err("no budget");
    assert!(matches!(fault, StoreError::TooBroad("Name")), "{fault}");
}

/// For stores whose pages are bounded in bytes, as those of all real ones are.
pub async fn pages_are_cut_by_their_bytes(store: Shared) {
    let large = Json::from_serialize(&"x".repeat(PAGE_BYTES / 2)).expect("JSON");
    for _ in 0..5 {
        let task = new_task();
        store.insert(&task).await.expect("inserts");
        let end = crate::task::Ending { result: Some(large.clone()), ..ending(Event::Abort, 5) };
        assert!(store.finish(&task.id, 0, &end).await.expect("finishes"));
    }
    for field in [Field::CreationTime, Field::Name] {
        let everything = Search::new(Arc::default(), Reader::Everything, 100);
        let mut search = Search { order: Order { field, descending: true }, ..everything };
        let page = store.search(search.clone()).await.expect("answers");
        assert_eq!(page.tasks.len(), 2);
        search.after = page.next;
        assert_eq!(whole(&*store, search).await.len(), 3);
    }
}
