//! Owns the statements on submissions with an idempotency key.
//! Must not know threads or transactions: every function runs within one that its caller has begun.

use super::super::{Submission, Submitted};
use super::tasks::{self, New};
use crate::ids::TaskId;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Result};

/// Stores the task unless its submission is known. `None`: there is another task with this id.
pub(super) fn insert(on: &Connection, new: &New, submission: &Submission) -> Result<Option<Submitted>> {
    if let Some(known) = find(on, submission)? {
        return Ok(Some(known));
    }
    if !tasks::insert(on, new)? {
        return Ok(None);
    }
    let sql = "INSERT INTO submissions (scope, key, digest, seq) SELECT ?1, ?2, ?3, seq FROM tasks WHERE id = ?4";
    let values = (scope(submission), &submission.key, submission.digest, new.id().as_str());
    on.prepare_cached(sql)?.execute(values)?;
    Ok(Some(Submitted::New))
}

/// What became of an earlier submission with this key.
pub(super) fn find(on: &Connection, submission: &Submission) -> Result<Option<Submitted>> {
    let sql = "SELECT id, digest FROM submissions CROSS JOIN tasks USING (seq) WHERE scope = ?1 AND key = ?2";
    let found = on.prepare_cached(sql)?.query_row((scope(submission), &submission.key), |row| {
        let id = TaskId::parse(row.get_ref(0)?.as_str()?);
        let damaged = |fault| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(fault));
        let same = row.get_ref(1)?.as_blob()? == submission.digest;
        Ok(if same { Submitted::Same(id.map_err(damaged)?) } else { Submitted::Conflict })
    });
    found.optional()
}

/// Forgets the submission of a task.
pub(super) fn forget(on: &Connection, seq: i64) -> Result<()> {
    on.prepare_cached("DELETE FROM submissions WHERE seq = ?1")?.execute([seq]).map(drop)
}

/// The route and the user, who is told apart from nobody.
fn scope(submission: &Submission) -> String {
    match &submission.user {
        Some(user) => format!("{}\n{user}", submission.route),
        None => submission.route.to_string(),
    }
}
