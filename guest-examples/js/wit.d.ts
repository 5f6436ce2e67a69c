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
