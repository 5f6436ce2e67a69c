//! Owns the part of the suite about shared variables. Must not know which database is behind the store.

use super::{Shared, json};
use crate::executor::{VariableError, Versioned};
use crate::store::{MAX_NAME, MAX_TENANT_VARIABLES, MAX_VALUE, MAX_VARIABLES, Store, StoreError};
use crate::value::Json;
use std::sync::Arc;

async fn read(store: &dyn Store, name: &str) -> Option<Versioned> {
    store.variable(name.into()).await.expect("reads")
}

pub async fn versions_count_from_one(store: Shared) {
    assert_eq!(read(&*store, "a").await, None);
    for version in 1..4 {
        assert_eq!(store.set_variable("a".into(), json(&version.to_string()), u64::MAX).await, Ok(version));
    }
    assert_eq!(store.update_variable("a".into(), Some(3), json("{\"b\": 1.0}"), u64::MAX).await, Ok(4));
    assert_eq!(read(&*store, "a").await, Some(Versioned { value: json("{\"b\": 1.0}"), version: 4 }));
    for name in ["ä", "B", "a b\0", "A"] {
        assert_eq!(store.update_variable(name.into(), None, Json::null(), u64::MAX).await, Ok(1));
    }
    assert_eq!(store.variable_names(None).await.expect("reads"), ["A", "B", "a", "a b\0", "ä"]);
}

