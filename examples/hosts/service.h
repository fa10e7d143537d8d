/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_SERVICE_H
#define HOSTS_SERVICE_H

/**
 * The common part of the servers in this folder, so that each server's file shows only how it streams:
 *
 *     GET  /events?topic=T     the events of a topic; Last-Event-ID is honoured
 *     HEAD /events             the head of a stream
 *     POST /publish?topic=T    the body becomes the data of an event; 202
 *
 * A thread of the service publishes, never the thread that reads the request, because publishing from another
 * thread is the harder case. SIGTERM ends all streams with a final event.
 *
 *     PROGRAM [--name NAME]... [PORT [HEARTBEAT_MS [STREAMS_MAX]]]
 */

#include "../origin.h"
#include "body.h"

#include <pthread.h>
#include <sse/sse.h>

/** More fields than sse_http_headers returns without options. */
#define SERVICE_HEADERS 8

/** The most names that the command line may give. */
#define SERVICE_NAMES 8

struct service_event;

/** All members zero at first. */
struct service {
    struct sse_registry *registry;
    int port;
    int64_t heartbeat_ms;
    size_t streams_max; /**< set it before service_open if your server can serve only this many; 0: no limit */
    char **arguments;   /**< the names after STREAMS_MAX; ends in NULL */
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

/** The result for a request. Every other value is the status to refuse it with. */
enum { SERVICE_STREAM, SERVICE_HEAD, SERVICE_PUBLISH };

/**
 * Reads the arguments, blocks the signals, and starts the threads of the service. Call it before your server starts
 * threads. On an error, it prints a message and ends the program.
 *
 * `stop` is called once, in another thread, when SIGTERM came and every stream has ended. It must make your
 * server's loop check service_is_over. NULL: you call service_run yourself.
 */
void service_open(struct service *service, int argc, char **argv, void (*stop)(void *user), void *user);

/** Removes each `--name NAME` at the front of the arguments, as service_open does. Returns how many arguments were
 *  removed. */
int service_read_names(struct service *service, int argc, char **argv);

/** Decides about a request. Its body need not be there yet. `path` has no query. Returns SERVICE_STREAM;
 *  SERVICE_HEAD: answer as for a stream, without a body; SERVICE_PUBLISH; or a status to refuse it with. */
int service_route(const struct service *service, struct sse_text method, struct sse_text path,
                  const struct origin_request *page);

/** What the header field Allow says in an answer: NULL unless `status` is 405. `target` may have a query. */
const char *service_allow(int status, struct sse_text target);
/** The whole line, with its end; "" unless `status` is 405. */
const char *service_allow_line(int status, struct sse_text target);

/** Reads the query of a request, still encoded, and its Last-Event-ID header. A topic that is missing, too long or
 *  badly encoded becomes an empty topic, which the library refuses. */
void service_read_query(struct service_query *query, struct sse_text encoded, struct sse_text last_event_id);

/** Returns the options of an emitter for this request. Set the output, the loop and your callbacks yourself. */
struct sse_emitter_options service_emitter_options(const struct service *service,
                                                   const struct service_query *query);

/** Prints how a stream ended. It is the default `on_completion`: if you set your own, call it there. */
void service_report(const struct sse_completion *completion);

/** Returns the status to answer with when sse_emitter_new has returned `error`. */
struct sse_http_refusal service_refusal(int error);
/** Returns random bits for sse_http_refuse. */
uint64_t service_random(void);

/** Returns how many descriptors the process may have. */
size_t service_descriptors(void);

/** Descriptors and threads that streams must leave to other requests and to the server itself. */
#define SERVICE_SPARE 32

/** The time in milliseconds. The clock never goes back. */
int64_t service_now_ms(void);

/** The time limit for a whole body. The time-out of a server may count from the last byte only. */
#define SERVICE_BODY_MS 10000

/** How long to pause before accepting again. */
#define SERVICE_PAUSE_MS 100

/** Returns true if accept(2) failed with `error` because descriptors or memory have run out. Then pause: the
 *  connection is still waiting, so the next accept would fail as well. Prints a message at most once a minute. For
 *  one thread. */
bool service_must_pause(struct service *service, int error);

/** Publishes soon, in another thread. Takes over the bytes of the body. Returns the status to answer with: 202,
 *  400, 413 or 503. */
int service_publish(struct service *service, const struct service_query *query, struct body *body);

/** Runs `serve` in a new thread. service_close waits for it. Returns false without a thread or memory. */
bool service_start_thread(struct service *service, void (*serve)(void *user), void *user);

/** Waits for SIGTERM, ends every stream, and waits until your server has released each. */
void service_run(struct service *service);
/** Returns whether service_run has finished. */
bool service_is_over(struct service *service);

/** Ends the threads of the service. Call it while your loop can still be woken. */
void service_close(struct service *service);

#endif
