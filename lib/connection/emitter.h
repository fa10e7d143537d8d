/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_EMITTER_H
#define CONNECTION_EMITTER_H

/**
 * The inside of an emitter.
 *
 * Locks. `lock` guards every member that is not said to be fixed, the loop's or the registry's. Order:
 * registry, loop, emitter, marks. Nobody holds a lock while an output is written to or a callback runs. The
 * thread that uses the output or runs on_ready is recorded in `busy` instead: others only queue, and that
 * thread looks again before it leaves.
 *
 * References. An emitter that has not ended has one for its life, which its owner drops when it has
 * finished: see finish.c. Its registry and its loop hold none: an emitter leaves its registry before it
 * has finished, and its loop afterwards.
 */

#include "base/heap.h"
#include "base/process.h"
#include "connection/last_id.h"
#include "connection/marks.h"
#include "connection/tally.h"
#include "connection/timers.h"
#include "data/queue.h"
#include "output/output.h"

#include <pthread.h>
#include <stdatomic.h>

/** What a registry is to its emitters. No lock of an emitter is held during the calls. */
struct emitter_group {
    /** Keeps the registry in memory. */
    void (*ref)(struct emitter_group *group);
    void (*unref)(struct emitter_group *group);
    /** The emitter has ended: forget it. Nothing if the registry has done so already. */
    void (*forget)(struct emitter_group *group, struct sse_emitter *emitter, uint64_t now);
    /** The owner of an emitter is done with it. Once for each emitter that was admitted. */
    void (*done)(struct emitter_group *group);
    /** The backlog may be over the budget. */
    void (*relieve)(struct emitter_group *group, uint64_t now);
    size_t backlog_max; /* SIZE_MAX: no budget */
    struct emitter_tally tally;
};

/** The members of an emitter that its registry guards with its own lock. */
struct emitter_membership {
    union {
        struct topic *topic; /* of its only subscription; NULL: it has none */
        struct subscription_list *list;
    };
    uint32_t place;    /* among the topic's subscribers, or SUBSCRIPTIONS_LISTED */
    uint32_t position; /* among the members */
    uint64_t joined;   /* how many had joined before */
};

/* More than one subscription, or room for them. */
#define SUBSCRIPTIONS_LISTED UINT32_MAX

/** What only some emitters have, at the end of their block. */
union emitter_extra {
    void (*on_ready)(struct sse_emitter *emitter, unsigned what, void *user);
    void (*on_timeout)(struct sse_emitter *emitter, enum sse_reason reason, void *user);
    void (*on_error)(struct sse_emitter *emitter, int error, void *user);
    void (*on_completion)(struct sse_emitter *emitter, const struct sse_completion *completion, void *user);
    void (*on_release)(void *user);
    struct pause *pause; /* NULL: what was behind it has followed */
    struct {
        int fd;
        uint32_t place; /* the loop's: among those that watch it */
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

/** What waits behind a pause, until the emitter is started and its queue is empty. */
struct pause {
    struct queue later;
    uint64_t deadline;  /* to be started by then */
    uint32_t if_gap;    /* messages at the front of `later` that are for a gap that is not filled */
    uint32_t if_filled; /* and, behind them, those for a gap that is filled */
};

/*
 * There is one for each client, and nearly all are idle: every byte counts here. The members stand in the
 * order in which a delivery comes to them, so that it touches few lines of the cache.
 */
struct sse_emitter {
    pthread_mutex_t lock;
    atomic_uint refs;

    /* Fixed before others know it, and read without the lock: `state` keeps them apart from the bits behind
     * it. */
    unsigned extras_set : 7;  /* a bit for each place */
    unsigned output_kind : 2; /* enum output_kind */
    unsigned overflow : 2;    /* enum sse_overflow */
    unsigned looped : 1;      /* it was made with a loop */
    unsigned polled : 1;      /* its loop watches its descriptor */
    unsigned owned : 1;       /* the library closes the descriptor */

