//! Owns the tests of what only the SQLite store promises: batches, the file, its lock and its recovery.
//! Must not repeat the conformance suite.

use super::SqliteStore;
use super::schema::{APPLICATION, NEWEST};
use crate::clock::Timestamp;
use crate::ids::IdScheme;
use crate::metrics::Metrics;
use crate::principal::Principal;
use crate::store::conformance::{Shared, outbox, search, suite};
use crate::store::events::EVENTS_BYTES;
use crate::store::{Claim, Note, Outbox, Scope, Store, StoreError, StoreUrl, Submission};
use crate::task::access::{Allowed, Permission};
use crate::task::event::TaskEvent;
use crate::task::state::Event;
use crate::task::{Ending, Invocation, Request, Sse, Task};
use crate::value::Json;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

suite!(file, super::in_a_file());
suite!(memory, super::in_memory());

#[tokio::test]
async fn searches_are_bounded() {
    search::unordered_scans_are_bounded(in_memory().await.0).await;
    search::pages_are_cut_by_their_bytes(in_memory().await.0).await;
}

async fn in_a_file() -> (Shared, TempDir) {
    let folder = TempDir::new().expect("a folder");
    (Arc::new(open(&folder.path().join("s.db")).expect("opens")), folder)
}

async fn in_memory() -> (Shared, ()) {
    (Arc::new(SqliteStore::open(&StoreUrl::SqliteMemory, &Metrics::default()).expect("opens")), ())
}

pub(super) fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(&StoreUrl::SqliteFile(path.to_owned()), &Metrics::default())
}

/// The text of the refusal, after checking that it names the file and what to do.
fn refusal(path: &Path) -> String {
    match open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(StoreError::Open(text)) => {
            assert!(text.contains(path.to_str().expect("UTF-8")) && text.contains("`store.url`"), "{text}");
            text
        }
        Err(other) => panic!("{other}"),
    }
}

