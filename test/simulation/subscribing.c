/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

#define ECHO_SIZE_MAX 1024

size_t count_members(const struct world *world, int topic)
{
    size_t count = 0;

    for (size_t i = 0; i < world->connection_count; i++) {
        const struct connection *connection = world->connections[i];

        count += connection->member && (topic == BROADCAST || connection->topics >> topic & 1);
    }
    return count;
}

/* What joining has to return as things stand. */
static int join_error(const struct connection *connection, const struct request *request)
{
    const struct world *world = connection->world;
    const struct sse_registry_options *options = &world->scenario.options;
    struct sse_emitter_info info;

    (void)connection_info(connection, &info);
    if (info.state != SSE_STATE_OPEN)
        return end_error(&info);
    if (request->adds && world->shut_down)
        return -ESHUTDOWN;
    if (options->admission != SSE_ADMISSION_REFUSE)
        return 0;
    if (request->adds && options->emitters_max && count_members(world, BROADCAST) >= options->emitters_max)
        return -EAGAIN;
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        if ((request->topics >> topic & 1) && options->topic_emitters_max &&
            count_members(world, topic) >= options->topic_emitters_max)
            return -EAGAIN;
    }
    return 0;
}

static bool is_wanted(const struct request *request, const struct record *record)
{
    if (record->topic == DIRECT)
        return false;
    return record->topic == BROADCAST ? request->adds : request->topics >> record->topic & 1;
}

static bool is_echoed(struct sse_str id)
{
    if (id.len > ECHO_SIZE_MAX || id.ptr[0] == ' ' || id.ptr[id.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < id.len; i++) {
        if (id.ptr[i] < 0x20 || id.ptr[i] > 0x7e)
            return false;
    }
    return true;
}

/* In front of the replay. */
static void offer_gap_event(struct connection *connection, const struct request *request,
                            struct sse_str oldest)
{
    struct world *world = connection->world;
    struct sse_str asked = is_echoed(request->id) ? request->id : sse_str("");
    struct sse_event event = {.type = world->scenario.options.gap_type};

    event.data = arena_format(world, "%.*s\n%.*s", (int)asked.len, asked.ptr, (int)oldest.len,
                              oldest.ptr ? oldest.ptr : "");
    if (world->scenario.history && !request->host_filled)
        event.id = assigned_id(world, request->place);
    connection->over += record_wire_size(record_new(world, DIRECT, &event, 1), true);
    connection_offer(connection, world->record_count - 1);
}

/* Whether the record follows the place that the client named. */
static bool follows(const struct world *world, const struct request *request, size_t index)
{
    const struct record *record = &world->records[index];

    if (!record->kept || !is_wanted(request, record))
        return false;
    if (request->host_filled)
        return request->snapshot[index] || (index >= request->hook_from && history_holds(world, index));
    return record->sequence > request->place && history_holds(world, index);
}

static void offer_replay(struct connection *connection, struct request *request)
{
    struct world *world = connection->world;
    struct sse_str oldest = {.ptr = NULL};
    size_t end = world->record_count;

    for (size_t i = end; i-- > 0;) {
        if (follows(world, request, i))
            oldest = world->records[i].id;
    }
    if (request->outcome == SSE_REPLAY_GAP && world->scenario.options.gap_type.ptr)
        offer_gap_event(connection, request, oldest);
    for (size_t i = 0, item; i < end; i++) {
        if (!follows(world, request, i))
            continue;
        request->messages++;
        request->snapshot[i] = true;
        connection->over += record_wire_size(&world->records[i], true);
        item = connection_offer(connection, i);
        connection->items[item].replayed = true;
    }
}

/* A topic gives its oldest first: if it holds what is not after the place, it holds what is. */
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

/* What it asked for and nobody holds any more. */
static bool has_lost(const struct world *world, const struct request *request)
{
    for (size_t i = 0; i < world->record_count; i++) {
        const struct record *record = &world->records[i];

        if (record->lasting && is_wanted(request, record) && !history_holds(world, i) &&
            (!record->kept || record->sequence > request->place))
            return true;
    }
    return false;
}

static void see_outcome(struct connection *connection, struct request *request)
{
    struct world *world = connection->world;

    if (!request->id.len)
        return;
    if (!request->gap) {
        expect(world, request->known && !request->asked_host,
               "connection %zu: no gap after an id that is unknown", connection->number);
        expect(world, !has_lost(world, request), "connection %zu: no gap, but events were lost",
               connection->number);
        request->outcome = SSE_REPLAY_COMPLETE;
        world->stats.replays++;
    } else {
        expect(world,
               request->known != KNOWN_HERE || world->scenario.shared_ids || may_have_lost(world, request),
               "connection %zu: a gap, but nothing was lost", connection->number);
        request->outcome = request->filled ? SSE_REPLAY_FILLED : SSE_REPLAY_GAP;
        if (!request->host_filled)
            memset(request->snapshot, 0, sizeof(request->snapshot));
        world->stats.gaps += !request->filled;
        world->stats.replays += request->filled;
    }
    offer_replay(connection, request);
    world->stats.replayed += request->messages;
}

/* Of those that are not leaving yet, the one that has the topic for longest has to, if there are too many. */
static void find_leaver(struct world *world, int topic, size_t max)
{
    struct connection *oldest = NULL;
    size_t staying = 0;

    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        if (!connection->member || connection->leaving || !connection_is_open(connection) ||
            (topic != BROADCAST && !(connection->topics >> topic & 1)))
            continue;
        staying++;
        if (!oldest || connection->since[topic] < oldest->since[topic])
            oldest = connection;
    }
    if (!max || staying <= max)
        return;
    narrate(world, "connection %zu has to leave", oldest->number);
    oldest->leaving = true;
    oldest->causes |= CAUSE_COMPLETE;
}

