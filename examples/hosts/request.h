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
    char topic[SSE_TOPIC_SIZE_MAX + 1];
};

void request_init(struct request *request);
void request_free(struct request *request);

/** Reads on. 1: it is whole, and what follows is not looked at; 0: not yet; -EINVAL: it cannot be read. */
int request_read(struct request *request, const char *data, size_t size);

/** Does what a whole request asks for. 0: a stream of `topic`, which may be empty; else the status to
 *  answer with. */
int request_serve(struct request *request, struct service *service);

#define REQUEST_HEAD_SIZE 512

/** The head of a stream, which `head` holds from then on, and its framing: chunked if the client reads that.
 */
void request_frame(const struct request *request, struct sse_emitter_options *options,
                   char head[REQUEST_HEAD_SIZE]);

/** A response without a body, after which the connection is closed. Its size. */
size_t request_answer(char *buffer, size_t size, int status);

#endif