pub(super) fn task() -> Task {
    let request = Request {
        method: "PUT".into(),
        url: "http://localhost:8080/orders/17?dry=false".into(),
        path_parameters: vec![("id".into(), "17".into())],
        query: vec![("dry".into(), "false".into())],
        headers: vec![("content-type".into(), "application/json".into()), ("user-agent".into(), "curl/8.5.0".into())],
    };
    let input = Json::parse(r#"{"amount": 3, "note": "leave it at the door"}"#.into()).expect("JSON");
    let invocation =
        Invocation { input, request, user: None, tenant: None, traceparent: None, sse: None, callback: None };
    Task::new(IdScheme::Uuid.generate(), "__Put_orders_{id}__".into(), Timestamp(1), Arc::new(invocation))
}

pub(super) fn ending() -> Ending {
    let result = Some(Json::parse(r#"{"ok": true}"#.into()).expect("JSON"));
    Ending {
        event: Event::Complete,
        at: Timestamp(9),
        result,
        error: None,
        progress: Some(100.0),
        log: String::new(),
        events: Vec::new(),
    }
}

fn claim(task: &Task) -> Claim {
    let (id, slot) = (task.id.clone(), "host-1/orders/0".into());
    Claim { id, attempts_before: 0, at: Timestamp(5), slot, events: Vec::new() }
}

async fn whole_life(store: &SqliteStore, task: &Task) {
    store.insert(task).await.expect("inserts");
    assert!(store.claim(claim(task)).await.expect("claims"));
    assert!(store.finish(&task.id, 1, &ending()).await.expect("finishes"));
}

#[tokio::test]
async fn concurrent_inserts_share_a_transaction_and_a_lone_one_has_its_own() {
    let folder = TempDir::new().expect("a folder");
    let store = open(&folder.path().join("s.db")).expect("opens");
    store.insert(&task()).await.expect("inserts");
    assert_eq!((store.batches(), store.operations()), (1, 1));
    let tasks: Vec<Task> = (0..64).map(|_| task()).collect();
    let answers = futures_util::future::join_all(tasks.iter().map(|task| store.insert(task))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(store.operations(), 65);
    assert!(store.batches() <= 1 + 8, "{} transactions", store.batches());
}

#[tokio::test]
async fn a_broken_operation_fails_alone() {
    let store = SqliteStore::open(&StoreUrl::SqliteMemory, &Metrics::default()).expect("opens");
    let broken = store.writer.ask(0, |on| {
        on.execute("UPDATE tasks SET name = 'changed'", [])?;
        on.execute("INSERT INTO tasks (seq) VALUES (1)", []).map(drop)
    });
    let (before, after) = (task(), task());
    let (one, two, three) = futures_util::join!(store.insert(&before), broken, store.insert(&after));
    assert!(one.is_ok() && three.is_ok());
    assert!(two.expect_err("breaks a constraint").to_string().contains("NOT NULL"));
    assert_eq!(store.open_tasks().await.expect("reads"), [before, after]);
}

#[tokio::test]
async fn a_failed_commit_fails_the_whole_batch_and_the_next_one_works() {
    let store = SqliteStore::open(&StoreUrl::SqliteMemory, &Metrics::default()).expect("opens");
    let break_commit = store.writer.ask(0, |on| {
        on.execute_batch(
            "CREATE TABLE IF NOT EXISTS a (id INTEGER PRIMARY KEY);
             CREATE TABLE IF NOT EXISTS b (a INTEGER REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED);
             INSERT INTO b VALUES (1)",
        )
    });
    let lost = task();
    let (insert, broken) = futures_util::join!(store.insert(&lost), break_commit);
    assert!(matches!(broken, Err(StoreError::Unavailable(_))));
    // The two share a transaction unless the writer was quick enough to commit the first alone.
    assert_eq!(store.get(&lost.id).await.expect("reads").is_some(), insert.is_ok());
    store.insert(&task()).await.expect("the writer goes on");
}

#[tokio::test]
async fn what_was_answered_survives_a_drop_and_is_one_file() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s.db");
    let store = open(&path).expect("opens");
    let (ended, waiting) = (task(), task());
    whole_life(&store, &ended).await;
    store.insert(&waiting).await.expect("inserts");
    drop(store);
    assert!(!folder.path().join("s.db-wal").exists(), "the WAL was emptied");
    let store = open(&path).expect("opens again");
    assert_eq!(store.get(&ended.id).await.expect("reads").expect("is there").completed, Some(Timestamp(9)));
    assert_eq!(store.open_tasks().await.expect("reads"), [waiting]);
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_was_answered() {
    let folder = TempDir::new().expect("a folder");
    let store = open(&folder.path().join("s.db")).expect("opens");
    let (ended, waiting) = (task(), task());
    whole_life(&store, &ended).await;
    store.insert(&waiting).await.expect("inserts");
    // What lies on the disk at this moment is what a killed process leaves behind.
    let left = TempDir::new().expect("a folder");
    for name in ["s.db", "s.db-wal"] {
        std::fs::copy(folder.path().join(name), left.path().join(name)).expect("copies");
    }
    // A torn write at the end of the WAL belongs to no commit.
    let mut wal = std::fs::OpenOptions::new().append(true).open(left.path().join("s.db-wal")).expect("opens");
    std::io::Write::write_all(&mut wal, &[7; 5_000]).expect("writes");
    let recovered = open(&left.path().join("s.db")).expect("recovers");
    assert!(recovered.get(&ended.id).await.expect("reads").is_some());
    assert_eq!(recovered.open_tasks().await.expect("reads"), [waiting]);
}

#[tokio::test]
async fn a_file_belongs_to_one_process_until_it_is_closed() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s.db");
    let store = open(&path).expect("opens");
    assert!(refusal(&path).contains("in use by another process"));
    std::os::unix::fs::symlink(&path, folder.path().join("link.db")).expect("links");
    assert!(open(&folder.path().join("link.db")).is_err(), "a link is no way around the lock");
    store.close().await;
    open(&path).expect("is free");
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s.db");
    drop(open(&path).expect("opens"));
    Connection::open(&path).expect("opens").pragma_update(None, "user_version", 7).expect("writes");
    let before = std::fs::read(&path).expect("reads");
    let text = refusal(&path);
    assert!(text.contains(&format!("its version is 7, and the newest that this program knows is {NEWEST}")), "{text}");
    assert!(text.contains("use a newer sandpool"), "{text}");
    assert_eq!(std::fs::read(&path).expect("reads"), before);
}

#[test]
fn foreign_databases_are_refused_and_left_alone() {
    let folder = TempDir::new().expect("a folder");
    for (name, made_by) in [("tables", "CREATE TABLE theirs (a)"), ("id", "PRAGMA application_id = 5")] {
        let path = folder.path().join(name);
        Connection::open(&path).expect("opens").execute_batch(made_by).expect("writes");
        let before = std::fs::read(&path).expect("reads");
        assert!(refusal(&path).contains("another application"));
        assert_eq!(std::fs::read(&path).expect("reads"), before);
    }
    let text = folder.path().join("text");
    std::fs::write(&text, "listen: 127.0.0.1:8080\n".repeat(100)).expect("writes");
    assert!(refusal(&text).contains("not a SQLite database"));
}

#[test]
fn places_that_cannot_hold_a_store_are_named() {
    let folder = TempDir::new().expect("a folder");
    assert!(refusal(folder.path()).contains("which is a folder"));
    let missing = folder.path().join("missing/s.db");
    assert!(refusal(&missing).contains("create it"));
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("writes");
    assert!(refusal(&file.join("s.db")).contains("is not a folder"));
    // Nobody can make a file there, not even root.
    assert!(refusal(Path::new("/proc/sandpool.db")).contains("cannot be written"));
    // An empty file is as good as none.
    open(&file).expect("opens");
}

#[test]
fn a_store_is_marked_as_ours_and_its_tables_are_sound() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("file:s.db?mode=memory");
    drop(open(&path).expect("a path is no URI"));
    let connection = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).expect("reads");
    assert_eq!(pragma("application_id"), APPLICATION);
    assert_eq!(usize::try_from(pragma("user_version")), Ok(NEWEST));
}

#[tokio::test]
async fn reading_back_stops_sooner_than_reading_what_is_new() {
    let folder = TempDir::new().expect("a folder");
    let store = open(&folder.path().join("s.db")).expect("opens");
    let mut task = task();
    let sse = Some(Sse { url: None, group: None, send_result: false });
    task.invocation = Arc::new(Invocation { sse, ..(*task.invocation).clone() });
    store.insert(&task).await.expect("inserts");
    assert!(store.claim(claim(&task)).await.expect("claims"));
    let large = Json::from_serialize(&"x".repeat(EVENTS_BYTES / 2)).expect("JSON");
    let events = (0..4).map(|_| TaskEvent::custom("large".into(), large.clone())).collect();
    let note = Note { id: task.id, attempt: 1, progress: None, log: None, events, keep: None };
    store.note(vec![note]).await.expect("notes");
    let (new, back) = (store.events(0).await, store.replay(0, Scope::All).await);
    assert_eq!((new.expect("reads").events.len(), back.expect("reads").events.len()), (3, 2), "a state is first");
}

#[tokio::test]
async fn large_purges_are_cut_by_their_bytes() {
    let store = SqliteStore::open(&StoreUrl::SqliteMemory, &Metrics::default()).expect("opens");
    let end = Ending { result: Json::from_serialize(&"x".repeat(8 << 20)).ok(), event: Event::Fail, ..ending() };
    for _ in 0..6 {
        let task = task();
        store.insert(&task).await.expect("inserts");
        assert!(store.finish(&task.id, 0, &end).await.expect("finishes"));
    }
    assert_eq!(store.purge(Timestamp(10), Timestamp(10)).await.expect("purges"), 4);
    assert_eq!(store.purge(Timestamp(10), Timestamp(10)).await.expect("purges"), 2);
}

#[tokio::test]
async fn an_end_in_a_later_process_is_told_too() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s.db");
    let mut task = task();
    let callback = Some(Box::new(outbox::callback("a:80")));
    task.invocation = Arc::new(Invocation { callback, ..(*task.invocation).clone() });
    open(&path).expect("opens").insert(&task).await.expect("inserts");
    let store = open(&path).expect("opens again");
    assert!(store.finish(&task.id, 0, &Ending { event: Event::Abort, ..ending() }).await.expect("finishes"));
    let entered = store.entered(0, 9).await.expect("reads");
    assert_eq!(entered.iter().map(|due| &*due.host).collect::<Vec<_>>(), ["a:80"]);
}

