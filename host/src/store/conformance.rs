//! Owns the suite that every store must pass.
