/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_APACHE_MOD_SSE_H
#define HOSTS_APACHE_MOD_SSE_H

#include <httpd.h>

#include <http_config.h>
#include <pthread.h>
#include <signal.h>
#include <sse/sse.h>
#include <stdatomic.h>
#include <stdbool.h>

/** The most bytes queued for one client. A larger event is refused. */
#define QUEUE_BYTES (1 << 20)
/** Events that are retained for clients that reconnect. */
#define HISTORY_EVENTS 10000

/** The state of one process of Apache. */
struct child {
    struct sse_registry *registry; /**< NULL: it could not be made */
    struct sse_loop *loop;         /**< runs timers and watches sockets; it never writes */
    pthread_t thread;              /**< the loop's */
    int heartbeat_ms;
    int streams_max;
    bool is_shared;       /**< the processes share a ring; otherwise an event reaches the streams of one */
    bool is_prefork;      /**< a process serves one request at a time, and `streams` is not used */
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

/** Starts a thread that blocks all signals. Returns 0 or a negative errno. */
int child_start_thread(pthread_t *thread, void *(*begin)(void *user), void *user);
/** Sends every client a final event and a reconnection time, and ends the streams. A second call does nothing. */
void child_end_streams(struct sse_registry *registry, bool graceful);

/** Makes the ring, for at most `processes` at a time. Call it before they are forked. Returns 0 or a negative
 *  errno. */
int shared_create(apr_pool_t *pool, int processes);
/** Call these in each process. If nothing is shared, they do nothing. */
int shared_open(struct sse_registry *registry);
void shared_close(void);
/** As sse_emitter_new and sse_registry_publish, whether or not the processes share a ring. */
int shared_new_emitter(struct sse_emitter **emitter, const struct sse_emitter_options *options);
int shared_publish(struct sse_text topic, const struct sse_event *event);

/** Makes the memory in which the processes count their streams. Call it before they are forked. */
apr_status_t prefork_create(apr_pool_t *pool);
/** Takes a place for a stream. Returns false if there are streams_max streams already. */
bool prefork_take_place(void);
void prefork_leave_place(void);
/** Blocks the signals that end a process. Under another MPM this does nothing. */
void prefork_hold_signals(sigset_t *before);
void prefork_release_signals(const sigset_t *before);
/** Returns a descriptor that is readable while such a signal is pending, or -1. */
int prefork_open_signals(void);
bool prefork_ends_gracefully(void);
/** Whether the process is to end, and may begin no stream. */
bool prefork_is_ending(void);

/** Whether the page that sent a request may make it. */
bool page_may_act(const request_rec *r);

/** The handlers `sse` and `sse-publish`. */
int stream_handle(request_rec *r);
int publish_handle(request_rec *r);

#endif
