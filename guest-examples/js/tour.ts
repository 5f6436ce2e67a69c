/** The tour in TypeScript: what every language shows. `../README.md` says what each behaviour is. */
import { fetch } from "./http";
import { Conflict, Failure, type Json, type Level, type Task, log, progress, route, send } from "./sandpool";
import input from "./input.json";
import result from "./result.json";

/** What `input.json` says. */
type Input =
  | { do: "echo"; name?: string; value?: Json }
  | { do: "sum"; from: number; to: number; level?: Level }
  | Cas
  | { do: "events"; count?: number }
  | Fetch
  | { do: "fail"; message: string; detail?: Json }
  | { do: "raise"; message: string }
  | { do: "loop" };

type Cas = { do: "cas"; name: string; by?: number; reads?: number; set?: Json; expected?: number | null };

type Fetch = { do: "fetch"; url: string; method?: string; headers?: { [name: string]: string }; body?: string };

export default route<Input>({
  summary: "Tour of the guest interface",
  description: "Shows what a component can do: `do` says what.",
  input,
  result,
  run(task) {
    const { input } = task;
    switch (input.do) {
      case "echo":
        return echo(task, input.name, input.value);
      case "sum":
        return sum(input.from, input.to, input.level);
      case "cas":
        return compareAndSet(task, input);
      case "events":
        return tell(input.count);
      case "fetch":
        return ask(input);
      case "fail":
        throw new Failure(input.message, input.detail);
      case "raise":
        throw new RangeError(input.message);
      case "loop":
        for (;;);
    }
  },
});

function echo(task: Task<Input>, name = "world", value: Json = null) {
  const { method, url, pathParameters, query, headers } = task.request;
  return {
    greeting: `Hello, ${name}!`,
    value,
    task: task.id,
    attempt: task.attempt,
    arguments: task.arguments,
    variables: task.variables,
    names: task.state.names(),
    user: task.user,
    request: { method, url, path: pathParameters, query, headers },
  };
}

function sum(from: number, to: number, level?: Level) {
  if (from > to) {
    throw new Failure(`from must not be above to: ${from} > ${to}`, { from, to });
  }
  log(`summing the square roots of ${from} to ${to}`, level, { from, to });
  const count = to - from + 1;
  const part = (tenth: number) => from + Math.floor((count * tenth) / 10);
  let [sum, halfway] = [0, 0];
  progress.begin(10, 90);
  for (let tenth = 0; tenth < 10; tenth++) {
    const end = part(tenth + 1);
    for (let i = part(tenth); i < end; i++) {
      sum += Math.sqrt(i);
    }
    progress.tick(1);
    if (tenth === 4) {
      halfway = progress.get();
    }
  }
  progress.set(95);
  return { sum, halfway, progress: progress.get() };
}

function compareAndSet({ state }: Task<Input>, { name, by = 1, reads = 0, set, expected }: Cas) {
  for (let read = 0; read < reads; read++) {
    state.get(name);
  }
  if (set !== undefined) {
    return { value: set, version: state.set(name, set) };
  }
  if (expected !== undefined) {
    return { value: by, version: state.update(name, expected, by) };
  }
  for (;;) {
    const found = state.get(name);
    const value = (typeof found?.value === "number" ? found.value : 0) + by;
    try {
      return { value, version: state.update(name, found?.version ?? null, value) };
    } catch (thrown) {
      // Another task came first: again, with the value that is there now.
      if (!(thrown instanceof Conflict)) throw thrown;
    }
  }
}

function tell(count = 3) {
  for (let number = 1; number <= count; number++) {
    send("tour", { number, of: count });
  }
  return { sent: count };
}

function ask({ url, method, headers, body }: Fetch) {
  const response = fetch(url, { method, headers, body });
  return { status: response.status, headers: response.headers, body: response.text() };
}
