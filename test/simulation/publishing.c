/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

struct sse_str topic_name(int topic)
{
    static const char *const names[] = {"alarms", "room 7", "user:42", "a quiet feed"};

    return sse_str(names[topic]);
}

struct sse_message *message_of(struct world *world, const struct record *record)
{
    struct sse_message *message;
    int error = sse_message_new(&message, record->events, record->part_count, &world->fake.host);

    expect_equal(world, 0, (uint64_t)error, "result of sse_message_new");
    return message;
}

/** One who is to have an event. */
struct receiver {
    struct connection *connection;
    size_t item;
    bool fits;
    bool held_only; /* what is before it waits for a release alone */
};

/** A publish under way. */
struct publication {
    size_t record;
    struct receiver receivers[CONNECTIONS_MAX];
    size_t count;
    bool inside; /* of another that writes: this one only queues */
    bool alone;  /* no callback called the library meanwhile */
    bool failed; /* memory ran out */
    bool held;   /* it only queues, */
    bool full;   /* but is so much that all is written */
    bool unsure; /* or may be */
    uint64_t written_before;
    struct sse_delivery delivery;
};

static bool waits_for_release_alone(const struct connection *connection, const struct record *record)
{
    size_t bytes_max = connection->options.queue_bytes ? connection->options.queue_bytes : (size_t)1 << 20;

    return connection_waits(connection) && !connection->told_blocked && !connection->world->depth &&
           connection->options.drain == SSE_DRAIN_CALLBACK &&
           record_wire_size(record, connection->options.framing == SSE_FRAMING_CHUNKED) <= bytes_max;
}

static void find_receivers(struct world *world, struct publication *publication)
{
    const struct record *record = &world->records[publication->record];

    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];
        struct sse_emitter_info info;

        if (!connection->member || (record->topic != BROADCAST && !(connection->topics >> record->topic & 1)))
            continue;
        if (!connection_info(connection, &info) || info.state != SSE_STATE_OPEN)
            continue;
        if (!info.queued_messages)
            connection->progress = world_now(world);
        publication->receivers[publication->count++] = (struct receiver){
            .connection = connection,
            .item = connection_offer(connection, publication->record),
            .fits = connection_fits(connection, &info, record),
            .held_only = publication->held && waits_for_release_alone(connection, record),
        };
        /* What the hold alone keeps waiting makes nothing too much. */
        if (publication->held && !publication->receivers[publication->count - 1].fits)
            connection->over += record_wire_size(record, true);
    }
}

/* Who wants it and is not there is owed it too. */
static void owe_clients(struct world *world, size_t index)
{
    const struct record *record = &world->records[index];

    for (unsigned i = 0; i < world->scenario.clients; i++) {
        struct client *client = &world->clients[i];

        if (client->came && record->lasting &&
            (record->topic == BROADCAST || (client->topics >> record->topic & 1)))
            client->owed[index] = true;
    }
}

static int call(struct world *world, struct publication *publication)
{
    const struct record *record = &world->records[publication->record];
    struct sse_delivery *delivery = &publication->delivery;
    struct sse_message *message = NULL;
    int error;

    publication->inside = world->publishing;
    *delivery = (struct sse_delivery){.size = sizeof(*delivery)};
    if (record->part_count > 1 || chance_percent(world, 30))
        message = message_of(world, record);
    world->publishing = true;
    if (!publication->inside)
        world->publishing_depth = world->depth;
    fail_begin(world);
    if (record->topic == BROADCAST)
        error = message ? sse_registry_broadcast_message(world->registry, message, delivery)
                        : sse_registry_broadcast(world->registry, record->events, delivery);
    else
        error =
            message
                ? sse_registry_publish_message(world->registry, topic_name(record->topic), message, delivery)
                : sse_registry_publish(world->registry, topic_name(record->topic), record->events, delivery);
    publication->failed = fail_end(world);
    if (!publication->inside)
        world->publishing = false;
    sse_message_unref(message);
    return error;
}

