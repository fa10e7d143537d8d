/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/* What the host, the clients and time do, one thing at a time. */

/* A connection that the host may call, or NULL. */
static struct connection *draw_connection(struct world *world)
{
    for (int tries = 0; tries < 10 && world->connection_count; tries++) {
        size_t recent = world->connection_count < 12 ? world->connection_count : 12;
        struct connection *connection =
            world->connections[world->connection_count - 1 - chance_below(world, recent)];

        if (connection->held)
            return connection;
    }
    return NULL;
}

static struct client *client_of(const struct connection *connection)
{
    struct world *world = connection->world;

    for (unsigned i = 0; i < world->scenario.clients; i++) {
        if (world->clients[i].connection == connection)
            return &world->clients[i];
    }
    return NULL;
}

void detach(struct connection *connection)
{
    narrate(connection->world, "connection %zu is detached", connection->number);
    connection->detached = true;
    connection->listed = false;
    connection->causes |= CAUSE_DETACH;
    expect_equal(connection->world, 0, (uint64_t)sse_emitter_detach(connection->emitter),
                 "result of a detach");
    connection->cut_off = !connection->inside;
    if (connection->held && chance_percent(connection->world, 70))
        give_back(connection);
}

void give_back(struct connection *connection)
{
    narrate(connection->world, "the host gives connection %zu back", connection->number);
    connection->held = false;
    connection->causes |= CAUSE_DETACH;
    sse_emitter_unref(connection->emitter);
}

static void complete(struct connection *connection)
{
    int expected = connection_is_open(connection) ? 0 : -EALREADY;
    int result;

    connection->causes |= CAUSE_COMPLETE;
    result = sse_emitter_complete(connection->emitter);
    narrate(connection->world, "connection %zu is completed: %d", connection->number, result);
    expect_equal(connection->world, (uint64_t)expected, (uint64_t)result, "result of sse_emitter_complete");
}

static void break_off(struct connection *connection)
{
    static const int errors[] = {-EPIPE, -ECONNRESET, -EPROTO, -ECANCELED};
    struct sse_emitter_info info;
    int result;

    (void)connection_info(connection, &info);
    if (info.state != SSE_STATE_CLOSED) {
        connection->causes |= CAUSE_ERROR;
        connection->cause_error = errors[chance_below(connection->world, 4)];
    }
    result = sse_emitter_complete_with_error(
        connection->emitter, info.state == SSE_STATE_CLOSED ? -EPIPE : connection->cause_error);
    narrate(connection->world, "connection %zu is broken off: %d", connection->number, result);
    expect_equal(connection->world, (uint64_t)(info.state == SSE_STATE_CLOSED ? -EALREADY : 0),
                 (uint64_t)result, "result of sse_emitter_complete_with_error");
}

static void flush(struct connection *connection)
{
    struct sse_emitter_info before, after;
    bool inside = connection->inside;
    uint64_t nested = connection->world->nested;
    int result;

    (void)connection_info(connection, &before);
    connection->world->holding.waits[connection->number] = false;
    result = sse_emitter_flush(connection->emitter);
    narrate(connection->world, "connection %zu is flushed: %d", connection->number, result);
    if (before.state == SSE_STATE_CLOSED) {
        expect_equal(connection->world, (uint64_t)end_error(&before), (uint64_t)result, "result of a flush");
        return;
    }
    if (inside || nested != connection->world->nested || !connection_info(connection, &after))
        return;
    if (result >= 0)
        expect_equal(connection->world, after.queued_messages > 0, (uint64_t)result, "result of a flush");
}

static void unsubscribe(struct connection *connection)
{
    struct world *world = connection->world;
    int topic = (int)chance_below(world, TOPIC_COUNT);
    struct sse_str name = topic_name(topic);
    struct client *client = client_of(connection);
    int result = sse_registry_unsubscribe(world->registry, connection->emitter, &name, 1);

    narrate(world, "connection %zu leaves topic %d: %d", connection->number, topic, result);
    expect_equal(world, (uint64_t)(connection->member ? 0 : -ENOENT), (uint64_t)result,
                 "result of an unsubscription");
    connection->topics &= ~(1U << topic);
    if (!client)
        return;
    client->topics &= ~(1U << topic);
    for (size_t i = 0; i < world->record_count; i++) {
        if (world->records[i].topic == topic)
            client->owed[i] = false;
    }
}

