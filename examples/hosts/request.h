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

struct request {
    http_parser parser;
    struct request_text target;
    struct request_text field; /**< the name of the header field that is being read */
    struct request_text last_event_id;
    struct request_text body;
    bool in_value;
    bool whole;
    struct service_query query; /**< after request_serve */
};

void request_init(struct request *request);
void request_free(struct request *request);

/** Reads on. 1: the request is whole, and what follows is not looked at. 0: not yet. -EINVAL: it cannot be
 *  read. */
int request_read(struct request *request, const char *data, size_t size);

/** Does what a whole request asks for. 0: the client wants the stream of `query`. Otherwise the status to
 *  answer with. */
int request_serve(struct request *request, struct service *service);

/** How the head of a stream looks: chunked if the client can read that. */
struct sse_http_options request_http_options(const struct request *request);

/** Room for a response of the next two functions. */
#define REQUEST_ANSWER_SIZE 512

/** A response without a body, after which you close the connection. Returns its size. */
size_t request_answer(char answer[REQUEST_ANSWER_SIZE], int status);
/** The same for an error of sse_emitter_new. */
size_t request_refuse(const struct request *request, char answer[REQUEST_ANSWER_SIZE], int error);

#endif
