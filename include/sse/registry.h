/* SPDX-License-Identifier: MIT */
#ifndef SSE_REGISTRY_H
#define SSE_REGISTRY_H

/**
 * A registry: it decides which emitters get an event. It has emitters, topics, one order of all events, and a
 * history for clients that reconnect. A user id, a chat room and a feed are all topics.
 *
 * A registry only queues events, and the loops of the emitters write them. Exception: publishing may write to a
 * descriptor whose loop is behind. It never calls a write callback.
 *
 * Rules for every function below:
 *
 * - Threads: any thread, while it holds a reference to the registry and to the emitters that it names.
 * - Callbacks: every callback and write callback may call every function, unless the function says otherwise.
 * - Locks: you may hold your own locks while you call, also those that your callbacks take, because no callback
 *   runs inside these functions. Exceptions are `on_wake` of a driven loop and the visitor of sse_registry_each,
 *   which may run inside: do not hold a lock that they take.
 * - Order: two events of one registry that two emitters both receive arrive at both in the same order,
 *   whichever threads published them, and to whichever topics. Exception: the replay of sse_registry_subscribe
 *   comes after events that may be newer.
 * - Membership: an emitter that ends leaves its registry at once. Membership goes by identity, so the end of an
 *   old connection never affects a new one of the same user.
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
    /** The most events. 0 in `history`: there is no history. 0 in `topic_history`: as many as in `history`. */
    size_t events;
    /** The most memory for events, ids and topics. 0 in `history`: 16 MiB. 0 in `topic_history`: as much as in
     *  `history`. */
    size_t bytes;
};

/** What happens when a cap is reached. */
enum sse_admission {
    /** The new emitter is refused with -EAGAIN: see sse_http_refuse. */
    SSE_ADMISSION_REFUSE = 0,
    /**
     * The oldest emitter of the topic, or of the registry, is completed. So a user can keep the newest five tabs,
     * for example. The reason of the oldest emitter is SSE_REASON_EVICTED.
     */
    SSE_ADMISSION_EVICT_OLDEST = 1
};

/** Options of a registry. Every member but `size` may be zero. Copied by sse_registry_new. */
struct sse_registry_options {
    size_t size;                         /**< sizeof(struct sse_registry_options) */
    const struct sse_platform *platform; /**< not copied: see <sse/platform.h> */

    /**
     * The history of all topics together. With `events` 0 there is no history, and no ids are assigned.
     * When it is full, the topic that retains the most bytes loses its oldest event. So a busy topic
     * cannot displace a quiet one.
     */
    struct sse_history_limits history;
    struct sse_history_limits topic_history; /**< of each topic */
    int64_t history_age_ms;                  /**< older events are not replayed; 0: no limit */
    /**
     * The beginning of every assigned id: 1 to SSE_ID_PREFIX_SIZE_MAX bytes that an id may contain. Absent:
     * it is random, so that ids from before a restart are unknown.
     */
    struct sse_text id_prefix;
    /** The number of the first assigned id. 0: 1. With it and the same `id_prefix`, a process that restarts
     *  continues the ids where the old process stopped. */
    uint64_t first_id;
    /**
     * The type of the event that tells a client of a gap. Absent: the client is not told, and only your program
     * knows of the gap, from struct sse_replay. Without a history, every Last-Event-ID is a gap.
     *
     * - The first line of its data is the id that the client sent. It is empty if that cannot be an id.
     * - The second line is the id of the first event that follows. It is empty if none follows, or if the client's
     *   id is unknown.
     * - It has an id, from which the client continues when it reconnects to this registry: the assigned id of the
     *   client's event or, if that is unknown, of the newest event. If nothing was published yet, its number is one
     *   less than that of the first event. Without a history it has none.
     * - Another server does not know that id. So servers that share their events leave `gap_type` absent, and send
     *   their own event.
     */
    struct sse_text gap_type;

