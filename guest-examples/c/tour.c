/* The tour in C: what every language shows. ../README.md says what each behaviour is. */
#include "sandpool_http.h"

#include <math.h>
#include <stdio.h>

static bool run(sp_task *task, sp_buffer *result);

static const char input_schema[] = {
#embed "input.json" suffix(, 0)
};
static const char result_schema[] = {
#embed "result.json" suffix(, 0)
};

const sp_route route = {
    .summary = "Tour of the guest interface",
    .description = "Shows what a component can do: `do` says what.",
    .input_schema = input_schema,
    .result_schema = result_schema,
    .run = run,
};

/* The input's integer of this name, else the default. */
static int64_t integer(sp_text input, const char *name, int64_t otherwise) {
    sp_text value;
    int64_t number;
    return sp_member(input, name, &value) && sp_integer(value, &number) ? number : otherwise;
}

/* The content of the input's string of this name; empty without one. */
static bool string(sp_text input, const char *name, sp_buffer *content) {
    sp_text value;
    return sp_member(input, name, &value) && sp_string(value, content);
}

static void put_strings(sp_buffer *result, const char *name, const sp_text *texts, size_t count) {
    sp_putf(result, "\"%s\":[", name);
    for (size_t i = 0; i < count; i++) {
        sp_put(result, i ? "," : "");
        sp_put_string(result, texts[i]);
    }
    sp_put(result, "]");
}

static void put_pairs(sp_buffer *result, const char *name, sp_pairs pairs) {
    sp_putf(result, ",\"%s\":[", name);
    for (size_t i = 0; i < pairs.len; i++) {
        sp_put(result, i ? ",[" : "[");
        sp_put_string(result, pairs.ptr[i].f0);
        sp_put(result, ",");
        sp_put_string(result, pairs.ptr[i].f1);
        sp_put(result, "]");
    }
    sp_put(result, "]");
}

static void put_user(sp_buffer *result, const sandpool_route_types_option_user_t *user) {
    if (!user->is_some) {
        sp_put(result, ",\"user\":null");
        return;
    }
    sp_put(result, ",\"user\":{\"id\":");
    sp_put_string(result, user->val.id);
    sp_put(result, ",");
    put_strings(result, "groups", user->val.groups.ptr, user->val.groups.len);
    sp_put(result, ",");
    put_strings(result, "roles", user->val.roles.ptr, user->val.roles.len);
    sp_put(result, ",");
    put_strings(result, "scopes", user->val.scopes.ptr, user->val.scopes.len);
    sp_put(result, "}");
}

static bool echo(sp_task *task, sp_buffer *result) {
    const sp_args *args = task->args;
    sp_text value = sp_literal("null");
    sp_buffer greeting = {0};
    sp_put(&greeting, "Hello, ");
    if (!string(args->input, "name", &greeting)) sp_put(&greeting, "world");
    sp_put(&greeting, "!");
    sp_member(args->input, "value", &value);
    sp_put(result, "{\"greeting\":");
    sp_put_string(result, sp_of(&greeting));
    sp_free(&greeting);
    sp_put(result, ",\"value\":");
    sp_put_text(result, value);
    sp_put(result, ",\"task\":");
    sp_put_string(result, args->task_id);
    sp_putf(result, ",\"attempt\":%u,\"arguments\":", (unsigned)args->attempt);
    sp_put_text(result, args->arguments);
    sp_put(result, ",\"variables\":");
    sp_put_text(result, args->variables);
    sp_put(result, ",");
    web_route_list_string_t names;
    sandpool_route_state_method_state_names(task->state, &names);
    put_strings(result, "names", names.ptr, names.len);
    web_route_list_string_free(&names);
    put_user(result, &args->user);
    sp_put(result, ",\"request\":{\"method\":");
    sp_put_string(result, args->request.method);
    sp_put(result, ",\"url\":");
    sp_put_string(result, args->request.url);
    put_pairs(result, "path", args->request.path_parameters);
    put_pairs(result, "query", args->request.query);
    put_pairs(result, "headers", args->request.headers);
    sp_put(result, "}}");
    return true;
}

