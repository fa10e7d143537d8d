/* SPDX-License-Identifier: MIT */
#ifndef SSE_REGISTRY_H
#define SSE_REGISTRY_H

/**
 * A registry: a set of emitters with topics. A user id, a chat room and a feed are all topics; an
 * emitter subscribes to any number of them.
 *
 * Rules that hold for every function below:
 *
 * - Threads: any thread may call any function while it holds a reference to the registry, and to
 *   the emitters that it names.
 * - Hooks: every function may be called from every hook and write callback.
 * - No lock of the library is held while a hook, a write callback or a visitor runs.
 * - Order: two events published through one registry, which two emitters both receive, arrive at
 *   both in the same order, whichever threads published them and to whichever topics. A replay to an
 *   emitter that has topics already comes behind what it was sent for those.
 * - An emitter that ends leaves its registry by itself, before its on_completion runs. Membership
 *   goes by the identity of the emitter: the end of an old connection never touches a new one of
 *   the same user.
 */

#include <sse/emitter.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sse_registry;

/** The longest name of a topic, in bytes. */
#define SSE_TOPIC_SIZE_MAX 1024

/** The longest epoch, in bytes. */
#define SSE_EPOCH_SIZE_MAX 64

/** An id that the registry assigns, with its NUL: "<epoch>-<16 hexadecimal digits>". */
#define SSE_ASSIGNED_ID_SIZE (SSE_EPOCH_SIZE_MAX + 18)

/** How much of what was published is kept for clients that come back. */
struct sse_history_limits {
    size_t events; /**< 0: nothing is kept; in the limits of a topic: as many as in all */
    size_t bytes;  /**< with what events, ids and topics cost beside their text; 0: 16 MiB, or as in all */
};

/** What to do with an emitter over a cap. */
enum sse_admission {
    /** It is refused with -EAGAIN: see sse_http_shed; where a head has been sent already, send a retry,
     *  another for each client, and complete. */
    SSE_ADMISSION_REFUSE = 0,
    /** The oldest of that topic, or of the registry, is completed: "the newest N tabs". */
    SSE_ADMISSION_NEWEST = 1
};

/** What a client asked for that is not all held. Texts and topics are valid during the hook. */
struct sse_gap {
    size_t size;           /**< sizeof(struct sse_gap), as the library has it */
    struct sse_str asked;  /**< the id that the client sent */
    struct sse_str oldest; /**< of the first event that follows the hook; absent if none follows */
    struct sse_str newest; /**< of the last event published so far; absent if there was none */
    const struct sse_str *topics; /**< that it asked for */
    size_t count;
};

/** Steps in the life of an emitter in a registry. Later versions may add steps. */
enum sse_trace {
    SSE_TRACE_ADDED = 1,
    SSE_TRACE_SUBSCRIBED = 2,
    SSE_TRACE_GAP = 3,
    SSE_TRACE_REPLAYED = 4,
    SSE_TRACE_EVICTED = 5, /**< the backlog was over the budget */
    SSE_TRACE_ENDED = 6,
    SSE_TRACE_REMOVED = 7
};

/** What a registry is made of. All members but `size` may be zero. Copied by sse_registry_new. */
struct sse_registry_options {
    size_t size;                 /**< sizeof(struct sse_registry_options) */
    const struct sse_host *host; /**< not copied: see <sse/host.h> */

    /** In all topics together. With events 0 there is no history, and no ids are assigned. When it is
     *  full, the topic that holds the most bytes gives its oldest event: a busy topic cannot evict a
     *  quiet one. */
    struct sse_history_limits history;
    struct sse_history_limits topic_history; /**< of one topic */
    int64_t history_age_ms;                  /**< older events are forgotten; 0: at no age */
    /** Begins every assigned id. Absent: random, so that ids from before a restart are known for
     *  what they are. Else 1 to SSE_EPOCH_SIZE_MAX bytes that an id may hold. */
    struct sse_str epoch;
    /** Type of the event that tells a client of a gap. Two lines of data: the id asked for, and that of
     *  the first event which follows, empty if none does, as for an id that is not known; and an id to
     *  go on from. Absent: none is sent. */
    struct sse_str gap_type;

