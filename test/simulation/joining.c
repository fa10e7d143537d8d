/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>
#include <stdlib.h>

/* How emitters are made and subscribed, and which of them the caps refuse or evict. */

#define REFUSALS_MAX 4

/** The errors that a call may return in the current state. None: it must succeed. */
struct refusals {
    int errors[REFUSALS_MAX];
    size_t count;
};

static void refuse(struct refusals *refusals, bool holds, int error)
{
    if (holds)
        refusals->errors[refusals->count++] = error;
}

static bool is_refusal(const struct refusals *refusals, int error)
{
    for (size_t i = 0; i < refusals->count; i++)
        if (refusals->errors[i] == error)
            return true;
    return false;
}

size_t count_members(const struct world *world, int topic)
{
    size_t count = 0;

    for (size_t i = 0; i < world->connection_count; i++) {
        const struct connection *connection = world->connections[i];

        count += connection->member && (topic == BROADCAST || connection->topics >> topic & 1);
    }
    return count;
}

static bool is_over_cap(const struct world *world, const struct request *request)
{
    const struct sse_registry_options *options = &world->scenario.options;

    if (options->admission != SSE_ADMISSION_REFUSE)
        return false;
    if (request->adds && options->emitters_max && count_members(world, BROADCAST) >= options->emitters_max)
        return true;
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if ((request->topics >> topic & 1) && options->topic_emitters_max &&
            count_members(world, topic) >= options->topic_emitters_max)
            return true;
    return false;
}

/* The oldest subscriber leaves the registry at once, and ends gracefully. */
static void evict_oldest(struct world *world, int topic, size_t max)
{
    struct connection *oldest = NULL;

    if (!max || count_members(world, topic) <= max)
        return;
    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        if (!connection->member || (topic != BROADCAST && !(connection->topics >> topic & 1)))
            continue;
        if (!oldest || connection->since[topic] < oldest->since[topic])
            oldest = connection;
    }
    narrate(world, "connection %zu is evicted", oldest->number);
    connection_left(oldest);
    oldest->left_by_cap = true;
    if (oldest->state == SSE_STATE_OPEN)
        oldest->causes |= CAUSE_EVICT;
}

static void evict(struct world *world, const struct request *request)
{
    const struct sse_registry_options *options = &world->scenario.options;

    if (options->admission != SSE_ADMISSION_EVICT_OLDEST)
        return;
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (request->topics >> topic & 1)
            evict_oldest(world, topic, options->topic_emitters_max);
    if (request->adds)
        evict_oldest(world, BROADCAST, options->emitters_max);
}

static void join(struct connection *connection, const struct request *request)
{
    struct world *world = connection->world;

    if (request->adds) {
        connection->member = true;
        connection->since[BROADCAST] = ++world->joins;
        world->stats.added++;
    }
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (request->topics >> topic & 1)
            connection->since[topic] = ++world->joins;
    connection->topics |= request->topics;
    evict(world, request);
}

static size_t name_topics(struct world *world, unsigned topics, struct sse_text *names)
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

/* A client may name an invalid topic. Returns whether it does. */
static bool spoil_topics(struct world *world, struct sse_text *names, size_t *count)
{
    static char long_name[SSE_TOPIC_SIZE_MAX + 1];

    if (!chance_percent(world, 1))
        return false;
    memset(long_name, 'x', sizeof(long_name));
    names[*count] = chance_percent(world, 50) ? sse_str("") : (struct sse_text){long_name, sizeof(long_name)};
    ++*count;
    return true;
}

static struct request *copy_of(const struct request *request)
{
    struct request *copy = malloc(sizeof(*copy));

    if (!copy)
        abort();
    *copy = *request;
    return copy;
}

static void queue_preamble(struct connection *connection)
{
    if (connection->head.ptr)
        connection_queue(connection, &connection->front, (struct item){.kind = ITEM_HEAD});
    connection_queue(connection, &connection->front, (struct item){.kind = ITEM_FIRST});
    lane_exempt_all(&connection->front);
    connection->paused = connection->has_later = connection->options.paused;
}

static void check_refused(struct connection *connection, const struct refusals *refusals, int error,
                          bool failed)
{
    struct world *world = connection->world;

    expect(world, is_refusal(refusals, error) || (failed && error == -ENOMEM),
           "connection %zu: sse_emitter_new gives %d", connection->number, error);
    world->stats.refused += error == -EAGAIN;
    connection->settled = true;
    if (connection_is_socket(connection))
        socket_refused(connection);
}

/* The emitter is in the registry, and nothing has been written. */
static void opened(struct connection *connection, struct request *request, const struct sse_replay *replay)
{
    struct world *world = connection->world;

    connection->owned = true;
    queue_preamble(connection);
    if (!connection->registered)
        return;
    join(connection, request);
    request_resolve(connection, request, replay, connection->paused);
    if (connection->paused)
        connection->pause = copy_of(request);
    sync_all(world);
}

