//! Owns the paging of answers: how many tasks a page has, and the token that leads to the next one.
//! Must not know URLs or how a store reads.
//!
//! A page begins after the position of the last one's end. In the order of age positions never change, so that no task
//! is given twice and none is lost, whatever is added, ends or is removed in between; each task is judged as it stands
//! when its page is read. In another order a task whose field changes moves, and may so be met twice or not at all.

use super::order::{Order, Position};
use super::{Query, QueryFault};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// How many tasks a page has when nobody says.
pub const DEFAULT_LIMIT: usize = 100;
/// The most tasks of a page.
pub const MAX_LIMIT: usize = 1_000;
/// The longest token that is looked at.
const MAX_TOKEN: usize = 4_096;

/// Reads a page's limit.
///
/// # Errors
/// When it is no number from 1 to [`MAX_LIMIT`].
pub fn limit(text: &str) -> Result<usize, QueryFault> {
    let number = text.parse().ok().filter(|number| (1..=MAX_LIMIT).contains(number));
    let fault = || {
        let shown = super::parse::shown(text);
        QueryFault::new("limit", format!("`limit` must be a whole number from 1 to {MAX_LIMIT}, not `{shown}`"))
    };
    number.ok_or_else(fault)
}

/// The token of the page after this position.
#[must_use]
pub fn token(query: &Query, order: Order, after: &Position) -> String {
    let text = serde_json::to_string(&(mark(query, order), after)).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(text)
}

/// The position in a token that was made for the same query and order.
///
/// # Errors
/// When it is no token, or another query's.
pub fn position(token: &str, query: &Query, order: Order) -> Result<Position, QueryFault> {
    let bytes =
        Some(token).filter(|token| token.len() <= MAX_TOKEN).and_then(|token| URL_SAFE_NO_PAD.decode(token).ok());
    let read = bytes.and_then(|bytes| serde_json::from_slice::<(String, Position)>(&bytes).ok());
    match read {
        Some((own, position)) if own == mark(query, order) => Ok(position),
        Some(_) => Err(QueryFault::new("page", "the page token does not belong to this query and order")),
        None => Err(QueryFault::new("page", "this is no page token; take the one of the `Link` header as it is")),
    }
}

/// What ties a token to its query. It is no secret: a made-up token leads to another place in the same answer, and
/// who may read what is checked on every page.
fn mark(query: &Query, order: Order) -> String {
    let text = format!("{} {} {query}", order.field.name(), order.descending);
    let digest = Sha256::digest(text.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.get(..9).unwrap_or_default())
}
