//! Owns JSON Schemas (2020-12) that guests bring or that follow from their types, and checking values against them, both
//! within bounds: neither a schema nor a value can make a check slow, deep or large. Must not know where either comes from.

pub mod shape;
mod walk;

pub use walk::parted;

use crate::value::Json;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde::Serialize;
use serde_json::Value;
use shape::Shape;
use std::fmt;
use std::sync::Arc;

/// The most bytes of a schema's text.
pub const MAX_BYTES: usize = 256 << 10;
/// How deep a schema's text may nest.
pub const MAX_DEPTH: usize = 64;
/// The most faults of one value that are told.
pub const MAX_FAULTS: usize = 20;
/// The most bytes of a compiled `pattern`, and of the automaton that it becomes as it runs.
const PATTERN_BYTES: usize = 256 << 10;
/// The most schemas, references followed, of one that tells the place of each fault.
const TOLD_SCHEMAS: usize = 5_000;
/// Values with a longer text are told only their first fault: the library collects all before it gives one.
const MANY_FAULTS_BYTES: usize = 32 << 10;
/// The most characters of a fault's message.
const MESSAGE_CHARS: usize = 300;

/// What a component says about itself.
#[derive(Debug, Clone, Default)]
pub struct Description {
    /// One line.
    pub summary: String,
    /// The long version, in CommonMark; may be empty.
    pub description: String,
    /// What inputs must be; `None`: anything.
    pub input_schema: Option<Schema>,
    /// What results are; `None`: nothing is promised.
    pub result_schema: Option<Schema>,
}

/// A schema that is valid, bounded and compiled. Clones share it.
#[derive(Clone)]
pub struct Schema(Arc<Compiled>);

struct Compiled {
    document: Value,
    check: Check,
}

/// What decides.
enum Check {
    /// The schema, which the component brought.
    Schema {
        validator: Box<Validator>,
        /// Whether the library may look for each fault. It does so without remembering what it has seen, so that a
        /// recursive schema would take exponential time; whether a value is valid it finds out in bounded time.
        tells_places: bool,
    },
    /// The type that the schema was made from.
    Shape(Arc<Shape>),
}

/// Why a text is no schema that we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(String);

/// One fault of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaFault {
    /// Where in the value: a JSON pointer (RFC 6901), empty for the whole.
    pub pointer: String,
    /// What is wrong there; `detail` as in the example of RFC 9457 §3.
    #[serde(rename = "detail")]
    pub message: String,
}

impl Schema {
    /// Takes a JSON Schema 2020-12 whose references stay inside it.
    ///
    /// # Errors
    /// When it is no JSON, no valid schema, past a bound, or refers to something outside of it.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        if text.len() > MAX_BYTES {
            return Err(SchemaError(format!("it has {} bytes; a schema may have {MAX_BYTES}", text.len())));
        }
        let document: Value =
            serde_json::from_str(text).map_err(|error| SchemaError(format!("it is no JSON: {error}")))?;
        let size = walk::check(&document).map_err(SchemaError)?;
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .with_pattern_options(patterns)
            .should_validate_formats(true)
            .build(&document)
            .map_err(|error| invalid(&error))?;
        let check = Check::Schema { validator: Box::new(validator), tells_places: size <= TOLD_SCHEMAS };
        Ok(Self(Arc::new(Compiled { document, check })))
    }

    /// The schema of a type. Values are checked against the type itself.
    #[must_use]
    pub fn of(shape: &Arc<Shape>) -> Self {
        Self(Arc::new(Compiled { document: shape.document(), check: Check::Shape(Arc::clone(shape)) }))
    }

    /// The schema itself.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.0.document
    }

    /// Checks a value. Up to [`MAX_FAULTS`] are told, of a large value only the first; a recursive schema tells
    /// only that there is one.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn validate(&self, value: &Json) -> Result<(), Vec<SchemaFault>> {
        let (validator, tells_places) = match &self.0.check {
            Check::Schema { validator, tells_places } => (validator, *tells_places),
            Check::Shape(shape) => return shape.read(value).map(drop),
        };
        let text = value.as_str();
        let parsed: Value = serde_json::from_str(text).map_err(|error| {
            // The text is JSON; what a machine number cannot hold is all that is left.
            vec![SchemaFault { pointer: String::new(), message: crate::value::fault_of(&error).message }]
        })?;
        if validator.is_valid(&parsed) {
            return Ok(());
        }
        if !tells_places {
            let message = "this value does not match the schema, which is recursive: the place is not told".into();
            return Err(vec![SchemaFault { pointer: String::new(), message }]);
        }
        if text.len() > MANY_FAULTS_BYTES {
            return validator.validate(&parsed).map_err(|error| vec![fault(&error)]);
        }
        Err(validator.iter_errors(&parsed).take(MAX_FAULTS).map(|error| fault(&error)).collect())
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.document() == other.document()
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document().fmt(formatter)
    }
}

fn fault(error: &ValidationError<'_>) -> SchemaFault {
    SchemaFault { pointer: error.instance_path().as_str().to_owned(), message: words(error) }
}

fn invalid(error: &ValidationError<'_>) -> SchemaError {
    let place = match error.instance_path().as_str() {
        "" => "its root",
        pointer => pointer,
    };
    SchemaError(format!("it is no valid schema at {place}: {}", cut(&error.to_string())))
}

/// Without the value itself, which may be long or a secret.
fn words(error: &ValidationError<'_>) -> String {
    cut(&error.masked_with("this value").to_string())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