static void remove_member(struct connection *connection)
{
    struct world *world = connection->world;
    bool member = connection->member;
    struct sse_emitter_info info;
    int result;

    (void)connection_info(connection, &info);
    if (member) {
        world->stats.written += info.events - connection->before_events;
        world->stats.dropped += info.dropped - connection->before_dropped;
        connection->listed = false;
        connection_left(connection);
        world->holding.waits[connection->number] = false;
    }
    narrate(world, "connection %zu is removed", connection->number);
    /* What was held is written now, and counts no more. */
    result = sse_registry_remove(world->registry, connection->emitter);
    expect_equal(world, (uint64_t)(member ? 0 : -ENOENT), (uint64_t)result, "result of a removal");
}

/* Another topic for somebody who is there: without an id from now on, with one also what was before. */
static void subscribe_more(struct connection *connection)
{
    struct world *world = connection->world;
    struct client *client = client_of(connection);
    unsigned topics = 1U << chance_below(world, TOPIC_COUNT);
    bool with_id = chance_percent(world, 30) && client && client->last_id_size;
    struct sse_str id = {.ptr = NULL};

    if (!connection->member || connection->request || !client || !records_have_room(world))
        return;
    if (with_id) {
        id = arena_format(world, "%.*s", (int)client->last_id_size, client->last_id);
        client->disordered = true;
    }
    if (!subscribe(connection, NULL, topics, id))
        client->topics |= topics & connection->topics;
}

static void send_direct(struct connection *connection)
{
    struct world *world = connection->world;

    if (!records_have_room(world))
        return;
    (void)record_draw(world, DIRECT);
    (void)send_record(connection, world->record_count - 1);
}

static void took(struct connection *connection, bool member, const void *bytes, size_t size)
{
    connection_received(connection, bytes, size);
    if (member)
        connection->world->stats.bytes += size;
}

static void check_end(struct connection *connection, ssize_t result)
{
    struct sse_emitter_info info;

    (void)connection_info(connection, &info);
    expect(connection->world, info.state == SSE_STATE_CLOSED && result == end_error(&info),
           "connection %zu: its reader is told %zd", connection->number, result);
}

/* Without waiting, it tells what a read would find, and runs the timers that are due. */
static void wait_for_none(const struct connection *connection)
{
    struct sse_emitter_info info;
    int result = sse_emitter_wait(connection->emitter, 0);

    (void)connection_info(connection, &info);
    expect_equal(connection->world,
                 (uint64_t)(info.state == SSE_STATE_CLOSED ? end_error(&info) : info.queued_messages > 0),
                 (uint64_t)result, "result of a wait");
}

static void read_some(struct connection *connection, size_t size)
{
    unsigned char bytes[4096];
    bool member = connection->member;
    ssize_t result;

    if (chance_percent(connection->world, 10))
        wait_for_none(connection);
    if (!connection->held)
        return;
    /* Before the call: the hooks at the end may run inside it. */
    connection->peeked = true;
    result = sse_emitter_read(connection->emitter, bytes, size < sizeof(bytes) ? size : sizeof(bytes));
    narrate(connection->world, "connection %zu: read gives %zd", connection->number, result);
    connection->peeked = !result;
    if (result > 0)
        took(connection, member, bytes, (size_t)result);
    if (result < 0)
        check_end(connection, result);
}

