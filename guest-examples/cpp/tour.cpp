// The tour in C++: what every language shows. ../README.md says what each behaviour is.
#include "sandpool_http.hpp"

#include <cmath>

using namespace sandpool;

namespace {

constexpr char input_schema[] = {
#embed "input.json" suffix(, 0)
};
constexpr char result_schema[] = {
#embed "result.json" suffix(, 0)
};

// The input's integer or text of this name.
std::optional<std::int64_t> integer(const Json &input, std::string_view name) {
    return input[name].and_then(&Json::integer);
}

std::optional<std::string> string(const Json &input, std::string_view name) { return input[name].and_then(&Json::string); }

Result<std::string> echo(const Task &task) {
    std::optional<std::string> user;
    if (task.user) {
        user = Object()
                   .with("id", task.user->id)
                   .with("groups", task.user->groups)
                   .with("roles", task.user->roles)
                   .with("scopes", task.user->scopes)
                   .text();
    }
    const std::string request = Object()
                                    .with("method", task.request.method)
                                    .with("url", task.request.url)
                                    .with("path", task.request.path)
                                    .with("query", task.request.query)
                                    .with("headers", task.request.headers)
                                    .text();
    return Object()
        .with("greeting", "Hello, " + string(task.input, "name").value_or("world") + "!")
        .with("value", task.input["value"])
        .with("task", task.id)
        .with("attempt", task.attempt)
        .with("arguments", task.arguments)
        .with("variables", task.variables)
        .with("names", task.state.names())
        .with("user", Json(user ? *user : "null"))
        .with("request", Json(request))
        .text();
}

Level level(std::string_view name) {
    if (name == "trace") return Level::trace;
    if (name == "debug") return Level::debug;
    if (name == "warn") return Level::warn;
    if (name == "error") return Level::error;
    return Level::info;
}

Result<std::string> sum(const Task &task) {
    const std::int64_t from = integer(task.input, "from").value_or(0), to = integer(task.input, "to").value_or(0);
    const std::string first = std::to_string(from), last = std::to_string(to);
    if (from > to) {
        return fail("from must not be above to: " + first + " > " + last, Object().with("from", from).with("to", to).text());
    }
    log(level(string(task.input, "level").value_or("info")), "summing the square roots of " + first + " to " + last,
        {{"from", first}, {"to", last}});
    const std::int64_t count = to - from + 1;
    double sum = 0, halfway = 0;
    progress::begin(10, 90);
    for (int tenth = 0; tenth < 10; tenth++) {
        const std::int64_t end = from + count * (tenth + 1) / 10;
        for (std::int64_t i = from + count * tenth / 10; i < end; i++) sum += std::sqrt(static_cast<double>(i));
        progress::tick();
        if (tenth == 4) halfway = progress::get();
    }
    progress::set(95);
    return Object().with("sum", sum).with("halfway", halfway).with("progress", progress::get()).text();
}

std::string written(std::string_view value, std::uint64_t version) {
    return Object().with("value", Json(value)).with("version", version).text();
}

// Adds `by`, again after each conflict: then another task came first.
Result<std::string> add(const State &state, std::string_view name, std::int64_t by) {
    for (;;) {
        const auto found = state.get(name);
        if (!found) return std::unexpected(found.error());
        std::optional<std::uint64_t> version;
        std::int64_t before = 0;
        if (*found) {
            version = (*found)->version;
            before = Json((*found)->value).integer().value_or(0);
        }
        const std::string value = json(before + by);
        const auto updated = state.update(name, version, value);
        if (updated) return written(value, *updated);
        if (const Failure *failure = std::get_if<Failure>(&updated.error())) return std::unexpected(*failure);
    }
}

Result<std::string> compare_and_set(const Task &task) {
    const std::string name = string(task.input, "name").value_or("");
    const std::int64_t by = integer(task.input, "by").value_or(1);
    for (auto reads = integer(task.input, "reads").value_or(0); reads > 0; reads--) {
        if (const auto found = task.state.get(name); !found) return std::unexpected(found.error());
    }
    if (const auto value = task.input["set"]) {
        return task.state.set(name, value->text()).transform([&](std::uint64_t version) {
            return written(value->text(), version);
        });
    }
    const auto expected = task.input["expected"];
    if (!expected) return add(task.state, name, by);
    const auto updated = task.state.update(name, expected->integer(), json(by));
    if (updated) return written(json(by), *updated);
    if (const Conflict *conflict = std::get_if<Conflict>(&updated.error())) return std::unexpected<Failure>(*conflict);
    return std::unexpected(std::get<Failure>(updated.error()));
}

Result<std::string> tell(const Task &task) {
    const std::int64_t count = integer(task.input, "count").value_or(3);
    for (std::int64_t number = 1; number <= count; number++) {
        send("tour", Object().with("number", number).with("of", count).text());
    }
    return Object().with("sent", count).text();
}

Result<std::string> fetch(const Task &task) {
    http::Request request{
        .method = string(task.input, "method").value_or("GET"),
        .url = string(task.input, "url").value_or(""),
        .body = string(task.input, "body"),
    };
    if (const auto headers = task.input["headers"]) {
        for (const auto &[name, value] : headers->members()) request.headers.emplace_back(name, value.string().value_or(""));
    }
    const auto response = http::send(request);
    if (!response) return std::unexpected<Failure>(response.error());
    const auto text = response->text();
    if (!text) return std::unexpected<Failure>(text.error());
    return Object().with("status", response->status).with("headers", response->headers).with("body", *text).text();
}

Result<std::string> run(const Task &task) {
    const std::string what = string(task.input, "do").value_or("");
    if (what == "echo") return echo(task);
    if (what == "sum") return sum(task);
    if (what == "cas") return compare_and_set(task);
    if (what == "events") return tell(task);
    if (what == "fetch") return fetch(task);
    if (what == "loop") {
        for (volatile bool endless = true; endless;) {
        }
    }
    // `fail`, and `raise`: without exceptions there is no other way.
    return fail(string(task.input, "message").value_or(""), task.input["detail"].transform([](const Json &detail) {
        return std::string(detail.text());
    }));
}

} // namespace

constexpr Route route = {
    .summary = "Tour of the guest interface",
    .description = "Shows what a component can do: `do` says what.",
    .input_schema = input_schema,
    .result_schema = result_schema,
    .run = run,
};
