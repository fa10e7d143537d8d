/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include <errno.h>
#include <unistd.h>

int sse_loop_check(const struct sse_loop *loop)
{
    if (!loop)
        return -EINVAL;
    return process_is_current(loop->process) ? 0 : -EPERM;
}

struct marks *sse_loop_marks(struct sse_loop *loop)
{
    return &loop->marks;
}

bool sse_loop_is_polled(const struct sse_loop *loop)
{
    return loop->poller != NULL;
}

struct sse_emitter *sse_loop_emitter_of_timer(struct heap_node *timer)
{
    return (struct sse_emitter *)(void *)((char *)timer - offsetof(struct sse_emitter, timer));
}

struct sse_emitter *sse_loop_emitter_at(const struct sse_loop *loop, uint32_t position)
{
    return sse_loop_emitter_of_timer(*sse_array_pointer(&loop->heap.nodes, position));
}

/* Lock held. */
static int bind_locked(struct sse_loop *loop, struct sse_emitter *emitter)
{
    int error = 0;

    if (loop->closed)
        return -ECONNREFUSED;
    if (!sse_heap_reserve(&loop->heap, (size_t)loop->heap.count + 1, loop->platform))
        return -ENOMEM;
    if (emitter->polled)
        error = sse_watches_add(&loop->watches, emitter, loop->poller, loop->platform);
    if (!error)
        sse_heap_push(&loop->heap, &emitter->timer, DEADLINE_NEVER);
    return error;
}

int sse_loop_bind(struct sse_loop *loop, struct sse_emitter *emitter)
{
    int error;

    emitter->polled = loop->poller && sse_emitter_descriptor(emitter) >= 0;
    emitter->asked_for_room = emitter->polled;
    pthread_mutex_lock(&loop->lock);
    error = bind_locked(loop, emitter);
    pthread_mutex_unlock(&loop->lock);
    return error;
}

void sse_loop_unbind(struct sse_loop *loop, struct sse_emitter *emitter)
{
    bool finishing;

    pthread_mutex_lock(&loop->lock);
    sse_watches_remove(&loop->watches, emitter, loop->poller, loop->platform);
    sse_heap_remove(&loop->heap, &emitter->timer);
    finishing = loop->finishing;
    pthread_mutex_unlock(&loop->lock);
    /* The loop's thread may have counted this emitter, and wait until it is freed. */
    if (finishing)
        sse_marks_wake(&loop->marks);
}

void sse_loop_unwatch(struct sse_loop *loop, struct sse_emitter *emitter)
{
    pthread_mutex_lock(&loop->lock);
    sse_watches_remove(&loop->watches, emitter, loop->poller, loop->platform);
    pthread_mutex_unlock(&loop->lock);
}

static uint64_t later(uint64_t left, uint64_t right)
{
    return left > right ? left : right;
}

void sse_loop_schedule(struct sse_loop *loop, struct sse_emitter *emitter, uint64_t earliest)
{
    pthread_mutex_lock(&loop->lock);
    pthread_mutex_lock(&emitter->lock);
    sse_heap_update(&loop->heap, &emitter->timer, later(sse_emitter_deadline(emitter), earliest));
    pthread_mutex_unlock(&emitter->lock);
    pthread_mutex_unlock(&loop->lock);
}

size_t sse_loop_count(struct sse_loop *loop)
{
    size_t count;

    if (sse_loop_check(loop))
        return 0;
    pthread_mutex_lock(&loop->lock);
    count = loop->heap.count;
    pthread_mutex_unlock(&loop->lock);
    return count;
}
