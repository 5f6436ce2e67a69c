// Package export_wit_world has what the bindings call: the functions that the component exports.
package export_wit_world

import (
	"wit_component/sandpool"
	"wit_component/wit_world"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

func Run(args wit_world.Args, state *wit_world.State) wit.Result[string, wit_world.Failure] {
	return sandpool.Run(args, state)
}

func Describe() wit_world.Description {
	return sandpool.Describe()
}
