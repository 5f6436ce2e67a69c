// The interfaces that a component imports, as componentize-qjs gives them (`--sync`).
// A u64 is a number here (the host keeps versions below 2^53); an option is null when it comes, undefined when it goes.

declare module "sandpool:route/progress@1.0.0" {
  export function set(percent: number): void;
  export function get(): number;
  export function begin(ticks: number, until: number): void;
  export function tick(n: number): void;
  export function timed(seconds: number, until: number): void;
}

declare module "sandpool:route/log@1.0.0" {
  export type Level = "trace" | "debug" | "info" | "warn" | "error";
  export function write(level: Level, message: string, fields: [string, string][]): void;
}

declare module "sandpool:route/events@1.0.0" {
  export function send(name: string, data: string): void;
}

declare module "sandpool:route/state@1.0.0" {
  /** What a thrown error of `State` has as its `payload`. */
  export type StateError = { tag: "denied" } | { tag: "conflict"; val: number } | { tag: "unavailable"; val: string };

  export interface State {
    get(name: string): { value: string; version: number } | null;
    set(name: string, value: string): number;
    update(name: string, expected: number | undefined, value: string): number;
    names(): string[];
  }
}

declare module "wasi:http/types@0.2.12" {
  export type Result<T> = { tag: "ok"; val: T } | { tag: "err"; val: unknown };
  /** What a thrown error has as its `payload`. */
  export type ErrorCode = { tag: string };
  export type StreamError = { tag: "closed" } | { tag: "last-operation-failed"; val: IoError };
  export type Method = { tag: string; val?: string };

  export interface IoError extends Disposable {}

  export class Fields {
    append(name: string, value: Uint8Array): void;
    entries(): [string, Uint8Array][];
    [Symbol.dispose](): void;
  }

  /** Takes the fields. */
  export class OutgoingRequest {
    constructor(headers: Fields);
    body(): OutgoingBody;
    setMethod(method: Method): void;
    setScheme(scheme: { tag: "HTTP" | "HTTPS" }): void;
    setAuthority(authority: string | undefined): void;
    setPathWithQuery(path: string): void;
  }

  export class OutgoingBody {
    write(): OutputStream;
    static finish(body: OutgoingBody, trailers: undefined): void;
  }

  export interface OutputStream extends Disposable {
    blockingWriteAndFlush(bytes: Uint8Array): void;
  }

  export interface FutureIncomingResponse extends Disposable {
    subscribe(): Disposable & { block(): void };
    get(): Result<Result<IncomingResponse>> | null;
  }

  export interface IncomingResponse extends Disposable {
    status(): number;
    headers(): Fields;
    consume(): IncomingBody;
  }

  /** Its stream must be gone before it. */
  export interface IncomingBody extends Disposable {
    stream(): InputStream;
  }

  export interface InputStream extends Disposable {
    blockingRead(count: number): Uint8Array;
  }

  export function httpErrorCode(error: IoError): ErrorCode | null;
}

declare module "wasi:http/outgoing-handler@0.2.12" {
  import type { FutureIncomingResponse, OutgoingRequest } from "wasi:http/types@0.2.12";

  export function handle(request: OutgoingRequest, options: undefined): FutureIncomingResponse;
}
