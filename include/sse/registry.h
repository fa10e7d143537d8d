/* SPDX-License-Identifier: MIT */
#ifndef SSE_REGISTRY_H
#define SSE_REGISTRY_H

/**
 * A registry: who gets what. It knows emitters, topics, one order of all events, and a history for
 * clients that reconnect. A user id, a chat room and a feed are all topics.
 *
 * A registry queues events. It runs no callback and knows no timers of clients. Publishing may write to a
 * descriptor whose loop is behind, never to a write callback. The emitters' loops do the rest.
 *
 * Rules for every function below:
 *
 * - Threads: any thread, while it holds a reference to the registry and to the emitters it names.
 * - Callbacks: every callback and write callback may call every function, except where it says otherwise.
 * - Locks: you may hold your own locks while you call, also those that your callbacks take: no callback
 *   runs inside these functions. `on_wake` of a driven loop may run: do not hold a lock that it takes.
 *   The visitor of sse_registry_each runs inside the call.
 * - Order: two events of one registry that two emitters both receive arrive at both in the same order,
 *   whichever threads and topics they came by.
 * - An emitter that ends leaves its registry at once. Membership goes by identity: the end of an old
 *   connection never touches a new one of the same user.
 */

#include <sse/emitter.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sse_registry;

/** The longest topic, in bytes. */
#define SSE_TOPIC_SIZE_MAX 1024

/** The longest prefix of assigned ids, in bytes. */
#define SSE_ID_PREFIX_SIZE_MAX 64

/** Room for an assigned id with its NUL: "<prefix>-<16 hexadecimal digits>". */
#define SSE_ASSIGNED_ID_SIZE (SSE_ID_PREFIX_SIZE_MAX + 18)

/** How much is retained for clients that reconnect. This struct never grows. */
struct sse_history_limits {
    size_t events; /**< 0: nothing; in the limits of a topic: as many as in all */
    size_t bytes;  /**< with what events, ids and topics cost beside their text; 0: 16 MiB, or as in all */
};

/** What happens when a cap is reached. */
enum sse_admission {
    /** The new emitter is refused with -EAGAIN: see sse_http_refuse. */
    SSE_ADMISSION_REFUSE = 0,
    /** The oldest emitter of the topic, or of the registry, is completed: "the newest five tabs". */
    SSE_ADMISSION_EVICT_OLDEST = 1
};

/** Options of a registry. Every member but `size` may be zero. Copied by sse_registry_new. */
struct sse_registry_options {
    size_t size;                         /**< sizeof(struct sse_registry_options) */
    const struct sse_platform *platform; /**< not copied: see <sse/platform.h> */

    /**
     * The history of all topics together. With `events` 0 there is no history, and no ids are assigned.
     * When it is full, the topic that retains the most bytes loses its oldest event, so a busy topic
     * cannot push out a quiet one.
     */
    struct sse_history_limits history;
    struct sse_history_limits topic_history; /**< of each topic */
    int64_t history_age_ms;                  /**< older events are not replayed; 0: no limit */
    /**
     * The beginning of every assigned id, 1 to SSE_ID_PREFIX_SIZE_MAX bytes that an id may hold. Absent:
     * random, so that ids from before a restart are recognised as unknown.
     */
    struct sse_text id_prefix;
    /** The number of the first assigned id. 0: 1. With the same `id_prefix`, a process that restarts
     *  continues where the old one stopped. */
    uint64_t first_id;
    /**
     * The type of the event that tells a client of a gap. Absent: the client is not told; only your program
     * knows, from struct sse_replay. Without a history, every Last-Event-ID is a gap.
     *
     * Its data has two lines: the id that the client sent (empty if it can be no id), and the id of the first
     * event that follows (empty if none does, or the id was unknown). It has an id, from which the client
     * continues when it reconnects to this registry. Another server does not know that id: servers that share
     * their events leave this absent and send an event of their own.
     */
    struct sse_text gap_type;

    /**
     * The budget: the most bytes that may be queued in all emitters together; each receiver is charged
     * in full for what it shares. 0: none. Several times history.bytes is sensible.
     *
     * - Over the budget, the emitters with the most bytes queued end (SSE_REASON_OVERFLOW) until the
     *   rest is within it. Replays count.
     * - Bytes that no owner has tried to write yet count only above four times the budget.
     */
    size_t backlog_bytes;
    /** The most emitters in the registry, draining ones included; 0: no cap. One that is evicted leaves
     *  the registry at once, and drains outside of the cap. */
    size_t emitters_max;
    size_t topic_emitters_max; /**< the most emitters of each topic; 0: no cap */
    enum sse_admission admission;
};

