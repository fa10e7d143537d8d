/* SPDX-License-Identifier: MIT */
#ifndef REDIS_ANSWER_H
#define REDIS_ANSWER_H

/** Short responses. A new socket has room for each of them. A write error is ignored, because the client has
 *  disconnected then. */

#include "request.h"

/** Sends a response of JSON text. The answer to HEAD has no text. `fields`: further header lines, or NULL. */
void answer_send(int fd, const struct request *request, int status, const char *fields, const char *text);

/** Sends an error. `why` NULL: the standard text of the status. */
void answer_refuse(int fd, const struct request *request, int status, const char *why);

/** Returns the options for the head of a stream for this client. */
struct sse_http_options answer_stream_options(const struct request *request);

/** Sends the head of a stream: the answer to HEAD. */
void answer_head(int fd, const struct request *request);

/** Answers a client when sse_emitter_new has returned an error. */
void answer_refuse_stream(int fd, const struct request *request, int error);

#endif
