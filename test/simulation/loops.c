/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/* The loops, each driven by the server: when they are woken, and what a turn must do. */

/* A turn reads the clock once for this many emitters. */
#define EMITTERS_PER_READING 64

/* More turns in a row mean that a loop never becomes idle. */
#define TURNS_MAX 2000

void loop_open(struct loop *loop)
{
    struct world *world = loop->world;
    struct sse_loop_options options = {
        .size = sizeof(options),
        .platform = &world->fake.platform,
        .on_wake = on_wake,
        .user = loop,
    };
    bool failed;
    int error;

    fail_begin(world);
    error = sse_loop_new(&loop->loop, &options);
    failed = fail_end(world);
    expect(world, !error || (error == -ENOMEM && failed && !loop->loop), "loop %zu: sse_loop_new gives %d",
           loop->number, error);
    loop->due = NEVER;
    loop->woken = loop->again = loop->finishing = false;
}

/* Returns a loop that exists, or NULL. */
struct loop *loop_draw(struct world *world)
{
    struct loop *loop = &world->loops[chance_below(world, world->scenario.loops)];

    return loop->loop && !(world->quiet && loop->finishing) ? loop : NULL;
}

static bool is_silent(const struct connection *connection)
{
    return connection->state == SSE_STATE_CLOSED || !connection->owned;
}

/* The work of the next turn for an emitter; NULL: there is none. */
static const char *pending(const struct connection *connection)
{
    const struct lane *front = &connection->front;

    if (!connection->emitter)
        return NULL;
    if (connection->state == SSE_STATE_CLOSED && !connection->completions)
        return "its callbacks at the end";
    if (connection->completions && !connection->owned && !connection->refs)
        return "its release";
    if (connection_is_pull(connection))
        return connection->owned && connection->waiting &&
                       (connection_queued(connection) || connection->state == SSE_STATE_CLOSED)
                   ? "its reader"
                   : NULL;
    if (is_silent(connection) || connection->full)
        return connection->full && !connection->told_blocked && !is_silent(connection) ? "that it is full"
                                                                                       : NULL;
    if (connection_queued(connection))
        return "bytes to write";
    return connection->state == SSE_STATE_DRAINING && !front->count ? "its end" : NULL;
}

static uint64_t after(uint64_t since, uint64_t timer)
{
    return timer == NEVER || since == NEVER ? NEVER : since + timer;
}

static uint64_t earlier(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/* The latest time that random bits allow. */
static uint64_t deadline(const struct connection *connection)
{
    const struct sse_emitter_options *options = &connection->options;
    uint64_t lifetime = options->lifetime_ms ? milliseconds(options->lifetime_ms, 0) : NEVER;
    uint64_t earliest = connection->state == SSE_STATE_DRAINING ? connection->drain_end : NEVER;

    if (!connection->emitter || connection->state == SSE_STATE_CLOSED)
        return NEVER;
    if (connection_queued(connection))
        earliest = earlier(earliest, after(connection->progress, milliseconds(options->stall_ms, 30000)));
    if (connection->state != SSE_STATE_OPEN)
        return earliest;
    earliest = earlier(earliest, after(connection->created, lifetime));
    if (connection->paused)
        earliest = earlier(earliest, after(connection->created, milliseconds(options->start_ms, 30000)));
    if (!connection_queued(connection))
        earliest = earlier(earliest, after(connection->progress, milliseconds(options->heartbeat_ms, 15000)));
    return earliest;
}

static bool is_due(const struct loop *loop)
{
    return loop->woken || loop->again || loop->due <= world_now(loop->world);
}

/* Either its turn is due, or it has no work. */
static void loop_check(const struct loop *loop)
{
    struct world *world = loop->world;

    if (!loop->loop || loop->inside || is_due(loop))
        return;
    for (size_t i = 0; i < world->connection_count; i++) {
        const struct connection *connection = world->connections[i];
        const char *what;
        uint64_t at;

        if (connection->loop != loop)
            continue;
        what = pending(connection);
        expect(world, !what, "loop %zu sleeps, and connection %zu waits for %s", loop->number,
               connection->number, what);
        at = deadline(connection);
        expect(world, at == NEVER || loop->due < at + MILLISECOND,
               "loop %zu sleeps, and a timer of connection %zu is due in %lld us", loop->number,
               connection->number, (long long)((int64_t)(at - world_now(world)) / 1000));
    }
}

void check_loops(struct world *world)
{
    for (size_t i = 0; i < world->scenario.loops; i++) {
        struct loop *loop = &world->loops[i];
        size_t bound = 0;

        loop_check(loop);
        for (size_t j = 0; j < world->connection_count; j++)
            bound += world->connections[j]->loop == loop && world->connections[j]->emitter;
        if (!loop->loop || loop->inside)
            continue;
        expect_equal(world, bound, sse_loop_count(loop->loop), "result of sse_loop_count");
        expect(world, bound || is_due(loop) || loop->due == NEVER, "loop %zu is empty, and has a timer", i);
    }
}

/** The work at the beginning of a turn. */
struct duties {
    bool end[CONNECTIONS_MAX], write[CONNECTIONS_MAX], tell[CONNECTIONS_MAX];
};

static void note_duties(const struct loop *loop, struct duties *duties)
{
    struct world *world = loop->world;

    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];
        bool here = connection->loop == loop && connection->emitter;
        bool silent = is_silent(connection);

        duties->end[i] = here && connection->state == SSE_STATE_CLOSED && !connection->completions;
        duties->write[i] = here && !silent && connection->options.write && !connection->full &&
                           connection_queued(connection);
        duties->tell[i] = here && !silent && connection_is_pull(connection) && connection->waiting &&
                          connection_queued(connection);
        connection->writes = 0;
        connection->was_there = here;
        connection->told = connection->has_room = false;
    }
}

