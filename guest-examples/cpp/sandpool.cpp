// See sandpool.hpp.
#include "sandpool.hpp"

#include <charconv>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace sandpool {

namespace {

// --- Reading JSON -------------------------------------------------------------------------------------------

constexpr std::string_view BLANKS = " \t\r\n";

std::size_t skip_blanks(std::string_view text, std::size_t at) { return std::min(text.find_first_not_of(BLANKS, at), text.size()); }

// The end of the string that begins at `at`.
std::size_t string_end(std::string_view text, std::size_t at) {
    for (at++; at < text.size() && text[at] != '"'; at++) {
        if (text[at] == '\\') at++;
    }
    return std::min(at + 1, text.size());
}

// The end of the value that begins at `at`.
std::size_t value_end(std::string_view text, std::size_t at) {
    std::size_t depth = 0;
    while (at < text.size()) {
        const char c = text[at];
        if (c == '"') {
            at = string_end(text, at);
            if (depth == 0) return at;
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']' || BLANKS.contains(c))) return at;
        if (c == '{' || c == '[') depth++;
        if ((c == '}' || c == ']') && --depth == 0) return at + 1;
        at++;
    }
    return at;
}

// Appends a character by its code point.
void append(std::string &text, std::uint32_t code) {
    if (code < 0x80) {
        text += static_cast<char>(code);
        return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    constexpr std::uint32_t leads[] = {0, 0xC0, 0xE0, 0xF0};
    text += static_cast<char>(leads[more] | code >> 6 * more);
    for (int i = more; i-- > 0;) text += static_cast<char>(0x80 | (code >> 6 * i & 0x3F));
}

// The four digits that begin at `at`.
std::uint32_t hex(std::string_view text, std::size_t at) {
    std::uint32_t code = 0;
    if (at + 4 <= text.size()) std::from_chars(text.data() + at, text.data() + at + 4, code, 16);
    return code;
}

} // namespace

std::vector<std::pair<std::string, Json>> Json::members() const {
    std::vector<std::pair<std::string, Json>> members;
    std::size_t at = skip_blanks(text_, 0);
    if (at == text_.size() || text_[at] != '{') return members;
    at = skip_blanks(text_, at + 1);
    while (at < text_.size() && text_[at] == '"') {
        std::size_t end = string_end(text_, at);
        std::string name = *Json(text_.substr(at, end - at)).string();
        at = skip_blanks(text_, skip_blanks(text_, end) + 1); // past the colon
        end = value_end(text_, at);
        members.emplace_back(std::move(name), Json(text_.substr(at, end - at)));
        at = skip_blanks(text_, skip_blanks(text_, end) + 1); // past the comma
    }
    return members;
}

std::optional<Json> Json::operator[](std::string_view name) const {
    for (auto &[key, value] : members()) {
        if (key == name) return value;
    }
    return std::nullopt;
}

std::optional<std::string> Json::string() const {
    if (text_.size() < 2 || text_[0] != '"') return std::nullopt;
    std::string content;
    content.reserve(text_.size());
    for (std::size_t at = 1; at + 1 < text_.size(); at++) {
        if (text_[at] != '\\') {
            content += text_[at];
            continue;
        }
        const char c = text_[++at];
        constexpr std::string_view letters = "bfnrt", meant = "\b\f\n\r\t";
        if (c == 'u') {
            std::uint32_t code = hex(text_, at + 1);
            at += 4;
            // Two surrogates are one character, and one alone is none.
            if (code >> 10 == 0x36 && text_.substr(at + 1).starts_with("\\u")) {
                code = 0x10000 + ((code & 0x3FF) << 10) + (hex(text_, at + 3) & 0x3FF);
                at += 6;
            }
            append(content, code >> 11 == 0x1B ? 0xFFFD : code);
        } else {
            const std::size_t letter = letters.find(c);
            content += letter == letters.npos ? c : meant[letter];
        }
    }
    return content;
}