    unsigned char state; /* enum sse_state */
    /* A delivery looks at these together. */
    bool busy : 1;
    bool blocked : 1;      /* with bytes queued: the output is known to be full, or the reader was told and has
                              not come */
    bool opening : 1;      /* sse_emitter_new has not committed yet */
    bool tried : 1;        /* the group's tally counts the charged bytes as tried: an output is full */
    bool tell_blocked : 1; /* the loop owes SSE_BLOCKED */
    bool released : 1;     /* the last reference is released */
    bool has_input : 1;    /* the client has sent something; the loop has not read it */
    bool is_gone : 1;      /* its descriptor reported an error or a hang-up */
    /* And seldom at these. */
    bool flush_again : 1; /* room was reported while busy */
    bool armed : 1;       /* SSE_READABLE is owed */
    bool marked : 1;      /* in the marks of its loop, or in a chain */
    bool paused : 1;
    bool closed_by_owner : 1; /* sse_emitter_close, or the output is taken away */
    bool owner_done : 1;      /* its registry has been told so */
    bool last_chunk_queued : 1;
    bool finishing : 1; /* the callbacks at the end have begun */
    bool counted : 1;   /* before them: what was not written has been counted */
    bool finished : 1;  /* they have returned */
    bool interrupted : 1;
    bool ping_owed : 1; /* a ping came while bytes were queued; counts until the next peek */
    bool seen_over : 1; /* a turn found the queue over its limits, and nothing was consumed since */
    bool member : 1;    /* it gets what is published; written with the registry's lock held too */
    bool forgotten : 1; /* the registry has counted its end; written with the registry's lock held too */
    /* The loop's, which reads them without the lock. */
    bool half_closed;    /* the client closed its sending side */
    bool asked_for_room; /* the poller is asked, see watches.h */
    /* Of the end. */
    unsigned char reason; /* enum sse_reason: while draining what began it, then what ended it */
    int16_t error;        /* a negative errno, with the reason */

    struct queue queue;
    struct timers timers;
    struct marks *marks; /* of its loop; NULL: it has none any more */
    struct sse_emitter *next_marked;
    pthread_t busy_thread;
    struct output output; /* fixed, but for what a PULL emitter has shown */
    uint64_t bytes;
    uint64_t events;
    struct emitter_group *group; /* NULL: none, or its owner is done and the end is counted */
    size_t charged;              /* the bytes that the group's tally counts as queued */
    struct emitter_waiter *waiters;

    /* The loop's; its deadline is written with the emitter's lock held too. The mark is the process of the
     * emitter. */
    struct heap_node timer;
    struct emitter_membership membership;
    struct last_id last_id;
    uint64_t dropped;

