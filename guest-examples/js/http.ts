/**
 * Requests to web servers, which the route must grant: `grants: {http: ["api.example.com"]}`.
 *
 *     const response = fetch("https://api.example.com/orders", { method: "POST", body: "…" });
 *
 * Like the web's `fetch`, but it waits and returns the whole response, and a redirect is a response like any other.
 */
import { handle } from "wasi:http/outgoing-handler@0.2.12";
import * as wasi from "wasi:http/types@0.2.12";
import { Failure } from "./sandpool";

export interface Init {
  /** `GET` by default. */
  method?: string | undefined;
  headers?: { [name: string]: string } | [string, string][] | undefined;
  body?: string | Uint8Array | undefined;
  /** The most bytes of the response's body; more is a failure, `HTTP-response-body-size`. 1 MiB by default. */
  limit?: number | undefined;
}

/** What the server said. Names of header fields are in lower case. */
export class Response {
  constructor(
    readonly url: string,
    readonly status: number,
    readonly headers: [string, string][],
    readonly body: Uint8Array,
  ) {}

  text(): string {
    try {
      return decoded(this.body);
    } catch {
      throw new RequestFailed(this.url, "body-not-UTF-8");
    }
  }

  json<Value = unknown>(): Value {
    return JSON.parse(this.text());
  }
}

/**
 * There is no response. `reason` is a name of `wasi:http`'s `error-code`, such as `HTTP-request-denied`; `header-refused`; or
 * `body-not-UTF-8`.
 */
export class RequestFailed extends Failure {
  constructor(readonly url: string, readonly reason: string) {
    super(`the request failed: ${reason}`, { url, reason });
  }
}

/** Sends a request, and waits for the whole response. Throws a `RequestFailed`. */
export function fetch(url: string, init: Init = {}): Response {
  try {
    using response = answered(url, init);
    using headers = response.headers();
    const entries = headers.entries().map(([name, value]): [string, string] => [name, latin(value)]);
    return new Response(url, response.status(), entries, read(response, init.limit ?? 1 << 20));
  } catch (thrown) {
    throw thrown instanceof Refused ? new RequestFailed(url, thrown.message) : thrown;
  }
}

/** With the reason. */
class Refused extends Error {}

/** The head of the response. */
function answered(url: string, { method = "GET", headers = [], body }: Init): wasi.IncomingResponse {
  const content = typeof body === "string" ? encoded(body) : body;
  const fields = new wasi.Fields();
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
  for (const [name, value] of content ? [...pairs, ["content-length", `${content.length}`] as const] : pairs) {
    granted(() => fields.append(name, encoded(value)), "header-refused");
  }
  const request = new wasi.OutgoingRequest(fields);
  const [, scheme, authority = "", path = ""] = /^(https?):\/\/([^/?#]*)([^#]*)/.exec(url) ?? [];
  granted(() => request.setMethod(named(method)), "HTTP-request-method-invalid");
  granted(() => {
    request.setScheme({ tag: scheme === "https" ? "HTTPS" : "HTTP" });
    request.setAuthority(scheme && authority);
    request.setPathWithQuery(path.startsWith("/") ? path : `/${path}`);
  }, "HTTP-request-URI-invalid");
  if (!scheme) throw new Refused("HTTP-request-URI-invalid");
  // The host takes the body while it sends; a request that is not sent takes none.
  const sent = content && request.body();
  using asked = granted(() => handle(request, undefined));
  if (sent) write(sent, content);
  for (;;) {
    const answer = asked.get();
    if (answer) return granted(() => value(value(answer)));
    using ready = asked.subscribe();
    ready.block();
  }
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

function named(method: string): wasi.Method {
  return METHODS.includes(method) ? { tag: method.toLowerCase() } : { tag: "other", val: method };
}

/** When the server does not want the body, the response says why. */
function write(body: wasi.OutgoingBody, content: Uint8Array): void {
  try {
    {
      using stream = body.write();
      for (let at = 0; at < content.length; at += 4096) {
        stream.blockingWriteAndFlush(content.slice(at, at + 4096));
      }
    }
    wasi.OutgoingBody.finish(body, undefined);
  } catch (thrown) {
    payload(thrown);
  }
}

function read(response: wasi.IncomingResponse, limit: number): Uint8Array {
  using body = response.consume();
  using stream = body.stream();
  const parts: Uint8Array[] = [];
  let length = 0;
  while (length <= limit) {
    try {
      const part = stream.blockingRead(64 << 10);
      parts.push(part);
      length += part.length;
    } catch (thrown) {
      const error = payload(thrown) as wasi.StreamError;
      if (error.tag === "closed") return joined(parts, length);
      using failed = error.val;
      throw new Refused(wasi.httpErrorCode(failed)?.tag ?? "internal-error");
    }
  }
  throw new Refused("HTTP-response-body-size");
}

function joined(parts: Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** What the call returns. What the host refuses is refused for this reason, or for the error's own. */
function granted<T>(call: () => T, reason?: string): T {
  try {
    return call();
  } catch (thrown) {
    const error = payload(thrown) as wasi.ErrorCode | undefined;
    throw new Refused(reason ?? error?.tag ?? "internal-error");
  }
}

/** The `err` of a call. Any other error goes on. */
function payload(thrown: unknown): unknown {
  if (thrown instanceof Error && "payload" in thrown) return thrown.payload;
  throw thrown;
}

/** The `ok` of a result that is a value; its `err` is thrown as that of a call is. */
function value<T>(result: wasi.Result<T>): T {
  if (result.tag === "ok") return result.val;
  throw Object.assign(new Error(), { payload: result.val });
}

// There is no TextEncoder and no TextDecoder. A URI's escapes are UTF-8.

function encoded(text: string): Uint8Array {
  const bytes = encodeURIComponent(text.toWellFormed()).match(/%..|[^]/g) ?? [];
  return Uint8Array.from(bytes, (byte) => (byte.length > 1 ? parseInt(byte.slice(1), 16) : byte.charCodeAt(0)));
}

function decoded(bytes: Uint8Array): string {
  let escaped = "";
  for (const byte of bytes) {
    escaped += byte >= 128 || byte === 0x25 ? `%${byte.toString(16)}` : String.fromCharCode(byte);
  }
  return decodeURIComponent(escaped);
}

/** The value of a header field, which is UTF-8 or else Latin-1. */
function latin(bytes: Uint8Array): string {
  try {
    return decoded(bytes);
  } catch {
    return String.fromCharCode(...bytes);
  }
}