/* What was shown stays where it is, whatever happens before it is taken. */
static void peek_some(struct connection *connection, size_t size)
{
    struct world *world = connection->world;
    struct iovec iov[4];
    unsigned char bytes[4096];
    struct sse_emitter_info info;
    size_t shown = 0;
    bool member;
    int count = sse_emitter_peek(connection->emitter, iov, 1 + (int)chance_below(world, 4));

    connection->peeked = !count;
    connection->shown = count > 0;
    narrate(world, "connection %zu: peek gives %d", connection->number, count);
    if (count < 0)
        check_end(connection, count);
    for (int i = 0; i < count && shown + iov[i].iov_len <= sizeof(bytes); i++) {
        memcpy(bytes + shown, iov[i].iov_base, iov[i].iov_len);
        shown += iov[i].iov_len;
    }
    if (count < 1)
        return;
    if (!world->quiet && chance_percent(world, 20))
        publish(world, (int)chance_below(world, TOPIC_COUNT + 1));
    if (!world->quiet && chance_percent(world, 3) && connection->held && !connection->finished)
        break_off(connection);
    connection->shown = false;
    if (!connection->held)
        return;
    size = size < shown ? size : shown;
    shown = 0;
    for (int i = 0; i < count && shown < size; i++) {
        size_t piece = iov[i].iov_len < size - shown ? iov[i].iov_len : size - shown;

        expect(world, !memcmp(bytes + shown, iov[i].iov_base, piece),
               "connection %zu: what was shown has changed", connection->number);
        shown += piece;
    }
    member = connection->member;
    /* One whose hooks wait for a release has ended nevertheless. */
    if (connection_info(connection, &info) && info.state != SSE_STATE_CLOSED)
        took(connection, member, bytes, size);
    expect_equal(world, 0, (uint64_t)sse_emitter_advance(connection->emitter, size),
                 "result of sse_emitter_advance");
    narrate(world, "connection %zu: takes %zu", connection->number, size);
}

void pull(struct connection *connection, size_t size)
{
    if (chance_percent(connection->world, 50))
        read_some(connection, size);
    else
        peek_some(connection, size);
}

/* The sink has room, or its reader comes. */
static void drive(struct connection *connection)
{
    struct world *world = connection->world;

    if (connection->options.drain == SSE_DRAIN_PULL)
        pull(connection, 1 + chance_below(world, chance_percent(world, 30) ? 40 : 2000));
    else
        flush(connection);
}

/* The client stops listening; its host may learn that at once, later, or by an error. */
static void client_breaks(struct client *client, struct world *world)
{
    struct connection *connection = client->connection;
    size_t received = connection->received_size;

    if (!connection->completions || connection->completion.reason != SSE_REASON_COMPLETED)
        received -= chance_percent(world, 50) ? 0 : chance_below(world, received + 1);
    client_leave(client, world, received);
    if (!connection->held)
        return;
    if (chance_percent(world, 40))
        break_off(connection);
    else
        connection->error_percent = 70;
    if (connection->held && chance_percent(world, 60))
        detach(connection);
}

/* The host looks after those that need it. */
static void serve_ready(struct world *world)
{
    struct sse_emitter *emitter;

    world->woken = false;
    (void)ask_timeout(world);
    while ((emitter = sse_registry_next_ready(world->registry))) {
        struct connection *connection = sse_emitter_user(emitter);

        narrate(world, "connection %zu is ready", connection->number);
        expect(world, connection->listed && !connection->detached, "connection %zu: ready for no reason",
               connection->number);
        connection->listed = false;
        if (connection->held && !connection->finished && chance_percent(world, 80))
            drive(connection);
        sse_emitter_unref(emitter);
    }
    for (size_t i = 0; i < world->connection_count; i++) {
        const struct connection *connection = world->connections[i];

        expect(world, !connection->listed || connection->detached || !connection->emitter,
               "connection %zu: is ready, and nobody is told", connection->number);
    }
}

void tick(struct world *world)
{
    uint64_t nested;

    history_expire(world);
    world->ticking = true;
    world->ticking_nested = world->nested;
    expect_equal(world, 0, (uint64_t)sse_registry_tick(world->registry), "result of sse_registry_tick");
    world->ticking = false;
    nested = world->nested;
    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        if (connection->held && !connection->member)
            (void)sse_emitter_tick(connection->emitter);
    }
    /* What was done inside of these may have left the registry's something to do. */
    audit(world, nested == world->nested);
}

