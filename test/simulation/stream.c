/* SPDX-License-Identifier: MIT */
#include "simulation.h"

/* Checks a stream that has ended, and its completion record. */

/* The events of a message that are complete within its first bytes. The others are dropped with the rest. */
static uint64_t count_part(struct connection *connection)
{
    const struct lane *front = &connection->front;
    const struct record *record;
    uint64_t events = 0;

    if (!front->written || front->items[0].kind != ITEM_RECORD || connection->chunked)
        return 0;
    record = &connection->world->records[front->items[0].record];
    for (unsigned i = 0; i < record->part_count && record->ends[i] <= front->written; i++) {
        events += is_dispatched(&record->events[i]);
        if (record->ids[i].ptr)
            connection->last_id = record->ids[i];
    }
    return events;
}

static void check_age(const struct connection *connection, const struct sse_completion *completion)
{
    struct world *world = connection->world;
    int64_t age = (int64_t)((world_now(world) - connection->created) / MILLISECOND);

    expect(world, completion->age_ms >= 0 && completion->age_ms <= age, "connection %zu: an age of %lld ms",
           connection->number, (long long)completion->age_ms);
}

static void check_heartbeats(const struct connection *connection)
{
    int64_t heartbeat = connection->options.heartbeat_ms ? connection->options.heartbeat_ms : 15000;
    uint64_t age = (world_now(connection->world) - connection->created) / MILLISECOND, most = 0;

    if (heartbeat > 0)
        most = age * 4 / (3 * (uint64_t)heartbeat) + 1;
    expect(connection->world, connection->heartbeats <= most, "connection %zu: %llu heartbeats in %llu ms",
           connection->number, (unsigned long long)connection->heartbeats, (unsigned long long)age);
}

void connection_settle(struct connection *connection, const struct sse_completion *completion)
{
    struct world *world = connection->world;
    uint64_t part = count_part(connection);
    uint64_t left =
        lane_events(connection, &connection->front) + lane_events(connection, &connection->later) - part;
    uint64_t dropped = connection->dropped;

    narrate(world, "%llu events, %llu bytes, %llu dropped", (unsigned long long)completion->events,
            (unsigned long long)completion->bytes, (unsigned long long)completion->dropped);
    expect_equal(world, connection->reason, completion->reason, "reason in the completion record");
    expect_equal(world, (uint64_t)connection->error, (uint64_t)completion->error,
                 "error in the completion record");
    expect_equal(world, connection->received_size, completion->bytes, "bytes in the completion record");
    expect_equal(world, connection->events + part, completion->events, "events in the completion record");
    expect(world,
           completion->dropped >= dropped + left &&
               completion->dropped <= dropped + left + connection->drop_slack,
           "connection %zu: %llu events dropped, not %llu", connection->number,
           (unsigned long long)(dropped + left), (unsigned long long)completion->dropped);
    expect(world,
           same_text(connection->last_id, completion->last_event_id) &&
               !connection->last_id.ptr == !completion->last_event_id.ptr,
           "connection %zu: the last id written is \"%.*s\"", connection->number,
           (int)connection->last_id.len, connection->last_id.ptr ? connection->last_id.ptr : "");
    check_age(connection, completion);
    check_heartbeats(connection);
    connection->events = completion->events;
    connection->dropped = completion->dropped;
    world->totals.drops += completion->dropped;
    connection->lost_early = 0;
    connection->settled = true;
    lane_clear(&connection->front);
    lane_clear(&connection->later);
}

/* The bytes of a message's frame within that many bytes of the stream. */
static size_t frame_within(const struct connection *connection, const struct piece *piece, size_t received)
{
    size_t whole = piece->item.size;

    if (connection->chunked)
        whole -= piece->frame - piece->start + 2;
    if (received <= piece->frame)
        return 0;
    return received - piece->frame < whole ? received - piece->frame : whole;
}

bool piece_is_body(const struct piece *piece)
{
    return piece->item.kind != ITEM_HEAD && piece->item.kind != ITEM_LAST_CHUNK;
}

struct sse_text piece_body(const struct connection *connection, const struct piece *piece, size_t received)
{
    return (struct sse_text){(const char *)connection->received + piece->frame,
                             frame_within(connection, piece, received)};
}
