//! The Zig side of Sandpool's guest interface: hand the file to `component`, and the program is one.
//!
//!     comptime {
//!         sandpool.component(@This());
//!     }
//!     pub const panic = sandpool.panic;
//!     pub const summary = "Greet somebody";
//!     pub const Input = struct { name: []const u8 };
//!     pub fn run(task: *sandpool.Task, input: Input) !struct { greeting: []const u8 } { … }
//!
//! Inputs and results are whatever std.json reads and writes. `description`, `input_schema` and `result_schema` (JSON Schema
//! 2020-12) may be declared, too. Memory of `task.arena` is there until the task ends.

const std = @import("std");
const c = @import("bindings");

/// One task: what it was given, and its shared variables.
pub const Task = struct {
    arena: std.mem.Allocator,
    id: []const u8,
    attempt: u32,
    /// JSON texts.
    arguments: []const u8,
    variables: []const u8,
    request: Request,
    user: ?User,
    state: State,
    failure: ?Failure = null,

    /// Why the task fails: `return task.fail("no pickles left", .{}, .{ .item = "pickle" });`. The detail is whatever std.json
    /// writes; null: none.
    pub fn fail(task: *Task, comptime format: []const u8, arguments: anytype, detail: anytype) Error {
        const message = try std.fmt.allocPrint(task.arena, format, arguments);
        task.failure = .{ .message = message, .detail = if (@TypeOf(detail) == @TypeOf(null)) null else try task.json(detail) };
        return error.TaskFailed;
    }

    /// A value as a JSON text.
    pub fn json(task: *Task, value: anytype) error{OutOfMemory}![]const u8 {
        return std.json.Stringify.valueAlloc(task.arena, value, .{});
    }
};

/// What calls of the host return: the failure is in the task, so `try` is enough.
pub const Error = error{ TaskFailed, OutOfMemory };

pub const Failure = struct { message: []const u8, detail: ?[]const u8 };

/// A name and a value.
pub const Pair = struct { []const u8, []const u8 };

/// The request that created the task.
pub const Request = struct { method: []const u8, url: []const u8, path: []const Pair, query: []const Pair, headers: []const Pair };

pub const User = struct { id: []const u8, groups: []const []const u8, roles: []const []const u8, scopes: []const []const u8 };

/// A value of an input that may be absent, or null, or anything.
pub const Maybe = union(enum) {
    absent,
    value: std.json.Value,

    pub fn jsonParse(allocator: std.mem.Allocator, source: anytype, options: std.json.ParseOptions) !Maybe {
        return .{ .value = try std.json.innerParse(std.json.Value, allocator, source, options) };
    }
};

// --- Shared variables ---------------------------------------------------------------------------------------

/// Its memory is there until `deinit`.
pub const Versioned = struct {
    parsed: std.json.Parsed(std.json.Value),
    version: u64,

    pub fn value(versioned: Versioned) std.json.Value {
        return versioned.parsed.value;
    }

    pub fn deinit(versioned: Versioned) void {
        versioned.parsed.deinit();
    }
};

/// What became of an `update`.
pub const Update = union(enum) {
    /// The new version.
    done: u64,
    /// The present version; 0: it does not exist.
    conflict: u64,
};

