// Package sandpool is the Go side of Sandpool's guest interface: hand a function to Serve in an init, and the program is a
// component.
//
//	func init() {
//		sandpool.Serve(sandpool.About{Summary: "Greet somebody"}, func(task *sandpool.Task, name string) (any, error) {
//			return map[string]string{"greeting": "Hello, " + name + "!"}, nil
//		})
//	}
//
// The result is anything that encoding/json can write. An error is a failure with the error's message, and so is a panic.
package sandpool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sort"

	"wit_component/sandpool_route_events"
	"wit_component/sandpool_route_log"
	"wit_component/sandpool_route_state"
	"wit_component/sandpool_route_types"

	"go.bytecodealliance.org/pkg/wit/runtime"
	wit "go.bytecodealliance.org/pkg/wit/types"
)

// About says what a route is. Input and Result are JSON Schemas (2020-12), or nil.
type About struct {
	Summary, Description string
	Input, Result        json.RawMessage
}

// Task is what one task is about.
type Task struct {
	ID                   string
	Attempt              uint32
	Arguments, Variables json.RawMessage
	Request              Request
	User                 *User
	State                *State
}

// Request is the HTTP request that created the task. Pairs are of a name and a value.
type Request struct {
	Method, URL          string
	Path, Query, Headers [][2]string
}

// User sent the request.
type User struct {
	ID     string   `json:"id"`
	Groups []string `json:"groups"`
	Roles  []string `json:"roles"`
	Scopes []string `json:"scopes"`
}

// Failure is an error with more for programs to read: any value that encoding/json can write; nil is none.
type Failure struct {
	Message string
	Detail  any
}

func (f *Failure) Error() string { return f.Message }

// Conflict says that a variable is at another version than the expected one; 0: it does not exist.
type Conflict struct {
	Name    string
	Version uint64
}

func (c *Conflict) Error() string { return fmt.Sprintf("%s is at version %d", c.Name, c.Version) }

// State has the shared variables that the route is granted. Values are JSON.
//
// What the host answers is pinned in memory until runtime.Unpin: once the bindings have made strings of it, these hold it.
type State struct{ handle *sandpool_route_state.State }

// Get returns a variable's value and the version to build on, 0 if there is none.
func (s *State) Get(name string) (json.RawMessage, uint64, error) {
	defer runtime.Unpin()
	answer := s.handle.Get(name)
	if answer.IsErr() {
		return nil, 0, refused(name, answer.Err())
	}
	if found := answer.Ok(); found.IsSome() {
		return json.RawMessage(found.Some().Value), found.Some().Version, nil
	}
	return nil, 0, nil
}

// Set writes a variable whatever its present value, and returns the new version.
func (s *State) Set(name string, value any) (uint64, error) {
	text, err := encode(value)
	if err != nil {
		return 0, err
	}
	return version(name, s.handle.Set(name, text))
}

// Update writes a variable only if it is at this version; 0: only if it does not exist. The error may be a *Conflict.
func (s *State) Update(name string, expected uint64, value any) (uint64, error) {
	text, err := encode(value)
	if err != nil {
		return 0, err
	}
	maybe := wit.None[uint64]()
	if expected != 0 {
		maybe = wit.Some(expected)
	}
	return version(name, s.handle.Update(name, maybe, text))
}

// Names of the variables, sorted.
func (s *State) Names() []string {
	defer runtime.Unpin()
	return s.handle.Names()
}

// Level says how much a line of log matters.
type Level = sandpool_route_log.Level

const (
	Trace = Level(sandpool_route_log.LevelTrace)
	Debug = Level(sandpool_route_log.LevelDebug)
	Info  = Level(sandpool_route_log.LevelInfo)
	Warn  = Level(sandpool_route_log.LevelWarn)
	Error = Level(sandpool_route_log.LevelError)
)

// Log writes a line to the task's log.
func Log(level Level, message string, fields map[string]any) {
	pairs := make([]wit.Tuple2[string, string], 0, len(fields))
	for name, value := range fields {
		pairs = append(pairs, wit.Tuple2[string, string]{F0: name, F1: fmt.Sprint(value)})
	}
	sort.Slice(pairs, func(i, j int) bool { return pairs[i].F0 < pairs[j].F0 })
	sandpool_route_log.Write(level, message, pairs)
}

