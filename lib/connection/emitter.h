/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_EMITTER_H
#define CONNECTION_EMITTER_H

/**
 * The inside of an emitter, for the files of this layer and for the registry.
 *
 * Locks. `lock` guards every member that is not said to be fixed or the registry's. Nobody holds
 * it while a sink or a hook runs. The thread inside the sink, on_ready or on_blocked is recorded
 * in `busy` instead: others only queue, and that thread looks again before it leaves. Hooks at the
 * end run once `busy` is clear, in the one thread that sets `finishing`.
 */

#include "base/heap.h"
#include "base/process.h"
#include "connection/last_id.h"
#include "connection/tally.h"
#include "connection/timers.h"
#include "data/queue.h"
#include "output/sink.h"

#include <pthread.h>
#include <stdatomic.h>

/** What a registry is to its emitters. No lock of the emitter is held during the calls. */
struct emitter_owner {
    /** Keeps the owner in memory; may be called with the lock of an emitter held. */
    void (*hold)(struct emitter_owner *owner);
    void (*release)(struct emitter_owner *owner);
    /** The emitter's deadline moved nearer, or, if `ready`, it became ready, blocked or ended. */
    void (*notice)(struct emitter_owner *owner, struct sse_emitter *emitter, bool ready);
    /** The emitter has ended, with so many bytes queued: forget it. */
    void (*forget)(struct emitter_owner *owner, struct sse_emitter *emitter, size_t bytes_left);
    /** The backlog of all may be more than backlog_max. */
    void (*relieve)(struct emitter_owner *owner, uint64_t now);
    size_t backlog_max; /* SIZE_MAX for none */
    struct emitter_tally tally;
};

/** How an emitter stands with its registry: bits. */
enum emitter_standing {
    STANDING_READY = 1,   /* it is in the list of the ready */
    STANDING_LEAVING = 2, /* completed by the registry for a newer one */
    STANDING_HELD = 4     /* it is in a roster of what is held, and will be seen to */
};

/** A doubly linked place in a list of emitters. */
struct emitter_link {
    struct sse_emitter *previous;
    struct sse_emitter *next;
};

/** The members of an emitter that belong to its registry, guarded by the registry's lock. */
struct emitter_membership {
    struct heap_node timer; /* marked with the position among the members. The deadline is written with the
                               emitter's lock held too */
    union {
        struct topic *topic; /* of its only subscription; NULL: it has none */
        struct subscription_list *list;
    };
    uint32_t place;  /* among the topic's subscribers, or SUBSCRIPTIONS_LISTED */
    uint32_t joined; /* how many had joined, or subscribed, before */
    struct emitter_link ready;
};

/* More than one subscription, or room for them. */
#define SUBSCRIPTIONS_LISTED UINT32_MAX

/** One of the hooks that the host has set. */
union emitter_hook {
    void (*on_ready)(struct sse_emitter *emitter, void *user);
    void (*on_blocked)(struct sse_emitter *emitter, void *user);
    void (*on_timeout)(struct sse_emitter *emitter, enum sse_reason reason, void *user);
    void (*on_error)(struct sse_emitter *emitter, int error, void *user);
    void (*on_completion)(struct sse_emitter *emitter, const struct sse_completion *completion, void *user);
    void (*on_release)(void *user);
};

enum emitter_hook_place {
    HOOK_READY,
    HOOK_BLOCKED,
    HOOK_TIMEOUT,
    HOOK_ERROR,
    HOOK_COMPLETION,
    HOOK_RELEASE,
    HOOK_COUNT
};

#define HOOKS_ALL ((1u << HOOK_COUNT) - 1)

struct emitter_waiter {
    pthread_cond_t wake;
    struct emitter_waiter *next;
};

/** What an emitter leaves when it ends, for the thread that runs its hooks. */
struct emitter_remains {
    size_t bytes;             /* that were queued */
    struct sse_message *torn; /* a batch of which the client has some events, or NULL; a reference */
    struct sse_str torn_id;   /* of the last of these that has an id */
};

