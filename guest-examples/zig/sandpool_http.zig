//! Requests to web servers, which the route must grant: `grants: {http: ["api.example.com"]}`.
//!
//!     const response = try http.send(task, .{ .url = "https://api.example.com/orders" });
//!
//! A redirect is a response like any other. A component that sends nothing imports no wasi:http.

const std = @import("std");
const c = @import("bindings");
const sandpool = @import("sandpool.zig");
const Task = sandpool.Task;

/// Bytes of one read, and of one write.
const read_size = 64 << 10;
const write_size = 4096;

/// What to ask.
pub const Request = struct {
    method: []const u8 = "GET",
    url: []const u8,
    headers: []const sandpool.Pair = &.{},
    body: ?[]const u8 = null,
    /// The most bytes of the response's body; more is a failure, `HTTP-response-body-size`.
    limit: usize = 1 << 20,
};

/// What the server said. Names of header fields are in lower case.
pub const Response = struct {
    url: []const u8,
    status: u16,
    headers: []const sandpool.Pair,
    body: []const u8,

    /// The body, if it is a text.
    pub fn text(response: Response, task: *Task) sandpool.Error![]const u8 {
        if (std.unicode.utf8ValidateSlice(response.body)) return response.body;
        return failed(task, response.url, "body-not-UTF-8");
    }
};

/// Sends a request, and waits for the whole response. Without one the task has failed with `the request failed: REASON` and the
/// detail `{url, reason}`: a name of wasi:http's `error-code`, such as `HTTP-request-denied`; or `header-refused`.
pub fn send(task: *Task, request: Request) sandpool.Error!Response {
    var exchange: Exchange = .{ .task = task };
    return exchange.do(request) catch |fault| switch (fault) {
        error.OutOfMemory => error.OutOfMemory,
        error.Refused => failed(task, request.url, exchange.reason),
    };
}

fn failed(task: *Task, url: []const u8, reason: []const u8) sandpool.Error {
    return task.fail("the request failed: {s}", .{reason}, .{ .url = url, .reason = reason });
}

const Fault = error{ Refused, OutOfMemory };

