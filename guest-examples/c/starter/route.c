/* A route that greets. `sandpool build` makes a component of it and of sandpool.c. */
#include "sandpool.h"

static bool run(sp_task *task, sp_buffer *result) {
    sp_text value, detail = sp_literal("{\"name\":\"\"}");
    sp_buffer name = {0}, greeting = {0};
    int64_t times = 1;
    if (sp_member(task->args->input, "name", &value)) sp_string(value, &name);
    if (sp_member(task->args->input, "times", &value)) sp_integer(value, &times);
    if (name.len == 0) return sp_fail(task, &detail, "nobody has an empty name");
    sp_putf(&greeting, "greeting %.*s", (int)name.len, name.ptr);
    sp_log(SANDPOOL_ROUTE_LOG_LEVEL_INFO, sp_of(&greeting), NULL, 0);
    greeting.len = 0;
    sandpool_route_progress_begin((uint32_t)times, 100);
    for (int64_t i = 0; i < times; i++) {
        sp_putf(&greeting, "%sHello, %.*s!", i ? " " : "", (int)name.len, name.ptr);
        sandpool_route_progress_tick(1);
    }
    sp_put(result, "{\"greeting\":");
    sp_put_string(result, sp_of(&greeting));
    sp_put(result, "}");
    sp_free(&greeting);
    sp_free(&name);
    return true;
}

const sp_route route = {
    .summary = "Greet somebody",
    .description = "",
    .input_schema = "{\"type\": \"object\", \"required\": [\"name\"], \"properties\": {\"name\": {\"type\": \"string\"},"
                    " \"times\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 100}}}",
    .result_schema = "{\"type\": \"object\", \"required\": [\"greeting\"], \"properties\": {\"greeting\": {\"type\": \"string\"}}}",
    .run = run,
};
