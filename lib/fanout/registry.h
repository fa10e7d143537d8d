/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_REGISTRY_H
#define FANOUT_REGISTRY_H

/**
 * The inside of a registry, for the files of this layer.
 *
 * Locks. `lock` is taken before the lock of any emitter, never after. Nobody holds it while a
 * sink, a hook, on_wake or a visitor runs. References to emitters that may be the last are given
 * back without it, because hooks may follow.
 */

#include "fanout/archive.h"
#include "fanout/topics.h"

#include <pthread.h>
#include <sse/registry.h>
#include <stdatomic.h>

/** Emitters to be seen to without the lock, each with a reference. */
struct roster {
    struct roster *next;
    struct sse_emitter **emitters; /* in the same block, or its owner's */
    size_t count;
    size_t capacity;
};

/* So many receivers are noted without a block of memory. */
#define ROSTER_SMALL 16

/** A thread that publishes. A publish from inside its hooks leaves its roster here. */
struct publisher {
    pthread_t thread;
    struct publisher *next;
    struct roster *first;
    struct roster **last;
    struct roster small; /* for its own receivers, if they are few */
    struct sse_emitter *emitters[ROSTER_SMALL];
};

/** What only the lock guards; the rest of the statistics is in the owner's tally. */
struct registry_counts {
    uint64_t published;
    uint64_t queued;
    uint64_t added;
    uint64_t replays;
    uint64_t replayed;
    uint64_t gaps;
    uint64_t refused;
    uint64_t closed[SSE_REASON_SHUTDOWN + 1];
};

struct shutdown {
    bool begun;
    size_t completed;
    size_t cut;
    uint64_t bytes_left;
};

/** What sse_registry_hold keeps from being written. */
struct cork {
    unsigned long holds;
    struct roster *first; /* receivers of what is held, each once */
    struct roster *last;
    size_t bytes; /* of the events since the last write, as chunks */
    size_t messages;
    size_t bytes_max; /* at either of these they are written */
    size_t messages_max;
};

struct sse_registry {
    struct emitter_owner owner; /* first: an owner is cast back to its registry */

    /* What every publish writes lies together, with the counters of the tally before it, and nothing that is
     * only read is near: threads on two cores pass these cache lines to and fro, and no others. */
    pthread_mutex_t lock;
    struct publisher *publishers;
    struct roster *spare; /* kept so that a steady broadcast allocates none */
    atomic_uint holds;    /* on its memory: one for all refs, one for each member and notice */
    struct registry_counts counts;

    const struct sse_host *host;
    pid_t process;    /* fixed */
    atomic_uint refs; /* of hosts; the last closes the registry */
    struct array members;
    size_t count;
    struct heap timers;
    struct topics topics;
    struct topic *broadcasts; /* what was sent to all: it has a history, and no subscribers */
    struct archive archive;

    size_t emitters_max;
    size_t topic_emitters_max;
    enum sse_admission admission;
    struct shutdown shutdown;

    struct cork cork;
    struct sse_emitter *first_ready;
    struct sse_emitter *last_ready;

    char *gap_type; /* NULL: no event tells of a gap */
    size_t gap_type_size;
    bool (*on_gap)(struct sse_registry *registry, struct sse_emitter *emitter, const struct sse_gap *gap,
                   void *user);
    void (*on_trace)(struct sse_registry *registry, struct sse_emitter *emitter, enum sse_trace step,
                     void *user);
    struct sse_message *newest; /* the last with an id, for on_gap; NULL: none, or no such hook */
    void *user;                 /* of the two hooks above; fixed */
    void (*on_wake)(struct sse_registry *registry, void *user);
    void *wake_user;
    uint64_t announced; /* the deadline behind the last sse_registry_next_timeout */
    bool closed;
    bool waking;
    bool wake_again;
    pthread_t waking_thread;
    pthread_cond_t wake_done;
};

/* registry.c */

/** The first step of every public call: 0, -EINVAL for NULL, -EPERM in a forked child. */
int sse_registry_check(const struct sse_registry *registry);
/** The same for a call that names an emitter too. */
int sse_registry_check_both(const struct sse_registry *registry, const struct sse_emitter *emitter);

/* members.c */

static inline struct sse_emitter *sse_members_at(const struct sse_registry *registry, size_t position)
{
    return *sse_array_pointer(&registry->members, position);
}

/** 0, -EALREADY, -EBUSY, -EAGAIN, -ENOMEM, or the error of an emitter that has ended. Lock held. */
int sse_members_add(struct sse_registry *registry, struct sse_emitter *emitter);

/** Takes it out, with its subscriptions. The caller gets the registry's reference. Lock held. */
void sse_members_take(struct sse_registry *registry, struct sse_emitter *emitter);

/** Lock held: it stays so until the lock is released. */
bool sse_members_has(const struct sse_registry *registry, struct sse_emitter *emitter);