static bool is_chunked(const struct connection *connection)
{
    return connection->options.framing == SSE_FRAMING_CHUNKED;
}

static bool drops(const struct connection *connection)
{
    return connection->options.overflow == SSE_OVERFLOW_DROP_NEWEST ||
           connection->options.overflow == SSE_OVERFLOW_DROP_OLDEST;
}

/* What became of one receiver, as far as that has to be so. */
static void check_receiver(struct world *world, const struct publication *publication,
                           struct receiver *receiver)
{
    struct connection *connection = receiver->connection;
    bool strict = publication->alone && !publication->failed;
    struct sse_emitter_info info;
    bool overflowed;

    (void)connection_info(connection, &info);
    overflowed = info.state == SSE_STATE_CLOSED && info.reason == SSE_REASON_OVERFLOW && !connection->evicted;
    if (strict && (receiver->fits || receiver->held_only))
        expect(world, !overflowed, "connection %zu: an event that fits was too much", connection->number);
    if (!receiver->fits && connection->options.overflow == SSE_OVERFLOW_CLOSE && !publication->held)
        expect(world, info.state == SSE_STATE_CLOSED, "connection %zu: a full queue did not end it",
               connection->number);
    if (drops(connection))
        expect(world, !overflowed, "connection %zu: an overflow ended it, which is to drop",
               connection->number);
    if (!overflowed || connection->refused_one)
        return;
    connection->refused_one = true;
    connection->items[receiver->item].fate = FATE_REFUSED;
}

/* With nothing in between, the counts are known but for what DROP_OLDEST may keep. */
static void check_counts(struct world *world, struct publication *publication)
{
    const struct sse_delivery *delivery = &publication->delivery;
    size_t closed = 0, dropped = 0, unknown = 0, evicted = 0, left = 0;

    for (size_t i = 0; i < publication->count; i++) {
        struct receiver *receiver = &publication->receivers[i];
        enum sse_overflow overflow = receiver->connection->options.overflow;
        struct sse_emitter_info info;

        if (!connection_info(receiver->connection, &info) || info.state == SSE_STATE_CLOSED) {
            closed++;
            evicted += receiver->connection->evicted;
            continue;
        }
        dropped += !receiver->fits && overflow == SSE_OVERFLOW_DROP_NEWEST;
        unknown += !receiver->fits && overflow == SSE_OVERFLOW_DROP_OLDEST;
        left += info.queued_messages > 0 && (receiver->fits || overflow != SSE_OVERFLOW_DROP_NEWEST);
    }
    expect(world, delivery->closed <= closed && delivery->closed + evicted >= closed, "%zu closed, is %zu",
           closed, delivery->closed);
    expect(world, delivery->dropped >= dropped && delivery->dropped <= dropped + unknown + evicted,
           "%zu to %zu dropped, is %zu", dropped, dropped + unknown, delivery->dropped);
    expect(world, delivery->queued <= left + evicted && delivery->queued + unknown >= left,
           "%zu queued, is %zu", left, delivery->queued);
}

/* While it is held back, what fits is queued; what does not may be, if all before it is held. */
static void check_held(struct world *world, const struct publication *publication)
{
    const struct sse_delivery *delivery = &publication->delivery;
    size_t fitting = 0;

    for (size_t i = 0; i < publication->count; i++)
        fitting += publication->receivers[i].fits;
    expect(world, !delivery->written && (delivery->queued >= fitting || publication->failed),
           "%zu fit, %zu queued, %zu written", fitting, delivery->queued, delivery->written);
}

static void check_budget(const struct world *world)
{
    struct sse_registry_stats stats = {.size = sizeof(stats)};
    size_t budget = world->scenario.options.backlog_bytes;

    (void)sse_registry_stats(world->registry, &stats);
    expect((struct world *)(uintptr_t)world, !budget || stats.backlog_bytes <= budget,
           "a backlog of %zu bytes", stats.backlog_bytes);
}

