/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <stdlib.h>

/* How a subscription begins: the replay, and the gap that the client and the server are notified of. */

#define ECHO_SIZE_MAX 512

bool request_wants(const struct request *request, const struct record *record)
{
    if (record->topic == DIRECT)
        return false;
    return record->topic == BROADCAST ? request->adds : request->topics >> record->topic & 1;
}

/* Whether the record is after the client's place. */
static bool follows(const struct world *world, const struct request *request, size_t index)
{
    const struct record *record = &world->records[index];

    return record->kept && request_wants(request, record) && record->sequence > request->place &&
           history_holds(world, index);
}

/* A client may send any bytes. A line end among them would forge a line of the gap event. */
static bool is_echoed(struct sse_text id)
{
    if (id.len > ECHO_SIZE_MAX || id.ptr[0] == ' ' || id.ptr[id.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i] < 0x20 || id.ptr[i] > 0x7e)
            return false;
    return true;
}

/* A topic discards its oldest event first. If it retains one before the place, it retains all after it. */
static bool may_have_lost(const struct world *world, const struct request *request)
{
    for (int topic = 0; topic <= TOPIC_COUNT; topic++) {
        size_t oldest;

        if (topic != BROADCAST && !(request->asked >> topic & 1))
            continue;
        oldest = history_oldest(world, topic);
        if (world->history.lost > request->place &&
            (oldest == RECORDS_MAX || world->records[oldest].sequence > request->place))
            return true;
    }
    return false;
}

/* The requested events that are not retained any more. */
static bool has_lost(const struct world *world, const struct request *request)
{
    for (size_t i = 0; i < world->record_count; i++) {
        const struct record *record = &world->records[i];

        if (record->lasting && request_wants(request, record) && !history_holds(world, i) &&
            (!record->kept || record->sequence > request->place))
            return true;
    }
    return request->known == KNOWN_HERE && request->place + 1 < first_sequence(world);
}

void request_find_place(struct world *world, struct request *request)
{
    request->known = KNOWN_NOWHERE;
    if (request->id.len)
        request->known = history_find(world, request->id, request->asked, &request->place);
    if (!request->known)
        request->place = world->sequence;
}

static size_t first_to_follow(const struct world *world, const struct request *request, size_t end)
{
    for (size_t i = 0; i < end; i++)
        if (follows(world, request, i))
            return i;
    return RECORDS_MAX;
}

static void queue_record(struct connection *connection, size_t record, enum choice choice)
{
    connection_queue(connection, connection_tail(connection),
                     (struct item){.kind = ITEM_RECORD, .record = record, .choice = choice});
}

/* Comes before the replay. */
static void queue_gap(struct connection *connection, const struct request *request, size_t first,
                      enum choice choice)
{
    struct world *world = connection->world;
    struct sse_text asked = is_echoed(request->id) ? request->id : sse_str("");
    struct sse_text oldest = sse_str("");
    struct sse_event event = {.type = world->scenario.options.gap_type};
    struct record *record;

    if (!event.type.ptr)
        return;
    if (first < RECORDS_MAX && world->records[first].id.ptr)
        oldest = world->records[first].id;
    event.data = arena_format(world, "%.*s\n%.*s", (int)asked.len, asked.ptr, (int)oldest.len, oldest.ptr);
    if (world->scenario.history)
        event.id = assigned_id(world, request->place);
    record = record_new(world, DIRECT, &event, 1);
    record->tells_gap = event.id.ptr;
    queue_record(connection, world->record_count - 1, choice);
}

/* Its replay from a record on. For a paused emitter, a part depends on the server's choice. Returns the number of
 * messages. */
static size_t queue_replay(struct connection *connection, struct request *request, size_t from, size_t end,
                           enum choice choice)
{
    size_t messages = 0;

    for (size_t i = from; i < end; i++) {
        if (!follows(connection->world, request, i))
            continue;
        queue_record(connection, i, choice);
        request->snapshot[i] = choice != IF_FILLED;
        messages++;
    }
    return messages;
}

/* The place of an id in the store: its record, or RECORDS_MAX. */
size_t store_find(const struct world *world, struct sse_text id)
{
    for (size_t i = world->record_count; i-- > 0;)
        if (world->records[i].topic != DIRECT && world->records[i].id.len &&
            same_text(world->records[i].id, id))
            return i;
    return RECORDS_MAX;
}

static struct sse_text told_id(const struct world *world, size_t record)
{
    struct sse_text id = sse_str("");

    if (record < RECORDS_MAX && world->records[record].id.ptr &&
        world->records[record].id.len < SSE_REPLAY_ID_SIZE)
        id = world->records[record].id;
    return id;
}

static void check_newest(const struct connection *connection, const struct sse_replay *replay)
{
    struct world *world = connection->world;
    size_t newest = RECORDS_MAX;

    for (size_t i = 0; world->scenario.history && i < world->record_count; i++)
        if (world->records[i].topic != DIRECT && world->records[i].id.len)
            newest = i;
    expect(world, same_text(told_id(world, newest), sse_str(replay->newest)),
           "connection %zu: the newest id is \"%s\"", connection->number, replay->newest);
}

