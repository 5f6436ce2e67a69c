//! Owns the statements on plugins, routes and deeds.
//! Must not know threads or transactions: every function runs within one that its caller has begun.

use super::super::Answer;
use super::super::registry::{
    Added, Deed, DeedFilter, NumberedDeed, Plugin, PluginQuota, REVISIONS, Registry, Revision, Standing,
};
use super::super::usage::names_of;
use super::{SqliteStore, deeds};
use crate::clock::Timestamp;
use crate::tenant;
use rusqlite::{Connection, OptionalExtension, Result, Row};

impl Registry for SqliteStore {
    fn keep_chunk(&self, digest: &str, number: u32, bytes: Vec<u8>) -> Answer<'_, ()> {
        let digest = digest.to_owned();
        self.writer.ask(bytes.len(), move |on| {
            let sql = "INSERT OR REPLACE INTO chunks (digest, number, data) VALUES (?1, ?2, ?3)";
            on.prepare_cached(sql)?.execute((&digest, number, &bytes)).map(drop)
        })
    }

    fn add_plugin(&self, plugin: Plugin, most: PluginQuota) -> Answer<'_, Added> {
        self.writer.ask(0, move |on| add_plugin(on, &plugin, most))
    }

    fn plugins(&self) -> Answer<'_, Vec<Plugin>> {
        self.reading().ask(0, |on| {
            let sql = format!("{PLUGIN} ORDER BY name, rowid");
            on.prepare_cached(&sql)?.query_map([], plugin)?.collect()
        })
    }

    fn component(&self, digest: &str, size: u64) -> Answer<'_, Option<Vec<u8>>> {
        let digest = digest.to_owned();
        self.reading().ask(0, move |on| {
            let mut bytes = Vec::new();
            let mut statement = on.prepare_cached("SELECT data FROM chunks WHERE digest = ?1 ORDER BY number")?;
            let mut rows = statement.query([&digest])?;
            while let Some(row) = rows.next()? {
                bytes.extend_from_slice(row.get_ref(0)?.as_blob()?);
            }
            Ok(u64::try_from(bytes.len()).is_ok_and(|found| found == size).then_some(bytes))
        })
    }

    fn remove_plugin(&self, name: &str, version: Option<&str>) -> Answer<'_, u32> {
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        self.writer.ask(0, move |on| {
            let sql = "DELETE FROM plugins WHERE name = ?1 AND version = ifnull(?2, version)";
            on.prepare_cached(sql)?.execute((&name, &version)).map(|gone| u32::try_from(gone).unwrap_or(u32::MAX))
        })
    }

    fn sweep_components(&self) -> Answer<'_, u64> {
        self.writer.ask(0, |on| {
            let orphans = "FROM chunks WHERE digest NOT IN (SELECT digest FROM plugins)";
            let bytes =
                on.query_row(&format!("SELECT ifnull(sum(length(data)), 0) {orphans}"), [], |row| row.get(0))?;
            on.execute(&format!("DELETE {orphans}"), []).map(|_| unsigned(bytes))
        })
    }

    fn put_route(&self, route: Revision, standing: Standing) -> Answer<'_, u64> {
        self.writer.ask(route.definition.len(), move |on| put_route(on, &route, standing))
    }

    fn routes(&self) -> Answer<'_, Vec<(Revision, Standing)>> {
        self.reading().ask(0, |on| {
            let sql = "SELECT revisions.name, revision, definition, created, author, standing
                       FROM routes JOIN revisions USING (name, revision) ORDER BY name";
            let row = |row: &Row<'_>| Ok((revision(row)?, standing(row.get(5)?)));
            on.prepare_cached(sql)?.query_map([], row)?.collect()
        })
    }

    fn revisions(&self, name: &str) -> Answer<'_, Vec<Revision>> {
        let name = name.to_owned();
        self.reading().ask(0, move |on| {
            let sql = "SELECT name, revision, definition, created, author FROM revisions
                       WHERE name = ?1 ORDER BY revision DESC";
            on.prepare_cached(sql)?.query_map([&name], revision)?.collect()
        })
    }

    fn set_standing(&self, name: &str, standing: Standing) -> Answer<'_, bool> {
        let name = name.to_owned();
        self.writer.ask(0, move |on| {
            let sql = "UPDATE routes SET standing = ?2 WHERE name = ?1";
            on.prepare_cached(sql)?.execute((&name, standing as u8)).map(|changed| changed > 0)
        })
    }

    fn remove_route(&self, name: &str) -> Answer<'_, bool> {
        let name = name.to_owned();
        self.writer.ask(0, move |on| {
            on.prepare_cached("DELETE FROM revisions WHERE name = ?1")?.execute([&name])?;
            on.prepare_cached("DELETE FROM routes WHERE name = ?1")?.execute([&name]).map(|gone| gone > 0)
        })
    }

    fn note_deed(&self, deed: Deed) -> Answer<'_, ()> {
        self.writer.ask(0, move |on| deeds::note(on, &deed))
    }

    fn deeds(&self, filter: DeedFilter, limit: u32) -> Answer<'_, Vec<NumberedDeed>> {
        // It may look at every deed: point reads go on.
        self.searching().ask(0, move |on| deeds::find(on, &filter, limit))
    }

    fn purge_deeds(&self, before: Timestamp) -> Answer<'_, u32> {
        self.writer.ask(0, move |on| deeds::purge(on, before))
    }
}

