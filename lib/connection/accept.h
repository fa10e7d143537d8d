/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_ACCEPT_H
#define CONNECTION_ACCEPT_H

/** Into the queue. */

#include "connection/emitter.h"

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

#endif
