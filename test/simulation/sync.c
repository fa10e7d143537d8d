/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/*
 * The model follows the library: an emitter's own actions (a heartbeat, the last chunk, an overflow, an end) are
 * recognised by its sizes and counters, and must be due.
 */

static bool is_due(uint64_t since, uint64_t timer, uint64_t now)
{
    return timer != NEVER && now >= since && now - since >= timer;
}

/* The earliest time that random bits allow. */
static uint64_t least_heartbeat(const struct connection *connection)
{
    uint64_t heartbeat = milliseconds(connection->options.heartbeat_ms, 15000);

    return heartbeat == NEVER ? NEVER : heartbeat - heartbeat / 4;
}

static uint64_t least_lifetime(const struct connection *connection)
{
    const struct sse_emitter_options *options = &connection->options;

    if (options->lifetime_ms <= 0)
        return NEVER;
    return (uint64_t)(options->lifetime_ms - options->lifetime_jitter_ms) * MILLISECOND;
}

static bool is_served(const struct connection *connection)
{
    return connection->calls || (connection->loop && connection->loop->inside);
}

static void note_draining(struct connection *connection)
{
    struct world *world = connection->world;
    uint64_t drain = milliseconds(connection->options.drain_ms, 5000);
    bool asked = connection->causes & (CAUSE_COMPLETE | CAUSE_SHUTDOWN | CAUSE_EVICT);

    narrate(world, "connection %zu drains", connection->number);
    connection->state = SSE_STATE_DRAINING;
    expect(world,
           asked || (is_served(connection) &&
                     is_due(connection->created, least_lifetime(connection), world_now(world))),
           "connection %zu: drains for no reason", connection->number);
    if (connection->paused)
        connection_drop_later(connection);
    if (connection->causes & CAUSE_SHUTDOWN)
        connection->drain_end = world->shutdown_end;
    else
        connection->drain_end = drain == NEVER ? NEVER : world_now(world) + drain;
}

static bool may_judge(const struct connection *connection)
{
    const struct lane *tail = connection->has_later ? &connection->later : &connection->front;

    return (is_served(connection) || connection_is_socket(connection)) && lane_is_over(connection, tail, 1);
}

static bool drops(const struct connection *connection)
{
    return connection->options.overflow == SSE_OVERFLOW_DROP_NEWEST ||
           connection->options.overflow == SSE_OVERFLOW_DROP_OLDEST;
}

/* Its own queue is full, or the budget is passed. */
static bool may_overflow(struct connection *connection)
{
    struct world *world = connection->world;
    size_t budget = world->scenario.options.backlog_bytes;

    if (connection->error == -ENOMEM)
        return memory_is_short(world);
    if (connection->error != -ENOBUFS)
        return false;
    if (connection->causes & CAUSE_OVERFLOW || (may_judge(connection) && !drops(connection)))
        return true;
    connection->relieved = true;
    return connection->registered && budget && count_backlog(world) > budget;
}

static bool is_disconnect(int error)
{
    return error == -EPIPE || error == -ECONNRESET || error == -ETIMEDOUT;
}

static bool was_aborted(const struct connection *connection)
{
    return (connection->causes & CAUSE_ABORT) && connection->error == connection->cause_error;
}

static bool has_failed(const struct connection *connection)
{
    if (connection_is_socket(connection))
        return (connection->causes & CAUSE_OUTPUT) && is_disconnect(connection->error);
    return (connection->causes & CAUSE_OUTPUT) && connection->error == connection->output_error;
}

static bool is_written(const struct connection *connection)
{
    return !connection->error && !connection->front.count && !connection->later.count;
}

static bool is_timed_out(const struct connection *connection, uint64_t since, uint64_t timer)
{
    return connection->error == -ETIMEDOUT && is_served(connection) &&
           is_due(since, timer, world_now(connection->world));
}

