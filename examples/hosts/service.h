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
 * A thread of the service publishes, never the thread that took the request: that is the hard case for
 * a server. SIGTERM ends all streams with a final event.
 *
 *     PROGRAM [PORT [HEARTBEAT_MS [STREAMS_MAX]]]
 */

#include <pthread.h>
#include <sse/sse.h>

/** More fields than sse_http_headers gives without options. */
#define SERVICE_HEADERS 8

struct service_event;

struct service {
    struct sse_registry *registry;
    int port;
    int64_t heartbeat_ms;

    /* Only service.c uses these. */
    void (*stop)(void *user);
    void *user;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t publisher;
    pthread_t ender;
    struct service_event *first;
    struct service_event **last;
    size_t threads;
    bool over;
    bool closing;
};

/** What a request asks for. Do not copy it: its texts point into it. */
struct service_query {
    struct sse_text topic;
    struct sse_text last_event_id;
    char topic_bytes[SSE_TOPIC_SIZE_MAX];
    char id_bytes[SSE_ASSIGNED_ID_SIZE];
};

/**
 * Reads the arguments, blocks the signals, and starts the threads of the service. Call it before your
 * server starts threads. It ends the program with a message if something is wrong.
 *
 * `stop` is called once, in another thread, when SIGTERM came and every stream has ended: it makes your
 * server's loop look at service_is_over. NULL: you call service_run yourself.
 */
void service_open(struct service *service, int argc, char **argv, void (*stop)(void *user), void *user);

/** Reads the query of a request, still encoded, and its Last-Event-ID header. A topic that is missing,
 *  too long or badly encoded becomes an empty one, which the library refuses. */
void service_read_query(struct service_query *query, struct sse_text encoded, struct sse_text last_event_id);

/** Options of an emitter for this request. Set the output, the loop and your callbacks. */
struct sse_emitter_options service_emitter_options(const struct service *service,
                                                   const struct service_query *query);

/** Prints how a stream ended. It is the `on_completion` of the options: call it in your own. */
void service_report(const struct sse_completion *completion);

/** How to answer when sse_emitter_new returned `error`. */
struct sse_http_refusal service_refusal(int error);
/** Random bits for sse_http_refuse. */
uint64_t service_random(void);

/** Publishes soon, in another thread. Returns the status to answer with: 202, 400 or 503. */
int service_publish(struct service *service, const struct service_query *query, const char *data,
                    size_t size);

/** Runs `serve` in a new thread, for which service_close waits. False: there is no thread or no memory. */
bool service_start_thread(struct service *service, void (*serve)(void *user), void *user);

/** Waits for SIGTERM, ends every stream, and waits until your server is done with each. */
void service_run(struct service *service);
/** Whether service_run has come to its end. */
bool service_is_over(struct service *service);

/** Ends the threads of the service. Call it while your loop can still be woken. */
void service_close(struct service *service);

#endif