/** What happened to one event, counted in emitters. This struct never grows. */
struct sse_delivery {
    size_t receivers;              /**< it is queued for them */
    size_t dropped;                /**< it did not fit into their queue, and was dropped */
    size_t ended;                  /**< it did not fit into their queue, and they ended */
    char id[SSE_ASSIGNED_ID_SIZE]; /**< the id that was assigned, or "" */
};

/**
 * Makes a registry. `options` may be NULL.
 *
 * Ownership: `*registry` is a new reference.
 * Errors, with *registry unchanged:
 * - -EINVAL: `registry` is NULL, or an option is not valid.
 * - -ENOMEM.
 * - Every error of sse_event_encode, for `gap_type`.
 * Example:
 *
 *     const struct sse_registry_options options = {
 *         .size = sizeof(options),
 *         .history = {.events = 1000},
 *         .gap_type = sse_str("gap"),
 *     };
 *     int error = sse_registry_new(&registry, &options);
 */
SSE_API int sse_registry_new(struct sse_registry **registry, const struct sse_registry_options *options);

/** Takes another reference and returns `registry`. NULL returns NULL. Errors: none. */
SSE_API struct sse_registry *sse_registry_ref(struct sse_registry *registry);

/**
 * Releases a reference. NULL is ignored. The registry is freed with its last reference and its last
 * emitter: emitters that are still in it stay open, and nothing is published to them any more. Shut it
 * down first.
 *
 * Errors: none.
 */
SSE_API void sse_registry_unref(struct sse_registry *registry);

/**
 * Publishes an event to the subscribers of a topic; with an absent topic to every emitter. The event is
 * encoded once.
 *
 * Effect: queues the event for all receivers in one step, and wakes their loops. An emitter that joins
 * later does not receive it, except by a replay. No receiver is no error. With a history, an event that has
 * data or an id is retained; if it has no id, one is assigned. `*delivery`, if not NULL, is filled on
 * success: "queued" is not "received by the client", which no server ever knows.
 *
 * An emitter whose loop has not had its turn does not overflow:
 * - FD: when half of its queue's limit is used and its socket is not known to be full, this call writes
 *   to it, after the event is queued for all.
 * - CALLBACK and PULL: the queue may grow to four times its limits. The owner's next turn writes, and
 *   then the limit counts. For PULL that turn calls `on_ready`, and the limit counts in the turn after it.
 * Ownership: the event is borrowed.
 * Errors, with nothing published:
 * - -EINVAL: NULL; with a history, an id that looks like an assigned one. Every error of sse_event_encode.
 * - -EBADMSG: the topic is present and empty, or longer than SSE_TOPIC_SIZE_MAX.
 * - -EMSGSIZE: a receiver could never have it, because the event is larger than its queue_bytes. The id that
 *   is assigned counts, and the chunk framing of that receiver.
 * - -ENOMEM.
 * If there is no memory for one emitter's queue, its overflow policy decides, as if the queue were full.
 * Specification: WHATWG HTML 9.2.5.
 * Example:
 *
 *     const struct sse_event event = {.type = sse_str("alarm"), .data = sse_str("the kettle boils")};
 *     struct sse_delivery delivery;
 *     int error = sse_registry_publish(registry, sse_str("user:7"), &event, &delivery);
 */
SSE_API int sse_registry_publish(struct sse_registry *registry, struct sse_text topic,
                                 const struct sse_event *event, struct sse_delivery *delivery);

/**
 * Publishes a message that is encoded already, as sse_registry_publish does.
 *
 * Ownership: each queue takes a reference of its own. With a history, a message without an id is copied
 * to get one.
 * Errors: as sse_registry_publish, without those of encoding.
 */
SSE_API int sse_registry_publish_message(struct sse_registry *registry, struct sse_text topic,
                                         struct sse_message *message, struct sse_delivery *delivery);