/* The reason of its end must have happened. */
static bool is_reason(struct connection *connection)
{
    const struct sse_emitter_options *options = &connection->options;
    uint64_t now = world_now(connection->world);
    unsigned causes = connection->causes;

    switch (connection->reason) {
    case SSE_REASON_NONE:
        return false;
    case SSE_REASON_COMPLETED:
        return (causes & CAUSE_COMPLETE) && is_written(connection);
    case SSE_REASON_EVICTED:
        return (causes & CAUSE_EVICT) && is_written(connection);
    case SSE_REASON_LIFETIME:
        return is_due(connection->created, least_lifetime(connection), now) && is_written(connection);
    case SSE_REASON_STALLED:
        return is_timed_out(connection, connection->progress, milliseconds(options->stall_ms, 30000)) &&
               connection_queued(connection);
    case SSE_REASON_DRAIN_TIMEOUT:
        return is_timed_out(connection, connection->drain_end, 0);
    case SSE_REASON_NOT_STARTED:
        return is_timed_out(connection, connection->created, milliseconds(options->start_ms, 30000)) &&
               connection->paused;
    case SSE_REASON_DISCONNECTED:
        return is_disconnect(connection->error) && (has_failed(connection) || was_aborted(connection));
    case SSE_REASON_OUTPUT_ERROR:
        return !is_disconnect(connection->error) && has_failed(connection);
    case SSE_REASON_ABORTED:
        return !is_disconnect(connection->error) && was_aborted(connection);
    case SSE_REASON_OVERFLOW:
        return may_overflow(connection);
    case SSE_REASON_CLOSED:
        return causes & (CAUSE_CLOSE | CAUSE_LOOP) && connection->error == -ECANCELED;
    case SSE_REASON_SHUTDOWN:
        return (causes & CAUSE_SHUTDOWN) &&
               (is_written(connection) || is_timed_out(connection, connection->drain_end, 0));
    }
    return false;
}

static bool has_last_chunk(const struct connection *connection)
{
    return connection->piece_count &&
           connection->pieces[connection->piece_count - 1].item.kind == ITEM_LAST_CHUNK;
}

/* The registry removes it at once, whoever ended it. */
static void leave_registry(struct connection *connection)
{
    struct world *world = connection->world;

    connection_left(connection);
    if (!connection->registered || !world->registry)
        return;
    world->stats.ended_by[connection->reason]++;
    if (!world->shut_down)
        return;
    world->stats.shutdown_completed += !connection->error;
    world->stats.shutdown_cut += connection->error != 0;
    world->stats.shutdown_bytes_left += connection->error ? connection->left : 0;
    if (connection->error && connection->chunked && connection->state == SSE_STATE_DRAINING &&
        !has_last_chunk(connection))
        world->left_slack += strlen("0\r\n\r\n");
    world->left_uncertain |= connection->in_write || memory_is_short(world);
}

/* Events behind a pause are dropped, and do not prevent a graceful end. */
static void note_end_of_pause(struct connection *connection)
{
    enum sse_reason reason = connection->reason;

    if (connection->paused &&
        (reason == SSE_REASON_COMPLETED || reason == SSE_REASON_LIFETIME || reason == SSE_REASON_SHUTDOWN ||
         reason == SSE_REASON_EVICTED))
        connection_drop_later(connection);
}

static void note_closed(struct connection *connection, const struct sse_emitter_info *info)
{
    struct world *world = connection->world;

    connection->reason = info->reason;
    connection->error = info->error;
    note_end_of_pause(connection);
    narrate(world, "connection %zu ended: reason %d, error %d", connection->number, (int)info->reason,
            info->error);
    expect(world, is_reason(connection), "connection %zu: ended with reason %d and error %d for no reason",
           connection->number, (int)info->reason, info->error);
    expect(world, connection->error || !connection->chunked || has_last_chunk(connection),
           "connection %zu: no last chunk after a graceful end", connection->number);
    connection->left = connection_backlog(connection);
    if (connection->paused)
        connection_choose(connection, false);
    connection->paused = false;
    connection->ended_in = world->call;
    connection->ended_after = world->queued;
    leave_registry(connection);
    connection->state = SSE_STATE_CLOSED;
}

static bool is_same(const struct connection *connection, const struct sse_emitter_info *info)
{
    return info->queued_bytes == connection_queued(connection) && info->dropped >= connection->dropped &&
           info->dropped <= connection->dropped + connection->drop_slack;
}

