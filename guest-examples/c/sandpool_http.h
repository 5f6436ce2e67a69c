/* Requests to web servers, which the route must grant: `grants: {http: ["api.example.com"]}`.
 *
 *     sp_response response = {0};
 *     sp_text text;
 *     bool done = sp_fetch(task, &(sp_request){.url = sp_literal("https://api.example.com/orders")}, &response) &&
 *                 sp_response_text(task, &response, &text);
 *     ...
 *     sp_response_free(&response);
 *
 * A redirect is a response like any other. A component that sends nothing imports no wasi:http.
 */
#ifndef SANDPOOL_HTTP_H
#define SANDPOOL_HTTP_H

#include "sandpool.h"

/* What to ask. */
typedef struct {
    sp_text url;
    sp_text method;      /* empty: GET */
    sp_text headers;     /* a JSON object of strings; empty: none */
    const sp_text *body; /* NULL: none */
    size_t limit;        /* the most bytes of the response's body; 0: 1 MiB. More is a failure, HTTP-response-body-size */
} sp_request;

/* What the server said. Names of header fields are in lower case. */
typedef struct {
    sp_text url; /* the request's */
    uint16_t status;
    sp_pairs headers;
    sp_buffer body;
} sp_response;

/* Sends a request, and waits for the whole response. false: the task has failed with `the request failed: REASON` and the detail
 * `{url, reason}`: a name of wasi:http's `error-code`, such as `HTTP-request-denied`; `header-refused`; or `body-not-UTF-8`. */
bool sp_fetch(sp_task *task, const sp_request *request, sp_response *response);
/* The body as a text, which is part of the response. false: it is none, and the task has failed. */
bool sp_response_text(sp_task *task, const sp_response *response, sp_text *text);
void sp_response_free(sp_response *response);

#endif
