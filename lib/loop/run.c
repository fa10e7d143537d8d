/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "connection/mark.h"
#include "connection/write.h"
#include "loop/loop.h"

#include <errno.h>

/* sse_loop_stop is called from signal handlers. */
_Static_assert(ATOMIC_BOOL_LOCK_FREE == 2, "an atomic_bool needs a lock here");

/* Notes what a descriptor has reported, and marks its emitter. Lock of the loop held. */
static void note_event(struct sse_emitter *emitter, unsigned happened, struct mark_chain *chain)
{
    pthread_mutex_lock(&emitter->lock);
    if (happened & (POLLER_ERROR | POLLER_INVALID))
        emitter->is_gone = true;
    if (happened & (POLLER_INPUT | POLLER_HANGUP))
        emitter->has_input = true;
    if (happened & POLLER_OUTPUT && emitter->output_kind != OUTPUT_PULL)
        sse_emitter_note_room(emitter);
    sse_emitter_mark(emitter, chain);
    pthread_mutex_unlock(&emitter->lock);
}

/* Room is noted for those that ask for it. Otherwise each stream of a connection that writes would call the write
 * callbacks of all others, which wait for something else. */
static void note_event_of_watcher(const struct watch *watch, struct watcher *watcher, unsigned happened,
                                  struct mark_chain *chain)
{
    if (!(watcher->interest & POLLER_OUTPUT))
        happened &= ~(unsigned)POLLER_OUTPUT;
    if (happened & POLLER_OUTPUT)
        sse_watches_note_room(watch, watcher);
    if (happened)
        note_event(watcher->emitter, happened, chain);
}

static void note_event_of_watch(struct sse_loop *loop, const struct watch *watch,
                                const struct poller_event *event, struct mark_chain *chain)
{
    if (watch->writer)
        note_event(watch->writer, event->happened, chain);
    for (uint32_t i = 0; i < sse_watch_count(watch); i++)
        note_event_of_watcher(watch, sse_watch_at(watch, i), event->happened, chain);
    /* The emitter that asked for room may no longer watch. Then poll(2) would report it for ever. */
    if (watch->watchers)
        sse_watches_ask_again(&loop->watches, event->descriptor, loop->poller);
}

static void note_events(struct sse_loop *loop, const struct poller_event *events, int count)
{
    struct mark_chain chain = {.to_wake = NULL};

    pthread_mutex_lock(&loop->lock);
    for (int i = 0; i < count; i++) {
        const struct watch *watch = sse_watches_find(&loop->watches, events[i].descriptor);

        if (events[i].descriptor == loop->wake.reader)
            sse_wake_clear(&loop->wake);
        else if (watch && watch->generation == events[i].generation)
            note_event_of_watch(loop, watch, &events[i], &chain);
    }
    pthread_mutex_unlock(&loop->lock);
    sse_mark_chain_finish(&chain);
}

/* The only place where a thread that runs the loop can be cancelled: no lock is held here, and no turn is due. */
static int wait_for_events(struct sse_loop *loop, struct poller_event *events, int timeout_ms)
{
    int count;

    pthread_setcancelstate(loop->cancel_state, NULL);
    count = loop->poller->wait(loop->poller, events, timeout_ms);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return count;
}

/* Waits, and then notes all events that there are. The number of waits is limited, because the timers must run even
 * if clients send without end. 0, or a negative errno. */
static int collect_events(struct sse_loop *loop, int timeout_ms)
{
    struct poller_event events[POLLER_EVENTS_MAX];
    size_t waits = sse_loop_count(loop) / POLLER_EVENTS_MAX + 1;
    int count = wait_for_events(loop, events, timeout_ms);

    if (count < 0)
        return count;
    sse_marks_rouse(&loop->marks);
    note_events(loop, events, count);
    while (count == POLLER_EVENTS_MAX && waits--) {
        count = loop->poller->wait(loop->poller, events, 0);
        note_events(loop, events, count);
    }
    return 0;
}

