//! The tour in Zig: what every language shows. ../README.md says what each behaviour is.

const std = @import("std");
const sandpool = @import("sandpool.zig");
const http = @import("sandpool_http.zig");
const Value = std.json.Value;
const Task = sandpool.Task;

comptime {
    sandpool.component(@This());
}

pub const panic = sandpool.panic;
pub const summary = "Tour of the guest interface";
pub const description = "Shows what a component can do: `do` says what.";
pub const input_schema = @embedFile("input.json");
pub const result_schema = @embedFile("result.json");

/// What input.json says.
pub const Input = struct {
    do: enum { echo, sum, cas, events, fetch, fail, raise, loop },
    name: ?[]const u8 = null,
    value: Value = .null,
    from: i64 = 0,
    to: i64 = 0,
    level: sandpool.Level = .info,
    by: i64 = 1,
    reads: u32 = 0,
    set: sandpool.Maybe = .absent,
    expected: sandpool.Maybe = .absent,
    count: u32 = 3,
    url: []const u8 = "",
    method: []const u8 = "GET",
    headers: std.json.ArrayHashMap([]const u8) = .{},
    body: ?[]const u8 = null,
    message: []const u8 = "",
    detail: sandpool.Maybe = .absent,
};

pub fn run(task: *Task, input: Input) !Value {
    return switch (input.do) {
        .echo => echo(task, input),
        .sum => sum(task, input),
        .cas => compareAndSet(task, input),
        .events => tell(task, input.count),
        .fetch => fetch(task, input),
        .fail => switch (input.detail) {
            .absent => task.fail("{s}", .{input.message}, null),
            .value => |detail| task.fail("{s}", .{input.message}, detail),
        },
        // Errors of Zig have a name and no more: what there is to say is in the task.
        .raise => task.fail("{s}", .{input.message}, null),
        .loop => {
            var endless = true;
            while (@as(*volatile bool, &endless).*) {}
            unreachable;
        },
    };
}

/// As a JSON value, since each behaviour has a result of its own.
fn value(task: *Task, result: anytype) !Value {
    return std.json.parseFromSliceLeaky(Value, task.arena, try task.json(result), .{});
}

fn echo(task: *Task, input: Input) !Value {
    return value(task, .{
        .greeting = try std.fmt.allocPrint(task.arena, "Hello, {s}!", .{input.name orelse "world"}),
        .value = input.value,
        .task = task.id,
        .attempt = task.attempt,
        .arguments = try std.json.parseFromSliceLeaky(Value, task.arena, task.arguments, .{}),
        .variables = try std.json.parseFromSliceLeaky(Value, task.arena, task.variables, .{}),
        .names = try task.state.names(task),
        .user = task.user,
        .request = task.request,
    });
}

fn sum(task: *Task, input: Input) !Value {
    const from, const to = .{ input.from, input.to };
    if (from > to) return task.fail("from must not be above to: {d} > {d}", .{ from, to }, .{ .from = from, .to = to });
    const first = try std.fmt.allocPrint(task.arena, "{d}", .{from});
    const last = try std.fmt.allocPrint(task.arena, "{d}", .{to});
    const message = try std.fmt.allocPrint(task.arena, "summing the square roots of {s} to {s}", .{ first, last });
    sandpool.log(input.level, message, &.{ .{ "from", first }, .{ "to", last } });
    const count = to - from + 1;
    var total: f64 = 0;
    var halfway: f64 = 0;
    sandpool.progress.begin(10, 90);
    for (0..10) |i| {
        const tenth: i64 = @intCast(i);
        var number = from + @divFloor(count * tenth, 10);
        while (number < from + @divFloor(count * (tenth + 1), 10)) : (number += 1) total += @sqrt(@as(f64, @floatFromInt(number)));
        sandpool.progress.tick(1);
        if (tenth == 4) halfway = sandpool.progress.get();
    }
    sandpool.progress.set(95);
    return value(task, .{ .sum = total, .halfway = halfway, .progress = sandpool.progress.get() });
}

fn compareAndSet(task: *Task, input: Input) !Value {
    const name = input.name orelse "";
    for (0..input.reads) |_| {
        if (try task.state.get(task, name)) |found| found.deinit();
    }
    switch (input.set) {
        .value => |new| return value(task, .{ .value = new, .version = try task.state.set(task, name, new) }),
        .absent => {},
    }
    switch (input.expected) {
        .value => |version| {
            const expected: ?u64 = if (version == .integer) @intCast(version.integer) else null;
            return switch (try task.state.update(task, name, expected, input.by)) {
                .done => |now| value(task, .{ .value = input.by, .version = now }),
                .conflict => |now| sandpool.conflict(task, name, now),
            };
        },
        .absent => {},
    }
    while (true) {
        const found = try task.state.get(task, name);
        defer if (found) |it| it.deinit();
        const before = if (found) |it| integer(it.value()) else 0;
        const new = before + input.by;
        switch (try task.state.update(task, name, if (found) |it| it.version else null, new)) {
            .done => |version| return value(task, .{ .value = new, .version = version }),
            .conflict => {}, // another task came first: again, with the value that is there now
        }
    }
}

fn integer(number: Value) i64 {
    return if (number == .integer) number.integer else 0;
}

fn tell(task: *Task, count: u32) !Value {
    for (0..count) |i| try sandpool.send(task, "tour", .{ .number = i + 1, .of = count });
    return value(task, .{ .sent = count });
}

fn fetch(task: *Task, input: Input) !Value {
    var headers: std.ArrayList(sandpool.Pair) = .empty;
    var entries = input.headers.map.iterator();
    while (entries.next()) |entry| try headers.append(task.arena, .{ entry.key_ptr.*, entry.value_ptr.* });
    const request: http.Request = .{ .method = input.method, .url = input.url, .headers = headers.items, .body = input.body };
    const response = try http.send(task, request);
    return value(task, .{ .status = response.status, .headers = response.headers, .body = try response.text(task) });
}
