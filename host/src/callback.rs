//! Owns callbacks: whom a task's end is told, how that is signed, which addresses may be called, and when each attempt
//! is made. Must not know HTTP servers, SQL, or how tasks run: it meets them in the store's outbox.

mod attempt;
mod body;
mod client;
mod deliver;
mod schedule;
mod sign;
pub mod target;
mod window;

pub use deliver::{Callbacks, Options, ResendError};
pub use schedule::Schedule;
pub use sign::SigningKey;