// Send sends an event of the task's own to those who follow it.
func Send(name string, data any) error {
	text, err := encode(data)
	if err == nil {
		sandpool_route_events.Send(name, text)
	}
	return err
}

var (
	about About
	serve func(task *Task, input string) (any, error)
)

// Serve makes a function the component's. The input is decoded into its second parameter.
func Serve[Input any](what About, run func(task *Task, input Input) (any, error)) {
	about = what
	serve = func(task *Task, text string) (any, error) {
		var input Input
		if err := json.Unmarshal([]byte(text), &input); err != nil {
			return nil, err
		}
		return run(task, input)
	}
}

// Run is what the host calls.
func Run(args sandpool_route_types.Args, state *sandpool_route_state.State) wit.Result[string, sandpool_route_types.Failure] {
	// The garbage collector would drop the handle too, some time.
	defer state.Drop()
	text, err := answer(args, state)
	if err == nil {
		return wit.Ok[string, sandpool_route_types.Failure](text)
	}
	failure := sandpool_route_types.Failure{Message: err.Error(), Detail: wit.None[string]()}
	if detail := detail(err); detail != nil {
		if text, err := encode(detail); err == nil {
			failure.Detail = wit.Some(text)
		}
	}
	return wit.Err[string](failure)
}

func answer(args sandpool_route_types.Args, state *sandpool_route_state.State) (text string, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			Log(Error, "the route panicked", map[string]any{"stack": string(debug.Stack())})
			err = fmt.Errorf("%v", panicked)
		}
	}()
	task := &Task{
		ID:        args.TaskId,
		Attempt:   args.Attempt,
		Arguments: json.RawMessage(args.Arguments),
		Variables: json.RawMessage(args.Variables),
		Request: Request{
			Method:  args.Request.Method,
			URL:     args.Request.Url,
			Path:    pairs(args.Request.PathParameters),
			Query:   pairs(args.Request.Query),
			Headers: pairs(args.Request.Headers),
		},
		State: &State{state},
	}
	if args.User.IsSome() {
		user := args.User.Some()
		task.User = &User{user.Id, user.Groups, user.Roles, user.Scopes}
	}
	result, err := serve(task, args.Input)
	if err != nil {
		return "", err
	}
	return encode(result)
}

// Describe is what the host calls once, at load.
func Describe() sandpool_route_types.Description {
	return sandpool_route_types.Description{
		Summary:      about.Summary,
		Description:  about.Description,
		InputSchema:  schema(about.Input),
		ResultSchema: schema(about.Result),
	}
}

func schema(text json.RawMessage) wit.Option[string] {
	if text == nil {
		return wit.None[string]()
	}
	return wit.Some(string(text))
}

func pairs(tuples []wit.Tuple2[string, string]) [][2]string {
	pairs := make([][2]string, len(tuples))
	for i, tuple := range tuples {
		pairs[i] = [2]string{tuple.F0, tuple.F1}
	}
	return pairs
}

// As JSON, with `<` and `&` as they are.
func encode(value any) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return text.String(), err
}

func version(name string, answer wit.Result[uint64, sandpool_route_state.StateError]) (uint64, error) {
	defer runtime.Unpin()
	if answer.IsErr() {
		return 0, refused(name, answer.Err())
	}
	return answer.Ok(), nil
}

func refused(name string, err sandpool_route_state.StateError) error {
	detail := map[string]any{"variable": name}
	switch err.Tag() {
	case sandpool_route_state.StateErrorConflict:
		return &Conflict{name, err.Conflict()}
	case sandpool_route_state.StateErrorUnavailable:
		detail["reason"] = "unavailable"
		return &Failure{fmt.Sprintf("%s cannot be used: %s", name, err.Unavailable()), detail}
	default:
		detail["reason"] = "denied"
		return &Failure{"this route may not use " + name, detail}
	}
}

// What an error has for programs.
func detail(err error) any {
	var failure *Failure
	var conflict *Conflict
	switch {
	case errors.As(err, &failure):
		return failure.Detail
	case errors.As(err, &conflict):
		return map[string]any{"variable": conflict.Name, "reason": "conflict", "version": conflict.Version}
	}
	return nil
}
