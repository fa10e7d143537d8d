/* SPDX-License-Identifier: MIT */
#include "evhttp_limit.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>

/* A connection whose request has not come. evhttp does not say when it frees one, so each holds a reference.
 */
struct visitor {
    struct visitor *next;
    struct visitor **link;
    struct bufferevent *connection;
    struct event *timer;
};

static void forget(struct visitor *visitor)
{
    *visitor->link = visitor->next;
    if (visitor->next)
        visitor->next->link = visitor->link;
    event_free(visitor->timer);
    bufferevent_decref(visitor->connection);
    free(visitor);
}

/* evhttp takes its callbacks off what it frees. */
static bool is_open(struct bufferevent *connection)
{
    bufferevent_event_cb on_event;

    bufferevent_getcb(connection, NULL, NULL, &on_event, NULL);
    return on_event;
}

static void end(evutil_socket_t fd, short what, void *user)
{
    struct visitor *visitor = user;

    (void)fd, (void)what;
    if (is_open(visitor->connection))
        bufferevent_trigger_event(visitor->connection, BEV_EVENT_READING | BEV_EVENT_TIMEOUT, 0);
    forget(visitor);
}

static bool add_visitor(struct request_limit *limit, struct bufferevent *connection)
{
    const struct timeval time = {.tv_sec = limit->seconds};
    struct visitor *visitor = calloc(1, sizeof(*visitor));

    if (visitor)
        visitor->timer = event_new(limit->base, -1, 0, end, visitor);
    if (!visitor || !visitor->timer || event_add(visitor->timer, &time)) {
        if (visitor && visitor->timer)
            event_free(visitor->timer);
        free(visitor);
        return false;
    }
    bufferevent_incref(connection);
    visitor->connection = connection;
    visitor->link = &limit->first;
    visitor->next = limit->first;
    if (visitor->next)
        visitor->next->link = &visitor->next;
    limit->first = visitor;
    return true;
}

/* NULL: evhttp makes one of its own, which has no limit. */
static struct bufferevent *make_connection(struct event_base *base, void *user)
{
    struct bufferevent *connection = bufferevent_socket_new(base, -1, 0);

    if (!connection || add_visitor(user, connection))
        return connection;
    bufferevent_free(connection);
    return NULL;
}

void request_limit_open(struct request_limit *limit, struct evhttp *http)
{
    evhttp_set_bevcb(http, make_connection, limit);
}

void request_limit_lift(struct request_limit *limit, const struct bufferevent *connection)
{
    struct visitor *visitor = limit->first;

    while (visitor && visitor->connection != connection)
        visitor = visitor->next;
    if (visitor)
        forget(visitor);
}

void request_limit_close(struct request_limit *limit)
{
    while (limit->first)
        forget(limit->first);
}
