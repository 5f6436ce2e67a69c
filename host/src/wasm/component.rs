//! Owns what a component file is: whether it is a component at all, what it imports and exports, which world it fits.
//! Must not know how instances are made or run.

use super::bindings::id_generator::IdGeneratorPre;
use super::bindings::route::RoutePre;
use super::cache::{Cache, CacheError, hex_digest};
use super::describe::describe;
use super::engine::WasmEngine;
use super::generator::GuestIds;
use super::granted::Granted;
use super::imports::GIVEN;
use super::instance::{Guest, HostState};
use super::pool::GuestPool;
use super::typed::Signature;
use crate::route::Route;
use crate::schema::{Description, Schema};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// The largest component file that is read.
const MAX_FILE: u64 = 256 << 20;
const MAGIC: &[u8] = b"\0asm";
const COMPONENT_LAYER: &[u8] = &[0x0d, 0x00, 0x01, 0x00];
const MODULE_VERSION: &[u8] = &[0x01, 0x00, 0x00, 0x00];

/// The worlds of `wit/` that a component can be loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// `route`
    Route,
    /// `route`, but with types of its own
    Typed,
    /// `id-generator`
    IdGenerator,
}

impl World {
    /// The world's name in `wit/`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Typed => "typed-route",
            Self::IdGenerator => "id-generator",
        }
    }

    fn export(self) -> &'static str {
        match self {
            Self::Route | Self::Typed => "run: func(args: args, state: state) -> result<json, failure>",
            Self::IdGenerator => "generate: func(entropy: list<u8>) -> string",
        }
    }
}

/// Why a file cannot be a route's component.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and what is needed instead.
    pub why: String,
}

/// A component file that was read and compiled.
#[derive(Clone)]
pub struct Program {
    path: PathBuf,
    digest: Arc<str>,
    size: usize,
    component: Component,
}

/// What `sandpool inspect` tells.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Inspection {
    /// SHA-256 of the file, in hex.
    pub digest: String,
    /// Bytes of the file.
    pub size: usize,
    /// The world that it fits, if any.
    pub world: Option<&'static str>,
    /// The names of its imports.
    pub imports: Vec<String>,
    /// Those of its imports that this host does not give.
    pub missing: Vec<String>,
    /// The names of its exports.
    pub exports: Vec<String>,
    /// JSON Schema of what a typed route takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<serde_json::Value>,
    /// JSON Schema of what a typed route gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_schema: Option<serde_json::Value>,
    /// Why it fits no world; absent when it fits one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Loads component files, each once however many routes use it.
pub struct Loader<'a> {
    engine: &'a Arc<WasmEngine>,
    cache: &'a Cache,
    loaded: HashMap<PathBuf, Program>,
    described: HashMap<PathBuf, Result<Option<Arc<Description>>, String>>,
}

impl<'a> Loader<'a> {
    /// A loader for one configuration.
    #[must_use]
    pub fn new(engine: &'a Arc<WasmEngine>, cache: &'a Cache) -> Self {
        Self { engine, cache, loaded: HashMap::new(), described: HashMap::new() }
    }

    /// Reads and compiles a file. Blocks while it compiles.
    ///
    /// # Errors
    /// When it cannot be read, is no component, or does not compile.
    pub fn program(&mut self, path: &Path) -> Result<Program, LoadError> {
        if let Some(program) = self.loaded.get(path) {
            return Ok(program.clone());
        }
        let fault = |why: String| LoadError { path: path.into(), why };
        let binary = read(path).map_err(fault)?;
        let digest = hex_digest(&binary);
        let component = self.cache.component(&self.engine.engine, &binary, &digest).map_err(|error| match error {
            CacheError::Compile(why) => fault(format!("is no valid component: {why}")),
            folder @ CacheError::Folder { .. } => fault(folder.to_string()),
        })?;
        let program = Program { path: path.into(), digest: digest.into(), size: binary.len(), component };
        self.loaded.insert(path.into(), program.clone());
        Ok(program)
    }

    /// The guests of a route.
    ///
    /// # Errors
    /// When the route's component cannot be loaded, or its `run` is neither that of world `route` nor of types that can cross.
    pub fn route(&mut self, route: &Route) -> Result<GuestPool, LoadError> {
        let program = self.program(&route.component)?;
        let guest = program.guest(self.engine)?;
        let granted = Granted::open(&route.grants).map_err(|why| LoadError { path: route.component.clone(), why })?;
        Ok(GuestPool::new(Arc::clone(self.engine), guest, route, granted))
    }

    /// What a route's component says about itself, if it does; it is asked once, in an instance of its own.
    /// Blocks until it has answered.
    ///
    /// # Errors
    /// When the component cannot be loaded, does not answer within its limits, or gives a schema that is refused.
    pub fn description(&mut self, path: &Path) -> Result<Option<Arc<Description>>, LoadError> {
        let fault = |why| LoadError { path: path.into(), why };
        if let Some(described) = self.described.get(path) {
            return described.clone().map_err(fault);
        }
        let program = self.program(path)?;
        let pre = program.linked(self.engine, World::Route)?;
        let types = match program.guest(self.engine)? {
            Guest::Typed(_, signature) => Some(signature),
            Guest::Route(_) => None,
        };
        let described = describe(self.engine, &pre).map(|own| match types {
            Some(types) => Some(Arc::new(types.described(own))),
            None => own.map(Arc::new),
        });
        self.described.insert(path.into(), described.clone());
        described.map_err(fault)
    }

