/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/* Checks after every step. */

/* With the emitters that ended in the current call: they may have counted when the budget was enforced. */
size_t count_backlog(const struct world *world)
{
    size_t backlog = 0;

    for (size_t i = 0; i < world->connection_count; i++) {
        const struct connection *connection = world->connections[i];

        if (connection->member)
            backlog += connection_backlog(connection);
        else if (connection->registered && connection->ended_in == world->call)
            backlog += connection->left;
    }
    return backlog;
}

static bool has_rest(const struct connection *connection)
{
    return connection->state == SSE_STATE_CLOSED || (connection->loop && !connection->loop->inside &&
                                                     !connection->loop->again && !connection->loop->woken);
}

/* A queue is within its limits once its owner has tried to write, and within four times its limits before. A reader
 * that was notified has until the next turn. */
static void check_limits(struct connection *connection)
{
    struct world *world = connection->world;
    const struct lane *tail = connection_tail(connection);
    bool tried = has_rest(connection) && !connection->has_later && !connection_is_pull(connection);

    if (connection->state == SSE_STATE_OPEN)
        expect(world, !lane_is_over(connection, tail, tried ? 1 : 4),
               "connection %zu: %zu bytes, %zu messages queued", connection->number, lane_bytes(tail),
               tail->count);
}

/* Without a loop the callbacks at the end run in the owner's next call. */
static void check_finished(const struct connection *connection)
{
    bool reader_comes = connection_is_pull(connection) && connection->owned;

    if (connection->looped || connection->state != SSE_STATE_CLOSED || reader_comes || connection->calls)
        return;
    expect(connection->world, connection->completions, "connection %zu: no callbacks at its end",
           connection->number);
}

static void check_connection(struct connection *connection)
{
    struct world *world = connection->world;

    sync_connection(connection);
    if (!connection->emitter)
        return;
    expect(world, sse_emitter_user(connection->emitter) == connection, "connection %zu: another user",
           connection->number);
    check_limits(connection);
    check_finished(connection);
}

/* The output had a chance to accept everything that is queued. */
static bool is_tried(const struct connection *connection)
{
    return connection->member && connection->full && !connection->has_later;
}

/* The bytes that owners have tried to write are within the budget, and all bytes within four times the budget. The
 * emitters with the most bytes end. */
void check_budget(struct world *world)
{
    size_t budget = world->scenario.options.backlog_bytes, backlog = 0, tried = 0, least = SIZE_MAX;

    if (!budget || !world->registry)
        return;
    for (size_t i = 0; i < world->connection_count; i++) {
        const struct connection *connection = world->connections[i];

        if (connection->member)
            backlog += connection_backlog(connection);
        if (is_tried(connection))
            tried += connection_backlog(connection);
        /* A callback of the same call may have published since, so others may have more now. */
        if (connection->relieved && connection->ended_in == world->call &&
            connection->ended_after == world->queued && connection->left < least)
            least = connection->left;
    }
    expect(world, tried <= budget && backlog <= 4 * budget, "a backlog of %zu bytes, %zu of them tried",
           backlog, tried);
    for (size_t i = 0; i < world->connection_count; i++) {
        const struct connection *connection = world->connections[i];

        expect(world, !is_tried(connection) || connection_backlog(connection) <= least,
               "the budget ended one with %zu bytes, but connection %zu has more", least, i);
    }
}

/* The owner of the output is done with it. */
static bool is_done(const struct connection *connection)
{
    if (connection_is_socket(connection) && !connection->options.keep_fd)
        return connection->settled;
    return !connection->owned;
}

/* From the emitters' own counts. */
static void count_emitters(const struct world *world, struct sse_registry_stats *stats)
{
    for (size_t i = 0; i < world->connection_count; i++) {
        const struct connection *connection = world->connections[i];

        if (!connection->registered)
            continue;
        stats->events_written += connection->events;
        stats->bytes_written += connection->received_size;
        stats->dropped += connection->dropped + connection->lost_early;
        stats->remaining += !is_done(connection);
        stats->backlog_bytes += connection->member ? connection_backlog(connection) : 0;
    }
}

