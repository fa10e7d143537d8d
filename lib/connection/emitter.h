/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_EMITTER_H
#define CONNECTION_EMITTER_H

/**
 * The members of an emitter, and the functions of this layer.
 *
 * Locks. `lock` guards every member, unless its comment says that it is fixed, the loop's, the registry's or the
 * chain's. Locks are taken in this order: registry, loop, emitter, marks. No lock is held while an output is written to or a
 * callback runs. Instead, the thread that uses the output or runs on_ready sets `busy`. Other threads only queue,
 * and the busy thread looks for new work before it stops being busy.
 *
 * References. Each emitter has one for its life. Its owner releases it when the emitter has finished, which means
 * that the callbacks at its end have run: see finish.c. Its registry and its loop have none. An emitter leaves its
 * registry before it has finished, and its loop afterwards.
 */

#include "base/heap.h"
#include "base/prefetch.h"
#include "base/process.h"
#include "connection/last_id.h"
#include "connection/marks.h"
#include "connection/tally.h"
#include "connection/timers.h"
#include "data/queue.h"
#include "data/releases.h"
#include "output/output.h"

#include <pthread.h>
#include <stdatomic.h>

/** The registry, as its emitters see it. No lock of an emitter is held during the calls. */
struct emitter_group {
    /** Keeps the registry in memory. */
    void (*ref)(struct emitter_group *group);
    void (*unref)(struct emitter_group *group);
    /** Forgets an emitter that has ended. Does nothing if the registry has forgotten it already. */
    void (*forget)(struct emitter_group *group, struct sse_emitter *emitter, uint64_t now);
    /** The owner of an emitter is done with it. Called once for each emitter that was admitted. */
    void (*done)(struct emitter_group *group);
    /** Ends emitters if the backlog is over the budget. */
    void (*relieve)(struct emitter_group *group, uint64_t now);
    size_t backlog_max; /* SIZE_MAX: no budget */
    struct emitter_tally tally;
};

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
    bool tell_blocked : 1; /* the loop must report SSE_BLOCKED */
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

/** The deadline of its next timer. Lock held. */
static inline uint64_t sse_emitter_deadline(const struct sse_emitter *emitter)
{
    uint64_t deadline =
        sse_timers_deadline(&emitter->timers, sse_emitter_state(emitter), emitter->queue.count > 0);

    return emitter->paused && emitter->state == SSE_STATE_OPEN
               ? deadline_earlier(deadline, sse_emitter_pause(emitter)->deadline)
               : deadline;
}

/* mark.c: tells the owner that there is work. Lock held. */

/** Marks the emitter if its loop's next turn has work for it. */
void sse_emitter_mark(struct sse_emitter *emitter, struct mark_chain *chain);

/** Marks the emitter if it has a loop, even if there is no work. Must not be called once it has finished. */
static inline void sse_emitter_mark_always(struct sse_emitter *emitter, struct mark_chain *chain)
{
    if (!emitter->marks || emitter->marked)
        return;
    emitter->marked = true;
    sse_mark_chain_add(chain, emitter->marks, emitter);
}

void sse_emitter_add_waiter(struct sse_emitter *emitter, struct emitter_waiter *waiter);
void sse_emitter_remove_waiter(struct sse_emitter *emitter, struct emitter_waiter *waiter);
void sse_emitter_wake_waiters(struct sse_emitter *emitter);

/* account.c: counts for its registry. Lock held. */

/** What a turn has counted and not yet added to the tally of a registry. If each delivery changed the tally,
 *  threads would compete for its cache lines. */
struct turn_account {
    struct emitter_group *group; /* a reference, or NULL */
    struct tally_part part;
    struct releases releases; /* of the messages that were written */
};

static inline void sse_turn_account_begin(struct turn_account *account)
{
    account->group = NULL;
    account->part = (struct tally_part){.bytes = 0};
    sse_releases_begin(&account->releases);
}

/** Adds what was counted to the tally, and begins to count for another registry. It does not call `relieve`, so
 *  locks may be held. */
struct tally_part *sse_turn_account_change(struct turn_account *account, struct emitter_group *group);

