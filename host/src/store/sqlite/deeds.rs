//! Owns the statements on deeds: the audit log, how many of whose are kept, and how they are found.
//! Must not know threads or transactions: every function runs within one that its caller has begun.

use super::super::PURGE_BATCH;
use super::super::registry::{AUDIT_ENTRIES, Deed, DeedFilter, NumberedDeed, TENANT_AUDIT_ENTRIES};
use super::super::usage::{space, tenant_of};
use super::registry::unsigned;
use crate::clock::Timestamp;
use rusqlite::{Connection, Result, Row, ToSql, named_params};

/// Notes one, and removes the oldest of the same name space when there are too many.
pub(super) fn note(on: &Connection, deed: &Deed) -> Result<()> {
    let space = space(deed.tenant.as_deref());
    let most = if deed.tenant.is_some() { TENANT_AUDIT_ENTRIES } else { AUDIT_ENTRIES };
    let sql =
        "INSERT INTO deeds (at, author, origin, action, status, detail, space) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let values = (deed.at.0, &deed.by, &deed.from, &deed.action, deed.status, &deed.detail, &space);
    on.prepare_cached(sql)?.execute(values)?;
    let count = "SELECT deeds FROM uses WHERE space = ?1";
    let count: i64 = on.prepare_cached(count)?.query_row([&space], |row| row.get(0))?;
    let surplus = count.saturating_sub(most.into());
    if surplus > 0 {
        on.prepare_cached(&format!("DELETE FROM deeds WHERE number IN ({OLDEST})"))?.execute((&space, surplus))?;
    }
    Ok(())
}

const OLDEST: &str = "SELECT number FROM deeds INDEXED BY deeds_space WHERE space = ?1 ORDER BY number LIMIT ?2";
const OLD: &str = "SELECT number FROM deeds INDEXED BY deeds_at WHERE at < ?1 ORDER BY at LIMIT ?2";

/// See [`super::super::registry::Registry::deeds`].
pub(super) fn find(on: &Connection, filter: &DeedFilter, limit: u32) -> Result<Vec<NumberedDeed>> {
    let before = i64::try_from(filter.before).unwrap_or(i64::MAX);
    let space = space(filter.tenant.as_deref());
    let (since, until) = (filter.since.map(|at| at.0), filter.until.map(|at| at.0));
    let values: &[(&str, &dyn ToSql)] = named_params! {
        ":before": before, ":space": space, ":by": filter.by, ":action": filter.action, ":since": since, ":until": until,
        ":limit": limit,
    };
    on.prepare_cached(&wanted(filter.tenant.is_some()))?.query_map(values, deed)?.collect()
}

/// The statement that finds deeds, by name space or not. Numbers grow in an index on name spaces too.
fn wanted(in_space: bool) -> String {
    let whose = if in_space {
        "deeds INDEXED BY deeds_space WHERE space = :space"
    } else {
        "deeds NOT INDEXED WHERE :space = ''"
    };
    format!(
        "SELECT number, at, author, origin, action, status, detail, space FROM {whose} AND number < :before
         AND (:by IS NULL OR author = :by) AND (:action IS NULL OR instr(action, :action) > 0)
         AND at >= ifnull(:since, at) AND (:until IS NULL OR at < :until)
         ORDER BY number DESC LIMIT :limit"
    )
}

/// Removes old ones.
pub(super) fn purge(on: &Connection, before: Timestamp) -> Result<u32> {
    let sql = format!("DELETE FROM deeds WHERE number IN ({OLD})");
    on.prepare_cached(&sql)?.execute((before.0, PURGE_BATCH)).map(|gone| u32::try_from(gone).unwrap_or(u32::MAX))
}

fn deed(row: &Row<'_>) -> Result<NumberedDeed> {
    let deed = Deed {
        at: Timestamp(row.get(1)?),
        tenant: tenant_of(row.get_ref(7)?.as_str()?).map(Into::into),
        by: row.get(2)?,
        from: row.get(3)?,
        action: row.get(4)?,
        status: row.get(5)?,
        detail: row.get(6)?,
    };
    Ok(NumberedDeed { number: unsigned(row.get(0)?), deed })
}
