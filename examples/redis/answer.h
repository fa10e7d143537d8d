/* SPDX-License-Identifier: MIT */
#ifndef REDIS_ANSWER_H
#define REDIS_ANSWER_H

/** Short responses. A new socket has room for each. If the client has left, nobody needs it. */

#include "request.h"

/** Sends a response of JSON text; to HEAD without the text. `fields`: further header lines, or NULL. */
void answer_send(int fd, const struct request *request, int status, const char *fields, const char *text);

/** Sends an error. `why` NULL: what the status means. */
void answer_refuse(int fd, const struct request *request, int status, const char *why);

/** The head of a stream for this client. */
struct sse_http_options answer_stream_options(const struct request *request);

/** Sends the head of a stream: the answer to HEAD. */
void answer_head(int fd, const struct request *request);

/** Answers a client whose stream could not begin, with an error of sse_emitter_new. */
void answer_refuse_stream(int fd, const struct request *request, int error);

#endif