static int earlier(int left_ms, int right_ms)
{
    if (left_ms < 0)
        return right_ms;
    return right_ms < 0 || left_ms < right_ms ? left_ms : right_ms;
}

/* Makes the descriptor readable when the next turn is due, for an event loop that waits for it. */
static void prepare_descriptor(struct sse_loop *loop, uint64_t next)
{
    if (!atomic_load(&loop->has_descriptor))
        return;
    if (!next)
        sse_wake_raise(&loop->wake);
    loop->poller->set_timer(loop->poller, next ? next : DEADLINE_NEVER);
}

static int dispatch(struct sse_loop *loop, int timeout_ms)
{
    uint64_t next = timeout_ms ? sse_loop_rest(loop, sse_platform_now(loop->platform)) : 0;
    int error = collect_events(loop, earlier(timeout_ms, deadline_timeout_ms(next, 0)));

    if (error)
        return error;
    sse_loop_set_in_turn(loop, true);
    next = sse_loop_run_turn(loop);
    sse_loop_set_in_turn(loop, false);
    prepare_descriptor(loop, next);
    return 0;
}

/* 0, or the error of run or dispatch. */
static int enter_polled(struct sse_loop *loop)
{
    int error = sse_loop_check(loop);

    if (!error && !loop->poller)
        error = -EINVAL;
    return error ? error : sse_loop_enter(loop, false);
}

static void leave_cancelled(void *loop)
{
    sse_loop_leave(loop);
}

/* Calls `serve`, whose wait is a cancellation point. */
static int run_entered(struct sse_loop *loop, int (*serve)(struct sse_loop *loop, int timeout_ms),
                       int timeout_ms)
{
    int result;

    pthread_cleanup_push(leave_cancelled, loop);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &loop->cancel_state);
    result = serve(loop, timeout_ms);
    pthread_setcancelstate(loop->cancel_state, NULL);
    pthread_cleanup_pop(1);
    return result;
}

int sse_loop_dispatch(struct sse_loop *loop, int timeout_ms)
{
    int error = timeout_ms < -1 ? -EINVAL : enter_polled(loop);

    return error ? error : run_entered(loop, dispatch, timeout_ms);
}

static bool has_finished(struct sse_loop *loop)
{
    bool finished;

    pthread_mutex_lock(&loop->lock);
    finished = loop->finishing && !loop->heap.count;
    pthread_mutex_unlock(&loop->lock);
    return finished;
}

static int dispatch_until_stopped(struct sse_loop *loop, int timeout_ms)
{
    int error = 0;

    while (!error && !atomic_exchange(&loop->stopped, false) && !has_finished(loop))
        error = dispatch(loop, timeout_ms);
    return error;
}

int sse_loop_run(struct sse_loop *loop)
{
    int error = enter_polled(loop);

    return error ? error : run_entered(loop, dispatch_until_stopped, -1);
}

int sse_loop_stop(struct sse_loop *loop)
{
    int error = sse_loop_check(loop);

    if (!error && !loop->poller)
        error = -EINVAL;
    if (error)
        return error;
    atomic_store(&loop->stopped, true);
    sse_wake_raise(&loop->wake);
    return 0;
}

int sse_loop_finish(struct sse_loop *loop)
{
    int error = sse_loop_check(loop);

    if (error)
        return error;
    pthread_mutex_lock(&loop->lock);
    loop->closed = true;
    loop->finishing = true;
    pthread_mutex_unlock(&loop->lock);
    sse_marks_wake(&loop->marks);
    return 0;
}

int sse_loop_fd(struct sse_loop *loop)
{
    int result = sse_loop_check(loop);

    if (result)
        return result;
    if (!loop->poller)
        return -EINVAL;
    result = loop->poller->descriptor(loop->poller);
    if (result < 0)
        return result;
    /* The next turn sets its timer. Only the first call wakes the loop, because a program may call this before each
     * wait. */
    if (!atomic_exchange(&loop->has_descriptor, true))
        sse_wake_raise(&loop->wake);
    return result;
}