static void find_leavers(struct world *world, unsigned topics)
{
    const struct sse_registry_options *options = &world->scenario.options;

    if (options->admission != SSE_ADMISSION_NEWEST)
        return;
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        if (topics >> topic & 1)
            find_leaver(world, topic, options->topic_emitters_max);
    }
    find_leaver(world, BROADCAST, options->emitters_max);
}

void request_joined(struct connection *connection, struct request *request)
{
    struct world *world = connection->world;

    request->traced = true;
    request->came_at = world->record_count;
    if (request->adds) {
        holding_joined(connection);
        connection->member = true;
        connection->since[BROADCAST] = ++world->joins;
        world->stats.added++;
    }
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        if (request->topics >> topic & 1)
            connection->since[topic] = ++world->joins;
    }
    connection->topics |= request->topics;
    find_leavers(world, request->asked);
}

/* Nothing has been written since it joined. */
static void resolve(struct connection *connection, struct request *request)
{
    struct world *world = connection->world;
    struct sse_emitter_info info;

    request->resolved = true;
    (void)connection_info(connection, &info);
    see_outcome(connection, request);
    if (request->messages && !connection->was_queued)
        connection->progress = world_now(world);
    connection->listed |= request->adds && info.queued_messages && world->scenario.wakes;
}

void requests_resolve(struct world *world)
{
    for (size_t i = 0; world->requests && i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        if (connection->request && connection->request->traced && !connection->request->resolved)
            resolve(connection, connection->request);
    }
}

/* The store's place of an id: its record, or RECORDS_MAX. */
static size_t store_find(const struct world *world, struct sse_str id)
{
    for (size_t i = world->record_count; i-- > 0;) {
        if (world->records[i].topic != DIRECT && world->records[i].id.len &&
            same_text(world->records[i].id, id))
            return i;
    }
    return RECORDS_MAX;
}

static void check_gap(struct connection *connection, const struct request *request, const struct sse_gap *gap)
{
    struct world *world = connection->world;
    struct sse_str newest = {.ptr = NULL};

    for (size_t i = 0; i < world->record_count; i++) {
        if (world->records[i].topic != DIRECT && world->records[i].id.ptr)
            newest = world->records[i].id;
    }
    expect(world, gap->size == sizeof(*gap) && same_text(gap->asked, request->id),
           "connection %zu: on_gap is asked for another id", connection->number);
    expect(world, same_text(gap->newest, newest) && !gap->newest.ptr == !newest.ptr,
           "connection %zu: the newest id is \"%.*s\", not \"%.*s\"", connection->number, (int)newest.len,
           newest.ptr ? newest.ptr : "", (int)gap->newest.len, gap->newest.ptr ? gap->newest.ptr : "");
}

/* Sends what the store has between the two. False if the emitter did not take all of it. */
static bool fill(struct connection *connection, struct request *request, size_t asked, size_t end)
{
    struct world *world = connection->world;

    for (size_t i = asked + 1; i < end; i++) {
        const struct record *record = &world->records[i];

        if (!record->lasting || !is_wanted(request, record))
            continue;
        request->sent = true;
        if (!connection->held || send_record(connection, i))
            return false;
    }
    return true;
}

/* From the oldest that the hook is told of on, all that is wanted is still held. */
static void take_snapshot(struct world *world, struct request *request)
{
    for (size_t i = request->oldest; i < world->record_count; i++) {
        const struct record *record = &world->records[i];

        request->snapshot[i] = record->kept && is_wanted(request, record);
        expect(world, !request->snapshot[i] || history_holds(world, i),
               "record %zu is lost, and not before the oldest", i);
    }
}

static bool host_fills(struct connection *connection, struct request *request, const struct sse_gap *gap)
{
    struct world *world = connection->world;
    size_t asked = store_find(world, gap->asked);
    size_t newest = gap->newest.len ? store_find(world, gap->newest) : RECORDS_MAX;

    if (asked == RECORDS_MAX || chance_percent(world, 15))
        return false;
    if (world->scenario.empty_ids || world->scenario.shared_ids || world->scenario.repeated_ids)
        return false;
    /* In the middle of a message: the store knows whole ones only. */
    if (!world->records[asked].lasting)
        return false;
    if (gap->oldest.ptr) {
        request->oldest = store_find(world, gap->oldest);
        expect(world, request->oldest < RECORDS_MAX, "connection %zu: the oldest id is unknown",
               connection->number);
        take_snapshot(world, request);
        return fill(connection, request, asked, request->oldest);
    }
    return newest < RECORDS_MAX && fill(connection, request, asked, newest + 1);
}

