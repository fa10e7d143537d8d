/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_EMITTER_H
#define CONNECTION_EMITTER_H

/**
 * The members of an emitter, its memory and its references. The other headers of this layer have the functions of one
 * file each.
 *
 * Locks. `lock` guards every member, unless its comment says that it is fixed, the loop's, the registry's or the
 * chain's. Locks are taken in this order: registry, loop, emitter, marks. No lock is held while an output is written
 * to or a callback runs. Instead, the thread that uses the output or runs on_ready sets `busy`. Other threads only
 * queue, and the busy thread looks for new work before it stops being busy.
 *
 * References. Each emitter has one for its life. Its owner releases it when the emitter has finished, which means
 * that the callbacks at its end have run: see finish.c. Its registry and its loop have none. An emitter leaves its
 * registry before it has finished, and its loop afterwards.
 */

#include "base/heap.h"
#include "base/prefetch.h"
#include "base/process.h"
#include "connection/group.h"
#include "connection/last_id.h"
#include "connection/marks.h"
#include "connection/timers.h"
#include "data/queue.h"
#include "output/output.h"

#include <pthread.h>
#include <stdatomic.h>

/** The members of an emitter that its registry guards with its own lock. */
struct emitter_membership {
    union {
        struct topic *topic; /* of its only subscription; NULL if it has none */
        struct subscription_list *list;
    };
    uint32_t place;    /* among the topic's subscribers, or SUBSCRIPTIONS_LISTED */
    uint32_t position; /* among the members */
    uint64_t joined;   /* how many had joined before it */
};

/* There is a list of subscriptions. */
#define SUBSCRIPTIONS_LISTED UINT32_MAX

/** What only some emitters have, at the end of their block. */
union emitter_extra {
    void (*on_ready)(struct sse_emitter *emitter, unsigned what, void *user);
    void (*on_timeout)(struct sse_emitter *emitter, enum sse_reason reason, void *user);
    void (*on_error)(struct sse_emitter *emitter, int error, void *user);
    void (*on_completion)(struct sse_emitter *emitter, const struct sse_completion *completion, void *user);
    void (*on_release)(void *user);
    struct pause *pause; /* NULL once the queue behind it has become the emitter's */
    struct {
        int fd;
        uint32_t place; /* the loop's: among the emitters that watch the descriptor */
    } watch;
};

enum emitter_extra_place {
    EXTRA_READY,
    EXTRA_TIMEOUT,
    EXTRA_ERROR,
    EXTRA_COMPLETION,
    EXTRA_RELEASE,
    EXTRA_PAUSE,
    EXTRA_WATCH,
    EXTRA_COUNT
};

#define EXTRAS_ALL ((1u << EXTRA_COUNT) - 1)

struct emitter_waiter {
    pthread_cond_t wake;
    struct emitter_waiter *next;
};

/** The queue behind a pause. It exists until the emitter is started and its own queue is empty. */
struct pause {
    struct queue later;
    uint64_t deadline;  /* the emitter must be started by then */
    uint32_t if_gap;    /* messages at the front of `later` to be written if the gap is not filled */
    uint32_t if_filled; /* messages behind those, to be written if it is filled */
};

/*
 * There is one for each client, and nearly all are idle, so every byte counts. The members that a delivery needs
 * are side by side, so that it touches few cache lines. A publish needs those from `timers.progress` to `lock`. A
 * turn needs them too, and those up to `last_id`. lib/README.md has a table.
 */
struct sse_emitter {
    struct timers timers;
    struct marks *marks; /* of its loop; NULL if it has no loop, or no longer has one */
    struct sse_emitter *next_marked; /* while `marked`: the chain's, then the loop's */
    size_t charged; /* the bytes that the group's tally counts as queued */

    /* Fixed before other threads know the emitter, and read without the lock. `state` separates them from the bit
     * fields that change. */
    unsigned extras_set : 7;  /* a bit for each place */
    unsigned output_kind : 2; /* enum output_kind */
    unsigned overflow : 2;    /* enum sse_overflow */
    unsigned looped : 1;      /* it was made with a loop */
    unsigned polled : 1;      /* its loop watches its descriptor */
    unsigned owned : 1;       /* the library closes the descriptor */

