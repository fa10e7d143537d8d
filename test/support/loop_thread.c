/* SPDX-License-Identifier: MIT */
#include "loop_thread.h"

/* A turn writes up to 256 messages of an emitter. */
#define SETTLING_TURNS 64

static _Thread_local const struct loop_thread *mine;

static void on_wake(struct sse_loop *loop, void *user)
{
    struct loop_thread *thread = user;

    (void)loop;
    require(mine != thread);
    loop_thread_kick(thread);
}

void loop_thread_open(struct loop_thread *thread, const struct sse_platform *platform, bool polled)
{
    const struct sse_loop_options options = {
        .size = sizeof(options), .platform = platform, .on_wake = polled ? NULL : on_wake, .user = thread};

    *thread = (struct loop_thread){.polled = polled};
    pthread_mutex_init(&thread->lock, NULL);
    pthread_cond_init(&thread->changed, NULL);
    require(sse_loop_new(&thread->loop, &options) == 0);
}

void loop_thread_kick(struct loop_thread *thread)
{
    if (thread->polled) {
        require(sse_loop_stop(thread->loop) == 0);
        return;
    }
    pthread_mutex_lock(&thread->lock);
    thread->woken = true;
    pthread_cond_signal(&thread->changed);
    pthread_mutex_unlock(&thread->lock);
}

static bool is_stopping(struct loop_thread *thread)
{
    bool stopping;

    pthread_mutex_lock(&thread->lock);
    stopping = thread->stopping;
    pthread_mutex_unlock(&thread->lock);
    return stopping;
}

/* Returns false when the thread must end. */
static bool wait_for_wake(struct loop_thread *thread)
{
    bool woken;

    pthread_mutex_lock(&thread->lock);
    while (!thread->woken && !thread->stopping)
        pthread_cond_wait(&thread->changed, &thread->lock);
    woken = thread->woken;
    thread->woken = false;
    pthread_mutex_unlock(&thread->lock);
    return woken;
}

static void turn_until_done(struct loop_thread *thread)
{
    int result;

    do {
        result = sse_loop_turn(thread->loop);
        require(result >= -1);
    } while (result == 0);
}

static void *drive(void *user)
{
    struct loop_thread *thread = user;

    mine = thread;
    do
        turn_until_done(thread);
    while (wait_for_wake(thread));
    return NULL;
}

static void *run(void *user)
{
    struct loop_thread *thread = user;

    mine = thread;
    while (!is_stopping(thread))
        require(sse_loop_run(thread->loop) == 0);
    return NULL;
}

void loop_thread_start(struct loop_thread *thread)
{
    thread->stopping = false;
    require(pthread_create(&thread->thread, NULL, thread->polled ? run : drive, thread) == 0);
}

void loop_thread_stop(struct loop_thread *thread)
{
    pthread_mutex_lock(&thread->lock);
    thread->stopping = true;
    pthread_cond_signal(&thread->changed);
    pthread_mutex_unlock(&thread->lock);
    if (thread->polled)
        require(sse_loop_stop(thread->loop) == 0);
    require(pthread_join(thread->thread, NULL) == 0);
    loop_thread_settle(thread);
}

void loop_thread_settle(struct loop_thread *thread)
{
    const struct loop_thread *before = mine;

    for (int turns = 0; thread->polled && turns < SETTLING_TURNS; turns++)
        loop_thread_turn(thread);
    mine = thread;
    /* Only if it was woken: a wake that is lost must show. */
    while (!thread->polled && wait_for_wake(thread))
        turn_until_done(thread);
    mine = before;
}

void loop_thread_turn(struct loop_thread *thread)
{
    const struct loop_thread *before = mine;

    mine = thread;
    if (thread->polled)
        require(sse_loop_dispatch(thread->loop, 0) == 0);
    else
        require(sse_loop_turn(thread->loop) >= -1);
    mine = before;
}

void loop_thread_free_loop(struct loop_thread *thread)
{
    const struct loop_thread *before = mine;

    /* Helgrind and DRD treat an atomic store as a plain one, but not an exchange. */
    (void)atomic_exchange_explicit(&thread->freeing, true, memory_order_relaxed);
    mine = thread;
    sse_loop_free(thread->loop);
    mine = before;
}

void loop_thread_close(struct loop_thread *thread)
{
    if (!atomic_load(&thread->freeing))
        loop_thread_free_loop(thread);
    pthread_cond_destroy(&thread->changed);
    pthread_mutex_destroy(&thread->lock);
}

bool loop_thread_is_mine(const struct loop_thread *thread)
{
    return mine == thread;
}
