//! Owns sets of tasks as the indices hold them, and the walk through what is in all of them at once.
//! Must not know queries, callers or what a task is beyond its number.
//!
//! A walk goes from one end of the numbers to the other. It counts by rank: the number itself from the newest on, its
//! negative from the oldest on, so that it always goes down.

use crate::task::state::State;
use rusqlite::{Connection, Result, Row};
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Instant;

/// The fewest and the most numbers that are read ahead.
const FIRST_BATCH: usize = 4;
const LARGEST_BATCH: usize = 256;

/// Tasks that one index holds together, in the order of their numbers.
#[derive(Debug, Clone)]
pub(super) enum Set {
    /// Every task.
    All,
    /// Those that have not ended.
    Open,
    /// Those that run.
    Running,
    /// Those of a route that ended in a state.
    Ended(Arc<str>, State),
    /// Those that are found under a name of `readers`.
    Readable(String),
    /// These, in descending rank.
    These(Vec<i64>),
}

/// Which way a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the newest on.
    Down,
    /// From the oldest on.
    Up,
}

impl Way {
    /// A task's rank by its number, and its number by its rank.
    pub(super) fn turn(self, number: i64) -> i64 {
        if self == Self::Down { number } else { number.saturating_neg() }
    }
}

struct Cursor {
    set: Set,
    way: Way,
    /// Ranks that were read ahead; the last one is the next.
    ahead: Vec<i64>,
    batch: usize,
    /// How many of the batch were asked for.
    used: usize,
    dry: bool,
}

impl Cursor {
    fn new(set: Set, way: Way) -> Self {
        let (ahead, dry) = match &set {
            Set::These(numbers) => {
                let mut ranks: Vec<i64> = numbers.iter().map(|number| way.turn(*number)).collect();
                ranks.sort_unstable();
                (ranks, true)
            }
            _ => (Vec::new(), false),
        };
        Self { set, way, ahead, batch: FIRST_BATCH, used: 0, dry }
    }

    /// The set's highest rank that is at most `target`. Targets only go down.
    fn seek(&mut self, on: &Connection, target: i64) -> Result<Option<i64>> {
        loop {
            while self.ahead.last().is_some_and(|rank| *rank > target) {
                self.ahead.pop();
            }
            if let Some(rank) = self.ahead.last() {
                self.used += 1;
                return Ok(Some(*rank));
            }
            if self.dry {
                return Ok(None);
            }
            // A walk that takes what it reads reads more; one that leaps reads little.
            let steady = self.used * 2 >= self.batch;
            self.batch = if steady { (self.batch * 2).min(LARGEST_BATCH) } else { FIRST_BATCH };
            self.used = 0;
            self.read(on, target)?;
            self.dry = self.ahead.len() < self.batch;
            self.ahead.reverse();
        }
    }

    fn read(&mut self, on: &Connection, target: i64) -> Result<()> {
        let (way, from, limit) = (self.way, self.way.turn(target), i64::try_from(self.batch).unwrap_or(i64::MAX));
        let rank = |row: &Row<'_>| row.get(0).map(|number| way.turn(number));
        let mut statement = on.prepare_cached(&statement(&self.set, way))?;
        let ranks = match &self.set {
            Set::Ended(name, state) => statement.query_map((from, limit, &**name, *state as u8), rank)?,
            Set::Readable(name) => statement.query_map((from, limit, name), rank)?,
            Set::All | Set::Open | Set::Running | Set::These(_) => statement.query_map((from, limit), rank)?,
        };
        self.ahead = ranks.collect::<Result<_>>()?;
        Ok(())
    }
}

/// Each set's numbers stand in their order in an index or a table.
fn statement(set: &Set, way: Way) -> String {
    let source = match set {
        Set::All => "tasks WHERE true",
        Set::Open => "tasks INDEXED BY tasks_open WHERE completed IS NULL",
        Set::Running => "tasks INDEXED BY tasks_running WHERE state = 1",
        Set::Ended(..) => "tasks INDEXED BY tasks_named WHERE completed IS NOT NULL AND name = ?3 AND state = ?4",
        Set::Readable(_) => "readers WHERE principal = ?3",
        Set::These(_) => "tasks WHERE false",
    };
    let (comparison, order) = if way == Way::Down { ("<=", "DESC") } else { (">=", "ASC") };
    format!("SELECT seq FROM {source} AND seq {comparison} ?1 ORDER BY seq {order} LIMIT ?2")
}

/// Tasks that are in any of some sets.
struct Union {
    cursors: Vec<Cursor>,
    /// The next rank of each cursor that has one, with the cursor's place.
    heads: BinaryHeap<(i64, usize)>,
}

impl Union {
    fn new(sets: Vec<Set>, way: Way) -> Self {
        let cursors: Vec<Cursor> = sets.into_iter().map(|set| Cursor::new(set, way)).collect();
        // Above every rank: the first search asks each cursor.
        let heads = (0..cursors.len()).map(|place| (i64::MAX, place)).collect();
        Self { cursors, heads }
    }

    fn seek(&mut self, on: &Connection, target: i64) -> Result<Option<i64>> {
        while let Some((head, place)) = self.heads.peek().copied()
            && head > target
        {
            self.heads.pop();
            if let Some(cursor) = self.cursors.get_mut(place)
                && let Some(rank) = cursor.seek(on, target)?
            {
                self.heads.push((rank, place));
            }
        }
        Ok(self.heads.peek().map(|(head, _)| *head))
    }
}

/// What a walk has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// A task, by its rank.
    Task(i64),
    /// The time is up; what has not been seen has at most this rank.
    Pause(i64),
    /// The end.
    Nothing,
}

/// A walk through the tasks that are in each of some unions of sets.
pub(super) struct Walk(Vec<Union>);

impl Walk {
    /// A walk; without any union it is through nothing.
    pub(super) fn new(unions: Vec<Vec<Set>>, way: Way) -> Self {
        Self(unions.into_iter().map(|sets| Union::new(sets, way)).collect())
    }

    /// The highest rank of at most `target`. It pauses only when it has come further.
    pub(super) fn next(&mut self, on: &Connection, mut target: i64, until: Instant) -> Result<Met> {
        if self.0.is_empty() {
            return Ok(Met::Nothing);
        }
        loop {
            let mut lowest = target;
            for union in &mut self.0 {
                match union.seek(on, lowest)? {
                    Some(rank) => lowest = rank,
                    None => return Ok(Met::Nothing),
                }
            }
            // Nobody had to go down: all of them have it.
            if lowest == target {
                return Ok(Met::Task(target));
            }
            target = lowest;
            if Instant::now() >= until {
                return Ok(Met::Pause(target));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema;

    #[test]
    fn no_set_is_sorted_or_scanned() {
        let mut connection = Connection::open_in_memory().expect("opens");
        schema::prepare(&mut connection).expect("tables");
        let sets =
            [Set::All, Set::Open, Set::Running, Set::Ended("n".into(), State::Failed), Set::Readable("*".into())];
        for (set, way) in sets.iter().flat_map(|set| [(set, Way::Down), (set, Way::Up)]) {
            let explain = format!("EXPLAIN QUERY PLAN {}", statement(set, way));
            let mut explained = connection.prepare(&explain).expect("a statement");
            let steps =
                explained.query_map(rusqlite::params_from_iter(vec![1; explained.parameter_count()]), |row| row.get(3));
            let steps: Vec<String> = steps.expect("explains").map(|step| step.expect("a step")).collect();
            assert!(steps.len() == 1 && steps[0].starts_with("SEARCH "), "{set:?}: {steps:?}");
        }
    }
}
