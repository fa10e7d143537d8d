/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <stdio.h>
#include <stdlib.h>

/* What a client reads from the bytes that it received, and the events that it must still receive. */

/** A client while it reads. */
struct reader {
    struct world *world;
    const struct connection *connection;
    size_t received; /* bytes of the stream that it has received */
    size_t piece;
    unsigned part;
};

static const struct record *record_of(const struct connection *connection, size_t piece)
{
    if (connection->pieces[piece].item.kind != ITEM_RECORD)
        return NULL;
    return &connection->world->records[connection->pieces[piece].item.record];
}

/* Whether it has received that many bytes of the message. */
static bool has(const struct reader *reader, size_t piece, size_t size)
{
    return piece_body(reader->connection, &reader->connection->pieces[piece], reader->received).len >= size;
}

/* Returns the next event that it must report, or NULL. */
static const struct sse_event *next_event(struct reader *reader)
{
    for (; reader->piece < reader->connection->piece_count; reader->piece++, reader->part = 0) {
        const struct record *record = record_of(reader->connection, reader->piece);

        while (record && reader->part < record->part_count) {
            unsigned part = reader->part++;

            if (!has(reader, reader->piece, record->ends[part]))
                return NULL;
            if (record->events[part].data.ptr)
                return &record->events[part];
        }
    }
    return NULL;
}

/* Line ends arrive as LF. */
static bool same_data(struct sse_text sent, const struct event_source_event *event)
{
    size_t at = 0;

    for (size_t i = 0; i < sent.len; i++) {
        char byte = sent.ptr[i] == '\r' ? '\n' : sent.ptr[i];

        if (sent.ptr[i] == '\n' && i && sent.ptr[i - 1] == '\r')
            continue;
        if (at == event->data_length || event->data[at++] != byte)
            return false;
    }
    return at == event->data_length;
}

static void on_event(const struct event_source_event *event, void *user)
{
    struct reader *reader = user;
    const struct sse_event *sent = next_event(reader);
    struct sse_text type;

    expect(reader->world, sent, "a client saw an event that it was not sent: \"%s\"", event->data);
    type = sent->type.ptr ? sent->type : sse_str("message");
    expect(reader->world,
           same_text(type, (struct sse_text){event->type, event->type_length}) &&
               same_data(sent->data, event),
           "a client saw \"%s\" of type %s", event->data, event->type);
}

/* Feeds every message to the parser in two pieces, after the last id of the previous connection. Then the client
 * has the parser's result. */
static void parse(struct client *client, struct reader *reader)
{
    struct event_source_parser *parser = event_source_parser_new(on_event, reader);
    const struct connection *connection = reader->connection;
    const char *id;

    if (client->last_id_size) {
        event_source_parser_feed(parser, "id: ", 4);
        event_source_parser_feed(parser, client->last_id, client->last_id_size);
        event_source_parser_feed(parser, "\n\n", 2);
    }
    for (size_t i = 0; i < connection->piece_count; i++) {
        struct sse_text body = piece_body(connection, &connection->pieces[i], reader->received);
        size_t cut = chance_below(reader->world, body.len + 1);

        if (!piece_is_body(&connection->pieces[i]))
            continue;
        event_source_parser_feed(parser, body.ptr, cut);
        event_source_parser_feed(parser, body.ptr + cut, body.len - cut);
    }
    expect(reader->world, !next_event(reader), "a client did not see an event that it was sent");
    id = event_source_parser_last_event_id(parser, &client->last_id_size);
    if (client->last_id_size > sizeof(client->last_id))
        abort();
    memmove(client->last_id, id, client->last_id_size);
    event_source_parser_free(parser);
}

static void see(struct client *client, struct world *world, size_t record)
{
    if (!client->disordered) {
        expect(world, !client->seen[record], "a client sees record %zu twice", record);
        expect(world, record >= client->next, "a client sees record %zu after record %zu", record,
               client->next - 1);
        client->next = record + 1;
    }
    client->seen[record] = true;
}

/* A client that has received that many bytes reconnects with this place; 0: not because of this message. A gap
 * event covers everything before it. */
static size_t names_place(const struct record *record)
{
    return record->tells_gap ? record->size : record->seen_at;
}

