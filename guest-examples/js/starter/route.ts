/** A route that greets. `sandpool build` makes a component of this module. */
import { Failure, log, progress, route } from "./sandpool";

export default route<{ name: string; times?: number }>({
  summary: "Greet somebody",
  input: {
    type: "object",
    required: ["name"],
    properties: { name: { type: "string" }, times: { type: "integer", minimum: 1, maximum: 100 } },
  },
  result: { type: "object", required: ["greeting"], properties: { greeting: { type: "string" } } },
  run({ input: { name, times = 1 } }) {
    if (!name) {
      throw new Failure("nobody has an empty name", { name });
    }
    log(`greeting ${name}`, "info", { times });
    const greetings: string[] = [];
    progress.begin(times, 100);
    for (let i = 0; i < times; i++) {
      greetings.push(`Hello, ${name}!`);
      progress.tick(1);
    }
    return { greeting: greetings.join(" ") };
  },
});