/**
 * Subscribes an emitter of this registry to `count` more topics. All of it happens, or nothing.
 *
 * Effect: if `last_event_id` is not empty, the events of these topics after that id are queued, and then
 * live events follow: no gap, no duplicate. A topic that the emitter has already stays as it is.
 * `*replay`, if not NULL, says how it begins.
 *
 * - Name the first topics of a connection in sse_emitter_new. A client that has had the replay of one
 *   topic no longer asks for older events of the next.
 * - Ids of your own should be unique among the topics of one client. They are looked up in the topics
 *   named here and among the events to everyone. If several of these hold the id, the earliest event
 *   counts, and later ones may come twice. If only a topic not named here holds it: a gap, once a named
 *   topic has lost an event. If one topic has the id twice, the later event counts.
 * - A client can find out whether an id exists in another topic. So put no secret into ids.
 * - Work: events replayed x log(topics named). It does not depend on what else is retained.
 * Ownership: topics and id are borrowed.
 * Errors, with nothing changed:
 * - -EINVAL: NULL, or `count` is 0.
 * - -EBADMSG: a topic is empty, or longer than SSE_TOPIC_SIZE_MAX.
 * - SSE_ENDED, or the errno that ended the emitter: it has ended.
 * - -ENOENT: the emitter is not in this registry.
 * - -EAGAIN: over topic_emitters_max.
 * - -ECONNREFUSED: the registry is shutting down.
 * - -ENOMEM.
 * Specification: WHATWG HTML 9.2.4 (Last-Event-ID).
 * Example:
 *
 *     const struct sse_text rooms[] = {sse_str("room:1"), sse_str("room:2")};
 *     int error = sse_registry_subscribe(registry, emitter, rooms, 2, sse_str(NULL), NULL);
 */
SSE_API int sse_registry_subscribe(struct sse_registry *registry, struct sse_emitter *emitter,
                                   const struct sse_text *topics, size_t count, struct sse_text last_event_id,
                                   struct sse_replay *replay);

/**
 * Ends the subscriptions to `count` topics. Topics that the emitter does not have are ignored. The
 * emitter stays in the registry. Events that are queued already are still written.
 *
 * Errors, with nothing changed: -EINVAL: NULL, or `count` is 0. -EBADMSG: a topic is empty, or longer than
 * SSE_TOPIC_SIZE_MAX. -ENOENT: the emitter is not in this registry.
 */
SSE_API int sse_registry_unsubscribe(struct sse_registry *registry, struct sse_emitter *emitter,
                                     const struct sse_text *topics, size_t count);

/**
 * Completes every subscriber of a topic, or with an absent topic every emitter, as sse_emitter_complete.
 *
 * Errors: -EINVAL: NULL. -EBADMSG: the topic is present and empty, or longer than SSE_TOPIC_SIZE_MAX.
 */
SSE_API int sse_registry_complete(struct sse_registry *registry, struct sse_text topic);

/**
 * Calls `visit` for every subscriber of a topic, or with an absent topic for every emitter.
 *
 * Effect: visits those that are there when the call begins. `visit` may call every function; it may be
 * given an emitter that has ended meanwhile. If it returns anything but 0, the walk stops and returns
 * that value.
 * Ownership: the emitter is borrowed during the visit: sse_emitter_ref keeps it.
 * Locks: no lock of the library is held during a visit.
 * Errors, with nobody visited: -EINVAL: NULL. -EBADMSG: the topic is present and empty, or longer than
 * SSE_TOPIC_SIZE_MAX. -ENOMEM.
 */
SSE_API int sse_registry_each(struct sse_registry *registry, struct sse_text topic,
                              int (*visit)(struct sse_emitter *emitter, void *user), void *user);

/**
 * Returns the number of subscribers of a topic, or with an absent topic of emitters. 0 for NULL.
 *
 * Errors: none.
 */
SSE_API size_t sse_registry_count(struct sse_registry *registry, struct sse_text topic);

/** How a registry shuts down. Every member but `size` may be zero. */
struct sse_shutdown_options {
    size_t size; /**< sizeof(struct sse_shutdown_options) */
    /** Sent to every emitter first. NULL: none. Give it no id: the client would skip what was dropped. */
    const struct sse_event *final_event;
    /** Each client is told a reconnection time of its own, in milliseconds, drawn from this range, so
     *  that they do not all come back at once. Both 0: none. */
    int64_t retry_min_ms;
    int64_t retry_max_ms;
    /** What is still queued after this many milliseconds is cut off. 0: at once, not the default of an
     *  emitter. */
    int64_t drain_ms;
};

