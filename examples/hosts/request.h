/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_REQUEST_H
#define HOSTS_REQUEST_H

/** One HTTP request on a connection, read by http-parser. For servers without their own HTTP. */

#include "service.h"

#include <http_parser.h>

struct request_text {
    char *data; /**< a NUL follows; NULL until the first byte */
    size_t size;
};

/** The header fields that are needed. The values of a repeated field are joined by commas. */
enum {
    REQUEST_HOST,
    REQUEST_ORIGIN,
    REQUEST_FETCH_SITE,
    REQUEST_LAST_EVENT_ID,
    REQUEST_TRANSFER_ENCODING,
    REQUEST_EXPECT,
    REQUEST_FIELDS
};

struct request {
    http_parser parser;
    struct service *service;
    struct request_text target;
    struct request_text name;   /**< the header field that is being read */
    struct request_text *value; /**< its value; NULL: nobody needs it */
    bool in_value;
    struct request_text fields[REQUEST_FIELDS];
    struct body body;
    int status; /**< the result of service_route, or the status to refuse it with */
    bool expects_continue;
    bool decided;               /**< it can be answered */
    struct service_query query; /**< when it is decided */
};

void request_init(struct request *request, struct service *service);
void request_free(struct request *request);

enum request_progress {
    REQUEST_MORE,     /**< read more */
    REQUEST_CONTINUE, /**< send `request_continue` and read more, because the client waits for it */
    REQUEST_DECIDED   /**< answer it, and ignore further input */
};

extern const char request_continue[];

enum request_progress request_read(struct request *request, const char *data, size_t size);

/** Does what a decided request asks for. SERVICE_STREAM: open the stream of `query`. Otherwise pass the result to
 *  request_answer. */
int request_serve(struct request *request);

/** The options for the head of a stream: chunked if the client understands chunks. */
struct sse_http_options request_http_options(const struct request *request);

/** Room for a response of the next two functions. */
#define REQUEST_ANSWER_SIZE 512

/** A response without a body, after which you close the connection. `status` may be SERVICE_HEAD. Returns its
 *  size. */
size_t request_answer(const struct request *request, char answer[REQUEST_ANSWER_SIZE], int status);
/** Writes the answer to an error of sse_emitter_new. Otherwise as request_answer. */
size_t request_refuse(const struct request *request, char answer[REQUEST_ANSWER_SIZE], int error);

#endif