static void check_delivery(struct world *world, struct publication *publication)
{
    const struct record *record = &world->records[publication->record];
    const struct sse_delivery *delivery = &publication->delivery;
    size_t sum = delivery->written + delivery->queued + delivery->dropped + delivery->closed;

    expect(world, same_text(sse_str(delivery->id), record->assigned ? record->id : sse_str("")),
           "the id \"%s\"", delivery->id);
    for (size_t i = 0; i < publication->count; i++)
        check_receiver(world, publication, &publication->receivers[i]);
    expect(world, sum == publication->count, "%zu written, %zu queued, %zu dropped, %zu closed, of %zu",
           delivery->written, delivery->queued, delivery->dropped, delivery->closed, publication->count);
    expect(world, !publication->inside || !delivery->written, "%zu written inside another publish",
           delivery->written);
    if (publication->held) {
        check_held(world, publication);
        return;
    }
    if (!publication->alone || publication->failed)
        return;
    check_counts(world, publication);
    check_budget(world);
}

/* Nothing has happened. */
static void take_back(struct world *world, struct publication *publication, const struct history *history)
{
    struct record *record = &world->records[publication->record];

    expect(world, publication->failed, "a publish fails, and memory is not short");
    for (size_t i = 0; i < publication->count; i++)
        publication->receivers[i].connection->item_count--;
    world->history = *history;
    if (record->kept)
        world->sequence--;
    world->record_count--;
    history_follow(world);
}

/* Its receivers wait, and nobody has been called. The first to wait wake the host. */
static void wait_for_release(struct world *world, const struct publication *publication, uint64_t calls,
                             bool woken)
{
    struct holding *holding = &world->holding;
    size_t waiting = publication->delivery.queued + publication->delivery.closed;

    expect(world, calls == world->calls || publication->unsure || (publication->full && !publication->inside),
           "a publish that is held back writes");
    expect(world, world->woken || !world->scenario.wakes || woken || !waiting,
           "the first event is held, and the host sleeps");
    if (holding->written != publication->written_before || !holding->holds)
        return;
    holding->any |= waiting > 0;
    for (size_t i = 0; i < publication->count; i++)
        holding->waits[publication->receivers[i].connection->number] = true;
}

void publish(struct world *world, int topic)
{
    struct publication publication = {.count = 0, .held = world->holding.holds > 0};
    struct history history = world->history;
    struct holding holding = world->holding;
    uint64_t nested = world->nested, calls = world->calls;
    struct record *record;
    int error;

    if (!records_have_room(world))
        return;
    requests_resolve(world);
    history_expire(world);
    record = record_draw(world, topic);
    publication.record = world->record_count - 1;
    if (record->kept)
        history_add(world, &world->history, publication.record);
    find_receivers(world, &publication);
    narrate(world, "publish record %zu to topic %d, %zu bytes, id \"%.*s\", for %zu", publication.record,
            topic, record->size, (int)record->id.len, record->id.ptr ? record->id.ptr : "",
            publication.count);
    world->stats.published++;
    owe_clients(world, publication.record);
    publication.full = publication.held && holding_add(&world->holding, record);
    publication.unsure = world->holding.unsure;
    publication.written_before = holding.written;
    error = call(world, &publication);
    if (error) {
        world->holding = holding;
        expect_equal(world, (uint64_t)-ENOMEM, (uint64_t)error, "result of a publish");
        for (unsigned i = 0; i < world->scenario.clients; i++)
            world->clients[i].owed[publication.record] = false;
        world->stats.published--;
        take_back(world, &publication, &history);
        return;
    }
    publication.alone = nested == world->nested && !publication.inside && !world->requests;
    world->totals.events++;
    if (publication.held)
        wait_for_release(world, &publication, calls, holding.any || holding.unsure);
    check_delivery(world, &publication);
}

/** A send under way. */
struct sending {
    struct connection *connection;
    size_t item;
    struct sse_emitter_info before;
    bool too_large, fits;
    bool held;   /* what is before it is written first */
    bool alone;  /* nothing happened in between */
    bool failed; /* memory ran out */
};