/* Every emitter with work at the beginning of the turn was served. */
static void check_duties(const struct loop *loop, const struct duties *duties, size_t count)
{
    struct world *world = loop->world;

    for (size_t i = 0; i < count; i++) {
        const struct connection *connection = world->connections[i];
        bool over = connection->state == SSE_STATE_CLOSED;

        expect(world, !duties->end[i] || connection->completions,
               "connection %zu: a turn without its callbacks at the end", i);
        expect(world, !duties->write[i] || connection->writes || over,
               "connection %zu: a turn without a write", i);
        expect(world, !duties->tell[i] || connection->told || !connection->waiting || over,
               "connection %zu: a turn without on_ready", i);
    }
}

/* Every timer that was due has run. */
static void check_timers(const struct loop *loop)
{
    struct world *world = loop->world;

    for (size_t i = 0; i < world->connection_count; i++) {
        const struct connection *connection = world->connections[i];

        if (connection->loop == loop)
            expect(world, deadline(connection) > world_now(world), "connection %zu: over time after a turn",
                   i);
    }
}

void loop_turn(struct loop *loop)
{
    struct world *world = loop->world;
    uint64_t nested = world->nested;
    size_t count = world->connection_count;
    struct duties duties;
    int result;

    sync_all(world);
    note_duties(loop, &duties);
    loop->woken = loop->again = false;
    loop->inside++;
    narrate(world, "turn of loop %zu", loop->number);
    world->reads_often = count > EMITTERS_PER_READING;
    fail_begin(world);
    result = sse_loop_turn(loop->loop);
    (void)fail_end(world);
    sync_all(world);
    loop->inside--;
    world->totals.turns++;
    narrate(world, "gives %d", result);
    expect(world, result >= -1, "loop %zu: a turn gives %d", loop->number, result);
    loop->again = !result;
    loop->due = result < 0 ? NEVER : world_now(world) + (uint64_t)result * MILLISECOND;
    check_duties(loop, &duties, count);
    if (nested == world->nested)
        check_timers(loop);
}

static void loop_rest(struct loop *loop)
{
    struct world *world = loop->world;

    for (unsigned turns = 0; loop->loop && is_due(loop); turns++) {
        expect(world, turns < TURNS_MAX, "loop %zu does not come to rest", loop->number);
        loop_turn(loop);
        audit(world);
    }
}

void serve_loops(struct world *world)
{
    for (size_t i = 0; i < world->scenario.loops; i++)
        if (!world->loops[i].inside)
            loop_rest(&world->loops[i]);
}

void loop_close(struct loop *loop)
{
    struct world *world = loop->world;
    struct sse_loop *dying = loop->loop;

    narrate(world, "loop %zu is freed", loop->number);
    sync_all(world);
    for (size_t i = 0; i < world->connection_count; i++)
        if (world->connections[i]->loop == loop)
            world->connections[i]->causes |= CAUSE_LOOP;
    loop->freeing = true;
    loop->inside++;
    fail_begin(world);
    sse_loop_free(dying);
    (void)fail_end(world);
    sync_all(world);
    loop->inside--;
    loop->freeing = false;
    loop->loop = NULL;
    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        if (connection->loop != loop)
            continue;
        expect(world, connection->completions || !connection->emitter,
               "connection %zu: its loop is freed, and it has not ended", i);
        expect(world, !connection->emitter || connection->owned || connection->refs,
               "connection %zu: its loop is freed, and it is not released", i);
        connection->loop = NULL;
    }
}

/* A callback must not take a turn of its own loop. */
void loop_nest(struct loop *loop)
{
    expect_equal(loop->world, (uint64_t)-EDEADLK, (uint64_t)sse_loop_turn(loop->loop),
                 "result of a turn inside a turn");
}

void loop_finish(struct loop *loop)
{
    narrate(loop->world, "loop %zu is to finish", loop->number);
    expect_equal(loop->world, 0, (uint64_t)sse_loop_finish(loop->loop), "result of sse_loop_finish");
    loop->finishing = true;
}
