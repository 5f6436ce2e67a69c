//! Owns the operators, and which of them fits which kind of field.
//! Must not know fields or values.

use super::QueryFault;
use super::field::{Field, Kind};
use std::cmp::Ordering;

/// How a field is compared with a condition's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// Greater than.
    Gt,
    /// Less than.
    Lt,
    /// Greater than or equal to.
    Ge,
    /// Less than or equal to.
    Le,
    /// Equal to.
    Eq,
    /// Not equal to.
    Ne,
    /// Contains.
    Like,
    /// Does not contain.
    NotLike,
}

/// Which operators fit which kind: the whole table.
const FITTING: [(Kind, &[Operator]); 5] = {
    use Operator::{Eq, Ge, Gt, Le, Like, Lt, Ne, NotLike};
    [
        (Kind::Text, &[Gt, Lt, Ge, Le, Eq, Ne, Like, NotLike]),
        (Kind::Date, &[Gt, Lt, Ge, Le, Eq, Ne]),
        (Kind::Number, &[Gt, Lt, Ge, Le, Eq, Ne]),
        (Kind::Boolean, &[Eq, Ne]),
        (Kind::State, &[Eq, Ne, Like, NotLike]),
    ]
};

impl Operator {
    /// All operators, in the contract's order.
    pub const ALL: [Self; 8] = [Self::Gt, Self::Lt, Self::Ge, Self::Le, Self::Eq, Self::Ne, Self::Like, Self::NotLike];

    /// The operator's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gt => "GT",
            Self::Lt => "LT",
            Self::Ge => "GE",
            Self::Le => "LE",
            Self::Eq => "EQ",
            Self::Ne => "NE",
            Self::Like => "LIKE",
            Self::NotLike => "NOTLIKE",
        }
    }

    /// The operators that fit a kind of field.
    #[must_use]
    pub fn fitting(kind: Kind) -> &'static [Self] {
        FITTING.iter().find(|(own, _)| *own == kind).map_or(&[], |(_, operators)| operators)
    }

    /// The operator of this name, in any case; it must fit the field.
    ///
    /// # Errors
    /// A fault that names those that do.
    pub fn parse(name: &str, field: Field) -> Result<Self, QueryFault> {
        let operator = Self::ALL.into_iter().find(|operator| operator.name().eq_ignore_ascii_case(name));
        let fitting = Self::fitting(field.kind());
        let list = || fitting.iter().map(|operator| operator.name()).collect::<Vec<_>>().join(", ");
        match operator {
            Some(operator) if fitting.contains(&operator) => Ok(operator),
            Some(operator) => Err(QueryFault::new(
                field.name(),
                format!("`{}` does not fit `{}`, which takes {}", operator.name(), field.name(), list()),
            )),
            None => Err(QueryFault::new(
                field.name(),
                format!("there is no operator `{}`; `{}` takes {}", super::parse::shown(name), field.name(), list()),
            )),
        }
    }

    /// Whether a field that compares to the value in this way meets the condition; LIKE and NOTLIKE do not compare.
    #[must_use]
    pub fn admits(self, ordering: Ordering) -> bool {
        match self {
            Self::Gt => ordering.is_gt(),
            Self::Lt => ordering.is_lt(),
            Self::Ge => ordering.is_ge(),
            Self::Le => ordering.is_le(),
            Self::Eq => ordering.is_eq(),
            Self::Ne => ordering.is_ne(),
            Self::Like | Self::NotLike => false,
        }
    }
}
