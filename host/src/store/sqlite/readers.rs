//! Owns the names under which tasks are found by those who may read or own them, and their rows.
//! Must not decide who may read: it names at least everybody whom `Permission` admits.

use crate::principal::Principal;
use crate::task::access::Permission;
use crate::task::query::fold;
use rusqlite::{Connection, Result};
use std::collections::BTreeSet;

/// The name of everybody.
const EVERYBODY: &str = "*";

/// Under which names a task is found. An owner who is named as a user too has one row.
pub(super) fn of_task(permission: Option<&Permission>, owner: Option<&str>) -> Vec<String> {
    let mut names = BTreeSet::new();
    match permission {
        None => drop(names.insert(EVERYBODY.to_owned())),
        Some(permission) => {
            for allowed in [&permission.read, &permission.write] {
                let lists =
                    [("u", &allowed.users), ("g", &allowed.groups), ("r", &allowed.roles), ("s", &allowed.scopes)];
                for (kind, list) in lists {
                    names.extend(list.iter().map(|name| key(kind, name)));
                }
            }
        }
    }
    if let Some(owner) = owner {
        names.remove(&key("u", owner));
        names.insert(owned_by(owner));
    }
    names.into_iter().collect()
}

/// Under which names a caller finds what it may read.
pub(super) fn of_caller(caller: Option<&Principal>) -> Vec<String> {
    let mut names = BTreeSet::from([EVERYBODY.to_owned()]);
    if let Some(caller) = caller {
        names.extend([key("u", &caller.id), owned_by(&caller.id)]);
        for (kind, list) in [("g", &caller.groups), ("r", &caller.roles), ("s", &caller.scopes)] {
            names.extend(list.iter().map(|name| key(kind, name)));
        }
    }
    names.into_iter().collect()
}

/// Under which name a user's own tasks are found.
pub(super) fn owned_by(user: &str) -> String {
    key("o", user)
}

fn key(kind: &str, name: &str) -> String {
    format!("{kind}:{}", fold(name))
}

/// Adds a task's rows.
pub(super) fn add(on: &Connection, seq: i64, names: &[String]) -> Result<()> {
    let mut statement = on.prepare_cached("INSERT OR IGNORE INTO readers (principal, seq) VALUES (?1, ?2)")?;
    names.iter().try_for_each(|name| statement.execute((name, seq)).map(drop))
}

/// Removes a task's rows.
pub(super) fn remove(on: &Connection, seq: i64, names: &[String]) -> Result<()> {
    let mut statement = on.prepare_cached("DELETE FROM readers WHERE principal = ?1 AND seq = ?2")?;
    names.iter().try_for_each(|name| statement.execute((name, seq)).map(drop))
}