    /**
     * The budget: the most bytes that may be queued in all emitters together. 0: none. A message counts once for
     * each receiver. Several times history.bytes is sensible.
     *
     * - Over the budget, the emitters with the most bytes queued end (SSE_REASON_OVERFLOW) until the
     *   rest is within the budget. Replays count.
     * - Bytes that no owner has tried to write yet count only above four times the budget. A publish that brings all
     *   bytes together above that ends emitters at once.
     * - One publish queues the size of the event for each receiver. So choose a budget above the size of your
     *   largest event times its receivers.
     */
    size_t backlog_bytes;
    /** The most emitters in the registry, draining ones included; 0: no cap. One that is evicted leaves
     *  the registry at once, and no longer counts. */
    size_t emitters_max;
    size_t topic_emitters_max; /**< the most emitters of each topic; 0: no cap */
    enum sse_admission admission;
};

/** What happened to one event, counted in emitters. This struct never grows. */
struct sse_delivery {
    size_t receivers;              /**< emitters that have accepted it */
    size_t dropped;                /**< emitters whose full queue dropped it */
    size_t ended;                  /**< emitters that ended because it did not fit */
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
 * Releases a reference. NULL is ignored. Shut the registry down first.
 *
 * Emitters that are still in the registry stay open, and nothing is published to them any more. The registry is
 * freed when its last reference is released and no emitter remains: see sse_registry_wait.
 *
 * Errors: none.
 */
SSE_API void sse_registry_unref(struct sse_registry *registry);

/**
 * Publishes an event to the subscribers of a topic. If the topic is absent, publishes it to every emitter.
 *
 * Effect: queues the event for all receivers in one step, and wakes their loops. It is encoded once.
 *
 * - If there is no receiver, the call succeeds all the same. An emitter that joins later receives the event only by
 *   a replay.
 * - `*delivery`, if not NULL, is filled on success. "Queued" does not mean "received by the client": no server
 *   can know that.
 * - With a history, an event that has data or an id is retained. If it has no id, one is assigned.
 * - If there is no memory for one emitter's queue, its overflow policy decides, as if the queue were full.
 *
 * An emitter overflows when its queue is above its limits, queue_bytes and queue_messages:
 *
 * - The limits count at once if the last write found the output full, and for PULL without a loop while no thread
 *   waits.
 * - Otherwise the queue may grow to four times its limits. The next turn writes, and then the limits count. For
 *   PULL that turn calls `on_ready`, and the limits count in the turn after it.
 * - FD: when half of a limit is used and the output is not known to be full, this call itself writes, after the
 *   event is queued for all. If the output is then full, the limits count.
 * - Paused, for every output: the queue of live events may grow to four times its limits, until all that was sent
 *   during the pause is written.
 * - Four times the limits always count at once.
 * Ownership: the event is borrowed.
 * Errors, with nothing published:
 * - -EINVAL: `registry` is NULL.
 * - -EINVAL: there is a history, and the event has an id that looks like an assigned one.
 * - Every error of sse_event_encode.
 * - -EBADMSG: the topic is present and empty, or longer than SSE_TOPIC_SIZE_MAX.
 * - -EMSGSIZE: the event is larger than SSE_EVENT_SIZE_MAX. An assigned id counts.
 * - -EMSGSIZE: the event is larger than the queue_bytes of a receiver. An assigned id and the chunk framing of
 *   that receiver count.
 * - -ENOMEM.
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
 * Publishes a message, as sse_registry_publish publishes an event.
 *
 * Ownership: each queue takes its own reference. With a history, a message without an id is copied, because an
 * id is assigned to it.
 * Errors:
 * - Every error of sse_registry_publish, except those of encoding.
 * - -EINVAL: `message` is NULL.
 * - -EMSGSIZE: the message has no room for an assigned id below SSE_EVENT_SIZE_MAX.
 */
SSE_API int sse_registry_publish_message(struct sse_registry *registry, struct sse_text topic,
                                         struct sse_message *message, struct sse_delivery *delivery);

/**
 * Subscribes an emitter of this registry to `count` more topics. All of it happens, or nothing.
 *
 * Name the first topics of a connection in sse_emitter_new, all at once: a client that has had the replay of one
 * topic no longer asks for older events of the next.
 *
 * Effect: if `last_event_id` is not empty, the events of these topics after that id are queued, and then
 * live events follow, without a gap and without a duplicate. A topic that the emitter has already stays as it is.
 * Events to everyone are not replayed: the emitter has had them since it was made. `*replay`, if not NULL, is
 * filled in.
 *
 * What the emitter was sent before may be newer than the replay. So the client's last id may go back, and if it
 * reconnects with that id, it receives the newer events again.
 *
 * If you give ids yourself, make them unique among the topics of one client. An id is looked up in the topics
 * named here and among the events to everyone. If it is not unique:
 *
 * - Several of these topics have it: the earliest event counts, and later events may come twice.
 * - One topic has it twice: the later event counts.
 * - Only a topic that is not named here has it: there is a gap if a topic named here has lost an event.
 * - A topic named here does not have it, has lost an event, and has had an id at the same time as another topic:
 *   there is a gap, because the lost event may have had this id.
 *
 * A client can find out whether an id exists in another topic, so put no secret into ids. The work grows with the
 * events replayed, times the logarithm of the topics named. It does not grow with what else is retained.
 * Ownership: topics and id are borrowed.
 * Errors, with nothing changed:
 * - -EINVAL: `registry`, `emitter` or `topics` is NULL, or `count` is 0.
 * - -EBADMSG: a topic is empty, or longer than SSE_TOPIC_SIZE_MAX.
 * - SSE_ENDED, or the errno that ended the emitter.
 * - -ENOENT: the emitter is not in this registry.
 * - -EAGAIN: topic_emitters_max is reached.
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
 * Errors, with nothing changed:
 * - -EINVAL: `registry`, `emitter` or `topics` is NULL, or `count` is 0.
 * - -EBADMSG: a topic is empty, or longer than SSE_TOPIC_SIZE_MAX.
 * - -ENOENT: the emitter is not in this registry.
 */
SSE_API int sse_registry_unsubscribe(struct sse_registry *registry, struct sse_emitter *emitter,
                                     const struct sse_text *topics, size_t count);

/**
 * Completes every subscriber of a topic, as sse_emitter_complete does. If the topic is absent, completes every
 * emitter.
 *
 * Errors:
 * - -EINVAL: `registry` is NULL.
 * - -EBADMSG: the topic is present and empty, or longer than SSE_TOPIC_SIZE_MAX.
 */
SSE_API int sse_registry_complete(struct sse_registry *registry, struct sse_text topic);

/**
 * Calls `visit` for every subscriber of a topic. If the topic is absent, calls it for every emitter.
 *
 * Effect: visits the emitters that are there when the call begins. `visit` may call every function. It may get an
 * emitter that has ended meanwhile. If it returns anything but 0, the call visits no more and returns that value.
 * Ownership: the emitter is borrowed during the visit. To keep it, use sse_emitter_ref.
 * Locks: no lock of the library is held during a visit.
 * Errors, with no emitter visited:
 * - -EINVAL: `registry` or `visit` is NULL.
 * - -EBADMSG: the topic is present and empty, or longer than SSE_TOPIC_SIZE_MAX.
 * - -ENOMEM.
 */
SSE_API int sse_registry_each(struct sse_registry *registry, struct sse_text topic,
                              int (*visit)(struct sse_emitter *emitter, void *user), void *user);

/**
 * Returns the number of subscribers of a topic. If the topic is absent, returns the number of emitters. 0 for
 * NULL. Draining emitters count, except those that were evicted.
 *
 * Errors: none.
 */
SSE_API size_t sse_registry_count(struct sse_registry *registry, struct sse_text topic);

/** How a registry shuts down. Every member but `size` may be zero. */
struct sse_shutdown_options {
    size_t size; /**< sizeof(struct sse_shutdown_options) */
    /** The last event of every emitter. NULL: none. Give it no id, because the client would then not ask for what
     *  was dropped. */
    const struct sse_event *final_event;
    /** Each client gets its own random reconnection time from this range, in milliseconds, so that they do not
     *  all come back at once. Both 0: none. */
    int64_t retry_min_ms;
    int64_t retry_max_ms;
    /** The longest draining, in milliseconds. What is still queued then is not written. 0: no time at all, not the
     *  default of an emitter. */
    int64_t drain_ms;
};

/**
 * Shuts the registry down: every emitter ends. Every open emitter gets the final event and its retry, and ends
 * gracefully (SSE_REASON_SHUTDOWN) within drain_ms.
 *
 * The call only queues, so the loops must go on running. Then wait with sse_registry_wait, or run your loop until
 * it is empty: see sse_loop_finish.
 *
 * - sse_emitter_new returns -ECONNREFUSED from now on.
 * - An emitter that is draining already keeps its reason, and must end within drain_ms too. One that was evicted
 *   keeps its own drain_ms.
 * - An emitter for which there is no memory gets no final event, and ends like the others.
 * Ownership: the final event is borrowed.
 * Errors, with nothing changed:
 * - -EINVAL: `registry` or `options` is NULL, or an option is not valid.
 * - Every error of sse_event_encode.
 * - -ERANGE: the retries are not 1 <= retry_min_ms <= retry_max_ms <= SSE_RETRY_MAX.
 * - -EALREADY: the registry is shutting down.
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
 * Waits until no emitter remains, and then returns 0. You may call it without a shutdown. After a shutdown,
 * everything was written to every client if shutdown_cut of sse_registry_get_stats is 0.
 *
 * - An emitter whose descriptor the library owns remains until its loop has closed the descriptor.
 * - Every other emitter remains until it has ended and sse_emitter_close was called, or its last reference was
 *   released.
 * - `timeout_ms` counts milliseconds of CLOCK_MONOTONIC. -1 waits without a limit, 0 does not wait.
 * Threads: with `timeout_ms` 0 any. Otherwise any but the thread of a loop whose emitters remain, because it would
 * wait for itself. That thread runs its loop until it is empty.
 * Callbacks: may call it only with `timeout_ms` 0.
 * Errors:
 * - -EINVAL: `registry` is NULL, or `timeout_ms` is below -1.
 * - -ETIMEDOUT: emitters remain.
 */
SSE_API int sse_registry_wait(struct sse_registry *registry, int timeout_ms);

/** Buckets of a latency histogram. */
#define SSE_LATENCY_BUCKETS 64

/** Room for the reasons of this version and of later ones. */
#define SSE_REASON_COUNT_MAX 32

/** The numbers of a registry, counted since it was made unless they say "now". New members will take the place of
 *  `reserved`. */
struct sse_registry_stats {
    size_t emitters;         /**< now */
    size_t remaining;        /**< now: emitters that sse_registry_wait waits for */
    size_t topics;           /**< now: topics with subscribers or history */
    size_t backlog_bytes;    /**< now: bytes queued; a message counts once for each receiver */
    size_t history_events;   /**< now: events retained */
    size_t history_bytes;    /**< now: memory of the events retained and of their topics; each event counts once */
    uint64_t added;          /**< emitters that joined */
    uint64_t refused;        /**< emitters that were refused because a cap was reached */
    uint64_t published;      /**< events and messages published */
    uint64_t queued;         /**< deliveries: one for each receiver of each publish */
    uint64_t events_written; /**< events written whole; an event counts once for each receiver */
    uint64_t bytes_written;
    uint64_t dropped;  /**< events that a full queue dropped, that an event with the same key replaced, or that were
                            not written because the emitter ended */
    uint64_t replays;  /**< subscriptions with a Last-Event-ID whose replay was complete */
    uint64_t replayed; /**< messages that were replayed */
    uint64_t gaps;     /**< subscriptions with a gap */

