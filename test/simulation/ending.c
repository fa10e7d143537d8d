/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/* How the server ends streams, and releases them. */

/* A loop that is being freed leaves on_release to the thread that drops the last reference. */
static bool is_unbound(const struct connection *connection)
{
    return !connection->loop ||
           (connection->loop->freeing && connection->completions && !connection->in_callback);
}

/* Without a loop, an emitter's own calls run its callbacks. With PULL only the calls of its reader do. */
bool call_begin(struct connection *connection, bool of_reader)
{
    bool counted = is_unbound(connection) && (of_reader || !connection_is_pull(connection));

    connection->has_room &= connection->in_output;
    connection->calls += counted;
    return counted;
}

void call_end(struct connection *connection, bool counted)
{
    sync_connection(connection);
    connection->calls -= counted;
}

void complete(struct connection *connection)
{
    struct world *world = connection->world;
    int expected, result;
    bool counted;

    sync_connection(connection);
    expected = connection->state == SSE_STATE_OPEN ? 0 : -EALREADY;
    if (!expected)
        connection->causes |= CAUSE_COMPLETE;
    counted = call_begin(connection, false);
    fail_begin(world);
    result = sse_emitter_complete(connection->emitter);
    (void)fail_end(world);
    narrate(world, "connection %zu is completed: %d", connection->number, result);
    call_end(connection, counted);
    expect_equal(world, (uint64_t)expected, (uint64_t)result, "result of sse_emitter_complete");
    expect(world, connection->state != SSE_STATE_OPEN, "connection %zu: open after sse_emitter_complete",
           connection->number);
}

void break_off(struct connection *connection)
{
    static const int errors[] = {-EPIPE, -ECONNRESET, -ETIMEDOUT, -EPROTO,   -ECANCELED,
                                 -EINTR, -EINVAL,     -EALREADY,  SSE_ENDED, -4095};
    struct world *world = connection->world;
    int error = errors[chance_below(world, sizeof(errors) / sizeof(errors[0]))];
    int expected, result;
    bool counted;

    sync_connection(connection);
    expected = connection->state == SSE_STATE_CLOSED ? -EALREADY : 0;
    if (!expected) {
        connection->causes |= CAUSE_ABORT;
        connection->cause_error = error;
    }
    counted = call_begin(connection, false);
    fail_begin(world);
    result = sse_emitter_abort(connection->emitter, error);
    (void)fail_end(world);
    narrate(world, "connection %zu is aborted with %d: %d", connection->number, error, result);
    call_end(connection, counted);
    expect_equal(world, (uint64_t)expected, (uint64_t)result, "result of sse_emitter_abort");
    expect(world, connection->state == SSE_STATE_CLOSED, "connection %zu: lives after sse_emitter_abort",
           connection->number);
}

void close_connection(struct connection *connection)
{
    struct world *world = connection->world;
    bool counted;

    narrate(world, "connection %zu is closed", connection->number);
    sync_connection(connection);
    connection->owned = false;
    connection->causes |= CAUSE_CLOSE;
    connection->shown = 0;
    if (!connection->in_write)
        connection->front.pinned = 0;
    counted = call_begin(connection, true);
    fail_begin(world);
    sse_emitter_close(connection->emitter);
    (void)fail_end(world);
    call_end(connection, counted);
    connection->cut_off = !connection->in_output;
    expect(world, !connection->emitter || connection->state == SSE_STATE_CLOSED,
           "connection %zu: lives after sse_emitter_close", connection->number);
}

/* Takes a reference, or releases one. */
void change_references(struct connection *connection)
{
    struct world *world = connection->world;

    if (!connection->refs || (connection->owned && chance_percent(world, 50))) {
        expect(world, sse_emitter_ref(connection->emitter) == connection->emitter,
               "connection %zu: another emitter", connection->number);
        connection->refs++;
        return;
    }
    release_reference(connection);
}

void release_reference(struct connection *connection)
{
    bool counted;

    narrate(connection->world, "a reference to connection %zu is released", connection->number);
    connection->refs--;
    counted = call_begin(connection, true);
    sse_emitter_unref(connection->emitter);
    call_end(connection, counted);
}

void flush(struct connection *connection)
{
    struct world *world = connection->world;
    uint64_t nested = world->nested;
    bool inside = connection->in_callback;
    int expected, result;
    bool counted;

    sync_connection(connection);
    expected =
        connection->state == SSE_STATE_CLOSED ? end_error(connection) : connection_queued(connection) > 0;
    if (!connection_is_pull(connection)) {
        connection->full = connection->told_blocked = false;
        connection->has_room = connection->in_output;
    }
    counted = call_begin(connection, true);
    fail_begin(world);
    result = sse_emitter_flush(connection->emitter);
    (void)fail_end(world);
    call_end(connection, counted);
    narrate(world, "connection %zu is flushed: %d", connection->number, result);
    if (!connection->looped && !inside) {
        if (nested != world->nested || !connection->emitter)
            return;
        expected =
            connection->state == SSE_STATE_CLOSED ? end_error(connection) : connection_queued(connection) > 0;
    }
    expect_equal(world, (uint64_t)expected, (uint64_t)result, "result of a flush");
}

void unsubscribe(struct connection *connection)
{
    struct world *world = connection->world;
    int topic = (int)chance_below(world, TOPIC_COUNT);
    struct sse_text name = topic_name(topic);
    struct client *client = client_of(connection);
    int result;

    if (!world->registry)
        return;
    sync_connection(connection);
    result = sse_registry_unsubscribe(world->registry, connection->emitter, &name, 1);
    narrate(world, "connection %zu leaves topic %d: %d", connection->number, topic, result);
    expect_equal(world, (uint64_t)(connection->member ? 0 : -ENOENT), (uint64_t)result,
                 "result of an unsubscription");
    connection->topics &= ~(1U << topic);
    if (!client)
        return;
    client->topics &= ~(1U << topic);
    for (size_t i = 0; i < world->record_count; i++)
        if (world->records[i].topic == topic)
            client->owed[i] = false;
}

/* Completes all streams of a topic, or all streams. */
void complete_many(struct world *world)
{
    int topic = (int)chance_below(world, TOPIC_COUNT + 1);
    uint64_t calls = world->calls;

    sync_all(world);
    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        if (connection->member && connection->state == SSE_STATE_OPEN &&
            (topic == BROADCAST || connection->topics >> topic & 1))
            connection->causes |= CAUSE_COMPLETE;
    }
    fail_begin(world);
    expect_equal(world, 0, (uint64_t)sse_registry_complete(world->registry, topic_name(topic)),
                 "result of sse_registry_complete");
    (void)fail_end(world);
    narrate(world, "topic %d is completed", topic);
    expect_equal(world, calls, world->calls, "callbacks inside sse_registry_complete");
    sync_all(world);
    for (size_t i = 0; i < world->connection_count; i++)
        expect(world,
               !(world->connections[i]->causes & CAUSE_COMPLETE) ||
                   world->connections[i]->state != SSE_STATE_OPEN,
               "connection %zu: open after it was completed", i);
}
