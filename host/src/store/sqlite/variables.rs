//! Owns the statements on shared variables, their versions and their limits.
//! Must not know threads or transactions: every function runs within one that its caller has begun.

use super::super::{MAX_VARIABLES, check_variable, too_many_variables};
use crate::executor::{VariableError, Versioned};
use crate::value::Json;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Result};

/// The new version, or why the variable cannot have it.
type Written = std::result::Result<u64, VariableError>;

/// A variable.
pub(super) fn get(on: &Connection, name: &str) -> Result<Option<Versioned>> {
    let sql = "SELECT version, value FROM variables WHERE name = ?1";
    let found = on.prepare_cached(sql)?.query_row([name], |row| {
        let value = serde_json::from_str(row.get_ref(1)?.as_str()?);
        let damaged = |fault| rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(fault));
        Ok(Versioned { version: version_of(row.get(0)?), value: value.map_err(damaged)? })
    });
    found.optional()
}

/// Writes whatever the version is.
pub(super) fn set(on: &Connection, name: &str, value: &Json) -> Result<Written> {
    if let Err(fault) = check_variable(name, value) {
        return Ok(Err(fault));
    }
    let sql = "UPDATE variables SET value = ?2, version = version + 1 WHERE name = ?1 RETURNING version";
    let version = on.prepare_cached(sql)?.query_row((name, value.as_str()), |row| row.get(0)).optional()?;
    version.map_or_else(|| create(on, name, value), |version| Ok(Ok(version_of(version))))
}

/// Writes if the version is the expected one.
pub(super) fn update(on: &Connection, name: &str, expected: Option<u64>, value: &Json) -> Result<Written> {
    if let Err(fault) = check_variable(name, value) {
        return Ok(Err(fault));
    }
    let stored = version(on, name)?;
    match (expected, stored) {
        (None, None) => create(on, name, value),
        (Some(expected), Some(stored)) if expected == stored => set(on, name, value),
        _ => Ok(Err(VariableError::Conflict(stored.unwrap_or(0)))),
    }
}

/// Writes those that do not exist; the first of a name counts. Nothing is written when one of them cannot be.
pub(super) fn init(on: &Connection, variables: &[(String, Json)]) -> Result<std::result::Result<(), VariableError>> {
    let mut missing: Vec<&(String, Json)> = Vec::new();
    for entry in variables {
        if let Err(fault) = check_variable(&entry.0, &entry.1) {
            return Ok(Err(fault));
        }
        if version(on, &entry.0)?.is_none() && missing.iter().all(|(name, _)| *name != entry.0) {
            missing.push(entry);
        }
    }
    if room(on)? < i64::try_from(missing.len()).unwrap_or(i64::MAX) {
        return Ok(Err(too_many_variables()));
    }
    for (name, value) in missing {
        write_new(on, name, value)?;
    }
    Ok(Ok(()))
}

/// All names, sorted by their bytes.
pub(super) fn names(on: &Connection) -> Result<Vec<String>> {
    on.prepare_cached("SELECT name FROM variables ORDER BY name")?.query_map([], |row| row.get(0))?.collect()
}

fn create(on: &Connection, name: &str, value: &Json) -> Result<Written> {
    if room(on)? < 1 {
        return Ok(Err(too_many_variables()));
    }
    write_new(on, name, value)?;
    Ok(Ok(1))
}

fn write_new(on: &Connection, name: &str, value: &Json) -> Result<()> {
    let sql = "INSERT INTO variables (name, version, value) VALUES (?1, 1, ?2)";
    on.prepare_cached(sql)?.execute((name, value.as_str())).map(drop)
}

fn version(on: &Connection, name: &str) -> Result<Option<u64>> {
    let sql = "SELECT version FROM variables WHERE name = ?1";
    on.prepare_cached(sql)?.query_row([name], |row| row.get(0).map(version_of)).optional()
}

fn room(on: &Connection) -> Result<i64> {
    let stored: i64 = on.prepare_cached("SELECT count(*) FROM variables")?.query_row([], |row| row.get(0))?;
    Ok(i64::from(MAX_VARIABLES) - stored)
}

fn version_of(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}