/*
 * There is one for each client, and nearly all are idle: every byte counts here. The members stand in the
 * order in which a delivery comes to them, so that it touches three or four lines of the cache; those that
 * are seldom needed come last.
 */
struct sse_emitter {
    pthread_mutex_t lock;
    atomic_uint refs;

    /* Fixed, and read without the lock: `state` keeps them apart from the bits behind it. */
    unsigned hooks_set : 6; /* a bit for each place */
    unsigned sink_kind : 2; /* enum sink_kind */

    unsigned char state; /* enum sse_state */
    bool busy : 1;
    bool flush_again : 1; /* asked for while busy */
    bool telling : 1;     /* on_blocked runs */
    bool blocked : 1;     /* on_blocked has been told */
    bool armed : 1;       /* on_ready is owed */
    bool detached : 1;    /* the sink belongs to the host again */
    bool last_chunk_queued : 1;
    bool finishing : 1; /* the hooks at the end have begun */
    bool interrupted : 1;
    bool notable : 1;      /* became ready, blocked or ended, and the owner does not know */
    unsigned overflow : 2; /* enum sse_overflow, fixed */

    struct queue queue;
    struct timers timers;
    pthread_t busy_thread;
    struct sink sink; /* fixed, but for what a pull emitter has shown */
    uint64_t bytes;
    uint64_t events;
    struct emitter_owner *owner; /* written with the owner's lock held too */
    struct emitter_waiter *waiters;
    size_t charged; /* the backlog that the owner's tally counts for this emitter */
    struct emitter_membership membership;

    struct last_id last_id;
    uint64_t dropped;

    /* Fixed from creation. */
    const struct sse_host *host;
    uint64_t created;
    pid_t process;

    unsigned char standing;     /* enum emitter_standing; guarded by the registry's lock, as the membership */
    unsigned char reason;       /* enum sse_reason: while draining what began it, then what ended it */
    int16_t error;              /* a negative errno; of the same time as the reason */
    union emitter_hook hooks[]; /* those that are set, fixed; behind them the file of the sink */
};

/* emitter.c */

/** The first step of every public call: 0, -EINVAL for NULL, -EPERM in a forked child. */
int sse_emitter_check(const struct sse_emitter *emitter);

/** The last reference was given back: detaches it if it has not ended, and frees it. */
void sse_emitter_free_unreferenced(struct sse_emitter *emitter);

/** sse_emitter_unref for a reference that a call took for itself: the call has asked for the process. */
static inline void sse_emitter_give_back(struct sse_emitter *emitter)
{
    if (atomic_fetch_sub_explicit(&emitter->refs, 1, memory_order_acq_rel) == 1)
        sse_emitter_free_unreferenced(emitter);
}

/** sse_emitter_ref for one that is there. */
static inline void sse_emitter_hold(struct sse_emitter *emitter)
{
    atomic_fetch_add_explicit(&emitter->refs, 1, memory_order_relaxed);
}

/** Ends it as sse_emitter_complete and complete_with_error do. Takes the lock. */
int sse_emitter_end_at(struct sse_emitter *emitter, enum sse_reason reason, int error, uint64_t now);

/* send.c */

/** What became of a message. */
enum admission {
    ADMISSION_QUEUED,
    ADMISSION_DROPPED, /* by the overflow policy; the emitter goes on */
    ADMISSION_ENDED,   /* the emitter has ended over it */
    ADMISSION_CLOSED   /* the emitter had begun to end before */
};

/** Queues a message in an open emitter whose queue is empty, which never fails; false if it is not so, or
 *  too large. Lock held. */
static inline bool sse_emitter_accept_first(struct sse_emitter *emitter, struct sse_message *message,
                                            uint64_t now)
{
    if (emitter->state != SSE_STATE_OPEN || !sse_queue_push_first(&emitter->queue, message))
        return false;
    emitter->timers.progress = now;
    return true;
}

