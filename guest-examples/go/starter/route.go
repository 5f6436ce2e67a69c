// A route that greets. `sandpool build` makes a component of this program.
package main

import (
	"strings"

	"wit_component/sandpool"
	progress "wit_component/sandpool_route_progress"
)

type input struct {
	Name  string `json:"name"`
	Times uint32 `json:"times"`
}

type result struct {
	Greeting string `json:"greeting"`
}

func init() {
	sandpool.Serve(sandpool.About{
		Summary: "Greet somebody",
		Input: []byte(`{"type": "object", "required": ["name"], "properties":
			{"name": {"type": "string"}, "times": {"type": "integer", "minimum": 1, "maximum": 100}}}`),
		Result: []byte(`{"type": "object", "required": ["greeting"], "properties": {"greeting": {"type": "string"}}}`),
	}, greet)
}

func greet(task *sandpool.Task, in input) (any, error) {
	if in.Name == "" {
		return nil, &sandpool.Failure{Message: "nobody has an empty name", Detail: map[string]string{"name": in.Name}}
	}
	times := max(in.Times, 1)
	sandpool.Log(sandpool.Info, "greeting "+in.Name, map[string]any{"times": times})
	var greetings []string
	progress.Begin(times, 100)
	for range times {
		greetings = append(greetings, "Hello, "+in.Name+"!")
		progress.Tick(1)
	}
	return result{strings.Join(greetings, " ")}, nil
}
