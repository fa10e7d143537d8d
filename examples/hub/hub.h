/* SPDX-License-Identifier: MIT */
#ifndef HUB_HUB_H
#define HUB_HUB_H

/** What all parts of the hub share: options, registries, loop, counts; and the one way to send an event. */

#include "memory.h"
#include "options.h"
#include "statistics.h"
#include "topics.h"

#include <sse/loop.h>
#include <sse/registry.h>

struct hub {
    struct options options;
    struct memory memory;
    struct sse_registry *registry; /**< the streams of /events */
    struct sse_registry *watchers; /**< the streams of /watch, which get every event of every topic */
    struct topics topics;
    struct sse_loop *loop; /**< polled by the library; the server dispatches it */
    struct statistics statistics;
    size_t body_bytes; /**< memory that bodies of unfinished requests use */
    uint64_t random_state;
    int64_t shutdown_ms; /**< when the shutdown began, or 0 */
};

/** Returns 0 or a negative errno. */
int hub_begin(struct hub *hub, const struct options *options);

/** Ends every stream that is left, and reports on the shutdown if there was one. */
void hub_end(struct hub *hub);

/**
 * The largest event, in bytes on the wire, that the queue of an emitter can hold with its chunk
 * framing. A larger one would end every stream that it is sent to.
 */
size_t hub_message_max(const struct hub *hub);

/** The most memory that bodies of unfinished requests may use together. */
size_t hub_body_bytes_max(const struct hub *hub);

/** The queue of a watcher has room for the comment that names the topic. */
size_t hub_watcher_queue_bytes(const struct hub *hub);

/** Notes that the topics of a stream are in use. */
void hub_note_topics(struct hub *hub, const struct sse_text *topics, size_t count);

/** Writes the topics that exist as a JSON object. */
void hub_write_topics(struct hub *hub, struct buffer *json);

/**
 * Publishes to a topic, or to everyone if it is absent. Watchers get it too, with a comment that names the
 * topic as a JSON string; they are not among the receivers. Returns 0 or a negative errno: -EMSGSIZE if the
 * event is too large for the queue of a client with the id that it will get.
 */
int hub_send(struct hub *hub, struct sse_text topic, const struct sse_event *event,
             struct sse_delivery *delivery);

/** Completes the streams of a topic, or all if it is absent. Returns how many, or a negative errno. */
ssize_t hub_complete(struct hub *hub, struct sse_text topic);

/** Begins the shutdown of all streams: a final event, and a time to come back for each client. The loop
 *  does the rest. Returns 0 or a negative errno. */
int hub_shut_down(struct hub *hub);

/** 64 random bits, good enough to spread clients in time. */
uint64_t hub_random(struct hub *hub);

#endif