    unsigned char state; /* enum sse_state */
    /* Every delivery reads these. */
    bool busy : 1;         /* a thread uses the output, or runs on_ready */
    bool blocked : 1;      /* bytes are queued, and the output is known to be full; PULL: SSE_READABLE was
                              reported, and nobody has read since */
    bool opening : 1;      /* sse_emitter_new has not committed yet */
    bool tried : 1;        /* the group's tally counts the charged bytes as tried, because the output is full */
    bool owes_turn : 1;    /* the loop has found it busy, or must report SSE_BLOCKED */
    bool released : 1;     /* the last reference is released */
    bool has_input : 1;    /* the client has sent something that the loop has not read yet */
    bool is_gone : 1;      /* its descriptor reported an error or a hang-up */
    /* Few deliveries read these. */
    bool flush_again : 1; /* room was reported while busy */
    bool armed : 1;       /* the next bytes, or the end, must be reported with SSE_READABLE */
    bool marked : 1;      /* in the marks of its loop, or in a chain */
    bool paused : 1;
    bool closed_by_owner : 1; /* sse_emitter_close was called, or the output is taken away */
    bool owner_done : 1;      /* its registry knows that its owner is done with it */
    bool last_chunk_queued : 1;
    bool finishing : 1; /* the callbacks at its end have begun, or will begin at once */
    bool counted : 1;   /* what was not written is counted */
    bool finished : 1;  /* the callbacks at its end have returned */
    bool interrupted : 1;
    bool ping_owed : 1; /* sse_emitter_ping was called while bytes were queued; valid until the next peek */
    bool seen_over : 1; /* a turn found the queue over its limits, and nothing was consumed since */
    bool member : 1;    /* it gets what is published; written with the registry's lock held too */
    bool forgotten : 1; /* the registry has counted its end; written with the registry's lock held too */
    /* The loop's, which reads them without the lock. */
    bool half_closed;    /* the client closed its sending side */
    bool asked_for_room; /* the poller is asked for room, see watches.h */
    struct queue queue;
    pthread_mutex_t lock;

    struct output output; /* fixed, except `shown` */
    pthread_t busy_thread;
    uint64_t bytes;
    uint64_t events;
    struct emitter_group *group; /* NULL if it has none, or its owner is done and its end is counted */
    /* The loop's. Its deadline is written with the emitter's lock held too. Its mark is the process that made the
     * emitter. */
    struct heap_node timer;
    struct last_id last_id;

    atomic_uint refs;
    /* The end. */
    unsigned char reason; /* enum sse_reason: why it drains, and then why it ended */
    int16_t error;        /* a negative errno, with the reason */
    struct emitter_waiter *waiters;
    struct emitter_membership membership;
    uint64_t dropped;

    /* Fixed from creation. */
    const struct sse_platform *platform;
    uint64_t created;
    union emitter_extra extras[]; /* those that are set; behind them the identity of a file */
};

/* extras.c */

unsigned sse_extras_set(const struct sse_emitter_options *options);
size_t sse_extras_count(unsigned set);
void sse_extras_copy(union emitter_extra *extras, const struct sse_emitter_options *options);

/** The extra of this kind, or NULL. */
union emitter_extra *sse_emitter_extra(const struct sse_emitter *emitter, enum emitter_extra_place place);

/** The queue behind a pause, or NULL. Lock held. */
static inline struct pause *sse_emitter_pause(const struct sse_emitter *emitter)
{
    return emitter->extras_set >> EXTRA_PAUSE & 1 ? sse_emitter_extra(emitter, EXTRA_PAUSE)->pause : NULL;
}

static inline void sse_emitter_set_pause(struct sse_emitter *emitter, struct pause *pause)
{
    sse_emitter_extra(emitter, EXTRA_PAUSE)->pause = pause;
}

