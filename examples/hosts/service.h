/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_SERVICE_H
#define HOSTS_SERVICE_H

/**
 * What the servers of this folder have in common, so that each of their files shows only how that
 * server streams:
 *
 *     GET  /events?topic=T     the events of a topic; Last-Event-ID is honoured
 *     HEAD /events             the head of a stream
 *     POST /publish?topic=T    the body becomes the data of an event; 202
 *
 * A thread of the service publishes, never the thread that took the request: that is the hard case for
 * a server. SIGTERM ends all streams with a final event.
 *
 *     PROGRAM [--name NAME]... [PORT [HEARTBEAT_MS [STREAMS_MAX]]]
 */

#include "../origin.h"
#include "body.h"

#include <pthread.h>
#include <sse/sse.h>

/** More fields than sse_http_headers gives without options. */
#define SERVICE_HEADERS 8

/** Names that the command line may give the server. */
#define SERVICE_NAMES 8

struct service_event;

/** All members zero at first. */
struct service {
    struct sse_registry *registry;
    int port;
    int64_t heartbeat_ms;
    size_t streams_max; /**< set it before service_open, if your server can serve only so many; 0: no limit */
    char **arguments;   /**< those behind STREAMS_MAX; ends in NULL */
    atomic_size_t bodies; /**< for body_append */

    /* Only service.c uses these. */
    struct sse_text names[SERVICE_NAMES];
    size_t name_count;
    int64_t said_ms;
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

/** What to do with a request. Everything else is the status to refuse it with. */
enum { SERVICE_STREAM, SERVICE_HEAD, SERVICE_PUBLISH };

/**
 * Reads the arguments, blocks the signals, and starts the threads of the service. Call it before your
 * server starts threads. It ends the program with a message if something is wrong.
 *
 * `stop` is called once, in another thread, when SIGTERM came and every stream has ended: it makes your
 * server's loop look at service_is_over. NULL: you call service_run yourself.
 */
void service_open(struct service *service, int argc, char **argv, void (*stop)(void *user), void *user);

/** Takes each `--name NAME` off the front of the arguments, as service_open does. Returns how many arguments these
 * were. */
int service_read_names(struct service *service, int argc, char **argv);

/** Looks at a request whose body need not have come. Returns SERVICE_STREAM; SERVICE_HEAD: answer as if it
 * were a stream, without a body; SERVICE_PUBLISH; or a status. `path` has no query. */
int service_route(const struct service *service, struct sse_text method, struct sse_text path,
                  const struct origin_request *page);

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

/** How many descriptors the process may have. */
size_t service_descriptors(void);

/** Descriptors and threads that streams leave to other requests, and to the server itself. */
#define SERVICE_SPARE 32

/** Milliseconds of a clock that never goes back. */
int64_t service_now_ms(void);

/** For a body to come as a whole. The time-out of a server may count from the last byte. */
#define SERVICE_BODY_MS 10000

/** How long to pause before accepting again. */
#define SERVICE_PAUSE_MS 100

/** Whether accept(2) failed with `error` because descriptors or memory have run out. Then the connection
 * still waits, so accepting at once would fail over and over. It says so, at most once a minute. For one
 * thread. */
bool service_must_pause(struct service *service, int error);

/** Publishes soon, in another thread. It takes the bytes of the body. Returns the status to answer with: 202,
 * 400, 413 or 503. */
int service_publish(struct service *service, const struct service_query *query, struct body *body);

/** Runs `serve` in a new thread, for which service_close waits. False: there is no thread or no memory. */
bool service_start_thread(struct service *service, void (*serve)(void *user), void *user);

/** Waits for SIGTERM, ends every stream, and waits until your server is done with each. */
void service_run(struct service *service);
/** Whether service_run has come to its end. */
bool service_is_over(struct service *service);

/** Ends the threads of the service. Call it while your loop can still be woken. */
void service_close(struct service *service);

#endif
