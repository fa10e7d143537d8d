/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_REQUEST_H
#define HOSTS_REQUEST_H

/** For the servers that know nothing of HTTP: a request, read by http-parser. One on each connection. */

#include "service.h"

#include <http_parser.h>

struct request_text {
    char *data; /**< with a NUL behind it; NULL as long as nothing came */
    size_t size;
};

/** The header fields that count. A field that is repeated has its values joined by commas. */
enum {
    REQUEST_HOST,
    REQUEST_ORIGIN,
    REQUEST_FETCH_SITE,
    REQUEST_LAST_EVENT_ID,
    REQUEST_EXPECT,
    REQUEST_FIELDS
};

struct request {
    http_parser parser;
    struct service *service;
    struct request_text target;
    struct request_text name;   /**< of the header field that is being read */
    struct request_text *value; /**< of the same; NULL: nobody needs it */
    bool in_value;
    struct request_text fields[REQUEST_FIELDS];
    struct body body;
    int status; /**< what service_route said, or why it is refused */
    bool expects_continue;
    bool decided;               /**< it can be answered */
    struct service_query query; /**< once it is decided */
};

void request_init(struct request *request, struct service *service);
void request_free(struct request *request);

enum request_progress {
    REQUEST_MORE,     /**< read on */
    REQUEST_CONTINUE, /**< send `request_continue`, and read on: the client waits for it */
    REQUEST_DECIDED   /**< answer it; what follows is not looked at */
};

extern const char request_continue[];

enum request_progress request_read(struct request *request, const char *data, size_t size);

/** Does what a decided request asks for. SERVICE_STREAM: the client wants the stream of `query`. Otherwise
 * what request_answer is to be given. */
int request_serve(struct request *request);

/** How the head of a stream looks: chunked if the client can read that. */
struct sse_http_options request_http_options(const struct request *request);

/** Room for a response of the next two functions. */
#define REQUEST_ANSWER_SIZE 512

/** A response without a body, after which you close the connection. `status` may be SERVICE_HEAD. Returns its
 *  size. */
size_t request_answer(const struct request *request, char answer[REQUEST_ANSWER_SIZE], int status);
/** The same for an error of sse_emitter_new. */
size_t request_refuse(const struct request *request, char answer[REQUEST_ANSWER_SIZE], int error);

#endif
