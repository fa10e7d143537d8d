/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/* Events that are sent to one emitter, and the end of its pause. */

/** The current send. */
struct sending {
    struct connection *connection;
    size_t record;
    struct offer offer;
    bool offered;
    int expected;
    struct lane before; /* its state before, for lack of memory */
    uint64_t dropped, progress;
    size_t received;
    unsigned causes;
    bool failed; /* memory ran out */
};

/* Events that are sent to a paused emitter come first, and are not held to its limits. */
static int accept(struct sending *sending)
{
    struct connection *connection = sending->connection;
    size_t record = sending->record;

    if (connection->state != SSE_STATE_OPEN)
        return end_error(connection);
    if (connection->paused) {
        connection_queue(connection, &connection->front,
                         (struct item){.kind = ITEM_RECORD, .record = record});
        lane_exempt_all(&connection->front);
        return 0;
    }
    if (record_is_too_large(connection, record))
        return -EMSGSIZE;
    sending->offered = true;
    connection->world->queued++;
    return offer_begin(&sending->offer, connection, record, false) == QUEUED ? 0 : -ENOBUFS;
}

void settle_send(struct connection *connection)
{
    struct sending *sending = connection->sending;

    if (!sending || !sending->offered)
        return;
    sending->offered = false;
    sending->expected = offer_end(&sending->offer) == QUEUED ? 0 : -ENOBUFS;
    if (sending->offer.unsure && sending->offer.verdict == ENDED)
        connection->drop_slack += connection->world->records[sending->record].counted;
}

static struct lane *lane_of_send(struct connection *connection)
{
    return connection->paused ? &connection->front : connection_tail(connection);
}

/* Nothing has happened, unless a part of it was written. Then the emitter has ended. */
void take_back_send(struct connection *connection)
{
    const struct sending *sending = connection->sending;
    struct sse_emitter_info info;

    if (!sending || !memory_is_short(connection->world))
        return;
    connection->sending = NULL;
    (void)connection_info(connection, &info);
    if (info.state == SSE_STATE_CLOSED || connection->received_size != sending->received) {
        connection->drop_slack += connection->world->records[sending->record].counted;
        return;
    }
    lane_copy(lane_of_send(connection), &sending->before);
    connection->dropped = sending->dropped;
    connection->progress = sending->progress;
    connection->causes = sending->causes;
    connection->lost[sending->record] = false;
}

static struct sse_message *message_with_ids(struct world *world, const struct record *record)
{
    struct record copy = *record;

    for (unsigned i = 0; i < record->part_count; i++)
        copy.events[i].id = record->ids[i];
    return message_of(world, &copy);
}

static int call(struct sending *sending)
{
    struct connection *connection = sending->connection;
    struct world *world = connection->world;
    const struct record *record = &world->records[sending->record];
    struct sse_event event = record->events[0];
    struct sse_message *message = NULL;
    int result;
    bool counted;

    event.id = record->ids[0];
    if (record->part_count > 1 || chance_percent(world, 30))
        message = message_with_ids(world, record);
    counted = call_begin(connection, false);
    fail_begin(world);
    result = message ? sse_emitter_send_message(connection->emitter, message)
                     : sse_emitter_send(connection->emitter, &event);
    sending->failed = fail_end(world);
    if (result == -ENOMEM)
        take_back_send(connection);
    settle_send(connection);
    connection->sending = NULL;
    call_end(connection, counted);
    sse_message_unref(message);
    return result;
}

/* After the event was accepted, the emitter may still end before the call returns. */
static bool is_result(const struct sending *sending, int result)
{
    const struct connection *connection = sending->connection;

    if (result == sending->expected || (result == -ENOMEM && sending->failed))
        return true;
    /* The event was accepted, and then the limits were applied at once. */
    if (sending->offer.unsure && !result)
        return true;
    return !sending->expected && connection->state != SSE_STATE_OPEN && result == end_error(connection);
}

