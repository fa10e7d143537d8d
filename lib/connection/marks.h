/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_MARKS_H
#define CONNECTION_MARKS_H

/**
 * The emitters of one loop that have work for its next turn: they are marked. Any thread may mark an emitter. The
 * loop's thread takes all marks at the beginning of a turn.
 *
 * Only the first mark since the last turn wakes the loop. A thread that is to wake a loop pins it first, so that
 * the loop cannot be freed before that.
 */

#include <pthread.h>
#include <stdbool.h>

struct sse_emitter;

struct marks {
    pthread_mutex_t lock;
    struct sse_emitter *first;
    struct sse_emitter *last;
    bool awake;    /* a turn runs or will begin: a mark need not wake the loop */
    bool waking;   /* the loop is in the list of loops to wake of one chain */
    bool wake_due; /* no turn has begun since the mark for which that chain wakes it */
    bool closing;
    unsigned pins;
    struct marks *next_to_wake; /* in the list of that chain */
    void (*wake)(struct marks *marks);
    /** Stops using the descriptor of an emitter. No lock held, and the loop pinned. */
    void (*unwatch)(struct marks *marks, struct sse_emitter *emitter);
    pthread_cond_t unpinned; /* at the end, because publishes and turns need the other members */
};

/** Marks for one loop, which is pinned. */
struct mark_list {
    struct marks *marks;
    struct sse_emitter *first;
    struct sse_emitter *last;
};

/* The receivers of one event may alternate between loops. With a list for each loop, a publish locks the marks of a
 * loop once, and not for each receiver. */
#define MARK_LISTS 8

/** Marks that a thread collects while it has locks, and the loops that it wakes when it has released them. */
struct mark_chain {
    struct marks *to_wake;
    struct mark_list *current; /* the last one that an emitter was added to */
    unsigned count;            /* lists in use */
    unsigned oldest;           /* the list that is emptied if another loop needs one */
    struct mark_list lists[MARK_LISTS];
};

/** 0 or -ENOMEM. The caller then sets `wake` and `unwatch`. */
int sse_marks_init(struct marks *marks);
void sse_marks_destroy(struct marks *marks);

/** Prevents the loop from being freed. The lock of one of its emitters held, so that the loop exists. */
void sse_marks_pin(struct marks *marks);
void sse_marks_unpin(struct marks *marks);

/** Adds an emitter that is in no chain and not marked. Its lock held, so that the loop exists. */
void sse_mark_chain_add(struct mark_chain *chain, struct marks *marks, struct sse_emitter *emitter);

/** Marks what was collected, and wakes the loops. No lock held. */
void sse_mark_chain_finish(struct mark_chain *chain);

/** To be called when a turn will begin in any case. Until that turn has ended, no mark wakes the loop. */
void sse_marks_rouse(struct marks *marks);

/** Begins a turn: takes the list of marked emitters, which `next_marked` links. */
struct sse_emitter *sse_marks_take(struct marks *marks);

/** Ends a turn: from now on a mark wakes the loop. False if there are marks already; then a turn must follow. */
bool sse_marks_rest(struct marks *marks);

/** Wakes the loop for another reason than a mark. No lock held. */
void sse_marks_wake(struct marks *marks);

/** Waits for the threads that are waking the loop. No other can begin to, because no emitter is bound
 *  to the loop. */
void sse_marks_close(struct marks *marks);

#endif
