/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_APACHE_MOD_SSE_H
#define HOSTS_APACHE_MOD_SSE_H

#include <httpd.h>

#include <http_config.h>
#include <pthread.h>
#include <sse/sse.h>
#include <stdatomic.h>
#include <stdbool.h>

/** The most bytes queued for one client. A larger event is refused. */
#define QUEUE_BYTES (1 << 20)

/** The state of one process of Apache. Processes share nothing, so an event reaches the streams of one process. */
struct child {
    struct sse_registry *registry; /**< NULL: it could not be made */
    struct sse_loop *loop;         /**< runs timers and watches sockets; it never writes */
    pthread_t thread;              /**< the loop's */
    int heartbeat_ms;
    int streams_max;
    atomic_int streams;   /**< threads of Apache that serve streams */
    atomic_size_t bodies; /**< for body_append */
};

extern struct child child;

/** Hooks of the configuration. */
extern const command_rec commands[];
int set_defaults(apr_pool_t *pool, apr_pool_t *log, apr_pool_t *temporary);
int check_configuration(apr_pool_t *pool, apr_pool_t *log, apr_pool_t *temporary, server_rec *server);

/** Hooks of a process. */
void child_start(apr_pool_t *pool, server_rec *server);
void child_stop(apr_pool_t *pool, int graceful);

/** Whether the page that sent a request may make it. */
bool page_may_act(const request_rec *r);

/** The handlers `sse` and `sse-publish`. */
int stream_handle(request_rec *r);
int publish_handle(request_rec *r);

#endif