/* While the hook runs, others publish: nothing of it may be missed. */
static void publish_meanwhile(struct world *world)
{
    while (!world->quiet && chance_percent(world, world->scenario.nests))
        publish(world, (int)chance_below(world, TOPIC_COUNT + 1));
}

/* Whether something of what was published meanwhile is not held; *unsure: not that of these topics. */
static bool has_missed(const struct world *world, const struct request *request, bool *unsure)
{
    bool missed = false;

    *unsure = false;
    for (size_t i = request->hook_from; i < world->record_count; i++) {
        const struct record *record = &world->records[i];

        if (record->topic == DIRECT || history_holds(world, i) || (world->scenario.history && !record->kept))
            continue;
        if (!world->scenario.history || record->topic == BROADCAST || (request->asked >> record->topic & 1))
            missed = true;
        else
            *unsure = true;
    }
    return missed;
}

bool on_gap(struct sse_registry *registry, struct sse_emitter *emitter, const struct sse_gap *gap, void *user)
{
    struct connection *connection = sse_emitter_user(emitter);
    struct world *world = user;
    struct request *request = connection->request;
    bool filled, missed, unsure;

    world->depth++;
    fail_suspend(world);
    requests_resolve(world);
    expect(world, registry == world->registry && request && !request->asked_host && !request->traced,
           "connection %zu: on_gap for no reason", connection->number);
    expect_equal(world, 0, (uint64_t)request->error, "why on_gap is called before a refusal");
    request->asked_host = true;
    request->hook_from = world->record_count;
    check_gap(connection, request, gap);
    filled = host_fills(connection, request, gap);
    publish_meanwhile(world);
    missed = has_missed(world, request, &unsure);
    filled = filled && (missed || !unsure);
    request->host_filled = filled;
    request->filled = filled && !missed;
    request->error = join_error(connection, request);
    narrate(world, "the host fills the gap: %d", filled);
    world->depth--;
    return filled;
}

static size_t name_topics(struct world *world, unsigned topics, struct sse_str *names)
{
    size_t count = 0;

    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        if (!(topics >> topic & 1))
            continue;
        names[count++] = topic_name(topic);
        if (chance_percent(world, 3))
            names[count++] = topic_name(topic);
    }
    return count;
}

static void find_place(struct world *world, struct request *request)
{
    if (request->id.len)
        request->known = history_find(world, request->id, request->asked, &request->place);
    if (!request->known)
        request->place = world->sequence;
}

static void joined(struct connection *connection, struct client *client, struct request *request,
                   const struct sse_replay *replay)
{
    struct world *world = connection->world;

    expect(world, request->resolved, "connection %zu: no trace of its subscription", connection->number);
    expect_equal(world, request->outcome, replay->outcome, "outcome of the replay");
    expect_equal(world, request->messages, replay->messages, "messages replayed");
    world->totals.gaps += request->outcome == SSE_REPLAY_GAP;
    world->totals.filled += request->outcome == SSE_REPLAY_FILLED;
    if (client)
        client_joined(client, world, request);
}

int subscribe(struct connection *connection, struct client *client, unsigned topics, struct sse_str id)
{
    struct world *world = connection->world;
    struct sse_str names[2 * TOPIC_COUNT];
    size_t count = name_topics(world, topics, names);
    struct sse_replay replay = {.size = sizeof(replay)};
    struct request request = {.id = id,
                              .asked = topics,
                              .topics = topics & ~connection->topics,
                              .adds = !connection->member,
                              .oldest = RECORDS_MAX};
    struct history before;
    bool failed;
    int result;

    requests_resolve(world);
    before = world->history;
    history_expire(world);
    find_place(world, &request);
    request.error = join_error(connection, &request);
    connection->request = &request;
    world->requests++;
    if (request.adds)
        holding_joins(connection);
    narrate(world, "connection %zu subscribes to %x after \"%.*s\"", connection->number, topics,
            (int)(id.len < 80 ? id.len : 80), id.ptr ? id.ptr : "");
    fail_begin(world);
    if (!count && !id.len && !connection->member && chance_percent(world, 50))
        result = sse_registry_add(world->registry, connection->emitter);
    else
        result = sse_registry_subscribe(world->registry, connection->emitter, names, count, id, &replay);
    failed = fail_end(world);
    requests_resolve(world);
    connection->request = NULL;
    world->requests--;
    narrate(world, "gives %d, outcome %d, %zu messages", result, (int)replay.outcome, replay.messages);
    if (result == -ENOMEM && failed) {
        if (!request.asked_host)
            world->history = before;
        history_follow(world);
        return result;
    }
    expect_equal(world, (uint64_t)request.error, (uint64_t)result, "result of sse_registry_subscribe");
    world->stats.refused += result == -EAGAIN;
    if (!result)
        joined(connection, client, &request, &replay);
    return result;
}
