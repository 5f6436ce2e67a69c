//! Owns the statements on shared variables, their versions and their limits.
//! Must not know threads or transactions: every function runs within one that its caller has begun.

use super::super::usage::{check_count, check_room, check_variable, names_of, space};
use super::charges;
use super::registry::unsigned;
use crate::executor::{VariableError, Versioned};
use crate::tenant;
use crate::value::Json;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Result};
use std::collections::HashMap;

/// What was done, or why it cannot be.
type Outcome<T> = std::result::Result<T, VariableError>;
/// Version, and bytes of the value.
type Known = Option<(u64, u64)>;

/// A variable.
pub(super) fn get(on: &Connection, name: &str) -> Result<Option<Versioned>> {
    let sql = "SELECT version, value FROM variables WHERE name = ?1";
    let found = on.prepare_cached(sql)?.query_row([name], |row| {
        let value = serde_json::from_str(row.get_ref(1)?.as_str()?);
        let damaged = |fault| rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(fault));
        Ok(Versioned { version: unsigned(row.get(0)?), value: value.map_err(damaged)? })
    });
    found.optional()
}

/// Writes whatever the version is.
pub(super) fn set(on: &Connection, name: &str, value: &Json, most: u64) -> Result<Outcome<u64>> {
    let known = known(on, name)?;
    write(on, name, known, value, most)
}

/// Writes if the version is the expected one.
pub(super) fn update(
    on: &Connection,
    name: &str,
    expected: Option<u64>,
    value: &Json,
    most: u64,
) -> Result<Outcome<u64>> {
    if let Err(fault) = check_variable(name, value) {
        return Ok(Err(fault));
    }
    let known = known(on, name)?;
    match known.map(|(version, _)| version) {
        version if version == expected => write(on, name, known, value, most),
        version => Ok(Err(VariableError::Conflict(version.unwrap_or(0)))),
    }
}

/// Removes if the version is the expected one, or in any case.
pub(super) fn remove(on: &Connection, name: &str, expected: Option<u64>) -> Result<Outcome<bool>> {
    match (known(on, name)?, expected) {
        (None, _) => Ok(Ok(false)),
        (Some((version, _)), Some(expected)) if expected != version => Ok(Err(VariableError::Conflict(version))),
        _ => on.prepare_cached("DELETE FROM variables WHERE name = ?1")?.execute([name]).map(|gone| Ok(gone > 0)),
    }
}

/// Writes those that do not exist; the first of a name counts. Nothing is written when one of them cannot be.
pub(super) fn init(on: &Connection, variables: &[(String, Json)]) -> Result<Outcome<()>> {
    let mut missing: HashMap<&str, &Json> = HashMap::new();
    let mut counts: HashMap<Option<&str>, u64> = HashMap::new();
    for (name, value) in variables {
        if let Err(fault) = check_variable(name, value) {
            return Ok(Err(fault));
        }
        if !missing.contains_key(name.as_str()) && known(on, name)?.is_none() {
            missing.insert(name, value);
            *counts.entry(tenant::of_name(name)).or_default() += 1;
        }
    }
    for (tenant, count) in counts {
        let count = count + charges::variables(on, &space(tenant))?.count;
        if let Err(fault) = check_count(tenant, count) {
            return Ok(Err(fault));
        }
    }
    missing.into_iter().try_for_each(|(name, value)| create(on, name, value).map(drop))?;
    Ok(Ok(()))
}

/// The names of a tenant's, or of all, sorted by their bytes.
pub(super) fn names(on: &Connection, tenant: Option<&str>) -> Result<Vec<String>> {
    let Some(tenant) = tenant else {
        return on
            .prepare_cached("SELECT name FROM variables ORDER BY name")?
            .query_map([], |row| row.get(0))?
            .collect();
    };
    let names = names_of(tenant);
    let sql = "SELECT name FROM variables WHERE name >= ?1 AND name < ?2 ORDER BY name";
    on.prepare_cached(sql)?.query_map((names.start, names.end), |row| row.get(0))?.collect()
}

fn write(on: &Connection, name: &str, known: Known, value: &Json, most: u64) -> Result<Outcome<u64>> {
    let used = charges::variables(on, &space(tenant::of_name(name)))?;
    let had = known.map(|(_, bytes)| bytes);
    if let Err(fault) = check_variable(name, value).and_then(|()| check_room(name, value, had, used, most)) {
        return Ok(Err(fault));
    }
    if had.is_none() {
        return create(on, name, value).map(Ok);
    }
    let sql = "UPDATE variables SET value = ?2, version = version + 1 WHERE name = ?1 RETURNING version";
    on.prepare_cached(sql)?.query_row((name, value.as_str()), |row| row.get(0)).map(|version| Ok(unsigned(version)))
}

fn create(on: &Connection, name: &str, value: &Json) -> Result<u64> {
    let sql = "INSERT INTO variables (name, version, value) SELECT ?1, version + 1, ?2 FROM removals RETURNING version";
    on.prepare_cached(sql)?.query_row((name, value.as_str()), |row| row.get(0)).map(unsigned)
}

fn known(on: &Connection, name: &str) -> Result<Known> {
    let sql = "SELECT version, octet_length(value) FROM variables WHERE name = ?1";
    on.prepare_cached(sql)?.query_row([name], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?)))).optional()
}
