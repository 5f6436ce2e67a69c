//! Owns the query language: what a query document means, typed and checked before any task is read.
//! Must not know where tasks are kept, how a document came in, or who may read a task (`access` does).
//!
//! Conditions are joined by AND. Names and operators are taken in any case. What a task lacks matches NE and NOTLIKE
//! only. Text compares without case, by its lower-case form; LIKE means "contains", where `*` stands for any text and
//! `?` for one character. `Output` is the text of the captured log, a message a line. `Timeout` is the time from
//! CreationTime to ExpireTime in seconds, -1 without one. `User` is the owner's id and `Runspace` the newest slot.

pub mod fact;
pub mod field;
pub mod operator;
pub mod order;
pub mod page;
mod parse;
mod pattern;
#[cfg(test)]
mod tests;

use super::Task;
use fact::Fact;
use field::Field;
use operator::Operator;
pub use pattern::fold;
use std::fmt;

/// The most characters of a condition's value.
pub const MAX_VALUE: usize = 1_000;

/// Why a document is no query. The message stands alone: it names the field itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryFault {
    /// The field, or the parameter, that is at fault; empty when it is the document as a whole.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl QueryFault {
    /// A fault of a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// What a field is compared with. It has the field's kind, and the operator fits that.
#[derive(Debug, Clone, PartialEq)]
enum Operand {
    /// Folded text.
    Text(String),
    /// A pattern of LIKE and NOTLIKE.
    Pattern(pattern::Pattern),
    /// A date, a number, a state or a boolean.
    Plain(Fact<'static>),
}

/// One condition of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    field: Field,
    operator: Operator,
    operand: Operand,
}

/// A checked query; no condition at all matches everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Query(Vec<Condition>);

impl Query {
    /// Whether a task matches; `log` is its captured log as JSON lines. This is what a query means: whatever a store
    /// does to be quick, it answers what this says.
    #[must_use]
    pub fn matches(&self, task: &Task, log: &str) -> bool {
        self.0.iter().all(|condition| condition.holds(task, log))
    }

    /// Its conditions, in the order of their fields.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.0
    }

    /// The condition on a field.
    #[must_use]
    pub fn on(&self, field: Field) -> Option<&Condition> {
        self.0.iter().find(|condition| condition.field == field)
    }
}

impl Condition {
    /// The field.
    #[must_use]
    pub fn field(&self) -> Field {
        self.field
    }

    /// The folded text that the field must equal, if that is the condition: what an index can look up.
    #[must_use]
    pub fn equal_text(&self) -> Option<&str> {
        match (&self.operand, self.operator) {
            (Operand::Text(text), Operator::Eq) => Some(text),
            _ => None,
        }
    }

    /// Whether a field with this content meets the condition.
    #[must_use]
    pub fn accepts(&self, fact: &Fact<'_>) -> bool {
        let met = match (&self.operand, fact) {
            (_, Fact::Lacking) => None,
            (Operand::Text(text), Fact::Text(own)) => Some(self.operator.admits(fold(own).as_str().cmp(text))),
            // NOTLIKE is the negation below.
            (Operand::Pattern(pattern), Fact::Text(own)) => {
                Some(pattern.is_in(own) == (self.operator == Operator::Like))
            }
            (Operand::Pattern(pattern), Fact::State(own)) => {
                Some(pattern.is_in(&own.to_string()) == (self.operator == Operator::Like))
            }
            (Operand::Plain(value), own) => own.compare(value).map(|ordering| self.operator.admits(ordering)),
            _ => None,
        };
        met.unwrap_or(matches!(self.operator, Operator::Ne | Operator::NotLike))
    }

    fn holds(&self, task: &Task, log: &str) -> bool {
        fact::with(self.field, task, log, |fact| self.accepts(fact))
    }
}

/// One spelling of each query: `State EQ Completed AND Name LIKE "get"`.
impl fmt::Display for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, Condition { field, operator, operand }) in self.0.iter().enumerate() {
            let and = if position > 0 { " AND " } else { "" };
            write!(formatter, "{and}{} {} ", field.name(), operator.name())?;
            match operand {
                Operand::Text(text) => write!(formatter, "{text:?}")?,
                Operand::Pattern(pattern) => write!(formatter, "{:?}", pattern.to_string())?,
                Operand::Plain(fact) => write!(formatter, "{fact}")?,
            }
        }
        Ok(())
    }
}