static sandpool_route_log_level_t level(sp_text input) {
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    sandpool_route_log_level_t level = SANDPOOL_ROUTE_LOG_LEVEL_INFO;
    sp_buffer name = {0};
    if (string(input, "level", &name)) {
        for (uint8_t i = 0; i < 5; i++) {
            if (sp_is(sp_of(&name), names[i])) level = i;
        }
    }
    sp_free(&name);
    return level;
}

static bool sum(sp_task *task, sp_buffer *result) {
    sp_text input = task->args->input;
    long long from = integer(input, "from", 0), to = integer(input, "to", 0);
    if (from > to) {
        sp_buffer detail = {0};
        sp_putf(&detail, "{\"from\":%lld,\"to\":%lld}", from, to);
        sp_text text = sp_of(&detail);
        sp_fail(task, &text, "from must not be above to: %lld > %lld", from, to);
        sp_free(&detail);
        return false;
    }
    char message[96], first[24], last[24];
    snprintf(message, sizeof message, "summing the square roots of %lld to %lld", from, to);
    snprintf(first, sizeof first, "%lld", from);
    snprintf(last, sizeof last, "%lld", to);
    const web_route_tuple2_string_string_t fields[] = {
        {sp_literal("from"), sp_literal(first)},
        {sp_literal("to"), sp_literal(last)},
    };
    sp_log(level(input), sp_literal(message), fields, 2);
    long long count = to - from + 1;
    double total = 0, halfway = 0;
    sandpool_route_progress_begin(10, 90);
    for (int tenth = 0; tenth < 10; tenth++) {
        long long end = from + count * (tenth + 1) / 10;
        for (long long i = from + count * tenth / 10; i < end; i++) total += sqrt((double)i);
        sandpool_route_progress_tick(1);
        if (tenth == 4) halfway = sandpool_route_progress_get();
    }
    sandpool_route_progress_set(95);
    double progress = sandpool_route_progress_get();
    sp_putf(result, "{\"sum\":%.17g,\"halfway\":%.17g,\"progress\":%.17g}", total, halfway, progress);
    return true;
}

static void put_written(sp_buffer *result, sp_text value, uint64_t version) {
    sp_put(result, "{\"value\":");
    sp_put_text(result, value);
    sp_putf(result, ",\"version\":%llu}", (unsigned long long)version);
}

/* One write of `by` over the version that the input expects. */
static bool write_over(sp_task *task, sp_text name, sp_text expected, int64_t by, sp_buffer *result) {
    int64_t given;
    bool exists = sp_integer(expected, &given);
    uint64_t wanted = exists ? (uint64_t)given : 0, version = 0;
    sp_buffer value = {0};
    sp_putf(&value, "%lld", (long long)by);
    sp_outcome outcome = sp_update(task, name, exists ? &wanted : NULL, sp_of(&value), &version);
    if (outcome == SP_DONE) put_written(result, sp_of(&value), version);
    if (outcome == SP_CONFLICT) sp_conflict(task, name, version);
    sp_free(&value);
    return outcome == SP_DONE;
}

/* Adds `by`, again after each conflict: then another task came first. */
static bool add(sp_task *task, sp_text name, int64_t by, sp_buffer *result) {
    sp_buffer value = {0};
    sp_outcome outcome = SP_CONFLICT;
    while (outcome == SP_CONFLICT) {
        uint64_t found = 0, version = 0;
        int64_t before = 0;
        outcome = sp_get(task, name, &value, &found);
        if (outcome == SP_REFUSED) break;
        bool exists = outcome == SP_DONE;
        if (exists && !sp_integer(sp_of(&value), &before)) before = 0;
        value.len = 0;
        sp_putf(&value, "%lld", (long long)(before + by));
        outcome = sp_update(task, name, exists ? &found : NULL, sp_of(&value), &version);
        if (outcome == SP_DONE) put_written(result, sp_of(&value), version);
    }
    sp_free(&value);
    return outcome == SP_DONE;
}

