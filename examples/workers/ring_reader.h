/* SPDX-License-Identifier: MIT */
#ifndef WORKERS_RING_READER_H
#define WORKERS_RING_READER_H

/**
 * Publishes the events of a ring to the registry of one process, and begins the streams of its clients. Open one in
 * each worker, after the fork.
 *
 * The registry needs no history, because the ring is the history of all workers. Do not publish to this registry
 * yourself. You may call sse_emitter_send for one client, without an id.
 *
 * No event is lost or sent twice between replay and live events. Under one lock, the reader publishes the new
 * events of the ring and makes the emitter, paused. Then it sends the events that the client missed before that
 * point, from the ring. Later events are queued behind the pause.
 */

#include "ring.h"

#include <sse/registry.h>

struct ring_reader;

/** `ring`, `registry` and the texts must outlive the reader. */
struct ring_reader_options {
    struct ring *ring;
    struct sse_registry *registry;
    /**
     * The type of the event that tells a client that events may be missing. Its data has two lines: the client's
     * last id, and the first id that follows (empty if none follows, or the id was unknown). The client continues
     * from the event's own id. Absent: "gap".
     */
    struct sse_text gap_type;
    /**
     * The type of the first event of a new client. Its data is "". Because of its id, a client that is disconnected
     * before any other event misses nothing. Absent: the event has only the id. Browsers remember the id then too,
     * and report no event. Some clients for Node ignore it.
     */
    struct sse_text ready_type;
};

/**
 * Opens a reader, which begins with the next event.
 *
 * Errors, with *reader unchanged: -EAGAIN: all places of the ring are taken. -ENOMEM.
 */
int ring_reader_open(struct ring_reader **reader, const struct ring_reader_options *options);

/** Ends reading. No other thread may be in a call of this reader. NULL is ignored. */
void ring_reader_close(struct ring_reader *reader);

/** Becomes readable (level-triggered) when ring_reader_drain has work. Do not read the descriptor yourself. */
int ring_reader_fd(const struct ring_reader *reader);

/**
 * Publishes the new events of the ring to the registry. One call publishes at most 256 events, so that your loop
 * can serve others in between. If events were overwritten before they were read, every client is notified of a gap.
 *
 * Returns 0 when everything is published, 1 if events are left. Then the descriptor stays readable.
 * Threads: any. It calls sse_registry_publish while it holds its own lock, so on_wake of a driven loop must not
 * call functions of this file.
 * Errors: -ENOMEM: nothing is lost. Call it again after a short while.
 */
int ring_reader_drain(struct ring_reader *reader);

/**
 * Begins the stream of a client, as sse_emitter_new with these options. The call itself uses `registry`,
 * `paused` and `last_event_id`.
 *
 * Effect: first publishes all new events of the ring. Then the client receives the events that it missed, and live
 * events follow. If its id is unknown or not retained any more, the client is notified of a gap. If it missed more
 * than a megabyte, its stream ends gracefully after a part, with a short random `retry`, and it reconnects for the
 * rest.
 * Ownership: as sse_emitter_new. `emitter` may be NULL where it may be NULL there.
 * Threads: any. Your callbacks may run before the call returns, if the loop is another thread's. The emitter must
 * not be closed before the call has returned.
 * Work: the events after the client's id, at most those of the ring. No lock is held while they are sent.
 * Errors, with nothing written: those of sse_emitter_new.
 */
int ring_reader_stream(struct ring_reader *reader, struct sse_emitter **emitter,
                       const struct sse_emitter_options *options);

#endif
