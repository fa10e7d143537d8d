/* SPDX-License-Identifier: MIT */
#include "base/options.h"
#include "base/platform.h"
#include "loop/loop.h"

#include <errno.h>
#include <unistd.h>

#define OPTIONS_SIZE_OLDEST OPTIONS_SIZE_TO(struct sse_loop_options, user)

static struct sse_loop *loop_of(struct marks *marks)
{
    return (struct sse_loop *)(void *)marks;
}

static void wake(struct marks *marks)
{
    struct sse_loop *loop = loop_of(marks);
    int cancel_state;

    /* If the thread were cancelled here, the loop would stay pinned. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (loop->poller)
        sse_wake_raise(&loop->wake);
    else
        loop->on_wake(loop, loop->user);
    pthread_setcancelstate(cancel_state, NULL);
}

static void unwatch(struct marks *marks, struct sse_emitter *emitter)
{
    sse_loop_unwatch(loop_of(marks), emitter);
}

static int open_poller(struct sse_loop *loop, enum sse_poller kind)
{
    int error = -ENOTSUP;

    if (kind != SSE_POLLER_POLL)
        error = sse_poller_epoll_new(&loop->poller, loop->platform);
    if (error == -ENOTSUP && kind != SSE_POLLER_EPOLL)
        error = sse_poller_poll_new(&loop->poller, loop->platform);
    if (!error)
        error = sse_wake_open(&loop->wake);
    if (!error)
        error = loop->poller->add(loop->poller, loop->wake.reader, 0, POLLER_WAKE);
    return error;
}

void sse_loop_destroy(struct sse_loop *loop)
{
    if (loop->poller)
        loop->poller->free(loop->poller);
    sse_wake_close(&loop->wake);
    sse_watches_free(&loop->watches, loop->platform);
    sse_heap_free(&loop->heap, loop->platform);
    pthread_mutex_destroy(&loop->lock);
    sse_marks_destroy(&loop->marks);
    sse_platform_deallocate(loop->platform, loop);
}

static int allocate(struct sse_loop **loop, const struct sse_loop_options *options)
{
    struct sse_loop *made;

    if (sse_process_watch())
        return -ENOMEM;
    made = sse_platform_allocate(options->platform, sizeof(*made));
    if (!made)
        return -ENOMEM;
    *made = (struct sse_loop){
        .platform = options->platform,
        .process = process_current(),
        .wake = {.reader = -1, .writer = -1},
        .on_wake = options->on_wake,
        .user = options->user,
    };
    atomic_init(&made->stopped, false);
    atomic_init(&made->has_descriptor, false);
    if (sse_marks_init(&made->marks)) {
        sse_platform_deallocate(options->platform, made);
        return -ENOMEM;
    }
    if (pthread_mutex_init(&made->lock, NULL)) {
        sse_marks_destroy(&made->marks);
        sse_platform_deallocate(options->platform, made);
        return -ENOMEM;
    }
    made->marks.wake = wake;
    made->marks.unwatch = unwatch;
    *loop = made;
    return 0;
}

int sse_loop_new(struct sse_loop **loop, const struct sse_loop_options *given)
{
    struct sse_loop_options options = {.size = sizeof(options)};
    struct sse_loop *made;
    int error;

    if (!loop)
        return -EINVAL;
    if (given && !sse_options_copy(&options, sizeof(options), given, given->size, OPTIONS_SIZE_OLDEST))
        return -EINVAL;
    if (!sse_platform_is_valid(options.platform) || (unsigned)options.poller > SSE_POLLER_EPOLL)
        return -EINVAL;
    error = allocate(&made, &options);
    if (error)
        return error;
    if (!options.on_wake)
        error = open_poller(made, options.poller);
    if (error)
        sse_loop_destroy(made);
    else
        *loop = made;
    return error;
}
