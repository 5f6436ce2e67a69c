//! Owns what a route's `callback` is after validation. Must not know how it is resolved or delivered.

use super::expression::Template;
use crate::codec::Format;

/// The methods of callbacks.
pub const METHODS: [&str; 3] = ["POST", "PUT", "PATCH"];

/// Whom to call when a task of a route has ended, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct CallbackRule {
    /// The URL.
    pub url: Template,
    /// The method: one of [`METHODS`], or an expression.
    pub method: Template,
    /// The format of the body.
    pub content_type: Format,
    /// Further header fields.
    pub headers: Vec<(String, Template)>,
    /// Whether the body holds the result.
    pub send_result: bool,
    /// The event's name.
    pub event: String,
}

/// The name of an event that is not configured: `_orders_{id}_Callback` of `/orders/{id}`.
#[must_use]
pub fn default_event(path: &str) -> String {
    format!("{}_Callback", path.replace('/', "_"))
}
