/* SPDX-License-Identifier: MIT */
#include "api.h"
#include "faulty_calls.h"

/* The program ends in one of several orders. Then nothing must be left. */

/* This many rounds are enough to write every queue and to release every ended emitter. */
#define ROUNDS_MAX 400

enum { COMPLETE_FIRST = 1, LOOPS_FIRST = 2, SHUT_DOWN_FIRST = 4, RELEASE_ONLY = 8, LEAVE_FIRST = 16 };

static void serve_client(struct client *client)
{
    receive(client, SIZE_MAX);
    if (!is_usable(client) || look(client).state == SSE_STATE_CLOSED)
        return;
    if (client->output == SSE_OUTPUT_PULL)
        read_emitter(client, 4096);
    else
        flush(client);
}

/* Every client reads. A driven loop takes a turn only if it has asked for it. */
static void serve(struct world *world)
{
    for (size_t i = 0; i < world->client_count; i++)
        serve_client(world->clients[i]);
    for (size_t i = 0; i < LOOPS_MAX; i++) {
        struct loop *loop = &world->loops[i];

        if (loop->loop && (!loop->driven || loop_is_due(loop)))
            turn(loop);
    }
}

static bool has_ended(struct client *client)
{
    return !is_usable(client) || look(client).state == SSE_STATE_CLOSED;
}

static void complete_all(struct world *world)
{
    for (size_t i = 0; i < world->client_count; i++) {
        struct client *client = world->clients[i];

        if (!is_usable(client) || look(client).state != SSE_STATE_OPEN)
            continue;
        enter(world, IN_CALL, client, "complete");
        fuzz_expect(!sse_emitter_complete(client->emitter), "client %zu: not completed", client->number);
        leave(world);
    }
}

/* With room everywhere, each stream ends. */
static void drain(struct world *world)
{
    bool all = false;

    for (unsigned rounds = 0; !all; rounds++) {
        fuzz_expect(rounds < ROUNDS_MAX, "streams that were completed do not end");
        serve(world);
        all = true;
        for (size_t i = 0; i < world->client_count; i++)
            all = has_ended(world->clients[i]) && all;
    }
}

static void shut_down_all(struct world *world)
{
    const struct sse_event final_event = {.type = sse_str("final"), .data = sse_str("bye")};
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .final_event = &final_event,
                                                 .retry_min_ms = 1,
                                                 .retry_max_ms = 100,
                                                 .drain_ms = 1000};

    for (size_t i = 0; i < REGISTRIES_MAX; i++) {
        struct registry *registry = &world->registries[i];
        int result;

        if (!registry->registry)
            continue;
        enter(world, IN_OTHER, registry, "shutdown");
        result = sse_registry_shutdown(registry->registry, &options);
        leave(world);
        fuzz_expect(result == (registry->shut_down ? -EALREADY : 0), "the shutdown gives %d", result);
        registry->shut_down = true;
    }
}

static void leave_all(struct world *world)
{
    for (size_t i = 0; i < world->client_count; i++) {
        struct client *client = world->clients[i];

        client->gone |= client->output == SSE_OUTPUT_FD || client->watches;
        if (client->gone)
            pair_leave(&client->pair);
    }
}

/* Releases all references. With a loop, the stream may then continue until the loop ends. */
static void let_go(struct client *client, bool release_only)
{
    receive(client, SIZE_MAX);
    if (client->owned && !(release_only && client->looped))
        close_emitter(client);
    while (is_usable(client))
        release_reference(client);
}

/* An ended and closed emitter is released within the turns that its loop asks for. Draining ones continue. */
static bool are_released(const struct world *world)
{
    for (size_t i = 0; i < world->client_count; i++) {
        const struct client *client = world->clients[i];
        bool done = client->made && !client->references && (client->completions || client->closed);

        if (done && !client->releases && client->state != SSE_STATE_DRAINING)
            return false;
    }
    return true;
}

static void let_go_of_all(struct world *world, bool release_only)
{
    for (size_t i = 0; i < world->client_count; i++)
        let_go(world->clients[i], release_only);
    for (unsigned rounds = 0; rounds < 8 || !are_released(world); rounds++) {
        fuzz_expect(rounds < ROUNDS_MAX, "emitters that have ended are not released");
        serve(world);
    }
}

static void free_loops(struct world *world)
{
    for (size_t i = 0; i < LOOPS_MAX; i++)
        if (world->loops[i].loop)
            loop_free(&world->loops[i]);
}

static void check_client(struct client *client)
{
    if (!client->made) {
        stream_free(client);
        return;
    }
    receive(client, SIZE_MAX);
    fuzz_expect(client->completions == 1 && client->releases == 1,
                "client %zu: %u on_completion, %u on_release", client->number, client->completions,
                client->releases);
    if (client->output == SSE_OUTPUT_FD && client->pair.client >= 0 && !client->keeps)
        fuzz_expect(pair_has_ended(&client->pair), "client %zu: its descriptor is not closed",
                    client->number);
    stream_check_end(client);
    stream_free(client);
    if (client->output == SSE_OUTPUT_FD || client->watches)
        pair_close(&client->pair);
}

void world_end(struct world *world)
{
    unsigned order = world->order;

    world->ending = true;
    world->fail_at = 0;
    world->faulty_call = -1;
    if (order & LEAVE_FIRST)
        leave_all(world);
    if (order & SHUT_DOWN_FIRST)
        shut_down_all(world);
    if (order & COMPLETE_FIRST) {
        complete_all(world);
        drain(world);
    }
    if (order & LOOPS_FIRST)
        free_loops(world);
    let_go_of_all(world, order & RELEASE_ONLY);
    free_loops(world);
    for (size_t i = 0; i < world->client_count; i++)
        check_client(world->clients[i]);
    for (size_t i = 0; i < REGISTRIES_MAX; i++)
        registry_end(&world->registries[i]);
    for (size_t i = 0; i < MESSAGES_MAX; i++)
        sse_message_unref(world->messages[i]);
    fake_platform_check_no_leak(&world->fake);
}
