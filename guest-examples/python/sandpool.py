"""The Python side of Sandpool's guest interface: decorate one function with `@route`, and its module is a component.

    from sandpool import route

    @route(summary="Greet somebody")
    def greet(task):
        return {"greeting": f"Hello, {task.input['name']}!"}

What the function returns is the result, any value that `json` can write. An exception is a failure with the exception's
message; `Failure` says more.
"""

import json
import traceback
from dataclasses import dataclass
from typing import Any, Callable

import wit_world
from componentize_py_types import Err
from wit_world.imports import events, progress
from wit_world.imports import log as wit_log
from wit_world.imports import state as wit_state

try:
    from wit_world.imports import types
except ImportError:  # in world web-route there are two of this name
    from wit_world.imports import sandpool_route_types as types

__all__ = ["Conflict", "Failure", "State", "Task", "Versioned", "log", "progress", "route", "send"]

_ABSENT = object()


class Failure(Exception):
    """Why a task failed: one sentence for the client, and more for programs, if given."""

    def __init__(self, message: str, detail: Any = _ABSENT):
        super().__init__(message)
        self.message = message
        self.detail = detail


class Conflict(Failure):
    """The variable is not at the expected version. Read it again, and try again."""

    def __init__(self, name: str, version: int):
        detail = {"variable": name, "reason": "conflict", "version": version}
        super().__init__(f"{name} is at version {version}", detail)
        self.version = version
        """The present version; 0: the variable does not exist."""


@dataclass
class Versioned:
    """A variable's value, and the version to build on."""

    value: Any
    version: int


class State:
    """The shared variables that the route is granted, as values."""

    def __init__(self, handle: wit_state.State):
        self._handle = handle

    def get(self, name: str) -> Versioned | None:
        found = _granted(name, self._handle.get, name)
        return found and Versioned(json.loads(found.value), found.version)

    def set(self, name: str, value: Any) -> int:
        """Writes it whatever its present value; returns the new version."""
        return _granted(name, self._handle.set, name, _text(value))

    def update(self, name: str, expected: int | None, value: Any) -> int:
        """Writes it only if it is at version `expected`; None: only if it does not exist. Raises `Conflict`."""
        return _granted(name, self._handle.update, name, expected, _text(value))

    def names(self) -> list[str]:
        return self._handle.names()


@dataclass
class Task:
    """What one task is about."""

    id: str
    attempt: int
    input: Any
    arguments: dict[str, Any]
    variables: dict[str, Any]
    request: types.Request
    user: types.User | None
    state: State


def log(message: str, level: str = "info", fields: dict[str, Any] | None = None) -> None:
    """Writes a line to the task's log. `level` is trace, debug, info, warn or error."""
    pairs = [(name, str(value)) for name, value in (fields or {}).items()]
    wit_log.write(wit_log.Level[level.upper()], message, pairs)


def send(name: str, data: Any) -> None:
    """Sends an event of the task's own to those who follow it."""
    events.send(name, _text(data))


def route(*, summary: str, description: str = "", input: Any = None, result: Any = None):
    """Makes a function of a task the component's `run`. `input` and `result` are JSON Schemas (2020-12)."""

    def decorate(function: Callable[[Task], Any]) -> Callable[[Task], Any]:
        class WitWorld(wit_world.WitWorld):
            def run(self, args: types.Args, state: wit_state.State) -> str:
                # Leaving the block drops the handle.
                with state:
                    try:
                        return _text(function(_task(args, state)))
                    except Failure as failure:
                        detail = None if failure.detail is _ABSENT else _text(failure.detail)
                        raise Err(types.Failure(failure.message, detail))
                    except Exception as error:
                        trace = "".join(traceback.format_exception(error))
                        log("the route raised an exception", "error", {"traceback": trace})
                        raise Err(types.Failure(str(error) or type(error).__name__, None))

            def describe(self) -> types.Description:
                schemas = [None if schema is None else _text(schema) for schema in (input, result)]
                return types.Description(summary, description, *schemas)

        # componentize-py looks for this name in the module.
        function.__globals__["WitWorld"] = WitWorld
        return function

    return decorate


def _task(args: types.Args, state: wit_state.State) -> Task:
    return Task(
        id=args.task_id,
        attempt=args.attempt,
        input=json.loads(args.input),
        arguments=json.loads(args.arguments),
        variables=json.loads(args.variables),
        request=args.request,
        user=args.user,
        state=State(state),
    )


def _text(value: Any) -> str:
    """As JSON, which knows no NaN and no infinity."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _granted(name: str, call: Callable, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Err as error:
        match error.value:
            case wit_state.StateError_Conflict(version):
                raise Conflict(name, version) from None
            case wit_state.StateError_Unavailable(why):
                detail = {"variable": name, "reason": "unavailable"}
                raise Failure(f"{name} cannot be used: {why}", detail) from None
            case _:
                detail = {"variable": name, "reason": "denied"}
                raise Failure(f"this route may not use {name}", detail) from None
