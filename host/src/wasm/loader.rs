//! Owns how components get into the engine: read from files or handed over, compiled once however many routes use them.
//! Must not know what a route does with them.

use super::cache::{Cache, CacheError, hex_digest};
use super::component::{LoadError, Program};
use super::describe::describe;
use super::engine::WasmEngine;
use super::generator::GuestIds;
use super::granted::Granted;
use super::instance::Guest;
use super::pool::GuestPool;
use crate::route::Route;
use crate::schema::Description;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The largest component file that is read.
const MAX_FILE: u64 = 256 << 20;
const MAGIC: &[u8] = b"\0asm";
const COMPONENT_LAYER: &[u8] = &[0x0d, 0x00, 0x01, 0x00];
const MODULE_VERSION: &[u8] = &[0x01, 0x00, 0x00, 0x00];

/// What a component says about itself, if it does; or why it cannot.
type Described = Result<Option<Arc<Description>>, String>;

/// Loads components, each once as long as anybody keeps it. Shared by all routes of a host.
pub struct Loader {
    engine: Arc<WasmEngine>,
    cache: Cache,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The digest of each file, as it was when this was its state on disk.
    files: HashMap<PathBuf, (FileState, Arc<str>)>,
    /// By digest.
    programs: HashMap<Arc<str>, Program>,
    described: HashMap<Arc<str>, Described>,
}

impl Known {
    /// The digest of a file whose component is loaded, if it is the same file still.
    fn loaded(&self, path: &Path, state: FileState) -> Option<Arc<str>> {
        let (_, digest) = self.files.get(path).filter(|(seen, _)| *seen == state)?;
        self.programs.contains_key(digest).then(|| Arc::clone(digest))
    }
}

/// By what a changed file is told from the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl FileState {
    fn of(facts: &fs::Metadata) -> Self {
        Self { inode: facts.ino(), size: facts.size(), changed: (facts.mtime(), facts.mtime_nsec()) }
    }
}

