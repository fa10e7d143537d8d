/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_BODY_H
#define HOSTS_BODY_H

/** Collects the bodies of requests. Each body is limited, and so are all of them together, because a client may
 *  begin a body and never end it. */

#include <stdatomic.h>
#include <stddef.h>

#define BODY_SIZE_MAX ((size_t)1 << 20)
#define BODIES_SIZE_MAX ((size_t)16 << 20)

/** Decides by the values of Content-Length and Transfer-Encoding, each NULL without the field, whether a body may
 *  come. `count`: how often Content-Length occurs. Two servers may read a request with two lengths, or with both
 *  fields, differently. Returns 0, or the status to refuse it with: 400, 413, or 501 for a coding other than
 *  chunked. */
int body_check_framing(const char *length, unsigned count, const char *coding);

/** All members zero is an empty body. */
struct body {
    char *data;
    size_t size;
    size_t room;
};

/** `total` counts the memory of all bodies. Returns 0, or the status to refuse the request with: 413 or 503. */
int body_append(struct body *body, atomic_size_t *total, const void *data, size_t size);

/** Afterwards the body is empty. */
void body_free(struct body *body, atomic_size_t *total);

#endif
