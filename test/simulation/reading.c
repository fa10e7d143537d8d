/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/* The readers of PULL emitters. */

#define PIECES_MAX 4
#define SHOWN_MAX 4096

static void check_end(struct connection *connection, ssize_t result)
{
    expect(connection->world, connection->state == SSE_STATE_CLOSED && result == end_error(connection),
           "connection %zu: its reader is told %zd", connection->number, result);
}

/* Nothing is queued, so on_ready must follow. */
static void wait_for_more(struct connection *connection, bool waits)
{
    connection->waiting = waits;
    connection->armed |= waits;
}

/* A wait of 0 milliseconds returns what a read would find. */
void look(struct connection *connection)
{
    struct world *world = connection->world;
    bool own = connection->in_callback, interrupted;
    int expected, result;
    bool counted;

    counted = call_begin(connection, true);
    world->reads_often = true;
    fail_begin(world);
    result = sse_emitter_wait(connection->emitter, 0);
    (void)fail_end(world);
    sync_connection(connection);
    call_end(connection, counted);
    narrate(world, "connection %zu: wait gives %d", connection->number, result);
    if (own) {
        bool ended = connection->looped && connection->state == SSE_STATE_CLOSED;

        expect(world, result == -EDEADLK || (ended && (result == end_error(connection) || result == -EINTR)),
               "connection %zu: a wait in its callback gives %d", connection->number, result);
        connection->interrupted &= result != -EINTR;
        return;
    }
    expected = (connection_queued(connection) > 0) == connection_is_pull(connection);
    if (connection->state == SSE_STATE_CLOSED)
        expected = end_error(connection);
    interrupted = connection->interrupted;
    connection->interrupted = false;
    expect_equal(world, (uint64_t)(interrupted ? -EINTR : expected), (uint64_t)result, "result of a wait");
}

void interrupt(struct connection *connection)
{
    expect_equal(connection->world, 0, (uint64_t)sse_emitter_interrupt(connection->emitter),
                 "result of sse_emitter_interrupt");
    connection->interrupted = true;
}

static void begin_reading(struct connection *connection)
{
    sync_connection(connection);
    connection->shown = 0;
    connection->front.pinned = 0;
    connection->ping_owed = false;
    connection->full = false;
    connection->told = true;
}

/* The bytes that the current read has copied. The emitter's callbacks may run before it returns. */
void finish_read(struct connection *connection)
{
    const struct iovec iov = {.iov_base = connection->reading, .iov_len = connection->read_size};

    if (!connection->reading)
        return;
    connection->reading = NULL;
    (void)queue_shows(connection, &iov, 1);
    connection->front.pinned = 0;
    connection_took(connection, iov.iov_base, iov.iov_len);
}

static void read_some(struct connection *connection, size_t size)
{
    struct world *world = connection->world;
    unsigned char bytes[SHOWN_MAX];
    size_t queued;
    ssize_t result;
    bool ended;
    bool counted;

    begin_reading(connection);
    ended = connection->state == SSE_STATE_CLOSED;
    queued = connection_queued(connection);
    size = size < sizeof(bytes) ? size : sizeof(bytes);
    queued = queued < size ? queued : size;
    if (queued && !ended) {
        connection->reading = bytes;
        connection->read_size = queued;
    }
    counted = call_begin(connection, true);
    fail_begin(world);
    result = sse_emitter_read(connection->emitter, bytes, size);
    (void)fail_end(world);
    narrate(world, "connection %zu: read gives %zd", connection->number, result);
    finish_read(connection);
    wait_for_more(connection, !result);
    call_end(connection, counted);
    if (ended)
        check_end(connection, result);
    else
        expect_equal(world, queued, (uint64_t)result, "bytes that are read");
}

/** The result of a peek. */
struct shown {
    struct iovec iov[PIECES_MAX];
    int count;
    unsigned char bytes[SHOWN_MAX];
    size_t size; /* of the bytes */
};