/* Once it has the id of a later event, events that a full queue dropped before that are not replayed. */
static void see_all(struct client *client, const struct reader *reader)
{
    const struct connection *connection = reader->connection;
    size_t last = 0;

    for (size_t i = 0; i < connection->piece_count; i++) {
        const struct record *record = record_of(connection, i);
        size_t size = record ? names_place(record) : 0;
        size_t index = connection->pieces[i].item.record;

        if (!size || !has(reader, i, size))
            continue;
        if (record->seen_at)
            see(client, reader->world, index);
        last = index > last ? index : last;
    }
    for (size_t i = 0; i < last; i++)
        client->owed[i] &= !connection->lost[i];
}

void client_leave(struct client *client, struct world *world, size_t received)
{
    struct connection *connection = client->connection;
    struct reader reader = {.world = world, .connection = connection, .received = received};

    parse(client, &reader);
    see_all(client, &reader);
    narrate(world, "client %zu leaves connection %zu with %zu of %zu bytes, and \"%.*s\"",
            (size_t)(client - world->clients), connection->number, received, connection->received_size,
            (int)client->last_id_size, client->last_id);
    client->connection = NULL;
}

/* Several topics have the same id. The registry knows nothing about a discarded event, or one in a topic that the
 * client does not ask for any more, and mistakes another topic's event for it. */
static bool is_mistaken(const struct world *world, const struct request *request)
{
    for (size_t i = 0; world->scenario.shared_ids && i < world->record_count; i++) {
        const struct record *record = &world->records[i];
        bool asked = record->topic == BROADCAST || (request->asked >> record->topic & 1);

        if (record->kept && !(asked && history_holds(world, i)) && same_text(record->id, request->id))
            return true;
    }
    return false;
}

/* It is notified of a gap, so earlier events that are not replayed are not expected any more. */
void client_told(struct client *client, const struct request *request)
{
    for (size_t i = 0; i < request->came_at; i++)
        client->owed[i] &= request->snapshot[i];
}

static void client_joined(struct client *client, const struct world *world, const struct request *request)
{
    bool told = request->outcome == SSE_REPLAY_NONE || client->lied ||
                (request->outcome == SSE_REPLAY_GAP && !client->connection->paused);
    bool mistaken = world->scenario.repeated_ids || is_mistaken(world, request);

    client->lied = false;
    for (size_t i = 0; mistaken && i < request->came_at; i++)
        if (world->records[i].sequence <= request->place)
            client->owed[i] &= request->snapshot[i];
    if (told)
        client_told(client, request);
}

/* The id with which it reconnects: usually that of its last event. */
static struct sse_text claim(struct world *world, struct client *client)
{
    static const char *const nonsense[] = {"nonsense", "line\nend",          " ",
                                           "\x01",     "e-ffffffffffffffff", "e-000000000000000g"};
    static char long_id[SSE_ID_SIZE_MAX + 1];

    if (!chance_percent(world, 3) || world->quiet)
        return arena_format(world, "%.*s", (int)client->last_id_size, client->last_id);
    client->disordered = client->lied = true;
    if (chance_percent(world, 20))
        return assigned_id(world, world->sequence + 1 + chance_below(world, 20));
    if (chance_percent(world, 10)) {
        memset(long_id, 'x', sizeof(long_id));
        return (struct sse_text){long_id, sizeof(long_id)};
    }
    if (chance_percent(world, 20) && first_sequence(world) > 1)
        return assigned_id(world, first_sequence(world) - 1 - chance_below(world, 2));
    if (chance_percent(world, 40) || !world->record_count)
        return sse_str(nonsense[chance_below(world, 6)]);
    return world->records[chance_below(world, world->record_count)].id;
}

void client_connect(struct world *world, struct client *client)
{
    struct request request = {.adds = true, .asked = client->topics, .topics = client->topics};
    struct connection *connection;

    if (world->connection_count == CONNECTIONS_MAX || !records_have_room(world) || !world->registry)
        return;
    request.id = claim(world, client);
    connection = connection_open(world, true, &request);
    if (!connection)
        return;
    client->connection = connection;
    world->totals.reconnects += client->came;
    client->came = true;
    narrate(world, "client %zu has connection %zu", (size_t)(client - world->clients), connection->number);
    client_joined(client, world, &request);
}

struct client *client_of(const struct connection *connection)
{
    struct world *world = connection->world;

    for (unsigned i = 0; i < world->scenario.clients; i++)
        if (world->clients[i].connection == connection)
            return &world->clients[i];
    return NULL;
}

void client_check(struct client *client, struct world *world)
{
    for (size_t i = 0; i < world->record_count; i++)
        expect(world, !client->owed[i] || client->seen[i],
               "client %zu never saw record %zu, and was not told", (size_t)(client - world->clients), i);
}