/** What the turn has counted for a registry. */
static inline struct tally_part *sse_turn_account_part(struct turn_account *account,
                                                       struct emitter_group *group)
{
    return account->group == group ? &account->part : sse_turn_account_change(account, group);
}

/** Tells the tally how many bytes are queued now. `tried`: their owner has tried to write them. `account` may be
 *  NULL. */
void sse_emitter_account(struct sse_emitter *emitter, bool tried, struct turn_account *account);
void sse_emitter_count_dropped(struct sse_emitter *emitter, uint64_t events);
/** Bytes were written; with them `message` was written whole, or no message if it is NULL. `live`: it was no
 *  replay. */
void sse_emitter_count_written(struct sse_emitter *emitter, const struct sse_message *message, size_t bytes,
                               bool live, uint64_t now, struct turn_account *account);
/** Releases the messages that were written, adds what was counted to the tally, and calls `relieve` if the registry
 *  is over its budget. No lock held. */
void sse_turn_account_finish(struct turn_account *account, uint64_t now);
/** The budget for bytes that no owner has tried to write yet. */
size_t sse_group_untried_max(const struct emitter_group *group);
/** Whether the backlog of its registry is over the budget. */
bool sse_group_is_over_budget(const struct emitter_group *group);

/* pause.c: what waits behind a pause. Lock held. */

/** Drops the messages for a gap that is filled, or those for a gap that is not. They do not count as dropped,
 *  because only one of the two groups was to be written. */
void sse_emitter_choose_after_gap(struct sse_emitter *emitter, bool filled);

/** Drops all of it, and counts what the client would have got. If it was not started, nobody has filled a
 * gap. */
void sse_emitter_drop_pause(struct sse_emitter *emitter);

/* ending.c. Lock held. */

/** Begins to end the emitter. False if it has ended already, or is draining and the reason is graceful. After true,
 *  the caller must mark it, and make its registry forget it: sse_emitter_leave does both. */
bool sse_emitter_end(struct sse_emitter *emitter, enum sse_reason reason, int error, uint64_t now);

/** Ends an emitter that has not drained in time. */
bool sse_emitter_end_drain(struct sse_emitter *emitter, uint64_t now);

/** If the emitter is draining and its queue is empty: queues the last chunk or, after that, ends it. */
void sse_emitter_continue_draining(struct sse_emitter *emitter, uint64_t now);

/** Whether a closed emitter ended gracefully. */
bool sse_emitter_ended_gracefully(const struct sse_emitter *emitter);

/** What a call on an emitter that is not open returns; 0 for an open one. */
int sse_emitter_end_error(const struct sse_emitter *emitter);

/* accept.c: into the queue. */

/** What happened to a message. */
enum admission {
    ADMISSION_QUEUED,
    ADMISSION_DROPPED, /* the overflow policy dropped it; the emitter is still open */
    ADMISSION_ENDED,   /* the overflow policy ended the emitter */
    ADMISSION_CLOSED   /* the emitter was draining or had ended before */
};

/** What a registry needs while it queues a message for many emitters. */
struct enqueueing {
    struct mark_chain chain;
    bool behind;    /* an output is far behind, so the publisher must write to it */
    size_t charged; /* bytes that were added to queues, for the tally */
    size_t tried;   /* those of them whose output is full */
    uint32_t references; /* to the message, which the publisher has taken for the queues */
    uint64_t now;
};

/** Queues a published message, and marks the emitter. Takes the lock. The caller must forget an emitter that ended,
 *  and add what was charged to the tally. */
enum admission sse_emitter_enqueue(struct sse_emitter *emitter, struct sse_message *message,
                                   struct enqueueing *enqueueing);

/** Queues a message in an open emitter whose queue is empty, which needs no memory, and takes over a reference of
 *  the caller. If it returns false, nothing has changed; call sse_emitter_accept then. Lock held. */
static inline bool sse_emitter_accept_first(struct sse_emitter *emitter, struct sse_message *message,
                                            uint64_t now)
{
    if (emitter->state != SSE_STATE_OPEN || sse_emitter_pause(emitter) ||
        !sse_queue_push_first(&emitter->queue, message))
        return false;
    emitter->timers.progress = now;
    return true;
}

