/* See sandpool.h. */
#include "sandpool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Texts ------------------------------------------------------------------------------------------------ */

sp_text sp_literal(const char *literal) { return (sp_text){(uint8_t *)literal, strlen(literal)}; }

sp_text sp_of(const sp_buffer *buffer) { return (sp_text){(uint8_t *)buffer->ptr, buffer->len}; }

bool sp_is(sp_text text, const char *literal) {
    return text.len == strlen(literal) && memcmp(text.ptr, literal, text.len) == 0;
}

void sp_free(sp_buffer *buffer) {
    free(buffer->ptr);
    *buffer = (sp_buffer){0};
}

/* Room for `more` bytes at the end. Without memory there is nothing to go on with: a trap. */
static char *room(sp_buffer *buffer, size_t more) {
    if (buffer->room - buffer->len < more) {
        buffer->room = (buffer->len + more) * 2;
        buffer->ptr = realloc(buffer->ptr, buffer->room);
        if (!buffer->ptr) abort();
    }
    return buffer->ptr + buffer->len;
}

static void put(sp_buffer *buffer, const void *bytes, size_t count) {
    if (count == 0) return;
    memcpy(room(buffer, count), bytes, count);
    buffer->len += count;
}

void sp_put(sp_buffer *buffer, const char *literal) { put(buffer, literal, strlen(literal)); }

void sp_put_text(sp_buffer *buffer, sp_text text) { put(buffer, text.ptr, text.len); }

void sp_put_string(sp_buffer *buffer, sp_text text) {
    sp_put(buffer, "\"");
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c < 0x20) {
            sp_putf(buffer, "\\u%04x", c);
        } else {
            if (c == '"' || c == '\\') sp_put(buffer, "\\");
            put(buffer, &c, 1);
        }
    }
    sp_put(buffer, "\"");
}

void sp_put_character(sp_buffer *buffer, uint32_t code) {
    uint8_t bytes[4];
    size_t count = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = count; i-- > 1; code >>= 6) bytes[i] = (uint8_t)(0x80 | (code & 0x3F));
    bytes[0] = (uint8_t)(leads[count] | code);
    put(buffer, bytes, count);
}

bool sp_is_utf8(sp_text text) {
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    for (size_t at = 0; at < text.len;) {
        uint8_t c = text.ptr[at++];
        size_t more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : 4;
        if (more == 4 || text.len - at < more) return false;
        uint32_t code = more ? c & 0x3Fu >> more : c;
        for (size_t i = 0; i < more; i++, at++) {
            if (text.ptr[at] >> 6 != 2) return false;
            code = code << 6 | (text.ptr[at] & 0x3F);
        }
        if (code < least[more] || code > 0x10FFFF || code >> 11 == 0x1B) return false;
    }
    return true;
}

static void vputf(sp_buffer *buffer, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    if (length > 0) {
        vsnprintf(room(buffer, (size_t)length + 1), (size_t)length + 1, format, again);
        buffer->len += (size_t)length;
    }
    va_end(again);
}

void sp_putf(sp_buffer *buffer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vputf(buffer, format, arguments);
    va_end(arguments);
}

/* --- Reading JSON ------------------------------------------------------------------------------------------ */

static size_t blanks(sp_text json, size_t at) {
    while (at < json.len && memchr(" \t\r\n", json.ptr[at], 4)) at++;
    return at;
}

/* The end of the string that begins at `at`. */
static size_t string_end(sp_text json, size_t at) {
    for (at++; at < json.len && json.ptr[at] != '"'; at++) {
        if (json.ptr[at] == '\\') at++;
    }
    return at < json.len ? at + 1 : json.len;
}

/* The end of the value that begins at `at`. */
static size_t value_end(sp_text json, size_t at) {
    size_t depth = 0;
    while (at < json.len) {
        uint8_t c = json.ptr[at];
        if (c == '"') {
            at = string_end(json, at);
            if (depth == 0) return at;
            continue;
        }
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') {
            if (depth == 0) return at;
            if (--depth == 0) return at + 1;
        }
        if (depth == 0 && (c == ',' || memchr(" \t\r\n", c, 4))) return at;
        at++;
    }
    return at;
}

