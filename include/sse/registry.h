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
 *   both in the same order, whichever threads published them and to whichever topics.
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

/** What a registry is made of. All members but `size` may be zero. Copied by sse_registry_new. */
struct sse_registry_options {
    size_t size; /**< sizeof(struct sse_registry_options) */
    const struct sse_host *host; /**< not copied: see <sse/host.h> */

    /**
     * One wake for all connections: the host's loop should call sse_registry_next_ready until it
     * returns NULL, sse_registry_tick, and ask for sse_registry_next_timeout again. Called when
     * the first emitter becomes ready after the list was empty, and when a timer moved nearer
     * than what next_timeout last returned; from any thread, by one at a time. Without it the
     * registry keeps no list of ready emitters. Typically: write to an eventfd, or the loop's own
     * thread-safe wake.
     */
    void (*on_wake)(struct sse_registry *registry, void *user);

    void *user; /**< handed to on_wake */
};

/** What became of one event, counted in emitters when the call returns. */
struct sse_delivery {
    size_t size;    /**< sizeof(struct sse_delivery), set by the caller */
    size_t written; /**< the sink has taken all of it */
    size_t queued;  /**< it waits, whole or in part: for the sink, or for the host to take it */
    size_t dropped; /**< overflow dropped it */
    size_t closed;  /**< the emitter ended over it: overflow, or an error of the sink */
};

/** How a subscription begins. */
enum sse_replay {
    /** No Last-Event-ID: a new client, live events only. */
    SSE_REPLAY_NONE = 0,
    /** The events after that id are not held here: the client may have missed some, and should
     *  fetch the present state. */
    SSE_REPLAY_GAP = 1
};

/**
 * Makes a registry. `options` may be NULL.
 *
 * Ownership: `*registry` is a new reference.
 * Errors, *registry untouched: -EINVAL (NULL, unknown size), -ENOMEM.
 */
SSE_API int sse_registry_new(struct sse_registry **registry, const struct sse_registry_options *options);

/** Takes one more reference and returns `registry`; NULL gives NULL. Errors: none. */
SSE_API struct sse_registry *sse_registry_ref(struct sse_registry *registry);

/**
 * Gives a reference back. The last one removes all emitters, without ending them, waits for
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
 * Errors: -EINVAL (NULL), -EALREADY (it is in this registry), -EBUSY (it is in another), -ENOMEM,
 * and after the emitter's end -ESHUTDOWN or the errno that ended it.
 */
SSE_API int sse_registry_add(struct sse_registry *registry, struct sse_emitter *emitter);

/**
 * Removes an emitter, all its subscriptions, and its place among the ready ones. The emitter does
 * not end; what it has queued is still written, but its timers are now the host's affair.
 *
 * Errors: -EINVAL (NULL), -ENOENT (it is not in this registry).
 */
SSE_API int sse_registry_remove(struct sse_registry *registry, struct sse_emitter *emitter);

/**
 * Subscribes an emitter to `count` topics, adding it to the registry first if need be: all of it
 * or, on an error, nothing. A topic that it has already is kept once.
 *
 * Effect: joins all topics in one atomic step with respect to publishing. `last_event_id` is what
 * the client sent (see sse_http_last_event_id), absent or empty if nothing; `*replay`, if not
 * NULL, says how the stream begins.
 * Ownership: topics and id are borrowed. The registry takes a reference if it adds the emitter.
 * Errors: -EINVAL (NULL, count 0, an empty topic), -EMSGSIZE (a topic over SSE_TOPIC_SIZE_MAX),
 * -EBUSY (it is in another registry), -ENOMEM, and after the emitter's end -ESHUTDOWN or the errno
 * that ended it.
 * Specification: WHATWG HTML 9.2.4 (Last-Event-ID).
 */
SSE_API int sse_registry_subscribe(struct sse_registry *registry, struct sse_emitter *emitter,
                                   const struct sse_str *topics, size_t count, struct sse_str last_event_id,
                                   enum sse_replay *replay);

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
 * only queues, in order, and that outer call writes: hooks that publish do not nest without end.
 * Ownership: the event is borrowed.
 * Errors, nothing sent: -EINVAL (NULL; topic absent or empty; a delivery of unknown
 * size), -EMSGSIZE (topic), -ENOMEM, and
 * those of sse_event_encode. An emitter for which there is no memory, or whose queue is full, ends
 * with the reason OVERFLOW, and is counted in `closed`.
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

#ifdef __cplusplus
}
#endif

#endif