/* What an open emitter makes of it. Once accepted, it may still end before the call returns. */
static enum fate judge_send(const struct sending *sending, int result)
{
    struct connection *connection = sending->connection;
    struct world *world = connection->world;

    if (sending->too_large) {
        expect(world, result == -EMSGSIZE || (result == -ENOMEM && sending->failed),
               "connection %zu: what is too large gives %d", connection->number, result);
        return FATE_TAKEN_BACK;
    }
    if (result == -ENOMEM) {
        expect(world, sending->failed, "connection %zu: -ENOMEM, and memory is not short",
               connection->number);
        /* Half of it was written, or the end came from elsewhere. */
        connection->uncertain |= connection->finished;
        return connection->finished ? FATE_OPEN : FATE_TAKEN_BACK;
    }
    if (sending->fits && sending->alone)
        expect(world, !result || (connection->finished && result == connection->sink_error),
               "connection %zu: what fits gives %d", connection->number, result);
    if (!sending->fits && sending->alone)
        expect(world,
               result == -ENOBUFS || connection->options.overflow > SSE_OVERFLOW_DROP_NEWEST || sending->held,
               "connection %zu: what does not fit gives %d", connection->number, result);
    /* It may have ended while what was before it made way. */
    if (connection->items[sending->item].late && result &&
        (result != -ENOBUFS || connection->refused_one || connection->evicted))
        return FATE_OPEN;
    if (result != -ENOBUFS || sending->fits || drops(connection) || connection->refused_one ||
        connection->evicted)
        return FATE_OWED;
    connection->refused_one = true;
    return FATE_REFUSED;
}

static enum fate judge(const struct sending *sending, int result)
{
    if (sending->before.state == SSE_STATE_OPEN)
        return judge_send(sending, result);
    if (result != -ENOMEM || !sending->failed)
        expect_equal(sending->connection->world, (uint64_t)end_error(&sending->before), (uint64_t)result,
                     "result of a send after the end");
    return FATE_TAKEN_BACK;
}

static struct sse_message *message_with_ids(struct world *world, const struct record *record)
{
    struct record copy = *record;

    for (unsigned i = 0; i < record->part_count; i++)
        copy.events[i].id = record->ids[i];
    return message_of(world, &copy);
}

static int call_send(struct sending *sending, const struct record *record)
{
    struct connection *connection = sending->connection;
    struct sse_event event = record->events[0];
    struct sse_message *message = NULL;
    int result;

    event.id = record->ids[0];
    if (record->part_count > 1 || chance_percent(connection->world, 30))
        message = message_with_ids(connection->world, record);
    fail_begin(connection->world);
    result = message ? sse_emitter_send_message(connection->emitter, message)
                     : sse_emitter_send(connection->emitter, &event);
    sending->failed = fail_end(connection->world);
    sse_message_unref(message);
    return result;
}

int send_record(struct connection *connection, size_t index)
{
    struct world *world = connection->world;
    const struct record *record = &world->records[index];
    size_t bytes_max = connection->options.queue_bytes ? connection->options.queue_bytes : (size_t)1 << 20;
    struct sending sending = {.connection = connection,
                              .too_large = record_wire_size(record, is_chunked(connection)) > bytes_max};
    uint64_t nested = world->nested;
    int result;

    requests_resolve(world);
    (void)connection_info(connection, &sending.before);
    if (!sending.before.queued_messages)
        connection->progress = world_now(world);
    sending.fits = connection_fits(connection, &sending.before, record);
    sending.held = connection_waits(connection);
    sending.item = connection_offer(connection, index);
    connection->items[sending.item].late = !sending.fits && (sending.held || world->depth);
    narrate(world, "send record %zu to connection %zu, %zu bytes", index, connection->number, record->size);
    result = call_send(&sending, record);
    narrate(world, "gives %d", result);
    sending.alone = nested == world->nested && !connection->inside && !world->depth;
    connection->items[sending.item].fate = judge(&sending, result);
    return result;
}
