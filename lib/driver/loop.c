/* SPDX-License-Identifier: MIT */
#include "driver/memory.h"
#include "driver/wake.h"
#include "driver/watches.h"

#include <errno.h>
#include <sse/loop.h>
#include <stdatomic.h>
#include <unistd.h>

/*
 * A round: wait, serve what happened, run the timers, collect the emitters that the registry calls
 * ready, see to those that are due. Only this changes or closes a watch, so within a round a watch
 * that is closed is marked and kept: events that were collected before may still point to it.
 * No lock is held while a function of the library is called that may run hooks.
 */

/* sse_loop_stop is called from signal handlers. */
_Static_assert(ATOMIC_BOOL_LOCK_FREE == 2, "an atomic_bool needs a lock here");

struct sse_loop {
    const struct sse_host *host;
    pid_t process; /* the only one that the loop is for: its descriptors are a forked child's too */
    struct sse_registry *registry;
    struct poller *poller;
    struct wake wake;
    struct poller_item wake_item;
    struct watches watches;
    struct watch *first_closed; /* in this round */
    bool cork;
    atomic_bool stopped;

    pthread_mutex_t inside_lock;
    bool inside; /* a thread is past its wait, and may run hooks */
    pthread_t inside_thread;
};

static bool options_are_valid(const struct sse_loop_options *options)
{
    const struct sse_host *host;

    if (options->size != sizeof(*options))
        return false;
    if (options->poller != SSE_POLLER_BEST && options->poller != SSE_POLLER_POLL &&
        options->poller != SSE_POLLER_EPOLL)
        return false;
    host = options->host;
    return !host || (host->size == sizeof(*host) && !host->allocate == !host->release);
}

static int open_poller(struct sse_loop *loop, enum sse_poller kind)
{
    int error = -ENOTSUP;

    if (kind != SSE_POLLER_POLL)
        error = sse_poller_epoll_new(&loop->poller, loop->host);
    if (error == -ENOTSUP && kind != SSE_POLLER_EPOLL)
        error = sse_poller_poll_new(&loop->poller, loop->host);
    return error;
}

static int open_descriptors(struct sse_loop *loop, enum sse_poller kind)
{
    int error = open_poller(loop, kind);

    if (!error)
        error = sse_wake_open(&loop->wake);
    if (error)
        return error;
    loop->wake_item = (struct poller_item){.descriptor = loop->wake.reader, .interest = POLLER_INPUT};
    return loop->poller->add(loop->poller, &loop->wake_item);
}

static int allocate_loop(struct sse_loop **loop, const struct sse_host *host)
{
    struct sse_loop *made = memory_allocate(host, sizeof(*made));

    if (!made)
        return -ENOMEM;
    *made = (struct sse_loop){.host = host, .process = getpid(), .wake = {.reader = -1, .writer = -1}};
    atomic_init(&made->stopped, false);
    if (pthread_mutex_init(&made->inside_lock, NULL)) {
        memory_release(host, made);
        return -ENOMEM;
    }
    if (sse_watches_init(&made->watches, host)) {
        pthread_mutex_destroy(&made->inside_lock);
        memory_release(host, made);
        return -ENOMEM;
    }
    *loop = made;
    return 0;
}

static void close_poller(struct sse_loop *loop)
{
    if (loop->poller)
        loop->poller->free(loop->poller);
    loop->poller = NULL;
}

static void destroy(struct sse_loop *loop)
{
    close_poller(loop);
    sse_wake_close(&loop->wake);
    sse_watches_free(&loop->watches);
    pthread_mutex_destroy(&loop->inside_lock);
    memory_release(loop->host, loop);
}

/* A cancelled thread must not leave on_wake, or half of an add, behind. */
static void wake(const struct sse_loop *loop)
{
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    sse_wake_raise(&loop->wake);
    pthread_setcancelstate(cancel_state, NULL);
}

static bool is_inside(struct sse_loop *loop)
{
    bool inside;

    pthread_mutex_lock(&loop->inside_lock);
    inside = loop->inside && pthread_equal(loop->inside_thread, pthread_self());
    pthread_mutex_unlock(&loop->inside_lock);
    return inside;
}