pub async fn a_conflict_names_the_stored_version(store: Shared) {
    let update = |expected, value| store.update_variable("a".into(), expected, json(value), u64::MAX);
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
            match store.update_variable("sum".into(), expected, json(&(sum + 1).to_string()), u64::MAX).await {
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
    store.set_variable("a".into(), json("1"), u64::MAX).await.expect("writes");
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
    assert_eq!(store.variable_names(None).await.expect("reads"), Vec::<String>::new());
}

pub async fn limits_are_named(store: Shared) {
    let refusal = async |name: &str, value: Json| match store.set_variable(name.into(), value.clone(), u64::MAX).await {
        Err(VariableError::Limit(text)) => {
            let update = store.update_variable(name.into(), None, value, u64::MAX).await;
            assert_eq!(update, Err(VariableError::Limit(text.clone())));
            text
        }
        other => panic!("{name:.9}: {other:?}"),
    };
    let value_of = |bytes: usize| Json::from_serialize(&"x".repeat(bytes - 2)).expect("JSON");
    assert_eq!(store.set_variable("n".repeat(MAX_NAME), value_of(MAX_VALUE), u64::MAX).await, Ok(1));
    assert!(refusal("", Json::null()).await.contains("1 to 128 bytes"));
    assert!(refusal(&"ä".repeat(65), Json::null()).await.contains("this one has 130"));
    assert!(refusal("large", value_of(MAX_VALUE + 1)).await.contains("at most 1048576 bytes"));

    let rest = (1..MAX_VARIABLES).map(|number| (format!("n{number}"), Json::null()));
    store.init_variables(rest.collect()).await.expect("fills the store");
    assert!(refusal("one more", Json::null()).await.contains("at most 10000 variables"));
    assert_eq!(
        store.set_variable("n1".into(), json("1"), u64::MAX).await,
        Ok(2),
        "those there are can still be written"
    );
}

async fn refused(store: &dyn Store, name: &str, value: Json, most: u64) -> String {
    match store.set_variable(name.into(), value.clone(), most).await {
        Err(VariableError::Limit(text)) => {
            let expected = read(store, name).await.map(|found| found.version);
            let update = store.update_variable(name.into(), expected, value, most).await;
            assert_eq!(update, Err(VariableError::Limit(text.clone())));
            text
        }
        other => panic!("{name}: {other:?}"),
    }
}

pub async fn variables_are_counted_by_tenant(store: Shared) {
    let of = |tenant: &str, count: u32| {
        let names = (0..count).map(|number| (format!("{tenant}n{number}"), Json::null()));
        names.collect::<Vec<_>>()
    };
    let too_many = store.init_variables(of("a:", MAX_TENANT_VARIABLES + 1)).await;
    assert!(too_many.expect_err("too many").to_string().contains("a may have at most 1000 variables"));
    store.init_variables([of("a:", MAX_TENANT_VARIABLES), of("b:", 3)].concat()).await.expect("writes");
    let text = refused(&*store, "a:x", Json::null(), u64::MAX).await;
    assert_eq!(text, "a may have at most 1000 variables: remove some");
    assert_eq!(store.set_variable("a:n1".into(), json("1"), u64::MAX).await, Ok(2), "those there are can be written");
    assert_eq!(store.set_variable("b:x".into(), json("1"), u64::MAX).await, Ok(1), "nobody else's");
    store.init_variables(of("", MAX_VARIABLES)).await.expect("the host has all of its own");
    assert!(refused(&*store, "x", Json::null(), u64::MAX).await.contains("at most 10000 variables"));
    assert_eq!(store.set_variable("c:x".into(), json("1"), u64::MAX).await, Ok(1), "and tenants have theirs");
    assert_eq!(store.remove_variable("a:n2".into(), None).await, Ok(true));
    assert!(store.set_variable("a:x".into(), json("1"), u64::MAX).await.is_ok(), "there is room again");
}

pub async fn variables_of_a_tenant_share_their_bytes(store: Shared) {
    let value_of = |bytes: usize| Json::from_serialize(&"x".repeat(bytes - 2)).expect("JSON");
    let set = |name: &str, bytes, most| store.set_variable(name.into(), value_of(bytes), most);
    assert_eq!(set("acme:a", 94, 200).await, Ok(1));
    assert_eq!(set("acme:b", 94, 200).await, Ok(1), "200 bytes with the names");
    let text = refused(&*store, "acme:b", value_of(95), 200).await;
    assert!(
        text.starts_with("the variables of acme may take 200 bytes together, names and values, and would take 201")
    );
    assert!(refused(&*store, "acme:c", value_of(2), 200).await.contains("would take 208"));
    assert_eq!(set("acme:b", 94, 10).await, Ok(2), "what does not grow is written, whatever the limit is now");
    assert_eq!(set("acme:b", 50, 10).await, Ok(3));
    assert_eq!(set("acme:c", 38, 200).await, Ok(1), "there is room again");
    for other in ["acme", "acme2:a", "acm:e"] {
        assert_eq!(set(other, 90, 200).await, Ok(1), "another's are counted apart");
    }
    assert!(refused(&*store, "mine", value_of(200), 200).await.starts_with("the variables of the host may take 200"));
    assert_eq!(
        store.update_variable("acme:d".into(), Some(1), value_of(500), 1).await,
        Err(VariableError::Conflict(0))
    );
    let names = async |tenant: &str| store.variable_names(Some(tenant.into())).await.expect("reads");
    assert_eq!(names("acme").await, ["acme:a", "acme:b", "acme:c"]);
    assert_eq!(names("acm").await, ["acm:e"]);
    assert_eq!(names("").await, [""; 0]);
}

pub async fn a_removed_version_never_comes_again(store: Shared) {
    let set = |name: &str| store.set_variable(name.into(), Json::null(), u64::MAX);
    let remove = |name: &str, expected| store.remove_variable(name.into(), expected);
    assert_eq!(remove("a", None).await, Ok(false));
    assert_eq!(remove("a", Some(1)).await, Ok(false));
    for version in 1..=3 {
        assert_eq!(set("a").await, Ok(version));
    }
    assert_eq!(remove("a", Some(2)).await, Err(VariableError::Conflict(3)));
    assert_eq!(remove("a", Some(3)).await, Ok(true));
    assert_eq!(read(&*store, "a").await, None);
    assert_eq!(remove("a", None).await, Ok(false));
    assert_eq!(store.update_variable("a".into(), Some(3), Json::null(), 99).await, Err(VariableError::Conflict(0)));
    assert_eq!(store.update_variable("a".into(), None, Json::null(), 99).await, Ok(4));
    store.init_variables(vec![("b".into(), Json::null())]).await.expect("writes");
    assert_eq!(read(&*store, "b").await.map(|found| found.version), Some(4), "above all that were removed");
    assert_eq!(remove("b", None).await, Ok(true));
    assert_eq!(remove("a", None).await, Ok(true));
    assert_eq!(set("a").await, Ok(5));
}
