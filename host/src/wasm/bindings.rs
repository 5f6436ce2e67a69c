//! Owns the Rust side of `wit/`: generated, one file for version 1 of the guest interface.
//! Must not hold behaviour; the imports are implemented in `imports`.
#![allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]

/// World `route`.
pub mod route {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "sandpool:route/route",
        imports: {
            "sandpool:route/state": async | trappable,
            "sandpool:route/events": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: { "sandpool:route/state.state": crate::wasm::imports::StateHandle },
    });
}

/// World `id-generator`.
pub mod id_generator {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "sandpool:route/id-generator",
        exports: { default: async },
    });
}