static bool compare_and_set(sp_task *task, sp_buffer *result) {
    sp_text input = task->args->input, value, expected;
    sp_buffer name = {0};
    string(input, "name", &name);
    int64_t by = integer(input, "by", 1), reads = integer(input, "reads", 0);
    sp_buffer found = {0};
    uint64_t at;
    bool done = true;
    while (done && reads-- > 0) done = sp_get(task, sp_of(&name), &found, &at) != SP_REFUSED;
    sp_free(&found);
    if (!done) {
        /* It may not be read. */
    } else if (sp_member(input, "set", &value)) {
        uint64_t version = 0;
        done = sp_set(task, sp_of(&name), value, &version) == SP_DONE;
        if (done) put_written(result, value, version);
    } else if (sp_member(input, "expected", &expected)) {
        done = write_over(task, sp_of(&name), expected, by, result);
    } else {
        done = add(task, sp_of(&name), by, result);
    }
    sp_free(&name);
    return done;
}

static bool tell(sp_task *task, sp_buffer *result) {
    long long count = integer(task->args->input, "count", 3);
    sp_buffer data = {0};
    for (long long number = 1; number <= count; number++) {
        data.len = 0;
        sp_putf(&data, "{\"number\":%lld,\"of\":%lld}", number, count);
        sp_send("tour", sp_of(&data));
    }
    sp_free(&data);
    sp_putf(result, "{\"sent\":%lld}", count);
    return true;
}

static bool fetch(sp_task *task, sp_buffer *result) {
    sp_text input = task->args->input, headers = {0};
    sp_buffer url = {0}, method = {0}, body = {0};
    string(input, "url", &url);
    string(input, "method", &method);
    sp_member(input, "headers", &headers);
    bool sends = string(input, "body", &body);
    sp_text content = sp_of(&body), text;
    sp_request request = {
        .url = sp_of(&url), .method = sp_of(&method), .headers = headers, .body = sends ? &content : NULL
    };
    sp_response response = {0};
    bool done = sp_fetch(task, &request, &response) && sp_response_text(task, &response, &text);
    if (done) {
        sp_putf(result, "{\"status\":%u", response.status);
        put_pairs(result, "headers", response.headers);
        sp_put(result, ",\"body\":");
        sp_put_string(result, text);
        sp_put(result, "}");
    }
    sp_response_free(&response);
    sp_free(&url);
    sp_free(&method);
    sp_free(&body);
    return done;
}

static bool fail(sp_task *task) {
    sp_text input = task->args->input, detail;
    sp_buffer message = {0};
    string(input, "message", &message);
    bool detailed = sp_member(input, "detail", &detail);
    sp_fail(task, detailed ? &detail : NULL, "%.*s", (int)message.len, message.ptr);
    sp_free(&message);
    return false;
}

static bool run(sp_task *task, sp_buffer *result) {
    sp_buffer what = {0};
    string(task->args->input, "do", &what);
    sp_text text = sp_of(&what);
    bool done;
    if (sp_is(text, "echo")) {
        done = echo(task, result);
    } else if (sp_is(text, "sum")) {
        done = sum(task, result);
    } else if (sp_is(text, "cas")) {
        done = compare_and_set(task, result);
    } else if (sp_is(text, "events")) {
        done = tell(task, result);
    } else if (sp_is(text, "fetch")) {
        done = fetch(task, result);
    } else if (sp_is(text, "loop")) {
        for (volatile bool endless = true; endless;) {
        }
        done = false;
    } else {
        /* `fail`, and `raise`: C has no other way. */
        done = fail(task);
    }
    sp_free(&what);
    return done;
}
