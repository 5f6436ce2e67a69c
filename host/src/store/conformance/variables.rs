//! Owns the part of the suite about shared variables. Must not know which database is behind the store.

use super::{Shared, json};
use crate::executor::{VariableError, Versioned};
use crate::store::{MAX_NAME, MAX_VALUE, MAX_VARIABLES, Store, StoreError};
use crate::value::Json;
use std::sync::Arc;

async fn read(store: &dyn Store, name: &str) -> Option<Versioned> {
    store.variable(name.into()).await.expect("reads")
}

pub async fn versions_count_from_one(store: Shared) {
    assert_eq!(read(&*store, "a").await, None);
    for version in 1..4 {
        assert_eq!(store.set_variable("a".into(), json(&version.to_string())).await, Ok(version));
    }
    assert_eq!(store.update_variable("a".into(), Some(3), json("{\"b\": 1.0}")).await, Ok(4));
    assert_eq!(read(&*store, "a").await, Some(Versioned { value: json("{\"b\": 1.0}"), version: 4 }));
    for name in ["ä", "B", "a b\0", "A"] {
        assert_eq!(store.update_variable(name.into(), None, Json::null()).await, Ok(1));
    }
    assert_eq!(store.variable_names().await.expect("reads"), ["A", "B", "a", "a b\0", "ä"]);
}

pub async fn a_conflict_names_the_stored_version(store: Shared) {
    let update = |expected, value| store.update_variable("a".into(), expected, json(value));
    assert_eq!(update(Some(1), "1").await, Err(VariableError::Conflict(0)));
    assert_eq!(update(Some(0), "1").await, Err(VariableError::Conflict(0)));
    assert_eq!(update(None, "1").await, Ok(1));
    assert_eq!(update(None, "2").await, Err(VariableError::Conflict(1)));
    assert_eq!(update(Some(u64::MAX), "2").await, Err(VariableError::Conflict(1)));
    assert_eq!(read(&*store, "a").await, Some(Versioned { value: json("1"), version: 1 }));
}

pub async fn concurrent_increments_add_up(store: Shared) {
    async fn increment(store: &dyn Store) {
        loop {
            let found = read(store, "sum").await;
            let sum: u64 = found.as_ref().map_or(0, |found| found.value.as_str().parse().expect("a number"));
            let expected = found.map(|found| found.version);
            match store.update_variable("sum".into(), expected, json(&(sum + 1).to_string())).await {
                Ok(_) => return,
                Err(VariableError::Conflict(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
    let tasks = (0..16).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..8 {
                increment(&*store).await;
            }
        })
    });
    for task in futures_util::future::join_all(tasks).await {
        task.expect("no panic");
    }
    assert_eq!(read(&*store, "sum").await, Some(Versioned { value: json("128"), version: 128 }));
}

pub async fn initial_values_never_overwrite(store: Shared) {
    store.set_variable("a".into(), json("1")).await.expect("writes");
    let initial = [("a", "2"), ("b", "3"), ("b", "4")].map(|(name, value)| (name.to_owned(), json(value)));
    for _ in 0..2 {
        store.init_variables(initial.to_vec()).await.expect("writes");
        assert_eq!(read(&*store, "a").await, Some(Versioned { value: json("1"), version: 1 }));
        assert_eq!(read(&*store, "b").await, Some(Versioned { value: json("3"), version: 1 }));
    }
}

pub async fn initial_values_are_written_all_or_none(store: Shared) {
    let with_a_fault = vec![("a".to_owned(), Json::null()), (String::new(), Json::null())];
    let answer = store.init_variables(with_a_fault).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    let too_many = (0..=MAX_VARIABLES).map(|number| (format!("n{number}"), Json::null()));
    assert!(store.init_variables(too_many.collect()).await.is_err());
    assert_eq!(store.variable_names().await.expect("reads"), Vec::<String>::new());
}

pub async fn limits_are_named(store: Shared) {
    let refusal = async |name: &str, value: Json| match store.set_variable(name.into(), value.clone()).await {
        Err(VariableError::Limit(text)) => {
            let update = store.update_variable(name.into(), None, value).await;
            assert_eq!(update, Err(VariableError::Limit(text.clone())));
            text
        }
        other => panic!("{name:.9}: {other:?}"),
    };
    let value_of = |bytes: usize| Json::from_serialize(&"x".repeat(bytes - 2)).expect("JSON");
    assert_eq!(store.set_variable("n".repeat(MAX_NAME), value_of(MAX_VALUE)).await, Ok(1));
    assert!(refusal("", Json::null()).await.contains("1 to 128 bytes"));
    assert!(refusal(&"ä".repeat(65), Json::null()).await.contains("this one has 130"));
    assert!(refusal("large", value_of(MAX_VALUE + 1)).await.contains("at most 1048576 bytes"));

    let rest = (1..MAX_VARIABLES).map(|number| (format!("n{number}"), Json::null()));
    store.init_variables(rest.collect()).await.expect("fills the store");
    assert!(refusal("one more", Json::null()).await.contains("at most 10000 variables"));
    assert_eq!(store.set_variable("n1".into(), json("1")).await, Ok(2), "those there are can still be written");
}
