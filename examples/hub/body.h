/* SPDX-License-Identifier: MIT */
#ifndef HUB_BODY_H
#define HUB_BODY_H

/** The body of a request as it comes in. All members zero is no body. */

#include "buffer.h"
#include "chunked.h"
#include "request.h"

struct body {
    struct buffer bytes;
    enum request_framing framing;
    size_t left; /**< bytes that are still missing, with REQUEST_FRAMING_LENGTH */
    size_t limit;
    struct chunked chunked;
};

/** Prepares for the body that the head of `request` announces. Returns 0, or 413 if that is over `limit`. */
int body_begin(struct body *body, const struct request *request, size_t limit);

/**
 * Adds bytes to the body. Returns 0 if more are needed, 1 if the body is complete (later bytes are ignored),
 * otherwise the HTTP status to refuse the request with.
 */
int body_feed(struct body *body, const char *bytes, size_t size);

void body_release(struct body *body);

#endif