bool sp_next(sp_text object, size_t *at, sp_buffer *name, sp_text *value) {
    size_t begin = blanks(object, *at);
    /* The brace, or the comma after the member before. */
    if (begin >= object.len || !memchr("{,", object.ptr[begin], 2)) return false;
    begin = blanks(object, begin + 1);
    if (begin >= object.len || object.ptr[begin] != '"') return false;
    size_t end = string_end(object, begin);
    name->len = 0;
    sp_string((sp_text){object.ptr + begin, end - begin}, name);
    begin = blanks(object, blanks(object, end) + 1); /* past the colon */
    *at = value_end(object, begin);
    *value = (sp_text){object.ptr + begin, *at - begin};
    return true;
}

bool sp_member(sp_text object, const char *name, sp_text *value) {
    sp_buffer key = {0};
    sp_text found;
    bool is_there = false;
    for (size_t at = 0; !is_there && sp_next(object, &at, &key, &found);) {
        is_there = sp_is(sp_of(&key), name);
        if (is_there) *value = found;
    }
    sp_free(&key);
    return is_there;
}

static uint32_t hex(const uint8_t *digits) {
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = digits[i];
        code = code << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return code;
}

bool sp_string(sp_text json, sp_buffer *content) {
    if (json.len < 2 || json.ptr[0] != '"') return false;
    for (size_t at = 1; at + 1 < json.len; at++) {
        if (json.ptr[at] != '\\') {
            put(content, json.ptr + at, 1);
            continue;
        }
        uint8_t c = json.ptr[++at];
        static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
        const char *letter = memchr(letters, c, 5);
        if (c == 'u' && at + 5 < json.len) {
            uint32_t code = hex(json.ptr + at + 1);
            at += 4;
            /* Two surrogates are one character, and one alone is none. */
            if (code >> 10 == 0x36 && at + 7 < json.len && json.ptr[at + 1] == '\\') {
                code = 0x10000 + ((code & 0x3FF) << 10) + (hex(json.ptr + at + 3) & 0x3FF);
                at += 6;
            }
            sp_put_character(content, code >> 11 == 0x1B ? 0xFFFD : code);
        } else {
            put(content, letter ? &meant[letter - letters] : (const char *)&c, 1);
        }
    }
    return true;
}

bool sp_integer(sp_text json, int64_t *number) {
    char digits[24] = {0};
    if (json.len == 0 || json.len >= sizeof digits) return false;
    memcpy(digits, json.ptr, json.len);
    char *end;
    *number = strtoll(digits, &end, 10);
    return *end == 0;
}

/* --- Failures ---------------------------------------------------------------------------------------------- */

bool sp_fail(sp_task *task, const sp_text *detail, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    task->message.len = task->detail.len = 0;
    vputf(&task->message, format, arguments);
    va_end(arguments);
    task->detailed = detail != NULL;
    if (detail) sp_put_text(&task->detail, *detail);
    return false;
}

/* --- Shared variables -------------------------------------------------------------------------------------- */

/* `more` goes on the detail's object; the sentence is `before`, the name, `after`, and what the host said. */
static bool refused(
    sp_task *task, sp_text name, const char *reason, const char *more, const char *before, const char *after, sp_text why
) {
    sp_buffer detail = {0};
    sp_put(&detail, "{\"variable\":");
    sp_put_string(&detail, name);
    sp_putf(&detail, ",\"reason\":\"%s\"%s}", reason, more);
    sp_text text = sp_of(&detail);
    sp_fail(task, &text, "%s%.*s%s%.*s", before, (int)name.len, (char *)name.ptr, after, (int)why.len, (char *)why.ptr);
    sp_free(&detail);
    return false;
}

