/* SPDX-License-Identifier: MIT */
#ifndef REDIS_ROUTES_H
#define REDIS_ROUTES_H

/**
 * What a node answers:
 *
 *     GET  /events?topic=T&topic=U    the events of these topics; Last-Event-ID of any node is honoured
 *     POST /publish?topic=T&type=Y    the body becomes the data of an event; 202 once Redis has it, else 503
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
    int64_t retry_ms; /**< told to every client; 0: none is */
    atomic_ullong accepted;
    atomic_ullong refused;
};

/** Answers a request. True: the descriptor is the loop's now. */
bool routes_answer(struct node *node, int fd, const struct request *request, const struct body *body);

/** A short answer. */
void routes_respond(int fd, int status, const char *text);

#endif