static void advance_clock(struct world *world)
{
    static const unsigned ranges[] = {2, 20, 200, 2000, 20000};
    int timeout = ask_timeout(world);
    uint64_t by = chance_below(world, ranges[chance_below(world, 5)]);

    if (timeout > 0 && chance_percent(world, 40))
        by = (uint64_t)timeout;
    narrate(world, "%llu ms pass (of %d)", (unsigned long long)by, timeout);
    fake_host_advance_ms(&world->fake, by);
    /* A host may be late. */
    if (chance_percent(world, 85))
        tick(world);
}

static int visit(struct sse_emitter *emitter, void *user)
{
    struct connection *connection = sse_emitter_user(emitter);
    size_t *count = user;

    ++*count;
    if (connection->held && chance_percent(connection->world, 5))
        complete(connection);
    return 0;
}

static int visit_one(struct sse_emitter *emitter, void *user)
{
    return 1 + visit(emitter, user);
}

static void visit_all(struct world *world)
{
    bool all = chance_percent(world, 80);
    int topic = (int)chance_below(world, TOPIC_COUNT + 1);
    size_t members = count_members(world, topic), count = 0;
    struct sse_str name = {.ptr = NULL};

    if (topic != BROADCAST)
        name = topic_name(topic);
    if (!all)
        members = members > 0;
    expect_equal(world, !all && members,
                 (uint64_t)sse_registry_each(world->registry, name, all ? visit : visit_one, &count),
                 "result of a walk");
    expect_equal(world, members, count, "emitters visited");
}

static void change_wake(struct world *world)
{
    bool wakes = !world->scenario.wakes;

    world->scenario.wakes = wakes;
    (void)sse_registry_set_wake(world->registry, wakes ? on_wake : NULL, world);
    for (size_t i = 0; i < world->connection_count; i++)
        world->connections[i]->listed = false;
    (void)ask_timeout(world);
}

/* A hook may end the emitter before it is its turn. */
static void offer_farewell(struct connection *connection)
{
    size_t item = connection_offer(connection, connection->world->record_count - 1);

    connection->items[item].fate = FATE_FAREWELL;
}

static void begin_shutdown(struct world *world, const struct sse_shutdown_options *options)
{
    world->shut_down = true;
    world->shutdown_end = world_now(world) + (uint64_t)options->drain_ms * MILLISECOND;
    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        if (!connection->member)
            continue;
        connection->causes |= CAUSE_SHUTDOWN;
        connection->over += 200;
        if (!connection_is_open(connection)) {
            if (connection->drain_end > world->shutdown_end)
                connection->drain_end = world->shutdown_end;
            continue;
        }
        connection->drain_end = world->shutdown_end;
        if (options->farewell)
            offer_farewell(connection);
    }
}

void shut_down(struct world *world)
{
    const struct sse_event farewell = {.type = sse_str("farewell"), .data = sse_str("see you")};
    struct sse_shutdown_options options = {.size = sizeof(options)};
    int result;

    if (chance_percent(world, 60)) {
        options.farewell = &farewell;
        (void)record_new(world, DIRECT, &farewell, 1);
    }
    if (chance_percent(world, 60)) {
        world->retry_min = options.retry_min_ms = 3000;
        world->retry_max = options.retry_max_ms = 3000 + (int64_t)chance_below(world, 5000);
    }
    options.drain_ms = chance_percent(world, 30) ? 0 : (int64_t)chance_below(world, 3000);
    begin_shutdown(world, &options);
    fail_begin(world);
    result = sse_registry_shutdown(world->registry, &options);
    world->farewell_uncertain = fail_end(world);
    narrate(world, "shutdown within %lld ms: %d", (long long)options.drain_ms, result);
    if (result == -ENOMEM && world->farewell_uncertain) {
        /* Nothing has happened. */
        result = sse_registry_shutdown(world->registry, &options);
        world->farewell_uncertain = false;
    }
    expect_equal(world, 0, (uint64_t)result, "result of the shutdown");
    expect_equal(world, (uint64_t)-EALREADY, (uint64_t)sse_registry_shutdown(world->registry, &options),
                 "result of another shutdown");
}