bool sp_conflict(sp_task *task, sp_text name, uint64_t version) {
    char more[48], words[32];
    snprintf(more, sizeof more, ",\"version\":%llu", (unsigned long long)version);
    snprintf(words, sizeof words, "%llu", (unsigned long long)version);
    return refused(task, name, "conflict", more, "", " is at version ", sp_literal(words));
}

static sp_outcome outcome(sp_task *task, sp_text name, sandpool_route_state_state_error_t *error, uint64_t *version) {
    switch (error->tag) {
    case SANDPOOL_ROUTE_STATE_STATE_ERROR_CONFLICT:
        *version = error->val.conflict;
        return SP_CONFLICT;
    case SANDPOOL_ROUTE_STATE_STATE_ERROR_UNAVAILABLE:
        refused(task, name, "unavailable", "", "", " cannot be used: ", error->val.unavailable);
        break;
    default:
        refused(task, name, "denied", "", "this route may not use ", "", sp_literal(""));
    }
    sandpool_route_state_state_error_free(error);
    return SP_REFUSED;
}

sp_outcome sp_get(sp_task *task, sp_text name, sp_buffer *value, uint64_t *version) {
    sandpool_route_state_option_versioned_t found;
    sandpool_route_state_state_error_t error;
    if (!sandpool_route_state_method_state_get(task->state, &name, &found, &error)) {
        return outcome(task, name, &error, version);
    }
    if (!found.is_some) return SP_ABSENT;
    value->len = 0;
    sp_put_text(value, found.val.value);
    *version = found.val.version;
    sandpool_route_state_option_versioned_free(&found);
    return SP_DONE;
}

sp_outcome sp_set(sp_task *task, sp_text name, sp_text value, uint64_t *version) {
    sandpool_route_state_state_error_t error;
    bool done = sandpool_route_state_method_state_set(task->state, &name, &value, version, &error);
    return done ? SP_DONE : outcome(task, name, &error, version);
}

sp_outcome sp_update(sp_task *task, sp_text name, const uint64_t *expected, sp_text value, uint64_t *version) {
    sandpool_route_state_state_error_t error;
    uint64_t *maybe = (uint64_t *)expected;
    bool done = sandpool_route_state_method_state_update(task->state, &name, maybe, &value, version, &error);
    return done ? SP_DONE : outcome(task, name, &error, version);
}

/* --- Log and events ---------------------------------------------------------------------------------------- */

void sp_log(sandpool_route_log_level_t level, sp_text message, const web_route_tuple2_string_string_t *fields, size_t count) {
    sp_pairs pairs = {(web_route_tuple2_string_string_t *)fields, count};
    sandpool_route_log_write(level, &message, &pairs);
}

void sp_send(const char *name, sp_text data) {
    sp_text text = sp_literal(name);
    sandpool_route_events_send(&text, &data);
}

/* --- The component's exports ------------------------------------------------------------------------------- */

/* Hands a buffer over to the host, which frees it with `free`. */
static sp_text given(sp_buffer *buffer) {
    room(buffer, 1);
    return sp_of(buffer);
}

bool exports_web_route_run(
    web_route_args_t *args, web_route_own_state_t state, web_route_json_t *ret, web_route_failure_t *err
) {
    sp_task task = {.args = args, .state = sandpool_route_state_borrow_state(state)};
    sp_buffer result = {0};
    bool done = route.run(&task, &result);
    sandpool_route_state_state_drop_own(state);
    web_route_args_free(args);
    if (done) {
        *ret = given(&result);
    } else {
        err->message = given(&task.message);
        err->detail.is_some = task.detailed;
        if (task.detailed) err->detail.val = given(&task.detail);
    }
    return done;
}

static void schema(sandpool_route_types_option_json_t *option, const char *text) {
    option->is_some = text != NULL;
    if (text) web_route_string_dup(&option->val, text);
}

void exports_web_route_describe(web_route_description_t *ret) {
    web_route_string_dup(&ret->summary, route.summary);
    web_route_string_dup(&ret->description, route.description);
    schema(&ret->input_schema, route.input_schema);
    schema(&ret->result_schema, route.result_schema);
}