/// The shared variables that the route is granted.
pub const State = struct {
    handle: c.sandpool_route_state_borrow_state_t,

    /// The value, and the version to build on.
    pub fn get(state: State, task: *Task, name: []const u8) Error!?Versioned {
        var lent_name = lent(name);
        var found: c.sandpool_route_state_option_versioned_t = .{};
        var err: c.sandpool_route_state_state_error_t = .{};
        if (!c.sandpool_route_state_method_state_get(state.handle, &lent_name, &found, &err)) {
            return refused(task, name, &err);
        }
        if (!found.is_some) return null;
        defer c.sandpool_route_state_option_versioned_free(&found);
        const options: std.json.ParseOptions = .{ .allocate = .alloc_always };
        const parsed = std.json.parseFromSlice(std.json.Value, std.heap.c_allocator, text(found.val.value), options) catch |fault|
            return if (fault == error.OutOfMemory) error.OutOfMemory else unreachable; // the host keeps only JSON
        return .{ .parsed = parsed, .version = found.val.version };
    }

    /// Writes whatever the present value, and returns the new version.
    pub fn set(state: State, task: *Task, name: []const u8, value: anytype) Error!u64 {
        var lent_name = lent(name);
        var json = lent(try task.json(value));
        var version: u64 = 0;
        var err: c.sandpool_route_state_state_error_t = .{};
        if (c.sandpool_route_state_method_state_set(state.handle, &lent_name, &json, &version, &err)) return version;
        return refused(task, name, &err);
    }

    /// Writes only if the variable is at this version; null: only if it does not exist.
    pub fn update(state: State, task: *Task, name: []const u8, expected: ?u64, value: anytype) Error!Update {
        var lent_name = lent(name);
        var json = lent(try task.json(value));
        var version: u64 = 0;
        var wanted = expected orelse 0;
        const maybe: ?*u64 = if (expected == null) null else &wanted;
        var err: c.sandpool_route_state_state_error_t = .{};
        if (c.sandpool_route_state_method_state_update(state.handle, &lent_name, maybe, &json, &version, &err)) {
            return .{ .done = version };
        }
        if (err.tag == c.SANDPOOL_ROUTE_STATE_STATE_ERROR_CONFLICT) return .{ .conflict = err.val.conflict };
        return refused(task, name, &err);
    }

    /// Sorted.
    pub fn names(state: State, task: *Task) Error![]const []const u8 {
        var list: c.web_route_list_string_t = .{};
        c.sandpool_route_state_method_state_names(state.handle, &list);
        defer c.web_route_list_string_free(&list);
        const copies = try task.arena.alloc([]const u8, list.len);
        for (copies, 0..) |*copy, i| copy.* = try task.arena.dupe(u8, text(list.ptr[i]));
        return copies;
    }
};

/// Fails with the conflict that `update` has found.
pub fn conflict(task: *Task, name: []const u8, version: u64) Error {
    return task.fail("{s} is at version {d}", .{ name, version }, .{ .variable = name, .reason = "conflict", .version = version });
}

fn refused(task: *Task, name: []const u8, err: *c.sandpool_route_state_state_error_t) Error {
    defer c.sandpool_route_state_state_error_free(err);
    if (err.tag == c.SANDPOOL_ROUTE_STATE_STATE_ERROR_UNAVAILABLE) {
        const why = text(err.val.unavailable);
        return task.fail("{s} cannot be used: {s}", .{ name, why }, .{ .variable = name, .reason = "unavailable" });
    }
    return task.fail("this route may not use {s}", .{name}, .{ .variable = name, .reason = "denied" });
}

// --- Progress, log and events -------------------------------------------------------------------------------

pub const progress = struct {
    /// Begins a phase of so many ticks, which ends at this percentage.
    pub fn begin(ticks: u32, to: f64) void {
        c.sandpool_route_progress_begin(ticks, to);
    }
    pub fn tick(count: u32) void {
        c.sandpool_route_progress_tick(count);
    }
    pub fn set(percent: f64) void {
        c.sandpool_route_progress_set(percent);
    }
    pub fn get() f64 {
        return c.sandpool_route_progress_get();
    }
};

pub const Level = enum(u8) { trace, debug, info, warn, @"error" };

/// Writes a line to the task's log, with at most 16 fields.
pub fn log(level: Level, message: []const u8, fields: []const Pair) void {
    var lines: [16]c.web_route_tuple2_string_string_t = undefined;
    const count = @min(fields.len, lines.len);
    for (lines[0..count], fields[0..count]) |*pair, field| pair.* = .{ .f0 = lent(field[0]), .f1 = lent(field[1]) };
    var list: c.web_route_list_tuple2_string_string_t = .{ .ptr = &lines, .len = count };
    var line = lent(message);
    c.sandpool_route_log_write(@backingInt(level), &line, &list);
}

/// Sends an event of the task's own.
pub fn send(task: *Task, name: []const u8, data: anytype) Error!void {
    var lent_name = lent(name);
    var json = lent(try task.json(data));
    c.sandpool_route_events_send(&lent_name, &json);
}

/// A panic: the task's log says what it was, and the instance ends by a trap.
pub const panic = std.debug.FullPanic(struct {
    fn panic(message: []const u8, _: ?usize) noreturn {
        log(.@"error", message, &.{});
        @trap();
    }
}.panic);

// --- The component's exports --------------------------------------------------------------------------------