/** The options of a new emitter, and the errors with which it may be refused. */
struct opening {
    struct connection *connection;
    struct request *request;
    struct sse_text names[2 * TOPIC_COUNT + 1];
    struct refusals refusals;
};

static void ask_registry(struct opening *opening)
{
    struct world *world = opening->connection->world;
    struct sse_emitter_options *options = &opening->connection->options;
    struct request *request = opening->request;

    history_expire(world);
    options->topics = opening->names;
    options->topic_count = name_topics(world, request->topics, opening->names);
    options->last_event_id = request->id;
    request->came_at = world->record_count;
    request_find_place(world, request);
    refuse(&opening->refusals, spoil_topics(world, opening->names, &options->topic_count), -EBADMSG);
    refuse(&opening->refusals, is_over_cap(world, request), -EAGAIN);
    refuse(&opening->refusals, world->shut_down, -ECONNREFUSED);
}

static void tell(const struct opening *opening, int error)
{
    const struct connection *connection = opening->connection;
    const struct sse_emitter_options *options = &connection->options;
    struct sse_text id = opening->request->id;

    narrate(connection->world,
            "connection %zu: new, loop %d, output %d, chunked %d, paused %d, overflow %d, %zu bytes, %zu "
            "messages, topics %x after \"%.*s\": %d",
            connection->number, connection->loop ? (int)connection->loop->number : -1, (int)options->output,
            connection->chunked, options->paused, (int)options->overflow, options->queue_bytes,
            options->queue_messages, opening->request->topics, (int)(id.len < 80 ? id.len : 80),
            id.ptr ? id.ptr : "", error);
}

/* A refused emitter has changed nothing. */
static bool is_opened(struct opening *opening, int error, bool failed)
{
    struct connection *connection = opening->connection;
    const struct refusals *refusals = &opening->refusals;

    tell(opening, error);
    connection->options.topics = NULL;
    if (error)
        check_refused(connection, refusals, error, failed);
    else
        expect(connection->world, !refusals->count, "connection %zu: was not refused with %d",
               connection->number, refusals->count ? refusals->errors[0] : 0);
    return !error;
}

struct connection *connection_open(struct world *world, bool registered, struct request *request)
{
    struct opening opening = {.connection = connection_make(world, registered), .request = request};
    struct connection *connection = opening.connection;
    struct sse_emitter *emitter = NULL;
    struct sse_replay replay;
    uint64_t calls = world->calls;
    bool failed;
    int error;

    memset(&replay, 0xee, sizeof(replay));
    sync_all(world);
    if (registered)
        ask_registry(&opening);
    refuse(&opening.refusals, connection->loop && (connection->loop->finishing || connection->loop->freeing),
           -ECONNREFUSED);
    fail_begin(world);
    error = sse_emitter_new(&emitter, &connection->options, &replay);
    failed = fail_end(world);
    expect_equal(world, calls, world->calls, "callbacks inside sse_emitter_new");
    if (!is_opened(&opening, error, failed))
        return NULL;
    connection->emitter = emitter;
    opened(connection, request, &replay);
    return connection;
}

static void refuse_subscription(const struct connection *connection, const struct request *request,
                                struct refusals *refusals)
{
    const struct world *world = connection->world;

    refuse(refusals, !connection->member, -ENOENT);
    refuse(refusals, connection->state != SSE_STATE_OPEN, end_error(connection));
    refuse(refusals, world->shut_down, -ECONNREFUSED);
    refuse(refusals, is_over_cap(world, request), -EAGAIN);
}

int subscribe(struct connection *connection, struct request *request)
{
    struct world *world = connection->world;
    struct sse_text names[2 * TOPIC_COUNT];
    size_t count = name_topics(world, request->asked, names);
    struct sse_replay replay;
    struct refusals refusals = {.count = 0};
    bool failed;
    int error;

    memset(&replay, 0xee, sizeof(replay));
    sync_all(world);
    history_expire(world);
    request->topics = request->asked & ~connection->topics;
    request->came_at = world->record_count;
    request_find_place(world, request);
    refuse_subscription(connection, request, &refusals);
    fail_begin(world);
    error = sse_registry_subscribe(world->registry, connection->emitter, names, count, request->id, &replay);
    failed = fail_end(world);
    narrate(world, "connection %zu subscribes to %x after \"%.*s\": %d", connection->number, request->asked,
            (int)(request->id.len < 80 ? request->id.len : 80), request->id.ptr ? request->id.ptr : "",
            error);
    if (error) {
        expect(world, is_refusal(&refusals, error) || (failed && error == -ENOMEM),
               "connection %zu: sse_registry_subscribe gives %d", connection->number, error);
        world->stats.refused += error == -EAGAIN;
        return error;
    }
    expect(world, !refusals.count, "connection %zu: its subscription was not refused with %d",
           connection->number, refusals.count ? refusals.errors[0] : 0);
    join(connection, request);
    request_resolve(connection, request, &replay, false);
    sync_all(world);
    return 0;
}