static void keep_shown(struct shown *shown)
{
    for (int i = 0; i < shown->count; i++) {
        size_t left = sizeof(shown->bytes) - shown->size;
        size_t piece = shown->iov[i].iov_len < left ? shown->iov[i].iov_len : left;

        memcpy(shown->bytes + shown->size, shown->iov[i].iov_base, piece);
        shown->size += piece;
    }
}

/* The peeked bytes stay valid, whatever happens before they are consumed. */
static void check_shown(const struct connection *connection, const struct shown *shown, size_t size)
{
    size_t at = 0;

    for (int i = 0; i < shown->count && at < size; i++) {
        size_t piece = shown->iov[i].iov_len < size - at ? shown->iov[i].iov_len : size - at;

        expect(connection->world, !memcmp(shown->bytes + at, shown->iov[i].iov_base, piece),
               "connection %zu: what was shown has changed", connection->number);
        at += piece;
    }
}

static void peek(struct connection *connection, struct shown *shown)
{
    struct world *world = connection->world;
    size_t queued;
    bool counted;

    *shown = (struct shown){.size = 0};
    begin_reading(connection);
    queued = connection->state == SSE_STATE_CLOSED ? 0 : connection_queued(connection);
    counted = call_begin(connection, true);
    shown->count =
        sse_emitter_peek(connection->emitter, shown->iov, 1 + (int)chance_below(world, PIECES_MAX));
    narrate(world, "connection %zu: peek gives %d", connection->number, shown->count);
    if (shown->count > 0)
        connection->shown = queue_shows(connection, shown->iov, shown->count);
    wait_for_more(connection, !shown->count);
    call_end(connection, counted);
    if (shown->count < 0)
        check_end(connection, shown->count);
    else
        expect(world, (shown->count > 0) == (queued > 0), "connection %zu: a peek shows nothing",
               connection->number);
    keep_shown(shown);
}

static void consume(struct connection *connection, const struct shown *shown, size_t size)
{
    struct world *world = connection->world;
    int result;
    bool counted;

    if (chance_percent(world, 3)) {
        result = sse_emitter_consume(connection->emitter, connection->shown + 1);
        expect_equal(world, (uint64_t)-EINVAL, (uint64_t)result, "result of consuming more than was shown");
    }
    check_shown(connection, shown, size);
    sync_connection(connection);
    connection->shown = 0;
    connection->front.pinned = 0;
    connection->full = false;
    if (connection->state != SSE_STATE_CLOSED)
        connection_took(connection, shown->bytes, size);
    if (connection->ping_owed)
        connection_queue_ping(connection);
    connection->ping_owed = false;
    counted = call_begin(connection, true);
    fail_begin(world);
    result = sse_emitter_consume(connection->emitter, size);
    (void)fail_end(world);
    call_end(connection, counted);
    narrate(world, "connection %zu: consumes %zu", connection->number, size);
    expect_equal(world, 0, (uint64_t)result, "result of sse_emitter_consume");
}

static void peek_some(struct connection *connection, size_t size)
{
    struct world *world = connection->world;
    struct shown shown;

    peek(connection, &shown);
    if (!connection->shown)
        return;
    if (!world->quiet && chance_percent(world, 20))
        publish(world, (int)chance_below(world, TOPIC_COUNT + 1));
    if (!world->quiet && chance_percent(world, 5) && connection_is_usable(connection))
        ping(connection);
    if (!world->quiet && chance_percent(world, 3) && connection_is_usable(connection))
        break_off(connection);
    /* Without a loop the callbacks at its end may have closed it. */
    if (connection_is_usable(connection) && connection->shown && !chance_percent(world, 5))
        consume(connection, &shown, size < shown.size ? size : shown.size);
}

void pull(struct connection *connection, size_t size)
{
    if (connection->reading)
        return;
    if (chance_percent(connection->world, 10))
        look(connection);
    if (!connection_is_usable(connection))
        return;
    if (chance_percent(connection->world, 50))
        read_some(connection, size);
    else
        peek_some(connection, size);
}
