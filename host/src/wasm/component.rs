//! Owns what a component file is: whether it is a component at all, what it imports and exports, which world it fits.
//! Must not know how instances are made or run.

use super::bindings::id_generator::IdGeneratorPre;
use super::bindings::route::RoutePre;
use super::engine::WasmEngine;
use super::imports::GIVEN;
use super::instance::HostState;
use std::sync::Arc;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// The worlds of `wit/` that a component can be loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// `route`
    Route,
    /// `id-generator`
    IdGenerator,
}

impl World {
    /// The world's name in `wit/`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::IdGenerator => "id-generator",
        }
    }

    fn export(self) -> &'static str {
        match self {
            Self::Route => "run: func(args: args, state: state) -> result<json, failure>",
            Self::IdGenerator => "generate: func(entropy: list<u8>) -> string",
        }
    }
}

/// Why something cannot be a route's component.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{from}: {why}")]
pub struct LoadError {
    /// The file or plugin.
    pub from: Arc<str>,
    /// What is wrong, and what is needed instead.
    pub why: String,
}

/// A component that was read and compiled.
#[derive(Clone)]
pub struct Program {
    /// Where it came from, as faults name it.
    pub(super) from: Arc<str>,
    pub(super) digest: Arc<str>,
    pub(super) size: usize,
    pub(super) component: Component,
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
    /// Why it fits no world; absent when it fits one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl Program {
    /// SHA-256 of the file, in hex.
    #[must_use]
    pub fn digest(&self) -> Arc<str> {
        Arc::clone(&self.digest)
    }

    /// What there is to know of the component.
    #[must_use]
    pub fn inspect(&self, engine: &Arc<WasmEngine>) -> Inspection {
        let faults =
            [(World::Route, self.route_pre(engine).err()), (World::IdGenerator, self.generator_pre(engine).err())];
        let fits = faults.iter().find(|(_, fault)| fault.is_none()).map(|(world, _)| world.name());
        let is_generator = self.exports(engine).iter().any(|name| name == "generate");
        let closest = if is_generator { World::IdGenerator } else { World::Route };
        let fault = faults.into_iter().find(|(world, _)| *world == closest).and_then(|(_, fault)| fault);
        Inspection {
            digest: self.digest.to_string(),
            size: self.size,
            world: fits,
            imports: self.imports(engine),
            missing: self.missing(engine),
            exports: self.exports(engine),
            fault: if fits.is_some() { None } else { fault.map(|fault| fault.why) },
        }
    }

    fn imports(&self, engine: &WasmEngine) -> Vec<String> {
        self.component.component_type().imports(&engine.engine).map(|(name, _)| name.to_owned()).collect()
    }

    fn exports(&self, engine: &WasmEngine) -> Vec<String> {
        self.component.component_type().exports(&engine.engine).map(|(name, _)| name.to_owned()).collect()
    }

    /// Imported instances and functions that nobody gives. Imported types, such as a world's `state`, need no giver.
    fn missing(&self, engine: &WasmEngine) -> Vec<String> {
        let ty = self.component.component_type();
        let needs_giver = |item: &ComponentItem| !matches!(item, ComponentItem::Type(_) | ComponentItem::Resource(_));
        ty.imports(&engine.engine)
            .filter(|(_, item)| needs_giver(&item.ty))
            .filter(|(name, _)| !GIVEN.iter().any(|given| name.starts_with(given)))
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    pub(super) fn route_pre(&self, engine: &WasmEngine) -> Result<RoutePre<HostState>, LoadError> {
        let pre = self.linked(engine, World::Route)?;
        RoutePre::new(pre).map_err(|error| self.unfit(World::Route, &error))
    }

    pub(super) fn generator_pre(&self, engine: &WasmEngine) -> Result<IdGeneratorPre<HostState>, LoadError> {
        let pre = self.linked(engine, World::IdGenerator)?;
        IdGeneratorPre::new(pre).map_err(|error| self.unfit(World::IdGenerator, &error))
    }

    pub(super) fn linked(
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
            return Err(LoadError { from: Arc::clone(&self.from), why });
        }
        engine.linker.instantiate_pre(&self.component).map_err(|error| self.unfit(world, &error))
    }

    fn unfit(&self, world: World, error: &wasmtime::Error) -> LoadError {
        let why = format!(
            "does not fit world `{}` of sandpool:route@1.0.0, which exports `{}`: {error:#}",
            world.name(),
            world.export()
        );
        LoadError { from: Arc::clone(&self.from), why }
    }
}