static void check_numbers(struct world *world, const struct sse_registry_stats *expected,
                          const struct sse_registry_stats *stats)
{
    expect_equal(world, count_members(world, BROADCAST), stats->emitters, "stats.emitters");
    expect_equal(world, expected->remaining, stats->remaining, "stats.remaining");
    expect_equal(world, expected->backlog_bytes, stats->backlog_bytes, "stats.backlog_bytes");
    expect_equal(world, world->history.all_count, stats->history_events, "stats.history_events");
    expect_equal(world, world->history.all_bytes, stats->history_bytes, "stats.history_bytes");
    expect_equal(world, expected->added, stats->added, "stats.added");
    expect_equal(world, expected->refused, stats->refused, "stats.refused");
    expect_equal(world, expected->published, stats->published, "stats.published");
    expect_equal(world, expected->queued, stats->queued, "stats.queued");
    expect_equal(world, expected->events_written, stats->events_written, "stats.events_written");
    expect_equal(world, expected->bytes_written, stats->bytes_written, "stats.bytes_written");
    expect_equal(world, expected->dropped, stats->dropped, "stats.dropped");
    expect_equal(world, expected->replays, stats->replays, "stats.replays");
    expect_equal(world, expected->replayed, stats->replayed, "stats.replayed");
    expect_equal(world, expected->gaps, stats->gaps, "stats.gaps");
    for (size_t i = 0; i < SSE_REASON_COUNT_MAX; i++)
        expect_equal(world, expected->ended_by[i], stats->ended_by[i], "stats.ended_by");
    for (size_t i = 0; i < SSE_LATENCY_BUCKETS; i++)
        expect_equal(world, expected->latency[i], stats->latency[i], "stats.latency");
}

static void check_shutdown(struct world *world, const struct sse_registry_stats *stats)
{
    uint64_t left = world->stats.shutdown_bytes_left;

    expect_equal(world, world->shut_down, stats->shutting_down, "stats.shutting_down");
    expect_equal(world, world->stats.shutdown_completed, stats->shutdown_completed,
                 "stats.shutdown_completed");
    expect_equal(world, world->stats.shutdown_cut, stats->shutdown_cut, "stats.shutdown_cut");
    if (!world->left_uncertain)
        expect(world,
               stats->shutdown_bytes_left >= left && stats->shutdown_bytes_left <= left + world->left_slack,
               "stats.shutdown_bytes_left: %llu expected, is %llu", (unsigned long long)left,
               (unsigned long long)stats->shutdown_bytes_left);
}

static void check_topics(struct world *world, const struct sse_registry_stats *stats)
{
    size_t topics = 0;

    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        size_t members = count_members(world, topic);

        expect_equal(world, members, sse_registry_count(world->registry, topic_name(topic)),
                     "subscribers of a topic");
        topics += members || world->history.count[topic];
    }
    expect_equal(world, topics, stats->topics, "stats.topics");
}

static void check_stats(struct world *world)
{
    struct sse_registry_stats expected = world->stats, stats;

    history_expire(world);
    memset(&stats, 0xee, sizeof(stats));
    expect_equal(world, 0, (uint64_t)sse_registry_get_stats(world->registry, &stats, sizeof(stats)),
                 "result of sse_registry_get_stats");
    count_emitters(world, &expected);
    check_numbers(world, &expected, &stats);
    check_shutdown(world, &stats);
    check_topics(world, &stats);
    expect_equal(world, (uint64_t)(expected.remaining ? -ETIMEDOUT : 0),
                 (uint64_t)sse_registry_wait(world->registry, 0), "result of sse_registry_wait");
}

void audit(struct world *world)
{
    for (size_t i = 0; i < world->connection_count; i++)
        check_connection(world->connections[i]);
    check_loops(world);
    check_budget(world);
    if (world->registry)
        check_stats(world);
    world->call++;
}
