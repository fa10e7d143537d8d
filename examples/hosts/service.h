/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_SERVICE_H
#define HOSTS_SERVICE_H

/**
 * What the servers of this folder have in common, so that each of their files shows only how that
 * server streams:
 *
 *     GET  /events?topic=T     the events of a topic; Last-Event-ID is honoured
 *     POST /publish?topic=T    the body becomes the data of an event; 202
 *
 * Events are published by a thread of the service's own, never by the one that took the request: that
 * is the hard case for a server. SIGTERM ends all streams with a farewell.
 *
 *     PROGRAM [PORT [HEARTBEAT_MS]]
 */

#include <pthread.h>
#include <sse/sse.h>

/** More than sse_http_headers gives without options. */
#define SERVICE_HEADERS 8

struct service_event;

struct service {
    struct sse_registry *registry;
    int port;
    int64_t heartbeat_ms;

    /** The host's own thread is to call service_turn. Any thread calls it. NULL: service_run does. */
    void (*wake)(void *user);
    void *user;

    /* The service's own. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t publisher;
    pthread_t signals;
    struct service_event *first;
    struct service_event **last;
    size_t streams;
    int64_t deadline_ms;
    bool woken;
    bool stopping;
    bool closing;
};

/** Reads the arguments, blocks the signals, and starts the service's threads: before the host starts any.
 *  Exits with a message if that cannot be. `wake` may be NULL. */
void service_open(struct service *service, int argc, char **argv, void (*wake)(void *user), void *user);

/** Options with this service's heartbeat and a line to standard error at the end; fill in the rest. */
struct sse_emitter_options service_emitter_options(const struct service *service);

/** Subscribes an emitter. Texts as they came in the request, or NULL. 0 or a negative errno. */
int service_subscribe(struct service *service, struct sse_emitter *emitter, const char *topic,
                      const char *last_event_id);

/** For hosts that send after they have taken the bytes: service_turn is true, and service_run goes on, until
 *  each stream that began has ended, or the time to drain is over. Any thread calls them. */
void service_begin_stream(struct service *service);
void service_end_stream(struct service *service);

/** Publishes soon, in another thread. The status to answer with: 202, 400 or 503. */
int service_publish(struct service *service, const char *topic, const char *data, size_t size);

/** A turn of the host's loop, after `wake`, and when service_timeout has passed: runs the timers. Then
 *  sse_registry_next_ready gives the emitters to be seen to. False once everything has ended. */
bool service_turn(struct service *service);
/** Milliseconds until service_turn has something to do, -1 for none. */
int service_timeout(struct service *service);

/** For hosts whose threads are their own: runs the timers here until everything has ended. */
void service_run(struct service *service);

/** After the host's threads are gone. */
void service_close(struct service *service);

#endif
