/* SPDX-License-Identifier: MIT */
#include "fake_loop.h"

#include <stdio.h>
#include <stdlib.h>

/* No test leaves more work than this. */
#define TURNS_MAX 100000

static void fail(const char *what)
{
    fprintf(stderr, "fake loop: %s\n", what);
    abort();
}

static void on_wake(struct sse_loop *inner, void *user)
{
    struct fake_loop *loop = user;

    if (inner != loop->loop)
        fail("on_wake for another loop");
    if (fake_loop_is_inside(loop))
        fail("on_wake from inside the turn");
    if (atomic_exchange(&loop->woken, true))
        fail("on_wake twice before a turn");
    atomic_fetch_add(&loop->wakes, 1);
    if (loop->act)
        loop->act(loop, loop->act_user);
}

void fake_loop_open(struct fake_loop *loop, struct fake_platform *fake)
{
    const struct sse_loop_options options = {
        .size = sizeof(options), .platform = &fake->platform, .on_wake = on_wake, .user = loop};

    *loop = (struct fake_loop){.loop = NULL};
    if (sse_loop_new(&loop->loop, &options))
        fail("no loop");
}

static void enter(struct fake_loop *loop)
{
    atomic_store(&loop->woken, false);
    loop->thread = pthread_self();
    atomic_store(&loop->inside, true);
}

int fake_loop_turn(struct fake_loop *loop)
{
    int result;

    enter(loop);
    result = sse_loop_turn(loop->loop);
    atomic_store(&loop->inside, false);
    if (result < -1)
        fail("a turn failed");
    return result;
}

int fake_loop_settle(struct fake_loop *loop)
{
    int result;
    int turns = 0;

    do {
        result = fake_loop_turn(loop);
        if (++turns > TURNS_MAX)
            fail("work is left after the most turns");
    } while (!result || atomic_load(&loop->woken));
    return result;
}

bool fake_loop_is_inside(const struct fake_loop *loop)
{
    return atomic_load(&loop->inside) && pthread_equal(loop->thread, pthread_self());
}

void fake_loop_close(struct fake_loop *loop)
{
    if (!loop->loop)
        return;
    enter(loop);
    sse_loop_free(loop->loop);
    atomic_store(&loop->inside, false);
    loop->loop = NULL;
}
