// See sandpool_http.hpp.
#include "sandpool_http.hpp"

#include <algorithm>
#include <array>

namespace sandpool::http {

namespace {

// Bytes of one read, and of one write.
constexpr std::size_t READ = 64 << 10, WRITE = 4096;

// The names that the WIT has for its errors, by their tags.
constexpr std::array ERRORS = {
    "DNS-timeout", "DNS-error", "destination-not-found", "destination-unavailable", "destination-IP-prohibited",
    "destination-IP-unroutable", "connection-refused", "connection-terminated", "connection-timeout",
    "connection-read-timeout", "connection-write-timeout", "connection-limit-reached", "TLS-protocol-error",
    "TLS-certificate-error", "TLS-alert-received", "HTTP-request-denied", "HTTP-request-length-required",
    "HTTP-request-body-size", "HTTP-request-method-invalid", "HTTP-request-URI-invalid", "HTTP-request-URI-too-long",
    "HTTP-request-header-section-size", "HTTP-request-header-size", "HTTP-request-trailer-section-size",
    "HTTP-request-trailer-size", "HTTP-response-incomplete", "HTTP-response-header-section-size", "HTTP-response-header-size",
    "HTTP-response-body-size", "HTTP-response-trailer-section-size", "HTTP-response-trailer-size",
    "HTTP-response-transfer-coding", "HTTP-response-content-coding", "HTTP-response-timeout", "HTTP-upgrade-failed",
    "HTTP-protocol-error", "loop-detected", "configuration-error", "internal-error",
};

// A value, or the reason why there is none.
template <typename T> using Answer = std::expected<T, std::string_view>;

std::unexpected<std::string_view> refused(std::string_view reason) { return std::unexpected(reason); }

std::unexpected<std::string_view> refused(wasi_http_types_error_code_t &error) {
    const std::string_view reason = ERRORS[error.tag];
    wasi_http_types_error_code_free(&error);
    return refused(reason);
}

using Fields = Handle<wasi_http_types_own_fields_t, wasi_http_types_fields_drop_own>;
using Outgoing = Handle<wasi_http_types_own_outgoing_request_t, wasi_http_types_outgoing_request_drop_own>;
using OutgoingBody = Handle<wasi_http_types_own_outgoing_body_t, wasi_http_types_outgoing_body_drop_own>;
using OutputStream = Handle<wasi_io_streams_own_output_stream_t, wasi_io_streams_output_stream_drop_own>;
using Future = Handle<wasi_http_types_own_future_incoming_response_t, wasi_http_types_future_incoming_response_drop_own>;
using Pollable = Handle<wasi_io_poll_own_pollable_t, wasi_io_poll_pollable_drop_own>;
using Incoming = Handle<wasi_http_types_own_incoming_response_t, wasi_http_types_incoming_response_drop_own>;
using IncomingBody = Handle<wasi_http_types_own_incoming_body_t, wasi_http_types_incoming_body_drop_own>;
using InputStream = Handle<wasi_io_streams_own_input_stream_t, wasi_io_streams_input_stream_drop_own>;
using IoError = Handle<wasi_io_error_own_error_t, wasi_io_error_error_drop_own>;

// The bindings take bytes that they do not change.
template <typename List> List lent(std::string_view text) {
    return {reinterpret_cast<std::uint8_t *>(const_cast<char *>(text.data())), text.size()};
}

template <typename List> std::string_view view(const List &list) { return {reinterpret_cast<const char *>(list.ptr), list.len}; }

bool is_utf8(std::string_view text) {
    constexpr std::uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    for (std::size_t at = 0; at < text.size();) {
        const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
        const std::uint32_t lead = byte(at++);
        const std::size_t more = lead < 0x80 ? 0 : lead >> 5 == 6 ? 1 : lead >> 4 == 14 ? 2 : lead >> 3 == 30 ? 3 : 4;
        if (more == 4 || text.size() - at < more) return false;
        std::uint32_t code = more ? lead & 0x3Fu >> more : lead;
        for (std::size_t i = 0; i < more; i++, at++) {
            if (byte(at) >> 6 != 2) return false;
            code = code << 6 | (byte(at) & 0x3Fu);
        }
        if (code < least[more] || code > 0x10FFFF || code >> 11 == 0x1B) return false;
    }
    return true;
}

// A value that is not UTF-8 is Latin-1.
std::string as_text(std::string_view value) {
    if (is_utf8(value)) return std::string(value);
    std::string wide;
    for (const unsigned char byte : value) {
        if (byte < 0x80) {
            wide += static_cast<char>(byte);
        } else {
            wide += {static_cast<char>(0xC0 | byte >> 6), static_cast<char>(0x80 | (byte & 0x3F))};
        }
    }
    return wide;
}

// --- The request --------------------------------------------------------------------------------------------

Answer<Fields> fields(const Request &request) {
    Fields fields(wasi_http_types_constructor_fields());
    const auto append = [&](std::string_view name, std::string_view value) {
        auto lent_name = lent<web_route_string_t>(name);
        auto lent_value = lent<wasi_http_types_field_value_t>(value);
        wasi_http_types_header_error_t error;
        const auto self = wasi_http_types_borrow_fields(fields.get());
        return wasi_http_types_method_fields_append(self, &lent_name, &lent_value, &error);
    };
    bool done = true;
    for (const auto &[name, value] : request.headers) done = done && append(name, value);
    if (request.body) done = done && append("content-length", std::to_string(request.body->size()));
    if (!done) return refused("header-refused");
    return fields;
}

wasi_http_types_method_t method(std::string_view name) {
    constexpr std::array<std::string_view, 9> METHODS = {
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"
    };
    wasi_http_types_method_t method{};
    // Those that have no name of their own have the tag after the last.
    method.tag = static_cast<std::uint8_t>(std::ranges::find(METHODS, name) - METHODS.begin());
    method.val.other = lent<web_route_string_t>(name);
    return method;
}

// SCHEME://AUTHORITY, then the path with the query, up to a #.
bool set_url(wasi_http_types_borrow_outgoing_request_t request, std::string_view url) {
    wasi_http_types_scheme_t scheme{};
    if (url.starts_with("http://")) {
        scheme.tag = WASI_HTTP_TYPES_SCHEME_HTTP;
    } else if (url.starts_with("https://")) {
        scheme.tag = WASI_HTTP_TYPES_SCHEME_HTTPS;
    } else {
        return false;
    }
    url.remove_prefix(url.find("//") + 2);
    url = url.substr(0, url.find('#'));
    const std::size_t slash = std::min(url.find_first_of("/?"), url.size());
    auto authority = lent<web_route_string_t>(url.substr(0, slash));
    std::string path(url.substr(slash));
    if (!path.starts_with('/')) path.insert(0, "/");
    auto lent_path = lent<web_route_string_t>(path);
    return wasi_http_types_method_outgoing_request_set_scheme(request, &scheme) &&
           wasi_http_types_method_outgoing_request_set_authority(request, &authority) &&
           wasi_http_types_method_outgoing_request_set_path_with_query(request, &lent_path);
}

// When the server does not want the body, the response says why.
void write(OutgoingBody body, std::string_view content) {
    wasi_http_types_own_output_stream_t opened;
    if (!wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body.get()), &opened)) return;
    {
        OutputStream stream(opened);
        for (; !content.empty(); content.remove_prefix(std::min(WRITE, content.size()))) {
            auto part = lent<web_route_list_u8_t>(content.substr(0, WRITE));
            wasi_io_streams_stream_error_t error;
            const auto self = wasi_io_streams_borrow_output_stream(stream.get());
            if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(self, &part, &error)) {
                wasi_io_streams_stream_error_free(&error);
                return;
            }
        }
    }
    wasi_http_types_error_code_t error;
    if (!wasi_http_types_static_outgoing_body_finish(body.release(), nullptr, &error)) wasi_http_types_error_code_free(&error);
}