/// Makes a file with `run`, `Input` and `summary` the component's.
pub fn component(comptime Route: type) void {
    const exports = struct {
        fn run(
            args: *c.web_route_args_t,
            state: c.web_route_own_state_t,
            ret: *c.web_route_json_t,
            err: *c.web_route_failure_t,
        ) callconv(.c) bool {
            var arena: std.heap.ArenaAllocator = .init(std.heap.c_allocator);
            defer arena.deinit();
            defer c.web_route_args_free(args);
            defer c.sandpool_route_state_state_drop_own(state);
            var failure: Failure = undefined;
            if (answer(Route, arena.allocator(), args, state, &failure)) |result| {
                ret.* = given(result);
                return true;
            }
            err.message = given(failure.message);
            err.detail.is_some = failure.detail != null;
            if (failure.detail) |detail| err.detail.val = given(detail);
            return false;
        }

        fn describe(ret: *c.web_route_description_t) callconv(.c) void {
            ret.summary = given(Route.summary);
            ret.description = given(if (@hasDecl(Route, "description")) Route.description else "");
            ret.input_schema = .{ .is_some = @hasDecl(Route, "input_schema") };
            ret.result_schema = .{ .is_some = @hasDecl(Route, "result_schema") };
            if (@hasDecl(Route, "input_schema")) ret.input_schema.val = given(Route.input_schema);
            if (@hasDecl(Route, "result_schema")) ret.result_schema.val = given(Route.result_schema);
        }
    };
    @export(&exports.run, .{ .name = "exports_web_route_run" });
    @export(&exports.describe, .{ .name = "exports_web_route_describe" });
}

/// The result as a JSON text; null: `failure` says why. An error that says no more is a failure with its name.
fn answer(
    comptime Route: type,
    arena: std.mem.Allocator,
    args: *c.web_route_args_t,
    state: c.web_route_own_state_t,
    failure: *Failure,
) ?[]const u8 {
    var task: Task = undefined;
    task.failure = null;
    return answered(Route, arena, args, state, &task) catch |fault| {
        failure.* = task.failure orelse .{ .message = @errorName(fault), .detail = null };
        return null;
    };
}

fn answered(
    comptime Route: type,
    arena: std.mem.Allocator,
    args: *c.web_route_args_t,
    state: c.web_route_own_state_t,
    task: *Task,
) ![]const u8 {
    const request = &args.request;
    const user = &args.user.val;
    task.* = .{
        .arena = arena,
        .id = text(args.task_id),
        .attempt = args.attempt,
        .arguments = text(args.arguments),
        .variables = text(args.variables),
        .request = .{
            .method = text(request.method),
            .url = text(request.url),
            .path = try pairs(arena, request.path_parameters),
            .query = try pairs(arena, request.query),
            .headers = try pairs(arena, request.headers),
        },
        .user = if (!args.user.is_some) null else .{
            .id = text(user.id),
            .groups = try texts(arena, user.groups),
            .roles = try texts(arena, user.roles),
            .scopes = try texts(arena, user.scopes),
        },
        .state = .{ .handle = c.sandpool_route_state_borrow_state(state) },
    };
    const options: std.json.ParseOptions = .{ .ignore_unknown_fields = true };
    const input = try std.json.parseFromSliceLeaky(Route.Input, arena, text(args.input), options);
    return task.json(try Route.run(task, input));
}

// --- The host's texts ---------------------------------------------------------------------------------------

/// What the host has given: a text, or bytes.
pub fn text(list: anytype) []const u8 {
    return if (list.len == 0) "" else list.ptr[0..list.len];
}

/// The bindings take texts that they do not change.
pub fn lent(bytes: []const u8) c.web_route_string_t {
    return .{ .ptr = @constCast(bytes.ptr), .len = bytes.len };
}

/// Hands a text over to the host, which frees it with `free`.
fn given(bytes: []const u8) c.web_route_string_t {
    var copy: c.web_route_string_t = .{};
    c.web_route_string_dup_n(&copy, bytes.ptr, bytes.len);
    return copy;
}

fn pairs(arena: std.mem.Allocator, list: c.web_route_list_tuple2_string_string_t) ![]const Pair {
    const all = try arena.alloc(Pair, list.len);
    for (all, 0..) |*pair, i| pair.* = .{ text(list.ptr[i].f0), text(list.ptr[i].f1) };
    return all;
}

fn texts(arena: std.mem.Allocator, list: c.web_route_list_string_t) ![]const []const u8 {
    const all = try arena.alloc([]const u8, list.len);
    for (all, 0..) |*one, i| one.* = text(list.ptr[i]);
    return all;
}