std::optional<std::int64_t> Json::integer() const {
    std::int64_t number = 0;
    const char *end = text_.data() + text_.size();
    const auto [stopped, error] = std::from_chars(text_.data(), end, number);
    return error == std::errc() && stopped == end ? std::optional(number) : std::nullopt;
}

// --- Writing JSON -------------------------------------------------------------------------------------------

std::string json(std::string_view text) {
    std::string quoted = "\"";
    quoted.reserve(text.size() + 2);
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", c);
            quoted += escape;
        } else {
            if (c == '"' || c == '\\') quoted += '\\';
            quoted += c;
        }
    }
    return quoted + "\"";
}

std::string json(double number) {
    if (!std::isfinite(number)) return json(nullptr);
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", number);
    return text;
}

std::string json(std::nullptr_t) { return "null"; }

// --- The host's texts ---------------------------------------------------------------------------------------

namespace {

// The bindings take texts that they do not change.
web_route_string_t lent(std::string_view text) {
    return {reinterpret_cast<std::uint8_t *>(const_cast<char *>(text.data())), text.size()};
}

std::string_view view(const web_route_string_t &text) { return {reinterpret_cast<const char *>(text.ptr), text.len}; }

// Hands a text over to the host, which frees it with `free`.
web_route_string_t given(std::string_view text) {
    web_route_string_t copy;
    web_route_string_dup_n(&copy, text.data(), text.size());
    return copy;
}

Pairs views(const web_route_list_tuple2_string_string_t &list) {
    Pairs pairs;
    for (std::size_t i = 0; i < list.len; i++) pairs.emplace_back(view(list.ptr[i].f0), view(list.ptr[i].f1));
    return pairs;
}

std::vector<std::string_view> views(const web_route_list_string_t &list) {
    std::vector<std::string_view> texts;
    for (std::size_t i = 0; i < list.len; i++) texts.push_back(view(list.ptr[i]));
    return texts;
}

} // namespace

// --- Shared variables ---------------------------------------------------------------------------------------

Conflict::operator Failure() const {
    return {
        name + " is at version " + std::to_string(version),
        Object().with("variable", name).with("reason", "conflict").with("version", version).text(),
    };
}

namespace {

std::variant<Conflict, Failure> refused(std::string_view name, sandpool_route_state_state_error_t &error) {
    std::string message = "this route may not use " + std::string(name);
    std::string_view reason = "denied";
    if (error.tag == SANDPOOL_ROUTE_STATE_STATE_ERROR_CONFLICT) return Conflict{std::string(name), error.val.conflict};
    if (error.tag == SANDPOOL_ROUTE_STATE_STATE_ERROR_UNAVAILABLE) {
        message = std::string(name) + " cannot be used: " + std::string(view(error.val.unavailable));
        reason = "unavailable";
    }
    sandpool_route_state_state_error_free(&error);
    return Failure{std::move(message), Object().with("variable", name).with("reason", reason).text()};
}

Failure failure(std::variant<Conflict, Failure> error) {
    if (const Conflict *conflict = std::get_if<Conflict>(&error)) return *conflict;
    return std::move(*std::get_if<Failure>(&error));
}

} // namespace

Result<std::optional<Versioned>> State::get(std::string_view name) const {
    web_route_string_t lent_name = lent(name);
    sandpool_route_state_option_versioned_t found;
    sandpool_route_state_state_error_t error;
    const auto self = sandpool_route_state_borrow_state(handle_.get());
    if (!sandpool_route_state_method_state_get(self, &lent_name, &found, &error)) {
        return std::unexpected(failure(refused(name, error)));
    }
    if (!found.is_some) return std::nullopt;
    Versioned versioned{std::string(view(found.val.value)), found.val.version};
    sandpool_route_state_option_versioned_free(&found);
    return versioned;
}

Result<std::uint64_t> State::set(std::string_view name, std::string_view json) const {
    web_route_string_t lent_name = lent(name), value = lent(json);
    std::uint64_t version;
    sandpool_route_state_state_error_t error;
    const auto self = sandpool_route_state_borrow_state(handle_.get());
    if (sandpool_route_state_method_state_set(self, &lent_name, &value, &version, &error)) return version;
    return std::unexpected(failure(refused(name, error)));
}

