//! Owns what a component file is: whether it is a component at all, what it imports and exports, which world it fits.
//! Must not know how instances are made or run.

use super::bindings::id_generator::IdGeneratorPre;
use super::bindings::route::RoutePre;
use super::engine::WasmEngine;
use super::imports::GIVEN;
use super::instance::{Guest, HostState};
use super::typed::Signature;
use crate::schema::{Description, Schema};
use std::sync::Arc;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

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

impl Program {
    /// SHA-256 of the file, in hex.
    #[must_use]
    pub fn digest(&self) -> Arc<str> {
        Arc::clone(&self.digest)
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

    pub(super) fn guest(&self, engine: &WasmEngine) -> Result<Guest, LoadError> {
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

    pub(super) fn generator_pre(&self, engine: &WasmEngine) -> Result<IdGeneratorPre<HostState>, LoadError> {
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