static void on_wake(struct sse_registry *registry, void *user)
{
    (void)registry;
    wake(user);
}

int sse_loop_new(struct sse_loop **loop, struct sse_registry *registry,
                 const struct sse_loop_options *options)
{
    static const struct sse_loop_options defaults = {.size = sizeof(defaults)};
    struct sse_loop *made;
    int error;

    if (!options)
        options = &defaults;
    if (!loop || !registry || !options_are_valid(options))
        return -EINVAL;
    error = allocate_loop(&made, options->host);
    if (error)
        return error;
    error = open_descriptors(made, options->poller);
    if (error) {
        destroy(made);
        return error;
    }
    error = sse_registry_set_wake(registry, on_wake, made);
    if (error) {
        destroy(made);
        return error;
    }
    made->registry = sse_registry_ref(registry);
    made->cork = options->cork;
    if (made->cork)
        (void)sse_registry_hold(registry);
    *loop = made;
    return 0;
}

static int check(const struct sse_loop *loop)
{
    if (!loop)
        return -EINVAL;
    return loop->process == getpid() ? 0 : -EPERM;
}

/* The emitter has ended, or ends here. */
static void forget(struct sse_loop *loop, struct watch *watch)
{
    struct sse_emitter *emitter = watch->emitter;

    sse_emitter_detach(emitter);
    if (loop->poller)
        loop->poller->remove(loop->poller, &watch->item);
    sse_watches_remove(&loop->watches, watch);
    sse_watch_close(watch, !check(loop));
    watch->emitter = NULL;
    watch->next_closed = loop->first_closed;
    loop->first_closed = watch;
    sse_emitter_unref(emitter);
}

static void free_closed(struct sse_loop *loop)
{
    struct watch *watch;

    while ((watch = loop->first_closed)) {
        loop->first_closed = watch->next_closed;
        memory_release(loop->host, watch);
    }
}

void sse_loop_free(struct sse_loop *loop)
{
    struct watch *watch;
    int cancel_state;

    /* What another thread of the parent was inside of stays with the child. */
    if (!loop || (check(loop) && sse_watches_were_left_locked(&loop->watches)))
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (loop->cork)
        (void)sse_registry_release(loop->registry);
    (void)sse_registry_set_wake(loop->registry, NULL, NULL);
    /* As a whole, not item by item: an epoll is shared with the parent of a forked child. */
    close_poller(loop);
    while ((watch = sse_watches_last(&loop->watches)))
        forget(loop, watch);
    free_closed(loop);
    sse_registry_unref(loop->registry);
    destroy(loop);
    pthread_setcancelstate(cancel_state, NULL);
}

static bool has_ended(struct sse_emitter *emitter)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    return !sse_emitter_info(emitter, &info) && info.state == SSE_STATE_CLOSED;
}

/* After it has been added the emitter, and its watch, may be gone at any time. */
static int add_watch(struct sse_loop *loop, struct watch *watch, struct sse_emitter *emitter)
{
    int flags;
    int error = sse_watch_init(watch, emitter, &flags);

    if (error)
        return error;
    error = sse_watches_add(&loop->watches, watch, loop->poller);
    if (error)
        sse_watch_give_back(watch, flags);
    return error;
}

int sse_loop_add(struct sse_loop *loop, struct sse_emitter *emitter)
{
    struct watch *watch;
    int error = check(loop);

    if (error)
        return error;
    if (!emitter || sse_emitter_fd(emitter) < 0)
        return -EINVAL;
    /* One that has ended has left its registry, whichever that was. */
    if (!sse_registry_has(loop->registry, emitter) && !has_ended(emitter))
        return -EINVAL;
    watch = memory_allocate(loop->host, sizeof(*watch));
    if (!watch)
        return -ENOMEM;
    error = add_watch(loop, watch, emitter);
    if (error)
        memory_release(loop->host, watch);
    else
        wake(loop);
    return error;
}