    /** The most bytes that may wait in all emitters together, each charged in full for what it
     *  shares: over it, the one with the most ends (OVERFLOW), until it is kept. What was queued in this
     *  call it had a chance to write; a PULL emitter keeps its replay until the next call. An event whose
     *  receiver ends so right after it counts as queued. What is held (sse_registry_hold) waits from the
     *  release on. Several times history.bytes is wise. 0: no budget. */
    size_t backlog_bytes;
    size_t emitters_max;       /**< 0: no cap */
    size_t topic_emitters_max; /**< 0: no cap */
    enum sse_admission admission;

    /**
     * A client comes back with an id, and the events after it are not all held. Before any other
     * event reaches it, the host may send what its own store has: the events after `asked` and
     * before `oldest`, or if that is absent up to `newest`. Returns whether it has: the client then has
     * everything, and is not told of a gap; unless more is published meanwhile than the history holds: then
     * the event of gap_type has no id, for the client goes on from what it was sent. Runs inside
     * sse_registry_subscribe, before the emitter has joined; what is published meanwhile follows.
     */
    bool (*on_gap)(struct sse_registry *registry, struct sse_emitter *emitter, const struct sse_gap *gap,
                   void *user);
    /** A line for a log: one step in the life of an emitter. From any thread. */
    void (*on_trace)(struct sse_registry *registry, struct sse_emitter *emitter, enum sse_trace step,
                     void *user);

    /**
     * One wake for all connections: the host's loop should call sse_registry_next_ready until it
     * returns NULL, sse_registry_tick, and ask for sse_registry_next_timeout again. Called when
     * the first emitter becomes ready after the list was empty, when a timer moved nearer
     * than what next_timeout last returned, when after a shutdown none remains, and, for a loop that
     * holds the registry, when there is something for sse_registry_flush; from any
     * thread, by one at a time. Without it the
     * registry keeps no list of ready emitters. Typically: write to an eventfd, or the loop's own
     * thread-safe wake.
     */
    void (*on_wake)(struct sse_registry *registry, void *user);

    void *user; /**< handed to the hooks above */
};

/** What became of one event, counted in emitters when the call returns. */
struct sse_delivery {
    size_t size;    /**< sizeof(struct sse_delivery), set by the caller */
    size_t written; /**< the sink has taken all of it */
    size_t queued;  /**< it waits, whole or in part: for the sink, or for the host to take it; or it is held */
    size_t dropped; /**< overflow dropped it */
    size_t closed;  /**< the emitter ended over it: overflow, or an error of the sink */
    char id[SSE_ASSIGNED_ID_SIZE]; /**< the id that was assigned, else "" */
};

/** How a subscription begins. */
enum sse_replay_outcome {
    /** No Last-Event-ID: a new client, live events only. */
    SSE_REPLAY_NONE = 0,
    /** Everything after that id was sent, or there was nothing. */
    SSE_REPLAY_COMPLETE = 1,
    /** The events after that id are not all held (the id is unknown, evicted, or of another epoch):
     *  the client may have missed some. Those that are known to follow
     *  the id were sent. */
    SSE_REPLAY_GAP = 2,
    /** They were not all held, and on_gap supplied the rest. */
    SSE_REPLAY_FILLED = 3
};

struct sse_replay {
    size_t size; /**< sizeof(struct sse_replay), set by the caller */
    enum sse_replay_outcome outcome;
    size_t messages; /**< how many were replayed */
};

/**
 * Makes a registry. `options` may be NULL.
 *
 * Ownership: `*registry` is a new reference.
 * Errors, *registry untouched: -EINVAL (NULL, unknown size, a member out of range), those of
 * sse_event_encode for `gap_type`, -ENOMEM.
 */
