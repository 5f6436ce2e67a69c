//! Owns the choice of the indices for a search: sets of tasks that hold everything that can match.
//! Must not decide what matches; it may name too many tasks, never too few.

use super::super::{Reader, Search};
use super::cursor::Set;
use super::readers;
use crate::task::query::fact::Fact;
use crate::task::query::field::Field;
use crate::task::state::State;
use rusqlite::{Connection, OptionalExtension, Result};
use std::sync::Arc;

/// A union of more sets costs more than it spares.
const MOST_SETS: usize = 512;

/// Unions of sets; every task of the answer is in each of them.
pub(super) fn unions(on: &Connection, search: &Search) -> Result<Vec<Vec<Set>>> {
    let found = [by_reader(search), by_owner(search), by_id(on, search)?, by_state(on, search)?];
    let unions: Vec<Vec<Set>> = found.into_iter().flatten().filter(|sets| sets.len() <= MOST_SETS).collect();
    Ok(if unions.is_empty() { vec![vec![Set::All]] } else { unions })
}

fn by_reader(search: &Search) -> Option<Vec<Set>> {
    match &search.reader {
        Reader::Everything => None,
        Reader::Caller(caller) => Some(readers::of_caller(caller.as_ref()).into_iter().map(Set::Readable).collect()),
    }
}

fn by_owner(search: &Search) -> Option<Vec<Set>> {
    let user = search.query.on(Field::User)?.equal_text()?;
    Some(vec![Set::Readable(readers::owned_by(user))])
}

fn by_id(on: &Connection, search: &Search) -> Result<Option<Vec<Set>>> {
    let Some(id) = search.query.on(Field::Id).and_then(|condition| condition.equal_text()) else { return Ok(None) };
    let mut numbers: Vec<i64> = Vec::new();
    for sql in ["SELECT seq FROM tasks WHERE id = ?1", "SELECT seq FROM tasks INDEXED BY tasks_alias WHERE alias = ?1"]
    {
        let mut statement = on.prepare_cached(sql)?;
        for number in statement.query_map([id], |row| row.get(0))? {
            numbers.push(number?);
        }
    }
    Ok(Some(vec![Set::These(numbers)]))
}

/// By state and name.
fn by_state(on: &Connection, search: &Search) -> Result<Option<Vec<Set>>> {
    let (state, name) = (search.query.on(Field::State), search.query.on(Field::Name));
    if state.is_none() && name.is_none() {
        return Ok(None);
    }
    let may_be = |wanted: &State| state.is_none_or(|condition| condition.accepts(&Fact::State(*wanted)));
    let mut sets = Vec::new();
    if may_be(&State::NotStarted) {
        sets.push(Set::Open);
    } else if may_be(&State::Running) {
        sets.push(Set::Running);
    }
    let ended: Vec<State> = State::ALL.into_iter().filter(|state| state.is_final() && may_be(state)).collect();
    if ended.is_empty() {
        return Ok(Some(sets));
    }
    let mut last: Option<Arc<str>> = None;
    while let Some(next) = name_after(on, last.as_deref())? {
        if name.is_none_or(|condition| condition.accepts(&Fact::Text(&next))) {
            sets.extend(ended.iter().map(|state| Set::Ended(Arc::clone(&next), *state)));
        }
        if sets.len() > MOST_SETS {
            break;
        }
        last = Some(next);
    }
    Ok(Some(sets))
}

/// The names of routes with ended tasks, one after the other.
fn name_after(on: &Connection, last: Option<&str>) -> Result<Option<Arc<str>>> {
    let first = "SELECT name FROM tasks INDEXED BY tasks_named WHERE completed IS NOT NULL ORDER BY name LIMIT 1";
    let next = "SELECT name FROM tasks INDEXED BY tasks_named WHERE completed IS NOT NULL AND name > ?1
                ORDER BY name LIMIT 1";
    match last {
        None => on.prepare_cached(first)?.query_row([], |row| row.get(0)).optional(),
        Some(last) => on.prepare_cached(next)?.query_row([last], |row| row.get(0)).optional(),
    }
}
