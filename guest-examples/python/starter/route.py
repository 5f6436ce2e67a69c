"""A route that greets. `sandpool build` makes a component of this module."""

from sandpool import Failure, log, progress, route

INPUT = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "times": {"type": "integer", "minimum": 1, "maximum": 100}},
}
RESULT = {"type": "object", "required": ["greeting"], "properties": {"greeting": {"type": "string"}}}


@route(summary="Greet somebody", input=INPUT, result=RESULT)
def greet(task):
    name, times = task.input["name"], task.input.get("times", 1)
    if not name:
        raise Failure("nobody has an empty name", {"name": name})
    log(f"greeting {name}", fields={"times": times})
    greetings = []
    progress.begin(times, 100.0)
    for _ in range(times):
        greetings.append(f"Hello, {name}!")
        progress.tick(1)
    return {"greeting": " ".join(greetings)}
