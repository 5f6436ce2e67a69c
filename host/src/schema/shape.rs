//! Owns the types of a component's own (those of WIT that can cross as JSON), their values, and their JSON Schemas.
//! Must not know where types come from or who calls what with the values: no wasmtime.

mod document;
mod read;
mod write;

pub use write::TooLarge;

/// How deep types may nest. In JSON a variant nests twice, so values stay below [`crate::value::MAX_DEPTH`].
pub const MAX_DEPTH: usize = 32;
/// The most types and names that all types of one function may consist of; a type that is used twice counts twice.
pub const MAX_PARTS: usize = 2_000;
/// The most bytes of all names in them.
pub const MAX_NAMES: usize = 64 << 10;
/// The most bytes of memory, roughly, that a value read from JSON may take: an `{}` can stand for a record of a thousand
/// absent options.
const MAX_VALUE: usize = 16 << 20;
/// What each value takes of it, besides its texts.
const VALUE_BYTES: usize = 64;
/// Integers beyond this are written as text: JavaScript, and many another reader of JSON, has no more digits.
const EXACT: i128 = 1 << 53;

/// An integer type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Integer {
    /// 8, 16, 32 or 64.
    pub bits: u8,
    /// Whether it can be negative.
    pub signed: bool,
}

/// A type.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// No parameter at all: `null` or `{}`.
    Nothing,
    /// `bool`
    Bool,
    /// `u8` to `s64`
    Integer(Integer),
    /// `f32`
    Float32,
    /// `f64`
    Float64,
    /// `char`
    Char,
    /// `string`
    Text,
    /// `list<u8>`: base64
    Bytes,
    /// `list<T>`
    List(Box<Shape>),
    /// `record`
    Record(Vec<(String, Shape)>),
    /// `tuple`
    Tuple(Vec<Shape>),
    /// `variant`
    Variant(Vec<(String, Option<Shape>)>),
    /// `enum`
    Enum(Vec<String>),
    /// `option<T>`
    Option(Box<Shape>),
    /// `result<T, E>`
    Result(Option<Box<Shape>>, Option<Box<Shape>>),
    /// `flags`
    Flags(Vec<String>),
}

/// A value; what it means depends on its [`Shape`].
#[derive(Debug, Clone, PartialEq)]
pub enum Typed {
    /// Of [`Shape::Nothing`].
    Nothing,
    /// A boolean.
    Bool(bool),
    /// An integer within its type's range.
    Integer(i128),
    /// A floating-point number of either type; one of `f32` is exactly that.
    Float(f64),
    /// A character.
    Char(char),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// The items of a list or tuple, or the fields of a record in the type's order.
    Items(Vec<Typed>),
    /// The case's position in a variant, enum or result (0: ok, 1: err), and what it carries.
    Case(usize, Option<Box<Typed>>),
    /// An option.
    Option(Option<Box<Typed>>),
    /// The positions of those flags that are set, ascending.
    Flags(Vec<usize>),
}

impl Integer {
    /// The least and the greatest value.
    #[must_use]
    pub fn range(self) -> (i128, i128) {
        if self.signed {
            let half = 1_i128 << (self.bits - 1);
            (-half, half - 1)
        } else {
            (0, (1_i128 << self.bits) - 1)
        }
    }

    fn name(self) -> String {
        format!("{}{}", if self.signed { 's' } else { 'u' }, self.bits)
    }
}

impl Shape {
    /// What a reader is told was expected.
    fn expected(&self) -> String {
        match self {
            Self::Nothing => "nothing: null or {}".into(),
            Self::Bool => "bool".into(),
            Self::Integer(integer) => integer.name(),
            Self::Float32 => "f32".into(),
            Self::Float64 => "f64".into(),
            Self::Char => "char: a string of one character".into(),
            Self::Text => "string".into(),
            Self::Bytes => "list<u8>: a string in base64".into(),
            Self::List(_) => "list: an array".into(),
            Self::Record(_) => "record: an object".into(),
            Self::Tuple(items) => format!("tuple: an array of {}", items.len()),
            Self::Variant(cases) => {
                let written = cases.iter().map(|(name, carried)| match carried {
                    None => format!("\"{name}\""),
                    Some(_) => format!("{{\"{name}\": …}}"),
                });
                format!("variant: {}", some_of(written))
            }
            Self::Enum(names) => format!("enum: {}", some_of(names.iter().map(|name| format!("\"{name}\"")))),
            Self::Option(inner) => format!("{}, or null", inner.expected()),
            Self::Result(..) => "result: {\"ok\": …} or {\"err\": …}".into(),
            Self::Flags(names) => format!("flags: an array of {}", some_of(names.iter().cloned())),
        }
    }

    /// The case at a position of a variant, enum or result: its name and what it carries. None for other types.
    #[must_use]
    pub fn case(&self, position: usize) -> Option<(&str, Option<&Self>)> {
        match (self, position) {
            (Self::Variant(cases), _) => cases.get(position).map(|(name, carried)| (name.as_str(), carried.as_ref())),
            (Self::Enum(names), _) => names.get(position).map(|name| (name.as_str(), None)),
            (Self::Result(ok, _), 0) => Some(("ok", ok.as_deref())),
            (Self::Result(_, err), 1) => Some(("err", err.as_deref())),
            _ => None,
        }
    }

    /// All its cases, in order.
    pub fn cases(&self) -> impl Iterator<Item = (&str, Option<&Self>)> {
        (0..).map_while(|position| self.case(position))
    }
}

/// The first ten of what may stand in a place.
fn some_of(mut names: impl Iterator<Item = String>) -> String {
    let shown: Vec<String> = names.by_ref().take(10).collect();
    format!("{}{}", shown.join(" | "), if names.next().is_some() { " | …" } else { "" })
}

#[cfg(test)]
mod tests;
