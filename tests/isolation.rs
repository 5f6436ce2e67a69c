//! One tenant attacks with whatever a plugin, an upload or a request can do; another goes on as if alone.
//! Each attack is a row of a table: what the attacker got, and what the other tenant noticed of it.

mod computing;
mod flooding;
mod peeking;
mod routing;
mod uploading;
mod world;
