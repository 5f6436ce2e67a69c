/* See sandpool_http.h. */
#include "sandpool_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of one read, and of one write. */
enum { READ = 64 << 10, WRITE = 4096, LIMIT = 1 << 20 };

/* The names that the WIT has for its errors, by their tags. */
static const char *const errors[] = {
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

/* A reason is such a name, or another text of the program's own; NULL: there is none, all is well. */
typedef const char *reason;

static reason named(wasi_http_types_error_code_t *error) {
    reason name = errors[error->tag];
    wasi_http_types_error_code_free(error);
    return name;
}

static bool failed(sp_task *task, sp_text url, reason why) {
    sp_buffer detail = {0};
    sp_put(&detail, "{\"url\":");
    sp_put_string(&detail, url);
    sp_putf(&detail, ",\"reason\":\"%s\"}", why);
    sp_text text = sp_of(&detail);
    sp_fail(task, &text, "the request failed: %s", why);
    sp_free(&detail);
    return false;
}

/* --- The request ------------------------------------------------------------------------------------------- */

static bool append(wasi_http_types_own_fields_t fields, sp_text name, sp_text value) {
    wasi_http_types_header_error_t error;
    wasi_http_types_field_value_t bytes = {value.ptr, value.len};
    return wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &name, &bytes, &error);
}

static bool append_all(wasi_http_types_own_fields_t fields, const sp_request *request) {
    sp_buffer name = {0}, value = {0};
    sp_text json;
    bool done = true;
    for (size_t at = 0; done && sp_next(request->headers, &at, &name, &json);) {
        value.len = 0;
        done = sp_string(json, &value) && append(fields, sp_of(&name), sp_of(&value));
    }
    if (done && request->body) {
        value.len = 0;
        sp_putf(&value, "%zu", request->body->len);
        done = append(fields, sp_literal("content-length"), sp_of(&value));
    }
    sp_free(&name);
    sp_free(&value);
    return done;
}

static reason set_method(wasi_http_types_borrow_outgoing_request_t request, sp_text name) {
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    wasi_http_types_method_t method = {.tag = name.len ? WASI_HTTP_TYPES_METHOD_OTHER : WASI_HTTP_TYPES_METHOD_GET};
    method.val.other = name;
    for (uint8_t tag = 0; tag < WASI_HTTP_TYPES_METHOD_OTHER; tag++) {
        if (sp_is(name, methods[tag])) method.tag = tag;
    }
    bool done = wasi_http_types_method_outgoing_request_set_method(request, &method);
    return done ? NULL : "HTTP-request-method-invalid";
}

static bool begins(sp_text text, const char *literal) {
    return text.len >= strlen(literal) && memcmp(text.ptr, literal, strlen(literal)) == 0;
}

/* SCHEME://AUTHORITY, then the path with the query, up to a #. */
static reason set_url(wasi_http_types_borrow_outgoing_request_t request, sp_text url) {
    wasi_http_types_scheme_t scheme = {.tag = WASI_HTTP_TYPES_SCHEME_HTTPS};
    if (begins(url, "http://")) {
        scheme.tag = WASI_HTTP_TYPES_SCHEME_HTTP;
    } else if (!begins(url, "https://")) {
        return "HTTP-request-URI-invalid";
    }
    size_t start = scheme.tag == WASI_HTTP_TYPES_SCHEME_HTTP ? 7 : 8, slash = start, end = start;
    while (slash < url.len && !memchr("/?#", url.ptr[slash], 3)) slash++;
    for (end = slash; end < url.len && url.ptr[end] != '#';) end++;
    sp_text authority = {url.ptr + start, slash - start};
    sp_buffer path = {0};
    if (slash == end || url.ptr[slash] != '/') sp_put(&path, "/");
    sp_put_text(&path, (sp_text){url.ptr + slash, end - slash});
    sp_text text = sp_of(&path);
    bool done = wasi_http_types_method_outgoing_request_set_scheme(request, &scheme) &&
                wasi_http_types_method_outgoing_request_set_authority(request, &authority) &&
                wasi_http_types_method_outgoing_request_set_path_with_query(request, &text);
    sp_free(&path);
    return done ? NULL : "HTTP-request-URI-invalid";
}

/* When the server does not want the body, the response says why. */
static void write_body(wasi_http_types_own_outgoing_body_t body, sp_text content) {
    wasi_http_types_own_output_stream_t stream;
    wasi_io_streams_stream_error_t error;
    bool done = wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
    if (done) {
        for (size_t at = 0; done && at < content.len; at += WRITE) {
            size_t rest = content.len - at;
            web_route_list_u8_t part = {content.ptr + at, rest < WRITE ? rest : WRITE};
            done = wasi_io_streams_method_output_stream_blocking_write_and_flush(
                wasi_io_streams_borrow_output_stream(stream), &part, &error);
            if (!done) wasi_io_streams_stream_error_free(&error);
        }
        wasi_io_streams_output_stream_drop_own(stream);
    }
    wasi_http_types_error_code_t why;
    if (!done) {
        wasi_http_types_outgoing_body_drop_own(body);
    } else if (!wasi_http_types_static_outgoing_body_finish(body, NULL, &why)) {
        wasi_http_types_error_code_free(&why);
    }
}

/* --- The response ------------------------------------------------------------------------------------------ */

/* Waits for the head. */
static reason wait(wasi_http_types_own_future_incoming_response_t asked, wasi_http_types_own_incoming_response_t *response) {
    wasi_http_types_borrow_future_incoming_response_t self = wasi_http_types_borrow_future_incoming_response(asked);
    wasi_http_types_result_result_own_incoming_response_error_code_void_t answer;
    while (!wasi_http_types_method_future_incoming_response_get(self, &answer)) {
        wasi_http_types_own_pollable_t ready = wasi_http_types_method_future_incoming_response_subscribe(self);
        wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
        wasi_io_poll_pollable_drop_own(ready);
    }
    if (answer.is_err) return "internal-error";
    if (answer.val.ok.is_err) return named(&answer.val.ok.val.err);
    *response = answer.val.ok.val.ok;
    return NULL;
}