SSE_API int sse_registry_new(struct sse_registry **registry, const struct sse_registry_options *options);

/**
 * Replaces on_wake and its `user`; NULL for none. What has become ready before is announced to the
 * new one.
 *
 * Effect: waits for another thread that is inside the old one, which never runs again after this
 * returns; called from inside it, the promise holds from its return on. Taking the wake away empties
 * the list of ready emitters.
 * Errors: -EINVAL (NULL).
 */
SSE_API int sse_registry_set_wake(struct sse_registry *registry,
                                  void (*on_wake)(struct sse_registry *registry, void *user), void *user);

/** Whether an emitter is in this registry. False for NULL. Errors: none. */
SSE_API bool sse_registry_has(struct sse_registry *registry, struct sse_emitter *emitter);

/** Takes one more reference and returns `registry`; NULL gives NULL. Errors: none. */
SSE_API struct sse_registry *sse_registry_ref(struct sse_registry *registry);

/**
 * Gives a reference back. The last one writes what sse_registry_hold held back, removes all emitters,
 * without ending those to which the host has a reference, waits for
 * another thread that is inside on_wake (which never runs again, so what it uses may be closed),
 * and frees the registry. NULL is nothing.
 *
 * Threads: do not hold a lock that on_wake takes. Hooks: may call, from on_wake too.
 *
 * Errors: none.
 */
SSE_API void sse_registry_unref(struct sse_registry *registry);

/**
 * Adds an emitter, which from now on receives broadcasts and is ticked by the registry. One that
 * has bytes queued is among the ready ones at once.
 *
 * Ownership: the registry takes a reference until the emitter ends or is removed.
 * Errors: -EINVAL (NULL), -EALREADY (it is in this registry), -EBUSY (it is in another), -EAGAIN
 * (over the cap), -ENOMEM, -ESHUTDOWN (the registry is shutting down), and after the emitter's end -ESHUTDOWN
 * or the errno that ended it.
 */
SSE_API int sse_registry_add(struct sse_registry *registry, struct sse_emitter *emitter);

/**
 * Removes an emitter, all its subscriptions, and its place among the ready ones. The emitter does
 * not end; what it has queued is still written, what sse_registry_hold held back at once, but its timers
 * are now the host's affair.
 *
 * Errors: -EINVAL (NULL), -ENOENT (it is not in this registry).
 */
SSE_API int sse_registry_remove(struct sse_registry *registry, struct sse_emitter *emitter);

/**
 * Subscribes an emitter to `count` topics, adding it to the registry first if need be: all of it
 * or, on an error, nothing. A topic that it has already is kept once. With no topic it only adds
 * the emitter, with a replay of the broadcasts.
 *
 * Effect: replays and joins live in one atomic step over all the topics: what was published after
 * `last_event_id` to these topics, and to all if it adds the emitter, is queued in the order of
 * publication, and then every event that is published from now on: no gap, no duplicate. A replay
 * is not held to the limits of the queue: its memory is the history's. `last_event_id` is what the
 * client sent (see sse_http_last_event_id), absent or empty if nothing; `*replay`, if not NULL, says
 * how the stream begins. An id that a publisher gave is looked up in the topics asked for and in the
 * broadcasts; if several of them hold it, the earliest event counts, and what follows that one may come
 * twice. One that only another topic holds counts as well, but as a gap once a topic asked for has let go
 * of anything. Given twice in one topic, an id stands for the later event. A publisher's ids should be
 * unique among the topics of one client: where topics share ids, one that a topic asked for may have had
 * and let go of is a gap. Name all topics of a connection in one call: a client that has had the replay of
 * one topic no longer asks for what is older in the next. The work depends on what is replayed and on the
 * number of topics asked for, not on what is held.
 * Ownership: topics and id are borrowed. The registry takes a reference if it adds the emitter. Where
 * on_gap may send much through a driver, add the emitter to registry and driver first.
 * Errors: -EINVAL (NULL, an empty topic, a replay of unknown size), -EMSGSIZE (a topic over
 * SSE_TOPIC_SIZE_MAX), -EALREADY (no topic, and it is in this registry), -EBUSY (it is in another),
 * -EAGAIN (over a cap), -ENOMEM, -ESHUTDOWN (the registry is shutting down), and after the emitter's end
 * -ESHUTDOWN or the errno that ended it.
 * Specification: WHATWG HTML 9.2.4 (Last-Event-ID).
 */
