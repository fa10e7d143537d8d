/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_EVHTTP_LIMIT_H
#define HOSTS_EVHTTP_LIMIT_H

/**
 * Limits the time that a client of evhttp has for its request. evhttp itself counts from the last byte, so a
 * client that sends a byte now and then would stay. Each connection must be for one request: answer with
 * `Connection: close`.
 */

#include <event2/bufferevent.h>
#include <event2/http.h>

struct visitor;

struct request_limit {
    struct event_base *base;
    int seconds;
    struct visitor *first;
};

/** From now on each connection of `http` has a limit. Set `base` and `seconds` before. */
void request_limit_open(struct request_limit *limit, struct evhttp *http);
/** The request has come: its connection has no limit any more. */
void request_limit_lift(struct request_limit *limit, const struct bufferevent *connection);
/** After evhttp_free. */
void request_limit_close(struct request_limit *limit);

#endif
