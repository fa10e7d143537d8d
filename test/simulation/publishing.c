/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

struct sse_text topic_name(int topic)
{
    static const char *const names[] = {"alarms", "room 7", "user:42", "a quiet feed"};

    return topic == BROADCAST ? (struct sse_text){.ptr = NULL} : sse_str(names[topic]);
}

struct sse_message *message_of(struct world *world, const struct record *record)
{
    struct sse_message *message;
    int error = sse_message_new(&message, record->events, record->part_count, &world->fake.platform);

    expect_equal(world, 0, (uint64_t)error, "result of sse_message_new");
    return message;
}

/** A receiver of an event. */
struct receiver {
    struct connection *connection;
    struct offer offer;
    enum verdict verdict;
    struct lane before; /* its state before, for lack of memory */
    uint64_t dropped, progress;
};

/** The current publish. */
struct publication {
    size_t record;
    struct receiver receivers[CONNECTIONS_MAX];
    size_t count;
    bool too_large; /* for one receiver */
    bool failed;    /* memory ran out */
    struct sse_delivery delivery;
};

/* A queue whose output has not been tried may grow to four times its limits. Events behind a pause cannot be tried.
 * A reader without a loop is not notified of anything, so it counts as notified and absent. */
static size_t limit_factor(const struct connection *connection)
{
    if (connection->has_later)
        return 4;
    return connection->full || (connection_is_pull(connection) && !connection->looped) ? 1 : 4;
}

/* A full socket is noticed only when its loop reports it. */
static void offer_strictly(struct offer *offer, struct item item)
{
    const struct connection *connection = offer->connection;

    offer->unsure = true;
    offer->strict_dropped = connection->dropped;
    lane_copy(&offer->strict, &connection->front);
    offer->strict_verdict = lane_offer(connection, &offer->strict, item, 1, &offer->strict_dropped);
}

enum verdict offer_begin(struct offer *offer, struct connection *connection, size_t record, bool live)
{
    struct item item = {.kind = ITEM_RECORD, .record = record, .live = live};
    struct lane *tail = connection_tail(connection);
    size_t factor = limit_factor(connection);
    bool idle = !connection_queued(connection);

    *offer = (struct offer){.connection = connection};
    item.size = wire_size(connection, &item);
    item.published = world_now(connection->world);
    if (connection_is_socket(connection) && factor > 1 && !connection->has_later)
        offer_strictly(offer, item);
    offer->verdict = lane_offer(connection, tail, item, factor, &connection->dropped);
    if (offer->verdict == ENDED)
        connection->causes |= CAUSE_OVERFLOW;
    if (offer->verdict == QUEUED && idle && connection_queued(connection))
        connection->progress = world_now(connection->world);
    return offer->verdict;
}

static bool is_left(const struct sse_emitter_info *info, const struct connection *connection, size_t queued,
                    uint64_t dropped)
{
    return info->queued_bytes + (info->bytes - connection->received_size) == queued &&
           info->dropped == dropped;
}

static bool was_strict(const struct offer *offer)
{
    const struct connection *connection = offer->connection;
    struct sse_emitter_info info;

    (void)connection_info(connection, &info);
    if (info.state == SSE_STATE_CLOSED)
        return offer->strict_verdict == ENDED && info.error == -ENOBUFS;
    return !is_left(&info, connection, connection_queued(connection), connection->dropped) &&
           is_left(&info, connection, lane_bytes(&offer->strict), offer->strict_dropped);
}

static void note_lost(struct connection *connection, const struct lane *before, const struct lane *after)
{
    for (size_t i = 0, at = 0; i < before->count; i++) {
        if (at < after->count && after->items[at].record == before->items[i].record)
            at++;
        else
            connection->lost[before->items[i].record] = true;
    }
}

enum verdict offer_end(struct offer *offer)
{
    struct connection *connection = offer->connection;

