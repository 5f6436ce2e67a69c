// Requests to web servers, which the route must grant: `grants: {http: ["api.example.com"]}`.
//
//     const auto response = sandpool::http::send({.url = "https://api.example.com/orders"});
//     if (!response) return std::unexpected<Failure>(response.error());
//
// A redirect is a response like any other. A component that sends nothing imports no wasi:http.
#pragma once

#include "sandpool.hpp"

namespace sandpool::http {

// What to ask.
struct Request {
    std::string method = "GET";
    std::string url;
    std::vector<std::pair<std::string, std::string>> headers = {};
    std::optional<std::string> body = std::nullopt;
    // The most bytes of the response's body; more is an error, `HTTP-response-body-size`.
    std::size_t limit = 1 << 20;
};

// Why there is no response. The reason is a name of wasi:http's `error-code`, such as `HTTP-request-denied`; `header-refused`; or
// `body-not-UTF-8`.
struct Error {
    std::string url;
    std::string_view reason;

    operator Failure() const;
};

// What the server said. Names of header fields are in lower case.
struct Response {
    std::string url; // the request's
    std::uint16_t status;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body; // bytes

    // The body, if it is a text.
    std::expected<std::string_view, Error> text() const;
};

// Sends a request, and waits for the whole response.
std::expected<Response, Error> send(const Request &request);

} // namespace sandpool::http