/* The owner tried to write, and the queue is still over its limits. */
static void judge(struct connection *connection)
{
    narrate(connection->world, "connection %zu is over its limits", connection->number);
    (void)lane_judge(connection, connection_tail(connection), &connection->dropped);
}

static void queue_heartbeat(struct connection *connection)
{
    struct world *world = connection->world;

    expect(world,
           is_served(connection) &&
               is_due(connection->progress, least_heartbeat(connection), world_now(world)),
           "connection %zu: a heartbeat too early", connection->number);
    connection->heartbeats++;
    connection_queue(connection, &connection->front, (struct item){.kind = ITEM_HEARTBEAT});
    lane_exempt_all(&connection->front);
}

/* Checks that nothing unexpected has happened. */
static void follow(struct connection *connection, const struct sse_emitter_info *info, bool was_open)
{
    const struct item heartbeat = {.kind = ITEM_HEARTBEAT};

    if (info->dropped > connection->dropped && drops(connection) && may_judge(connection))
        judge(connection);
    if (connection_queued(connection))
        return;
    if (was_open && info->queued_bytes == wire_size(connection, &heartbeat))
        queue_heartbeat(connection);
    else if (connection->state == SSE_STATE_DRAINING && connection->chunked)
        connection_queue(connection, &connection->front, (struct item){.kind = ITEM_LAST_CHUNK});
}

/* A part of the queue at the end may count at once. */
static void follow_lost(struct connection *connection, const struct sse_emitter_info *info)
{
    if (connection->settled)
        return;
    connection->lost_early = info->dropped - connection->dropped;
    expect(connection->world,
           connection->lost_early <= connection->drop_slack + lane_events(connection, &connection->front) +
                                         lane_events(connection, &connection->later),
           "connection %zu: %llu events dropped after %llu", connection->number,
           (unsigned long long)info->dropped, (unsigned long long)connection->dropped);
}

void follow_written(struct connection *connection, unsigned char byte)
{
    if (connection->chunked && byte == '0')
        connection_queue(connection, &connection->front, (struct item){.kind = ITEM_LAST_CHUNK});
    else
        queue_heartbeat(connection);
}

/* Only now it is visible whether the event that ended it counts. */
static void follow_dropped(struct connection *connection, const struct sse_emitter_info *info)
{
    uint64_t more = info->dropped - connection->dropped;

    if (info->dropped > connection->dropped && more <= connection->drop_slack) {
        connection->drop_slack -= more;
        connection->dropped = info->dropped;
    }
}

void sync_connection(struct connection *connection)
{
    struct world *world = connection->world;
    struct sse_emitter_info info;
    bool was_open = connection->state == SSE_STATE_OPEN;

    if (!connection_info(connection, &info))
        return;
    expect(world, connection->state <= info.state, "connection %zu: state %d after %d", connection->number,
           (int)info.state, (int)connection->state);
    if (connection->state == SSE_STATE_CLOSED) {
        follow_lost(connection, &info);
        return;
    }
    if (connection_is_socket(connection)) {
        settle_send(connection);
        socket_follow(connection, info.bytes);
    }
    if (was_open && info.state != SSE_STATE_OPEN && info.reason == SSE_REASON_NONE)
        note_draining(connection);
    if (info.state == SSE_STATE_CLOSED) {
        note_closed(connection, &info);
        follow_dropped(connection, &info);
        follow_lost(connection, &info);
        return;
    }
    if (!is_same(connection, &info))
        take_back_send(connection);
    if (!is_same(connection, &info))
        follow(connection, &info, was_open);
    expect(world, is_same(connection, &info),
           "connection %zu: %zu bytes are queued and %llu events dropped, not %zu and %llu",
           connection->number, connection_queued(connection), (unsigned long long)connection->dropped,
           info.queued_bytes, (unsigned long long)info.dropped);
    expect_equal(world, connection->received_size, info.bytes, "bytes written");
    expect_equal(world, connection->events, info.events, "events written");
    expect_equal(world, connection->paused, info.paused, "whether it is paused");
    follow_dropped(connection, &info);
}

void sync_all(struct world *world)
{
    for (size_t i = 0; i < world->connection_count; i++)
        sync_connection(world->connections[i]);
}
