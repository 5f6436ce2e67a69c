//! Owns uploaded components: received within limits, checked, compiled in a child process, kept in the store.
//! Must not know HTTP, nor what routes do with them.

mod receive;
mod signature;

pub use receive::Incoming;

use crate::clock::Clock;
use crate::route::{PluginChoice, plugin_name};
use crate::store::StoreError;
use crate::store::registry::{Added, CHUNK, Plugin, PluginQuota, Registry};
use crate::tenant::{Account, Ledger, full_plugin_name, of_name};
use crate::wasm::{Binary, Inspection, LoadError, Loader, Program, World};
use bytes::Bytes;
use futures_util::Stream;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;

/// How many components are received at once.
const UPLOADS: usize = 64;
/// How many of them by the same caller.
const UPLOADS_OF_ONE: usize = 2;
/// The most KiB of components that are being received, checked and stored.
const UPLOADS_KIB: usize = 512 << 10;
/// How many are compiled at once: each may take a core and 2 GiB.
const COMPILES: usize = 1;

/// What the registry of plugins is made of.
pub struct Options {
    /// Where plugins are kept.
    pub registry: Arc<dyn Registry>,
    /// Compiles them.
    pub loader: Arc<Loader>,
    /// What tenants may use: compiling is charged to the one whose plugin it is.
    pub ledger: Arc<Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What may be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of a component.
    pub max_size: u64,
    /// Public Ed25519 keys by name. With any, each upload must be signed by one of them.
    pub keys: Vec<(String, [u8; 32])>,
}

/// Who uploads what.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The plugin's name.
    pub name: String,
    /// The version; `None`: one that is made of the digest.
    pub version: Option<String>,
    /// The caller, as it is shown; `None`: nobody had to say.
    pub by: Option<String>,
    /// By what uploads at once are counted.
    pub caller: String,
    /// `KEY:SIGNATURE`, the signature of the component's bytes in base64.
    pub signature: Option<String>,
}

/// Why an upload was refused. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The name or version cannot be one.
    #[error("{0}")]
    Name(String),
    /// It has too many bytes.
    #[error("the component has more than the {0} bytes that are allowed")]
    TooLarge(u64),
    /// The tenant has no room for it.
    #[error("{0}")]
    Quota(String),
    /// Too many uploads at once.
    #[error("{0}")]
    Busy(&'static str),
    /// It came too slowly.
    #[error("the component did not arrive in time")]
    Slow,
    /// It broke off.
    #[error("the component could not be read: {0}")]
    Broken(String),
    /// It is no component, does not compile, or fits no world.
    #[error("{0}")]
    Unfit(String),
    /// It is not signed as it must be.
    #[error("{0}")]
    Signature(String),
    /// The version is there, with other bytes.
    #[error("version {} of {} is there already, with the digest sha256:{}: versions never change", .0.version, .0.name, .0.digest)]
    Taken(Box<Plugin>),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This host failed.
    #[error("{0}")]
    Host(String),
}

/// A version of a plugin, and what its component is.
#[derive(Debug, Clone)]
pub struct Uploaded {
    /// The version.
    pub plugin: Plugin,
    /// Whether it was not there before.
    pub is_new: bool,
    /// What there is to know of the component.
    pub inspection: Inspection,
}

/// The registry of plugins; clones share it.
#[derive(Clone)]
pub struct Plugins(Arc<Inner>);

struct Inner {
    options: Options,
    limits: Mutex<Limits>,
    uploads: Semaphore,
    of_callers: Mutex<HashMap<String, usize>>,
    room: Arc<Semaphore>,
    compiling: Semaphore,
    /// Held while pieces are kept that belong to no plugin yet, and while such pieces are removed.
    changing: tokio::sync::Mutex<()>,
}

impl Plugins {
    /// The plugins of this store.
    #[must_use]
    pub fn new(options: Options, limits: Limits) -> Self {
        Self(Arc::new(Inner {
            options,
            limits: Mutex::new(limits),
            uploads: Semaphore::new(UPLOADS),
            of_callers: Mutex::default(),
            room: Arc::new(Semaphore::new(UPLOADS_KIB)),
            compiling: Semaphore::new(COMPILES),
            changing: tokio::sync::Mutex::default(),
        }))
    }