// --- The response -------------------------------------------------------------------------------------------

// Waits for the head.
Answer<Incoming> wait(const Future &asked) {
    const auto self = wasi_http_types_borrow_future_incoming_response(asked.get());
    wasi_http_types_result_result_own_incoming_response_error_code_void_t answer;
    while (!wasi_http_types_method_future_incoming_response_get(self, &answer)) {
        const Pollable ready(wasi_http_types_method_future_incoming_response_subscribe(self));
        wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready.get()));
    }
    if (answer.is_err) return refused("internal-error");
    if (answer.val.ok.is_err) return refused(answer.val.ok.val.err);
    return Incoming(answer.val.ok.val.ok);
}

Answer<Incoming> ask(const Request &what) {
    Answer<Fields> headers = fields(what);
    if (!headers) return refused(headers.error());
    Outgoing request(wasi_http_types_constructor_outgoing_request(headers->release()));
    const auto self = wasi_http_types_borrow_outgoing_request(request.get());
    wasi_http_types_method_t verb = method(what.method);
    if (!wasi_http_types_method_outgoing_request_set_method(self, &verb)) return refused("HTTP-request-method-invalid");
    if (!set_url(self, what.url)) return refused("HTTP-request-URI-invalid");
    std::optional<OutgoingBody> body;
    if (what.body) {
        wasi_http_types_own_outgoing_body_t opened;
        if (!wasi_http_types_method_outgoing_request_body(self, &opened)) return refused("internal-error");
        body.emplace(opened);
    }
    wasi_http_types_own_future_incoming_response_t future;
    wasi_http_types_error_code_t error;
    if (!wasi_http_outgoing_handler_handle(request.release(), nullptr, &future, &error)) return refused(error);
    const Future asked(future);
    // The host takes the body while it sends; a request that is not sent takes none.
    if (body) write(std::move(*body), *what.body);
    return wait(asked);
}

