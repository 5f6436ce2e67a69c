/* The C side of Sandpool's guest interface: define one `sp_route` called `route`, and the program is a component.
 *
 * A text (`sp_text`) is UTF-8 with a length; it belongs to whom it came from. A buffer (`sp_buffer`) grows, begins as `{0}`,
 * and is freed with `sp_free`. Values are JSON texts: `sp_member` and its like look into them, `sp_put` and its like write them.
 */
#ifndef SANDPOOL_H
#define SANDPOOL_H

#include "web_route.h"

typedef web_route_string_t sp_text;
typedef web_route_args_t sp_args;
typedef web_route_list_tuple2_string_string_t sp_pairs;

typedef struct {
    char *ptr;
    size_t len, room;
} sp_buffer;

/* One task: what it was given, its shared variables, and why it failed, if it did. */
typedef struct {
    const sp_args *args;
    sandpool_route_state_borrow_state_t state;
    sp_buffer message, detail;
    bool detailed;
} sp_task;

/* A route. `run` writes its result, a JSON text, and returns true; or it returns what `sp_fail` returns. */
typedef struct {
    const char *summary, *description;
    const char *input_schema, *result_schema; /* JSON Schema (2020-12); NULL: none */
    bool (*run)(sp_task *task, sp_buffer *result);
} sp_route;

extern const sp_route route;

/* Why the task failed: one sentence, as printf writes it, and more for programs, a JSON text (NULL: none). Returns false. */
[[gnu::format(printf, 3, 4)]] bool sp_fail(sp_task *task, const sp_text *detail, const char *format, ...);

/* --- Texts ------------------------------------------------------------------------------------------------ */

sp_text sp_literal(const char *literal);
sp_text sp_of(const sp_buffer *buffer);
bool sp_is(sp_text text, const char *literal);
bool sp_is_utf8(sp_text text);
void sp_free(sp_buffer *buffer);

/* Appends to a buffer: a text as it is, as a JSON string, a character by its code point, a text as printf writes it. */
void sp_put(sp_buffer *buffer, const char *literal);
void sp_put_text(sp_buffer *buffer, sp_text text);
void sp_put_string(sp_buffer *buffer, sp_text text);
void sp_put_character(sp_buffer *buffer, uint32_t code);
[[gnu::format(printf, 2, 3)]] void sp_putf(sp_buffer *buffer, const char *format, ...);

/* --- Reading JSON, which the host has checked -------------------------------------------------------------- */

/* The value of an object's member, as a part of the text; false: there is none. */
bool sp_member(sp_text object, const char *name, sp_text *value);
/* An object's members one by one; `at` begins as 0. false: there is no more. */
bool sp_next(sp_text object, size_t *at, sp_buffer *name, sp_text *value);
/* The content of a string; false: it is none. */
bool sp_string(sp_text json, sp_buffer *content);
/* An integer of 64 bits; false: it is none. */
bool sp_integer(sp_text json, int64_t *number);

/* --- Shared variables -------------------------------------------------------------------------------------- */

/* What became of a call. SP_REFUSED: the task has failed; return false. */
typedef enum { SP_DONE, SP_ABSENT, SP_CONFLICT, SP_REFUSED } sp_outcome;

/* SP_DONE with the value and its version, or SP_ABSENT. */
sp_outcome sp_get(sp_task *task, sp_text name, sp_buffer *value, uint64_t *version);
/* Writes it whatever its present value. */
sp_outcome sp_set(sp_task *task, sp_text name, sp_text value, uint64_t *version);
/* Writes it only if it is at version `expected`; NULL: only if it does not exist. SP_CONFLICT with its present version. */
sp_outcome sp_update(sp_task *task, sp_text name, const uint64_t *expected, sp_text value, uint64_t *version);
/* Fails with the conflict that `sp_update` has found. */
bool sp_conflict(sp_task *task, sp_text name, uint64_t version);

/* --- Log and events ---------------------------------------------------------------------------------------- */

/* Writes a line with `count` fields. Progress needs no help: sandpool_route_progress_set and its like. */
void sp_log(sandpool_route_log_level_t level, sp_text message, const web_route_tuple2_string_string_t *fields, size_t count);
void sp_send(const char *name, sp_text data);

#endif
