/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_MARKS_H
#define CONNECTION_MARKS_H

/**
 * The emitters of one loop that have work for its next turn. Any thread marks; the loop's thread takes
 * all marks at the beginning of a turn.
 *
 * Only the first mark of a loop at rest wakes it. Whoever is to wake a loop pins it, so that the loop
 * cannot be freed meanwhile.
 */

#include <pthread.h>
#include <stdbool.h>

struct sse_emitter;

struct marks {
    pthread_mutex_t lock;
    pthread_cond_t unpinned;
    struct sse_emitter *first;
    struct sse_emitter *last;
    bool awake;    /* a turn runs or is to begin, or a wake for it is on its way */
    bool waking;   /* a chain has it in its list of loops to wake, or wakes it */
    bool wake_due; /* no turn has begun since the mark for which that chain is to wake it */
    bool closing;
    unsigned pins;
    struct marks *next_to_wake; /* of that chain */
    void (*wake)(struct marks *marks);
    /** Stops using the descriptor of an emitter. No lock held, the loop pinned. */
    void (*unwatch)(struct marks *marks, struct sse_emitter *emitter);
};

/** Marks for one loop, which is pinned. */
struct mark_list {
    struct marks *marks;
    struct sse_emitter *first;
    struct sse_emitter *last;
};

/* Receivers of one event come from all loops in turn: with a list for each, a publish takes the lock of a loop
 * once and not for each receiver. */
#define MARK_LISTS 8

/** Marks that one thread collects under its locks, and the loops that it wakes afterwards. */
struct mark_chain {
    struct marks *to_wake;
    unsigned count;  /* lists in use */
    unsigned oldest; /* the list that is given up for another loop */
    struct mark_list lists[MARK_LISTS];
};

/** 0 or -ENOMEM. The functions are the caller's to fill in. */
int sse_marks_init(struct marks *marks);
void sse_marks_destroy(struct marks *marks);

/** Keeps the loop from being freed. An emitter's lock held, so that its loop exists. */
void sse_marks_pin(struct marks *marks);
void sse_marks_unpin(struct marks *marks);

/** Adds an emitter that is in no chain and not marked. Its lock held, so that its loop exists. */
void sse_mark_chain_add(struct mark_chain *chain, struct marks *marks, struct sse_emitter *emitter);

/** Marks what was collected, and wakes the loops. No lock held. */
void sse_mark_chain_finish(struct mark_chain *chain);

/** A turn is to begin in any case: until it has ended, no mark wakes the loop. */
void sse_marks_rouse(struct marks *marks);

/** Begins a turn: takes the list of marks, linked by next_marked. */
struct sse_emitter *sse_marks_take(struct marks *marks);

/** Ends a turn: from now on a mark wakes the loop. False if there are marks already. */
bool sse_marks_rest(struct marks *marks);

/** Wakes the loop for another reason than a mark. No lock held. */
void sse_marks_wake(struct marks *marks);

/** Waits for those that are waking the loop. Nobody can begin to, because no emitter is bound to it. */
void sse_marks_close(struct marks *marks);

#endif
