//! Owns the order of a query's answer, and the keys by which tasks are compared for it.
//! Must not know pages or how a store reads.

use super::fact::{self, Fact};
use super::field::Field;
use super::{QueryFault, fold};
use crate::task::Task;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Text is ordered by its first characters; so many count, so that a page token stays short.
const KEY_LENGTH: usize = 100;

/// By which field the answer is ordered. What a task lacks comes before everything, and tasks with the same key are
/// in the order in which they were stored, both turned around when descending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The field; CreationTime means the order in which the tasks were stored.
    pub field: Field,
    /// Greatest first.
    pub descending: bool,
}

/// Newest first.
impl Default for Order {
    fn default() -> Self {
        Self { field: Field::CreationTime, descending: true }
    }
}

impl Order {
    /// Reads `Field` or `-Field`.
    ///
    /// # Errors
    /// When there is no such field, or it has no order.
    pub fn parse(text: &str) -> Result<Self, QueryFault> {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        match Field::parse(name)? {
            Field::Output => Err(QueryFault::new("Output", "tasks cannot be ordered by `Output`")),
            field => Ok(Self { field, descending }),
        }
    }

    /// Whether it is the order in which the tasks were stored.
    #[must_use]
    pub fn is_by_age(self) -> bool {
        self.field == Field::CreationTime
    }

    /// A task's key.
    #[must_use]
    pub fn key(self, task: &Task) -> Key {
        if self.is_by_age() { Key::Lacking } else { fact::with(self.field, task, "", Key::of) }
    }

    /// Which of two positions comes first.
    #[must_use]
    pub fn compare(self, one: &Position, other: &Position) -> Ordering {
        let ascending = one.key.cmp(&other.key).then(one.seq.cmp(&other.seq));
        if self.descending { ascending.reverse() } else { ascending }
    }
}

/// What a task is ordered by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    /// It lacks the field, or only its age counts.
    #[serde(rename = "l")]
    Lacking,
    /// Microseconds, or a number, a boolean or a state as an integer of the same order.
    #[serde(rename = "n")]
    Number(i64),
    /// The start of the folded text.
    #[serde(rename = "t")]
    Text(String),
}

impl Key {
    /// The key of what a field holds.
    #[must_use]
    pub fn of(fact: &Fact<'_>) -> Self {
        match *fact {
            Fact::Lacking => Self::Lacking,
            Fact::Text(text) => {
                let start: String = text.chars().take(KEY_LENGTH).collect();
                Self::Text(fold(&start))
            }
            Fact::Date(at) => Self::Number(at.0),
            Fact::Number(number) => Self::Number(ordered(number)),
            Fact::Boolean(truth) => Self::Number(i64::from(truth)),
            Fact::State(state) => Self::Number(i64::from(state as u8)),
        }
    }
}

/// An integer for each number, in the same order (IEEE 754 totalOrder).
fn ordered(number: f64) -> i64 {
    let bits = number.to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// A task's place in an order: what the next page begins after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its key.
    pub key: Key,
    /// Its number in the order in which the tasks were stored.
    pub seq: i64,
}