#[tokio::test]
async fn nothing_is_left_of_removed_tasks() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s.db");
    let store = open(&path).expect("opens");
    let allowed = Allowed { users: vec!["U".into()], groups: vec!["Ä".into()], ..Allowed::default() };
    let permission = Permission { read: allowed.clone(), write: allowed };
    for number in 0..3 {
        let mut task = task();
        let owner = Principal { id: "u".into(), ..Principal::default() };
        task.invocation = Arc::new(Invocation { user: Some(owner), ..(*task.invocation).clone() });
        task.permission = (number > 0).then(|| Arc::new(permission.clone()));
        let submission = Submission::of(&task.invocation, "r".into(), number.to_string());
        store.insert_once(&task, submission).await.expect("inserts");
        assert!(store.finish(&task.id, 0, &Ending { event: Event::Abort, ..ending() }).await.expect("finishes"));
    }
    assert_eq!(rows(&path, &["tasks", "invocations", "readers", "submissions"]), [3, 3, 6, 3]);
    assert_eq!(store.purge(Timestamp(99), Timestamp(99)).await.expect("purges"), 3);
    assert_eq!(rows(&path, &["tasks", "invocations", "readers", "submissions", "callbacks", "deliveries"]), [0; 6]);
}

fn rows(path: &Path, tables: &[&str]) -> Vec<i64> {
    let connection = Connection::open(path).expect("opens");
    let count = |table| connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
    tables.iter().map(|table| count(table).expect("counts")).collect()
}