    bool shutting_down;
    uint64_t shutdown_completed;  /**< emitters that ended during the shutdown with every byte written */
    uint64_t shutdown_cut;        /**< emitters that ended during it otherwise: deadline, error, disconnect */
    uint64_t shutdown_bytes_left; /**< bytes queued for those and not written; a last chunk may count */

    uint64_t reserved[8];
    uint64_t ended_by[SSE_REASON_COUNT_MAX]; /**< emitters that ended, by reason */
    /**
     * Time from publish until the last byte was written. latency[n] counts deliveries of 2^(n-1) up to
     * 2^n nanoseconds, latency[0] those below the resolution of the clock. Replays do not count, nor does what was
     * queued before a replay or a final event. A message counts from its last publish, even if it was also sent with
     * sse_emitter_send_message.
     */
    uint64_t latency[SSE_LATENCY_BUCKETS];
};

/**
 * Fills `stats` without stopping the traffic. Each number is exact, and all are of nearly the same moment. `size`
 * is sizeof(struct sse_registry_stats). For a struct of another size, see sse_emitter_get_info.
 *
 * Errors:
 * - -EINVAL: `registry` or `stats` is NULL, or `size` is 0.
 */
SSE_API int sse_registry_get_stats(struct sse_registry *registry, struct sse_registry_stats *stats,
                                   size_t size);

#ifdef __cplusplus
}
#endif

#endif
