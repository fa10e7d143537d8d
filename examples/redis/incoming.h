/* SPDX-License-Identifier: MIT */
#ifndef REDIS_INCOMING_H
#define REDIS_INCOMING_H

/** A connection while its request arrives, and while its client reads the answer. No function blocks. */

#include "body.h"
#include "request.h"

#include <stdatomic.h>

/** The number of connections, and the memory of their bodies. */
struct incoming_totals {
    atomic_size_t count;
    atomic_size_t body_bytes;
};

struct incoming {
    struct incoming_totals *totals;
    int fd;              /**< -1: it belongs to a stream */
    int64_t deadline_ms; /**< the limit for the request, then for the client to close */
    int64_t patience_ms; /**< until then no other connection may replace it */
    bool has_begun;      /**< a part of the request has arrived */
    bool has_head;
    bool is_answered;
    size_t body_bytes; /**< bytes that are counted in the totals */
    struct request request;
    struct body body;
    struct incoming *next; /**< in the queue of the workers */
};

enum incoming_progress {
    INCOMING_MORE,  /**< call again when there is input */
    INCOMING_HEAD,  /**< the head is complete. Answer, or call incoming_read_body */
    INCOMING_WHOLE, /**< the request is complete */
    INCOMING_BAD,   /**< answer with `status` */
    INCOMING_GONE   /**< the client has disconnected, or has closed after the answer */
};

/** Takes over `fd`, which must be non-blocking. Returns NULL, and closes `fd`, without memory. */
struct incoming *incoming_new(struct incoming_totals *totals, int fd);

/** Closes the descriptor, if there is one. */
void incoming_free(struct incoming *incoming);

/** Reads a limited number of bytes. `*status` is set for INCOMING_BAD. */
enum incoming_progress incoming_read(struct incoming *incoming, int *status);

/** Call it after INCOMING_HEAD to read the body. A client that waits for "100 Continue" receives it. */
enum incoming_progress incoming_read_body(struct incoming *incoming, int *status);

/** Call it after the answer. It lets the client close first, because closing a socket with unread input resets the
 *  connection, and the client might lose the answer. */
void incoming_linger(struct incoming *incoming);

#endif