    if (offer->unsure && was_strict(offer)) {
        note_lost(connection, &connection->front, &offer->strict);
        lane_copy(&connection->front, &offer->strict);
        connection->dropped = offer->strict_dropped;
        offer->verdict = offer->strict_verdict;
    } else {
        offer->unsure = false;
    }
    if (offer->verdict == ENDED)
        connection->causes |= CAUSE_OVERFLOW;
    lane_clear(&offer->strict);
    return offer->verdict;
}

static bool is_receiver(const struct connection *connection, const struct record *record)
{
    return connection->member && connection->state == SSE_STATE_OPEN &&
           (record->topic == BROADCAST || connection->topics >> record->topic & 1);
}

/* In this case nobody receives it. */
static bool is_too_large_for_some(const struct world *world, size_t record)
{
    for (size_t i = 0; i < world->connection_count; i++) {
        if (is_receiver(world->connections[i], &world->records[record]) &&
            record_is_too_large(world->connections[i], record))
            return true;
    }
    return false;
}

static void find_receivers(struct world *world, struct publication *publication)
{
    const struct record *record = &world->records[publication->record];

    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];
        struct receiver *receiver = &publication->receivers[publication->count];

        if (!is_receiver(connection, record))
            continue;
        publication->count++;
        receiver->connection = connection;
        receiver->dropped = connection->dropped;
        receiver->progress = connection->progress;
        receiver->before = (struct lane){.items = NULL};
        if (world->scenario.fails)
            lane_copy(&receiver->before, connection_tail(connection));
        receiver->verdict = offer_begin(&receiver->offer, connection, publication->record, true);
    }
}

/* Subscribers that are not connected must receive it later. */
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
    struct sse_text topic = topic_name(record->topic);
    struct sse_message *message = NULL;
    int error;

    if (record->part_count > 1 || chance_percent(world, 30))
        message = message_of(world, record);
    fail_begin(world);
    if (message)
        error = sse_registry_publish_message(world->registry, topic, message, &publication->delivery);
    else
        error = sse_registry_publish(world->registry, topic, record->events, &publication->delivery);
    publication->failed = fail_end(world);
    sse_message_unref(message);
    return error;
}

/* Without memory for its queue, a receiver has ended, or dropped what its policy says. */
static void note_shortage(struct receiver *receiver)
{
    struct connection *connection = receiver->connection;
    struct lane *tail = connection_tail(connection);
    size_t newest = tail->count - 1, victim = lane_victim(connection, tail);
    uint64_t events = item_events(connection, &tail->items[victim]);

    connection->lost[tail->items[victim].record] = true;
    connection->dropped += events;
    lane_remove(tail, victim);
    if (victim == newest)
        receiver->verdict = DROPPED;
}

static void note_end(struct receiver *receiver)
{
    struct connection *connection = receiver->connection;
    struct lane *tail = connection_tail(connection);

    connection->drop_slack += item_events(connection, &tail->items[tail->count - 1]);
    lane_remove(tail, tail->count - 1);
    receiver->verdict = ENDED;
}

/* Finds out whether memory was short for this receiver. */
static void note_memory(struct receiver *receiver)
{
    struct connection *connection = receiver->connection;
    const struct lane *tail = connection_tail(connection);
    struct sse_emitter_info info;

    if (receiver->verdict != QUEUED)
        return;
    (void)connection_info(connection, &info);
    if (info.state == SSE_STATE_CLOSED && info.error == -ENOMEM)
        note_end(receiver);
    else if (info.dropped == connection->dropped +
                                 item_events(connection, &tail->items[lane_victim(connection, tail)]))
        note_shortage(receiver);
    else
        return;
    connection->progress = receiver->progress;
}

