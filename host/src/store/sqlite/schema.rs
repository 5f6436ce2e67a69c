//! Owns the tables: whose database a file is, which version it has, and how it gets to the newest.
//! Must not know where the file is or what is done with the tables.

use rusqlite::{Connection, TransactionBehavior};

/// `SPOL`: marks a SQLite file as ours.
pub(super) const APPLICATION: i32 = 0x5350_4F4C;

/// Step `n` leads from version `n` to `n + 1`. A released step is never changed; a new version is a new step.
///
/// * `seq` is the order of insertion. The invocation has a table of its own, because an update writes the whole row
///   and an invocation, as large as the request's body, never changes.
/// * `log` is the last column: reading the others does not touch its pages. It is written once, together with them.
/// * Of the indices, a claim changes `tasks_running` only, which is never longer than there are slots. The others of
///   tasks are written when a task comes or when it ends.
/// * `tasks_named` finds ended tasks by name and state, newest first: its entries end with the row's number.
/// * `alias` is the id in lower case, where that differs: ids are found in any case, and most schemes need no index.
/// * `readers` holds, for everybody who may read a task or owns it, the task's number. The names are folded by
///   `query::fold`, and so are those that are looked up. It narrows a search down; `Permission` decides.
/// * A submission goes with its task.
pub(super) const STEPS: [&str; 5] = [FIRST, FOLLOWED, OUTBOX, REGISTRY, TENANTS];

