/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>
#include <stdlib.h>

/* One emitter: how it is made, and what was offered to it. */

static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

uint64_t milliseconds(int64_t option)
{
    return option == SSE_TIMER_OFF ? NEVER : (uint64_t)option * MILLISECOND;
}

static int64_t draw_timer(struct world *world, unsigned percent, int64_t least, size_t range)
{
    return chance_percent(world, percent) ? least + (int64_t)chance_below(world, range) : SSE_TIMER_OFF;
}

static void draw_timers(struct world *world, struct sse_emitter_options *options)
{
    options->lifetime_ms = draw_timer(world, 8, 100, 20000);
    if (options->lifetime_ms > 0 && chance_percent(world, 50))
        options->lifetime_jitter_ms = 1 + (int64_t)chance_below(world, (size_t)options->lifetime_ms);
    options->stall_ms = draw_timer(world, 40, 10, 5000);
    options->drain_ms = draw_timer(world, 60, 10, 2000);
    options->heartbeat_ms = draw_timer(world, 30, 20, 3000);
}

static void draw_options(struct connection *connection)
{
    struct world *world = connection->world;
    struct sse_emitter_options *options = &connection->options;

    *options = (struct sse_emitter_options){.size = sizeof(*options), .host = &world->fake.host};
    options->drain = chance_percent(world, 60) ? SSE_DRAIN_CALLBACK : SSE_DRAIN_PULL;
    options->framing = chance_percent(world, 50) ? SSE_FRAMING_CHUNKED : SSE_FRAMING_RAW;
    options->overflow = (enum sse_overflow)chance_below(world, 4);
    options->queue_bytes = chance_percent(world, 70) ? 120 + chance_below(world, 700) : 0;
    options->queue_messages = chance_percent(world, 50) ? 2 + chance_below(world, 8) : 0;
    if (chance_percent(world, 50))
        options->head = sse_str(head);
    if (chance_percent(world, 30))
        options->retry_ms = 900;
    draw_timers(world, options);
    hooks_install(options, connection);
    connection->head_size = options->head.len;
    connection->mood = (enum mood)chance_below(world, 3);
    connection->error_percent = chance_percent(world, 15) ? 5 : 0;
}

struct connection *connection_open(struct world *world)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    struct sse_emitter *emitter = NULL;
    size_t received;
    bool failed;
    int error;

    if (!connection)
        abort();
    *connection = (struct connection){.world = world, .number = world->connection_count};
    connection->created = connection->progress = world_now(world);
    connection->drain_end = NEVER;
    draw_options(connection);
    if (connection->options.retry_ms)
        connection_offer(connection, world->retry_record);
    world->connections[world->connection_count++] = connection;
    fail_begin(world);
    error = sse_emitter_new(&emitter, &connection->options);
    failed = fail_end(world);
    received = connection->received_size;
    narrate(
        world,
        "connection %zu: new, drain %d, framing %d, overflow %d, %zu bytes, %zu messages: %d (%zu written)",
        connection->number, (int)connection->options.drain, (int)connection->options.framing,
        (int)connection->options.overflow, connection->options.queue_bytes,
        connection->options.queue_messages, error, received);
    if (!error) {
        connection->held = true;
        connection->emitter = emitter;
        return connection;
    }
    expect(world, failed || error == connection->sink_error, "connection %zu: sse_emitter_new gives %d",
           connection->number, error);
    expect(world, !connection->finished && !connection->releases, "connection %zu: hooks without an emitter",
           connection->number);
    connection->settled = true;
    return NULL;
}

void connection_free(struct connection *connection)
{
    free(connection->items);
    free(connection->received);
    free(connection);
}

bool connection_info(const struct connection *connection, struct sse_emitter_info *info)
{
    *info = (struct sse_emitter_info){.size = sizeof(*info)};
    if (connection->emitter)
        return !sse_emitter_info(connection->emitter, info);
    if (connection->completions)
        info->state = SSE_STATE_CLOSED;
    info->reason = connection->completion.reason;
    info->error = connection->completion.error;
    return false;
}

bool connection_is_open(const struct connection *connection)
{
    struct sse_emitter_info info;

    return connection_info(connection, &info) && info.state == SSE_STATE_OPEN;
}

int end_error(const struct sse_emitter_info *info)
{
    if (info->state == SSE_STATE_OPEN)
        return 0;
    if (info->state == SSE_STATE_DRAINING || info->reason == SSE_REASON_COMPLETED ||
        info->reason == SSE_REASON_LIFETIME || !info->error)
        return -ESHUTDOWN;
    return info->error;
}

bool connection_fits(const struct connection *connection, const struct sse_emitter_info *info,
                     const struct record *record)
{
    size_t bytes_max = connection->options.queue_bytes ? connection->options.queue_bytes : (size_t)1 << 20;
    size_t count_max = connection->options.queue_messages ? connection->options.queue_messages : 4096;
    size_t size = record_wire_size(record, connection->options.framing == SSE_FRAMING_CHUNKED);

    return size <= bytes_max && info->queued_bytes <= bytes_max - size && info->queued_messages < count_max;
}

size_t connection_offer(struct connection *connection, size_t record)
{
    if (connection->item_count == connection->item_capacity) {
        connection->item_capacity = connection->item_capacity ? 2 * connection->item_capacity : 64;
        connection->items = realloc(connection->items, connection->item_capacity * sizeof(struct item));
        if (!connection->items)
            abort();
    }
    connection->items[connection->item_count] = (struct item){
        .record = record,
        .sent = connection->received_size,
        .pinned = connection->inside || connection->shown,
    };
    return connection->item_count++;
}

void connection_received(struct connection *connection, const void *bytes, size_t size)
{
    if (connection->received_size + size > connection->received_capacity) {
        connection->received_capacity = 2 * (connection->received_size + size) + 256;
        connection->received = realloc(connection->received, connection->received_capacity);
        if (!connection->received)
            abort();
    }
    memcpy(connection->received + connection->received_size, bytes, size);
    connection->received_size += size;
    connection->progress = world_now(connection->world);
}

void connection_left(struct connection *connection)
{
    connection->member = connection->leaving = false;
    connection->topics = 0;
}