/** sse_emitter_enqueue where it is not so simple. Lock held. */
enum admission sse_emitter_enqueue_behind(struct sse_emitter *emitter, struct sse_message *message,
                                          uint64_t now);

/** Queues a message. Writes nothing: emitter_service does. For the registry: takes the lock. */
static inline enum admission sse_emitter_enqueue(struct sse_emitter *emitter, struct sse_message *message,
                                                 uint64_t now)
{
    enum admission admission = ADMISSION_QUEUED;

    pthread_mutex_lock(&emitter->lock);
    if (!sse_emitter_accept_first(emitter, message, now))
        admission = sse_emitter_enqueue_behind(emitter, message, now);
    pthread_mutex_unlock(&emitter->lock);
    return admission;
}

/** The same while its owner holds writing back. `held`: the owner will see to what is queued already. */
enum admission sse_emitter_enqueue_held(struct sse_emitter *emitter, struct sse_message *message,
                                        uint64_t now, bool held);

/** Queues a message whatever the limits say: what the history holds is in memory already. Lock
 *  held. 0, -ENOMEM, or why an emitter that is not open takes nothing. */
int sse_emitter_enqueue_unlimited(struct sse_emitter *emitter, struct sse_message *message, uint64_t now);

/** Tells the owner's tally what changed. Lock held. */
static inline void sse_emitter_account(struct sse_emitter *emitter)
{
    /* What has ended waits for nothing, even if its sink still looks at the bytes. */
    size_t bytes = emitter->owner && emitter->state != SSE_STATE_CLOSED ? emitter->queue.bytes : 0;

    if (emitter->owner && bytes != emitter->charged)
        atomic_fetch_add_explicit(&emitter->owner->tally.backlog, bytes - emitter->charged,
                                  memory_order_relaxed);
    emitter->charged = bytes;
}

void sse_emitter_count_dropped(struct sse_emitter *emitter, uint64_t events);

/** How an emitter stands when a call on it returns. */
struct emitter_outcome {
    int error; /* 0, or the errno if it has ended other than gracefully */
    bool queued;
};

/** Writes what is queued and runs what is owed. Takes the lock. */
struct emitter_outcome sse_emitter_service(struct sse_emitter *emitter, uint64_t now);

/* tick.c */

/** Runs the timers that are due. Takes the lock. */
void sse_emitter_tick_at(struct sse_emitter *emitter, uint64_t now);

/** The deadline of its next timer. Lock held. */
static inline uint64_t sse_emitter_deadline(const struct sse_emitter *emitter)
{
    return sse_timers_deadline(&emitter->timers, (enum sse_state)emitter->state, emitter->queue.count > 0);
}

/** The deadline that the owner knows of. Written with the owner's lock held too. */
static inline uint64_t sse_emitter_scheduled(const struct sse_emitter *emitter)
{
    return emitter->membership.timer.deadline;
}

/* ending.c */

/** Begins to end it. False if that comes too late. Lock held. */
bool sse_emitter_end(struct sse_emitter *emitter, enum sse_reason reason, int error, uint64_t now);

/** The end of an emitter that has not drained in time. Lock held. */
bool sse_emitter_end_drain(struct sse_emitter *emitter, uint64_t now);

/** What is still queued at the end is lost to this client, and counted so. What a peek showed stays in
 *  memory for its reader. Once, by the thread that sets `finishing`, and not while anybody is inside the
 *  sink. Lock held. */
struct emitter_remains sse_emitter_drop_queue(struct sse_emitter *emitter);

/** For a closed one: whether the stream came to a proper end. Lock held. */
bool sse_emitter_ended_gracefully(const struct sse_emitter *emitter);

/** What a call on an emitter that is not open returns; 0 for an open one. Lock held. */
int sse_emitter_end_error(const struct sse_emitter *emitter);