int send_record(struct connection *connection, size_t record)
{
    struct world *world = connection->world;
    struct sending sending = {.connection = connection, .record = record};
    int result;

    sync_all(world);
    sending.dropped = connection->dropped;
    sending.progress = connection->progress;
    sending.causes = connection->causes;
    sending.received = connection->received_size;
    if (world->scenario.fails)
        lane_copy(&sending.before, lane_of_send(connection));
    narrate(world, "send record %zu to connection %zu, %zu bytes", record, connection->number,
            world->records[record].size);
    sending.expected = accept(&sending);
    connection->sending = &sending;
    result = call(&sending);
    narrate(world, "gives %d", result);
    lane_clear(&sending.before);
    lane_clear(&sending.offer.strict);
    expect(world, is_result(&sending, result), "connection %zu: a send gives %d, not %d", connection->number,
           result, sending.expected);
    return result;
}

void send_direct(struct connection *connection)
{
    struct world *world = connection->world;

    if (!records_have_room(world))
        return;
    (void)record_draw(world, DIRECT);
    (void)send_record(connection, world->record_count - 1);
}

/* Sends a comment, unless queued bytes will notice a disconnect anyway. */
void ping(struct connection *connection)
{
    struct world *world = connection->world;
    int expected = end_error(connection), result;
    bool counted;

    sync_connection(connection);
    expected = end_error(connection);
    connection_queue_ping(connection);
    counted = call_begin(connection, false);
    fail_begin(world);
    result = sse_emitter_ping(connection->emitter);
    (void)fail_end(world);
    call_end(connection, counted);
    narrate(world, "connection %zu is pinged: %d", connection->number, result);
    expect_equal(world, (uint64_t)expected, (uint64_t)result, "result of sse_emitter_ping");
}

/* Sends the events of the store between the client's id and the oldest one. Returns false if some are missing. */
static bool fill(struct connection *connection)
{
    struct world *world = connection->world;
    const struct request *request = connection->pause;
    size_t asked = store_find(world, request->id);
    size_t end = request->oldest < RECORDS_MAX ? request->oldest : request->came_at;
    struct client *client = client_of(connection);

    /* The client stopped in the middle of a message, but the store has only complete ones. */
    if (asked == RECORDS_MAX || !world->records[asked].lasting)
        return false;
    /* An id that the registry does not know may be later than the oldest one. Then the events between them arrive
     * twice. */
    if (client && end <= asked)
        client->disordered = true;
    for (size_t i = asked + 1; i < end; i++) {
        const struct record *record = &world->records[i];

        if (!record->lasting || !request_wants(request, record))
            continue;
        if (!connection_is_usable(connection) || !connection->paused || send_record(connection, i))
            return false;
        connection->fills = true;
    }
    return true;
}

void start(struct connection *connection)
{
    struct world *world = connection->world;
    bool gap = connection->paused && connection->pause && connection->pause->outcome == SSE_REPLAY_GAP;
    bool filled = gap && !connection->fills && chance_percent(world, 80) && fill(connection);
    struct client *client = client_of(connection);
    int expected, result;
    bool counted;

    if (!connection_is_usable(connection))
        return;
    sync_connection(connection);
    expected = end_error(connection);
    if (!expected && !connection->paused)
        expected = -EALREADY;
    counted = call_begin(connection, false);
    if (!expected) {
        connection_start(connection, filled);
        world->totals.filled += filled;
        if (gap && !filled && client)
            client_told(client, connection->pause);
        /* Events that were not delivered are replayed. */
        if (client && connection->fills && !filled)
            client->disordered = true;
    }
    fail_begin(world);
    result = sse_emitter_start(connection->emitter, filled);
    (void)fail_end(world);
    call_end(connection, counted);
    narrate(world, "connection %zu is started, its gap filled %d: %d", connection->number, filled, result);
    expect_equal(world, (uint64_t)expected, (uint64_t)result, "result of sse_emitter_start");
}
