// The bindings import each other under this name.
module wit_component

go 1.24

// What the bindings stand on, out of the crate that makes them; `build` puts it there.
require go.bytecodealliance.org/pkg v0.0.0

replace go.bytecodealliance.org/pkg => ./pkg
