/* SPDX-License-Identifier: MIT */
#ifndef WORKERS_RING_READER_H
#define WORKERS_RING_READER_H

/**
 * Brings the events of a ring to the registry of one process, and begins the streams of its clients. One in
 * each worker, opened after the fork.
 *
 * The registry needs no history: the ring is the history of all workers. Publish nothing to this registry
 * yourself; sse_emitter_send to one client is fine, without an id.
 *
 * Nothing is lost or doubled at the seam between what a client missed and what is live: under one lock the
 * reader publishes what is new in the ring, and makes the emitter, paused. What the client missed up to that
 * point is sent to it from the ring, and everything after it waits behind the pause.
 */

#include "ring.h"

#include <sse/registry.h>

struct ring_reader;

/** `ring` and `registry` must outlive the reader. The texts too. */
struct ring_reader_options {
    struct ring *ring;
    struct sse_registry *registry;
    /**
     * The type of the event that tells a client that events may be missing. Its data has two lines: the last
     * id that the client has, and the first one that follows (empty if none does, or the id was unknown).
     * Its id is where the client goes on. Absent: "gap".
     */
    struct sse_text gap_type;
    /**
     * The type of the first event of a new client; its data is "". Its id makes sure that a client that is
     * cut off before any other event misses nothing. Absent: the event has only the id. Browsers remember it
     * then as well, and show nothing; some clients for Node do not.
     */
    struct sse_text ready_type;
};

/**
 * Opens a reader, which begins with the next event.
 *
 * Errors, with *reader unchanged: -EAGAIN: all places of the ring are taken. -ENOMEM.
 */
int ring_reader_open(struct ring_reader **reader, const struct ring_reader_options *options);

/** Ends reading. No thread may be in another call of this reader. NULL is ignored. */
void ring_reader_close(struct ring_reader *reader);

/** Readable, level-triggered, when ring_reader_drain has something to do. Do not read it yourself. */
int ring_reader_fd(const struct ring_reader *reader);

/**
 * Publishes what is new in the ring to the registry: at most 256 events a call, so that your loop serves
 * others in between. If events were overtaken before they were read, every client is told of a gap.
 *
 * Returns 0 when everything is published, 1 if more is left; the descriptor stays readable.
 * Threads: any. It calls sse_registry_publish under a lock of its own, so on_wake of a driven loop must not
 * call back into this file.
 * Errors: -ENOMEM: nothing is lost. Call it again after a short while.
 */
int ring_reader_drain(struct ring_reader *reader);

/**
 * Begins the stream of a client, as sse_emitter_new with these options. The call itself uses `registry`,
 * `paused` and `last_event_id`.
 *
 * Effect: first publishes all that is new in the ring. Then the client gets what it missed, and live events
 * follow. Is its id unknown, or not retained any more: it is told of a gap. If it missed more than a
 * megabyte, its stream ends gracefully after a part, with a short random `retry`, and it comes back for the
 * rest.
 * Ownership: as sse_emitter_new. `emitter` may be NULL where it may be NULL there.
 * Threads: any. Your callbacks may run before the call returns, if the loop is another thread's. The emitter
 * must not be closed before the call has returned. Work: the events after the client's id, at most those of
 * the ring. No lock is held while they are sent. Errors, with nothing written: those of sse_emitter_new.
 */
int ring_reader_stream(struct ring_reader *reader, struct sse_emitter **emitter,
                       const struct sse_emitter_options *options);

#endif
