//! Owns the database as a file: opening and locking it, refusing what is no store, and the settings of a connection.
//! Must not know the tables.

use super::super::StoreError;
use super::schema::{self, Refusal};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for a foreign process that has the file locked for a moment, such as the `sqlite3` shell.
const BUSY: Duration = Duration::from_secs(5);

/// Settings of the connection that writes. FULL: a commit is on the disk when it returns. The cache holds the index on
/// ids, whose order is random. A WAL that grew because a reader was in the way is cut back afterwards.
const SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -8192;
    PRAGMA journal_size_limit = 67108864;
";
/// The commit that finds so many pages of 4 KiB in the WAL also moves them into the database, and its callers wait
/// longer. Measured at full load with 64 callers, p99: 5 ms with 500 pages, 7 ms with 1,000, 12 ms with 2,000 and
/// 18 ms with 4,000, for 41, 45, 45 and 48 thousand inserts a second.
const CHECKPOINT: u32 = 1000;

/// What [`open`] gives.
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// Where it is, without links.
    pub(super) path: PathBuf,
    /// Held as long as the store is open.
    pub(super) lock: File,
}

/// Opens the file for writing, with the newest tables in it.
pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let path = locate(path)?;
    let lock = lock(&path)?;
    // Without SQLITE_OPEN_URI: a path means itself, whatever it looks like.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(|error| refused(&path, &error.into()))?;
    let connection = configure(connection).map_err(|refusal| refused(&path, &refusal))?;
    Ok(Opened { connection, path, lock })
}

/// Opens the file for reading beside its writer.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| refused(path, &error.into()))?;
    connection.busy_timeout(BUSY).map_err(|error| refused(path, &error.into()))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Empties the WAL into the database, so that the one file is all there is, and closes.
pub(super) fn close(connection: Connection) {
    let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = emptied.and_then(|()| connection.close().map_err(|(_, error)| error)) {
        tracing::warn!(%error, "the store was closed with a WAL beside it; the next start reads it");
    }
}

fn configure(mut connection: Connection) -> Result<Connection, Refusal> {
    connection.busy_timeout(BUSY)?;
    // Before anything is written: a foreign file stays as it is.
    schema::identify(&connection)?;
    if connection.is_readonly("main")? {
        return Err(Refusal::Unfit("it cannot be written"));
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Refusal::Unfit("its file system lacks the shared memory that SQLite's WAL needs"));
    }
    connection.execute_batch(SETTINGS)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
    schema::prepare(&mut connection)?;
    Ok(connection)
}

/// The file's path without links, so that every way to it leads to the same lock.
fn locate(path: &Path) -> Result<PathBuf, StoreError> {
    let shown = path.display();
    let refuse = |what: String| Err(StoreError::Open(format!("{what}; name another file in `store.url`")));
    if path.is_dir() {
        return refuse(format!("the store cannot be {shown}, which is a folder"));
    }
    if let Ok(found) = path.canonicalize() {
        return Ok(found);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name() else {
        return refuse(format!("the store cannot be {shown:?}, which names no file"));
    };
    match folder.canonicalize() {
        Ok(found) if found.is_dir() => Ok(found.join(name)),
        Ok(found) => refuse(format!("the store cannot be {shown}: {} is not a folder", found.display())),
        Err(error) => refuse(format!(
            "the store cannot be {shown}: its folder {} cannot be used ({error}): create it",
            folder.display()
        )),
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = OsString::from(path);
    name.push(".lock");
    let (shown, place) = (path.display(), Path::new(&name).display());
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&name).map_err(|error| {
        StoreError::Open(format!(
            "the store {shown} cannot be opened: its lock file {place} cannot be written ({error}); \
             give this user write access to the folder, or name another file in `store.url`"
        ))
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Open(format!(
            "the store {shown} is in use by another process, which holds {place}; \
             stop that process, or name another file in `store.url`"
        ))),
        Err(TryLockError::Error(error)) => Err(StoreError::Open(format!(
            "the store {shown} cannot be opened: {place} cannot be locked ({error}); \
             name a file on a local file system in `store.url`"
        ))),
    }
}

fn refused(path: &Path, refusal: &Refusal) -> StoreError {
    let shown = path.display();
    StoreError::Open(match refusal {
        Refusal::Newer(_) => format!(
            "the store {shown} was written by a newer sandpool: {refusal}; \
             use a newer sandpool, or name another file in `store.url`"
        ),
        Refusal::Foreign(_) => format!("{shown} is no store of sandpool: {refusal}; name another file in `store.url`"),
        Refusal::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            format!("{shown} is no store of sandpool: it is not a SQLite database; name another file in `store.url`")
        }
        Refusal::Unfit(_) | Refusal::Sqlite(_) => format!(
            "the store {shown} cannot be opened: {refusal}; see that this user may write to the file and its folder \
             and that the disk has room, or name another file in `store.url`"
        ),
    })
}