SSE_API int sse_registry_subscribe(struct sse_registry *registry, struct sse_emitter *emitter,
                                   const struct sse_str *topics, size_t count, struct sse_str last_event_id,
                                   struct sse_replay *replay);

/**
 * Ends the subscriptions to `count` topics; those that it has not are passed over. The emitter
 * stays in the registry.
 *
 * Errors: -EINVAL (NULL, count 0, a length without a pointer), -ENOENT (it is not in this registry).
 */
SSE_API int sse_registry_unsubscribe(struct sse_registry *registry, struct sse_emitter *emitter,
                                     const struct sse_str *topics, size_t count);

/**
 * Sends an event to the subscribers of a topic. It is encoded once.
 *
 * Effect: first queues the event for all of them in one step, then writes, with no lock held, and
 * runs the hooks that this brings about. An emitter that joins meanwhile does not receive it; one
 * that ends meanwhile disturbs nobody. No subscriber is no error. `*delivery`, if not NULL, is
 * filled on success. From inside a hook or write callback of a publish to the same registry it
 * only queues, in order, and that outer call writes: hooks that publish do not nest without end. Between
 * sse_registry_hold and release it only queues too.
 * With a history, an event without id gets one, and is kept, if it has data.
 * Ownership: the event is borrowed.
 * Errors, nothing sent: -EINVAL (NULL; topic absent or empty; a delivery of unknown size; with a
 * history, an id that looks as if it had been assigned by this registry), -EMSGSIZE (topic), -ENOMEM, and
 * those of sse_event_encode. An emitter for which there is no memory, or whose queue is full, ends
 * with the reason OVERFLOW, and is counted in `closed`; one that drops when it is full drops the event
 * then, and is counted in `dropped`.
 */
SSE_API int sse_registry_publish(struct sse_registry *registry, struct sse_str topic,
                                 const struct sse_event *event, struct sse_delivery *delivery);

/**
 * Sends a message that was encoded before, as sse_registry_publish does.
 *
 * Ownership: each queue takes a reference of its own.
 * Errors: as sse_registry_publish, without those of encoding.
 */
SSE_API int sse_registry_publish_message(struct sse_registry *registry, struct sse_str topic,
                                         struct sse_message *message, struct sse_delivery *delivery);

/**
 * Sends an event to every emitter of the registry, whatever its topics, as sse_registry_publish
 * does.
 *
 * Errors: as sse_registry_publish, without those of the topic.
 */
SSE_API int sse_registry_broadcast(struct sse_registry *registry, const struct sse_event *event,
                                   struct sse_delivery *delivery);

/**
 * Sends a message that was encoded before, as sse_registry_broadcast does.
 *
 * Ownership: each queue takes a reference of its own.
 * Errors: as sse_registry_publish_message, without those of the topic.
 */
SSE_API int sse_registry_broadcast_message(struct sse_registry *registry, struct sse_message *message,
                                           struct sse_delivery *delivery);