/** Queues a message of a send. 0, or why it is not accepted. Lock held. */
int sse_emitter_accept(struct sse_emitter *emitter, struct sse_message *message, uint64_t now);

/** Whether a full queue drops events instead of ending the emitter. */
bool sse_emitter_overflow_drops(const struct sse_emitter *emitter);

/** Queues a message that does not count against the limits: a replay, a final event. The emitter must be open. Lock
 *  held. 0 or -ENOMEM. */
int sse_emitter_enqueue_exempt(struct sse_emitter *emitter, struct sse_message *message, uint64_t now);

/** Whether an open emitter is over its limits. False while there is a queue behind a pause. Lock held. */
static inline bool sse_emitter_is_over(const struct sse_emitter *emitter)
{
    return emitter->state == SSE_STATE_OPEN && !sse_emitter_pause(emitter) &&
           sse_queue_is_over(&emitter->queue);
}

/** Applies the overflow policy to an emitter that is over its limits after its owner has tried to
 *  write. Lock held. */
void sse_emitter_judge(struct sse_emitter *emitter, uint64_t now);

/** Whether a publisher must write to the emitter: its output is FD and not known to be full, and it is far behind.
 *  Lock held. */
static inline bool sse_emitter_is_behind(const struct sse_emitter *emitter)
{
    return (emitter->output_kind == OUTPUT_SOCKET || emitter->output_kind == OUTPUT_FILE) &&
           !emitter->blocked && !emitter->busy && emitter->state == SSE_STATE_OPEN &&
           sse_queue_is_half_full(&emitter->queue) && !emitter->opening;
}

/* write.c: out of the queue. Lock held; released while the output is written to. Cancellation disabled. */

static inline void sse_emitter_become_busy(struct sse_emitter *emitter)
{
    emitter->busy = true;
    emitter->busy_thread = pthread_self();
}

static inline bool sse_emitter_others_are_inside(const struct sse_emitter *emitter)
{
    return emitter->busy && !pthread_equal(emitter->busy_thread, pthread_self());
}

/** If the pause is over and the queue is empty, the queue behind the pause becomes the emitter's. */
void sse_emitter_follow_pause(struct sse_emitter *emitter, uint64_t now);

/** Removes bytes that were written or consumed from the queue, and counts them. `account` may be NULL. */
void sse_emitter_count_taken(struct sse_emitter *emitter, size_t size, uint64_t now,
                             struct turn_account *account);

/** To be called when the output has room again. Lock held. */
void sse_emitter_note_room(struct sse_emitter *emitter);

/** Counts a message that was written whole, and releases it. With an account, it is released with the others of the
 *  turn. */
static inline void sse_emitter_count_message(struct sse_emitter *emitter, struct sse_message *message,
                                             struct turn_account *account)
{
    emitter->events += message->events;
    if (message->has_id)
        sse_last_id_set(&emitter->last_id, message, emitter->platform);
    if (account)
        sse_releases_add(&account->releases, message);
    else
        sse_message_release(message);
}

/** Writes until nothing is queued, the output is full, or `writes` writes are done. No other thread is busy. */
void sse_emitter_write(struct sse_emitter *emitter, unsigned writes, uint64_t now,
                       struct turn_account *account);

/** Writes the only message that is queued, of which nothing is written yet. This is the case for nearly every
 *  event. Called by the busy thread. Returns true if the message was written whole, and the emitter is still open
 *  and has nothing queued. Otherwise *result is what the output returned, and nothing is counted. */
bool sse_emitter_write_single(struct sse_emitter *emitter, uint64_t now, struct turn_account *account,
                              ssize_t *result);

/** Continues after a write by the busy thread that returned `result`. */
void sse_emitter_write_on(struct sse_emitter *emitter, ssize_t result, unsigned writes, uint64_t now,
                          struct turn_account *account);

/* due.c */