static reason ask(const sp_request *what, wasi_http_types_own_incoming_response_t *response) {
    wasi_http_types_own_fields_t fields = wasi_http_types_constructor_fields();
    if (!append_all(fields, what)) {
        wasi_http_types_fields_drop_own(fields);
        return "header-refused";
    }
    wasi_http_types_own_outgoing_request_t request = wasi_http_types_constructor_outgoing_request(fields);
    wasi_http_types_borrow_outgoing_request_t self = wasi_http_types_borrow_outgoing_request(request);
    reason why = set_method(self, what->method);
    if (!why) why = set_url(self, what->url);
    wasi_http_types_own_outgoing_body_t body;
    if (!why && what->body && !wasi_http_types_method_outgoing_request_body(self, &body)) why = "internal-error";
    if (why) {
        wasi_http_types_outgoing_request_drop_own(request);
        return why;
    }
    wasi_http_types_own_future_incoming_response_t asked;
    wasi_http_types_error_code_t error;
    if (!wasi_http_outgoing_handler_handle(request, NULL, &asked, &error)) {
        if (what->body) wasi_http_types_outgoing_body_drop_own(body);
        return named(&error);
    }
    /* The host takes the body while it sends; a request that is not sent takes none. */
    if (what->body) write_body(body, *what->body);
    why = wait(asked, response);
    wasi_http_types_future_incoming_response_drop_own(asked);
    return why;
}

static reason read_all(wasi_http_types_own_input_stream_t stream, size_t limit, sp_buffer *content) {
    web_route_list_u8_t part;
    wasi_io_streams_stream_error_t error;
    while (content->len <= limit) {
        if (wasi_io_streams_method_input_stream_blocking_read(wasi_io_streams_borrow_input_stream(stream), READ, &part, &error)) {
            sp_put_text(content, (sp_text){part.ptr, part.len});
            web_route_list_u8_free(&part);
            continue;
        }
        if (error.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED) return NULL;
        wasi_http_types_error_code_t code;
        wasi_http_types_borrow_io_error_t lent = wasi_io_error_borrow_error(error.val.last_operation_failed);
        reason why = wasi_http_types_http_error_code(lent, &code) ? named(&code) : "internal-error";
        wasi_io_streams_stream_error_free(&error);
        return why;
    }
    return "HTTP-response-body-size";
}

static reason read_body(wasi_http_types_borrow_incoming_response_t response, size_t limit, sp_buffer *content) {
    wasi_http_types_own_incoming_body_t body;
    wasi_http_types_own_input_stream_t stream;
    if (!wasi_http_types_method_incoming_response_consume(response, &body)) return "internal-error";
    reason why = "internal-error";
    if (wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body), &stream)) {
        why = read_all(stream, limit, content);
        wasi_io_streams_input_stream_drop_own(stream);
    }
    wasi_http_types_incoming_body_drop_own(body);
    return why;
}

/* A value that is not UTF-8 is Latin-1. */
static sp_text as_text(wasi_http_types_field_value_t value) {
    sp_text text = {value.ptr, value.len};
    if (sp_is_utf8(text)) return text;
    sp_buffer wide = {0};
    for (size_t i = 0; i < value.len; i++) sp_put_character(&wide, value.ptr[i]);
    free(value.ptr);
    return sp_of(&wide);
}

static sp_pairs read_headers(wasi_http_types_borrow_incoming_response_t response) {
    wasi_http_types_own_headers_t fields = wasi_http_types_method_incoming_response_headers(response);
    wasi_http_types_list_tuple2_field_name_field_value_t entries;
    wasi_http_types_method_fields_entries(wasi_http_types_borrow_fields(fields), &entries);
    wasi_http_types_fields_drop_own(fields);
    sp_pairs pairs = {calloc(entries.len + 1, sizeof *pairs.ptr), entries.len};
    if (!pairs.ptr) abort();
    for (size_t i = 0; i < entries.len; i++) {
        pairs.ptr[i].f0 = entries.ptr[i].f0;
        pairs.ptr[i].f1 = as_text(entries.ptr[i].f1);
    }
    /* The texts have moved. */
    if (entries.len) free(entries.ptr);
    return pairs;
}

bool sp_fetch(sp_task *task, const sp_request *request, sp_response *response) {
    wasi_http_types_own_incoming_response_t answer;
    reason why = ask(request, &answer);
    if (why) return failed(task, request->url, why);
    wasi_http_types_borrow_incoming_response_t self = wasi_http_types_borrow_incoming_response(answer);
    *response = (sp_response){.url = request->url, .status = wasi_http_types_method_incoming_response_status(self)};
    response->headers = read_headers(self);
    why = read_body(self, request->limit ? request->limit : LIMIT, &response->body);
    wasi_http_types_incoming_response_drop_own(answer);
    if (!why) return true;
    sp_response_free(response);
    return failed(task, request->url, why);
}

bool sp_response_text(sp_task *task, const sp_response *response, sp_text *text) {
    *text = sp_of(&response->body);
    return sp_is_utf8(*text) || failed(task, response->url, "body-not-UTF-8");
}

void sp_response_free(sp_response *response) {
    for (size_t i = 0; i < response->headers.len; i++) {
        free(response->headers.ptr[i].f0.ptr);
        free(response->headers.ptr[i].f1.ptr);
    }
    free(response->headers.ptr);
    sp_free(&response->body);
    *response = (sp_response){0};
}