impl Loader {
    /// Loads into this engine, by way of this cache.
    #[must_use]
    pub fn new(engine: Arc<WasmEngine>, cache: Cache) -> Self {
        Self { engine, cache, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine that it loads into.
    #[must_use]
    pub fn engine(&self) -> &Arc<WasmEngine> {
        &self.engine
    }

    /// Reads a file, and says what it holds: its SHA-256 in hex, and the component itself unless it is loaded already.
    ///
    /// # Errors
    /// When it cannot be read, or is no component.
    pub fn read(&self, path: &Path) -> Result<Binary, LoadError> {
        let from: Arc<str> = path.display().to_string().into();
        let fault = |why: String| LoadError { from: Arc::clone(&from), why };
        let facts = fs::metadata(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
        let state = FileState::of(&facts);
        if let Some(digest) = self.known().loaded(path, state) {
            return Ok(Binary { from, digest, bytes: None });
        }
        let bytes = read(path, facts.len()).map_err(fault)?;
        let binary = Binary::new(from, bytes)?;
        self.known().files.insert(path.into(), (state, Arc::clone(&binary.digest)));
        Ok(binary)
    }

    /// Whether this one is loaded at once: it has been compiled before.
    #[must_use]
    pub fn is_compiled(&self, binary: &Binary) -> bool {
        self.known().programs.contains_key(&binary.digest) || self.cache.has(&self.engine.engine, &binary.digest)
    }

    /// The program with this digest, if it has been compiled before: without its binary.
    #[must_use]
    pub fn compiled(&self, from: &Arc<str>, digest: &Arc<str>, size: usize) -> Option<Program> {
        if let Some(program) = self.known().programs.get(digest) {
            return Some(Program { from: Arc::clone(from), ..program.clone() });
        }
        let component = self.cache.load(&self.engine.engine, digest)?;
        let program = Program { from: Arc::clone(from), digest: Arc::clone(digest), size, component };
        self.known().programs.insert(Arc::clone(digest), program.clone());
        Some(program)
    }

    /// Compiles a component, unless it was before. Blocks while it does.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn program(&self, binary: &Binary) -> Result<Program, LoadError> {
        if let Some(program) = self.compiled(&binary.from, &binary.digest, binary.size()) {
            return Ok(program);
        }
        let fault = |why: String| LoadError { from: Arc::clone(&binary.from), why };
        let bytes = binary.bytes.as_deref().ok_or_else(|| fault("was let go of meanwhile; try again".into()))?;
        let component =
            self.cache.compile(&self.engine.engine, bytes, &binary.digest).map_err(|error| match error {
                CacheError::Compile(why) => fault(format!("is no valid component: {why}")),
                folder @ CacheError::Folder { .. } => fault(folder.to_string()),
            })?;
        let (from, digest) = (Arc::clone(&binary.from), Arc::clone(&binary.digest));
        let program = Program { from, digest: Arc::clone(&digest), size: bytes.len(), component };
        self.known().programs.insert(digest, program.clone());
        Ok(program)
    }

    /// The guests of a route.
    ///
    /// # Errors
    /// When its `run` is neither that of world `route` nor of types that can cross, or a grant cannot be given.
    pub fn route(&self, route: &Route, program: &Program) -> Result<GuestPool, LoadError> {
        let guest = program.guest(&self.engine)?;
        let granted = Granted::open(&route.grants).map_err(|why| LoadError { from: Arc::clone(&program.from), why })?;
        Ok(GuestPool::new(Arc::clone(&self.engine), guest, route, granted))
    }

    /// What a route's component says about itself, if it does; it is asked once, in an instance of its own.
    /// Blocks until it has answered.
    ///
    /// # Errors
    /// When the component does not answer within its limits, or gives a schema that is refused.
    pub fn description(&self, program: &Program, tenant: Option<&str>) -> Result<Option<Arc<Description>>, LoadError> {
        let fault = |why| LoadError { from: Arc::clone(&program.from), why };
        let known = self.known().described.get(&program.digest).cloned();
        if let Some(described) = known {
            return described.map_err(fault);
        }
        let guest = program.guest(&self.engine)?;
        let types = match &guest {
            Guest::Typed(_, signature) => Some(signature),
            Guest::Route(_) => None,
        };
        let described = describe(&self.engine, guest.pre(), tenant).map(|own| match types {
            Some(types) => Some(Arc::new(types.described(own))),
            None => own.map(Arc::new),
        });
        self.known().described.insert(Arc::clone(&program.digest), described.clone());
        described.map_err(fault)
    }

    /// An id generator; its time is charged to a tenant, or to the host itself.
    ///
    /// # Errors
    /// When the program does not fit world `id-generator`.
    pub fn ids(&self, program: &Program, tenant: Option<&str>) -> Result<GuestIds, LoadError> {
        let account = self.engine.ledger.account(tenant);
        Ok(GuestIds::new(Arc::clone(&self.engine), account, program.generator_pre(&self.engine)?))
    }

    /// Forgets components that nobody uses: those with other digests than these.
    pub fn keep(&self, digests: &dyn Fn(&str) -> bool) {
        let mut known = self.known();
        known.programs.retain(|digest, _| digests(digest));
        known.described.retain(|digest, _| digests(digest));
        known.files.retain(|_, (_, digest)| digests(digest));
    }
}

/// A component that was read, and is not compiled.
pub struct Binary {
    from: Arc<str>,
    digest: Arc<str>,
    /// `None`: the loader has the program of this digest.
    bytes: Option<Vec<u8>>,
}

impl Binary {
    /// These bytes, from there.
    ///
    /// # Errors
    /// When they are no component.
    pub fn new(from: Arc<str>, bytes: Vec<u8>) -> Result<Self, LoadError> {
        match check(&bytes) {
            Ok(()) => Ok(Self { digest: hex_digest(&bytes).into(), from, bytes: Some(bytes) }),
            Err(why) => Err(LoadError { from, why }),
        }
    }

    /// SHA-256, in hex.
    #[must_use]
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// Its bytes; none when it need not be read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    /// How many bytes it has; 0 when it need not be read.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.as_ref().map_or(0, Vec::len)
    }
}

fn read(path: &Path, size: u64) -> Result<Vec<u8>, String> {
    if size > MAX_FILE {
        return Err(format!("has {size} bytes; a component may have {MAX_FILE}"));
    }
    fs::read(path).map_err(|error| format!("cannot be read: {error}"))
}

/// Whether these bytes are a component, as far as their head tells.
fn check(binary: &[u8]) -> Result<(), String> {
    let instead = "Build it for wasm32-wasip2, or make a component of it with `wasm-tools component new`";
    match binary.strip_prefix(MAGIC) {
        Some(rest) if rest.starts_with(COMPONENT_LAYER) => Ok(()),
        Some(rest) if rest.starts_with(MODULE_VERSION) => {
            Err(format!("is a core WebAssembly module, not a component. {instead}"))
        }
        Some(_) => Err("is WebAssembly of a version that this host does not know".into()),
        None => Err(format!("is no WebAssembly component. {instead}")),
    }
}