void sse_owner_hold(struct emitter_owner *owner);
void sse_owner_release(struct emitter_owner *owner);

/** Gives back what a member, and what the list of the ready, held. Lock not held. */
void sse_members_give_back(struct sse_registry *registry, struct sse_emitter *emitter, bool member,
                           bool ready);

/** The oldest subscriber of a topic, or with NULL the oldest member, that has to go because more than the
 *  cap are staying; NULL if not. It is marked as leaving. Lock held. */
struct sse_emitter *sse_members_over_cap(struct sse_registry *registry, const struct topic *topic);

/** Tells the host of a step. Lock not held. */
void sse_registry_trace(struct sse_registry *registry, struct sse_emitter *emitter, enum sse_trace step);

/* cork.c. Lock held. */

void sse_cork_init(struct cork *cork);
/** A member joins: what is held must fit into its queue. */
void sse_cork_note_limits(struct cork *cork, const struct queue *queue);
/** Whether no more is to be held. */
bool sse_cork_is_full(const struct cork *cork);
/** Receivers of one more message. Takes the roster over, or gives it back. True if they are the first. */
bool sse_cork_add(struct sse_registry *registry, struct roster *roster, const struct sse_message *message);
/** All that was held, as a list, which is the caller's; NULL for nothing. Who is on it is held no longer:
 *  what is published before its turn comes is another's to write, who may come to it first. */
struct roster *sse_cork_take(struct cork *cork);
/** Takes an emitter out. True if it was there: the caller gets the reference. */
bool sse_cork_remove(struct cork *cork, struct sse_emitter *emitter);

/* serve.c */

void sse_publisher_init(struct publisher *publisher);
/** The publisher that this thread is inside of, or NULL. Lock held. */
struct publisher *sse_publisher_find(const struct sse_registry *registry);
/** Takes the registry's lock, which other publishers hold for a short while only. */
void sse_publisher_lock(struct sse_registry *registry);
/** From now on a publish in this thread's hooks leaves its roster here, until it has served. Lock held. */
void sse_publisher_enter(struct sse_registry *registry, struct publisher *publisher);
/** Leaves a roster of the heap to be served. Lock held. */
void sse_publisher_leave(struct publisher *publisher, struct roster *roster);
/** Writes to the receivers on its own roster, which may be NULL, and counts them; then to those that were
 *  left to it, and leaves. Lock not held. */
void sse_publisher_serve(struct sse_registry *registry, struct publisher *publisher, struct roster *own,
                         uint64_t now, struct sse_delivery *counts);
/** Writes what is held. Lock held; let go meanwhile. */
void sse_registry_write_held(struct sse_registry *registry, uint64_t now);

/* budget.c */

/** Ends those with the most bytes queued until the rest is within the budget. They are few, and looked
 *  for only when it is exceeded. Lock not held. */
void sse_budget_enforce(struct sse_registry *registry, uint64_t now);
/** The same, for an emitter. */
void sse_budget_relieve(struct emitter_owner *owner, uint64_t now);

/* roster.c */

/** A roster with room for `capacity`, or NULL. Lock held. */
struct roster *sse_roster_take(struct sse_registry *registry, size_t capacity);
/** Gives an empty roster back. Lock held. */
void sse_roster_put_back(struct sse_registry *registry, struct roster *roster);
/** Gives the references back. Lock not held. */
void sse_roster_clear(struct roster *roster);
/** Gives the references and the roster back. Lock not held. */
void sse_roster_give_back(struct sse_registry *registry, struct roster *roster);
static inline void sse_roster_add(struct roster *roster, struct sse_emitter *emitter)
{
    sse_emitter_hold(emitter);
    roster->emitters[roster->count++] = emitter;
}

/* drive.c */

/** Puts it among the ready ones. True if the host is to be woken. Lock held. */
bool sse_ready_add(struct sse_registry *registry, struct sse_emitter *emitter);
/** Lock held; the caller gets the reference of the list, if true. */
bool sse_ready_remove(struct sse_registry *registry, struct sse_emitter *emitter);
/** Tells the host, unless it is closed. Lock held; let go meanwhile. */
void sse_registry_wake(struct sse_registry *registry);
/** Notes the emitter's deadline. True if the host is to be woken. Locks of both held. */
bool sse_timer_note(struct sse_registry *registry, struct sse_emitter *emitter);
/** An event was kept, and may be the next thing to forget. True if the host is to be woken. Lock held. */
bool sse_expiry_note(struct sse_registry *registry);
/** A new member may have bytes that nobody will announce again, or the next deadline. Lock held;
 *  let go meanwhile. */
void sse_registry_introduce(struct sse_registry *registry, struct sse_emitter *emitter);
/** An emitter's notice to its owner. */
void sse_registry_notice(struct emitter_owner *owner, struct sse_emitter *emitter, bool ready);

#endif