const FIRST: &str = "
    CREATE TABLE tasks (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        alias TEXT,
        name TEXT NOT NULL,
        owner TEXT,
        state INTEGER NOT NULL,
        cancellable INTEGER NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER,
        started INTEGER,
        completed INTEGER,
        attempt INTEGER NOT NULL,
        due INTEGER,
        slot TEXT,
        progress REAL,
        error TEXT,
        result TEXT,
        log TEXT
    ) STRICT;
    CREATE INDEX tasks_open ON tasks (completed) WHERE completed IS NULL;
    CREATE INDEX tasks_ended ON tasks (state, completed) WHERE completed IS NOT NULL;
    CREATE INDEX tasks_running ON tasks (state) WHERE state = 1;
    CREATE INDEX tasks_named ON tasks (name, state) WHERE completed IS NOT NULL;
    CREATE INDEX tasks_alias ON tasks (alias) WHERE alias IS NOT NULL;
    CREATE TABLE readers (
        principal TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (principal, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE submissions (
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        digest BLOB NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (scope, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX submissions_task ON submissions (seq);
    CREATE TABLE invocations (
        seq INTEGER PRIMARY KEY,
        permission TEXT,
        body TEXT NOT NULL
    ) STRICT;
    CREATE TABLE variables (
        name TEXT NOT NULL PRIMARY KEY,
        version INTEGER NOT NULL,
        value TEXT NOT NULL
    ) STRICT;
";

/// * `followed` has a row for each task whose route sends events, with the group.
/// * Numbers of events are never given twice, not even after the newest is gone: clients resume by them.
const FOLLOWED: &str = "
    CREATE TABLE followed (
        seq INTEGER PRIMARY KEY,
        grp TEXT
    ) STRICT;
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        task INTEGER NOT NULL,
        name TEXT NOT NULL,
        data TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_task ON events (task);
";

/// * `callbacks` has the tasks with a callback, so that an end finds out soon whether it has one.
/// * A delivery enters with its task's end. Its number is never given twice: whoever has seen all up to one number
///   finds those that entered since by their numbers.
/// * `next` is when the next attempt is due; the two indices hold only deliveries that have one.
/// * `made` counts the attempts; the schedule counts from `begun` on. `attempts` has the newest as JSON.
const OUTBOX: &str = "
    CREATE TABLE callbacks (
        seq INTEGER PRIMARY KEY,
        host TEXT NOT NULL
    ) STRICT;
    CREATE TABLE deliveries (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        seq INTEGER NOT NULL UNIQUE,
        host TEXT NOT NULL,
        standing INTEGER NOT NULL,
        made INTEGER NOT NULL,
        begun INTEGER NOT NULL,
        next INTEGER,
        bytes INTEGER NOT NULL,
        attempts TEXT NOT NULL
    ) STRICT;
    CREATE INDEX deliveries_due ON deliveries (next) WHERE next IS NOT NULL;
    CREATE INDEX deliveries_host ON deliveries (host, next) WHERE next IS NOT NULL;
";

/// * Rows of `plugins` are numbered in the order of uploads: the latest version has the highest number.
/// * `chunks` holds the pieces of components by digest, whoever needs them.
/// * `routes` says which definition is in force, `revisions` has the former ones too. A rolled back one is a new one.
/// * Deeds are numbered in their order.
const REGISTRY: &str = "
    CREATE TABLE plugins (
        rowid INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        digest TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        created INTEGER NOT NULL,
        author TEXT,
        signer TEXT,
        UNIQUE (name, version)
    ) STRICT;
    CREATE INDEX plugins_digest ON plugins (digest);
    CREATE TABLE chunks (
        digest TEXT NOT NULL,
        number INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (digest, number)
    ) STRICT;
    CREATE TABLE revisions (
        name TEXT NOT NULL,
        revision INTEGER NOT NULL,
        definition TEXT NOT NULL,
        created INTEGER NOT NULL,
        author TEXT,
        PRIMARY KEY (name, revision)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE routes (
        name TEXT NOT NULL PRIMARY KEY,
        revision INTEGER NOT NULL,
        standing INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE deeds (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        author TEXT,
        origin TEXT,
        action TEXT NOT NULL,
        status INTEGER NOT NULL,
        detail TEXT
    ) STRICT;
";

/// * A name space is a tenant's name with the separator after it, as in `acme:orders`, or nothing: the host's own.
/// * `uses` has what each name space uses. Triggers keep it, so that no statement can forget to: it always equals a
///   recount. A row goes with the last that it counts.
/// * `charges` has the tasks of tenants alone, so that others cost nothing. `bytes` is all of a task, `log` the part of
///   it that its log is; `charges_ended` finds the oldest ended ones of a tenant. Older stores have no such tasks.
/// * `removals` has the highest version that a removed variable had: no version is given twice to a name.
/// * Deeds are told by name space, and by time, which may jump.
const TENANTS: &str = "
    CREATE TABLE uses (
        space TEXT NOT NULL PRIMARY KEY,
        tasks INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        variables INTEGER NOT NULL DEFAULT 0,
        variable_bytes INTEGER NOT NULL DEFAULT 0,
        deeds INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER uses_none AFTER UPDATE ON uses WHEN NEW.tasks = 0 AND NEW.variables = 0 AND NEW.deeds = 0 BEGIN
        DELETE FROM uses WHERE space = NEW.space;
    END;

    CREATE TABLE charges (
        seq INTEGER PRIMARY KEY,
        space TEXT NOT NULL,
        completed INTEGER,
        bytes INTEGER NOT NULL,
        log INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX charges_ended ON charges (space, completed) WHERE completed IS NOT NULL;
    CREATE TRIGGER charges_new AFTER INSERT ON charges BEGIN
        INSERT INTO uses (space, tasks, bytes) VALUES (NEW.space, 1, NEW.bytes)
        ON CONFLICT (space) DO UPDATE SET tasks = tasks + 1, bytes = bytes + excluded.bytes;
    END;
    CREATE TRIGGER charges_changed AFTER UPDATE OF bytes ON charges BEGIN
        UPDATE uses SET bytes = bytes + NEW.bytes - OLD.bytes WHERE space = NEW.space;
    END;
    CREATE TRIGGER charges_gone AFTER DELETE ON charges BEGIN
        UPDATE uses SET tasks = tasks - 1, bytes = bytes - OLD.bytes WHERE space = OLD.space;
    END;

    ALTER TABLE variables ADD COLUMN space TEXT GENERATED ALWAYS AS
        (CAST(substr(CAST(name AS BLOB), 1, instr(CAST(name AS BLOB), x'3A')) AS TEXT)) VIRTUAL;
    CREATE TRIGGER variables_new AFTER INSERT ON variables BEGIN
        INSERT INTO uses (space, variables, variable_bytes)
        VALUES (NEW.space, 1, octet_length(NEW.name) + octet_length(NEW.value))
        ON CONFLICT (space) DO UPDATE
        SET variables = variables + 1, variable_bytes = variable_bytes + excluded.variable_bytes;
    END;
    CREATE TRIGGER variables_changed AFTER UPDATE OF value ON variables BEGIN
        UPDATE uses SET variable_bytes = variable_bytes + octet_length(NEW.value) - octet_length(OLD.value)
        WHERE space = NEW.space;
    END;
    CREATE TABLE removals (version INTEGER NOT NULL) STRICT;
    INSERT INTO removals VALUES (0);
    CREATE TRIGGER variables_gone AFTER DELETE ON variables BEGIN
        UPDATE uses SET variables = variables - 1,
                        variable_bytes = variable_bytes - octet_length(OLD.name) - octet_length(OLD.value)
        WHERE space = OLD.space;
        UPDATE removals SET version = max(version, OLD.version);
    END;

    ALTER TABLE deeds ADD COLUMN space TEXT NOT NULL DEFAULT '';
    CREATE INDEX deeds_space ON deeds (space);
    CREATE INDEX deeds_at ON deeds (at);
    CREATE TRIGGER deeds_new AFTER INSERT ON deeds BEGIN
        INSERT INTO uses (space, deeds) VALUES (NEW.space, 1)
        ON CONFLICT (space) DO UPDATE SET deeds = deeds + 1;
    END;
    CREATE TRIGGER deeds_gone AFTER DELETE ON deeds BEGIN
        UPDATE uses SET deeds = deeds - 1 WHERE space = OLD.space;
    END;

    INSERT INTO uses (space, variables, variable_bytes)
        SELECT space, count(*), sum(octet_length(name) + octet_length(value)) FROM variables GROUP BY space;
    INSERT INTO uses (space, deeds) SELECT space, count(*) FROM deeds WHERE true GROUP BY space
        ON CONFLICT (space) DO UPDATE SET deeds = excluded.deeds;
";

/// The version that this program writes.
pub(super) const NEWEST: usize = STEPS.len();

/// Why a database cannot be the store.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Another program's tables.
    #[error("it is the SQLite database of another application (application id {0:#010x})")]
    Foreign(i32),
    /// Written by a later program.
    #[error("its version is {0}, and the newest that this program knows is {NEWEST}")]
    Newer(i64),
    /// Its place does not allow what the store needs.
    #[error("{0}")]
    Unfit(&'static str),
    /// SQLite cannot work with it.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Finds out whose database it is without writing to it; answers its version, 0 when it is empty.
pub(super) fn identify(connection: &Connection) -> Result<usize, Refusal> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = connection.query_row("PRAGMA application_id", [], |row| row.get::<_, i32>(0))?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match (application, usize::try_from(version)) {
        (0, Ok(0)) if tables == 0 => Ok(0),
        (APPLICATION, Ok(known)) if known <= NEWEST => Ok(known),
        (APPLICATION, _) => Err(Refusal::Newer(version)),
        _ => Err(Refusal::Foreign(application)),
    }
}

/// Brings the tables to the newest version, all steps or none.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Refusal> {
    connection.set_prepared_statement_cache_capacity(64);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = identify(&transaction)?;
    for step in STEPS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    if version < NEWEST {
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", i64::try_from(NEWEST).unwrap_or(i64::MAX))?;
    }
    Ok(transaction.commit()?)
}
