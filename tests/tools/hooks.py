"""What schemathesis must be told about Sandpool, beside the document."""

import itertools
import xml.etree.ElementTree as ElementTree

import schemathesis

KEYS = itertools.count(1)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Keeps requests that are meant to be good from being refused for what no schema can say."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    # A key names one request: with another payload it is refused (422), and examples would use one key for all.
    for name in list(case.headers or {}):
        if name.lower() == "idempotency-key":
            case.headers[name] = f"key-{next(KEYS)}"
    # Page tokens are only taken from `Link`; made-up ones are refused (400).
    if case.path == "/tasks/query" and "page" in (case.query or {}):
        del case.query["page"]


@schemathesis.deserializer("application/xml", "text/xml", "application/problem+xml")
def read_xml(ctx, response):
    """By the rules of the contract, written apart from the server's own."""
    return value(ElementTree.fromstring(response.content), is_root=True)


def value(element, is_root=False):
    kind, children = element.get("type"), list(element)
    text = element.text or ""
    if kind == "null":
        return None
    if kind == "boolean":
        return {"true": True, "false": False}[text]
    if kind == "number":
        return float(text) if set(text) & set(".eE") else int(text)
    if kind == "array" or (is_root and element.tag == "AsyncTasks"):
        return [value(child) for child in children]
    if not children and kind != "object":
        return text
    fields = {}
    for child in children:
        name = child.get("name") if child.tag == "entry" and child.get("name") is not None else child.tag
        fields.setdefault(name, []).append(value(child))
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
