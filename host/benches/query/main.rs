//! `cargo bench --bench query`: what a page of a query costs beside 1,000,000 finished tasks.
//!
//! The tasks are made through the store, as the server makes them, by 100 users; each belongs to its user and to the
//! group of operators, one of 100,000 to the auditors too. `cargo bench --bench query -- 200000` takes fewer.
// A benchmark that cannot go on stops; its output is its purpose.
#![allow(clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing, missing_docs)]

use sandpool::clock::Timestamp;
use sandpool::ids::{IdScheme, TaskId};
use sandpool::metrics::Metrics;
use sandpool::principal::Principal;
use sandpool::store::sqlite::SqliteStore;
use sandpool::store::{Claim, Page, Reader, Search, Store, StoreUrl};
use sandpool::task::access::{Allowed, Permission};
use sandpool::task::query::Query;
use sandpool::task::query::order::Order;
use sandpool::task::state::Event;
use sandpool::task::{Ending, Invocation, Request, Task};
use sandpool::value::Json;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LANES: usize = 256;
/// One microsecond after another: the tasks' times.
const SECOND: i64 = 1_000_000;

#[tokio::main]
async fn main() {
    let count = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000_000);
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("bench.db");
    let store = Arc::new(SqliteStore::open(&StoreUrl::SqliteFile(path.clone()), &Metrics::default()).expect("opens"));
    fill(&store, count).await;
    let size = std::fs::metadata(&path).map_or(0, |file| file.len() / 1_000_000);
    println!("{count} finished tasks, 200 running, 1,000 waiting; {size} MB");
    pages(&store, count).await;
    beside_scans(&store).await;
}