static void check_delivery(struct world *world, struct publication *publication)
{
    const struct record *record = &world->records[publication->record];
    const struct sse_delivery *delivery = &publication->delivery;
    size_t counts[ENDED + 1] = {0}, unsure = 0;

    for (size_t i = 0; i < publication->count; i++) {
        struct offer *offer = &publication->receivers[i].offer;

        if (publication->failed)
            note_memory(&publication->receivers[i]);
        if (publication->receivers[i].verdict == offer->verdict)
            publication->receivers[i].verdict = offer_end(offer);
        unsure += offer->unsure;
        /* If it was accepted and then the limits were applied at once, it may count as dropped. */
        if (offer->unsure && offer->verdict == ENDED)
            offer->connection->drop_slack += record->counted;
        counts[publication->receivers[i].verdict]++;
    }
    expect(world, same_text(sse_str(delivery->id), record->assigned ? record->id : sse_str("")),
           "the id \"%s\"", delivery->id);
    expect(world,
           delivery->receivers >= counts[QUEUED] && delivery->receivers <= counts[QUEUED] + unsure &&
               delivery->dropped <= counts[DROPPED] && delivery->ended <= counts[ENDED] &&
               delivery->receivers + delivery->dropped + delivery->ended == publication->count,
           "%zu queued, %zu dropped, %zu ended, not %zu, %zu, %zu", counts[QUEUED], counts[DROPPED],
           counts[ENDED], delivery->receivers, delivery->dropped, delivery->ended);
    world->stats.queued += delivery->receivers;
}

/* Nothing has happened. */
static void take_back(struct world *world, struct publication *publication, const struct history *history)
{
    struct record *record = &world->records[publication->record];

    for (size_t i = 0; i < publication->count; i++) {
        struct receiver *receiver = &publication->receivers[i];

        lane_copy(connection_tail(receiver->connection), &receiver->before);
        receiver->connection->dropped = receiver->dropped;
        receiver->connection->progress = receiver->progress;
        receiver->connection->causes &= ~CAUSE_OVERFLOW;
        receiver->connection->lost[publication->record] = false;
    }
    for (unsigned i = 0; i < world->scenario.clients; i++)
        world->clients[i].owed[publication->record] = false;
    world->history = *history;
    if (record->kept)
        world->sequence--;
    world->record_count--;
}

static void tell(const struct world *world, const struct publication *publication)
{
    const struct record *record = &world->records[publication->record];

    narrate(world, "publish record %zu to topic %d, %zu bytes, id \"%.*s\", for %zu", publication->record,
            record->topic, record->size, (int)record->id.len, record->id.ptr ? record->id.ptr : "",
            publication->count);
    for (size_t i = 0; i < publication->count; i++) {
        const struct receiver *receiver = &publication->receivers[i];

        narrate(world, "for connection %zu: %d, %zu bytes queued", receiver->connection->number,
                (int)receiver->verdict, connection_backlog(receiver->connection));
    }
}

static void clear(struct publication *publication)
{
    for (size_t i = 0; i < publication->count; i++) {
        lane_clear(&publication->receivers[i].before);
        lane_clear(&publication->receivers[i].offer.strict);
    }
}

void publish(struct world *world, int topic)
{
    struct publication publication = {.count = 0};
    struct history history;
    uint64_t calls = world->calls;
    struct record *record;
    int error;

    if (!records_have_room(world) || !world->registry)
        return;
    sync_all(world);
    history_expire(world);
    history = world->history;
    record = record_draw(world, topic);
    publication.record = world->record_count - 1;
    if (record->kept)
        history_add(world, &world->history, publication.record);
    publication.too_large = is_too_large_for_some(world, publication.record);
    if (!publication.too_large)
        find_receivers(world, &publication);
    owe_clients(world, publication.record);
    world->queued++;
    tell(world, &publication);
    error = call(world, &publication);
    expect_equal(world, calls, world->calls, "callbacks inside a publish");
    if (error) {
        expect(world, error == -EMSGSIZE ? publication.too_large : error == -ENOMEM && publication.failed,
               "%d is the result of a publish", error);
        take_back(world, &publication, &history);
    } else {
        expect(world, !publication.too_large, "a publish of what a receiver has no room for");
        world->stats.published++;
        world->totals.events++;
        check_delivery(world, &publication);
    }
    clear(&publication);
    sync_all(world);
}
