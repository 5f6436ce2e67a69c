// What the bindings stand on: src/pkg of the crate wit-bindgen-go 0.63, without streams, futures and async. Licence: LICENSE beside this.
// The generator is 0.60 (it shares wasmtime's wit-parser); the runtime is newer, because it pauses the clocks while the host
// allocates here (../adapter).
module go.bytecodealliance.org/pkg

go 1.24
