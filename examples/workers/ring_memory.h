/* SPDX-License-Identifier: MIT */
#ifndef WORKERS_RING_MEMORY_H
#define WORKERS_RING_MEMORY_H

/** What ring.c and ring_memory.c share. Others use ring.h. */

#include "ring.h"

#include <pthread.h>
#include <stdatomic.h>

/** A place of a reader. */
struct seat {
    _Atomic uint64_t owner;  /* its process; 0: nobody */
    _Atomic uint64_t asleep; /* it wants to be woken */
};

/**
 * What is shared. The entry of the event n begins at places[n % slots] and ends where the next one begins;
 * places count words since the beginning, and the words of the ring are taken modulo their number.
 *
 * Everything that a publisher changes before it moves `newest` is of no event: so there is nothing to repair
 * after its death. `oldest` moves before a word of the oldest event is overwritten: a reader that finds
 * `oldest` at or below its event after it has copied it has copied the event.
 */
struct shared {
    pthread_mutex_t lock; /* one publisher at a time */
    _Atomic uint64_t oldest;
    _Atomic uint64_t newest;
};

/** What each process has. It does not change after ring_create. */
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

/** The places of ring.c where a test lets a process die. A program has no such places. */

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