/**
 * Ends the service of the registry. New emitters get -ECONNREFUSED. Every open emitter gets the final
 * event and its retry, and ends gracefully (SSE_REASON_SHUTDOWN) within drain_ms. Those that were
 * draining keep their reason and get the same deadline, except those that were evicted: they keep their
 * drain_ms.
 *
 * The call only queues: loops must go on running. Wait with sse_registry_wait, or run your loop until
 * it is empty: sse_loop_finish. An emitter for which there is no memory gets no final event, and ends
 * like the others.
 * Ownership: the final event is borrowed.
 * Errors, with nothing changed:
 * - -EINVAL: NULL, an option that is not valid. Every error of sse_event_encode.
 * - -ERANGE: 1 <= min <= max <= SSE_RETRY_MAX does not hold.
 * - -EALREADY: it is shutting down.
 * - -ENOMEM.
 * Example:
 *
 *     const struct sse_shutdown_options options = {
 *         .size = sizeof(options),
 *         .retry_min_ms = 1000,
 *         .retry_max_ms = 10000,
 *         .drain_ms = 5000,
 *     };
 *     int error = sse_registry_shutdown(registry, &options);
 */
SSE_API int sse_registry_shutdown(struct sse_registry *registry, const struct sse_shutdown_options *options);

/**
 * Waits until no emitter remains: every owner is done. An owner is done when its loop has closed the
 * descriptor, if that is the library's; otherwise when sse_emitter_close has been called.
 *
 * Returns 0, or -ETIMEDOUT after `timeout_ms` milliseconds of CLOCK_MONOTONIC; -1 waits without a
 * limit, 0 does not wait. It may be called without a shutdown. After 0, every client has been written
 * everything if shutdown_cut of sse_registry_get_stats is 0.
 * Threads: any but the thread of a loop whose emitters remain, which would wait for itself: that thread
 * runs its loop until it is empty.
 * Callbacks: only with `timeout_ms` 0. Errors: -EINVAL: NULL, or `timeout_ms` below -1. -ETIMEDOUT.
 */
SSE_API int sse_registry_wait(struct sse_registry *registry, int timeout_ms);

/** Buckets of a latency histogram. */
#define SSE_LATENCY_BUCKETS 64

/** Room for reasons, known and to come. */
#define SSE_REASON_COUNT_MAX 32

/**
 * Numbers since the registry was made, unless they say "now". New members will take
 * the place of `reserved`.
 */
struct sse_registry_stats {
    size_t emitters;         /**< now */
    size_t remaining;        /**< now: emitters whose owner is not done, see sse_registry_wait */
    size_t topics;           /**< now: with subscribers or history */
    size_t backlog_bytes;    /**< now: queued; each receiver is charged in full */
    size_t history_events;   /**< now */
    size_t history_bytes;    /**< now: each event once */
    uint64_t added;          /**< emitters */
    uint64_t refused;        /**< emitters over a cap */
    uint64_t published;      /**< events and messages published */
    uint64_t queued;         /**< deliveries: one for each receiver of each publish */
    uint64_t events_written; /**< events written whole, for each receiver */
    uint64_t bytes_written;
    uint64_t dropped;  /**< events dropped by full queues, or never written because the emitter ended */
    uint64_t replays;  /**< subscriptions with a Last-Event-ID whose replay was complete */
    uint64_t replayed; /**< messages that were replayed */
    uint64_t gaps;     /**< subscriptions with a gap */

    bool shutting_down;
    uint64_t shutdown_completed;  /**< ended since the shutdown began, with every byte written */
    uint64_t shutdown_cut;        /**< ended since then otherwise: deadline, error, disconnect */
    uint64_t shutdown_bytes_left; /**< queued for those, and not written; a last chunk may count */

    uint64_t reserved[8];
    uint64_t ended_by[SSE_REASON_COUNT_MAX]; /**< emitters that ended, by reason */
    /** Time from publish until the last byte was written: latency[n] counts deliveries of 2^(n-1) up to
     *  2^n nanoseconds, latency[0] those below the resolution of the clock. Replays do not count, nor what was queued
     *  before a replay or a final event. */
    uint64_t latency[SSE_LATENCY_BUCKETS];
};

/**
 * Fills `stats` without stopping the traffic: each number is exact, and all are of nearly the same
 * moment. `size` is sizeof(struct sse_registry_stats).
 *
 * Errors: -EINVAL: NULL, or `size` is 0.
 */
SSE_API int sse_registry_get_stats(struct sse_registry *registry, struct sse_registry_stats *stats,
                                   size_t size);

#ifdef __cplusplus
}
#endif

#endif
