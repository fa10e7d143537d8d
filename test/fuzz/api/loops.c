/* SPDX-License-Identifier: MIT */
#include "api.h"

/* Loops: driven ones take a turn when they ask for it, or for no reason; polled ones are dispatched. */

#define MILLISECOND UINT64_C(1000000)

static void make_loop(struct world *world, struct loop *loop)
{
    static const int errors[] = {-EMFILE, -ENFILE, -ENOSPC, -ENOMEM, 0}, none[] = {0};
    struct sse_loop_options options = {.size = sizeof(options), .platform = &world->fake.platform};
    int error;

    *loop = (struct loop){.world = world, .driven = fuzz_below(&world->input, 2), .due = UINT64_MAX};
    options.poller = fuzz_one_in(&world->input, 2) ? SSE_POLLER_POLL : SSE_POLLER_BEST;
    if (loop->driven)
        options.on_wake = on_wake;
    options.user = loop;
    enter(world, IN_OTHER, loop, "sse_loop_new");
    error = sse_loop_new(&loop->loop, &options);
    leave(world);
    expect_result(world, "sse_loop_new", error, world->may_fail ? errors : none);
    fuzz_expect(!error == !!loop->loop, "a loop and an error, or neither");
}

static void turn_driven(struct loop *loop)
{
    struct world *world = loop->world;
    int result;

    loop->woken = loop->again = false;
    result = sse_loop_turn(loop->loop);
    fuzz_expect(result >= -1, "a turn gives %d", result);
    loop->again = !result;
    loop->due = result < 0 ? UINT64_MAX : world->fake.now + (uint64_t)result * MILLISECOND;
}

static void turn_polled(struct loop *loop)
{
    struct world *world = loop->world;
    int result;

    if (fuzz_one_in(&world->input, 8)) {
        fuzz_expect(!sse_loop_stop(loop->loop), "a loop cannot be stopped");
        result = sse_loop_run(loop->loop);
    } else {
        result = sse_loop_dispatch(loop->loop, 0);
    }
    fuzz_expect(!result || world->may_fail, "a polled loop gives %d", result);
}

static void turn_inside(const struct loop *loop)
{
    int result = loop->driven ? sse_loop_turn(loop->loop) : sse_loop_dispatch(loop->loop, 0);

    fuzz_expect(result == -EDEADLK, "a turn inside a turn gives %d", result);
}

void turn(struct loop *loop)
{
    if (loop->inside) {
        turn_inside(loop);
        return;
    }
    loop->inside = true;
    enter(loop->world, IN_TURN, loop, "turn");
    if (loop->driven)
        turn_driven(loop);
    else
        turn_polled(loop);
    leave(loop->world);
    loop->inside = false;
}

bool loop_is_due(const struct loop *loop)
{
    return loop->woken || loop->again || loop->due <= loop->world->fake.now;
}

static size_t count_bound(const struct loop *loop)
{
    const struct world *world = loop->world;
    size_t count = 0;

    for (size_t i = 0; i < world->client_count; i++)
        count += world->clients[i]->loop == loop && !world->clients[i]->releases;
    return count;
}

static void look_at_loop(struct loop *loop)
{
    size_t count = sse_loop_count(loop->loop);
    int result;

    fuzz_expect(count == count_bound(loop), "%zu emitters are bound to a loop, and it says %zu",
                count_bound(loop), count);
    if (loop->driven) {
        fuzz_expect(sse_loop_fd(loop->loop) == -EINVAL && sse_loop_run(loop->loop) == -EINVAL &&
                        sse_loop_stop(loop->loop) == -EINVAL,
                    "a driven loop is polled");
        return;
    }
    enter(loop->world, IN_OTHER, loop, "sse_loop_fd");
    result = sse_loop_fd(loop->loop);
    leave(loop->world);
    fuzz_expect(result >= 0 || result == -ENOTSUP || loop->world->may_fail, "the descriptor of a loop is %d",
                result);
    fuzz_expect(sse_loop_turn(loop->loop) == -EINVAL, "a polled loop is driven");
}

static void finish(struct loop *loop)
{
    fuzz_expect(!sse_loop_finish(loop->loop), "a loop cannot finish");
    loop->finishing = true;
}

/* A walk has a reference to the emitter that it visits next. */
static bool is_walking(const struct world *world)
{
    for (size_t i = 0; i < world->depth; i++)
        if (world->frames[i].kind == IN_WALK)
            return true;
    return false;
}

void loop_free(struct loop *loop)
{
    struct world *world = loop->world;

    loop->inside = loop->freeing = true;
    enter(world, IN_FREE, loop, "sse_loop_free");
    sse_loop_free(loop->loop);
    leave(world);
    for (size_t i = 0; i < world->client_count; i++) {
        struct client *client = world->clients[i];

        if (client->loop != loop)
            continue;
        fuzz_expect(client->completions, "client %zu: its loop is freed, and it has not ended",
                    client->number);
        fuzz_expect(client->releases || client->references || is_walking(world),
                    "client %zu: its loop is freed, and it is not", client->number);
        client->loop = NULL;
    }
    *loop = (struct loop){.world = world, .loop = NULL};
}

void call_loop(struct world *world)
{
    struct loop *loop = &world->loops[fuzz_below(&world->input, LOOPS_MAX)];
    unsigned which = fuzz_below(&world->input, 16);

    if (!loop->loop)
        make_loop(world, loop);
    else if (loop->freeing)
        return;
    else if (which == 15 && !loop->inside)
        loop_free(loop);
    else if (which == 14)
        finish(loop);
    else if (which == 13)
        look_at_loop(loop);
    else
        turn(loop);
}