static void act_on(struct world *world, size_t action, struct connection *connection)
{
    /* While on_gap is asked, the model wants to know what is asked for. */
    bool joining = connection && connection->request && !connection->request->resolved;

    if (!connection)
        return;
    if (action < 12)
        send_direct(connection);
    else if (action < 18)
        complete(connection);
    else if (action < 22)
        break_off(connection);
    else if (action < 26)
        detach(connection);
    else if (action < 30 && !joining)
        unsubscribe(connection);
    else if (action < 33 && !joining)
        remove_member(connection);
    else if (action < 38)
        subscribe_more(connection);
    else if (action < 40)
        give_back(connection);
    else if (action < 60)
        connection->mood = (enum mood)chance_below(world, 3);
    else
        drive(connection);
}

static void act_on_any(struct world *world)
{
    struct connection *connection = draw_connection(world);

    act_on(world, chance_below(world, 100), connection);
}

static void act_for_client(struct world *world, struct client *client)
{
    if (!client->connection)
        client_connect(world, client);
    else if (client->connection->finished || chance_percent(world, 20))
        client_breaks(client, world);
}

static bool hold_or_write(struct world *world)
{
    unsigned holds = world->holding.holds;

    if (!world->scenario.holds || !chance_percent(world, holds ? 20 : 12))
        return false;
    if (chance_percent(world, holds ? 25 : 95))
        hold(world);
    else if (chance_percent(world, 40))
        flush_held(world);
    else
        release(world);
    return true;
}

void step(struct world *world)
{
    size_t action = chance_below(world, 100);

    if (hold_or_write(world))
        narrate(world, "%u hold", world->holding.holds);
    else if (action < 34)
        publish(world, (int)chance_below(world, TOPIC_COUNT + 1));
    else if (action < 54)
        act_for_client(world, &world->clients[chance_below(world, world->scenario.clients)]);
    else if (action < 84)
        act_on_any(world);
    else if (action < 93)
        advance_clock(world);
    else if (action < 97)
        serve_ready(world);
    else if (action < 98)
        visit_all(world);
    else if (chance_percent(world, 20) && !world->shut_down)
        shut_down(world);
    else if (chance_percent(world, 10))
        change_wake(world);
    audit(world, false);
}

void turn(struct world *world)
{
    serve_ready(world);
    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        for (int tries = 0; connection->held && connection->was_queued && tries < 50; tries++) {
            connection->mood = MOOD_FAST;
            connection->error_percent = 0;
            if (connection->options.drain == SSE_DRAIN_PULL)
                read_some(connection, 4096);
            else
                flush(connection);
            audit(world, false);
        }
    }
}

static void connect_one(struct world *world)
{
    struct client *client = &world->clients[chance_below(world, world->scenario.clients)];

    if (!client->connection)
        client_connect(world, client);
}

/* The emitter in whose callback it happens, or another. */
static void act_on_one(struct world *world, struct connection *self)
{
    struct connection *connection = chance_percent(world, 50) ? self : draw_connection(world);
    size_t action = chance_below(world, 40);

    if (!connection || !connection->held)
        return;
    if (action < 5 && connection->options.drain == SSE_DRAIN_CALLBACK)
        flush(connection);
    else
        act_on(world, action, connection);
}

void nested_step(struct world *world, struct connection *self)
{
    if (world->quiet || world->depth > 4 || !chance_percent(world, world->scenario.nests))
        return;
    world->nested++;
    if (hold_or_write(world))
        return;
    if (!self->emitter || chance_percent(world, 40))
        publish(world, (int)chance_below(world, TOPIC_COUNT + 1));
    else if (chance_percent(world, 12))
        connect_one(world);
    else
        act_on_one(world, self);
}
