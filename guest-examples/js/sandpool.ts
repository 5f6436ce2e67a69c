/**
 * The TypeScript side of Sandpool's guest interface: a module's default export says what the route is, `component` makes of
 * it what the host calls.
 *
 *     export default route<{ name: string }>({
 *       summary: "Greet somebody",
 *       run: ({ input }) => ({ greeting: `Hello, ${input.name}!` }),
 *     });
 */
import { send as sendEvent } from "sandpool:route/events@1.0.0";
import { type Level, write } from "sandpool:route/log@1.0.0";
import type { StateError, State as Handle } from "sandpool:route/state@1.0.0";

export * as progress from "sandpool:route/progress@1.0.0";
export type { Level };

/** What JSON can hold. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A route. `run` returns the result, or throws: a `Failure`, or any error, whose message the client gets. */
export interface Route<Input> {
  /** One line. */
  summary: string;
  /** The long version, in CommonMark. */
  description?: string;
  /** JSON Schema (2020-12) of the input, which the host checks. */
  input?: object;
  /** JSON Schema of the result. */
  result?: object;
  run(task: Task<Input>): unknown;
}

export interface Task<Input> {
  id: string;
  attempt: number;
  input: Input;
  arguments: { [name: string]: Json };
  variables: { [name: string]: Json };
  request: Request;
  user: User | null;
  state: State;
}

export interface Request {
  method: string;
  url: string;
  pathParameters: [string, string][];
  query: [string, string][];
  headers: [string, string][];
}

export interface User {
  id: string;
  groups: string[];
  roles: string[];
  scopes: string[];
}

/** Why a task failed: one sentence for the client, and more for programs, unless undefined. */
export class Failure extends Error {
  constructor(message: string, readonly detail?: unknown) {
    super(message);
  }
}

/** The variable is not at the expected version. Read it again, and try again. */
export class Conflict extends Failure {
  /** `version`: the present one; 0: the variable does not exist. */
  constructor(name: string, readonly version: number) {
    super(`${name} is at version ${version}`, { variable: name, reason: "conflict", version });
  }
}

/** The shared variables that the route is granted, as values. */
export class State {
  readonly #handle: Handle;

  constructor(handle: Handle) {
    this.#handle = handle;
  }

  /** The value and the version to build on; null: it does not exist. */
  get(name: string): { value: Json; version: number } | null {
    const found = granted(name, () => this.#handle.get(name));
    return found && { value: JSON.parse(found.value), version: found.version };
  }

  /** Writes it whatever its present value; returns the new version. */
  set(name: string, value: Json): number {
    return granted(name, () => this.#handle.set(name, JSON.stringify(value)));
  }

  /** Writes it only if it is at version `expected`; null: only if it does not exist. Throws a `Conflict`. */
  update(name: string, expected: number | null, value: Json): number {
    return granted(name, () => this.#handle.update(name, expected ?? undefined, JSON.stringify(value)));
  }

  names(): string[] {
    return this.#handle.names();
  }
}

/** Writes a line to the task's log. */
export function log(message: string, level: Level = "info", fields: { [name: string]: unknown } = {}): void {
  write(level, message, Object.entries(fields).map(([name, value]) => [name, String(value)]));
}

/** Sends an event of the task's own to those who follow it. */
export function send(name: string, data: Json): void {
  sendEvent(name, JSON.stringify(data));
}

/** Gives a route its type. */
export function route<Input = Json>(route: Route<Input>): Route<Input> {
  return route;
}

/** What the host hands over, and what it gets. */
interface Args {
  taskId: string;
  arguments: string;
  variables: string;
  input: string;
  request: Request;
  user: User | null;
  attempt: number;
}

/** The component's exports. */
export function component<Input>(route: Route<Input>) {
  return {
    run(args: Args, handle: Handle): string {
      try {
        const task: Task<Input> = {
          id: args.taskId,
          attempt: args.attempt,
          input: JSON.parse(args.input),
          arguments: JSON.parse(args.arguments),
          variables: JSON.parse(args.variables),
          request: args.request,
          user: args.user,
          state: new State(handle),
        };
        return JSON.stringify(route.run(task)) ?? "null";
      } catch (thrown) {
        throw failure(thrown);
      }
    },
    describe: () => ({
      summary: route.summary,
      description: route.description ?? "",
      inputSchema: route.input && JSON.stringify(route.input),
      resultSchema: route.result && JSON.stringify(route.result),
    }),
  };
}

/** A thrown error would be a trap; this record is the `failure` of the interface. */
function failure(thrown: unknown): { message: string; detail: string | undefined } {
  if (thrown instanceof Failure) {
    return { message: thrown.message, detail: JSON.stringify(thrown.detail) };
  }
  if (thrown instanceof Error) {
    log("the route threw an error", "error", { name: thrown.name, stack: thrown.stack });
    return { message: thrown.message || thrown.name, detail: undefined };
  }
  return { message: String(thrown), detail: undefined };
}

function granted<T>(name: string, call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    const error = (thrown as { payload?: StateError }).payload;
    switch (error?.tag) {
      case "denied":
        throw new Failure(`this route may not use ${name}`, { variable: name, reason: "denied" });
      case "conflict":
        throw new Conflict(name, error.val);
      case "unavailable":
        throw new Failure(`${name} cannot be used: ${error.val}`, { variable: name, reason: "unavailable" });
      default:
        throw thrown;
    }
  }
}
