/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/* What has to hold after every step. */

static bool is_due(uint64_t since, int64_t timer, uint64_t now)
{
    return timer != SSE_TIMER_OFF && now >= since && now - since >= milliseconds(timer);
}

/* After a tick, nobody is over time. */
static void check_timers(const struct connection *connection, const struct sse_emitter_info *info)
{
    const struct sse_emitter_options *options = &connection->options;
    struct world *world = connection->world;
    uint64_t now = world_now(world);
    size_t number = connection->number;

    expect(world, info->state != SSE_STATE_OPEN || !is_due(connection->created, options->lifetime_ms, now),
           "connection %zu: lives too long", number);
    expect(world,
           info->state == SSE_STATE_CLOSED || !info->queued_messages || connection_waits(connection) ||
               !is_due(connection->progress, options->stall_ms, now),
           "connection %zu: stalls too long", number);
    expect(world, info->state != SSE_STATE_DRAINING || now < connection->drain_end,
           "connection %zu: drains too long", number);
    expect(world,
           info->state != SSE_STATE_OPEN || info->queued_messages ||
               !is_due(connection->progress, options->heartbeat_ms, now),
           "connection %zu: no heartbeat", number);
}

void check_queue(const struct connection *connection)
{
    const struct sse_emitter_options *options = &connection->options;
    size_t bytes_max = options->queue_bytes ? options->queue_bytes : (size_t)1 << 20;
    struct world *world = connection->world;
    struct sse_emitter_info info;

    if (!connection_info(connection, &info))
        return;
    expect(world, info.queued_bytes <= bytes_max + connection->over, "connection %zu: %zu bytes are queued",
           connection->number, info.queued_bytes);
    expect_equal(world, connection->received_size, info.bytes, "bytes that the sink took");
    if (info.state == SSE_STATE_CLOSED || !info.queued_messages || connection->cut_off ||
        connection_waits(connection))
        return;
    expect(world, options->drain == SSE_DRAIN_PULL || connection->told_blocked,
           "connection %zu: bytes wait, and the host was not told", connection->number);
    expect(world, options->drain != SSE_DRAIN_PULL || !connection->peeked,
           "connection %zu: bytes wait, and its reader was not woken", connection->number);
}

/* Why it ended has to be something that happened. */
static void check_reason(const struct connection *connection)
{
    const struct sse_completion *completion = &connection->completion;
    struct world *world = connection->world;
    unsigned causes = connection->causes;
    bool holds = true;

    switch (completion->reason) {
    case SSE_REASON_NONE:
        holds = false;
        break;
    case SSE_REASON_COMPLETED:
        holds = (causes & CAUSE_COMPLETE) && !completion->error;
        break;
    case SSE_REASON_LIFETIME:
        holds = connection->options.lifetime_ms > 0 &&
                completion->age_ms >=
                    connection->options.lifetime_ms - connection->options.lifetime_jitter_ms - 1;
        break;
    case SSE_REASON_STALL:
        holds = connection->options.stall_ms > 0;
        break;
    case SSE_REASON_DRAIN:
        holds = connection->options.drain_ms > 0 || (causes & CAUSE_SHUTDOWN);
        break;
    case SSE_REASON_PEER_GONE:
    case SSE_REASON_IO_ERROR:
    case SSE_REASON_APPLICATION:
        holds = ((causes & CAUSE_SINK) && completion->error == connection->sink_error) ||
                ((causes & CAUSE_ERROR) && completion->error == connection->cause_error);
        break;
    case SSE_REASON_OVERFLOW:
        holds = connection->evicted || connection->refused_one || connection->uncertain;
        break;
    case SSE_REASON_DETACHED:
        holds = causes & CAUSE_DETACH;
        break;
    case SSE_REASON_SHUTDOWN:
        holds = causes & CAUSE_SHUTDOWN;
        break;
    }
    expect(world, holds, "connection %zu: ended with reason %d and error %d for no reason",
           connection->number, (int)completion->reason, completion->error);
}

static uint64_t drain_end(const struct connection *connection)
{
    int64_t drain = connection->options.drain_ms;

    return drain == SSE_TIMER_OFF ? NEVER : world_now(connection->world) + milliseconds(drain);
}

static void check_connection(struct connection *connection, bool ticked)
{
    struct world *world = connection->world;
    struct sse_emitter_info info;

    if (connection->completions && !connection->settled) {
        check_reason(connection);
        stream_settle(connection);
    }
    if (!connection_info(connection, &info))
        return;
    if (info.state != SSE_STATE_CLOSED || !connection_waits(connection))
        expect(world, !connection->finished == (info.state != SSE_STATE_CLOSED),
               "connection %zu: no hooks at its end", connection->number);
    if (connection->finished)
        return;
    if (info.queued_messages && !connection->was_queued)
        connection->progress = world_now(world);
    connection->was_queued = info.queued_messages > 0;
    connection->told_blocked &= info.queued_messages > 0;
    connection->queued = info.queued_bytes;
    if (info.state == SSE_STATE_DRAINING && connection->drain_end == NEVER)
        connection->drain_end = drain_end(connection);
    expect(world, !connection->leaving || info.state != SSE_STATE_OPEN, "connection %zu: stays, over a cap",
           connection->number);
    check_queue(connection);
    if (ticked && connection->member)
        check_timers(connection, &info);
}