const PLUGIN: &str = "SELECT name, version, digest, bytes, created, author, signer FROM plugins";

fn plugin(row: &Row<'_>) -> Result<Plugin> {
    Ok(Plugin {
        name: row.get::<_, String>(0)?.into(),
        version: row.get::<_, String>(1)?.into(),
        digest: row.get::<_, String>(2)?.into(),
        size: unsigned(row.get(3)?),
        created: Timestamp(row.get(4)?),
        by: row.get(5)?,
        signer: row.get(6)?,
    })
}

fn add_plugin(on: &Connection, new: &Plugin, most: PluginQuota) -> Result<Added> {
    let sql = format!("{PLUGIN} WHERE name = ?1 AND version = ?2");
    let known = on.prepare_cached(&sql)?.query_row((&*new.name, &*new.version), plugin).optional()?;
    match known {
        Some(known) if known.digest == new.digest => return Ok(Added::Same(known)),
        Some(known) => return Ok(Added::Other(known)),
        None => {}
    }
    if let Some(fault) = beyond(on, new, most)? {
        return Ok(Added::Full(fault));
    }
    let sql = "INSERT INTO plugins (name, version, digest, bytes, created, author, signer)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let size = i64::try_from(new.size).unwrap_or(i64::MAX);
    let values = (&*new.name, &*new.version, &*new.digest, size, new.created.0, &new.by, &new.signer);
    on.prepare_cached(sql)?.execute(values)?;
    Ok(Added::New)
}

/// Why a tenant has no room for a further version.
fn beyond(on: &Connection, new: &Plugin, most: PluginQuota) -> Result<Option<String>> {
    let Some(tenant) = tenant::of_name(&new.name) else { return Ok(None) };
    let names = names_of(tenant);
    let sql = "SELECT count(*), ifnull(sum(bytes), 0) FROM plugins WHERE name >= ?1 AND name < ?2";
    let (versions, bytes): (i64, i64) =
        on.prepare_cached(sql)?.query_row((names.start, names.end), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(most.check(tenant, unsigned(versions), unsigned(bytes), new.size).err())
}

fn put_route(on: &Connection, route: &Revision, standing: Standing) -> Result<u64> {
    let sql = "SELECT ifnull(max(revision), 0) + 1 FROM revisions WHERE name = ?1";
    let number: i64 = on.prepare_cached(sql)?.query_row([&*route.name], |row| row.get(0))?;
    let sql = "INSERT INTO revisions (name, revision, definition, created, author) VALUES (?1, ?2, ?3, ?4, ?5)";
    let values = (&*route.name, number, &*route.definition, route.created.0, &route.by);
    on.prepare_cached(sql)?.execute(values)?;
    let oldest = number.saturating_sub(REVISIONS.into());
    on.prepare_cached("DELETE FROM revisions WHERE name = ?1 AND revision <= ?2")?.execute((&*route.name, oldest))?;
    let sql = "INSERT INTO routes (name, revision, standing) VALUES (?1, ?2, ?3)
               ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, standing = excluded.standing";
    on.prepare_cached(sql)?.execute((&*route.name, number, standing as u8))?;
    Ok(unsigned(number))
}

fn revision(row: &Row<'_>) -> Result<Revision> {
    Ok(Revision {
        name: row.get::<_, String>(0)?.into(),
        revision: unsigned(row.get(1)?),
        definition: row.get::<_, String>(2)?.into(),
        created: Timestamp(row.get(3)?),
        by: row.get(4)?,
    })
}

fn standing(number: u8) -> Standing {
    Standing::ALL.into_iter().find(|standing| *standing as u8 == number).unwrap_or_default()
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