    /// From now on these limits hold.
    pub fn limit(&self, limits: Limits) {
        *self.0.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    fn limits(&self) -> Limits {
        self.0.limits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a component in: it is compiled and stored when this answers.
    ///
    /// # Errors
    /// [`UploadError`] says why not.
    pub async fn upload<E: std::fmt::Display>(
        &self,
        upload: Upload,
        body: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<Uploaded, UploadError> {
        let fault = |part: &str, expected| UploadError::Name(format!("`{part}`: {expected}"));
        full_plugin_name(&upload.name).map_err(|expected| fault(&upload.name, expected))?;
        if let Some(version) = &upload.version {
            plugin_name(version).map_err(|expected| fault(version, expected))?;
        }
        if upload.version.as_deref() == Some("latest") {
            return Err(UploadError::Name("`latest` always names the newest version; name this one otherwise".into()));
        }
        let _place = self.0.place(&upload.caller)?;
        let limits = self.limits();
        let account = self.0.options.ledger.account(of_name(&upload.name));
        if account.pause().is_some() {
            return Err(UploadError::Quota("the tenant has no CPU time left in which it could be compiled".into()));
        }
        let incoming = Incoming::receive(body, limits.max_size.min(account.quota().plugin_bytes), &self.0.room).await?;
        let signer = signature::check(&limits.keys, upload.signature.as_deref(), &incoming.bytes)?;
        let from: Arc<str> = upload.name.as_str().into();
        let Incoming { bytes, room: _room } = incoming;
        let binary = Arc::new(Binary::new(from, bytes).map_err(|fault| UploadError::Unfit(fault.to_string()))?);
        self.check_room(&upload.name, upload.version.as_deref(), &binary, &account).await?;
        let inspection = self.inspect(&binary, &account).await?;
        if let Some(fault) = &inspection.fault {
            return Err(UploadError::Unfit(format!("the component {fault}")));
        }
        let digest = Arc::clone(binary.digest());
        let plugin = Plugin {
            name: upload.name.into(),
            version: upload.version.map_or_else(|| digest.chars().take(12).collect::<String>().into(), Into::into),
            digest,
            size: binary.size() as u64,
            created: self.0.options.clock.now(),
            by: upload.by,
            signer,
        };
        let added = self.store(plugin.clone(), &binary).await?;
        let (plugin, is_new) = match added {
            Added::New => (plugin, true),
            Added::Same(known) => (known, false),
            Added::Other(known) => return Err(UploadError::Taken(Box::new(known))),
            Added::Full(fault) => {
                self.sweep().await?;
                return Err(UploadError::Quota(fault));
            }
        };
        Ok(Uploaded { plugin, is_new, inspection })
    }

    /// Whether the tenant has room for one more, before it costs anything. What counts is asked once more when it is added.
    async fn check_room(
        &self,
        name: &str,
        version: Option<&str>,
        binary: &Binary,
        account: &Account,
    ) -> Result<(), UploadError> {
        let Some(tenant) = &account.name else { return Ok(()) };
        let all = self.list().await?;
        let own = || all.iter().filter(|plugin| of_name(&plugin.name) == Some(tenant));
        let is_there = own().any(|plugin| {
            *plugin.name == *name && (plugin.digest == *binary.digest() || version == Some(&*plugin.version))
        });
        if is_there {
            return Ok(());
        }
        let (versions, bytes) = (own().count() as u64, own().map(|plugin| plugin.size).sum());
        let most = PluginQuota::from(&*account.quota());
        most.check(tenant, versions, bytes, binary.size() as u64).map_err(UploadError::Quota)
    }

    /// Compiles a component, one after the other, and finds out what it is.
    async fn inspect(&self, binary: &Arc<Binary>, account: &Arc<Account>) -> Result<Inspection, UploadError> {
        let _turn = self.0.compiling.acquire().await.map_err(|error| UploadError::Host(error.to_string()))?;
        let (loader, binary, account) = (Arc::clone(&self.0.options.loader), Arc::clone(binary), Arc::clone(account));
        let inspected = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let program = loader.program(&binary);
            // The compiler has a core for itself.
            account.charge(began.elapsed());
            let program = program?;
            let inspection = program.inspect(loader.engine());
            if inspection.fault.is_none() && inspection.world != Some(World::IdGenerator.name()) {
                // What it says about itself must be right before a route depends on it.
                loader.description(&program, account.name.as_deref())?;
            }
            Ok::<_, LoadError>(inspection)
        });
        let inspected = inspected.await.map_err(|error| UploadError::Host(error.to_string()))?;
        inspected.map_err(|fault| UploadError::Unfit(format!("the component {}", fault.why)))
    }

    async fn store(&self, plugin: Plugin, binary: &Binary) -> Result<Added, StoreError> {
        let _changing = self.0.changing.lock().await;
        let registry = &self.0.options.registry;
        // Nothing is kept of what is there already, or is refused below because its version is taken.
        let is_known = |other: &Plugin| {
            other.digest == plugin.digest || (&other.name, &other.version) == (&plugin.name, &plugin.version)
        };
        if !registry.plugins().await?.iter().any(is_known) {
            for (number, piece) in (0..).zip(binary.bytes().chunks(CHUNK)) {
                registry.keep_chunk(&plugin.digest, number, piece.to_vec()).await?;
            }
        }
        let quota = self.0.options.ledger.account(of_name(&plugin.name)).quota();
        registry.add_plugin(plugin, PluginQuota::from(&*quota)).await
    }

    /// All versions of all plugins, by name, oldest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list(&self) -> Result<Vec<Plugin>, StoreError> {
        self.0.options.registry.plugins().await
    }

