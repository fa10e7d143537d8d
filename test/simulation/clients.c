/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <stdio.h>
#include <stdlib.h>

/* What a client made of the bytes that it received, and what it is owed. */

/** A client at its reading. */
struct reader {
    struct world *world;
    const struct stream *stream;
    size_t size; /* of the body, as far as it has it */
    size_t piece;
    unsigned part;
};

static const struct record *record_of(const struct stream *stream, size_t piece)
{
    const struct connection *connection = stream->connection;

    if (stream->pieces[piece].item == SIZE_MAX)
        return NULL;
    return &connection->world->records[connection->items[stream->pieces[piece].item].record];
}

/* The next event that it has to report, or NULL. */
static const struct sse_event *next_event(struct reader *reader)
{
    for (; reader->piece < reader->stream->piece_count; reader->piece++, reader->part = 0) {
        const struct record *record = record_of(reader->stream, reader->piece);

        while (record && reader->part < record->part_count) {
            unsigned part = reader->part++;

            if (reader->stream->pieces[reader->piece].start + record->ends[part] > reader->size)
                return NULL;
            if (record->events[part].data.ptr)
                return &record->events[part];
        }
    }
    return NULL;
}

/* Line ends arrive as LF. */
static bool same_data(struct sse_str sent, const struct event_source_event *event)
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
    struct sse_str type;

    expect(reader->world, sent, "a client saw an event that it was not sent: \"%s\"", event->data);
    type = sent->type.ptr ? sent->type : sse_str("message");
    expect(reader->world,
           same_text(type, (struct sse_str){event->type, event->type_length}) && same_data(sent->data, event),
           "a client saw \"%s\" of type %s", event->data, event->type);
}

/* Feeds the parser in two pieces, with the id of the connection before; what it then has is the client's. */
static void parse(struct client *client, struct reader *reader)
{
    struct event_source_parser *parser = event_source_parser_new(on_event, reader);
    size_t cut = chance_below(reader->world, reader->size + 1);
    const char *id;

    if (client->last_id_size) {
        event_source_parser_feed(parser, "id: ", 4);
        event_source_parser_feed(parser, client->last_id, client->last_id_size);
        event_source_parser_feed(parser, "\n\n", 2);
    }
    event_source_parser_feed(parser, reader->stream->body, cut);
    event_source_parser_feed(parser, reader->stream->body + cut, reader->size - cut);
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

/* A client that has so many bytes of it names its place when it comes back; 0: not by this one. An event of a
 * gap stands for all that came before it. */
static size_t names_place(const struct world *world, const struct record *record)
{
    struct sse_str gap_type = world->scenario.options.gap_type;

    if (gap_type.ptr && record->events[0].type.ptr == gap_type.ptr && record->id.ptr)
        return record->size;
    return record->seen_at;
}

/* Once it has the id of a later one, what the queue dropped before that is not sent again. What lies
 * between two that are seen was seen itself, was owed to nobody, or was dropped. */
static void see_all(struct client *client, const struct reader *reader)
{
    const struct connection *connection = reader->stream->connection;
    size_t from = 0;

    for (size_t i = 0; i < reader->stream->piece_count; i++) {
        const struct piece *piece = &reader->stream->pieces[i];
        const struct record *record = record_of(reader->stream, i);
        size_t size = record ? names_place(reader->world, record) : 0;

        if (!size || piece->start + size > reader->size)
            continue;
        if (record->seen_at)
            see(client, reader->world, connection->items[piece->item].record);
        for (; from < piece->item; from++)
            client->owed[connection->items[from].record] = false;
        from = piece->item + 1;
    }
}

void client_leave(struct client *client, struct world *world, size_t received)
{
    struct connection *connection = client->connection;
    struct stream stream;
    struct reader reader = {.world = world, .stream = &stream};

    stream_init(&stream, connection);
    reader.size = stream_body_size(&stream, received);
    parse(client, &reader);
    see_all(client, &reader);
    narrate(world, "client %zu leaves connection %zu with %zu of %zu bytes, and \"%.*s\"",
            (size_t)(client - world->clients), connection->number, received, connection->received_size,
            (int)client->last_id_size, client->last_id);
    stream_free(&stream);
    client->connection = NULL;
}

/* The same id in several topics: of one that was let go, or that the client saw in a topic which it no
 * longer asks for, the registry knows nothing, and takes the event of another for it. */
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

void client_joined(struct client *client, const struct world *world, const struct request *request)
{
    bool told = request->outcome == SSE_REPLAY_NONE || request->outcome == SSE_REPLAY_GAP || client->lied;
    bool mistaken = world->scenario.repeated_ids || is_mistaken(world, request);

    /* What the host sent in vain comes again. */
    client->disordered |= request->sent && !request->host_filled;
    client->lied = false;
    for (size_t i = 0; i < request->came_at; i++) {
        bool before = mistaken && world->records[i].sequence <= request->place;

        if ((told || before) && !request->snapshot[i])
            client->owed[i] = false;
    }
}

/* What it says that it saw last: as a rule, what it did see. */
static struct sse_str claim(struct world *world, struct client *client)
{
    static const char *const nonsense[] = {"nonsense", "line\nend",          " ",
                                           "\x01",     "e-ffffffffffffffff", "e-000000000000000g"};

    if (!chance_percent(world, 3) || world->quiet)
        return arena_format(world, "%.*s", (int)client->last_id_size, client->last_id);
    client->disordered = client->lied = true;
    if (chance_percent(world, 20))
        return assigned_id(world, world->sequence + 1 + chance_below(world, 20));
    if (chance_percent(world, 40) || !world->record_count)
        return sse_str(nonsense[chance_below(world, 6)]);
    return world->records[chance_below(world, world->record_count)].id;
}

void client_connect(struct world *world, struct client *client)
{
    struct connection *connection;
    struct sse_str id = claim(world, client);

    if (world->connection_count == CONNECTIONS_MAX || !records_have_room(world))
        return;
    connection = connection_open(world);
    if (!connection)
        return;
    client->connection = connection;
    world->totals.reconnects += client->came;
    client->came = true;
    narrate(world, "client %zu has connection %zu", (size_t)(client - world->clients), connection->number);
    if (subscribe(connection, client, client->topics, id)) {
        client->connection = NULL;
        if (connection->held)
            detach(connection);
    }
}

void client_check(struct client *client, struct world *world)
{
    for (size_t i = 0; i < world->record_count; i++)
        expect(world, !client->owed[i] || client->seen[i],
               "client %zu never saw record %zu, and was not told", (size_t)(client - world->clients), i);
}
