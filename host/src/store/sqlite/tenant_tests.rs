//! Owns the tests of what the SQLite store keeps of tenants beside tasks and variables, and of its way there from older
//! tables. Must not repeat the conformance suite.

use super::schema::{APPLICATION, NEWEST, STEPS};
use super::tests::{ending, open, task};
use super::{SqliteStore, deeds, purge, schema};
use crate::clock::Timestamp;
use crate::metrics::Metrics;
use crate::store::registry::{
    AUDIT_ENTRIES, Added, Deed, DeedFilter, Plugin, PluginQuota, Registry, TENANT_AUDIT_ENTRIES,
};
use crate::store::{PURGE_BATCH, Store, StoreUrl, TenantUse};
use crate::task::state::Event;
use crate::task::{Ending, Invocation};
use crate::value::Json;
use rusqlite::Connection;
use std::sync::Arc;
use tempfile::TempDir;

fn in_memory() -> SqliteStore {
    SqliteStore::open(&StoreUrl::SqliteMemory, &Metrics::default()).expect("opens")
}

fn deed(tenant: Option<&str>, at: i64, action: &str) -> Deed {
    let (by, action) = (Some(format!("user-{}", at % 2)), action.to_owned());
    Deed { at: Timestamp(at), tenant: tenant.map(Into::into), by, from: None, action, status: 200, detail: None }
}

async fn numbers(store: &SqliteStore, filter: DeedFilter) -> Vec<u64> {
    store.deeds(filter, 9).await.expect("reads").into_iter().map(|deed| deed.number).collect()
}

/// Whether the rows of use equal a recount.
async fn assert_exact(store: &SqliteStore) {
    let recount = "
        SELECT (SELECT group_concat(space || '=' || tasks || ',' || variables || ',' || deeds, ' ') FROM
                    (SELECT * FROM uses ORDER BY space)),
               (SELECT group_concat(space || '=' || tasks || ',' || variables || ',' || deeds, ' ') FROM
                    (SELECT space, sum(task) tasks, sum(variable) variables, sum(deed) deeds FROM
                        (SELECT space, 1 task, 0 variable, 0 deed FROM charges
                         UNION ALL SELECT space, 0, 1, 0 FROM variables UNION ALL SELECT space, 0, 0, 1 FROM deeds)
                     GROUP BY space ORDER BY space))";
    let counted = store.writer.ask(0, move |on| {
        on.query_row(recount, [], |row| Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?)))
    });
    let (kept, recounted) = counted.await.expect("reads");
    assert_eq!(kept, recounted);
}

#[tokio::test]
async fn a_store_of_the_version_before_is_counted_once() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s.db");
    let old = Connection::open(&path).expect("opens");
    STEPS[..4].iter().try_for_each(|step| old.execute_batch(step)).expect("the tables of version 4");
    old.pragma_update(None, "application_id", APPLICATION).expect("writes");
    old.pragma_update(None, "user_version", 4).expect("writes");
    old.execute_batch(
        "INSERT INTO variables VALUES ('plain', 7, '1'), ('acme:a', 2, '\"ä\"'), ('acme:b:c', 1, 'null'), (':x', 1, '0');
         INSERT INTO deeds (at, action, status) VALUES (1, 'PUT /-/routes/a', 200), (2, 'PUT /-/routes/b', 200);",
    )
    .expect("what was there");
    drop(old);
    let store = open(&path).expect("migrates");
    let of = |name: &str, variables, variable_bytes| TenantUse {
        name: name.into(),
        tasks: 0,
        bytes: 0,
        variables,
        variable_bytes,
    };
    assert_eq!(store.usage().await.expect("reads"), [of("", 1, 3), of("acme", 2, 10 + 12)]);
    assert_exact(&store).await;
    assert_eq!(store.set_variable("plain".into(), Json::null(), u64::MAX).await, Ok(8));
    assert_eq!(numbers(&store, DeedFilter::default()).await, [2, 1]);
    store.note_deed(deed(Some("acme"), 3, "PUT /-/routes/c")).await.expect("notes");
    assert_eq!(numbers(&store, DeedFilter::default()).await, [3, 2, 1]);
    assert_exact(&store).await;
    let version = store.writer.ask(0, |on| on.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)));
    assert_eq!(usize::try_from(version.await.expect("reads")), Ok(NEWEST));
}