fn task(number: usize) -> Task {
    let request = Request {
        method: "PUT".into(),
        url: format!("http://localhost:8080/orders/{number}?dry=false"),
        path_parameters: vec![("id".into(), number.to_string())],
        query: vec![("dry".into(), "false".into())],
        headers: vec![("content-type".into(), "application/json".into()), ("user-agent".into(), "curl/8.5.0".into())],
    };
    let owner = user(&format!("user-{}", number % 100), None);
    let input = Json::parse(r#"{"amount": 3, "note": "leave it at the door"}"#.into()).expect("JSON");
    let mut readers = vec!["Operators".to_owned()];
    if number.is_multiple_of(100_000) {
        readers.push("Auditors".into());
    }
    let read = Allowed { groups: readers, ..Allowed::default() };
    let permission = Permission::of_task(&Permission { read, write: Allowed::default() }, Some(&owner));
    let name = format!("__Put_orders{}_{{id}}__", number % 20);
    let created = Timestamp(i64::try_from(number).unwrap_or(0) * SECOND);
    let invocation =
        Invocation { input, request, user: Some(owner), tenant: None, traceparent: None, sse: None, callback: None };
    let mut task = Task::new(IdScheme::Uuid.generate(), name.into(), created, Arc::new(invocation));
    task.permission = permission.map(Arc::new);
    task
}

fn user(id: &str, group: Option<&str>) -> Principal {
    Principal { id: id.into(), groups: group.map(str::to_owned).into_iter().collect(), ..Principal::default() }
}

/// Finished tasks, one of 50 failed; then those that are open, in the middle of which everybody has some.
async fn fill(store: &Arc<SqliteStore>, count: usize) {
    let begun = Instant::now();
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for number in (lane..count).step_by(LANES) {
                    let task = task(number);
                    store.insert(&task).await.expect("inserts");
                    claim(&store, &task.id).await;
                    assert!(store.finish(&task.id, 1, &ending(number)).await.expect("finishes"));
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.expect("no panic");
    }
    for number in 0..1_200 {
        let task = task(count + number);
        store.insert(&task).await.expect("inserts");
        if number.is_multiple_of(6) {
            claim(store, &task.id).await;
        }
    }
    println!("filled in {:.0} s", begun.elapsed().as_secs_f64());
}

async fn claim(store: &SqliteStore, id: &TaskId) {
    let claim = Claim {
        id: id.clone(),
        attempts_before: 0,
        at: Timestamp(5),
        slot: "host-1/orders/0".into(),
        events: Vec::new(),
    };
    assert!(store.claim(claim).await.expect("claims"));
}

fn ending(number: usize) -> Ending {
    let failed = number.is_multiple_of(50);
    Ending {
        event: if failed { Event::Fail } else { Event::Complete },
        at: Timestamp(i64::try_from(number).unwrap_or(0) * SECOND + 5),
        result: (!failed).then(|| Json::parse(r#"{"ok": true}"#.into()).expect("JSON")),
        error: failed.then(|| if number == 50 { "the needle" } else { "the disk is full" }.into()),
        progress: (!failed).then_some(100.0),
        log: "{\"at\":\"1970-01-01T00:00:00Z\",\"level\":\"info\",\"message\":\"step 1\"}\n".into(),
        events: Vec::new(),
    }
}

fn search(query: &str, reader: &Reader, order: &str) -> Search {
    let query = Query::parse(&Json::parse(query.into()).expect("JSON")).expect("a query");
    let order = Order::parse(order).expect("an order");
    Search { order, ..Search::new(Arc::new(query), reader.clone(), 100) }
}

async fn pages(store: &SqliteStore, count: usize) {
    let caller = |id: &str, group| Reader::Caller(Some(user(id, group)));
    let (user, auditor, operator) =
        (caller("user-8", None), caller("x", Some("auditors")), caller("y", Some("operators")));
    let running = r#"{"State": {"op": "EQ", "value": "Running"}}"#;
    let users = r#"{"State": {"op": "EQ", "value": "Running"}, "User": {"op": "EQ", "value": "USER-8"}}"#;
    let failed = r#"{"State": {"op": "EQ", "value": "Failed"}, "Name": {"op": "EQ", "value": "__put_orders0_{id}__"}}"#;
    let old = format!(r#"{{"CreationTime": {{"op": "LT", "value": "{}"}}}}"#, Timestamp(SECOND * 100));
    let needle = r#"{"Error": {"op": "LIKE", "value": "needle"}}"#;
    let output = r#"{"Output": {"op": "LIKE", "value": "nothing like it"}}"#;
    let newest = "-CreationTime";
    println!("{:<58} {:>6} {:>9} {:>9} {:>6}", "first page of 100", "tasks", "p50 ms", "p99 ms", "next");
    for (what, query, reader, order, rounds) in [
        ("a user's Running, as the user", running, &user, newest, 500),
        ("a user's Running, by User EQ, as an operator", users, &operator, newest, 500),
        ("Running, as one who reads all", running, &operator, newest, 500),
        ("{}, as the user (1 of 100)", "{}", &user, newest, 500),
        ("{}, as one who reads 1 of 100,000", "{}", &auditor, newest, 500),
        ("{}, as one who reads all", "{}", &operator, newest, 500),
        ("{}, as an administrator", "{}", &Reader::Everything, newest, 500),
        ("{}, oldest first, as one who reads all", "{}", &operator, "CreationTime", 500),
        ("State EQ Failed and Name EQ, as one who reads all", failed, &operator, newest, 500),
        ("State EQ Failed and Name EQ, as the auditor", failed, &auditor, newest, 500),
        (
            "State EQ Failed, as one who reads all",
            r#"{"State": {"op": "EQ", "value": "Failed"}}"#,
            &operator,
            newest,
            500,
        ),
        ("{}, by Name, as the auditor", "{}", &auditor, "Name", 100),
        ("{}, by Progress, as the user (1 of 100)", "{}", &user, "-Progress", 20),
        ("CreationTime LT: the oldest 100, budget 500 ms", old.as_str(), &operator, newest, 5),
        ("Error LIKE: 1 of all, budget 500 ms", needle, &operator, newest, 5),
        ("Output LIKE: none, budget 500 ms", output, &operator, newest, 5),
    ] {
        measure(store, what, search(query, reader, order), rounds).await;
    }
    let everything = search(needle, &Reader::Everything, newest);
    let (begun, mut pages, mut next) = (Instant::now(), 0, None);
    loop {
        let page = store.search(Search { after: next, ..everything.clone() }).await.expect("answers");
        pages += 1;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    println!("Error LIKE to the end of {count}: {pages} pages, {:.1} s", begun.elapsed().as_secs_f64());
}

async fn measure(store: &SqliteStore, what: &str, search: Search, rounds: usize) {
    let (mut times, mut last) = (Vec::with_capacity(rounds), None);
    for _ in 0..rounds {
        let begun = Instant::now();
        let page = store.search(search.clone()).await;
        times.push(begun.elapsed());
        last = Some(page);
    }
    let (p50, p99) = quantiles(&mut times);
    match last {
        Some(Ok(Page { tasks, next })) => {
            let next = if next.is_some() { "yes" } else { "no" };
            println!("{what:<58} {:>6} {p50:>9.2} {p99:>9.2} {next:>6}", tasks.len());
        }
        Some(Err(error)) => println!("{what:<58} {p50:>16.2} {p99:>9.2} {error}"),
        None => {}
    }
}

fn quantiles(times: &mut [Duration]) -> (f64, f64) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    (at(50), at(99))
}

/// Point reads and inserts while eight callers scan everything.
async fn beside_scans(store: &Arc<SqliteStore>) {
    let scans: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let search =
                    search(r#"{"Output": {"op": "LIKE", "value": "zzz"}}"#, &Reader::Everything, "-CreationTime");
                loop {
                    store.search(search.clone()).await.expect("answers");
                }
            })
        })
        .collect();
    let (mut reads, mut inserts) = (Vec::new(), Vec::new());
    for number in 0..200 {
        let task = task(number);
        let begun = Instant::now();
        store.insert(&task).await.expect("inserts");
        inserts.push(begun.elapsed());
        let begun = Instant::now();
        store.get(&task.id).await.expect("reads");
        reads.push(begun.elapsed());
    }
    scans.iter().for_each(tokio::task::JoinHandle::abort);
    let (read, insert) = (quantiles(&mut reads), quantiles(&mut inserts));
    println!(
        "beside 8 scans: get p50 {:.2} p99 {:.2} ms, insert p50 {:.2} p99 {:.2} ms",
        read.0, read.1, insert.0, insert.1
    );
}
