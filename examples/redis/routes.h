/* SPDX-License-Identifier: MIT */
#ifndef REDIS_ROUTES_H
#define REDIS_ROUTES_H

/**
 * The requests that a node answers:
 *
 *     GET  /events?topic=T&topic=U    the events of these topics; the Last-Event-ID may be any node's
 *     POST /publish?topic=T&type=Y    publishes the body as an event
 *     GET  /stats                     counts
 *
 * Other parameters are ignored. A page of another origin gets 403: see examples/origin.h. The answer to a
 * publish:
 *
 *     202   Redis has the event; its id
 *     400   the event is not valid, or has no topic
 *     413   it is too large
 *     422   its Idempotency-Key belongs to another event
 *     503   refused. It is not stored: send it again later
 *     504   unknown: Redis did not answer in time, and may have stored it, or may store it later
 *
 * To publish an event exactly once, choose an Idempotency-Key for it: a header field of 1 to 255 visible ASCII
 * characters. Send the key with the first attempt. After 504 or no answer, send the event again with the same key.
 * For 24 hours an event with this key is stored only once, and every attempt gets the same id. Without a key, a
 * second attempt is a second event.
 */

#include "../origin.h"
#include "body.h"
#include "bridge.h"
#include "request.h"

#include <sse/loop.h>

struct node {
    struct bridge *bridge;
    struct sse_loop *loop;
    struct origin_rules origins;
    int64_t retry_ms; /**< sent to every client; 0: none */
    atomic_ullong accepted;
    atomic_ullong refused;
    atomic_ullong unknown;
};

/** Checks the head of a request. Returns 0, or the status to refuse it with; `*why` may give the reason. */
int routes_check(const struct node *node, const struct request *request, const char **why);

/** Answers a complete request that routes_check has accepted. Returns true if the library owns the descriptor
 *  now. */
bool routes_answer(struct node *node, int fd, const struct request *request, const struct body *body);

#endif