/// One request and its response.
const Exchange = struct {
    task: *Task,
    /// Why it was refused.
    reason: []const u8 = "",

    fn refused(exchange: *Exchange, reason: []const u8) Fault {
        exchange.reason = reason;
        return error.Refused;
    }

    fn named(exchange: *Exchange, code: *c.wasi_http_types_error_code_t) Fault {
        defer c.wasi_http_types_error_code_free(code);
        return exchange.refused(errors[code.tag]);
    }

    fn do(exchange: *Exchange, request: Request) Fault!Response {
        const response = try exchange.ask(request);
        defer c.wasi_http_types_incoming_response_drop_own(response);
        const self = c.wasi_http_types_borrow_incoming_response(response);
        return .{
            .url = request.url,
            .status = c.wasi_http_types_method_incoming_response_status(self),
            .headers = try exchange.fields(self),
            .body = try exchange.content(self, request.limit),
        };
    }

    // --- The request ----------------------------------------------------------------------------------------

    fn ask(exchange: *Exchange, what: Request) Fault!c.wasi_http_types_own_incoming_response_t {
        const request = c.wasi_http_types_constructor_outgoing_request(try exchange.headers(what));
        const self = c.wasi_http_types_borrow_outgoing_request(request);
        var body: c.wasi_http_types_own_outgoing_body_t = .{};
        {
            errdefer c.wasi_http_types_outgoing_request_drop_own(request);
            var verb = method(what.method);
            if (!c.wasi_http_types_method_outgoing_request_set_method(self, &verb)) {
                return exchange.refused("HTTP-request-method-invalid");
            }
            if (!try exchange.setUrl(self, what.url)) return exchange.refused("HTTP-request-URI-invalid");
            if (what.body != null and !c.wasi_http_types_method_outgoing_request_body(self, &body)) {
                return exchange.refused("internal-error");
            }
        }
        var future: c.wasi_http_types_own_future_incoming_response_t = .{};
        var code: c.wasi_http_types_error_code_t = .{};
        if (!c.wasi_http_outgoing_handler_handle(request, null, &future, &code)) {
            if (what.body != null) c.wasi_http_types_outgoing_body_drop_own(body);
            return exchange.named(&code);
        }
        defer c.wasi_http_types_future_incoming_response_drop_own(future);
        // The host takes the body while it sends; a request that is not sent takes none.
        if (what.body) |bytes| write(body, bytes);
        return exchange.wait(future);
    }

    fn headers(exchange: *Exchange, what: Request) Fault!c.wasi_http_types_own_fields_t {
        const made = c.wasi_http_types_constructor_fields();
        errdefer c.wasi_http_types_fields_drop_own(made);
        for (what.headers) |header| try exchange.append(made, header);
        if (what.body) |bytes| {
            const length = try std.fmt.allocPrint(exchange.task.arena, "{d}", .{bytes.len});
            try exchange.append(made, .{ "content-length", length });
        }
        return made;
    }

    fn append(exchange: *Exchange, to: c.wasi_http_types_own_fields_t, header: sandpool.Pair) Fault!void {
        var name = sandpool.lent(header[0]);
        var value: c.wasi_http_types_field_value_t = .{ .ptr = @constCast(header[1].ptr), .len = header[1].len };
        var fault: c.wasi_http_types_header_error_t = .{};
        const self = c.wasi_http_types_borrow_fields(to);
        if (!c.wasi_http_types_method_fields_append(self, &name, &value, &fault)) return exchange.refused("header-refused");
    }

    /// SCHEME://AUTHORITY, then the path with the query, up to a #. false: it is none.
    fn setUrl(exchange: *Exchange, request: c.wasi_http_types_borrow_outgoing_request_t, url: []const u8) Fault!bool {
        var scheme: c.wasi_http_types_scheme_t = .{};
        if (std.mem.startsWith(u8, url, "http://")) {
            scheme.tag = c.WASI_HTTP_TYPES_SCHEME_HTTP;
        } else if (std.mem.startsWith(u8, url, "https://")) {
            scheme.tag = c.WASI_HTTP_TYPES_SCHEME_HTTPS;
        } else return false;
        const whole = url[std.mem.indexOf(u8, url, "//").? + 2 ..];
        const rest = whole[0 .. std.mem.indexOfScalar(u8, whole, '#') orelse whole.len];
        const slash = std.mem.indexOfAny(u8, rest, "/?") orelse rest.len;
        var authority = sandpool.lent(rest[0..slash]);
        const before = if (std.mem.startsWith(u8, rest[slash..], "/")) "" else "/";
        var path = sandpool.lent(try std.fmt.allocPrint(exchange.task.arena, "{s}{s}", .{ before, rest[slash..] }));
        return c.wasi_http_types_method_outgoing_request_set_scheme(request, &scheme) and
            c.wasi_http_types_method_outgoing_request_set_authority(request, &authority) and
            c.wasi_http_types_method_outgoing_request_set_path_with_query(request, &path);
    }

    // --- The response ---------------------------------------------------------------------------------------

    /// Waits for the head.
    fn wait(
        exchange: *Exchange,
        future: c.wasi_http_types_own_future_incoming_response_t,
    ) Fault!c.wasi_http_types_own_incoming_response_t {
        const self = c.wasi_http_types_borrow_future_incoming_response(future);
        var answer: c.wasi_http_types_result_result_own_incoming_response_error_code_void_t = .{};
        while (!c.wasi_http_types_method_future_incoming_response_get(self, &answer)) {
            const ready = c.wasi_http_types_method_future_incoming_response_subscribe(self);
            defer c.wasi_io_poll_pollable_drop_own(ready);
            c.wasi_io_poll_method_pollable_block(c.wasi_io_poll_borrow_pollable(ready));
        }
        if (answer.is_err) return exchange.refused("internal-error");
        if (answer.val.ok.is_err) return exchange.named(&answer.val.ok.val.err);
        return answer.val.ok.val.ok;
    }

    fn fields(exchange: *Exchange, response: c.wasi_http_types_borrow_incoming_response_t) Fault![]const sandpool.Pair {
        const arena = exchange.task.arena;
        const own = c.wasi_http_types_method_incoming_response_headers(response);
        defer c.wasi_http_types_fields_drop_own(own);
        var list: c.wasi_http_types_list_tuple2_field_name_field_value_t = .{};
        c.wasi_http_types_method_fields_entries(c.wasi_http_types_borrow_fields(own), &list);
        defer c.wasi_http_types_list_tuple2_field_name_field_value_free(&list);
        const entries = try arena.alloc(sandpool.Pair, list.len);
        for (entries, 0..) |*entry, i| {
            entry.* = .{ try arena.dupe(u8, sandpool.text(list.ptr[i].f0)), try latin(arena, sandpool.text(list.ptr[i].f1)) };
        }
        return entries;
    }

    fn content(exchange: *Exchange, response: c.wasi_http_types_borrow_incoming_response_t, limit: usize) Fault![]const u8 {
        var body: c.wasi_http_types_own_incoming_body_t = .{};
        if (!c.wasi_http_types_method_incoming_response_consume(response, &body)) return exchange.refused("internal-error");
        defer c.wasi_http_types_incoming_body_drop_own(body);
        var stream: c.wasi_http_types_own_input_stream_t = .{};
        if (!c.wasi_http_types_method_incoming_body_stream(c.wasi_http_types_borrow_incoming_body(body), &stream)) {
            return exchange.refused("internal-error");
        }
        defer c.wasi_io_streams_input_stream_drop_own(stream);
        const self = c.wasi_io_streams_borrow_input_stream(stream);
        var bytes: std.ArrayList(u8) = .empty;
        while (bytes.items.len <= limit) {
            var part: c.web_route_list_u8_t = .{};
            var fault: c.wasi_io_streams_stream_error_t = .{};
            if (c.wasi_io_streams_method_input_stream_blocking_read(self, read_size, &part, &fault)) {
                defer c.web_route_list_u8_free(&part);
                try bytes.appendSlice(exchange.task.arena, sandpool.text(part));
                continue;
            }
            if (fault.tag == c.WASI_IO_STREAMS_STREAM_ERROR_CLOSED) return bytes.items;
            defer c.wasi_io_streams_stream_error_free(&fault);
            var code: c.wasi_http_types_error_code_t = .{};
            const lent = c.wasi_io_error_borrow_error(fault.val.last_operation_failed);
            if (c.wasi_http_types_http_error_code(lent, &code)) return exchange.named(&code);
            return exchange.refused("internal-error");
        }
        return exchange.refused("HTTP-response-body-size");
    }
};

