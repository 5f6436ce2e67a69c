//! Owns the search for a page: in slices so short that no other operation waits long, until the page is full, the end
//! is reached or the budget is used up.
//! Must not decide what matches: `Search::takes` does, on the whole task. What is checked before only spares reading.

use super::super::search::PAGE_BYTES;
use super::super::{Page, Search, StoreError};
use super::cursor::{Met, Walk, Way};
use super::port::Port;
use super::{plan, tasks};
use crate::clock::Timestamp;
use crate::task::Task;
use crate::task::query::fact::{self, Fact};
use crate::task::query::field::Field;
use crate::task::query::order::{Key, Position};
use crate::task::state::State;
use rusqlite::{Connection, OptionalExtension, Result, Row};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a slice keeps its thread, give or take one task: other searches, and in memory all writes, go in between.
const SLICE: Duration = Duration::from_millis(2);
/// Above every rank that a task has.
const START: i64 = i64::MAX - 1;

/// One page.
pub(super) async fn page(port: &Port, search: Arc<Search>) -> std::result::Result<Page, StoreError> {
    if search.limit == 0 {
        return Ok(Page { tasks: Vec::new(), next: search.after.clone() });
    }
    if search.order.is_by_age() { by_age(port, search).await } else { by_key(port, search).await }
}

/// Where a slice has ended.
struct Slice<T> {
    found: T,
    /// The rank from which to go on; `None`: the end was reached.
    from: Option<i64>,
    took: Duration,
}

/// Tasks in the order of their age: the walk's own.
async fn by_age(port: &Port, search: Arc<Search>) -> std::result::Result<Page, StoreError> {
    let way = way(&search);
    let mut from = search.after.as_ref().map_or(START, |after| way.turn(after.seq).saturating_sub(1).min(START));
    let (mut found, mut spent, mut bytes) = (Vec::new(), Duration::ZERO, 0);
    loop {
        // One more than asked for tells whether there are more.
        let wanted = search.limit + 1 - found.len();
        let asked = Arc::clone(&search);
        let slice = port.ask(0, move |on| aged_slice(on, &asked, from, (wanted, bytes))).await?;
        spent += slice.took;
        bytes += slice.found.iter().map(|(_, task)| size(task)).sum::<usize>();
        found.extend(slice.found);
        let position = |rank: i64| Some(Position { key: Key::Lacking, seq: way.turn(rank) });
        let next = if found.len() > search.limit {
            found.truncate(search.limit);
            found.last().and_then(|(rank, _)| position(*rank))
        } else {
            match slice.from {
                Some(rank) if bytes < PAGE_BYTES && spent < search.budget => {
                    from = rank;
                    continue;
                }
                Some(rank) => position(rank.saturating_add(1)),
                None => None,
            }
        };
        return Ok(Page { tasks: found.into_iter().map(|(_, task)| task).collect(), next });
    }
}

fn aged_slice(
    on: &Connection,
    search: &Search,
    mut from: i64,
    (wanted, mut bytes): (usize, usize),
) -> Result<Slice<Vec<(i64, Task)>>> {
    in_one_view(on, || {
        let (way, begun) = (way(search), Instant::now());
        let until = begun + SLICE.min(search.budget);
        let mut walk = Walk::new(plan::unions(on, search)?, way);
        let mut found = Vec::new();
        let rest = loop {
            match walk.next(on, from, until)? {
                Met::Nothing => break None,
                Met::Pause(rank) => break Some(rank),
                Met::Task(rank) => {
                    from = rank.saturating_sub(1);
                    let (passes, _) = glance(on, search, way.turn(rank))?;
                    if passes && let Some(task) = read(on, search, way.turn(rank))? {
                        bytes += size(&task);
                        found.push((rank, task));
                    }
                    if found.len() >= wanted || bytes >= PAGE_BYTES || Instant::now() >= until {
                        break Some(from);
                    }
                }
            }
        };
        Ok(Slice { found, from: rest, took: begun.elapsed() })
    })
}

/// Tasks in another order: all of them are looked at, and the first ones kept.
async fn by_key(port: &Port, search: Arc<Search>) -> std::result::Result<Page, StoreError> {
    let (mut from, mut spent, mut first) = (START, Duration::ZERO, Vec::new());
    loop {
        let (asked, held) = (Arc::clone(&search), std::mem::take(&mut first));
        let slice = port.ask(0, move |on| keyed_slice(on, &asked, from, held.clone())).await?;
        spent += slice.took;
        first = slice.found;
        match slice.from {
            None => break,
            Some(_) if spent >= search.budget => return Err(StoreError::TooBroad(search.order.field.name())),
            Some(rank) => from = rank,
        }
    }
    let more = first.len() > search.limit;
    first.truncate(search.limit);
    port.ask(0, move |on| load(on, &search, &first, more)).await
}

fn keyed_slice(
    on: &Connection,
    search: &Search,
    mut from: i64,
    mut first: Vec<Position>,
) -> Result<Slice<Vec<Position>>> {
    in_one_view(on, || {
        let (way, begun) = (way(search), Instant::now());
        let until = begun + SLICE.min(search.budget);
        let mut walk = Walk::new(plan::unions(on, search)?, way);
        let rest = loop {
            match walk.next(on, from, until)? {
                Met::Nothing => break None,
                Met::Pause(rank) => break Some(rank),
                Met::Task(rank) => {
                    from = rank.saturating_sub(1);
                    keep(on, search, way.turn(rank), &mut first)?;
                    if Instant::now() >= until {
                        break Some(from);
                    }
                }
            }
        };
        Ok(Slice { found: first, from: rest, took: begun.elapsed() })
    })
}

