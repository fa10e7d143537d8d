/* SPDX-License-Identifier: MIT */
#ifndef REDIS_ROUTES_H
#define REDIS_ROUTES_H

/**
 * The requests that a node answers:
 *
 *     GET  /events?topic=T&topic=U    the events of these topics; the Last-Event-ID may be any node's
 *     POST /publish?topic=T&type=Y    publishes the body as an event; 202 once Redis has it, otherwise 503
 *     GET  /stats                     counts
 */

#include "body.h"
#include "bridge.h"
#include "request.h"
#include "store.h"

#include <sse/loop.h>

struct node {
    struct bridge *bridge;
    struct store store;
    struct sse_registry *registry;
    struct sse_loop *loop;
    int64_t retry_ms; /**< that every client is told; 0: none */
    atomic_ullong accepted;
    atomic_ullong refused;
};

/** Answers a request. Returns true if the library owns the descriptor now. */
bool routes_answer(struct node *node, int fd, const struct request *request, const struct body *body);

/** Sends a short response of JSON text. */
void routes_respond(int fd, int status, const char *text);

#endif
