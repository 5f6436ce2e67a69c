// A route that greets. `sandpool build` makes a component of it and of the SDK beside it.
#include "sandpool.hpp"

using namespace sandpool;

static Result<std::string> run(const Task &task) {
    const std::string name = task.input["name"].and_then(&Json::string).value_or("");
    const std::int64_t times = task.input["times"].and_then(&Json::integer).value_or(1);
    if (name.empty()) return fail("nobody has an empty name", Object().with("name", name).text());
    log(Level::info, "greeting " + name, {{"times", std::to_string(times)}});
    std::string greeting;
    progress::begin(static_cast<std::uint32_t>(times), 100);
    for (std::int64_t i = 0; i < times; i++) {
        greeting += (i ? " Hello, " : "Hello, ") + name + "!";
        progress::tick();
    }
    return Object().with("greeting", greeting).text();
}

constexpr Route route = {
    .summary = "Greet somebody",
    .description = "",
    .input_schema = R"({"type": "object", "required": ["name"], "properties":
        {"name": {"type": "string"}, "times": {"type": "integer", "minimum": 1, "maximum": 100}}})",
    .result_schema = R"({"type": "object", "required": ["greeting"], "properties": {"greeting": {"type": "string"}}})",
    .run = run,
};