/// Puts a task among the first ones, if it is one of them.
fn keep(on: &Connection, search: &Search, seq: i64, first: &mut Vec<Position>) -> Result<()> {
    let is_first = |position: &Position, first: &[Position]| {
        let full = first.len() > search.limit;
        search.is_due(position)
            && !(full && first.last().is_some_and(|last| search.order.compare(position, last).is_gt()))
    };
    let (passes, key) = glance(on, search, seq)?;
    if !passes || key.is_some_and(|key| !is_first(&Position { key, seq }, first)) {
        return Ok(());
    }
    let Some(task) = read(on, search, seq)? else { return Ok(()) };
    let position = Position { key: search.order.key(&task), seq };
    if is_first(&position, first) {
        let place = first.partition_point(|other| search.order.compare(other, &position).is_lt());
        first.insert(place, position);
        first.truncate(search.limit + 1);
    }
    Ok(())
}

/// The tasks at these positions, as far as they still match.
fn load(on: &Connection, search: &Search, positions: &[Position], mut more: bool) -> Result<Page> {
    let (mut tasks, mut bytes, mut last) = (Vec::with_capacity(positions.len()), 0, None);
    for position in positions {
        if bytes >= PAGE_BYTES {
            more = true;
            break;
        }
        if let Some(task) = read(on, search, position.seq)? {
            bytes += size(&task);
            tasks.push(task);
        }
        last = Some(position.clone());
    }
    Ok(Page { tasks, next: last.filter(|_| more) })
}

/// A walk in the order's own direction meets dates mostly as they are wanted.
fn way(search: &Search) -> Way {
    if search.order.descending { Way::Down } else { Way::Up }
}

fn size(task: &Task) -> usize {
    task.result.as_ref().map_or(0, |result| result.as_str().len())
}

/// The whole task, if it belongs to the answer.
fn read(on: &Connection, search: &Search, seq: i64) -> Result<Option<Task>> {
    let sql = format!("SELECT {} FROM {} WHERE seq = ?1", tasks::COLUMNS, tasks::TABLES);
    let Some(mut task) = on.prepare_cached(&sql)?.query_row([seq], tasks::task).optional()? else { return Ok(None) };
    let log = |task: &Task| tasks::log(on, &task.id).map(Option::unwrap_or_default);
    Ok(search.takes(&mut task, log)?.then_some(task))
}

/// Whether a task may match by what stands in its row, and its key, if that stands there. This spares decoding.
fn glance(on: &Connection, search: &Search, seq: i64) -> Result<(bool, Option<Key>)> {
    if search.query.conditions().is_empty() && search.order.is_by_age() {
        return Ok((true, None));
    }
    let sql = "SELECT state, id, name, cancellable, created, expires, started, completed, slot, progress, error, owner
               FROM tasks WHERE seq = ?1";
    let glanced = on.prepare_cached(sql)?.query_row([seq], |row| {
        for condition in search.query.conditions() {
            if fact_of(row, condition.field(), search)?.is_some_and(|fact| !condition.accepts(&fact)) {
                return Ok((false, None));
            }
        }
        let key = if search.order.is_by_age() { None } else { fact_of(row, search.order.field, search)? };
        Ok((true, key.as_ref().map(Key::of)))
    });
    Ok(glanced.optional()?.unwrap_or((false, None)))
}

/// What a field holds, if the row tells.
fn fact_of<'r>(row: &'r Row<'_>, field: Field, search: &Search) -> Result<Option<Fact<'r>>> {
    let text =
        |column| -> Result<Fact<'r>> { Ok(row.get_ref(column)?.as_str_or_null()?.map_or(Fact::Lacking, Fact::Text)) };
    let time = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(Timestamp));
    let date = |column| time(column).map(|at| at.map_or(Fact::Lacking, Fact::Date));
    Ok(Some(match field {
        Field::Id => text(1)?,
        Field::Name => text(2)?,
        Field::Cancellable => Fact::Boolean(row.get(3)?),
        Field::CreationTime => date(4)?,
        Field::ExpireTime => date(5)?,
        Field::StartingTime => date(6)?,
        Field::CompletedTime => date(7)?,
        Field::Runspace => text(8)?,
        Field::Error => text(10)?,
        Field::User => text(11)?,
        Field::Timeout => Fact::Number(fact::timeout(Timestamp(row.get(4)?), time(5)?)),
        Field::State => match State::from_number(row.get(0)?) {
            Some(state) => Fact::State(state),
            None => return Ok(None),
        },
        // Of a running task it is somewhere else.
        Field::Progress if search.live.is_some() && time(7)?.is_none() => return Ok(None),
        Field::Progress => row.get::<_, Option<f64>>(9)?.map_or(Fact::Lacking, Fact::Number),
        Field::Output | Field::CallbackSettings | Field::EnableSse | Field::SseGroup | Field::Url | Field::Method => {
            return Ok(None);
        }
    }))
}

/// Has several statements see the same state of the database: within a transaction of its own, or its caller's.
fn in_one_view<T>(on: &Connection, work: impl FnOnce() -> Result<T>) -> Result<T> {
    on.prepare_cached("SAVEPOINT view")?.execute([])?;
    let done = work();
    on.prepare_cached("RELEASE view")?.execute([])?;
    done
}
