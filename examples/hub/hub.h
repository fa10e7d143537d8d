/* SPDX-License-Identifier: MIT */
#ifndef HUB_HUB_H
#define HUB_HUB_H

/** The state that all parts of the hub share, and the functions that publish events and end streams. */

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
    struct sse_registry *watchers; /**< the streams of /watch, which receive every event of every topic */
    struct topics topics;
    struct sse_loop *loop; /**< the library polls; server.c dispatches it */
    struct statistics statistics;
    size_t body_bytes; /**< memory that the bodies of unfinished requests use */
    uint64_t random_state;
    int64_t shutdown_ms; /**< when the shutdown began, or 0 */
};

/** Returns 0 or a negative errno. */
int hub_begin(struct hub *hub, const struct options *options);

/** Ends every stream that is left. After a shutdown, prints how many clients finished and how many were
 *  disconnected. */
void hub_end(struct hub *hub);

/**
 * The largest event, in bytes on the wire, that the queue of an emitter can hold with its chunk
 * framing. A larger one would end every stream that it is sent to.
 */
size_t hub_message_max(const struct hub *hub);

/** The most memory that bodies of unfinished requests may use together. */
size_t hub_body_bytes_max(const struct hub *hub);

/** The queue size of a watcher. It includes room for the comment that names the topic. */
size_t hub_watcher_queue_bytes(const struct hub *hub);

/** Records that the topics of a stream are in use. */
void hub_note_topics(struct hub *hub, const struct sse_text *topics, size_t count);

/** Writes the topics that exist as a JSON object. */
void hub_write_topics(struct hub *hub, struct buffer *json);

/**
 * Publishes to a topic, or to everyone if it is absent. Watchers receive it too, with a comment that names the
 * topic as a JSON string. They do not count as receivers. Returns 0 or a negative errno: -EMSGSIZE if the event
 * with its assigned id is too large for the queue of a client.
 */
int hub_send(struct hub *hub, struct sse_text topic, const struct sse_event *event,
             struct sse_delivery *delivery);

/** Completes the streams of a topic, or all streams if it is absent. Returns how many, or a negative errno. */
ssize_t hub_complete(struct hub *hub, struct sse_text topic);

/** Begins the shutdown of all streams: each client gets a final event and its own reconnection time. The loop does
 *  the rest. Returns 0 or a negative errno. */
int hub_shut_down(struct hub *hub);

/** Returns 64 random bits, good enough to spread the clients over time. Do not use them for secrets. */
uint64_t hub_random(struct hub *hub);

#endif