/** The hooks at the end, without the lock and with cancellation off, in the one thread that may. Gives the
 *  reference to the torn message back. */
void sse_emitter_run_end_hooks(struct sse_emitter *emitter, struct emitter_owner *owner,
                               const struct emitter_remains *remains, uint64_t now);

/* hooks.c */

/** The bits of the hooks that are set. */
unsigned sse_hooks_set(const struct sse_emitter_options *options);
size_t sse_hooks_count(unsigned set);
void sse_hooks_copy(union emitter_hook *hooks, const struct sse_emitter_options *options);

/** The hook at this place, or NULL. */
const union emitter_hook *sse_emitter_hook(const struct sse_emitter *emitter, enum emitter_hook_place place);

/* flush.c */

/** Counts a message that has left whole, with its reference. Lock held. */
static inline void sse_emitter_count_message(struct sse_emitter *emitter, struct sse_message *message)
{
    emitter->events += message->events;
    if (message->has_id)
        sse_last_id_set(&emitter->last_id, message, emitter->host);
    sse_message_give_back(message);
}

/** Counts off bytes that the sink or the host took. Lock held. */
void sse_emitter_count_taken(struct sse_emitter *emitter, size_t size, uint64_t now);

/** Goes on from what a write returned, as sse_emitter_write_queue does. */
bool sse_emitter_write_on(struct sse_emitter *emitter, ssize_t result, uint64_t now);

/** Writes until the queue is empty or the sink is full. True if the sink is full. Lock and `busy`
 *  held, cancellation off; the lock is let go meanwhile. */
bool sse_emitter_write_queue(struct sse_emitter *emitter, uint64_t now);

/** Writes or wakes, whatever the drain, unless a thread is busy with it: then that thread will.
 *  Lock held, cancellation off; the lock is let go meanwhile. */
void sse_emitter_output(struct sse_emitter *emitter, uint64_t now);

/** Goes on with sse_emitter_output from what a write returned. Lock and `busy` held, cancellation off. */
void sse_emitter_output_on(struct sse_emitter *emitter, ssize_t result, uint64_t now);

static inline void sse_emitter_become_busy(struct sse_emitter *emitter)
{
    emitter->busy = true;
    emitter->busy_thread = pthread_self();
}

/** Runs on_blocked, once until the queue has been empty again. Lock and `busy` held, cancellation off;
 *  the lock is let go meanwhile. */
void sse_emitter_tell_blocked(struct sse_emitter *emitter);

/* wait.c: threads that sleep until the emitter changes. Lock held. */

void sse_emitter_add_waiter(struct sse_emitter *emitter, struct emitter_waiter *waiter);
void sse_emitter_remove_waiter(struct sse_emitter *emitter, struct emitter_waiter *waiter);
void sse_emitter_wake_waiters(struct sse_emitter *emitter);

/* info.c */

int64_t sse_emitter_age_ms(const struct sse_emitter *emitter, uint64_t now);

/* leave.c */

/** For an open emitter with an empty queue: nobody has to be told. The owner knows its deadline or one before
 *  it: who told the owner of a deadline while bytes waited has charged them, and with none waiting it only
 *  moves away. Lock held. */
static inline bool sse_emitter_owes_nothing(const struct sse_emitter *emitter)
{
    return !emitter->charged && !emitter->notable && !emitter->waiters;
}

/** The way out of every public call that changed something: output, then notices to the owner,
 *  then the hooks at the end. Lock held on entry, released on return. The caller's reference may
 *  be gone afterwards. */
struct emitter_outcome sse_emitter_leave(struct sse_emitter *emitter, uint64_t now);

/** The same for a caller that has a reference of its own, and has switched cancellation off: a cancelled
 *  thread must take neither a sink nor a hook with it. `part`: where to count for the owner's tally; NULL, or
 *  a part of another tally, counts there at once. */
struct emitter_outcome sse_emitter_settle(struct sse_emitter *emitter, uint64_t now, struct tally_part *part);

#endif