static void check_stats(struct world *world)
{
    struct sse_registry_stats stats = {.size = sizeof(stats)};
    size_t backlog = 0;
    bool waits = false;
    uint64_t written = world->stats.written, dropped = world->stats.dropped;

    expect_equal(world, 0, (uint64_t)sse_registry_stats(world->registry, &stats),
                 "result of sse_registry_stats");
    for (size_t i = 0; i < world->connection_count; i++) {
        const struct connection *connection = world->connections[i];
        struct sse_emitter_info info;

        if (!connection->member || !connection_info(connection, &info))
            continue;
        backlog += info.queued_bytes;
        waits |= connection_waits(connection);
        written += info.events - connection->before_events;
        dropped += info.dropped - connection->before_dropped;
    }
    if (!waits)
        expect_equal(world, backlog, stats.backlog_bytes, "stats.backlog_bytes");
    expect_equal(world, count_members(world, BROADCAST), stats.emitters, "stats.emitters");
    expect_equal(world, world->history.all_count, stats.history_events, "stats.history_events");
    expect_equal(world, world->history.all_bytes, stats.history_bytes, "stats.history_bytes");
    expect_equal(world, world->stats.added, stats.added, "stats.added");
    expect_equal(world, world->stats.published, stats.published, "stats.published");
    expect_equal(world, world->stats.bytes, stats.bytes, "stats.bytes");
    expect_equal(world, world->stats.replays, stats.replays, "stats.replays");
    expect_equal(world, world->stats.replayed, stats.replayed, "stats.replayed");
    expect_equal(world, world->stats.gaps, stats.gaps, "stats.gaps");
    expect_equal(world, world->stats.refused, stats.refused, "stats.refused");
    expect_equal(world, written, stats.written, "stats.written");
    expect_equal(world, dropped, stats.dropped, "stats.dropped");
    for (size_t i = 0; i <= SSE_REASON_SHUTDOWN; i++)
        expect_equal(world, world->stats.closed[i], stats.closed[i], "stats.closed");
}

static void check_topics(struct world *world)
{
    struct sse_registry_stats stats = {.size = sizeof(stats)};
    size_t topics = 0;

    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        size_t members = count_members(world, topic);

        expect_equal(world, members, sse_registry_count(world->registry, topic_name(topic)),
                     "subscribers of a topic");
        topics += members || world->history.count[topic];
    }
    (void)sse_registry_stats(world->registry, &stats);
    expect_equal(world, topics, stats.topics, "stats.topics");
}

static void check_report(struct world *world)
{
    struct sse_shutdown_report report = {.size = sizeof(report)};
    int error = sse_registry_shutdown_report(world->registry, &report);

    expect_equal(world, (uint64_t)(world->shut_down ? 0 : -EAGAIN), (uint64_t)error, "result of the report");
    if (error)
        return;
    expect_equal(world, count_members(world, BROADCAST), report.remaining, "report.remaining");
    expect_equal(world, world->report.completed, report.completed, "report.completed");
    expect_equal(world, world->report.cut, report.cut, "report.cut");
    if (!world->left_uncertain)
        expect_equal(world, world->left, report.bytes_left, "report.bytes_left");
}

int ask_timeout(struct world *world)
{
    int timeout = sse_registry_next_timeout(world->registry);

    world->promised = NEVER;
    if (timeout >= 0)
        world->promised = world_now(world) + (timeout ? (uint64_t)timeout - 1 : 0) * MILLISECOND;
    return timeout;
}

/* Whoever is ready, or has a timer that is nearer than the host was told, wakes it. */
static void check_wake(struct world *world)
{
    uint64_t now = world_now(world), promised;
    int timeout;

    if (!world->scenario.wakes)
        return;
    for (size_t i = 0; i < world->connection_count; i++) {
        const struct connection *connection = world->connections[i];

        expect(world, world->woken || !connection->listed || connection->detached || !connection->emitter,
               "connection %zu: is ready, and the host sleeps", connection->number);
    }
    promised = world->promised;
    timeout = ask_timeout(world);
    expect(world, world->woken || timeout < 0 || now + (uint64_t)timeout * MILLISECOND >= promised,
           "a timer in %d ms, and the host sleeps longer", timeout);
}

void audit(struct world *world, bool ticked)
{
    check_wake(world);
    for (size_t i = 0; i < world->connection_count; i++)
        check_connection(world->connections[i], ticked);
    check_stats(world);
    check_topics(world);
    check_report(world);
}
