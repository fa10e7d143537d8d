/* SPDX-License-Identifier: MIT */
#include "connection/finish.h"
#include "connection/account.h"
#include "connection/mark.h"
#include "connection/pause.h"
#include "connection/state.h"
#include "connection/write.h"

#include <errno.h>
#include <poll.h>

/** The first message of the queue, if it is a batch that was truncated. */
struct remains {
    struct sse_message *truncated; /* a reference, or NULL */
    struct sse_text id;            /* the last id of its events that were written whole */
};

bool sse_emitter_claim_end(struct sse_emitter *emitter)
{
    if (emitter->state != SSE_STATE_CLOSED)
        return false;
    emitter->finishing = true;
    return true;
}

/* Counts the events of a truncated batch that were written whole. In a chunked stream there are none, because the
 * client may discard a truncated chunk. */
static unsigned count_truncated_batch(struct sse_emitter *emitter, struct remains *remains, uint64_t now)
{
    struct sse_message *message = sse_queue_first(&emitter->queue);
    struct sse_message arrived = {.borrowed = true};

    if (!message || !emitter->queue.taken || emitter->queue.chunked || message->events < 2)
        return 0;
    arrived.events = sse_message_events_within(message, emitter->queue.taken, &remains->id);
    remains->truncated = sse_message_ref(message);
    emitter->events += arrived.events;
    sse_emitter_count_written(emitter, &arrived, 0, false, now, NULL);
    return arrived.events;
}

/* Drops what is still queued, and counts it. Bytes that a peek has shown stay valid for the reader. */
static struct remains drop_queue(struct sse_emitter *emitter, uint64_t now)
{
    struct remains remains = {.truncated = NULL};
    unsigned arrived = count_truncated_batch(emitter, &remains, now);

    sse_emitter_count_dropped(emitter, sse_queue_events(&emitter->queue) - arrived);
    if (emitter->output_kind != OUTPUT_PULL || !emitter->output.shown)
        sse_queue_clear(&emitter->queue, emitter->platform);
    if (sse_emitter_pause(emitter))
        sse_emitter_drop_pause(emitter);
    return remains;
}

static struct sse_completion completion_of(const struct sse_emitter *emitter, const struct remains *remains,
                                           uint64_t now)
{
    return (struct sse_completion){
        .reason = (enum sse_reason)emitter->reason,
        .error = emitter->error,
        .last_event_id = remains->id.ptr ? remains->id : sse_last_id_get(&emitter->last_id),
        .events = emitter->events,
        .bytes = emitter->bytes,
        .dropped = emitter->dropped,
        .age_ms = sse_emitter_age_ms(emitter, now),
    };
}

/* The emitter needs its registry until its owner is done and its end is counted. Either may come first.
 * Lock held. */
static struct emitter_group *take_group_if_unused(struct sse_emitter *emitter)
{
    struct emitter_group *group = emitter->group;

    if (!emitter->owner_done || !emitter->counted)
        return NULL;
    emitter->group = NULL;
    return group;
}

void sse_emitter_finish(struct sse_emitter *emitter, uint64_t now)
{
    const union emitter_extra *timed_out = sse_emitter_extra(emitter, EXTRA_TIMEOUT);
    const union emitter_extra *failed = sse_emitter_extra(emitter, EXTRA_ERROR);
    const union emitter_extra *completed = sse_emitter_extra(emitter, EXTRA_COMPLETION);
    struct emitter_group *group;
    struct sse_completion completion;
    struct remains remains;

    pthread_mutex_lock(&emitter->lock);
    remains = drop_queue(emitter, now);
    completion = completion_of(emitter, &remains, now);
    emitter->counted = true;
    group = take_group_if_unused(emitter);
    pthread_mutex_unlock(&emitter->lock);
    if (group)
        group->unref(group);
    if (timed_out && sse_reason_is_timeout(completion.reason))
        timed_out->on_timeout(emitter, completion.reason, emitter->output.user);
    if (failed && sse_reason_is_error(completion.reason))
        failed->on_error(emitter, completion.error, emitter->output.user);
    if (completed)
        completed->on_completion(emitter, &completion, emitter->output.user);
    sse_message_unref(remains.truncated);
    pthread_mutex_lock(&emitter->lock);
    emitter->finished = true;
    pthread_mutex_unlock(&emitter->lock);
}

bool sse_emitter_is_done(struct sse_emitter *emitter)
{
    bool done;

    pthread_mutex_lock(&emitter->lock);
    done = !emitter->marked;
    pthread_mutex_unlock(&emitter->lock);
    return done;
}

void sse_emitter_owner_is_done(struct sse_emitter *emitter)
{
    struct emitter_group *group, *unused;

    pthread_mutex_lock(&emitter->lock);
    group = emitter->owner_done ? NULL : emitter->group;
    emitter->owner_done = true;
    unused = take_group_if_unused(emitter);
    /* Another thread, which counts the end, may release the emitter's reference meanwhile. */
    if (group)
        group->ref(group);
    pthread_mutex_unlock(&emitter->lock);
    if (group) {
        group->done(group);
        group->unref(group);
    }
    if (unused)
        unused->unref(unused);
}

/* Some systems allocate a condition in its first wait, and may have no memory. */
static void wait_or_pause(pthread_cond_t *wake, pthread_mutex_t *lock)
{
    if (!pthread_cond_wait(wake, lock))
        return;
    pthread_mutex_unlock(lock);
    (void)poll(NULL, 0, 1);
    pthread_mutex_lock(lock);
}

/* The caller has no error to return: nothing here may fail. */
void sse_emitter_wait_for_others(struct sse_emitter *emitter)
{
    struct emitter_waiter waiter = {.wake = PTHREAD_COND_INITIALIZER};
    int cancel_state;

    if (!sse_emitter_others_are_inside(emitter))
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    sse_emitter_add_waiter(emitter, &waiter);
    while (sse_emitter_others_are_inside(emitter))
        wait_or_pause(&waiter.wake, &emitter->lock);
    sse_emitter_remove_waiter(emitter, &waiter);
    pthread_cond_destroy(&waiter.wake);
    pthread_setcancelstate(cancel_state, NULL);
}

void sse_emitter_forget_ended(struct sse_emitter *emitter, uint64_t now)
{
    struct emitter_group *group = NULL;

    pthread_mutex_lock(&emitter->lock);
    if (!emitter->forgotten)
        group = emitter->group;
    if (group)
        group->ref(group);
    pthread_mutex_unlock(&emitter->lock);
    if (!group)
        return;
    group->forget(group, emitter, now);
    group->unref(group);
}
