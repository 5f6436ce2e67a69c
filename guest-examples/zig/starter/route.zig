//! A route that greets. `sandpool build` makes a component of it.

const std = @import("std");
const sandpool = @import("sandpool.zig");

comptime {
    sandpool.component(@This());
}

pub const panic = sandpool.panic;
pub const summary = "Greet somebody";
pub const input_schema =
    \\{"type": "object", "required": ["name"], "properties":
    \\  {"name": {"type": "string"}, "times": {"type": "integer", "minimum": 1, "maximum": 100}}}
;
pub const result_schema =
    \\{"type": "object", "required": ["greeting"], "properties": {"greeting": {"type": "string"}}}
;

pub const Input = struct { name: []const u8, times: u32 = 1 };
pub const Result = struct { greeting: []const u8 };

pub fn run(task: *sandpool.Task, input: Input) !Result {
    if (input.name.len == 0) return task.fail("nobody has an empty name", .{}, .{ .name = input.name });
    sandpool.log(.info, try std.fmt.allocPrint(task.arena, "greeting {s}", .{input.name}), &.{});
    var greeting: std.ArrayList(u8) = .empty;
    sandpool.progress.begin(input.times, 100);
    for (0..input.times) |i| {
        if (i > 0) try greeting.append(task.arena, ' ');
        try greeting.appendSlice(task.arena, try std.fmt.allocPrint(task.arena, "Hello, {s}!", .{input.name}));
        sandpool.progress.tick(1);
    }
    return .{ .greeting = greeting.items };
}