/** Runs the timers that are due. True if that queued something, or ended the emitter. Lock held. */
bool sse_emitter_run_timers(struct sse_emitter *emitter, uint64_t now);

/** Queues a comment that finds out whether the client is there, unless bytes are queued that do so. Lock held. */
void sse_emitter_queue_ping(struct sse_emitter *emitter, uint64_t now);

/* finish.c: the end, in the owner's thread. */

/** Whether the emitter has ended. If so, the caller must run the callbacks at its end, in the owner's thread, and
 *  not inside the output or a callback. Lock held. */
bool sse_emitter_claim_end(struct sse_emitter *emitter);

/** Runs the callbacks at the end. No lock held, cancellation disabled, after sse_emitter_claim_end. */
void sse_emitter_finish(struct sse_emitter *emitter, uint64_t now);

/** Whether the emitter is not marked. After sse_emitter_finish it will not be marked again. Takes the lock. */
bool sse_emitter_is_done(struct sse_emitter *emitter);

/** Waits until no other thread is busy. Lock held; released meanwhile. */
void sse_emitter_wait_for_others(struct sse_emitter *emitter);

/** Makes the registry of an emitter that has ended forget it, once. No lock held. */
void sse_emitter_forget_ended(struct sse_emitter *emitter, uint64_t now);

/** Tells the registry, once, that the owner is done with the emitter. No lock held. */
void sse_emitter_owner_is_done(struct sse_emitter *emitter);

/* leave.c: the last step of every call that changed something. */

/** Does the work of an emitter without a loop: writes, runs timers and callbacks. In its owner's thread. Lock
 *  held; released meanwhile; cancellation disabled. The caller has its own reference. */
void sse_emitter_work(struct sse_emitter *emitter, uint64_t now);

/** Accounts, wakes waiters and marks. `owner`: if the emitter has no loop, the calling thread is its owner and does
 *  its work. Lock held on entry, released on return. The caller has its own reference. */
void sse_emitter_leave(struct sse_emitter *emitter, bool owner, uint64_t now);

/** Whether a call of send, complete and the like comes from the owner. */
static inline bool sse_emitter_caller_owns(const struct sse_emitter *emitter)
{
    return !emitter->looped && emitter->output_kind != OUTPUT_PULL;
}

/* turn.c: for the loop. */

/** What the loop is to do after a turn of an emitter: bits. */
enum emitter_turn {
    TURN_AGAIN = 1,     /* work is left */
    TURN_ENDED = 2,     /* its end is claimed: finish the emitter */
    TURN_BLOCKED = 4,   /* the output is full: ask for room */
    TURN_SCHEDULE = 8,  /* its next timer is due earlier than the loop knows */
    TURN_FINISHED = 16, /* it has finished, and will not be marked again */
    TURN_RELEASED = 32, /* the last reference is released: free the emitter */
    TURN_INPUT = 64     /* it is busy, and its descriptor has reported something: see sse_loop_follow_turn */
};

/** Why an emitter is served. */
enum turn_cause {
    TURN_FOR_MARK, /* it was marked, and is so no longer */
    TURN_FOR_TIMER,
    TURN_FOR_INPUT /* the loop has handled what its descriptor reported */
};

/** Serves an emitter. No lock held, cancellation disabled. */
unsigned sse_emitter_turn(struct sse_emitter *emitter, enum turn_cause cause, uint64_t now,
                          struct turn_account *account);

/** Reports the end to a reader, with on_ready, if the emitter is armed. No lock held, after sse_emitter_end. */
void sse_emitter_tell_end(struct sse_emitter *emitter);

/** Writes to an emitter that is far behind, for a publisher that has called sse_emitter_become_busy. No lock held,
 *  cancellation disabled, a reference held. */
void sse_emitter_catch_up(struct sse_emitter *emitter, uint64_t now);

/* open.c */

/** Opens an emitter when everything that could fail has succeeded: writes what is queued (FD), and marks the
 *  emitter. No lock held. */
void sse_emitter_open(struct sse_emitter *emitter);

/* info.c */

int64_t sse_emitter_age_ms(const struct sse_emitter *emitter, uint64_t now);

#endif
