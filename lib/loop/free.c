/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "connection/ending.h"
#include "connection/finish.h"
#include "connection/mark.h"
#include "connection/turn.h"
#include "connection/write.h"
#include "loop/loop.h"
#include "loop/serve.h"

#include <errno.h>
#include <unistd.h>

/* Unbinds all emitters. From now on no emitter of this loop is marked, and the thread that releases the last
 * reference frees it. The deadlines are made equal first, so that removing a node from the heap moves only the last
 * one. */
static void unbind_all(struct sse_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->closed = true;
    for (uint32_t i = 0; i < loop->heap.count; i++) {
        struct sse_emitter *emitter = sse_loop_emitter_at(loop, i);

        pthread_mutex_lock(&emitter->lock);
        emitter->timer.deadline = DEADLINE_NEVER;
        pthread_mutex_unlock(&emitter->lock);
    }
    for (uint32_t i = loop->heap.count; i-- > 0;) {
        struct sse_emitter *emitter = sse_loop_emitter_at(loop, i);

        pthread_mutex_lock(&emitter->lock);
        emitter->marks = NULL;
        if (emitter->finished)
            sse_heap_remove(&loop->heap, &emitter->timer);
        pthread_mutex_unlock(&emitter->lock);
    }
    pthread_mutex_unlock(&loop->lock);
}

/* Frees the emitters whose last reference was released before they were unbound. */
static void free_marked(struct sse_loop *loop)
{
    struct sse_emitter *emitter = sse_marks_take(&loop->marks), *next;

    for (; emitter; emitter = next) {
        bool released, finished;

        next = emitter->next_marked;
        pthread_mutex_lock(&emitter->lock);
        emitter->marked = false;
        released = emitter->released;
        finished = emitter->finished;
        pthread_mutex_unlock(&emitter->lock);
        if (released)
            sse_emitter_free(emitter);
        else if (finished)
            sse_emitter_release(emitter);
    }
}

static void end_emitter(struct sse_loop *loop, struct sse_emitter *emitter, uint64_t now)
{
    pthread_mutex_lock(&emitter->lock);
    (void)sse_emitter_end(emitter, SSE_REASON_CLOSED, -ECANCELED, now);
    sse_emitter_wake_waiters(emitter);
    sse_emitter_wait_for_others(emitter);
    (void)sse_emitter_claim_end(emitter);
    pthread_mutex_unlock(&emitter->lock);
    sse_emitter_forget_ended(emitter, now);
    sse_emitter_tell_end(emitter);
    sse_loop_finish_emitter(loop, emitter, now);
}

/* Removes the last emitter from the heap and returns it, or NULL. */
static struct sse_emitter *take_last(struct sse_loop *loop)
{
    struct sse_emitter *last = NULL;

    pthread_mutex_lock(&loop->lock);
    if (loop->heap.count) {
        last = sse_loop_emitter_at(loop, loop->heap.count - 1);
        sse_heap_remove(&loop->heap, &last->timer);
    }
    pthread_mutex_unlock(&loop->lock);
    return last;
}

static void end_all(struct sse_loop *loop, uint64_t now)
{
    struct sse_emitter *emitter;

    while ((emitter = take_last(loop)))
        end_emitter(loop, emitter, now);
}

/* Releases the reference for its life. Returns true if it was the last one. */
static bool leave_to_references(struct sse_emitter *emitter)
{
    bool lives = sse_emitter_has_life_reference(emitter);

    emitter->marks = NULL;
    emitter->marked = false;
    emitter->finished = true;
    return emitter->released || (lives && atomic_fetch_sub(&emitter->refs, 1) == 1);
}

/* Frees a loop in a forked child. What another thread of the parent was using at the fork stays allocated. */
static void free_in_child(struct sse_loop *loop)
{
    bool locked = process_left_locked(&loop->lock) || process_left_locked(&loop->marks.lock);

    while (!locked && loop->heap.count) {
        struct sse_emitter *emitter = sse_loop_emitter_at(loop, loop->heap.count - 1);

        sse_heap_remove(&loop->heap, &emitter->timer);
        if (process_left_locked(&emitter->lock))
            continue;
        if (emitter->owned && !emitter->finished)
            close(sse_emitter_descriptor(emitter));
        if (leave_to_references(emitter))
            sse_emitter_free_in_child(emitter);
    }
    if (!locked)
        sse_loop_destroy(loop);
}

void sse_loop_free(struct sse_loop *loop)
{
    int cancel_state;

    if (!loop)
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (sse_loop_check(loop)) {
        free_in_child(loop);
    } else {
        unbind_all(loop);
        sse_marks_close(&loop->marks);
        free_marked(loop);
        end_all(loop, sse_platform_now(loop->platform));
        sse_loop_destroy(loop);
    }
    pthread_setcancelstate(cancel_state, NULL);
}
