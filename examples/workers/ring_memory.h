/* SPDX-License-Identifier: MIT */
#ifndef WORKERS_RING_MEMORY_H
#define WORKERS_RING_MEMORY_H

/** Internals that ring.c and ring_memory.c share. Other files use ring.h. */

#include "ring.h"

#include <pthread.h>
#include <stdatomic.h>

/** The place of a reader. */
struct seat {
    _Atomic uint64_t owner;  /* its process; 0: the place is free */
    _Atomic uint64_t asleep; /* it wants to be woken */
};

/**
 * The shared memory. The entry of event n begins at places[n % slots] and ends where the next entry begins. Places
 * count words since the beginning; take them modulo the number of words.
 *
 * Everything that a publisher changes before it moves `newest` belongs to no event, so there is nothing to repair
 * after its death. `oldest` moves before a word of the oldest event is overwritten. So if a reader has copied an
 * event and then finds `oldest` at or below it, the copy is complete.
 */
struct shared {
    pthread_mutex_t lock; /* one publisher at a time */
    _Atomic uint64_t oldest;
    _Atomic uint64_t newest;
};

/** The part of each process. It does not change after ring_create. */
struct ring {
    struct shared *shared;
    struct seat *seats;
    _Atomic uint64_t *places;
    _Atomic uint64_t *words;
    size_t size;
    size_t slots;
    size_t word_count; /* a power of two */
    size_t event_bytes;
    uint64_t era; /* so that the ids of an earlier ring are recognised as unknown */
    size_t readers;
    int pipes[][2];
};

/** Points in ring.c at which a test lets a process die. A normal build has none. */

enum ring_stop {
    RING_STOP_PACKED,
    RING_STOP_LOCKED,
    RING_STOP_ROOM,
    RING_STOP_HALF,
    RING_STOP_WRITTEN,
    RING_STOP_PUBLISHED,
    RING_STOP_UNLOCKED
};

#ifdef RING_WITH_STOPS
void ring_stop(enum ring_stop place);
#else
static inline void ring_stop(enum ring_stop place)
{
    (void)place;
}
#endif

#endif