Answer<std::string> read(const InputStream &stream, std::size_t limit) {
    std::string content;
    while (content.size() <= limit) {
        web_route_list_u8_t part;
        wasi_io_streams_stream_error_t error;
        const auto self = wasi_io_streams_borrow_input_stream(stream.get());
        if (wasi_io_streams_method_input_stream_blocking_read(self, READ, &part, &error)) {
            content += view(part);
            web_route_list_u8_free(&part);
            continue;
        }
        if (error.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED) return content;
        const IoError failed(error.val.last_operation_failed);
        wasi_http_types_error_code_t code;
        if (wasi_http_types_http_error_code(wasi_io_error_borrow_error(failed.get()), &code)) return refused(code);
        return refused("internal-error");
    }
    return refused("HTTP-response-body-size");
}

Answer<std::string> read(wasi_http_types_borrow_incoming_response_t response, std::size_t limit) {
    wasi_http_types_own_incoming_body_t consumed;
    if (!wasi_http_types_method_incoming_response_consume(response, &consumed)) return refused("internal-error");
    const IncomingBody body(consumed);
    wasi_http_types_own_input_stream_t opened;
    if (!wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body.get()), &opened)) {
        return refused("internal-error");
    }
    return read(InputStream(opened), limit);
}

std::vector<std::pair<std::string, std::string>> headers(wasi_http_types_borrow_incoming_response_t response) {
    const Fields fields(wasi_http_types_method_incoming_response_headers(response));
    wasi_http_types_list_tuple2_field_name_field_value_t list;
    wasi_http_types_method_fields_entries(wasi_http_types_borrow_fields(fields.get()), &list);
    std::vector<std::pair<std::string, std::string>> entries;
    for (std::size_t i = 0; i < list.len; i++) entries.emplace_back(view(list.ptr[i].f0), as_text(view(list.ptr[i].f1)));
    wasi_http_types_list_tuple2_field_name_field_value_free(&list);
    return entries;
}

} // namespace

Error::operator Failure() const {
    return {
        "the request failed: " + std::string(reason),
        Object().with("url", std::string_view(url)).with("reason", reason).text(),
    };
}

std::expected<std::string_view, Error> Response::text() const {
    if (!is_utf8(body)) return std::unexpected(Error{url, "body-not-UTF-8"});
    return body;
}

std::expected<Response, Error> send(const Request &request) {
    const Answer<Incoming> response = ask(request);
    if (!response) return std::unexpected(Error{request.url, response.error()});
    const auto self = wasi_http_types_borrow_incoming_response(response->get());
    Answer<std::string> body = read(self, request.limit);
    if (!body) return std::unexpected(Error{request.url, body.error()});
    return Response{request.url, wasi_http_types_method_incoming_response_status(self), headers(self), std::move(*body)};
}

} // namespace sandpool::http
