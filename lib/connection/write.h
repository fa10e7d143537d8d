/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_WRITE_H
#define CONNECTION_WRITE_H

/** Out of the queue. Lock held; released while the output is written to. Cancellation disabled. */

#include "connection/emitter.h"

static inline void sse_emitter_become_busy(struct sse_emitter *emitter)
{
    emitter->busy = true;
    emitter->busy_thread = pthread_self();
}

static inline bool sse_emitter_others_are_inside(const struct sse_emitter *emitter)
{
    return emitter->busy && !pthread_equal(emitter->busy_thread, pthread_self());
}

/** In a forked child: frees the emitter, unless another thread of the parent was inside at the fork. Such a thread may
 *  have what the emitter refers to on its stack. */
static inline void sse_emitter_free_in_child(struct sse_emitter *emitter)
{
    if (!sse_emitter_others_are_inside(emitter))
        sse_emitter_free(emitter);
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

#endif