/** The descriptor that is written to or watched; -1 if there is none. */
int sse_emitter_descriptor(const struct sse_emitter *emitter);

/* The memory that a delivery needs is loaded ahead, because most of it is in no near cache. */

static inline void sse_emitter_fetch_to_queue(const struct sse_emitter *emitter)
{
    sse_prefetch(&emitter->timers.progress,
                 offsetof(struct sse_emitter, output) - offsetof(struct sse_emitter, timers.progress));
}

static inline void sse_emitter_fetch_to_write(const struct sse_emitter *emitter)
{
    sse_prefetch(&emitter->timers.heartbeat,
                 offsetof(struct sse_emitter, last_id) - offsetof(struct sse_emitter, timers.heartbeat));
}

/* emitter.c: memory and references. */

static inline bool sse_emitter_is_of_this_process(const struct sse_emitter *emitter)
{
    return process_is_current(emitter->timer.mark);
}

/** The first step of every public call: 0, -EINVAL for NULL, -EPERM in a forked child. */
int sse_emitter_check(const struct sse_emitter *emitter);

/** Checks the options, and makes an emitter with its head, retry and first byte queued. It is in no registry and no
 *  loop yet. It has two references: one for its life, and the caller's. `marks` is that of its loop, or NULL. */
int sse_emitter_allocate(struct sse_emitter **emitter, const struct sse_emitter_options *options,
                         struct marks *marks);

/** Frees an emitter that no other thread knows, without a callback. */
void sse_emitter_discard(struct sse_emitter *emitter);

static inline void sse_emitter_keep(struct sse_emitter *emitter)
{
    atomic_fetch_add_explicit(&emitter->refs, 1, memory_order_relaxed);
}

/** Whether the reference for its life is not released yet. A loop releases it when it takes the last mark. Lock
 * held, or in a forked child. */
static inline bool sse_emitter_has_life_reference(const struct sse_emitter *emitter)
{
    return !emitter->finished || emitter->marked;
}

/** Releases a reference. If it may be the last one, the emitter must have finished. No lock held. */
void sse_emitter_release(struct sse_emitter *emitter);

/** Releases the reference that a public call took. A callback may have released the program's last reference
 *  meanwhile; without a loop, the emitter is then closed. */
void sse_emitter_let_go(struct sse_emitter *emitter);

/** Runs on_release and frees the emitter. For its loop, which finds `released` set, and for the end of the loop. */
void sse_emitter_free(struct sse_emitter *emitter);

static inline enum sse_state sse_emitter_state(const struct sse_emitter *emitter)
{
    return (enum sse_state)emitter->state;
}

/** The queue for new events: the emitter's, or the one behind a pause. Lock held. */
static inline struct queue *sse_emitter_tail(struct sse_emitter *emitter)
{
    return sse_emitter_pause(emitter) ? &sse_emitter_pause(emitter)->later : &emitter->queue;
}

/** The bytes that are queued, with those behind a pause. Lock held. */
static inline size_t sse_emitter_backlog(const struct sse_emitter *emitter)
{
    const struct pause *pause = sse_emitter_pause(emitter);

    return emitter->queue.bytes + (pause ? pause->later.bytes : 0);
}

/** Whether an open emitter is over its limits. False while there is a queue behind a pause. Lock held. */
static inline bool sse_emitter_is_over(const struct sse_emitter *emitter)
{
    return emitter->state == SSE_STATE_OPEN && !sse_emitter_pause(emitter) &&
           sse_queue_is_over(&emitter->queue);
}

/** The deadline of its next timer. Lock held. */
static inline uint64_t sse_emitter_deadline(const struct sse_emitter *emitter)
{
    uint64_t deadline =
        sse_timers_deadline(&emitter->timers, sse_emitter_state(emitter), emitter->queue.count > 0);

    return emitter->paused && emitter->state == SSE_STATE_OPEN
               ? deadline_earlier(deadline, sse_emitter_pause(emitter)->deadline)
               : deadline;
}

/* info.c */

int64_t sse_emitter_age_ms(const struct sse_emitter *emitter, uint64_t now);

#endif
