"""Requests to web servers, which the route must grant: `grants: {http: ["api.example.com"]}`.

    from sandpool_http import fetch

    response = fetch("https://api.example.com/orders", method="POST", headers={"accept": "text/plain"}, body="…")

A redirect is a response like any other. Build the component with `-w web-route` when it uses this module.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from componentize_py_types import Err
from wit_world.imports import outgoing_handler
from wit_world.imports import streams
from wit_world.imports import wasi_http_types as wit

from sandpool import Failure

__all__ = ["RequestFailed", "Response", "fetch"]

LIMIT = 1 << 20
"""The most bytes of a response's body, unless `limit` says otherwise."""
READ = 64 << 10
WRITE = 4096


class RequestFailed(Failure):
    """There is no response. `reason` is a name of `wasi:http`'s `error-code`, such as `HTTP-request-denied`;
    `header-refused`; or `body-not-UTF-8`."""

    def __init__(self, url: str, reason: str):
        super().__init__(f"the request failed: {reason}", {"url": url, "reason": reason})
        self.url = url
        self.reason = reason


@dataclass
class Response:
    """What the server said. Names of header fields are in lower case."""

    url: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def text(self) -> str:
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            raise RequestFailed(self.url, "body-not-UTF-8") from None

    def json(self) -> Any:
        return json.loads(self.text())


def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: str | bytes | None = None,
    limit: int = LIMIT,
) -> Response:
    """Sends a request, and waits for the whole response. Raises `RequestFailed`."""
    content = body.encode() if isinstance(body, str) else body
    fields = list(headers.items() if isinstance(headers, Mapping) else headers)
    if content is not None:
        fields.append(("content-length", str(len(content))))
    try:
        with _answered(url, method, fields, content) as response:
            with response.headers() as answered:
                entries = [(name, str(value, "utf-8", "replace")) for name, value in answered.entries()]
            return Response(url, response.status(), entries, _read(response, limit))
    except _Refused as refused:
        raise RequestFailed(url, str(refused)) from None


class _Refused(Exception):
    """With the reason."""


def _answered(url: str, method: str, headers: list[tuple[str, str]], body: bytes | None) -> wit.IncomingResponse:
    """The head of the response."""
    fields = wit.Fields()
    for name, value in headers:
        _granted("header-refused", fields.append, name, value.encode())
    request = wit.OutgoingRequest(fields)
    scheme, authority, path = _parts(url)
    _granted("HTTP-request-method-invalid", request.set_method, _method(method))
    _granted("HTTP-request-URI-invalid", request.set_scheme, scheme)
    _granted("HTTP-request-URI-invalid", request.set_authority, authority)
    _granted("HTTP-request-URI-invalid", request.set_path_with_query, path)
    # The host takes the body while it sends; a request that is not sent takes none.
    sent = None if body is None else request.body()
    with _granted(None, outgoing_handler.handle, request, None) as asked:
        if sent is not None:
            _write(sent, body)
        while (answered := asked.get()) is None:
            with asked.subscribe() as ready:
                ready.block()
    match answered.value:
        case Err(error):
            raise _Refused(_reason(error))
        case response:
            return response.value


def _parts(url: str) -> tuple[wit.Scheme, str, str]:
    found = re.fullmatch(r"(https?)://([^/?#]*)([^#]*)(#.*)?", url, re.DOTALL)
    if not found:
        raise _Refused("HTTP-request-URI-invalid")
    scheme, authority, path, _ = found.groups()
    slash = "" if path.startswith("/") else "/"
    return wit.Scheme_Https() if scheme == "https" else wit.Scheme_Http(), authority, slash + path


def _method(name: str) -> wit.Method:
    known = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
    return getattr(wit, f"Method_{name.capitalize()}")() if name in known else wit.Method_Other(name)


def _write(body: wit.OutgoingBody, content: bytes) -> None:
    """When the server does not want it, the response says why."""
    try:
        with body.write() as stream:
            for start in range(0, len(content), WRITE):
                stream.blocking_write_and_flush(content[start : start + WRITE])
        wit.OutgoingBody.finish(body, None)
    except Err:
        pass


def _read(response: wit.IncomingResponse, limit: int) -> bytes:
    content = bytearray()
    with response.consume() as body, body.stream() as stream:
        while len(content) <= limit:
            try:
                content += stream.blocking_read(READ)
            except Err as error:
                match error.value:
                    case streams.StreamError_LastOperationFailed(failed):
                        with failed:
                            code = wit.http_error_code(failed)
                        raise _Refused(_reason(code) if code else "internal-error") from None
                return bytes(content)
    raise _Refused("HTTP-response-body-size")


def _granted(reason: str | None, call: Any, *arguments: Any) -> Any:
    """What the call returns. Its error is refused for this reason, or for the error's own."""
    try:
        return call(*arguments)
    except Err as error:
        raise _Refused(reason or _reason(error.value)) from None


def _reason(error: wit.ErrorCode) -> str:
    """The name that the WIT has for an error: `HTTP-request-denied` for `ErrorCode_HttpRequestDenied`."""
    words = re.findall("[A-Z][a-z]*", type(error).__name__.removeprefix("ErrorCode_"))
    upper = {"Dns", "Http", "Ip", "Tls", "Uri"}
    return "-".join(word.upper() if word in upper else word.lower() for word in words)