/* From the oldest reported event on, every requested event is still retained. */
static size_t check_oldest(struct connection *connection, struct request *request,
                           const struct sse_replay *replay, size_t end)
{
    struct world *world = connection->world;
    size_t oldest = replay->oldest[0] ? store_find(world, sse_str(replay->oldest)) : RECORDS_MAX;

    expect(world, !replay->oldest[0] || oldest < end, "connection %zu: the oldest id \"%s\" is unknown",
           connection->number, replay->oldest);
    for (size_t i = 0; i < end; i++) {
        const struct record *record = &world->records[i];

        if (!record->kept || !request_wants(request, record))
            continue;
        expect(world, i < oldest || history_holds(world, i),
               "connection %zu: record %zu is lost, and not before the oldest", connection->number, i);
        expect(world,
               i >= oldest || record->sequence <= request->place || record->sequence <= world->history.lost,
               "connection %zu: record %zu follows the gap, and is not the oldest", connection->number, i);
    }
    return oldest;
}

/* The server may fill the gap, and the next events depend on that. */
static void queue_choices(struct connection *connection, struct request *request,
                          const struct sse_replay *replay)
{
    struct world *world = connection->world;
    size_t end = world->record_count, common = 0, if_gap = 0, if_filled = 0;
    uint64_t place = request->place;
    size_t oldest = check_oldest(connection, request, replay, end);

    request->oldest = oldest;
    oldest = oldest < end ? oldest : end;
    queue_gap(connection, request, first_to_follow(world, request, end), IF_GAP);
    if (request->known) {
        if_gap = queue_replay(connection, request, 0, oldest, IF_GAP);
        common = queue_replay(connection, request, oldest, end, ALWAYS);
    } else {
        request->place = 0;
        if_filled = queue_replay(connection, request, oldest, end, IF_FILLED);
        request->place = place;
    }
    expect(world, replay->messages == common + if_gap || replay->messages == common + if_filled,
           "connection %zu: %zu messages are replayed, or %zu, not %zu", connection->number, common + if_gap,
           common + if_filled, replay->messages);
}

/* An event that resets the client's id has no id itself. The library may name the next one. */
static void check_first(const struct connection *connection, const struct request *request,
                        const struct sse_replay *replay, size_t first)
{
    struct world *world = connection->world;
    size_t named = first;

    while (named < world->record_count && !(follows(world, request, named) && world->records[named].id.len))
        named++;
    expect(world,
           same_text(told_id(world, first), sse_str(replay->oldest)) ||
               (named < world->record_count && same_text(told_id(world, named), sse_str(replay->oldest))),
           "connection %zu: the oldest id is \"%s\", record %zu expected", connection->number, replay->oldest,
           first);
}

static void queue_all(struct connection *connection, struct request *request, const struct sse_replay *replay)
{
    struct world *world = connection->world;
    size_t end = world->record_count;
    size_t first = first_to_follow(world, request, end);
    size_t messages;

    if (request->outcome == SSE_REPLAY_GAP) {
        check_first(connection, request, replay, first);
        queue_gap(connection, request, first, ALWAYS);
    }
    messages = queue_replay(connection, request, 0, end, ALWAYS);
    expect_equal(world, messages, replay->messages, "messages replayed");
}

static void check_outcome(const struct connection *connection, const struct request *request)
{
    struct world *world = connection->world;

    switch (request->outcome) {
    case SSE_REPLAY_NONE:
        expect(world, !request->id.len, "connection %zu: no replay after an id", connection->number);
        return;
    case SSE_REPLAY_COMPLETE:
        expect(world, request->id.len && request->known, "connection %zu: no gap after an id that is unknown",
               connection->number);
        expect(world, !has_lost(world, request), "connection %zu: no gap, but events were lost",
               connection->number);
        return;
    case SSE_REPLAY_GAP:
        expect(world,
               request->id.len && (request->known != KNOWN_HERE || world->scenario.shared_ids ||
                                   may_have_lost(world, request)),
               "connection %zu: a gap, but nothing was lost", connection->number);
        return;
    }
    expect(world, false, "connection %zu: outcome %d", connection->number, (int)request->outcome);
}

/* Only its beginning is queued yet, or the emitter is not new. */
void request_resolve(struct connection *connection, struct request *request, const struct sse_replay *replay,
                     bool choose)
{
    struct world *world = connection->world;
    size_t before = connection_tail(connection)->count;

    request->outcome = replay->outcome;
    check_outcome(connection, request);
    world->stats.replays += request->outcome == SSE_REPLAY_COMPLETE;
    world->stats.gaps += request->outcome == SSE_REPLAY_GAP;
    world->totals.gaps += request->outcome == SSE_REPLAY_GAP;
    world->stats.replayed += replay->messages;
    if (request->outcome == SSE_REPLAY_NONE) {
        expect_equal(world, 0, replay->messages, "messages replayed to a new client");
        return;
    }
    if (request->outcome == SSE_REPLAY_GAP)
        check_newest(connection, replay);
    if (request->outcome == SSE_REPLAY_GAP && choose)
        queue_choices(connection, request, replay);
    else
        queue_all(connection, request, replay);
    if (connection_tail(connection)->count > before)
        lane_exempt_all(connection_tail(connection));
}
