/* SPDX-License-Identifier: MIT */
#ifndef HUB_RESPONSE_H
#define HUB_RESPONSE_H

/** A response that is not a stream. All members zero is one that has not been filled in. */

#include "buffer.h"
#include "options.h"

#include <sys/types.h>

struct response {
    int status;
    const char *content_type; /**< NULL for a response without content */
    struct buffer headers;    /**< further header lines, each with its line end */
    struct buffer body;
    struct buffer whole; /**< if not empty, it is sent as it is, in place of all above */
    bool without_body;   /**< the answer to HEAD */
};

/** Makes it a JSON response; the content goes into `body`. */
void response_json(struct response *response, int status);

/** Makes it an error; `field` names the part of the request that is wrong, or is NULL. */
void response_error(struct response *response, int status, const char *error, const char *field);

/** Makes it a response that the library wrote into `bytes`, with its result: the size that it needs, or an
 *  error. */
void response_whole(struct response *response, const char *bytes, size_t room, ssize_t size);

/** Appends all bytes of the response to `wire`. */
void response_write(const struct response *response, const struct options *options, struct buffer *wire);

void response_release(struct response *response);

#endif
