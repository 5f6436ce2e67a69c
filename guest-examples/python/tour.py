"""The tour in Python: what every language shows. `../README.md` says what each behaviour is."""

from math import sqrt
from typing import Any

from sandpool import Conflict, Failure, Task, log, progress, route, send
from sandpool_http import fetch

U32 = {"type": "integer", "minimum": 0, "maximum": 4294967295}

INPUT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Tour",
    "type": "object",
    "required": ["do"],
    "properties": {
        "do": {"enum": ["echo", "sum", "cas", "events", "fetch", "fail", "raise", "loop"]},
        "name": {"type": "string"},
        "from": U32,
        "to": U32,
        "level": {"enum": ["trace", "debug", "info", "warn", "error"]},
        "by": {"type": "integer", "minimum": -1000000, "maximum": 1000000},
        "expected": {"type": ["integer", "null"], "minimum": 0, "maximum": 9007199254740991},
        "count": {"type": "integer", "minimum": 0, "maximum": 1000},
        "reads": {"type": "integer", "minimum": 0, "maximum": 100000},
        "url": {"type": "string"},
        "method": {"type": "string"},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "body": {"type": "string"},
        "message": {"type": "string"},
    },
}

RESULT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Seen",
    "type": "object",
}


@route(
    summary="Tour of the guest interface",
    description="Shows what a component can do: `do` says what.",
    input=INPUT,
    result=RESULT,
)
def tour(task: Task) -> Any:
    match task.input:
        case {"do": "echo"}:
            return echo(task)
        case {"do": "sum", "from": start, "to": end}:
            return add_up(start, end, task.input.get("level", "info"))
        case {"do": "cas", "name": name}:
            return compare_and_set(task, name)
        case {"do": "events"}:
            return tell(task.input.get("count", 3))
        case {"do": "fetch", "url": url}:
            return ask(url, {name: task.input[name] for name in ("method", "headers", "body") if name in task.input})
        case {"do": "fail", "message": message, "detail": detail}:
            raise Failure(message, detail)
        case {"do": "fail", "message": message}:
            raise Failure(message)
        case {"do": "raise", "message": message}:
            raise ValueError(message)
        case {"do": "loop"}:
            while True:
                pass
    raise Failure("the input lacks a field", task.input)


def echo(task: Task) -> dict[str, Any]:
    request, user = task.request, task.user
    return {
        "greeting": f"Hello, {task.input.get('name', 'world')}!",
        "value": task.input.get("value"),
        "task": task.id,
        "attempt": task.attempt,
        "arguments": task.arguments,
        "variables": task.variables,
        "names": task.state.names(),
        "user": user and vars(user),
        "request": {
            "method": request.method,
            "url": request.url,
            "path": request.path_parameters,
            "query": request.query,
            "headers": request.headers,
        },
    }


def add_up(start: int, end: int, level: str) -> dict[str, float]:
    if start > end:
        raise Failure(f"from must not be above to: {start} > {end}", {"from": start, "to": end})
    log(f"summing the square roots of {start} to {end}", level, {"from": start, "to": end})
    count = end - start + 1
    total = halfway = 0.0
    progress.begin(10, 90.0)
    for tenth in range(10):
        for i in range(start + count * tenth // 10, start + count * (tenth + 1) // 10):
            total += sqrt(i)
        progress.tick(1)
        if tenth == 4:
            halfway = progress.get()
    progress.set(95.0)
    return {"sum": total, "halfway": halfway, "progress": progress.get()}


def compare_and_set(task: Task, name: str) -> dict[str, Any]:
    state, by = task.state, task.input.get("by", 1)
    for _ in range(task.input.get("reads", 0)):
        state.get(name)
    if "set" in task.input:
        value = task.input["set"]
        return {"value": value, "version": state.set(name, value)}
    if "expected" in task.input:
        return {"value": by, "version": state.update(name, task.input["expected"], by)}
    while True:
        found = state.get(name)
        value = (found.value if found and isinstance(found.value, int) else 0) + by
        try:
            return {"value": value, "version": state.update(name, found and found.version, value)}
        except Conflict:
            pass  # another task came first: again, with the value that is there now


def tell(count: int) -> dict[str, int]:
    for number in range(1, count + 1):
        send("tour", {"number": number, "of": count})
    return {"sent": count}


def ask(url: str, options: dict[str, Any]) -> dict[str, Any]:
    response = fetch(url, **options)
    return {"status": response.status, "headers": response.headers, "body": response.text()}