#[tokio::test]
async fn deeds_are_found_by_what_they_were() {
    let store = in_memory();
    let about = [
        (None, 10, "PUT /-/a"),
        (Some("a"), 20, "DELETE /-/a"),
        (Some("b"), 31, "PUT /-/B"),
        (Some("a"), 41, "PUT /-/c"),
    ];
    for (tenant, at, action) in about {
        store.note_deed(deed(tenant, at, action)).await.expect("notes");
    }
    let all = DeedFilter::default;
    let of = |tenant: &str| DeedFilter { tenant: Some(tenant.into()), ..all() };
    let found = store.deeds(of("b"), 9).await.expect("reads");
    assert_eq!(found[0].deed, deed(Some("b"), 31, "PUT /-/B"), "it comes back as it was");
    assert_eq!(store.deeds(all(), 1).await.expect("reads")[0].number, 4);
    assert_eq!(
        store.deeds(DeedFilter { before: 2, ..all() }, 9).await.expect("reads")[0].deed,
        deed(None, 10, "PUT /-/a")
    );
    let moment = |at| Some(Timestamp(at));
    for (filter, expected) in [
        (all(), vec![4, 3, 2, 1]),
        (of("a"), vec![4, 2]),
        (DeedFilter { before: 4, ..of("a") }, vec![2]),
        (of("A"), vec![]),
        (of(""), vec![]),
        (DeedFilter { by: Some("user-1".into()), ..all() }, vec![4, 3]),
        (DeedFilter { by: Some("user-0".into()), ..of("a") }, vec![2]),
        (DeedFilter { action: Some("PUT".into()), ..all() }, vec![4, 3, 1]),
        (DeedFilter { action: Some("/-/b".into()), ..all() }, vec![]),
        (DeedFilter { action: Some("%".into()), ..all() }, vec![]),
        (DeedFilter { since: moment(20), until: moment(41), ..all() }, vec![3, 2]),
        (DeedFilter { since: moment(21), ..of("a") }, vec![4]),
    ] {
        assert_eq!(numbers(&store, filter.clone()).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn no_tenants_deeds_push_out_anothers() {
    let store = in_memory();
    store.note_deed(deed(None, 0, "host")).await.expect("notes");
    store.note_deed(deed(Some("b"), 0, "other")).await.expect("notes");
    let fill = |tenant: &'static str, count: u32| {
        let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
                   INSERT INTO deeds (at, action, status, space) SELECT i, 'filled', 200, ?1 FROM n";
        store.writer.ask(0, move |on| on.execute(sql, (tenant, count)))
    };
    fill("a:", TENANT_AUDIT_ENTRIES).await.expect("fills");
    store.note_deed(deed(Some("a"), 5, "PUT /-/a")).await.expect("notes");
    let of_a = DeedFilter { tenant: Some("a".into()), ..DeedFilter::default() };
    assert_eq!(numbers(&store, of_a.clone()).await[0], u64::from(TENANT_AUDIT_ENTRIES) + 3);
    assert!(numbers(&store, DeedFilter { before: 4, ..of_a }).await.is_empty(), "its oldest went");
    assert_eq!(numbers(&store, DeedFilter { before: 4, ..DeedFilter::default() }).await, [2, 1], "and no other");
    fill("", AUDIT_ENTRIES).await.expect("fills");
    store.note_deed(deed(None, 9, "PUT /-/b")).await.expect("notes");
    assert_eq!(numbers(&store, DeedFilter { before: 4, ..DeedFilter::default() }).await, [2]);
    assert_exact(&store).await;
}

#[tokio::test]
async fn deeds_go_by_time_and_in_batches() {
    let store = in_memory();
    for at in 0..i64::from(PURGE_BATCH) + 20 {
        let tenant = [None, Some("a"), Some("b")][usize::try_from(at % 3).expect("small")];
        store.note_deed(deed(tenant, at, "PUT")).await.expect("notes");
    }
    let before = Timestamp(i64::from(PURGE_BATCH) + 10);
    assert_eq!(store.purge_deeds(before).await.expect("purges"), PURGE_BATCH);
    assert_eq!(store.purge_deeds(before).await.expect("purges"), 10);
    assert_eq!(store.purge_deeds(before).await.expect("purges"), 0);
    assert_exact(&store).await;
    assert_eq!(store.purge_deeds(Timestamp(i64::MAX)).await.expect("purges"), 10);
    assert_exact(&store).await;
}

#[tokio::test]
async fn a_tenants_plugins_have_their_room() {
    let store = in_memory();
    let add = |name: &str, version: &str, size, most| {
        let (digest, created) = (version.into(), Timestamp(1));
        let plugin =
            Plugin { name: name.into(), version: version.into(), digest, size, created, by: None, signer: None };
        store.add_plugin(plugin, most)
    };
    let most = PluginQuota { versions: 2, bytes: 100 };
    assert_eq!(add("a:x", "1", 60, most).await.expect("adds"), Added::New);
    let full =
        Added::Full("the plugins of a take 60 bytes and this one has 41, and all may take 100: remove some".into());
    assert_eq!(add("a:y", "1", 41, most).await.expect("answers"), full);
    assert_eq!(add("a:y", "1", 40, most).await.expect("adds"), Added::New);
    let full = Added::Full("a has 2 versions of plugins, and may have 2: remove some".into());
    assert_eq!(add("a:x", "2", 0, most).await.expect("answers"), full);
    assert!(matches!(add("a:x", "1", 60, most).await.expect("answers"), Added::Same(_)), "it is there already");
    for other in ["ab:x", "a", "host", "host2", "host3"] {
        assert_eq!(add(other, "1", 60, most).await.expect("adds"), Added::New, "{other} is not a's");
    }
    assert_eq!(store.remove_plugin("a:x", None).await.expect("removes"), 1);
    assert_eq!(add("a:x", "2", 60, most).await.expect("adds"), Added::New, "there is room again");
}

#[tokio::test]
async fn repeated_and_broken_inserts_charge_nothing() {
    let store = in_memory();
    let mut task = task();
    task.invocation = Arc::new(Invocation { tenant: Some("a".into()), ..(*task.invocation).clone() });
    store.insert(&task).await.expect("inserts");
    let used = store.usage().await.expect("reads");
    assert_eq!((used.len(), used[0].tasks), (1, 1));
    let broken = store.writer.ask(0, |on| on.execute("INSERT INTO tasks (seq) VALUES (99)", []).map(drop));
    let (again, broken) = futures_util::join!(store.insert(&task), broken);
    assert!(again.is_err() && broken.is_err());
    assert_eq!(store.usage().await.expect("reads"), used);
    assert_exact(&store).await;
}

#[tokio::test]
async fn a_later_process_charges_on() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s.db");
    let mut task = task();
    task.invocation = Arc::new(Invocation { tenant: Some("a".into()), ..(*task.invocation).clone() });
    open(&path).expect("opens").insert(&task).await.expect("inserts");
    let store = open(&path).expect("opens again");
    let before = store.usage().await.expect("reads")[0].bytes;
    let end = Ending { error: Some("x".repeat(50).into()), ..ending() };
    assert!(store.finish(&task.id, 0, &Ending { event: Event::Abort, result: None, ..end }).await.expect("finishes"));
    assert_eq!(store.usage().await.expect("reads")[0].bytes, before + 50);
    assert_eq!(store.evict("a", 0).await.expect("evicts"), 1);
}

#[test]
fn what_goes_is_found_without_a_scan() {
    let mut connection = Connection::open_in_memory().expect("opens");
    schema::prepare(&mut connection).expect("tables");
    let names = "SELECT name FROM variables WHERE name >= ?1 AND name < ?2 ORDER BY name".to_owned();
    let statements =
        [purge::ENDED.to_owned(), deeds::OLDEST.to_owned(), deeds::OLD.to_owned(), deeds::wanted(true), names];
    for sql in statements {
        let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
        let count = explained.parameter_count();
        let steps = explained.query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get(3));
        let steps: Vec<String> = steps.expect("explains").map(|step| step.expect("a step")).collect();
        assert!(
            steps[0].starts_with("SEARCH ")
                && steps.iter().all(|step| !step.contains("TEMP B-TREE") && !step.starts_with("SCAN")),
            "{sql}: {steps:?}"
        );
    }
}
