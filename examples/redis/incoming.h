/* SPDX-License-Identifier: MIT */
#ifndef REDIS_INCOMING_H
#define REDIS_INCOMING_H

/** A connection while its request comes in, and while its client reads the answer. Nothing here blocks. */

#include "body.h"
#include "request.h"

#include <stdatomic.h>

/** How many there are, and the memory of their bodies. */
struct incoming_totals {
    atomic_size_t count;
    atomic_size_t body_bytes;
};

struct incoming {
    struct incoming_totals *totals;
    int fd;              /**< -1: it belongs to a stream */
    int64_t deadline_ms; /**< for the request, then for the client to close */
    int64_t patience_ms; /**< until then no other connection takes its place */
    bool has_begun;      /**< some of the request has come */
    bool has_head;
    bool is_answered;
    size_t body_bytes; /**< that are counted in the totals */
    struct request request;
    struct body body;
    struct incoming *next; /**< in the queue of the workers */
};

enum incoming_progress {
    INCOMING_MORE,  /**< call again when there is input */
    INCOMING_HEAD,  /**< the head is there now. Answer, or call incoming_read_body */
    INCOMING_WHOLE, /**< the request is whole */
    INCOMING_BAD,   /**< answer with `status` */
    INCOMING_GONE   /**< the client has left, or has closed after the answer */
};

/** Takes over `fd`, which does not block. NULL, with `fd` closed: no memory. */
struct incoming *incoming_new(struct incoming_totals *totals, int fd);

/** Closes the descriptor, if there is one. */
void incoming_free(struct incoming *incoming);

/** Reads what has come, up to a limit. `*status`: for INCOMING_BAD. */
enum incoming_progress incoming_read(struct incoming *incoming, int *status);

/** After INCOMING_HEAD: goes on with the body. A client that waits for leave to send it gets it. */
enum incoming_progress incoming_read_body(struct incoming *incoming, int *status);

/** After the answer: lets the client close first, because closing a socket with unread input would reset the
 *  connection and might destroy the answer. */
void incoming_linger(struct incoming *incoming);

#endif