fn method(name: []const u8) c.wasi_http_types_method_t {
    const methods = [_][]const u8{ "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH" };
    var found: c.wasi_http_types_method_t = .{ .tag = c.WASI_HTTP_TYPES_METHOD_OTHER };
    found.val.other = sandpool.lent(name);
    for (methods, 0..) |known, tag| {
        if (std.mem.eql(u8, name, known)) found.tag = @intCast(tag);
    }
    return found;
}

/// When the server does not want the body, the response says why.
fn write(body: c.wasi_http_types_own_outgoing_body_t, bytes: []const u8) void {
    if (!written(body, bytes)) return c.wasi_http_types_outgoing_body_drop_own(body);
    var code: c.wasi_http_types_error_code_t = .{};
    if (!c.wasi_http_types_static_outgoing_body_finish(body, null, &code)) c.wasi_http_types_error_code_free(&code);
}

fn written(body: c.wasi_http_types_own_outgoing_body_t, bytes: []const u8) bool {
    var stream: c.wasi_http_types_own_output_stream_t = .{};
    if (!c.wasi_http_types_method_outgoing_body_write(c.wasi_http_types_borrow_outgoing_body(body), &stream)) return false;
    defer c.wasi_io_streams_output_stream_drop_own(stream);
    const self = c.wasi_io_streams_borrow_output_stream(stream);
    var rest = bytes;
    while (rest.len > 0) : (rest = rest[@min(rest.len, write_size)..]) {
        var part: c.web_route_list_u8_t = .{ .ptr = @constCast(rest.ptr), .len = @min(rest.len, write_size) };
        var fault: c.wasi_io_streams_stream_error_t = .{};
        if (!c.wasi_io_streams_method_output_stream_blocking_write_and_flush(self, &part, &fault)) {
            c.wasi_io_streams_stream_error_free(&fault);
            return false;
        }
    }
    return true;
}

/// A value that is not UTF-8 is Latin-1.
fn latin(arena: std.mem.Allocator, value: []const u8) error{OutOfMemory}![]const u8 {
    if (std.unicode.utf8ValidateSlice(value)) return arena.dupe(u8, value);
    var wide: std.ArrayList(u8) = .empty;
    for (value) |byte| {
        if (byte < 0x80) {
            try wide.append(arena, byte);
        } else {
            try wide.appendSlice(arena, &.{ 0xC0 | byte >> 6, 0x80 | byte & 0x3F });
        }
    }
    return wide.items;
}

/// The names that the WIT has for its errors, by their tags.
const errors = [_][]const u8{
    "DNS-timeout",
    "DNS-error",
    "destination-not-found",
    "destination-unavailable",
    "destination-IP-prohibited",
    "destination-IP-unroutable",
    "connection-refused",
    "connection-terminated",
    "connection-timeout",
    "connection-read-timeout",
    "connection-write-timeout",
    "connection-limit-reached",
    "TLS-protocol-error",
    "TLS-certificate-error",
    "TLS-alert-received",
    "HTTP-request-denied",
    "HTTP-request-length-required",
    "HTTP-request-body-size",
    "HTTP-request-method-invalid",
    "HTTP-request-URI-invalid",
    "HTTP-request-URI-too-long",
    "HTTP-request-header-section-size",
    "HTTP-request-header-size",
    "HTTP-request-trailer-section-size",
    "HTTP-request-trailer-size",
    "HTTP-response-incomplete",
    "HTTP-response-header-section-size",
    "HTTP-response-header-size",
    "HTTP-response-body-size",
    "HTTP-response-trailer-section-size",
    "HTTP-response-trailer-size",
    "HTTP-response-transfer-coding",
    "HTTP-response-content-coding",
    "HTTP-response-timeout",
    "HTTP-upgrade-failed",
    "HTTP-protocol-error",
    "loop-detected",
    "configuration-error",
    "internal-error",
};