    /// Removes a version, or all of them, and the components that nobody needs then; answers how many there were.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn remove(&self, name: &str, version: Option<&str>) -> Result<u32, StoreError> {
        let removed = self.0.options.registry.remove_plugin(name, version).await?;
        if removed > 0 {
            self.sweep().await?;
        }
        Ok(removed)
    }

    /// Removes what broken uploads and removed plugins have left.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let _changing = self.0.changing.lock().await;
        let bytes = self.0.options.registry.sweep_components().await?;
        if bytes > 0 {
            tracing::info!(bytes, "removed components that no plugin needs");
        }
        Ok(())
    }

    /// A plugin's component, compiled; on a host that has not compiled it yet it is fetched from the store first.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub async fn program(&self, plugin: &Plugin) -> Result<Program, String> {
        let from: Arc<str> = format!("plugin {}@{}", plugin.name, plugin.version).into();
        let size = usize::try_from(plugin.size).unwrap_or(usize::MAX);
        let loader = Arc::clone(&self.0.options.loader);
        let (source, digest) = (Arc::clone(&from), Arc::clone(&plugin.digest));
        let compiled = tokio::task::spawn_blocking(move || loader.compiled(&source, &digest, size));
        if let Some(program) = compiled.await.map_err(|error| error.to_string())? {
            return Ok(program);
        }
        let bytes = self.0.options.registry.component(&plugin.digest, plugin.size).await;
        let bytes = bytes.map_err(|error| error.to_string())?;
        let bytes = bytes.ok_or_else(|| format!("{from}: the store has lost its component"))?;
        let binary = Binary::new(from, bytes).map_err(|fault| fault.to_string())?;
        if *binary.digest() != plugin.digest {
            return Err(format!("plugin {}@{}: the store has other bytes", plugin.name, plugin.version));
        }
        let _turn = self.0.compiling.acquire().await.map_err(|error| error.to_string())?;
        let loader = Arc::clone(&self.0.options.loader);
        let program = tokio::task::spawn_blocking(move || loader.program(&binary));
        program.await.map_err(|error| error.to_string())?.map_err(|fault| fault.to_string())
    }
}

/// Of these, by name and oldest first, the versions that a route's choice means, with their shares.
///
/// # Errors
/// A sentence that says which is missing.
pub fn chosen<'a>(known: &'a [Plugin], choice: &PluginChoice) -> Result<Vec<(u32, &'a Plugin)>, String> {
    let of_name = || known.iter().filter(|plugin| plugin.name == choice.name);
    let one = |(version, share): &(Option<Arc<str>>, u32)| {
        let found = match version {
            Some(version) => of_name().find(|plugin| plugin.version == *version),
            None => of_name().next_back(),
        };
        let version = version.as_deref().unwrap_or("latest");
        let missing = || format!("there is no version {version} of a plugin {}", choice.name);
        found.map(|plugin| (*share, plugin)).ok_or_else(missing)
    };
    choice.versions.iter().map(one).collect()
}

/// A caller's place among those who upload.
struct Place<'a> {
    inner: &'a Inner,
    caller: String,
    _permit: tokio::sync::SemaphorePermit<'a>,
}

impl Inner {
    fn place(&self, caller: &str) -> Result<Place<'_>, UploadError> {
        let busy = |_| UploadError::Busy("as many components are being uploaded as may be at once");
        let permit = self.uploads.try_acquire().map_err(busy)?;
        let mut callers = self.of_callers.lock().unwrap_or_else(PoisonError::into_inner);
        let own = callers.entry(caller.to_owned()).or_default();
        if *own >= UPLOADS_OF_ONE {
            return Err(UploadError::Busy("you upload as many components as you may at once"));
        }
        *own += 1;
        Ok(Place { inner: self, caller: caller.to_owned(), _permit: permit })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut callers = self.inner.of_callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = callers.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                callers.remove(&self.caller);
            }
        }
    }
}
