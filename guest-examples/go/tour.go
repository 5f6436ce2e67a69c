// The tour in Go: what every language shows. ../README.md says what each behaviour is.
package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"wit_component/sandpool"
	"wit_component/sandpool/fetch"
	progress "wit_component/sandpool_route_progress"
)

//go:embed input.json
var inputSchema []byte

//go:embed result.json
var resultSchema []byte

// input is what input.json says.
type input struct {
	Do       string            `json:"do"`
	Name     *string           `json:"name"`
	Value    json.RawMessage   `json:"value"`
	From     int64             `json:"from"`
	To       int64             `json:"to"`
	Level    string            `json:"level"`
	By       *int64            `json:"by"`
	Reads    int               `json:"reads"`
	Set      json.RawMessage   `json:"set"`
	Expected json.RawMessage   `json:"expected"`
	Count    *int              `json:"count"`
	URL      string            `json:"url"`
	Method   string            `json:"method"`
	Headers  map[string]string `json:"headers"`
	Body     *string           `json:"body"`
	Message  string            `json:"message"`
	Detail   json.RawMessage   `json:"detail"`
}

type object = map[string]any

func init() {
	sandpool.Serve(sandpool.About{
		Summary:     "Tour of the guest interface",
		Description: "Shows what a component can do: `do` says what.",
		Input:       inputSchema,
		Result:      resultSchema,
	}, tour)
}

func tour(task *sandpool.Task, in input) (any, error) {
	switch in.Do {
	case "echo":
		return echo(task, in), nil
	case "sum":
		return sum(in)
	case "cas":
		return compareAndSet(task.State, in)
	case "events":
		return tell(or(in.Count, 3))
	case "fetch":
		return ask(in)
	case "fail":
		if in.Detail == nil {
			return nil, &sandpool.Failure{Message: in.Message}
		}
		return nil, &sandpool.Failure{Message: in.Message, Detail: in.Detail}
	case "raise":
		return nil, errors.New(in.Message)
	case "loop":
		for {
		}
	}
	return nil, fmt.Errorf("there is no %s", in.Do)
}

func or[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}

func echo(task *sandpool.Task, in input) any {
	request := task.Request
	return object{
		"greeting":  fmt.Sprintf("Hello, %s!", or(in.Name, "world")),
		"value":     in.Value,
		"task":      task.ID,
		"attempt":   task.Attempt,
		"arguments": task.Arguments,
		"variables": task.Variables,
		"names":     task.State.Names(),
		"user":      task.User,
		"request": object{
			"method":  request.Method,
			"url":     request.URL,
			"path":    request.Path,
			"query":   request.Query,
			"headers": request.Headers,
		},
	}
}

var levels = map[string]sandpool.Level{
	"trace": sandpool.Trace, "debug": sandpool.Debug, "warn": sandpool.Warn, "error": sandpool.Error,
}

func sum(in input) (any, error) {
	if in.From > in.To {
		message := fmt.Sprintf("from must not be above to: %d > %d", in.From, in.To)
		return nil, &sandpool.Failure{Message: message, Detail: object{"from": in.From, "to": in.To}}
	}
	level, known := levels[in.Level]
	if !known {
		level = sandpool.Info
	}
	message := fmt.Sprintf("summing the square roots of %d to %d", in.From, in.To)
	sandpool.Log(level, message, object{"from": in.From, "to": in.To})
	count := in.To - in.From + 1
	total, halfway := 0.0, 0.0
	progress.Begin(10, 90)
	for tenth := int64(0); tenth < 10; tenth++ {
		for i := in.From + count*tenth/10; i < in.From+count*(tenth+1)/10; i++ {
			total += math.Sqrt(float64(i))
		}
		progress.Tick(1)
		if tenth == 4 {
			halfway = progress.Get()
		}
	}
	progress.Set(95)
	return object{"sum": total, "halfway": halfway, "progress": progress.Get()}, nil
}

func compareAndSet(state *sandpool.State, in input) (any, error) {
	name, by := or(in.Name, ""), or(in.By, 1)
	for range in.Reads {
		if _, _, err := state.Get(name); err != nil {
			return nil, err
		}
	}
	if in.Set != nil {
		return written(in.Set)(state.Set(name, in.Set))
	}
	if in.Expected != nil {
		var expected uint64 // null leaves it at 0: it must not exist yet
		if err := json.Unmarshal(in.Expected, &expected); err != nil {
			return nil, err
		}
		return written(by)(state.Update(name, expected, by))
	}
	for {
		before, version, err := state.Get(name)
		if err != nil {
			return nil, err
		}
		var value int64
		if json.Unmarshal(before, &value) != nil {
			value = 0
		}
		answer, err := written(value + by)(state.Update(name, version, value+by))
		var conflict *sandpool.Conflict
		if !errors.As(err, &conflict) {
			return answer, err
		}
		// Another task came first: again, with the value that is there now.
	}
}

func written(value any) func(version uint64, err error) (any, error) {
	return func(version uint64, err error) (any, error) {
		return object{"value": value, "version": version}, err
	}
}

func tell(count int) (any, error) {
	for number := 1; number <= count; number++ {
		if err := sandpool.Send("tour", object{"number": number, "of": count}); err != nil {
			return nil, err
		}
	}
	return object{"sent": count}, nil
}

func ask(in input) (any, error) {
	request := fetch.Request{Method: in.Method, URL: in.URL}
	for name, value := range in.Headers {
		request.Headers = append(request.Headers, [2]string{name, value})
	}
	if in.Body != nil {
		request.Body = []byte(*in.Body)
	}
	response, err := request.Send()
	if err != nil {
		return nil, err
	}
	text, err := response.Text()
	if err != nil {
		return nil, err
	}
	return object{"status": response.Status, "headers": response.Headers, "body": text}, nil
}