std::expected<std::uint64_t, std::variant<Conflict, Failure>>
State::update(std::string_view name, std::optional<std::uint64_t> expected, std::string_view json) const {
    web_route_string_t lent_name = lent(name), value = lent(json);
    std::uint64_t version;
    sandpool_route_state_state_error_t error;
    const auto self = sandpool_route_state_borrow_state(handle_.get());
    std::uint64_t *maybe = expected ? &*expected : nullptr;
    if (sandpool_route_state_method_state_update(self, &lent_name, maybe, &value, &version, &error)) return version;
    return std::unexpected(refused(name, error));
}

std::vector<std::string> State::names() const {
    web_route_list_string_t list;
    sandpool_route_state_method_state_names(sandpool_route_state_borrow_state(handle_.get()), &list);
    std::vector<std::string> names;
    for (const std::string_view name : views(list)) names.emplace_back(name);
    web_route_list_string_free(&list);
    return names;
}

// --- Log and events -----------------------------------------------------------------------------------------

void log(Level level, std::string_view message, const std::vector<std::pair<std::string, std::string>> &fields) {
    std::vector<web_route_tuple2_string_string_t> pairs;
    for (const auto &[name, value] : fields) pairs.push_back({lent(name), lent(value)});
    web_route_list_tuple2_string_string_t list = {pairs.data(), pairs.size()};
    web_route_string_t text = lent(message);
    sandpool_route_log_write(static_cast<sandpool_route_log_level_t>(level), &text, &list);
}

void send(std::string_view name, std::string_view json) {
    web_route_string_t lent_name = lent(name), data = lent(json);
    sandpool_route_events_send(&lent_name, &data);
}

} // namespace sandpool

// What libc++ calls when it would have thrown: the task's log gets what it says, and the instance ends by a trap.
_LIBCPP_BEGIN_NAMESPACE_STD
[[noreturn]] void __libcpp_verbose_abort(const char *format, ...) noexcept {
    char message[512];
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    sandpool::log(sandpool::Level::error, message);
    __builtin_trap();
}
_LIBCPP_END_NAMESPACE_STD

// --- The component's exports --------------------------------------------------------------------------------

bool exports_web_route_run(
    web_route_args_t *args, web_route_own_state_t state, web_route_json_t *ret, web_route_failure_t *err
) {
    using namespace sandpool;
    const auto &request = args->request;
    Task task{
        .id = view(args->task_id),
        .attempt = args->attempt,
        .input = Json(view(args->input)),
        .arguments = Json(view(args->arguments)),
        .variables = Json(view(args->variables)),
        .request =
            {
                .method = view(request.method),
                .url = view(request.url),
                .path = views(request.path_parameters),
                .query = views(request.query),
                .headers = views(request.headers),
            },
        .user = std::nullopt,
        .state = State(state),
    };
    if (args->user.is_some) {
        const auto &user = args->user.val;
        task.user = User{view(user.id), views(user.groups), views(user.roles), views(user.scopes)};
    }
    const Result<std::string> result = route.run(task);
    if (result) {
        *ret = given(*result);
    } else {
        err->message = given(result.error().message);
        err->detail.is_some = result.error().detail.has_value();
        if (err->detail.is_some) err->detail.val = given(*result.error().detail);
    }
    web_route_args_free(args);
    return result.has_value();
}

void exports_web_route_describe(web_route_description_t *ret) {
    const auto schema = [](std::string_view text) {
        sandpool_route_types_option_json_t option{};
        option.is_some = !text.empty();
        if (option.is_some) option.val = sandpool::given(text);
        return option;
    };
    ret->summary = sandpool::given(route.summary);
    ret->description = sandpool::given(route.description);
    ret->input_schema = schema(route.input_schema);
    ret->result_schema = schema(route.result_schema);
}
