//! Owns the SQLite store.
