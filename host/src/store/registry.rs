//! Owns what a store keeps of plugins, of routes that came at runtime, and of who managed what. The seam beside
//! [`Store`](super::Store): whoever runs tasks needs none of it. Must not know what a component or a route is.

use super::Answer;
use crate::clock::Timestamp;
use crate::tenant::Quota;
use std::sync::Arc;

/// A component is kept in pieces of so many bytes: a large one never holds up other writes.
pub const CHUNK: usize = 1 << 20;
/// The most former definitions of a route that are kept.
pub const REVISIONS: u32 = 20;
/// The most entries of the audit log about the host's own things that are kept; the oldest go first.
pub const AUDIT_ENTRIES: u32 = 100_000;
/// The most about a tenant's. They push out none but the same tenant's.
pub const TENANT_AUDIT_ENTRIES: u32 = 10_000;

/// A version of a plugin. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// Its name.
    pub name: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// SHA-256 of the component, in hex: where its bytes are.
    pub digest: Arc<str>,
    /// Bytes of the component.
    pub size: u64,
    /// When it was uploaded.
    pub created: Timestamp,
    /// Who uploaded it; `None`: nobody had to say who they are.
    pub by: Option<String>,
    /// The name of the key that signed it.
    pub signer: Option<String>,
}

/// What became of a version that was to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It is new.
    New,
    /// It was there already, with the same bytes.
    Same(Plugin),
    /// The version is there, with other bytes: nothing was changed.
    Other(Plugin),
    /// Its tenant has no room for it: what is used, and what is allowed. Nothing was changed.
    Full(String),
}

/// What a tenant may keep of plugins. The host's own have no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginQuota {
    /// Versions.
    pub versions: u32,
    /// Bytes of their components; one of two versions counts twice.
    pub bytes: u64,
}

impl PluginQuota {
    /// No limit.
    pub const NONE: Self = Self { versions: u32::MAX, bytes: u64::MAX };

    /// Whether a tenant that keeps so many versions with so many bytes has room for one of this size.
    ///
    /// # Errors
    /// What it has, and may have.
    pub fn check(self, tenant: &str, versions: u64, bytes: u64, size: u64) -> Result<(), String> {
        if versions >= self.versions.into() {
            return Err(format!(
                "{tenant} has {versions} versions of plugins, and may have {}: remove some",
                self.versions
            ));
        }
        match bytes.saturating_add(size) <= self.bytes {
            true => Ok(()),
            false => Err(format!(
                "the plugins of {tenant} take {bytes} bytes and this one has {size}, and all may take {}: remove some",
                self.bytes
            )),
        }
    }
}

impl From<&Quota> for PluginQuota {
    fn from(quota: &Quota) -> Self {
        Self { versions: quota.plugins, bytes: quota.plugin_bytes }
    }
}

/// Whether a route takes and starts tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Standing {
    /// Both.
    #[default]
    Active = 0,
    /// It takes tasks, and they wait.
    Paused = 1,
    /// It takes none; those that it has run to their end.
    Draining = 2,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Paused, Self::Draining];

    /// As answers and requests name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Paused => "Paused",
            Self::Draining => "Draining",
        }
    }
}

/// A route that came at runtime, as it was defined once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The route.
    pub name: Arc<str>,
    /// Which of its definitions, from 1.
    pub revision: u64,
    /// The definition, a JSON object.
    pub definition: Arc<str>,
    /// When it was written.
    pub created: Timestamp,
    /// Who wrote it.
    pub by: Option<String>,
}

/// Something that somebody did to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// When.
    pub at: Timestamp,
    /// The tenant whose things it was about; `None`: the host's own.
    pub tenant: Option<Arc<str>>,
    /// Who; `None`: nobody had to say who they are.
    pub by: Option<String>,
    /// From which address.
    pub from: Option<String>,
    /// What: the method and path.
    pub action: String,
    /// The status of the answer.
    pub status: u16,
    /// Why it was refused; else what became of it, if that is worth a word.
    pub detail: Option<String>,
}

/// A deed with its number, which grows with time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedDeed {
    /// From 1.
    pub number: u64,
    /// The deed.
    pub deed: Deed,
}

/// Which deeds are looked for: those that fit all that is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeedFilter {
    /// With lower numbers.
    pub before: u64,
    /// About this tenant's things; `None`: about anybody's.
    pub tenant: Option<Arc<str>>,
    /// By this user.
    pub by: Option<String>,
    /// With this text in what was done; case counts.
    pub action: Option<String>,
    /// At this moment or later.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
}

impl Default for DeedFilter {
    /// All.
    fn default() -> Self {
        Self { before: u64::MAX, tenant: None, by: None, action: None, since: None, until: None }
    }
}

/// Durable storage of plugins, routes and deeds. An answer means: it is on disk.
pub trait Registry: Send + Sync + 'static {
    /// Keeps a piece of a component, from 0. Pieces that belong to no plugin in the end are removed by [`Registry::sweep_components`].
    fn keep_chunk(&self, digest: &str, number: u32, bytes: Vec<u8>) -> Answer<'_, ()>;
    /// Adds a version whose pieces are kept, if all versions in its tenant's name space stay within `most`.
    fn add_plugin(&self, plugin: Plugin, most: PluginQuota) -> Answer<'_, Added>;
    /// All versions of all plugins, by name, oldest first.
    fn plugins(&self) -> Answer<'_, Vec<Plugin>>;
    /// A component's bytes; `None` when it is not there as a whole.
    fn component(&self, digest: &str, size: u64) -> Answer<'_, Option<Vec<u8>>>;
    /// Removes a version, or all (`None`); answers how many there were.
    fn remove_plugin(&self, name: &str, version: Option<&str>) -> Answer<'_, u32>;
    /// Removes the pieces that belong to no plugin; answers how many bytes.
    fn sweep_components(&self) -> Answer<'_, u64>;
    /// Writes the next definition of a route, which is in force from then on, with this standing; answers its number.
    fn put_route(&self, route: Revision, standing: Standing) -> Answer<'_, u64>;
    /// The definitions in force, by name, and how each route stands.
    fn routes(&self) -> Answer<'_, Vec<(Revision, Standing)>>;
    /// All kept definitions of a route, newest first.
    fn revisions(&self, name: &str) -> Answer<'_, Vec<Revision>>;
    /// Changes how a route stands; `false`: there is none.
    fn set_standing(&self, name: &str, standing: Standing) -> Answer<'_, bool>;
    /// Removes a route and all its definitions; `false`: there is none.
    fn remove_route(&self, name: &str) -> Answer<'_, bool>;
    /// Notes a deed. The oldest of the same tenant, or of the host's own, go when there are too many.
    fn note_deed(&self, deed: Deed) -> Answer<'_, ()>;
    /// The newest deeds of these, newest first, at most `limit`.
    fn deeds(&self, filter: DeedFilter, limit: u32) -> Answer<'_, Vec<NumberedDeed>>;
    /// Removes deeds from before this moment, oldest first, at most [`super::PURGE_BATCH`]; answers how many.
    fn purge_deeds(&self, before: Timestamp) -> Answer<'_, u32>;
}
