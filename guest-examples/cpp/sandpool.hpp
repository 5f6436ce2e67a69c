// The C++ side of Sandpool's guest interface: define one `sandpool::Route` called `route`, and the program is a component.
//
// There are no exceptions: what can fail returns a `Result`. Texts of the task (`std::string_view`) are UTF-8 and live as long as
// it. Values are JSON texts: `Json` looks into them, `json` and `Object` write them.
#pragma once

#include <concepts>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "web_route.h"

namespace sandpool {

// Why a task failed: one sentence, and more for programs, a JSON text.
struct Failure {
    std::string message;
    std::optional<std::string> detail = std::nullopt;
};

template <typename T> using Result = std::expected<T, Failure>;

// A failure to return: `return fail("no pickles left");`
inline std::unexpected<Failure> fail(std::string message, std::optional<std::string> detail = std::nullopt) {
    return std::unexpected(Failure{std::move(message), std::move(detail)});
}

// --- JSON ---------------------------------------------------------------------------------------------------

// A JSON text that the host has checked, read where it is asked.
class Json {
  public:
    explicit constexpr Json(std::string_view text) : text_(text) {}

    std::string_view text() const { return text_; }
    // An object's members in their order; of anything else none.
    std::vector<std::pair<std::string, Json>> members() const;
    // The value of an object's member.
    std::optional<Json> operator[](std::string_view name) const;
    // The content of a string.
    std::optional<std::string> string() const;
    // An integer of 64 bits.
    std::optional<std::int64_t> integer() const;

  private:
    std::string_view text_;
};

// Values as JSON texts.
std::string json(std::string_view text);
std::string json(double number);
std::string json(std::nullptr_t);
inline std::string json(const char *text) { return json(std::string_view(text)); }
inline std::string json(const Json &value) { return std::string(value.text()); }
template <std::integral Integer> std::string json(Integer number) { return std::to_string(number); }
template <typename A, typename B> std::string json(const std::pair<A, B> &pair) {
    return "[" + json(pair.first) + "," + json(pair.second) + "]";
}
template <typename T> std::string json(const std::optional<T> &value) { return value ? json(*value) : json(nullptr); }
template <typename T> std::string json(const std::vector<T> &values) {
    std::string text = "[";
    for (const T &value : values) text += (text.size() > 1 ? "," : "") + json(value);
    return text + "]";
}

// An object: `Object().with("sent", 3).text()` is `{"sent":3}`.
class Object {
  public:
    template <typename T> Object &&with(std::string_view name, const T &value) && {
        text_ += (text_.size() > 1 ? "," : "") + json(name) + ":" + json(value);
        return std::move(*this);
    }
    std::string text() && { return std::move(text_) + "}"; }

  private:
    std::string text_ = "{";
};

inline std::string json(Object &&object) { return std::move(object).text(); }

// --- What a task is about -----------------------------------------------------------------------------------

// Owns a resource of the host, such as a `State`'s.
template <typename Own, void (*drop)(Own)> class Handle {
  public:
    explicit Handle(Own own) : own_(own) {}
    Handle(Handle &&other) noexcept : own_(std::exchange(other.own_, std::nullopt)) {}
    Handle(const Handle &) = delete;
    Handle &operator=(Handle &&) = delete;
    ~Handle() {
        if (own_) drop(*own_);
    }
    Own get() const { return *own_; }
    // Hands it over to the host.
    Own release() { return *std::exchange(own_, std::nullopt); }

  private:
    std::optional<Own> own_;
};

// A variable was at another version than expected; 0: it does not exist.
struct Conflict {
    std::string name;
    std::uint64_t version;

    operator Failure() const;
};

struct Versioned {
    std::string value; // JSON
    std::uint64_t version;
};

// The shared variables that the route is granted.
class State {
  public:
    explicit State(sandpool_route_state_own_state_t own) : handle_(own) {}

    // The value, and the version to build on.
    Result<std::optional<Versioned>> get(std::string_view name) const;
    // Writes whatever the present value, and returns the new version.
    Result<std::uint64_t> set(std::string_view name, std::string_view json) const;
    // Writes only if the variable is at this version; without one: only if it does not exist.
    std::expected<std::uint64_t, std::variant<Conflict, Failure>>
    update(std::string_view name, std::optional<std::uint64_t> expected, std::string_view json) const;
    // Sorted.
    std::vector<std::string> names() const;

  private:
    Handle<sandpool_route_state_own_state_t, sandpool_route_state_state_drop_own> handle_;
};

using Pairs = std::vector<std::pair<std::string_view, std::string_view>>;

// The request that created the task.
struct Request {
    std::string_view method, url;
    Pairs path, query, headers;
};

struct User {
    std::string_view id;
    std::vector<std::string_view> groups, roles, scopes;
};

struct Task {
    std::string_view id;
    std::uint32_t attempt;
    Json input, arguments, variables;
    Request request;
    std::optional<User> user;
    State state;
};

// --- Progress, log and events -------------------------------------------------------------------------------

namespace progress {
// Begins a phase of so many ticks, which ends at this percentage.
inline void begin(std::uint32_t ticks, double to) { sandpool_route_progress_begin(ticks, to); }
inline void tick(std::uint32_t count = 1) { sandpool_route_progress_tick(count); }
inline void set(double percent) { sandpool_route_progress_set(percent); }
inline double get() { return sandpool_route_progress_get(); }
} // namespace progress

enum class Level : std::uint8_t { trace, debug, info, warn, error };

void log(Level level, std::string_view message, const std::vector<std::pair<std::string, std::string>> &fields = {});

// Sends an event of the task's own, with a JSON text.
void send(std::string_view name, std::string_view json);

// --- The route ----------------------------------------------------------------------------------------------

struct Route {
    std::string_view summary, description;
    // JSON Schemas (2020-12); empty: none.
    std::string_view input_schema, result_schema;
    // The result is a JSON text.
    Result<std::string> (*run)(const Task &task);
};

} // namespace sandpool

extern const sandpool::Route route;