    /// An id generator.
    ///
    /// # Errors
    /// When the component cannot be loaded or does not fit world `id-generator`.
    pub fn ids(&mut self, path: &Path) -> Result<GuestIds, LoadError> {
        let program = self.program(path)?;
        let pre = program.generator_pre(self.engine)?;
        Ok(GuestIds::new(Arc::clone(self.engine), pre))
    }
}

impl Program {
    /// SHA-256 of the file, in hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What there is to know of the component.
    #[must_use]
    pub fn inspect(&self, engine: &Arc<WasmEngine>) -> Inspection {
        let guest = self.guest(engine);
        let is_generator = self.exports(engine).iter().any(|name| name == "generate");
        let (world, fault) = match (&guest, self.generator_pre(engine)) {
            (Ok(Guest::Route(_)), _) => (Some(World::Route), None),
            (Ok(Guest::Typed(..)), _) => (Some(World::Typed), None),
            (Err(_), Ok(_)) => (Some(World::IdGenerator), None),
            (Err(fault), Err(other)) => (None, Some(if is_generator { other.why } else { fault.why.clone() })),
        };
        let types = match &guest {
            Ok(Guest::Typed(_, signature)) => signature.described(None),
            _ => Description::default(),
        };
        let document = |schema: Option<Schema>| schema.map(|schema| schema.document().clone());
        Inspection {
            digest: self.digest.to_string(),
            size: self.size,
            world: world.map(World::name),
            imports: self.imports(engine),
            missing: self.missing(engine),
            exports: self.exports(engine),
            input_schema: document(types.input_schema),
            result_schema: document(types.result_schema),
            fault,
        }
    }

    fn imports(&self, engine: &WasmEngine) -> Vec<String> {
        self.component.component_type().imports(&engine.engine).map(|(name, _)| name.to_owned()).collect()
    }

    fn exports(&self, engine: &WasmEngine) -> Vec<String> {
        self.component.component_type().exports(&engine.engine).map(|(name, _)| name.to_owned()).collect()
    }

    /// Imported instances and functions that nobody gives. Imported types need no giver, such as a world's `state`, or an
    /// interface of a typed route that holds nothing else.
    fn missing(&self, engine: &WasmEngine) -> Vec<String> {
        let ty = self.component.component_type();
        let needs_giver = |item: &ComponentItem| match item {
            ComponentItem::Type(_) | ComponentItem::Resource(_) => false,
            ComponentItem::ComponentInstance(interface) => {
                interface.exports(&engine.engine).any(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
            }
            _ => true,
        };
        ty.imports(&engine.engine)
            .filter(|(_, item)| needs_giver(&item.ty))
            .filter(|(name, _)| !GIVEN.iter().any(|given| name.starts_with(given)))
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    fn guest(&self, engine: &WasmEngine) -> Result<Guest, LoadError> {
        let pre = self.linked(engine, World::Route)?;
        let unfit = match RoutePre::new(pre.clone()) {
            Ok(route) => return Ok(Guest::Route(Box::new(route))),
            Err(error) => self.unfit(World::Route, &error),
        };
        match Signature::of(&self.component, &engine.engine) {
            Ok(Some(signature)) => Ok(Guest::Typed(pre, Arc::new(signature))),
            Ok(None) => Err(unfit),
            Err(why) => Err(LoadError { why: format!("{}; nor is it a typed route: {why}", unfit.why), ..unfit }),
        }
    }

    fn generator_pre(&self, engine: &WasmEngine) -> Result<IdGeneratorPre<HostState>, LoadError> {
        let pre = self.linked(engine, World::IdGenerator)?;
        IdGeneratorPre::new(pre).map_err(|error| self.unfit(World::IdGenerator, &error))
    }

    fn linked(
        &self,
        engine: &WasmEngine,
        world: World,
    ) -> Result<wasmtime::component::InstancePre<HostState>, LoadError> {
        let missing = self.missing(engine);
        if !missing.is_empty() {
            let why = format!(
                "imports what this host does not give: {}. It gives the imports of world `route` of sandpool:route@1.0.0 \
                 and WASI 0.2 (cli, clocks, filesystem, http/outgoing-handler, io, random, sockets)",
                missing.join(", ")
            );
            return Err(LoadError { path: self.path.clone(), why });
        }
        engine.linker.instantiate_pre(&self.component).map_err(|error| self.unfit(world, &error))
    }

    fn unfit(&self, world: World, error: &wasmtime::Error) -> LoadError {
        let why = format!(
            "does not fit world `{}` of sandpool:route@1.0.0, which exports `{}`: {error:#}",
            world.name(),
            world.export()
        );
        LoadError { path: self.path.clone(), why }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let size = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > MAX_FILE {
        return Err(format!("has {size} bytes; a component may have {MAX_FILE}"));
    }
    let binary = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let instead = "Build it for wasm32-wasip2, or make a component of it with `wasm-tools component new`";
    match binary.strip_prefix(MAGIC) {
        Some(rest) if rest.starts_with(COMPONENT_LAYER) => Ok(binary),
        Some(rest) if rest.starts_with(MODULE_VERSION) => {
            Err(format!("is a core WebAssembly module, not a component. {instead}"))
        }
        Some(_) => Err("is WebAssembly of a version that this host does not know".into()),
        None => Err(format!("is no WebAssembly component. {instead}")),
    }
}