/**
 * Holds writing back, so that many events leave in one write for each client (for up to 16 messages; more take
 * more): until sse_registry_release has been called as often, publish and broadcast, of every thread, only
 * queue.
 *
 * Effect: an event is queued for all its receivers when publish returns, which counts them as queued. One
 * for whom it is too much ends, and its hooks run when what is held is written. A hold by itself makes no
 * queue overflow: once what is held, counted over all topics together, reaches 64 KiB or 1,024 messages, or
 * half of the smallest queue_bytes or queue_messages of any emitter that ever joined, the publish that added
 * the last of it writes it all, and runs the hooks. Only publish and broadcast are held: every other call
 * that writes to an emitter (send, flush, complete, sse_registry_remove, sse_registry_shutdown) writes what
 * is queued for it before. If a send has no room beside that, it is accepted when that has left, and what is
 * published meanwhile, by another thread or by the write callback, comes before it. on_wake is called when
 * the first event is held, and at a release that leaves events held. The stall timer counts the hold, which
 * is meant for one burst.
 * Errors: -EINVAL (NULL).
 */
SSE_API int sse_registry_hold(struct sse_registry *registry);

/**
 * Takes one hold back. With the last, what was held is written, and the hooks run that this brings
 * about; inside a hook of a publish to the same registry, the outer call does it. The last
 * sse_registry_unref writes what is held too.
 *
 * Errors: -EINVAL (NULL), -EALREADY (nothing holds it).
 */
SSE_API int sse_registry_release(struct sse_registry *registry);

/**
 * Writes what is held, as the last sse_registry_release does, and goes on holding: for a loop that holds
 * between its rounds. What is published meanwhile, by any thread, is held for the next. If there are other
 * holds beside the caller's it does nothing; the release that leaves the caller's calls on_wake.
 *
 * Errors: -EINVAL (NULL), -EALREADY (nothing holds it).
 */
SSE_API int sse_registry_flush(struct sse_registry *registry);

/**
 * Calls `visit` for every subscriber of a topic, or with an absent topic for every emitter.
 *
 * Effect: visits those that are there when the call begins; `visit` may add, remove and end any of
 * them, and may be given one that has ended meanwhile. A visitor that returns anything but 0
 * stops the walk, and its value is returned.
 * Ownership: the emitter is borrowed for the visit; take a reference to keep it.
 * Errors: -EINVAL (NULL, topic empty), -EMSGSIZE (topic), -ENOMEM, nobody visited.
 */
SSE_API int sse_registry_each(struct sse_registry *registry, struct sse_str topic,
                              int (*visit)(struct sse_emitter *emitter, void *user), void *user);

/**
 * The number of subscribers of a topic, or with an absent topic of emitters. 0 for NULL.
 *
 * Errors: none.
 */
SSE_API size_t sse_registry_count(struct sse_registry *registry, struct sse_str topic);

/**
 * Milliseconds until sse_registry_tick has something to do, rounded up; 0 now, -1 never.
 *
 * Errors: -EINVAL (NULL).
 */
SSE_API int sse_registry_next_timeout(struct sse_registry *registry);

/**
 * Runs the timers that are due, of all emitters. The cost depends on how many are due.
 *
 * Errors: -EINVAL (NULL).
 */
SSE_API int sse_registry_tick(struct sse_registry *registry);

/**
 * The next emitter that needs its host, oldest first, or NULL: a PULL emitter with bytes to take
 * after a peek or read had returned 0, another whose sink is full (see on_blocked), or one that
 * has ended. Each at most once until it becomes ready again; never one that was detached.
 *
 * Threads: a host with several loops, each with connections of its own, has each loop's emitters in
 * a registry of their own, or uses on_ready with a list for each loop.
 *
 * Ownership: a new reference, to be given back with sse_emitter_unref.
 * Errors: none; always NULL if the registry was made without on_wake.
 */
SSE_API struct sse_emitter *sse_registry_next_ready(struct sse_registry *registry);

