/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/* The end of the registry. */

/* The first event of all is not queued behind a pause. */
static void queue_final(struct connection *connection, struct item item)
{
    struct lane *lane = connection->paused ? &connection->front : connection_tail(connection);

    connection_queue(connection, lane, item);
    lane_exempt_all(lane);
}

static void end_one(struct connection *connection, const struct sse_shutdown_options *options)
{
    struct world *world = connection->world;
    const struct lane *lane = connection->paused ? &connection->front : connection_tail(connection);

    connection->causes |= CAUSE_SHUTDOWN;
    if (connection->state != SSE_STATE_OPEN) {
        if (connection->drain_end > world->shutdown_end)
            connection->drain_end = world->shutdown_end;
        return;
    }
    connection->count_before = lane->count;
    connection->exempt_before = lane->exempt;
    if (options->final_event)
        queue_final(connection, (struct item){.kind = ITEM_RECORD, .record = world->record_count - 1});
    if (options->retry_min_ms)
        queue_final(connection, (struct item){.kind = ITEM_RETRY});
}

static void begin(struct world *world, const struct sse_shutdown_options *options)
{
    world->shut_down = true;
    world->shutdown_end = world_now(world) + (uint64_t)options->drain_ms * MILLISECOND;
    for (size_t i = 0; i < world->connection_count; i++)
        if (world->connections[i]->member)
            end_one(world->connections[i], options);
}

static void draw_options(struct world *world, struct sse_shutdown_options *options)
{
    static const struct sse_event final_event = {.type = {"farewell", 8}, .data = {"see you", 7}};

    if (chance_percent(world, 60)) {
        options->final_event = &final_event;
        (void)record_new(world, DIRECT, &final_event, 1);
    }
    if (chance_percent(world, 60)) {
        options->retry_min_ms = world->retry_min = 3000;
        options->retry_max_ms = world->retry_max = 3000 + (int64_t)chance_below(world, 5000);
    }
    options->drain_ms = chance_percent(world, 30) ? 0 : (int64_t)chance_below(world, 3000);
}

static bool is_queued(const struct connection *connection)
{
    struct sse_emitter_info info;

    return !connection_info(connection, &info) || info.state == SSE_STATE_CLOSED ||
           info.queued_bytes == connection_queued(connection);
}

static void take_out(struct connection *connection, enum item_kind kind)
{
    struct lane *lane = connection->paused ? &connection->front : connection_tail(connection);

    if (!lane->count || lane->items[lane->count - 1].kind != kind)
        return;
    lane_remove(lane, lane->count - 1);
    if (lane->count == connection->count_before)
        lane->exempt = connection->exempt_before;
}

/* Without memory for it, an emitter gets no final event, or no retry. */
static void follow_shortage(struct connection *connection, const struct sse_shutdown_options *options)
{
    bool retry = options->retry_min_ms;

    if (is_queued(connection))
        return;
    take_out(connection, ITEM_RETRY);
    if (is_queued(connection))
        return;
    if (options->final_event)
        take_out(connection, ITEM_RECORD);
    if (retry && !is_queued(connection))
        queue_final(connection, (struct item){.kind = ITEM_RETRY});
    if (retry && !is_queued(connection))
        take_out(connection, ITEM_RETRY);
}

static void check_ended(struct world *world, const struct sse_shutdown_options *options, bool failed)
{
    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        if (!(connection->causes & CAUSE_SHUTDOWN))
            continue;
        if (failed)
            follow_shortage(connection, options);
        sync_connection(connection);
        expect(world, connection->state != SSE_STATE_OPEN, "connection %zu: open after the shutdown", i);
    }
}

void shut_down(struct world *world)
{
    struct sse_shutdown_options options = {.size = sizeof(options)};
    uint64_t calls = world->calls;
    int result = -ENOMEM;
    bool failed = true;

    sync_all(world);
    draw_options(world, &options);
    while (result == -ENOMEM && failed) {
        fail_begin(world);
        result = sse_registry_shutdown(world->registry, &options);
        failed = fail_end(world);
    }
    narrate(world, "shutdown within %lld ms: %d", (long long)options.drain_ms, result);
    expect_equal(world, 0, (uint64_t)result, "result of the shutdown");
    expect_equal(world, calls, world->calls, "callbacks inside the shutdown");
    begin(world, &options);
    check_ended(world, &options, failed);
    expect_equal(world, (uint64_t)-EALREADY, (uint64_t)sse_registry_shutdown(world->registry, &options),
                 "result of another shutdown");
}