    /* Fixed from creation. */
    const struct sse_platform *platform;
    uint64_t created;
    union emitter_extra extras[]; /* those that are set; behind them the file of the output */
};

/* extras.c */

unsigned sse_extras_set(const struct sse_emitter_options *options);
size_t sse_extras_count(unsigned set);
void sse_extras_copy(union emitter_extra *extras, const struct sse_emitter_options *options);

/** The extra at this place, or NULL. */
union emitter_extra *sse_emitter_extra(const struct sse_emitter *emitter, enum emitter_extra_place place);

/** What waits behind a pause, or NULL. Lock held. */
static inline struct pause *sse_emitter_pause(const struct sse_emitter *emitter)
{
    return emitter->extras_set >> EXTRA_PAUSE & 1 ? sse_emitter_extra(emitter, EXTRA_PAUSE)->pause : NULL;
}

static inline void sse_emitter_set_pause(struct sse_emitter *emitter, struct pause *pause)
{
    sse_emitter_extra(emitter, EXTRA_PAUSE)->pause = pause;
}

/** The descriptor that is written to or watched; -1: none. */
int sse_emitter_descriptor(const struct sse_emitter *emitter);

/* emitter.c: memory and references. */

static inline bool sse_emitter_is_of_this_process(const struct sse_emitter *emitter)
{
    return process_is_current(emitter->timer.mark);
}

/** The first step of every public call: 0, -EINVAL for NULL, -EPERM in a forked child. */
int sse_emitter_check(const struct sse_emitter *emitter);

/** Checks the options, and makes an emitter in memory with its head, retry and first byte queued: in no
 *  registry, in no loop, with two references: the life's and the caller's. `marks`: of the loop, or NULL. */
int sse_emitter_allocate(struct sse_emitter **emitter, const struct sse_emitter_options *options,
                         struct marks *marks);

/** Frees an emitter that nobody else knows, without a callback. */
void sse_emitter_discard(struct sse_emitter *emitter);

static inline void sse_emitter_keep(struct sse_emitter *emitter)
{
    atomic_fetch_add_explicit(&emitter->refs, 1, memory_order_relaxed);
}

/** Whether the reference of its life is not dropped yet: a loop drops it when it takes the last mark. Lock
 * held, or in a forked child. */
static inline bool sse_emitter_has_life_reference(const struct sse_emitter *emitter)
{
    return !emitter->finished || emitter->marked;
}

/** Releases a reference. The emitter has finished if it may be the last. No lock held. */
void sse_emitter_release(struct sse_emitter *emitter);

/** The same at the end of a call, in which a callback may have released the program's last reference: without
 *  a loop that is a close. */
void sse_emitter_let_go(struct sse_emitter *emitter);

/** Runs on_release and frees it. For its loop, which finds `released` set, and for the end of the loop. */
void sse_emitter_free(struct sse_emitter *emitter);

static inline enum sse_state sse_emitter_state(const struct sse_emitter *emitter)
{
    return (enum sse_state)emitter->state;
}

/** What has the events that come now: the queue, or what waits behind a pause. Lock held. */
static inline struct queue *sse_emitter_tail(struct sse_emitter *emitter)
{
    return sse_emitter_pause(emitter) ? &sse_emitter_pause(emitter)->later : &emitter->queue;
}

/** The bytes that are queued, with those that wait behind a pause. Lock held. */
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

/* mark.c: telling the owner that there is work. Lock held. */

/** Marks the emitter for its loop's next turn, if there is work for it. */
void sse_emitter_mark(struct sse_emitter *emitter, struct mark_chain *chain);

/** Marks it whether there is work or not, unless it has no loop. Not once it has finished. */
void sse_emitter_mark_always(struct sse_emitter *emitter, struct mark_chain *chain);

void sse_emitter_add_waiter(struct sse_emitter *emitter, struct emitter_waiter *waiter);
void sse_emitter_remove_waiter(struct sse_emitter *emitter, struct emitter_waiter *waiter);
void sse_emitter_wake_waiters(struct sse_emitter *emitter);

/* account.c: what its registry counts. Lock held. */

/** What a turn has counted and not yet added to the tally of a registry: threads would else pass its cache
 *  lines to and fro with every delivery. */
struct turn_account {
    struct emitter_group *group; /* a reference, or NULL */
    struct tally_part part;
};

/** The account changes to the registry of another emitter. Nothing is relieved: locks may be held. */
struct tally_part *sse_turn_account_change(struct turn_account *account, struct emitter_group *group);

/** What the turn has counted for a registry. */
static inline struct tally_part *sse_turn_account_part(struct turn_account *account,
                                                       struct emitter_group *group)
{
    return account->group == group ? &account->part : sse_turn_account_change(account, group);
}

/** Tells the tally what is queued now. `tried`: an output had the chance to take it. `account` may be NULL.
 */
void sse_emitter_account(struct sse_emitter *emitter, bool tried, struct turn_account *account);
void sse_emitter_count_dropped(struct sse_emitter *emitter, uint64_t events);
/** Bytes were written, and `message` whole with them; NULL: none. `live`: it was no replay. */
void sse_emitter_count_written(struct sse_emitter *emitter, const struct sse_message *message, size_t bytes,
                               bool live, uint64_t now, struct turn_account *account);
/** Adds what the turn has counted, and relieves a registry over its budget. No lock held. */
void sse_turn_account_finish(struct turn_account *account, uint64_t now);
/** The budget for bytes that no owner has tried to write yet. */
size_t sse_group_untried_max(const struct emitter_group *group);
/** Whether the backlog of its registry is over the budget. */
bool sse_group_is_over_budget(const struct emitter_group *group);

/* ending.c. Lock held. */

/** Begins to end it. False if that comes too late. Whoever calls forgets it in its registry and marks it:
 *  sse_emitter_leave does. */
bool sse_emitter_end(struct sse_emitter *emitter, enum sse_reason reason, int error, uint64_t now);

/** The end of an emitter that has not drained in time. */
bool sse_emitter_end_drain(struct sse_emitter *emitter, uint64_t now);

/** Nothing is queued and nothing follows: the last chunk, then the end, if it is draining. */
void sse_emitter_continue_draining(struct sse_emitter *emitter, uint64_t now);

/** For a closed one: whether the stream came to a proper end. */
bool sse_emitter_ended_gracefully(const struct sse_emitter *emitter);

/** What a call on an emitter that is not open returns; 0 for an open one. */
int sse_emitter_end_error(const struct sse_emitter *emitter);

/* accept.c: into the queue. */

/** What became of a message. */
enum admission {
    ADMISSION_QUEUED,
    ADMISSION_DROPPED, /* by the overflow policy; the emitter goes on */
    ADMISSION_ENDED,   /* the emitter has ended over it */
    ADMISSION_CLOSED   /* the emitter had begun to end before */
};

/** What a registry asks for and learns while it queues a message for many. */
struct enqueueing {
    struct mark_chain chain;
    bool behind;    /* an output is far behind, and the publisher is to write to it */
    size_t charged; /* bytes that were added to queues: for the tally */
    size_t tried;   /* of those, the bytes behind an output that is full */
    uint64_t now;
};

/** Queues a message for the registry that it is a member of, and marks the emitter. Takes the lock. The caller
 *  forgets an emitter that ended, and gives what was charged to the tally. */
enum admission sse_emitter_enqueue(struct sse_emitter *emitter, struct sse_message *message,
                                   struct enqueueing *enqueueing);

/** Queues a message in an open emitter whose queue is empty, which needs no memory. False: nothing happened,
 *  and sse_emitter_accept knows why. Lock held. */
static inline bool sse_emitter_accept_first(struct sse_emitter *emitter, struct sse_message *message,
                                            uint64_t now)
{
    if (emitter->state != SSE_STATE_OPEN || sse_emitter_pause(emitter) ||
        !sse_queue_push_first(&emitter->queue, message))
        return false;
    emitter->timers.progress = now;
    return true;
}

/** Queues a message of a send: 0, or why it is not accepted. Lock held. */
int sse_emitter_accept(struct sse_emitter *emitter, struct sse_message *message, uint64_t now);

/** Whether a full queue costs the event, and not the emitter. */
bool sse_emitter_overflow_drops(const struct sse_emitter *emitter);

/** Queues a message that does not count against the limits: a replay, a final event. It is open; lock held. 0 or
 *  -ENOMEM. */
int sse_emitter_enqueue_exempt(struct sse_emitter *emitter, struct sse_message *message, uint64_t now);

/** Whether there is something to judge. One that drains, or waits behind a pause, is left alone. Lock held.
 */
static inline bool sse_emitter_is_over(const struct sse_emitter *emitter)
{
    return emitter->state == SSE_STATE_OPEN && !sse_emitter_pause(emitter) &&
           sse_queue_is_over(&emitter->queue);
}

/** An output that was tried is still over its limits: applies the overflow policy. Lock held. */
void sse_emitter_judge(struct sse_emitter *emitter, uint64_t now);

/** Whether a publisher is to write to it itself: an FD that is far behind and not known to be full. Lock
 *  held. */
static inline bool sse_emitter_is_behind(const struct sse_emitter *emitter)
{
    return (emitter->output_kind == OUTPUT_SOCKET || emitter->output_kind == OUTPUT_FILE) &&
           !emitter->blocked && !emitter->busy && emitter->state == SSE_STATE_OPEN &&
           sse_queue_is_half_full(&emitter->queue);
}

/* write.c: out of the queue. Lock held; let go while the output is written to. Cancellation off. */

static inline void sse_emitter_become_busy(struct sse_emitter *emitter)
{
    emitter->busy = true;
    emitter->busy_thread = pthread_self();
}

static inline bool sse_emitter_others_are_inside(const struct sse_emitter *emitter)
{
    return emitter->busy && !pthread_equal(emitter->busy_thread, pthread_self());
}

/** What waited behind a pause follows, if the pause is over and what went before it is written. */
void sse_emitter_follow_pause(struct sse_emitter *emitter, uint64_t now);

/** Subtracts bytes that the output or the reader took. `account` may be NULL. */
void sse_emitter_count_taken(struct sse_emitter *emitter, size_t size, uint64_t now,
                             struct turn_account *account);

/** The output has room again. Lock held. */
void sse_emitter_note_room(struct sse_emitter *emitter);

/** Counts a message that was written whole, and releases it. */
static inline void sse_emitter_count_message(struct sse_emitter *emitter, struct sse_message *message)
{
    emitter->events += message->events;
    if (message->has_id)
        sse_last_id_set(&emitter->last_id, message, emitter->platform);
    sse_message_release(message);
}

/** Writes until nothing is queued, the output is full, or `writes` writes are done. Nobody is inside. */
void sse_emitter_write(struct sse_emitter *emitter, unsigned writes, uint64_t now,
                       struct turn_account *account);

/** Writes the one message that is queued, of which nothing is written: the way of nearly every event. True if
 * it was written whole, and the emitter is open still with nothing queued; otherwise *result is what the
 *  output returned, and nothing is counted. As the busy thread. */
bool sse_emitter_write_single(struct sse_emitter *emitter, uint64_t now, struct turn_account *account,
                              ssize_t *result);

/** Goes on from what a write returned, of one that the caller has made as the busy thread. */
void sse_emitter_write_on(struct sse_emitter *emitter, ssize_t result, unsigned writes, uint64_t now,
                          struct turn_account *account);

/* due.c */

/** Runs the timers that are due. True if that gave more to write, or ended it. Lock held. */
bool sse_emitter_run_timers(struct sse_emitter *emitter, uint64_t now);

/** Finds out whether the client is there, if nothing is queued that does. Lock held. */
void sse_emitter_queue_ping(struct sse_emitter *emitter, uint64_t now);

/* finish.c: the end, in the owner's thread. */

/** Whether it has ended. Then the caller runs the callbacks at the end, which are owed: in the owner's thread,
 *  outside of the output and of every callback. Lock held. */
bool sse_emitter_claim_end(struct sse_emitter *emitter);

/** Runs the callbacks at the end. No lock held, cancellation off, after sse_emitter_claim_end. */
void sse_emitter_finish(struct sse_emitter *emitter, uint64_t now);

/** Whether nothing will mark it again, after sse_emitter_finish. Takes the lock. */
bool sse_emitter_is_done(struct sse_emitter *emitter);

/** Waits until no other thread is inside the output. Lock held; let go meanwhile. */
void sse_emitter_wait_for_others(struct sse_emitter *emitter);

/** Forgets an emitter that has ended in its registry, once. No lock held. */
void sse_emitter_forget_ended(struct sse_emitter *emitter, uint64_t now);

/** The owner is done with the emitter: tells its registry, once. No lock held. */
void sse_emitter_owner_is_done(struct sse_emitter *emitter);

/* leave.c: the way out of every call that changed something. */

/** Does the work of an emitter without a loop: writes, runs timers and callbacks. In its owner's thread. Lock
 *  held; let go meanwhile; cancellation off. The caller holds a reference of its own. */
void sse_emitter_work(struct sse_emitter *emitter, uint64_t now);

/** Accounts, wakes and marks. `owner`: the calling thread owns the emitter if it has no loop, and does its
 *  work. Lock held on entry, released on return. The caller holds a reference of its own. */
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
    TURN_ENDED = 2,     /* its end is claimed: finish it */
    TURN_BLOCKED = 4,   /* the output is full: ask for room */
    TURN_SCHEDULE = 8,  /* its next timer is due earlier than the loop knows */
    TURN_FINISHED = 16, /* it has finished, and nothing will mark it again */
    TURN_RELEASED = 32, /* nobody knows it any more: free it */
    TURN_INPUT = 64     /* its descriptor has reported something: look, become idle, and ask for a turn again */
};

/** Why an emitter is served. */
enum turn_cause {
    TURN_FOR_MARK, /* it was taken from the marks: it can be marked again */
    TURN_FOR_TIMER,
    TURN_FOR_INPUT /* the loop has looked at what its descriptor reported */
};

/** Serves an emitter. No lock held, cancellation off. */
unsigned sse_emitter_turn(struct sse_emitter *emitter, enum turn_cause cause, uint64_t now,
                          struct turn_account *account);

/** A reader that waits to be told learns of the end. No lock held, after sse_emitter_end. */
void sse_emitter_tell_end(struct sse_emitter *emitter);

/** A publisher writes to an emitter that is far behind. No lock held, cancellation off, a reference held. */
void sse_emitter_catch_up(struct sse_emitter *emitter, uint64_t now);

/* open.c */

/** Everything that could fail has succeeded: writes what is queued (FD), and marks the emitter for its loop.
 *  No lock held. */
void sse_emitter_open(struct sse_emitter *emitter);

/* info.c */

int64_t sse_emitter_age_ms(const struct sse_emitter *emitter, uint64_t now);

#endif