/** How a registry ends. All members but `size` may be zero. */
struct sse_shutdown_options {
    size_t size; /**< sizeof(struct sse_shutdown_options) */
    /** Sent to every emitter first; NULL for none. */
    const struct sse_event *farewell;
    /** Each client is told a retry of its own, in milliseconds, drawn from this range, so that they
     *  do not all come back at once. Both 0: none is told. */
    int64_t retry_min_ms;
    int64_t retry_max_ms;
    /** What is still queued after so many milliseconds is cut off; 0: at once. */
    int64_t drain_ms;
};

/** What became of the emitters at a shutdown. */
struct sse_shutdown_report {
    size_t size;         /**< sizeof(struct sse_shutdown_report), set by the caller */
    size_t remaining;    /**< still draining */
    size_t completed;    /**< every byte was written */
    size_t cut;          /**< ended otherwise: by the deadline, an error, the client */
    uint64_t bytes_left; /**< queued for those that were cut, and not written */
};

/**
 * Ends the registry's service: no new emitters (-ESHUTDOWN); every emitter that is open gets the
 * farewell and its retry, and ends gracefully with the reason SHUTDOWN within drain_ms; those that
 * were ending already keep their reason and get the same deadline. Waiting threads are woken.
 *
 * Effect: writes what the sinks take and returns; the host goes on flushing and ticking until the
 * report has none remaining. A second call is -EALREADY. A client for which there is no memory gets
 * no farewell or no retry, and ends like the others.
 * Ownership: the farewell is borrowed.
 * Errors, nothing changed: -EINVAL (NULL, unknown size, negative drain_ms), -ERANGE (0 < min <= max <=
 * SSE_RETRY_MAX does not hold), -EALREADY, -ENOMEM, and those of sse_event_encode.
 */
SSE_API int sse_registry_shutdown(struct sse_registry *registry, const struct sse_shutdown_options *options);

/**
 * Fills `report` with how the shutdown stands. Final once `remaining` is 0.
 *
 * Errors: -EINVAL (NULL, unknown size), -EAGAIN (no shutdown has begun).
 */
SSE_API int sse_registry_shutdown_report(struct sse_registry *registry, struct sse_shutdown_report *report);

/** Buckets of a latency histogram. */
#define SSE_LATENCY_BUCKETS 64

/** Counts since the registry was made, unless they say "at present". */
struct sse_registry_stats {
    size_t size;                              /**< sizeof(struct sse_registry_stats), set by the caller */
    size_t emitters;                          /**< at present */
    size_t topics;                            /**< at present: with subscribers or history */
    size_t backlog_bytes;                     /**< at present, each receiver charged in full; what is held
                                                   is charged at the release */
    size_t history_events;                    /**< at present */
    size_t history_bytes;                     /**< at present; each event once */
    uint64_t added;                           /**< emitters */
    uint64_t published;                       /**< publishes and broadcasts */
    uint64_t written;                         /**< events written whole, to each receiver */
    uint64_t queued;                          /**< deliveries that had to wait */
    uint64_t dropped;                         /**< events dropped, or left unsent by an end */
    uint64_t bytes;                           /**< written */
    uint64_t replays;                         /**< subscriptions with a Last-Event-ID that was complete */
    uint64_t replayed;                        /**< messages that they were sent */
    uint64_t gaps;                            /**< subscriptions with a gap */
    uint64_t refused;                         /**< emitters over a cap */
    uint64_t closed[SSE_REASON_SHUTDOWN + 1]; /**< ended, by reason */
    /** Time from publish to the sink's taking the last byte: latency[n] counts deliveries of 2^(n-1)
     *  up to 2^n nanoseconds; latency[0] those below the clock's resolution. */
    uint64_t latency[SSE_LATENCY_BUCKETS];
};

/**
 * Fills `stats`, without stopping the traffic: the numbers are each exact, and nearly of one moment. What a
 * publish writes is counted when it has tried all its receivers.
 *
 * Errors: -EINVAL (NULL, unknown size).
 */
SSE_API int sse_registry_stats(struct sse_registry *registry, struct sse_registry_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
