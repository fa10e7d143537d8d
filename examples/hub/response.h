/* SPDX-License-Identifier: MIT */
#ifndef HUB_RESPONSE_H
#define HUB_RESPONSE_H

/** A response that is not a stream. All members zero is an empty one. */

#include "buffer.h"
#include "options.h"

#include <sys/types.h>

struct response {
    int status;
    const char *content_type; /**< NULL for a response without content */
    struct buffer headers;    /**< further header lines, each with its line end */
    struct buffer body;
    struct buffer whole; /**< if not empty, these bytes are sent instead of all members above */
    bool without_body;   /**< the answer to HEAD */
};

/** Makes it a JSON response. Write the content into `body`. */
void response_json(struct response *response, int status);

/** Makes it an error. `field` names the wrong part of the request, or is NULL. */
void response_error(struct response *response, int status, const char *error, const char *field);

/** Makes it a response that the library has written into `bytes`. `size` is the library's result: the size that is
 *  needed, or an error. */
void response_whole(struct response *response, const char *bytes, size_t room, ssize_t size);

/** Appends the whole response to `wire`. */
void response_write(const struct response *response, const struct options *options, struct buffer *wire);

void response_release(struct response *response);

#endif