static void serve(struct sse_loop *loop, struct watch *watch, unsigned happened)
{
    if (!watch->emitter)
        return;
    if (!sse_watch_serve(watch, happened, loop->poller))
        forget(loop, watch);
    else if (watch->unread)
        sse_watches_mark_due(&loop->watches, watch);
}

static void serve_events(struct sse_loop *loop, const struct poller_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        if (events[i].item == &loop->wake_item)
            sse_wake_clear(&loop->wake);
        else
            serve(loop, (struct watch *)(void *)events[i].item, events[i].happened);
    }
}

/* Asks again while there is more, but not for ever: clients that send without end must not keep the
 * timers from running. */
static void serve_all_events(struct sse_loop *loop, struct poller_event *events, int count)
{
    size_t turns = sse_watches_count(&loop->watches) / POLLER_EVENTS_MAX + 1;

    serve_events(loop, events, count);
    while (count == POLLER_EVENTS_MAX && turns--) {
        count = loop->poller->wait(loop->poller, events, 0);
        serve_events(loop, events, count);
    }
}

static void collect_ready(struct sse_loop *loop)
{
    struct sse_emitter *emitter;

    while ((emitter = sse_registry_next_ready(loop->registry))) {
        sse_watches_mark_emitter_due(&loop->watches, emitter);
        sse_emitter_unref(emitter);
    }
}

static void serve_due(struct sse_loop *loop)
{
    for (size_t count = sse_watches_due_count(&loop->watches); count; count--) {
        struct watch *watch = sse_watches_pop_due(&loop->watches);

        serve(loop, watch, POLLER_OUTPUT | (watch->unread ? POLLER_INPUT : 0u));
    }
}

static void set_inside(struct sse_loop *loop, bool inside)
{
    pthread_mutex_lock(&loop->inside_lock);
    loop->inside = inside;
    loop->inside_thread = pthread_self();
    pthread_mutex_unlock(&loop->inside_lock);
}

/* Not a cancellation point: only the wait before it is one. */
static void finish_round(struct sse_loop *loop, struct poller_event *events, int count)
{
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    set_inside(loop, true);
    serve_all_events(loop, events, count);
    if (loop->cork)
        (void)sse_registry_flush(loop->registry);
    (void)sse_registry_tick(loop->registry);
    collect_ready(loop);
    serve_due(loop);
    free_closed(loop);
    set_inside(loop, false);
    pthread_setcancelstate(cancel_state, NULL);
}

static int next_timeout(struct sse_loop *loop)
{
    return sse_watches_due_count(&loop->watches) ? 0 : sse_registry_next_timeout(loop->registry);
}

static int earlier(int left_ms, int right_ms)
{
    if (left_ms < 0)
        return right_ms;
    return right_ms < 0 || left_ms < right_ms ? left_ms : right_ms;
}

int sse_loop_dispatch(struct sse_loop *loop, int timeout_ms)
{
    struct poller_event events[POLLER_EVENTS_MAX];
    int count = check(loop);

    if (count)
        return count;
    if (timeout_ms < -1)
        return -EINVAL;
    if (is_inside(loop))
        return -EDEADLK;
    count = loop->poller->wait(loop->poller, events, earlier(timeout_ms, next_timeout(loop)));
    if (count < 0)
        return count;
    finish_round(loop, events, count);
    return 0;
}

int sse_loop_run(struct sse_loop *loop)
{
    int error = check(loop);

    if (error)
        return error;
    if (is_inside(loop))
        return -EDEADLK;
    while (!error && !atomic_exchange(&loop->stopped, false))
        error = sse_loop_dispatch(loop, -1);
    return error;
}

int sse_loop_stop(struct sse_loop *loop)
{
    int error = check(loop);

    if (error)
        return error;
    atomic_store(&loop->stopped, true);
    sse_wake_raise(&loop->wake);
    return 0;
}

int sse_loop_fd(struct sse_loop *loop)
{
    int error = check(loop);

    return error ? error : loop->poller->descriptor(loop->poller);
}

int sse_loop_next_timeout(struct sse_loop *loop)
{
    int error = check(loop);

    return error ? error : next_timeout(loop);
}
